/* Brings what was committed onto the disk: a commit alone survives the end of the process, not a
 * power cut. Done by libuv's threads, one fdatasync at a time; who comes while one runs shares the
 * next. */
#pragma once

#include <uv.h>

struct flush;
struct store;

int flush_new(struct flush **ret, uv_loop_t *loop, struct store *store);
void flush_free(struct flush *f); /* who waits is told -ECANCELED */

/* `fn` is called once what is committed now is on the disk; 0, or -errno when that can't be known.
 * At once where the store has no file. NULL: nobody waits. 0 or -errno (then it is not called). */
typedef void flush_fn(void *data, int error);
int flush_wait(struct flush *f, flush_fn *fn, void *data);
/* Nobody with this `data` waits any more. */
void flush_forget(struct flush *f, const void *data);
