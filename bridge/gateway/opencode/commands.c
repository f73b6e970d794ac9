/* Orders by HTTP. Each holds one request at a time; starting a session takes two. */
#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "bridge/gateway/opencode/private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct call {
    struct call *next;
    struct opencode *oc;
    struct http_request *request;
    core_done_fn *done;
    void *data;
    char *request_id; /* a check's */
    /* starting a session */
    char *session_id, *directory;
    cJSON *prompt; /* to be sent to it */
};

static void call_free(struct call *c)
{
    cJSON_Delete(c->prompt);
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
    int error = result_of(r, &message);
    if (error == -ENOENT)
        error = -EREMOTEIO; /* of the list, not of the request */
    if (error == 0 && (json_parse(&list, r->body, r->body_len, NULL) < 0 || !cJSON_IsArray(list)))
        error = -EPROTO;
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

static cJSON *prompt_body(const char *text, const char *agent, const char *model)
{
    cJSON *body = cJSON_CreateObject();
    cJSON *parts = cJSON_AddArrayToObject(body, "parts"), *part = cJSON_CreateObject();
    json_add_str(part, "type", "text");
    json_add_str(part, "text", text);
    if (!parts || !cJSON_AddItemToArray(parts, part))
        cJSON_Delete(part);
    if (agent && *agent)
        json_add_str(body, "agent", agent);
    add_model(body, model, "modelID");
    return body;
}

static int send_prompt(struct call *c, const char *session_id, const char *directory, cJSON *body)
{
    _cleanup_free_ char *path = path_with("/session/", session_id, "/prompt_async");
    if (!path) {
        cJSON_Delete(body);
        return -ENOMEM;
    }
    return call_send(c, path, directory, body, on_plain);
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
    const char *id = json_str(info, "id", "");
    if (error == 0 && !*id)
        error = -EPROTO;
    if (error < 0) {
        call_finish(c, error == -ENOENT ? -EREMOTEIO : error,
                    *message ? message : "OpenCode's answer holds no session");
        return;
    }
    session_apply(c->oc, c->directory, info);
    c->session_id = strdup(id);
    if (!c->prompt || !c->session_id) {
        call_finish(c, c->session_id ? 0 : -ENOMEM, "");
        return;
    }
    error = send_prompt(c, id, c->directory, TAKE_PTR(c->prompt));
    if (error < 0)
        call_finish(c, error, "the first prompt could not be sent");
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
    c->prompt = s->prompt && *s->prompt ? prompt_body(s->prompt, s->agent, s->model) : NULL;
    cJSON *body = cJSON_CreateObject();
    if (s->title && *s->title)
        json_add_str(body, "title", s->title);
    if (s->agent && *s->agent)
        json_add_str(body, "agent", s->agent);
    add_model(body, s->model, "id");
    int n = c->directory ? 0 : -ENOMEM;
    if (n == 0)
        n = call_send(c, "/session", c->directory, body, on_created);
    else
        cJSON_Delete(body);
    return n < 0 ? call_drop(c, n) : 0;
}

static int direct_message(void *data, const struct way_message *m, core_done_fn *done,
                          void *done_data)
{
    struct call *c = call_new(data, done, done_data);
    if (!c)
        return -ENOMEM;
    int n = send_prompt(c, m->session_id, m->directory, prompt_body(m->text, NULL, NULL));
    return n < 0 ? call_drop(c, n) : 0;
}

static int direct_abort(void *data, const char *session_id, const char *directory,
                        core_done_fn *done, void *done_data)
{
    struct call *c = call_new(data, done, done_data);
    _cleanup_free_ char *path = path_with("/session/", session_id, "/abort");
    if (!c || !path)
        return c ? call_drop(c, -ENOMEM) : -ENOMEM;
    int n = call_send(c, path, directory, cJSON_CreateObject(), on_plain);
    return n < 0 ? call_drop(c, n) : 0;
}

const struct way_ops direct_ops = {
    .reply = direct_reply,
    .check = direct_check,
    .start = direct_start,
    .message = direct_message,
    .abort = direct_abort,
    .bridges = oc_bridges,
};
