/* What the agent can change: the places where OpenCode's sandbox lets it write. What it can change
 * may not shape what is accepted: no program is run from there, no settings are read from there. */
#pragma once

#include "base/core/error.h"
#include "bridge/prepare/settings.h"

#include <stdbool.h>
#include <stddef.h>

struct reach_place {
    char *path;
    bool open;
};

struct reach {
    struct reach_place *places; /* resolved; the longest one that a path lies in decides */
    size_t count, room;
};

/* From the profile that PID 1 handed over; without one, the home, OpenCode's working folder and the
 * folders for temporary files. 0 or a negative errno with `e`. */
int reach_read(struct reach *ret, const struct settings *s, struct error *e);
void reach_release(struct reach *r);
#define _cleanup_reach_ _cleanup_(reach_release)

/* Adds one place, as it is written, and resolved. 0 or -ENOMEM. */
int reach_add(struct reach *r, const char *path, bool open);

/* Could the agent change what is at `path`, or put something else there? Links on the way count,
 * and what they lead to. A path that is not there counts as its nearest folder that is. */
bool reach_covers(const struct reach *r, const char *path);

/* The folders of `path` ("/a:/b"), resolved, that the agent cannot change; malloc'ed. */
char *reach_filter(const struct reach *r, const char *path);
