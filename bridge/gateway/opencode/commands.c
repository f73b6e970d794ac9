/* Orders by HTTP. Each holds one request at a time; starting a session takes two. */
#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "bridge/gateway/core/crash.h"
#include "bridge/gateway/opencode/private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SESSION_KEY      "codev_key" /* in a session's metadata: who began it, and by what */
#define HISTORY_MESSAGES "100"
#define SESSIONS_LOOKED  "200" /* the newest, for one that may have been begun just now */

struct call {
    struct call *next;
    struct opencode *oc;
    struct http_request *request;
    core_done_fn *done;
    void *data;
    char *request_id; /* a check's */
    /* starting a session */
    char *session_id, *directory;
    cJSON *prompt; /* to be sent to it; NULL: none, or it was sent */
    cJSON *create; /* the body that makes the session, when it is looked for first */
    char *key;     /* the session's, looked for */
    char *message_id;
    bool look;              /* for the prompt, before it is sent; of a stop: it was repeated */
    core_activity_fn *each; /* reading a history */
};

static void call_free(struct call *c)
{
    cJSON_Delete(c->prompt);
    cJSON_Delete(c->create);
    free(c->key);
    free(c->message_id);
    free(c->request_id);
    free(c->session_id);
    free(c->directory);
    free(c);
}

static void call_unlink(struct call *c)
{
    for (struct call **p = &c->oc->calls; *p; p = &(*p)->next)
        if (*p == c) {
            *p = c->next;
            break;
        }
}

static void call_finish(struct call *c, int error, const char *message)
{
    call_unlink(c);
    if (c->done)
        c->done(c->data, error, message, c->session_id ? c->session_id : "");
    call_free(c);
}

void calls_cancel(struct opencode *oc)
{
    while (oc->calls) {
        struct call *c = oc->calls;
        if (c->request)
            http_cancel(TAKE_PTR(c->request));
        call_finish(c, -ECONNRESET, "the gateway goes down");
    }
}

static struct call *call_new(struct opencode *oc, core_done_fn *done, void *data)
{
    struct call *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    *c = (struct call){ .oc = oc, .done = done, .data = data, .next = oc->calls };
    oc->calls = c;
    return c;
}

static int call_drop(struct call *c, int error)
{
    call_unlink(c);
    call_free(c);
    return error;
}

/* What the answer means; 0 it was done. */
static int result_of(const struct http_response *r, const char **ret_message)
{
    *ret_message = "";
    if (r->error) {
        *ret_message = r->message;
        if (!r->sent)
            return -ENOTCONN;
        return r->error == -ETIMEDOUT ? -ETIMEDOUT : -ECONNRESET;
    }
    if (r->status >= 200 && r->status < 300)
        return 0;
    if (r->status == 404) {
        *ret_message = "OpenCode does not know it";
        return -ENOENT;
    }
    *ret_message = r->status == 401  ? "OpenCode refuses the password"
                   : r->status < 500 ? "OpenCode refused it"
                                     : "OpenCode failed";
    return r->status < 500 ? -EPERM : -EREMOTEIO;
}

/* The same of an answer that is a list; `ret` is the caller's, NULL when there is none. */
static int list_of(const struct http_response *r, cJSON **ret, const char **ret_message)
{
    int error = result_of(r, ret_message);
    if (error == 0 && (json_parse(ret, r->body, r->body_len, NULL) < 0 || !cJSON_IsArray(*ret)))
        error = -EPROTO;
    return error;
}

/* Sends `body` (taken over; NULL: GET) to `path`. */
static int call_send(struct call *c, const char *path, const char *directory, cJSON *body,
                     http_done_fn *done)
{
    _cleanup_json_ cJSON *owned = body;
    _cleanup_free_ char *text = owned ? json_print(owned) : NULL;
    _cleanup_free_ char *url = oc_url(c->oc, path, directory);
    if (!url || (owned && !text))
        return -ENOMEM;
    struct http_options o = oc_request(c->oc, url, done, c);
    o.method = owned ? "POST" : "GET";
    o.body = text;
    o.body_len = text ? strlen(text) : 0;
    o.once = text != NULL; /* a prompt that arrives twice is worked on twice */
    return http_start(core_http(c->oc->core), &o, &c->request);
}

