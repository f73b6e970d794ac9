/* Client of PID 1's control socket (docs/control.md) on libuv: never blocks, one connection for
 * each request. For codev-probes and codev-gateway; programs without a loop use
 * base/core/control.h. */
#pragma once

#include "base/core/error.h"

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct uvcontrol; /* one request and its answer */

/* One line of the answer, without its newline, NUL-terminated. Called in order, before on_end. An
 * answer {"error":…} is a line like any other. */
typedef void uvcontrol_line_fn(void *data, const char *line, size_t len);

/* The end, exactly once, never from within uvcontrol_start() or uvcontrol_cancel(). `error` is 0
 * when PID 1 ended a whole answer, else a negative errno: -ENOENT and -ECONNREFUSED (nobody
 * listens), -ETIMEDOUT, -EFBIG (a line over max_line), -EPROTO (closed without a single line, or
 * in the middle of one), -ECONNRESET… `message` is one sentence for people ("" without error).
 * The handle is gone after. */
typedef void uvcontrol_end_fn(void *data, int error, const char *message);

struct uvcontrol_options {
    uv_loop_t *loop;
    const char *const *words; /* NULL-terminated request words, copied: {"probe", "ready", NULL} */
    uint64_t timeout_ms;      /* 0: 5000. For the whole answer; with `stream` for connecting and
                                 sending only */
    int stream;      /* 1: lines come for as long as both live (`events`, `logs … follow`) */
    size_t max_line; /* 0: 1 MiB */
    uvcontrol_line_fn *on_line; /* may be NULL */
    uvcontrol_end_fn *on_end;   /* may be NULL */
    void *data;
};

/* Starts a request. Failures to connect come through on_end; here only -ENOMEM and the like, then
 * on_end is not called. `ret` may be NULL; the handle is valid until on_end returns. */
int uvcontrol_start(struct uvcontrol **ret, const struct uvcontrol_options *options);

/* Drops it without calling back; the memory is freed in the loop. NULL is fine. */
void uvcontrol_cancel(struct uvcontrol *c);
