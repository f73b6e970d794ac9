#include "bridge/gateway/slack/wire/timer.h"

#include <stdlib.h>

struct timer {
    uv_timer_t uv;
    timer_fn *fn;
    void *data;
};

struct timer *timer_new(uv_loop_t *loop, timer_fn *fn, void *data)
{
    struct timer *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    (void)uv_timer_init(loop, &t->uv); /* never fails */
    t->uv.data = t;
    t->fn = fn;
    t->data = data;
    return t;
}

static void on_timer(uv_timer_t *uv)
{
    struct timer *t = uv->data;
    t->fn(t->data);
}

void timer_start(struct timer *t, uint64_t ms)
{
    /* The loop's time stands still while callbacks run; a timer counts from that moment. */
    uv_update_time(t->uv.loop);
    (void)uv_timer_start(&t->uv, on_timer, ms, 0);
}

void timer_start_earlier(struct timer *t, uint64_t ms)
{
    if (!timer_active(t) || uv_timer_get_due_in(&t->uv) > ms)
        timer_start(t, ms);
}

void timer_stop(struct timer *t)
{
    (void)uv_timer_stop(&t->uv);
}

bool timer_active(const struct timer *t)
{
    return uv_is_active((const uv_handle_t *)&t->uv) != 0;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void timer_free(struct timer *t)
{
    if (t)
        uv_close((uv_handle_t *)&t->uv, on_closed);
}
