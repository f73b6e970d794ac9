/* POST /api/opencode/permission: a call that waits until somebody has decided (PROTOCOL.md §6). */
#include "base/core/buf.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/core/secrets.h"
#include "bridge/gateway/link/private.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define ID_MAX        256
#define DIRECTORY_MAX 4096

struct waiter {
    struct waiter *next;
    struct link *link;
    struct server_request *request;
    char *pod, *id;
    uint64_t deadline_ms;
    bool ready; /* decided: to be answered from the loop */
};

/* ---------------------------------------------------------------- answers */

static void reply_json(struct server_request *r, int status, cJSON *body)
{
    _cleanup_json_ cJSON *owned = body;
    _cleanup_free_ char *text = owned ? json_print(owned) : NULL;
    const char *shown = text ? text : "{}";
    server_reply(r, text ? status : 500, "application/json", NULL, shown, strlen(shown));
}

static void reply_error(struct server_request *r, int status, const char *code, const char *message)
{
    cJSON *body = cJSON_CreateObject();
    cJSON *error = cJSON_AddObjectToObject(body, "error");
    json_add_str(error, "code", code);
    json_add_str(error, "message", message);
    reply_json(r, status, body);
}

static void reply_pending(struct server_request *r)
{
    cJSON *body = cJSON_CreateObject();
    json_add_str(body, "status", "pending");
    reply_json(r, 202, body);
}

struct answering {
    struct server_request *http;
    bool answered, decided;
};

/* Answers if the request is decided. */
static int answer_request(void *data, const struct request *r)
{
    struct answering *a = data;
    if (r->state == REQUEST_PENDING)
        return 0;
    a->answered = true;
    if (r->outcome == OUTCOME_GONE) {
        reply_error(a->http, 410, "gone", *r->reason ? r->reason : "OpenCode has it no more");
        return 0;
    }
    bool deny = r->outcome == OUTCOME_REJECT;
    cJSON *body = cJSON_CreateObject();
    json_add_str(body, "status", deny ? "deny" : "allow");
    json_add_str(body, "decision", request_outcome_name(r->outcome));
    json_add_str(body, "decided_by",
                 *r->actor.name ? r->actor.name
                 : *r->actor.id ? r->actor.id
                                : r->actor.connector);
    if (*r->reason)
        json_add_str(body, "message", r->reason);
    reply_json(a->http, 200, body);
    a->decided = r->state == REQUEST_DECIDING;
    return 0;
}

/* 1 answered, 0 still open. */
static int answer_if_decided(struct link *l, struct server_request *http, const char *pod,
                             const char *id)
{
    struct answering a = { .http = http };
    int r = core_with_request(l->core, pod, id, answer_request, &a);
    if (r == 0 && a.decided)
        (void)core_request_handed(l->core, pod, id);
    return r < 0 ? r : a.answered;
}

/* ---------------------------------------------------------------- waiters */

static void waiter_free(struct waiter *w)
{
    w->link->n_waiters--;
    free(w->pod);
    free(w->id);
    free(w);
}

static void waiter_remove(struct waiter *w)
{
    for (struct waiter **p = &w->link->waiters; *p; p = &(*p)->next)
        if (*p == w) {
            *p = w->next;
            break;
        }
    waiter_free(w);
}

static void on_gone(void *data)
{
    waiter_remove(data);
}

static int waiter_new(struct link *l, struct server_request *r, const char *pod, const char *id)
{
    if (l->n_waiters >= LINK_WAITERS_MAX)
        return -EBUSY;
    struct waiter *w = calloc(1, sizeof *w);
    if (!w)
        return -ENOMEM;
    *w = (struct waiter){
        .link = l,
        .request = r,
        .pod = strdup(pod),
        .id = strdup(id),
        .deadline_ms = clock_mono_ms() + l->options.permission_ms,
        .next = l->waiters,
    };
    l->n_waiters++;
    if (!w->pod || !w->id) {
        waiter_free(w);
        return -ENOMEM;
    }
    l->waiters = w;
    server_request_on_gone(r, on_gone, w);
    return 0;
}

