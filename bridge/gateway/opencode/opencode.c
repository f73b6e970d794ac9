#include "bridge/gateway/opencode/opencode.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "bridge/gateway/opencode/private.h"

#include <errno.h>
#include <string.h>

#define PROBE_MS       500   /* early requests are never answered: ask anew on a new connection */
#define PROBE_MAX_MS   5000  /* but on a busy machine an answer may take longer */
#define STREAM_IDLE_MS 35000 /* its heartbeat comes every 10 s */
#define SOON_MS        20    /* after a link that worked was lost */
#define WORKED_MS      2000  /* a stream that lived so long did */

static void begin(struct opencode *oc, uint64_t delay_ms);

/* ---------------------------------------------------------------- requests */

char *oc_url(struct opencode *oc, const char *path, const char *directory)
{
    _cleanup_buf_ struct buf url = BUF_INIT;
    const char *base = core_settings(oc->core)->opencode_url;
    size_t n = strlen(base);
    while (n > 0 && base[n - 1] == '/')
        n--;
    buf_append(&url, base, n);
    buf_puts(&url, path);
    if (directory && *directory) {
        _cleanup_free_ char *escaped = http_escape(directory);
        if (!escaped)
            return NULL;
        buf_printf(&url, "%sdirectory=%s", strchr(path, '?') ? "&" : "?", escaped);
    }
    return buf_take(&url);
}

struct http_options oc_request(struct opencode *oc, const char *url, http_done_fn *done, void *data)
{
    const struct settings *s = core_settings(oc->core);
    bool auth = s->opencode_password && *s->opencode_password;
    return (struct http_options){
        .url = url,
        .user = auth ? s->opencode_user : NULL,
        .password = auth ? s->opencode_password : NULL,
        .timeout_ms = OC_CALL_MS,
        .connect_timeout_ms = 2000,
        .max_body = (size_t)32 << 20,
        .on_done = done,
        .data = data,
    };
}

/* ---------------------------------------------------------------- directories */

void oc_add_directory(struct opencode *oc, const char *directory, bool stale)
{
    if (!directory || directory[0] != '/')
        return;
    for (size_t i = 0; i < oc->n_directories; i++)
        if (strcmp(oc->directories[i], directory) == 0) {
            oc->stale[i] = oc->stale[i] || stale;
            return;
        }
    if (oc->n_directories == OC_DIRECTORIES_MAX)
        return;
    char *copy = strdup(directory);
    if (!copy)
        return;
    oc->directories[oc->n_directories] = copy;
    oc->stale[oc->n_directories++] = stale;
}

static int add_request_directory(void *data, const struct request *r)
{
    struct opencode *oc = data;
    if (strcmp(r->pod, core_settings(oc->core)->pod) == 0)
        oc_add_directory(oc, r->directory, true);
    return 0;
}

static int add_session_directory(void *data, const struct session *s)
{
    struct opencode *oc = data;
    if (strcmp(s->pod, core_settings(oc->core)->pod) == 0 &&
        (s->status == SESSION_BUSY || s->status == SESSION_RETRY))
        oc_add_directory(oc, s->directory, true);
    return 0;
}

/* Reading a directory makes OpenCode load it, which costs memory: only those that matter. */
static void mark_open_stale(struct opencode *oc)
{
    (void)core_each_request(oc->core, true, add_request_directory, oc);
    (void)core_each_session(oc->core, add_session_directory, oc);
}

static void mark_all_stale(struct opencode *oc)
{
    for (size_t i = 0; i < oc->n_directories; i++)
        oc->stale[i] = true;
    oc_add_directory(oc, core_settings(oc->core)->opencode_directory, true);
    mark_open_stale(oc);
}

/* OpenCode says "connected" a while before it listens to itself: what happens in between is in no
 * stream (tried: of 150 changes made at that moment 26 were lost, on a busy machine 82). So what is
 * open is read again, soon after a connect and then ever more seldom, but never not at all. */
static void on_again(uv_timer_t *timer)
{
    struct opencode *oc = timer->data;
    mark_open_stale(oc);
    sync_start(oc);
    oc->again_ms *= 2;
    if (oc->again_ms > oc->options.again_max_ms)
        oc->again_ms = oc->options.again_max_ms;
    (void)uv_timer_start(timer, on_again, oc->again_ms, 0);
}

/* ---------------------------------------------------------------- the stream */

static void set_state(struct opencode *oc, enum oc_state state)
{
    static const char *const names[OC_STATE_MAX] = {
        [OC_OFF] = "off",
        [OC_WAIT] = "wait",
        [OC_PROBE] = "probe",
        [OC_STREAM] = "stream",
    };
    if (oc->state != state)
        log_debug("direct way: %s → %s", names[oc->state], names[state]);
    oc->state = state;
}

