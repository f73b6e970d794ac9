/* PID 1's stdout: never blocks. What does not fit waits in a bounded buffer; what does not fit
 * there is dropped, counted, and reported when there is room again. */
#pragma once

#include "base/core/buf.h"
#include "supervisor/init/loop.h"

#define OUTPUT_MAX ((size_t)256 << 10)

struct output {
    struct loop *loop;
    struct source source;
    struct buf pending;
    bool pollable; /* a regular file is not, and never blocks */
    bool blocked;  /* what is pending could not be written */
    bool holding;  /* what is pending waits for output_let_go() */
    bool failing;  /* the last write was in vain */
    bool is_socket;
    int restore_flags; /* of descriptor 1, -1: untouched */
    uint64_t dropped;  /* lines, since the last report */
    uint64_t dropped_total;
    void (*on_drained)(struct output *o, uint64_t dropped);
    void *arg;
};

/* Takes descriptor 1 over. 0 or -errno; afterwards lines are dropped on failure. */
int output_init(struct output *o, struct loop *loop);
/* One whole line with its newline. */
void output_line(struct output *o, const char *line, size_t len);
/* Between these two lines are collected, so that many go out by one write(2). */
void output_hold(struct output *o);
void output_let_go(struct output *o);
/* Waits at most `ms` for what is pending; for the very end. */
void output_flush(struct output *o, unsigned ms);
void output_release(struct output *o);
