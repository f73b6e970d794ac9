/* What an accepted change is built with: a folder that the agent cannot see, a home and a cache of
 * its own in it, and an npm that the agent cannot have put there. */
#pragma once

#include "base/core/error.h"
#include "bridge/prepare/settings.h"

struct closed {
    char *folder; /* <state>/build */
    char *plugin; /* in it: the copy that is built */
    char *path;   /* PATH, without folders that the agent can write to */
    char *npm;    /* NULL until closed_npm() */
    char **env;   /* of npm and what it runs */
};

/* Makes the folder anew. 0 or a negative errno with `e`. */
int closed_open(struct closed *ret, const struct settings *s, struct error *e);
/* Looks for npm and settles its environment. 0; -ENOENT where all that there is the agent can write
 * to; else a negative errno; with `e`. */
int closed_npm(struct closed *c, const struct settings *s, struct error *e);
/* Removes the folder with all that is in it. */
void closed_release(struct closed *c);
