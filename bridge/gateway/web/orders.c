/* What changes something: sessions are begun, written to, stopped; requests are decided. */
#include <errno.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/jsonw.h"
#include "bridge/gateway/web/internal.h"
#include "bridge/gateway/web/views.h"

/* ---------------------------------------------------------------- sessions */

static void answer_body_error(struct call *c, const struct body_error *e)
{
    answer_error(c, e->status, e->code, e->e.message);
}

void session_start_post(struct call *c)
{
    struct body_start body;
    struct body_error e = { 0 };
    struct actor actor;
    _cleanup_json_ cJSON *j = call_body(c);
    if (!j)
        return;
    if (body_read_start(j, &body, &e) < 0) {
        answer_body_error(c, &e);
        return;
    }
    const char *query = server_request_query(c->request, "pod");
    const char *pod = body.pod ? body.pod : query && *query ? query : NULL;
    struct pending *p = pending_new(c, pod, 201);
    if (!p) {
        answer_failure(c, -ENOMEM, "");
        return;
    }
    call_actor(c, &actor);
    struct session_start start = {
        .pod = pod,
        .directory = body.directory,
        .title = body.title,
        .prompt = body.prompt,
        .agent = body.agent,
        .model = body.model,
        .actor = &actor,
    };
    pending_started(p, core_session_start(c->web->core, &start, pending_done, p));
}

static int is_there(void *data, const struct session *s)
{
    (void)data;
    (void)s;
    return 0;
}

/* An order to the session of the path. NULL: answered already, as with a session that nobody
 * knows, whether its pod is there or not. */
static struct pending *order_to_session(struct call *c, char **ret_pod)
{
    char *pod = *ret_pod = call_pod_of_session(c);
    int r = pod ? core_with_session(c->web->core, pod, c->match.param, is_there, NULL) : -ENOMEM;
    struct pending *p = r == 0 ? pending_new(c, pod, 202) : NULL;
    if (!p)
        answer_failure(c, r < 0 ? r : -ENOMEM, r == -ENOENT ? "there is no such session" : "");
    return p;
}

void session_message_post(struct call *c)
{
    struct body_message body;
    struct body_error e = { 0 };
    struct actor actor;
    _cleanup_json_ cJSON *j = call_body(c);
    if (!j)
        return;
    if (body_read_message(j, &body, &e) < 0) {
        answer_body_error(c, &e);
        return;
    }
    _cleanup_free_ char *pod = NULL;
    struct pending *p = order_to_session(c, &pod);
    if (!p)
        return;
    call_actor(c, &actor);
    pending_started(p, core_session_message(c->web->core, pod, c->match.param, body.text, &actor,
                                            pending_done, p));
}

void session_abort_post(struct call *c)
{
    struct actor actor;
    _cleanup_free_ char *pod = NULL;
    struct pending *p = order_to_session(c, &pod);
    if (!p)
        return;
    call_actor(c, &actor);
    pending_started(p,
                    core_session_abort(c->web->core, pod, c->match.param, &actor, pending_done, p));
}

/* ---------------------------------------------------------------- decisions */

static enum request_outcome outcome_of(const char *decision)
{
    static const struct {
        const char *name;
        enum request_outcome outcome;
    } names[] = {
        { "once", OUTCOME_ONCE },
        { "always", OUTCOME_ALWAYS },
        { "reject", OUTCOME_REJECT },
        { "answer", OUTCOME_ANSWERED },
    };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(names[i].name, decision) == 0)
            return names[i].outcome;
    return OUTCOME_NONE;
}

static int put_request(void *data, const struct request *r)
{
    view_request(data, "request", r);
    return 0;
}

/* With the request as it is now: on 409 that is what somebody else decided. */
static void answer_decided(struct call *c, const char *pod, bool first)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct jsonw w = JSONW_INIT(&out);
    jsonw_object(&w, NULL);
    if (!first) {
        jsonw_object(&w, "error");
        jsonw_str(&w, "code", "already_decided");
        jsonw_str(&w, "message", "somebody else was first");
        jsonw_object_end(&w);
    }
    (void)core_with_request(c->web->core, pod, c->match.param, put_request, &w);
    jsonw_object_end(&w);
    answer_json(c, first ? 200 : 409, &out);
}

static void decide(struct call *c, const struct body_decision *body, const char *pod,
                   const char *answers)
{
    struct actor actor;
    call_actor(c, &actor);
    int r = core_decide(c->web->core, pod, c->match.param, outcome_of(body->decision), body->reason,
                        answers, &actor);
    if (r >= 0)
        answer_decided(c, pod, r == 0);
    else if (r == -ENOENT)
        answer_error(c, 404, "no_such_request", "there is no such request");
    else if (r == -EINVAL)
        answer_error(c, 422, "bad_field", "decision: does not fit this kind of request");
    else
        answer_error(c, 500, "store", "the decision cannot be stored");
}

void decision_post(struct call *c)
{
    struct body_decision body;
    struct body_error e = { 0 };
    _cleanup_free_ char *answers = NULL, *pod = NULL;
    _cleanup_json_ cJSON *j = call_body(c);
    if (!j)
        return;
    if (body_read_decision(j, &body, &e) < 0) {
        answer_body_error(c, &e);
        return;
    }
    answers = body.answers ? json_print(body.answers) : NULL;
    pod = call_pod_of_request(c);
    if (!pod || (body.answers && !answers)) {
        answer_failure(c, -ENOMEM, "");
        return;
    }
    decide(c, &body, pod, answers);
}
