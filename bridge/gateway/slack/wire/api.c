#include "bridge/gateway/slack/wire/api.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/http/http.h"
#include "bridge/gateway/slack/wire/counts.h"
#include "bridge/gateway/slack/wire/timer.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define CALLS_MAX             256
#define CALLS_RUNNING_MAX     8
#define CALL_DEADLINE_MS      60000
#define EXCHANGE_TIMEOUT_MS   15000
#define RETRY_FIRST_MS        500
#define RETRY_AFTER_DEFAULT_S 30
#define RETRY_AFTER_MAX_S     900

struct call {
    struct api *api;
    enum slack_method method;
    cJSON *args;
    bool queued;  /* by api_call(): may wait and be repeated */
    bool running; /* an exchange is on its way */
    bool before;  /* an earlier attempt may have done the work */
    unsigned attempts;
    uint64_t deadline_ms, not_before_ms; /* monotonic */
    api_done_fn *done;
    void *data;
    struct http_request *request;
    struct call *next;
};

struct api {
    uv_loop_t *loop;
    struct http_client *http;
    char *base, *bot_token, *app_token;
    struct slack_counts *counts;
    struct limiter limiter;
    struct timer *timer;
    struct call *calls; /* all of them, oldest first */
    struct upload *uploads;
};

int api_new(struct api **ret, const struct api_settings *set)
{
    struct api *a = calloc(1, sizeof *a);
    if (!a)
        return -ENOMEM;
    a->loop = set->loop;
    a->http = set->http;
    a->counts = set->counts;
    a->base = strdup(set->base);
    a->bot_token = strdup(set->bot_token);
    a->app_token = strdup(set->app_token);
    limiter_init(&a->limiter, clock_mono_ms());
    if (!a->base || !a->bot_token || !a->app_token) {
        api_free(a);
        return -ENOMEM;
    }
    *ret = a;
    return 0;
}

static void call_free(struct call *c)
{
    cJSON_Delete(c->args);
    free(c);
}

static void uploads_cancel(struct api *a);

static void wipe(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

void api_free(struct api *a)
{
    if (!a)
        return;
    while (a->calls) {
        struct call *c = a->calls;
        a->calls = c->next;
        if (c->request)
            http_cancel(c->request);
        call_free(c);
    }
    uploads_cancel(a);
    timer_free(a->timer);
    free(a->base);
    wipe(a->bot_token);
    wipe(a->app_token);
    free(a);
}

static void unlink_call(struct api *a, struct call *c)
{
    struct call **at = &a->calls;
    while (*at && *at != c)
        at = &(*at)->next;
    if (*at)
        *at = c->next;
}

static void append_call(struct api *a, struct call *c)
{
    struct call **at = &a->calls;
    while (*at)
        at = &(*at)->next;
    *at = c;
}

static void pump(struct api *a);

static void finish(struct call *c, const struct api_result *r)
{
    struct api *a = c->api;
    unlink_call(a, c);
    c->done(c->data, r);
    call_free(c);
}

static void finish_error(struct call *c, const char *code, const char *message)
{
    finish(c, &(struct api_result){
                  .class = SLACK_ERROR_SERVER, .code = code, .needed = "", .message = message });
}

/* ---------------------------------------------------------------- bodies */

static void put_form_value(struct buf *out, const cJSON *v)
{
    _cleanup_free_ char *printed = cJSON_IsString(v) ? NULL : json_print(v);
    _cleanup_free_ char *escaped = http_escape(cJSON_IsString(v) ? v->valuestring
                                               : printed         ? printed
                                                                 : "");
    if (escaped)
        buf_puts(out, escaped);
    else
        out->failed = true;
}

static char *form_body(const cJSON *args)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    const cJSON *v;
    cJSON_ArrayForEach (v, args) {
        buf_printf(&b, "%s%s=", b.len ? "&" : "", v->string);
        put_form_value(&b, v);
    }
    buf_puts(&b, "");
    return buf_take(&b);
}

