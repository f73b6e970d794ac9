/* gateway.busy: interrupt. A message to a session that is at work stops its turn first and leaves
 * when that is over: what came before would lie there unread. Slack, which keeps what people wrote
 * over a crash, does the same by itself (slack/queued.c). */
#include "base/core/cleanup.h"
#include "bridge/gateway/core/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STOPPED_WITHIN_MS 10000 /* else it is sent all the same, and queued by OpenCode */

struct interrupt {
    struct interrupt *next;
    struct core *core;
    char *pod, *session_id, *text, *connector, *id, *name;
    core_done_fn *done;
    void *data;
    uv_timer_t timer;
};

static void interrupt_closed(uv_handle_t *handle)
{
    struct interrupt *i = handle->data;
    char *all[] = { i->pod, i->session_id, i->text, i->connector, i->id, i->name };
    for (size_t n = 0; n < ARRAY_SIZE(all); n++)
        free(all[n]);
    free(i);
}

static void unlink_it(struct interrupt *i)
{
    for (struct interrupt **p = &i->core->interrupts; *p; p = &(*p)->next)
        if (*p == i) {
            *p = i->next;
            break;
        }
    uv_close((uv_handle_t *)&i->timer, interrupt_closed);
}

/* Not from within what told that the turn is over: from the loop. */
static void on_timer(uv_timer_t *timer)
{
    struct interrupt *i = timer->data;
    struct actor actor = { i->connector, i->id, i->name };
    struct session_prompt p = {
        .pod = i->pod, .session_id = i->session_id, .text = i->text, .actor = &actor
    };
    int r = core_session_prompt(i->core, &p, i->done, i->data);
    if (r < 0 && i->done)
        i->done(i->data, r, strerror(-r), i->session_id);
    unlink_it(i);
}

static int is_at_work(void *data, const struct session_row *row)
{
    *(bool *)data = row->status == SESSION_BUSY || row->status == SESSION_RETRY;
    return 0;
}

static bool copies(struct interrupt *i, const struct session_prompt *p)
{
    i->pod = strdup(p->pod);
    i->session_id = strdup(p->session_id);
    i->text = strdup(p->text);
    i->connector = strdup(p->actor->connector);
    i->id = strdup(p->actor->id ? p->actor->id : "");
    i->name = strdup(p->actor->name ? p->actor->name : "");
    return i->pod && i->session_id && i->text && i->connector && i->id && i->name;
}

int interrupt_begin(struct core *core, const struct session_prompt *p, core_done_fn *done,
                    void *data)
{
    bool at_work = false;
    if (core->settings->interrupts)
        (void)store_session_get(core->store, p->pod, p->session_id, is_at_work, &at_work);
    if (!at_work)
        return 0;
    struct interrupt *i = calloc(1, sizeof *i);
    if (!i)
        return -ENOMEM;
    *i = (struct interrupt){ .core = core, .done = done, .data = data };
    (void)uv_timer_init(core->loop, &i->timer);
    i->timer.data = i;
    i->next = core->interrupts;
    core->interrupts = i;
    int r = copies(i, p) ? core_session_abort(core, p->pod, p->session_id, p->actor, NULL, NULL)
                         : -ENOMEM;
    if (r < 0) {
        unlink_it(i);
        return r;
    }
    (void)uv_timer_start(&i->timer, on_timer, STOPPED_WITHIN_MS, 0);
    return 1;
}

void interrupt_status(struct core *core, const char *pod, const char *session_id)
{
    for (struct interrupt *i = core->interrupts; i; i = i->next)
        if (strcmp(i->session_id, session_id) == 0 && strcmp(i->pod, pod) == 0)
            (void)uv_timer_start(&i->timer, on_timer, 0, 0);
}

void interrupt_free_all(struct core *core)
{
    while (core->interrupts) {
        struct interrupt *i = core->interrupts;
        if (i->done)
            i->done(i->data, -ENOTCONN, "the gateway is stopping", i->session_id);
        unlink_it(i);
    }
}
