#include "bridge/gateway/slack/later.h"

#include <stdlib.h>

/* The loop's order is: idle, prepare, the look at the network, check. Whoever starts it may be
 * called from any of these, so the look that counts is the one after the next prepare. */
struct later {
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle; /* while it runs the loop looks and does not wait */
    later_fn *fn;
    void *data;
    unsigned open;
};

static void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

static void on_check(uv_check_t *check)
{
    struct later *l = check->data;
    (void)uv_check_stop(check);
    (void)uv_idle_stop(&l->idle);
    l->fn(l->data);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct later *l = prepare->data;
    (void)uv_prepare_stop(prepare);
    (void)uv_check_start(&l->check, on_check);
}

struct later *later_new(uv_loop_t *loop, later_fn *fn, void *data)
{
    struct later *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    (void)uv_prepare_init(loop, &l->prepare); /* these never fail */
    (void)uv_check_init(loop, &l->check);
    (void)uv_idle_init(loop, &l->idle);
    l->prepare.data = l->check.data = l->idle.data = l;
    l->open = 3;
    l->fn = fn;
    l->data = data;
    return l;
}

void later_start(struct later *l)
{
    if (uv_is_active((const uv_handle_t *)&l->check))
        return;
    (void)uv_prepare_start(&l->prepare, on_prepare);
    (void)uv_idle_start(&l->idle, on_idle);
}

static void on_closed(uv_handle_t *handle)
{
    struct later *l = handle->data;
    if (--l->open == 0)
        free(l);
}

void later_free(struct later *l)
{
    if (!l)
        return;
    uv_close((uv_handle_t *)&l->prepare, on_closed);
    uv_close((uv_handle_t *)&l->check, on_closed);
    uv_close((uv_handle_t *)&l->idle, on_closed);
}
