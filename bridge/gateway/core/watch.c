/* OpenCode may accept a prompt and never work on it, without a word (its model is not known yet, a
 * plugin swallowed it). Each accepted prompt is watched until any status of its session comes; one
 * to a session that is at work is queued there, and nothing need come for long. */
#include "base/core/log.h"
#include "bridge/gateway/core/private.h"

#include <stdlib.h>
#include <string.h>

struct watch {
    struct watch *next;
    struct core *core;
    char *pod, *session_id;
    uv_timer_t timer;
};

static void watch_closed(uv_handle_t *handle)
{
    struct watch *w = handle->data;
    free(w->pod);
    free(w->session_id);
    free(w);
}

static void watch_end(struct watch *w)
{
    for (struct watch **p = &w->core->watches; *p; p = &(*p)->next)
        if (*p == w) {
            *p = w->next;
            break;
        }
    uv_close((uv_handle_t *)&w->timer, watch_closed);
}

static int is_at_work(void *data, const struct session_row *row)
{
    *(bool *)data = row->status == SESSION_BUSY || row->status == SESSION_RETRY;
    return 0;
}

static void on_timer(uv_timer_t *timer)
{
    static const char text[] = "OpenCode accepted the message but did not begin to work on it";
    struct watch *w = timer->data;
    bool at_work = false;
    (void)store_session_get(w->core->store, w->pod, w->session_id, is_at_work, &at_work);
    if (at_work) { /* all the time: the message waits for the end of the turn before it */
        watch_end(w);
        return;
    }
    struct feed f = { w->core, w->pod, "", "", 0 };
    struct feed_status s = {
        .session_id = w->session_id,
        .status = SESSION_ERROR,
        .text = text,
    };
    struct activity a = {
        .session_id = w->session_id,
        .kind = ACTIVITY_ERROR,
        .role = "assistant",
        .message_id = "",
        .id = "",
        .text = text,
        .status = "error",
    };
    _request_about_ struct request_about about;
    turn_about(&about, w->core, w->pod, w->session_id);
    log_warn("session %s: %s", w->session_id, text);
    core_feed_activity(&f, &a);
    (void)core_feed_status(&f, &s); /* ends the watch */
}

void watch_begin(struct core *core, const char *pod, const char *session_id)
{
    struct watch *w = calloc(1, sizeof *w);
    if (!w)
        return;
    *w = (struct watch){ .core = core, .pod = strdup(pod), .session_id = strdup(session_id) };
    if (!w->pod || !w->session_id) {
        free(w->pod);
        free(w->session_id);
        free(w);
        return;
    }
    watch_status(core, pod, session_id); /* one is enough */
    (void)uv_timer_init(core->loop, &w->timer);
    w->timer.data = w;
    (void)uv_timer_start(&w->timer, on_timer, core->watch_ms, 0);
    w->next = core->watches;
    core->watches = w;
}

void watch_status(struct core *core, const char *pod, const char *session_id)
{
    for (struct watch *w = core->watches; w; w = w->next)
        if (strcmp(w->session_id, session_id) == 0 && strcmp(w->pod, pod) == 0) {
            watch_end(w);
            return;
        }
}

void watch_free_all(struct core *core)
{
    while (core->watches)
        watch_end(core->watches);
}