/* Ends what is under way; nothing of it calls back. */
static void drop_all(struct opencode *oc)
{
    if (oc->probe)
        http_cancel(TAKE_PTR(oc->probe));
    if (oc->stream)
        http_cancel(TAKE_PTR(oc->stream));
    if (oc->lookup)
        http_cancel(TAKE_PTR(oc->lookup));
    sse_parser_free(TAKE_PTR(oc->sse));
    sync_cancel(oc);
    queue_clear(oc);
    parts_clear(oc);
    oc->connected = false;
    oc->busy = false;
    (void)uv_timer_stop(&oc->timer);
    (void)uv_timer_stop(&oc->resync_timer);
    (void)uv_timer_stop(&oc->again_timer);
}

void oc_restart(struct opencode *oc, const char *why)
{
    if (oc->state == OC_OFF || oc->closing)
        return;
    bool worked = oc->connected && clock_mono_ms() - oc->connected_ms >= WORKED_MS;
    drop_all(oc);
    log_debug("direct way: %s", why);
    core_way_set_up(oc->way, false, why);
    begin(oc, worked && oc->retry_ms > SOON_MS ? SOON_MS : oc->retry_ms);
    oc->retry_ms =
        oc->retry_ms * 2 > oc->options.retry_max_ms ? oc->options.retry_max_ms : oc->retry_ms * 2;
}

void oc_ready(struct opencode *oc)
{
    oc->retry_ms = oc->options.retry_min_ms;
    core_way_set_up(oc->way, true, "");
}

static void on_sse(void *data, const struct sse_event *event)
{
    struct opencode *oc = data;
    _cleanup_json_ cJSON *json = NULL;
    if (json_parse(&json, event->data, event->data_len, NULL) < 0 || !cJSON_IsObject(json))
        return;
    cJSON *payload = cJSON_GetObjectItemCaseSensitive(json, "payload");
    const char *type = json_str(payload, "type", "");
    if (strcmp(type, "server.connected") == 0 && !oc->connected) {
        oc->connected = true;
        oc->connected_ms = clock_mono_ms();
        log_info("direct way: the event stream of OpenCode is open");
        mark_all_stale(oc);
        oc->busy = true;
        sync_later(oc, 0);
        oc->again_ms = oc->options.again_min_ms;
        (void)uv_timer_start(&oc->again_timer, on_again, oc->again_ms, 0);
        return;
    }
    /* Each stored event comes a second time as "sync". */
    if (!*type || strcmp(type, "sync") == 0 || strcmp(type, "server.heartbeat") == 0)
        return;
    const char *directory = json_str(json, "directory", "");
    cJSON *owned = cJSON_DetachItemViaPointer(json, payload);
    (void)queue_event(oc, directory, owned, event->data_len);
}

/* By the timer, since the stream can't be ended from within its own chunk. */
static void on_overflow(uv_timer_t *timer)
{
    oc_restart(timer->data, "too many events wait to be read");
}

static void on_chunk(void *data, const char *chunk, size_t len)
{
    struct opencode *oc = data;
    if (oc->sse && sse_parser_feed(oc->sse, chunk, len) == -EFBIG)
        log_warn("an event of OpenCode is over %zu bytes and was left out", OC_EVENT_MAX);
    if (oc->queued > OC_QUEUE_BYTES_MAX)
        (void)uv_timer_start(&oc->resync_timer, on_overflow, 0, 0);
}

static const char *why_not(const struct http_response *r)
{
    if (r->error)
        return r->message;
    if (r->status == 401)
        return "OpenCode refuses the password";
    return "OpenCode does not answer as it should";
}

static void on_stream_end(void *data, const struct http_response *r)
{
    struct opencode *oc = data;
    oc->stream = NULL;
    if (oc->connected)
        log_info("direct way: the event stream ended: %s", r->error ? r->message : "closed");
    oc_restart(oc, r->error || r->status != 200 ? why_not(r) : "the event stream ended");
}

static void open_stream(struct opencode *oc)
{
    _cleanup_free_ char *url = oc_url(oc, "/global/event", NULL);
    int r = url ? sse_parser_new(&oc->sse, OC_EVENT_MAX, on_sse, oc) : -ENOMEM;
    if (r == 0) {
        struct http_options o = oc_request(oc, url, on_stream_end, oc);
        static const char *const headers[] = { "Accept: text/event-stream", NULL };
        o.headers = headers;
        o.timeout_ms = 0;
        o.idle_timeout_ms = STREAM_IDLE_MS;
        o.fresh_connection = true;
        o.on_chunk = on_chunk;
        set_state(oc, OC_STREAM);
        r = http_start(core_http(oc->core), &o, &oc->stream);
    }
    if (r < 0)
        oc_restart(oc, strerror(-r));
}

void oc_heard(struct opencode *oc, const struct http_response *r)
{
    if (r->error == -ECONNREFUSED && oc->way)
        core_way_nobody(oc->way);
}