bool waiters_has(struct link *l, const char *pod, const char *id)
{
    for (struct waiter *w = l->waiters; w; w = w->next)
        if (strcmp(w->id, id) == 0 && strcmp(w->pod, pod) == 0)
            return true;
    return false;
}

void waiters_request_changed(void *data, const struct request *r)
{
    struct link *l = data;
    bool any = false;
    if (r->state == REQUEST_PENDING)
        return;
    for (struct waiter *w = l->waiters; w; w = w->next)
        if (strcmp(w->id, r->id) == 0 && strcmp(w->pod, r->pod) == 0)
            any = w->ready = true;
    if (any)
        waiters_wake(l);
    if (r->state == REQUEST_SETTLED) /* nothing to catch up with after a restart */
        core_request_shown(l->core, "http", r->pod, r->id, r->state);
}

/* The first waiter for which `fits` holds leaves the list; NULL: none. */
static struct waiter *waiter_take(struct link *l,
                                  bool (*fits)(const struct waiter *w, uint64_t now), uint64_t now)
{
    for (struct waiter **p = &l->waiters; *p; p = &(*p)->next) {
        struct waiter *w = *p;
        if (!fits(w, now))
            continue;
        *p = w->next;
        server_request_on_gone(w->request, NULL, NULL);
        return w;
    }
    return NULL;
}

static bool is_ready(const struct waiter *w, uint64_t now)
{
    (void)now;
    return w->ready;
}

static bool is_late(const struct waiter *w, uint64_t now)
{
    return w->deadline_ms <= now;
}

static bool is_any(const struct waiter *w, uint64_t now)
{
    (void)w;
    (void)now;
    return true;
}

void waiters_answer(struct link *l)
{
    for (struct waiter *w; (w = waiter_take(l, is_ready, 0));) {
        if (answer_if_decided(l, w->request, w->pod, w->id) != 1)
            reply_pending(w->request);
        waiter_free(w);
    }
}

void waiters_expire(struct link *l, uint64_t now)
{
    for (struct waiter *w; (w = waiter_take(l, is_late, now));) {
        reply_pending(w->request);
        waiter_free(w);
    }
}

void waiters_end(struct link *l)
{
    for (struct waiter *w; (w = waiter_take(l, is_any, 0));) {
        reply_error(w->request, 503, "stopping", "the gateway goes down");
        waiter_free(w);
    }
}

/* ---------------------------------------------------------------- the call */

static bool authorized(struct link *l, struct server_request *r)
{
    static const char prefix[] = "Bearer ";
    const struct settings *s = core_settings(l->core);
    const char *given = server_request_header(r, "authorization");
    if (!given || strncasecmp(given, prefix, strlen(prefix)) != 0)
        return false;
    given += strlen(prefix);
    bool bridge = s->bridge_token && secret_equal(given, s->bridge_token);
    bool api = s->token && secret_equal(given, s->token);
    return bridge || api;
}