static char *json_body(const cJSON *args)
{
    return args ? json_print(args) : strdup("{}");
}

/* ---------------------------------------------------------------- answers */

struct answer {
    struct api_result r;
    cJSON *doc;
    struct buf message;
};

static void answer_release(struct answer *a)
{
    cJSON_Delete(a->doc);
    buf_release(&a->message);
}

static uint64_t retry_after_ms(const struct http_response *h)
{
    int64_t s = h->retry_after_s < 0 ? RETRY_AFTER_DEFAULT_S : h->retry_after_s;
    if (s > RETRY_AFTER_MAX_S)
        s = RETRY_AFTER_MAX_S;
    return (uint64_t)(s < 1 ? 1 : s) * 1000;
}

/* No answer, or none that is Slack's: it may have done the work if the request got there. */
static void no_answer(struct answer *a, const char *method, const struct http_response *h)
{
    a->r.class = SLACK_ERROR_SERVER;
    a->r.unreachable = h->error != 0 && !h->sent;
    a->r.maybe_done = h->error == 0 || h->sent;
    a->r.code = h->error ? "unreachable" : "bad_answer";
    if (h->error)
        buf_printf(&a->message, "%s: no answer from Slack: %s", method,
                   *h->message ? h->message : strerror(-h->error));
    else
        buf_printf(&a->message, "%s: Slack answered HTTP %d without a result", method, h->status);
}

static void refused(struct answer *a, const char *method, const struct http_response *h)
{
    a->r.code = json_str(a->doc, "error", "unknown_error");
    a->r.needed = json_str(a->doc, "needed", "");
    a->r.class = h->status == 429 ? SLACK_ERROR_RATE : slack_error_find(a->r.code)->class;
    if (a->r.class == SLACK_ERROR_RATE)
        a->r.retry_after_ms = retry_after_ms(h);
    a->r.maybe_done = a->r.class == SLACK_ERROR_SERVER;
    buf_printf(&a->message, "%s: ", method);
    slack_error_explain(&a->message, a->r.code, a->r.needed);
    const cJSON *first =
        cJSON_GetArrayItem(json_arr(json_obj(a->doc, "response_metadata"), "messages"), 0);
    if (cJSON_IsString(first))
        buf_printf(&a->message, " [%.200s]", first->valuestring);
}

static void answer_read(struct answer *a, enum slack_method m, const struct http_response *h)
{
    const char *method = slack_methods[m].name;
    a->r = (struct api_result){ .code = "", .needed = "", .class = SLACK_ERROR_OTHER };
    if (h->error == 0 && json_parse(&a->doc, h->body, h->body_len, NULL) < 0)
        a->doc = NULL;
    a->r.body = a->doc;
    if (cJSON_IsObject(a->doc) && json_bool(a->doc, "ok", false) && h->status == 200)
        a->r.ok = true;
    else if (h->error == 0 && (h->status == 429 || (cJSON_IsObject(a->doc) && h->status < 500)))
        refused(a, method, h);
    else
        no_answer(a, method, h);
    a->r.message = buf_str(&a->message);
}

static bool worth_repeating(const struct call *c, const struct api_result *r)
{
    /* A whisper can be neither looked for nor taken back: rather none than two. For a file the
     * caller looks. */
    if ((c->method == SLACK_POST_EPHEMERAL || c->method == SLACK_UPLOAD) && r->maybe_done)
        return false;
    return c->queued && (r->class == SLACK_ERROR_RATE || r->class == SLACK_ERROR_SERVER);
}

static uint64_t retry_delay(const struct call *c, const struct api_result *r)
{
    unsigned doublings = c->attempts < 6 ? c->attempts : 6;
    return r->retry_after_ms ? r->retry_after_ms : (uint64_t)RETRY_FIRST_MS << doublings;
}