static void on_probe(void *data, const struct http_response *r)
{
    struct opencode *oc = data;
    uint64_t now = clock_mono_ms();
    oc->probe = NULL;
    oc_heard(oc, r);
    if (r->error != 0 || r->status != 200)
        oc_restart(oc, why_not(r));
    else if (now < oc->grace_until_ms)
        begin(oc, oc->grace_until_ms - now);
    else
        open_stream(oc);
}

/* As patient as the pauses between the attempts have become. */
static uint64_t probe_ms(const struct opencode *oc)
{
    uint64_t ms = oc->retry_ms > PROBE_MS ? oc->retry_ms : PROBE_MS;
    return ms < PROBE_MAX_MS ? ms : PROBE_MAX_MS;
}

static void on_timer(uv_timer_t *timer)
{
    struct opencode *oc = timer->data;
    _cleanup_free_ char *url = oc_url(oc, "/global/health", NULL);
    int r = -ENOMEM;
    if (url) {
        struct http_options o = oc_request(oc, url, on_probe, oc);
        o.timeout_ms = o.connect_timeout_ms = probe_ms(oc);
        o.fresh_connection = true;
        set_state(oc, OC_PROBE);
        r = http_start(core_http(oc->core), &o, &oc->probe);
    }
    if (r < 0)
        oc_restart(oc, strerror(-r));
}

static void begin(struct opencode *oc, uint64_t delay_ms)
{
    set_state(oc, OC_WAIT);
    (void)uv_timer_start(&oc->timer, on_timer, delay_ms, 0);
}

void oc_bridges(void *data, unsigned count)
{
    struct opencode *oc = data;
    if (oc->closing)
        return;
    if (count > 0 && oc->state != OC_OFF) {
        drop_all(oc);
        set_state(oc, OC_OFF);
        oc->retry_ms = oc->options.retry_min_ms;
        core_way_set_up(oc->way, false, "");
    } else if (count == 0 && oc->state == OC_OFF) {
        /* Looked at once, so that a death is seen before there is a new process. */
        oc->grace_until_ms = clock_mono_ms() + oc->options.grace_ms;
        begin(oc, SOON_MS);
    }
}

/* ---------------------------------------------------------------- life */

int opencode_new(struct opencode **ret, struct core *core, const struct opencode_options *options,
                 struct error *e)
{
    const struct settings *s = core_settings(core);
    *ret = NULL;
    if (!s->opencode_url || !*s->opencode_url)
        return 0;
    struct opencode *oc = calloc(1, sizeof *oc);
    if (!oc)
        return error_set_errno(e, -ENOMEM, "cannot make the direct way to OpenCode");
    oc->core = core;
    oc->tail = &oc->head;
    if (options)
        oc->options = *options;
    if (!oc->options.grace_ms)
        oc->options.grace_ms = 3000;
    if (!oc->options.retry_min_ms)
        oc->options.retry_min_ms = 500;
    if (!oc->options.retry_max_ms)
        oc->options.retry_max_ms = 3000;
    if (!oc->options.again_min_ms)
        oc->options.again_min_ms = 500;
    if (!oc->options.again_max_ms)
        oc->options.again_max_ms = 30000;
    oc->retry_ms = oc->options.retry_min_ms;
    int r = core_way_add(&oc->way, core, WAY_HTTP, s->pod, "", &direct_ops, oc);
    if (r < 0) {
        free(oc);
        return error_set_errno(e, r, "cannot make the direct way to OpenCode");
    }
    uv_timer_t *timers[] = { &oc->timer, &oc->resync_timer, &oc->again_timer, &oc->parts_timer };
    for (size_t i = 0; i < ARRAY_SIZE(timers); i++) {
        (void)uv_timer_init(core_loop(core), timers[i]);
        timers[i]->data = oc;
        oc->open_handles++;
    }
    begin(oc, oc->options.grace_ms);
    if (catalog_new(&oc->catalog, oc) < 0)
        log_warn("direct way: no agents and models can be offered");
    *ret = oc;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct opencode *oc = handle->data;
    if (--oc->open_handles > 0)
        return;
    for (size_t i = 0; i < oc->n_directories; i++)
        free(oc->directories[i]);
    free(oc);
}

void opencode_free(struct opencode *oc)
{
    if (!oc)
        return;
    oc->closing = true;
    drop_all(oc);
    calls_cancel(oc);
    core_way_remove(TAKE_PTR(oc->way));
    catalog_free(TAKE_PTR(oc->catalog));
    uv_close((uv_handle_t *)&oc->timer, on_closed);
    uv_close((uv_handle_t *)&oc->resync_timer, on_closed);
    uv_close((uv_handle_t *)&oc->again_timer, on_closed);
    uv_close((uv_handle_t *)&oc->parts_timer, on_closed);
}
