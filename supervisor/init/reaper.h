/* Who died. PID 1 waits for every child, its own and those that the kernel gives it; only a
 * registered pid has a consequence. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* Embedded in its owner. */
struct child {
    pid_t pid; /* 0: not registered */
    void (*on_exit)(struct child *c, int wait_status);
    void *arg;
    struct child *next;
};

struct reaper {
    struct child *children;
    uint64_t reaped; /* orphans and own children */
};

/* Before the next reaper_collect(), so that no death is missed. */
void reaper_add(struct reaper *r, struct child *c);
void reaper_remove(struct reaper *r, struct child *c);
/* Is this pid one that we registered? */
const struct child *reaper_find(const struct reaper *r, pid_t pid);

/* Waits for all that are dead, without blocking. */
void reaper_collect(struct reaper *r);