/* A trigger that was used up was used by the attempt whose answer was lost: the form is open. */
static bool done_before(const struct call *c, const struct api_result *r)
{
    return c->before && c->method == SLACK_VIEWS_OPEN &&
           strcmp(r->code, "exchanged_trigger_id") == 0;
}

static void on_http(void *data, const struct http_response *h)
{
    struct call *c = data;
    struct api *a = c->api;
    _cleanup_(answer_release) struct answer answer = { .message = BUF_INIT_MAX(2048) };
    c->running = false;
    c->request = NULL;
    answer_read(&answer, c->method, h);
    if (a->counts)
        slack_count_call(a->counts, c->method, &answer.r, h->error ? 0 : h->status, h->elapsed_us);
    answer.r.ok = answer.r.ok || done_before(c, &answer.r);
    c->before = c->before || answer.r.maybe_done;
    answer.r.maybe_done = c->before && !answer.r.ok;
    uint64_t now = clock_mono_ms();
    limiter_done(&a->limiter, c->method);
    if (answer.r.retry_after_ms)
        limiter_block(&a->limiter, c->method, answer.r.retry_after_ms, now);
    uint64_t delay = retry_delay(c, &answer.r);
    if (!answer.r.ok && worth_repeating(c, &answer.r) && now + delay < c->deadline_ms) {
        c->attempts++;
        c->not_before_ms = now + delay;
        log_debug("slack: %s; again in %" PRIu64 " ms", answer.r.message, delay);
    } else {
        finish(c, &answer.r);
    }
    pump(a);
}

/* ---------------------------------------------------------------- calls */

static const char *channel_of(const cJSON *args)
{
    return json_str(args, "channel", json_str(args, "channel_id", ""));
}

static int start(struct call *c)
{
    struct api *a = c->api;
    const struct slack_method_row *m = &slack_methods[c->method];
    _cleanup_buf_ struct buf url = BUF_INIT;
    _cleanup_free_ char *body = m->json ? json_body(c->args) : form_body(c->args);
    buf_printf(&url, "%s%s", a->base, m->name);
    if (!body || url.failed)
        return -ENOMEM;
    struct http_options o = {
        .method = "POST",
        .url = buf_str(&url),
        .body = body,
        .body_len = strlen(body),
        .content_type = m->json ? NULL : "application/x-www-form-urlencoded",
        .bearer = m->app_token ? a->app_token : a->bot_token,
        .timeout_ms = EXCHANGE_TIMEOUT_MS,
        .once = true,
        .on_done = on_http,
        .data = c,
    };
    int r = http_start(a->http, &o, &c->request);
    if (r < 0)
        return r;
    c->running = true;
    limiter_take(&a->limiter, c->method, channel_of(c->args), clock_mono_ms());
    return 0;
}

static unsigned running_count(const struct api *a)
{
    unsigned n = 0;
    for (const struct call *c = a->calls; c; c = c->next)
        n += c->running;
    return n;
}

/* Milliseconds until it may leave. */
static uint64_t call_wait(struct api *a, const struct call *c, uint64_t now)
{
    uint64_t wait = limiter_wait(&a->limiter, c->method, channel_of(c->args), now);
    uint64_t own = c->not_before_ms > now ? c->not_before_ms - now : 0;
    return own > wait ? own : wait;
}

static void on_timer(void *data)
{
    pump(data);
}

/* Gives up on what is too late, starts what may leave, sets the timer for the next. */
static void pump(struct api *a)
{
    uint64_t now = clock_mono_ms(), next = UINT64_MAX;
    unsigned running = running_count(a);
    for (struct call *c = a->calls, *after; c; c = after) {
        after = c->next;
        if (c->running || !c->queued)
            continue;
        uint64_t wait = call_wait(a, c, now);
        if (c->deadline_ms <= now || now + wait > c->deadline_ms) {
            finish_error(c, "unreachable", "Slack could not be asked in time");
            timer_start(a->timer, 0); /* the list may have changed meanwhile */
            return;
        }
        if (wait == 0 && running < CALLS_RUNNING_MAX && start(c) == 0)
            running++;
        else if (wait < next)
            next = wait ? wait : 100;
    }
    if (next != UINT64_MAX)
        timer_start_earlier(a->timer, next);
}

