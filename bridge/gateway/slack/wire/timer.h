/* A one-shot uv timer on the heap that can be dropped at any time: its memory goes in the loop. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct timer;
typedef void timer_fn(void *data);

/* NULL when out of memory. */
struct timer *timer_new(uv_loop_t *loop, timer_fn *fn, void *data);
/* Calls `fn` once after `ms`, also when it was already running (the new time counts). */
void timer_start(struct timer *t, uint64_t ms);
/* As timer_start(), but never later than what is already set. */
void timer_start_earlier(struct timer *t, uint64_t ms);
void timer_stop(struct timer *t);
bool timer_active(const struct timer *t);
void timer_free(struct timer *t); /* NULL is fine */
