/* The process tree, as /proc shows it. Used by guards and by PID 1's last sweep. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tree_process {
    pid_t pid, parent, group, session;
    char state; /* R, S, D, Z, T… */
    uint64_t
        started; /* clock ticks since the node's boot: with the pid, names a process for ever */
    bool below;  /* set by tree_mark() */
};

struct tree {
    struct tree_process *rows; /* owned */
    size_t count;
};

/* Parses one /proc/PID/stat. 0 or -EBADMSG. */
int tree_parse_stat(const char *text, struct tree_process *ret);

/* One process, from /proc. 0 or -errno. */
int tree_read_one(pid_t pid, struct tree_process *ret);

/* Reads all of /proc. 0, or -errno (-ENOENT: no /proc here). */
int tree_read(struct tree *ret);
void tree_release(struct tree *t);

/* Marks all that descend from `root` (itself not). */
void tree_mark(struct tree *t, pid_t root);

/* Sends `signal` to a process if it is still the same one: by pidfd and start time, so that a
 * number that was given out again is never hit. 0 or -errno; -ESRCH: gone. */
int tree_signal(const struct tree_process *p, int signal);

/* One pass: SIGKILL to everything below `root` that is not dead. Returns how many were alive, or
 * -errno. Those whose parent died meanwhile show up below their subreaper in the next pass. */
int tree_kill_below(pid_t root);

/* One pass over the children of `reaper_pid` that nobody registered: SIGKILL to those of session
 * `session`, those whose environment holds `mark` ("K=V"), and all below them. How many were
 * alive, or -errno. Reads other processes' memory, so it may block: for helpers. */
struct reaper;
int tree_kill_orphans(pid_t reaper_pid, pid_t session, const char *mark,
                      const struct reaper *known);