static int call_new(struct call **ret, struct api *a, enum slack_method m, cJSON *args,
                    api_done_fn *done, void *data)
{
    struct call *c = calloc(1, sizeof *c);
    if (!c) {
        cJSON_Delete(args);
        return -ENOMEM;
    }
    *c = (struct call){ .api = a, .method = m, .args = args, .done = done, .data = data };
    *ret = c;
    return 0;
}

int api_call(struct api *a, enum slack_method m, cJSON *args, uint64_t deadline_ms,
             api_done_fn *done, void *data)
{
    unsigned n = 0;
    for (const struct call *c = a->calls; c; c = c->next)
        n++;
    if (!a->timer)
        a->timer = timer_new(a->loop, on_timer, a);
    if (n >= CALLS_MAX || !a->timer) {
        cJSON_Delete(args);
        return a->timer ? -ENOBUFS : -ENOMEM;
    }
    struct call *c = NULL;
    int r = call_new(&c, a, m, args, done, data);
    if (r < 0)
        return r;
    c->queued = true;
    c->deadline_ms = clock_mono_ms() + (deadline_ms ? deadline_ms : CALL_DEADLINE_MS);
    append_call(a, c);
    /* At once where the limits allow; never calls back from here: on_http comes later. */
    if (limiter_wait(&a->limiter, m, channel_of(args), clock_mono_ms()) == 0 &&
        running_count(a) < CALLS_RUNNING_MAX && start(c) == 0)
        return 0;
    timer_start_earlier(a->timer, 1);
    return 0;
}

int api_send(struct api *a, enum slack_method m, const cJSON *args, api_done_fn *done, void *data)
{
    struct call *c = NULL;
    int r = call_new(&c, a, m, cJSON_Duplicate(args, true), done, data);
    if (r < 0)
        return r;
    r = start(c);
    if (r < 0) {
        call_free(c);
        return r;
    }
    append_call(a, c);
    return 0;
}

uint64_t api_wait_ms(struct api *a, enum slack_method m, const char *channel)
{
    return limiter_wait(&a->limiter, m, channel, clock_mono_ms());
}

uint64_t api_wait_live_ms(struct api *a, enum slack_method m, const char *channel)
{
    return limiter_wait_live(&a->limiter, m, channel, clock_mono_ms());
}

unsigned api_spare(struct api *a, enum slack_method m)
{
    return limiter_spare(&a->limiter, m, clock_mono_ms());
}

/* ---------------------------------------------------------------- files */

struct upload {
    struct api *api;
    cJSON *args;
    char *file_id;
    struct http_request *request; /* of its bytes */
    api_done_fn *done;
    void *data;
    struct upload *next;
};

static void upload_free(struct upload *u)
{
    struct upload **at = &u->api->uploads;
    while (*at && *at != u)
        at = &(*at)->next;
    if (*at)
        *at = u->next;
    cJSON_Delete(u->args);
    free(u->file_id);
    free(u);
}

static void upload_end(struct upload *u, const struct api_result *r)
{
    u->done(u->data, r);
    upload_free(u);
}

static void upload_failed(struct upload *u, const char *why)
{
    upload_end(
        u, &(struct api_result){
               .class = SLACK_ERROR_SERVER, .code = "unreachable", .needed = "", .message = why });
}

static void on_completed(void *data, const struct api_result *r)
{
    upload_end(data, r);
}