/* The spellings of the first generation become today's. */
static void modernize(cJSON *body)
{
    static const char *const names[][2] = {
        { "sessionID", "session_id" }, { "type", "permission" }, { "pattern", "patterns" },
        { "permissionID", "id" },      { "requestID", "id" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (cJSON_GetObjectItemCaseSensitive(body, names[i][1]))
            continue;
        cJSON *j = cJSON_DetachItemFromObjectCaseSensitive(body, names[i][0]);
        if (j)
            cJSON_AddItemToObject(body, names[i][1], j);
    }
    const cJSON *patterns = cJSON_GetObjectItemCaseSensitive(body, "patterns");
    if (cJSON_IsString(patterns)) {
        const char *one[] = { patterns->valuestring };
        cJSON *list = cJSON_CreateStringArray(one, 1);
        if (list)
            cJSON_ReplaceItemInObjectCaseSensitive(body, "patterns", list);
    } else if (!cJSON_IsArray(patterns)) {
        cJSON *list = cJSON_CreateArray();
        const cJSON *title = cJSON_GetObjectItemCaseSensitive(body, "title");
        if (cJSON_IsString(title))
            cJSON_AddItemToArray(list, cJSON_CreateString(title->valuestring));
        cJSON_DeleteItemFromObjectCaseSensitive(body, "patterns");
        cJSON_AddItemToObject(body, "patterns", list);
    }
}

static int feed_body(struct link *l, const cJSON *body, const char *pod, const char *id)
{
    static const char *const keys[] = {
        "patterns", "metadata", "always", "tool", "truncated", NULL
    };
    const char *session = frame_str(body, "session_id", ID_MAX),
               *root = frame_opt(body, "root_session_id", ID_MAX),
               *directory = frame_opt(body, "directory", DIRECTORY_MAX),
               *instance = frame_opt(body, "instance", ID_MAX);
    _cleanup_free_ char *detail = frame_detail(body, keys);
    if (!session || !root || !directory || !instance)
        return -EINVAL;
    if (!detail)
        return -ENOMEM;
    struct feed f = { l->core, pod, instance, directory, 0 };
    struct feed_request r = {
        .kind = REQUEST_PERMISSION,
        .id = id,
        .session_id = session,
        .root_session_id = root,
        .permission = json_str(body, "permission", "tool"),
        .detail_json = detail,
    };
    return core_feed_asked(&f, &r);
}

static void take_call(struct link *l, struct server_request *r, const cJSON *body)
{
    const char *id = frame_str(body, "id", ID_MAX), *pod = frame_opt(body, "pod", ID_MAX);
    if (!id || !pod) {
        reply_error(r, 400, "bad_request", "id must be a text of 1 to 256 bytes");
        return;
    }
    pod = link_pod(l, pod);
    int n = feed_body(l, body, pod, id);
    if (n == -EINVAL) {
        reply_error(r, 400, "bad_request", "id and session_id must be texts of 1 to 256 bytes");
        return;
    }
    if (n == 0)
        n = answer_if_decided(l, r, pod, id);
    else if (n == 1)
        n = 0;
    if (n == 1)
        return;
    if (n == 0)
        n = waiter_new(l, r, pod, id);
    if (n < 0) {
        log_error("permission request %s by HTTP: %s", id, strerror(-n));
        reply_error(r, 503, n == -EBUSY || n == -ENOBUFS ? "busy" : "failed",
                    "it cannot be taken now, post it again");
    }
}

void link_permission_request(struct link *l, struct server_request *r)
{
    size_t len = 0;
    _cleanup_json_ cJSON *body = NULL;
    struct error e = ERROR_INIT;
    if (l->stopping) {
        reply_error(r, 503, "stopping", "the gateway goes down");
        return;
    }
    if (server_request_method(r) != SERVER_POST) {
        const char *const allow[] = { "Allow: POST", NULL };
        static const char text[] =
            "{\"error\":{\"code\":\"method_not_allowed\",\"message\":\"use POST\"}}";
        server_reply(r, 405, "application/json", allow, text, strlen(text));
        return;
    }
    if (server_request_header(r, "origin")) {
        reply_error(r, 403, "forbidden", "not for browsers");
        return;
    }
    if (!authorized(l, r)) {
        reply_error(r, 401, "unauthorized", "a bearer token is needed");
        return;
    }
    const char *text = server_request_body(r, &len);
    if (json_parse(&body, text ? text : "", len, &e) < 0 || !cJSON_IsObject(body)) {
        reply_error(r, 400, "bad_request", e.code ? e.message : "the body is no object");
        return;
    }
    modernize(body);
    take_call(l, r, body);
}