static void on_plain(void *data, const struct http_response *r)
{
    struct call *c = data;
    const char *message;
    c->request = NULL;
    oc_heard(c->oc, r);
    int error = result_of(r, &message);
    call_finish(c, error, message);
}

static char *path_with(const char *before, const char *id, const char *after)
{
    _cleanup_buf_ struct buf path = BUF_INIT;
    _cleanup_free_ char *escaped = http_escape(id);
    if (!escaped)
        return NULL;
    buf_printf(&path, "%s%s%s", before, escaped, after);
    return buf_take(&path);
}

/* ---------------------------------------------------------------- replies */

static cJSON *permission_body(const struct way_reply *r)
{
    static const char *const names[OUTCOME_MAX] = {
        [OUTCOME_ONCE] = "once",
        [OUTCOME_ALWAYS] = "always",
        [OUTCOME_REJECT] = "reject",
    };
    cJSON *body = cJSON_CreateObject();
    json_add_str(body, "reply", names[r->outcome]);
    if (r->outcome == OUTCOME_REJECT && *r->reason)
        json_add_str(body, "message", r->reason);
    return body;
}

static cJSON *question_body(const struct way_reply *r)
{
    cJSON *body = cJSON_CreateObject(), *answers = NULL;
    if (r->outcome == OUTCOME_REJECT)
        return body;
    (void)json_parse(&answers, r->answers_json, strlen(r->answers_json), NULL);
    cJSON_AddItemToObject(body, "answers", answers ? answers : cJSON_CreateArray());
    return body;
}

static int direct_reply(void *data, const struct way_reply *r, core_done_fn *done, void *done_data)
{
    struct opencode *oc = data;
    bool question = r->kind == REQUEST_QUESTION;
    _cleanup_free_ char *path =
        path_with(question ? "/question/" : "/permission/", r->request_id,
                  question && r->outcome == OUTCOME_REJECT ? "/reject" : "/reply");
    struct call *c = path ? call_new(oc, done, done_data) : NULL;
    if (!c)
        return -ENOMEM;
    int n = call_send(c, path, r->directory, question ? question_body(r) : permission_body(r),
                      on_plain);
    return n < 0 ? call_drop(c, n) : 0;
}

static void on_check(void *data, const struct http_response *r)
{
    struct call *c = data;
    const char *message;
    _cleanup_json_ cJSON *list = NULL;
    c->request = NULL;
    oc_heard(c->oc, r);
    int error = list_of(r, &list, &message);
    if (error == -ENOENT)
        error = -EREMOTEIO; /* of the list, not of the request */
    if (error == 0) {
        const cJSON *item;
        error = -ENOENT;
        cJSON_ArrayForEach (item, list)
            if (strcmp(json_str(item, "id", ""), c->request_id) == 0)
                error = 0;
    }
    call_finish(c, error, message);
}

static int direct_check(void *data, const struct way_reply *r, core_done_fn *done, void *done_data)
{
    struct call *c = call_new(data, done, done_data);
    if (!c)
        return -ENOMEM;
    c->request_id = strdup(r->request_id);
    if (!c->request_id)
        return call_drop(c, -ENOMEM);
    int n = call_send(c, r->kind == REQUEST_QUESTION ? "/question" : "/permission", r->directory,
                      NULL, on_check);
    return n < 0 ? call_drop(c, n) : 0;
}

/* ---------------------------------------------------------------- sessions */

/* "provider/model" as the two members that OpenCode wants; the model's name differs by call. */
static void add_model(cJSON *body, const char *text, const char *model_key)
{
    const char *slash = text ? strchr(text, '/') : NULL;
    char provider[256];
    if (!slash || slash == text || !slash[1] || (size_t)(slash - text) >= sizeof provider)
        return;
    memcpy(provider, text, (size_t)(slash - text));
    provider[slash - text] = '\0';
    cJSON *model = cJSON_AddObjectToObject(body, "model");
    json_add_str(model, "providerID", provider);
    json_add_str(model, model_key, slash + 1);
}

