/* What handlers ask of the request they answer. */
#include <string.h>

#include "base/core/cleanup.h"
#include "bridge/gateway/web/internal.h"

cJSON *call_body(struct call *c)
{
    struct body_error e = { 0 };
    cJSON *j = NULL;
    size_t len;
    const char *text = server_request_body(c->request, &len);
    if (body_parse(&j, text, len, &e) == 0)
        return j;
    answer_error(c, e.status, e.code, e.e.message);
    return NULL;
}

void call_actor(const struct call *c, struct actor *ret)
{
    const struct login *login = c->who.login;
    if (!login)
        *ret = (struct actor){ .connector = "api", .id = "", .name = "API" };
    else
        *ret = (struct actor){ .connector = "web",
                               .id = login->name,
                               .name = *login->name ? login->name : "web page" };
}

struct log_about call_about(const struct call *c)
{
    const char *trace = *c->caller.trace_id ? c->caller.trace_id : NULL;
    return (struct log_about){
        .id = { [LOG_TRACE_ID] = trace,
                [LOG_SPAN_ID] = trace ? c->caller.parent_id : NULL,
                [LOG_CALLER_TRACE_ID] = trace,
                [LOG_REQUEST_ID] = *c->request_id ? c->request_id : NULL },
    };
}

struct pod_search {
    const char *id;
    char *pod;
};

static int session_pod(void *data, const struct session *s)
{
    struct pod_search *p = data;
    if (strcmp(s->id, p->id) != 0)
        return 0;
    p->pod = strdup(s->pod);
    return 1;
}

static int request_pod(void *data, const struct request *r)
{
    struct pod_search *p = data;
    if (strcmp(r->id, p->id) != 0)
        return 0;
    p->pod = strdup(r->pod);
    return 1;
}

char *call_find_pod(struct core *core, const char *session_id)
{
    struct pod_search p = { .id = session_id };
    if (core_with_session(core, core_settings(core)->pod, session_id, session_pod, &p) < 0)
        (void)core_each_session(core, session_pod, &p);
    return p.pod;
}

/* The own pod first: with one pod, as almost always, nothing is searched. */
char *call_pod_of_session(struct call *c)
{
    struct core *core = c->web->core;
    const char *given = server_request_query(c->request, "pod");
    if (given && *given)
        return strdup(given);
    char *pod = call_find_pod(core, c->match.param);
    return pod ? pod : strdup(core_settings(core)->pod);
}

char *call_pod_of_request(struct call *c)
{
    struct pod_search p = { .id = c->match.param };
    struct core *core = c->web->core;
    const char *given = server_request_query(c->request, "pod");
    if (given && *given)
        return strdup(given);
    if (core_with_request(core, core_settings(core)->pod, p.id, request_pod, &p) < 0)
        (void)core_each_request(core, false, request_pod, &p);
    return p.pod ? p.pod : strdup(core_settings(core)->pod);
}
