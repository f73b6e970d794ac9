/* A call that is made once the loop has looked at the network again: what was queued for a socket
 * before, and can leave, has left by then. */
#pragma once

#include <uv.h>

struct later;
typedef void later_fn(void *data);

/* NULL when out of memory. */
struct later *later_new(uv_loop_t *loop, later_fn *fn, void *data);
/* Calls `fn` once, after the loop's next look; never from within. Again while it waits: the same
 * call. */
void later_start(struct later *l);
void later_free(struct later *l); /* NULL is fine; goes in the loop */
