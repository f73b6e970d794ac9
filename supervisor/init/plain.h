/* Plain init for one command. Under its own name it takes tini's and dumb-init's options; under a
 * link named `tini` or `dumb-init` it behaves as that one does. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#define PLAIN_SIGNALS 65
#define PLAIN_AS_IS   (-1) /* a signal that nothing rewrites */

enum plain_manner { PLAIN_OWN, PLAIN_TINI, PLAIN_DUMB_INIT, PLAIN_MANNER_MAX };

struct plain_options {
    enum plain_manner manner;
    const char *name;    /* argv[0] */
    bool group;          /* signals go to the command's process group */
    bool session;        /* the command gets a session of its own, and its group all signals */
    bool subreaper;      /* reap orphans also when not PID 1 */
    bool warn_reap;      /* say so of each orphan */
    int verbosity;       /* 0: fatal, 1: warnings, 2: information, 3: debugging, 4: all */
    int parent_signal;   /* what we get when our parent dies; 0: nothing */
    uint32_t to_zero[8]; /* the exit statuses that become 0, a bit each */
    int rewrite[PLAIN_SIGNALS]; /* what arrives → what is sent, 0 nothing, or PLAIN_AS_IS */
};

/* By the name that it was called under. */
enum plain_manner plain_manner_of(const char *argv0);

/* Reads options and environment. Returns -1 and sets `*ret_command` (NULL-terminated, a part of
 * argv, which is changed), or the status to exit with, the reason said. Under the own name and
 * without any argument `*ret_command` is NULL: no plain init is wanted. */
int plain_parse(struct plain_options *o, char **argv, char ***ret_command);

/* Runs the command; returns the exit status. `mask`: what was in force. */
int plain_run(const struct plain_options *o, char **command, const sigset_t *mask);