/* With an id of ours, for the part too, a prompt that arrives twice is one message. */
static cJSON *prompt_body(const char *text, const char *agent, const char *model,
                          const char *message_id)
{
    cJSON *body = cJSON_CreateObject();
    cJSON *parts = cJSON_AddArrayToObject(body, "parts"), *part = cJSON_CreateObject();
    if (message_id && strncmp(message_id, "msg_", 4) == 0) {
        _cleanup_buf_ struct buf part_id = BUF_INIT;
        buf_printf(&part_id, "prt_%s", message_id + 4);
        json_add_str(body, "messageID", message_id);
        json_add_str(part, "id", buf_str(&part_id));
    }
    json_add_str(part, "type", "text");
    json_add_str(part, "text", text);
    if (!parts || !cJSON_AddItemToArray(parts, part))
        cJSON_Delete(part);
    if (agent && *agent)
        json_add_str(body, "agent", agent);
    add_model(body, model, "modelID");
    return body;
}

/* The prompt of `c`, to the session of `c`. */
static int send_prompt(struct call *c)
{
    _cleanup_free_ char *path = path_with("/session/", c->session_id, "/prompt_async");
    return path ? call_send(c, path, c->directory, TAKE_PTR(c->prompt), on_plain) : -ENOMEM;
}

static void on_prompt_looked(void *data, const struct http_response *r)
{
    struct call *c = data;
    const char *message;
    c->request = NULL;
    oc_heard(c->oc, r);
    int error = result_of(r, &message);
    if (error != -ENOENT) {
        call_finish(c, error, message);
        return;
    }
    error = send_prompt(c);
    if (error < 0)
        call_finish(c, error, "the prompt could not be sent");
}

static int prompt_begin(struct call *c)
{
    if (!c->look || !c->message_id)
        return send_prompt(c);
    _cleanup_free_ char *before = path_with("/session/", c->session_id, "/message/");
    _cleanup_free_ char *path = before ? path_with(before, c->message_id, "") : NULL;
    return path ? call_send(c, path, c->directory, NULL, on_prompt_looked) : -ENOMEM;
}

/* ---------------------------------------------------------------- a new session */

/* The session of `info` is there: its prompt follows. */
static void session_made(struct call *c, const cJSON *info)
{
    session_apply(c->oc, c->directory, info);
    crash_point("session.made");
    c->session_id = strdup(json_str(info, "id", ""));
    if (!c->prompt || !c->session_id) {
        call_finish(c, c->session_id ? 0 : -ENOMEM, "");
        return;
    }
    int error = prompt_begin(c);
    if (error < 0)
        call_finish(c, error, "the first prompt could not be sent");
}

static void on_created(void *data, const struct http_response *r)
{
    struct call *c = data;
    const char *message;
    _cleanup_json_ cJSON *info = NULL;
    c->request = NULL;
    int error = result_of(r, &message);
    if (error == 0)
        (void)json_parse(&info, r->body, r->body_len, NULL);
    if (error == 0 && !*json_str(info, "id", ""))
        error = -EPROTO;
    if (error < 0)
        call_finish(c, error == -ENOENT ? -EREMOTEIO : error,
                    *message ? message : "OpenCode's answer holds no session");
    else
        session_made(c, info);
}

static const cJSON *session_of_key(const cJSON *list, const char *key)
{
    const cJSON *info;
    cJSON_ArrayForEach (info, list)
        if (strcmp(json_str_at(info, "metadata." SESSION_KEY, ""), key) == 0)
            return info;
    return NULL;
}

static void on_sessions_looked(void *data, const struct http_response *r)
{
    struct call *c = data;
    const char *message;
    _cleanup_json_ cJSON *list = NULL;
    c->request = NULL;
    oc_heard(c->oc, r);
    int error = list_of(r, &list, &message);
    const cJSON *info = error == 0 ? session_of_key(list, c->key) : NULL;
    if (info) {
        session_made(c, info);
        return;
    }
    c->look = false; /* no session, no prompt */
    if (error == 0)
        error = call_send(c, "/session", c->directory, TAKE_PTR(c->create), on_created);
    if (error < 0)
        call_finish(c, error == -ENOENT ? -EREMOTEIO : error,
                    *message ? message : "OpenCode's list of sessions can't be read");
}

static cJSON *session_body(const struct way_start *s)
{
    cJSON *body = cJSON_CreateObject();
    if (s->title && *s->title)
        json_add_str(body, "title", s->title);
    if (s->agent && *s->agent)
        json_add_str(body, "agent", s->agent);
    if (s->key)
        json_add_str(cJSON_AddObjectToObject(body, "metadata"), SESSION_KEY, s->key);
    add_model(body, s->model, "id");
    return body;
}