static void on_bytes(void *data, const struct http_response *h)
{
    struct upload *u = data;
    u->request = NULL;
    if (h->error || h->status != 200) {
        upload_failed(u, "the bytes of a file did not arrive at Slack");
        return;
    }
    _cleanup_json_ cJSON *args = cJSON_CreateObject();
    cJSON *file = cJSON_CreateObject();
    json_add_str(file, "id", u->file_id);
    json_add_str(file, "title", json_str(u->args, "filename", "output"));
    (void)cJSON_AddItemToArray(cJSON_AddArrayToObject(args, "files"), file);
    json_add_str(args, "channel_id", json_str(u->args, "channel_id", ""));
    json_add_str(args, "thread_ts", json_str(u->args, "thread_ts", NULL));
    if (api_call(u->api, SLACK_UPLOAD, TAKE_PTR(args), 0, on_completed, u) < 0)
        upload_failed(u, "too much waits for Slack");
}

static void on_upload_url(void *data, const struct api_result *r)
{
    struct upload *u = data;
    const char *url = json_str(r->body, "upload_url", ""),
               *content = json_str(u->args, "content", "");
    if (!r->ok) {
        struct api_result nothing = *r; /* the file is not there before the last step */
        nothing.maybe_done = false;
        upload_end(u, &nothing);
        return;
    }
    u->file_id = strdup(json_str(r->body, "file_id", ""));
    bool safe = strncmp(url, "https://", 8) == 0 || strncmp(u->api->base, "http://", 7) == 0;
    struct http_options o = {
        .method = "POST",
        .url = url,
        .body = content,
        .body_len = strlen(content),
        .content_type = "application/octet-stream",
        .timeout_ms = EXCHANGE_TIMEOUT_MS * 2,
        .on_done = on_bytes,
        .data = u,
    };
    if (!u->file_id || !safe || http_start(u->api->http, &o, &u->request) < 0)
        upload_failed(u, "Slack named no address for a file");
}

int api_upload(struct api *a, const cJSON *args, api_done_fn *done, void *data)
{
    struct upload *u = calloc(1, sizeof *u);
    _cleanup_json_ cJSON *ask = cJSON_CreateObject();
    if (!u)
        return -ENOMEM;
    *u = (struct upload){ a, cJSON_Duplicate(args, true), NULL, NULL, done, data, a->uploads };
    a->uploads = u;
    char length[24];
    (void)snprintf(length, sizeof length, "%zu", strlen(json_str(args, "content", "")));
    json_add_str(ask, "filename", json_str(args, "filename", "output.md"));
    json_add_str(ask, "length", length);
    int r = u->args ? api_call(a, SLACK_UPLOAD_URL, TAKE_PTR(ask), 0, on_upload_url, u) : -ENOMEM;
    if (r < 0)
        upload_free(u);
    return r;
}

static void uploads_cancel(struct api *a)
{
    while (a->uploads) {
        if (a->uploads->request)
            http_cancel(a->uploads->request);
        upload_free(a->uploads);
    }
}

/* ---------------------------------------------------------------- response_url */

static void on_respond(void *data, const struct http_response *h)
{
    (void)data;
    if (h->error || h->status != 200)
        log_warn("slack: an answer by response_url was refused: %s (HTTP %d)", h->message,
                 h->status);
}

void api_respond(struct api *a, const char *response_url, cJSON *message)
{
    _cleanup_json_ cJSON *m = message;
    _cleanup_free_ char *body = json_print(m);
    /* It comes from Slack over the authenticated socket; still, only where an API is. */
    if (!body || (strncmp(response_url, "https://", 8) != 0 && strncmp(a->base, "http://", 7) != 0))
        return;
    struct http_options o = {
        .method = "POST",
        .url = response_url,
        .body = body,
        .body_len = strlen(body),
        .timeout_ms = EXCHANGE_TIMEOUT_MS,
        .once = true,
        .on_done = on_respond,
    };
    int r = http_start(a->http, &o, NULL);
    if (r < 0)
        log_warn("slack: cannot answer by response_url: %s", strerror(-r));
}
