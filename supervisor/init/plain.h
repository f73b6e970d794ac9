/* Plain init for one command, as tini and dumb-init are. */
#pragma once

#include <signal.h>
#include <stdbool.h>

#define PLAIN_SIGNALS 65

struct plain_options {
    bool group;                 /* -g: signals go to the child's process group */
    bool subreaper;             /* -s */
    bool verbose;               /* -v */
    int rewrite[PLAIN_SIGNALS]; /* what arrives → what is sent; 0: nothing */
};

/* Every signal to itself. */
void plain_options_init(struct plain_options *o);
/* "15:2". 0 or -EINVAL. */
int plain_rewrite(struct plain_options *o, const char *text);

/* Runs argv; returns the exit status: the child's, 128+n, 126, 127. `mask`: what was in force. */
int plain_run(const struct plain_options *o, char **argv, const sigset_t *mask);
