/* Calls whose answer comes from OpenCode. */
#include <errno.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/jsonw.h"
#include "bridge/gateway/web/internal.h"

static void pending_unlink(struct pending *p)
{
    struct web *w = p->call.web;
    if (!w)
        return;
    if (p->prev)
        p->prev->next = p->next;
    else
        w->pending = p->next;
    if (p->next)
        p->next->prev = p->prev;
    p->call.web = NULL;
}

static void pending_free(struct pending *p)
{
    pending_unlink(p);
    free(p->pod);
    free(p);
}

static void pending_gone(void *data)
{
    pending_unlink(data);
}

static const struct {
    int error, status;
    const char *code;
} failures[] = {
    { -ENOENT, 404, "no_such_session" },  { -ENOTCONN, 503, "opencode_away" },
    { -ETIMEDOUT, 504, "opencode_late" }, { -EFBIG, 422, "too_long" },
    { -EINVAL, 422, "refused" },          { -EBUSY, 409, "busy" },
    { -ENOMEM, 500, "no_memory" },
};

void answer_failure(struct call *c, int error, const char *message)
{
    int status = 502;
    const char *code = "opencode_failed";
    for (size_t i = 0; i < ARRAY_SIZE(failures); i++)
        if (failures[i].error == error) {
            status = failures[i].status;
            code = failures[i].code;
        }
    if (error == -EFBIG && (!message || !*message))
        message = "the text is too long";
    answer_error(c, status, code, message && *message ? message : strerror(-error));
}

/* Of an order. */
static void answer_done(struct pending *p, int error, const char *message, const char *session_id)
{
    if (error < 0) {
        answer_failure(&p->call, error, message);
        return;
    }
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct jsonw w = JSONW_INIT(&out);
    if (!p->pod)
        p->pod = call_find_pod(p->call.web->core, session_id);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "session_id", session_id);
    jsonw_str(&w, "pod", p->pod ? p->pod : "");
    jsonw_object_end(&w);
    answer_json(&p->call, p->status, &out);
}

struct pending *pending_new(struct call *c, const char *pod, int status)
{
    struct web *w = c->web;
    struct pending *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    *p =
        (struct pending){ .call = *c, .status = status, .answer = answer_done, .next = w->pending };
    p->call.who.login = NULL; /* it may end before */
    p->pod = pod ? strdup(pod) : NULL;
    if (w->pending)
        w->pending->prev = p;
    w->pending = p;
    server_request_on_gone(c->request, pending_gone, p);
    return p;
}

void pending_done(void *data, int error, const char *message, const char *session_id)
{
    struct pending *p = data;
    if (p->call.web) {
        server_request_on_gone(p->call.request, NULL, NULL);
        p->answer(p, error, message, session_id ? session_id : "");
    }
    pending_free(p);
}

void pending_started(struct pending *p, int error)
{
    if (error < 0)
        pending_done(p, error, "", NULL);
}

void pending_answer_all(struct web *w)
{
    while (w->pending) {
        struct pending *p = w->pending;
        server_request_on_gone(p->call.request, NULL, NULL);
        answer_error(&p->call, 503, "stopping", "the gateway is stopping");
        pending_unlink(p);
    }
}