static int session_begin(struct call *c, const struct way_start *s)
{
    if (!s->again || !s->key)
        return call_send(c, "/session", c->directory, session_body(s), on_created);
    c->create = session_body(s);
    c->key = strdup(s->key);
    return c->create && c->key ? call_send(c, "/session?roots=true&limit=" SESSIONS_LOOKED,
                                           c->directory, NULL, on_sessions_looked)
                               : -ENOMEM;
}

static int direct_start(void *data, const struct way_start *s, core_done_fn *done, void *done_data)
{
    struct opencode *oc = data;
    const char *directory =
        s->directory && *s->directory ? s->directory : core_settings(oc->core)->opencode_directory;
    struct call *c = call_new(oc, done, done_data);
    if (!c)
        return -ENOMEM;
    c->directory = strdup(directory ? directory : "");
    c->message_id = s->message_id ? strdup(s->message_id) : NULL;
    c->look = s->again;
    c->prompt =
        s->prompt && *s->prompt ? prompt_body(s->prompt, s->agent, s->model, s->message_id) : NULL;
    int n = c->directory ? session_begin(c, s) : -ENOMEM;
    return n < 0 ? call_drop(c, n) : 0;
}

static int direct_message(void *data, const struct way_message *m, core_done_fn *done,
                          void *done_data)
{
    struct call *c = call_new(data, done, done_data);
    if (!c)
        return -ENOMEM;
    c->directory = strdup(m->directory);
    c->session_id = strdup(m->session_id);
    c->message_id = m->message_id ? strdup(m->message_id) : NULL;
    c->look = m->again;
    c->prompt = prompt_body(m->text, NULL, NULL, m->message_id);
    int n = c->directory && c->session_id ? prompt_begin(c) : -ENOMEM;
    return n < 0 ? call_drop(c, n) : 0;
}

static void on_aborted(void *data, const struct http_response *r);

static int send_abort(struct call *c)
{
    _cleanup_free_ char *path = path_with("/session/", c->session_id, "/abort");
    return path ? call_send(c, path, c->directory, cJSON_CreateObject(), on_aborted) : -ENOMEM;
}

/* An answer that was lost is asked for once more, and at once: a stop that is repeated stops
 * nothing else, as long as nothing else can have begun. */
static void on_aborted(void *data, const struct http_response *r)
{
    struct call *c = data;
    const char *message;
    c->request = NULL;
    oc_heard(c->oc, r);
    int error = result_of(r, &message);
    bool lost = (error == -ECONNRESET || error == -EREMOTEIO) && !c->look;
    c->look = true;
    if (!lost || send_abort(c) < 0)
        call_finish(c, error, message);
}

static int direct_abort(void *data, const char *session_id, const char *directory,
                        core_done_fn *done, void *done_data)
{
    struct call *c = call_new(data, done, done_data);
    if (!c)
        return -ENOMEM;
    c->directory = strdup(directory ? directory : "");
    c->session_id = strdup(session_id);
    int n = c->directory && c->session_id ? send_abort(c) : -ENOMEM;
    return n < 0 ? call_drop(c, n) : 0;
}

/* ---------------------------------------------------------------- history */

static void on_history(void *data, const struct http_response *r)
{
    struct call *c = data;
    const char *message;
    _cleanup_json_ cJSON *list = NULL;
    c->request = NULL;
    oc_heard(c->oc, r);
    int error = list_of(r, &list, &message);
    if (error == 0)
        history_tell(c->oc, list, c->session_id, c->each, c->data);
    call_finish(c, error, message);
}

static int direct_history(void *data, const struct way_history *h, core_done_fn *done,
                          void *done_data)
{
    struct call *c = call_new(data, done, done_data);
    if (!c)
        return -ENOMEM;
    _cleanup_free_ char *path =
        path_with("/session/", h->session_id, "/message?limit=" HISTORY_MESSAGES);
    c->session_id = strdup(h->session_id);
    c->each = h->each;
    int n = path && c->session_id ? call_send(c, path, h->directory, NULL, on_history) : -ENOMEM;
    return n < 0 ? call_drop(c, n) : 0;
}

const struct way_ops direct_ops = {
    .reply = direct_reply,
    .check = direct_check,
    .start = direct_start,
    .message = direct_message,
    .abort = direct_abort,
    .history = direct_history,
    .bridges = oc_bridges,
};
