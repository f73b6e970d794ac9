/* A fork of PID 1 that does what may block (file systems, above all), and tells its results in
 * records over a pipe. Past its deadline it is killed and its owner goes on without it; while a
 * process that cannot be killed still hangs there, no second one is started. */
#pragma once

#include <stdint.h>

#include "base/core/buf.h"
#include "supervisor/init/loop.h"
#include "supervisor/init/reaper.h"

#define HELPER_RECORD_MAX ((size_t)64 << 10)

struct helper {
    struct loop *loop;
    struct reaper *reaper;
    struct source pipe;
    struct child child;
    struct timer deadline;
    struct buf in;
    bool starved; /* no memory for what it told last */
    bool ended;   /* on_end was called */
    int keep_fd;  /* one more that the child keeps; 0: none */
    void (*on_record)(struct helper *h, uint32_t type, const void *data, size_t len);
    /* `complete`: the work came to its end. */
    void (*on_end)(struct helper *h, bool complete);
    void *arg;
};

/* All but the callbacks and `arg`. */
void helper_init(struct helper *h, struct loop *loop, struct reaper *reaper);

/* Forks; the child calls work(fd, arg), which calls helper_put(), and ends. 0, -EBUSY, or -errno.
 */
int helper_start(struct helper *h, const char *name, uint64_t deadline_ms,
                 void (*work)(int fd, void *arg), void *arg);
/* At work, or not to be killed. */
static inline bool helper_busy(const struct helper *h)
{
    return h->child.pid != 0;
}
/* Kills it; on_end is not called. */
void helper_cancel(struct helper *h);
/* One that PID 1's image before this one had started (0: none): the same. */
void helper_adopt(struct helper *h, pid_t pid);

/* In the child. */
int helper_put(int fd, uint32_t type, const void *data, size_t len);
