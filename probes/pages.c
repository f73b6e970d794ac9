/* The pages of the probe server. Probes answer from the cached verdicts; /metrics asks PID 1 for
 * its status, and the gateway for its own metrics, at most once a second. The gateway has a
 * fraction of a second to answer: one that is wedged must not keep a scraper from hearing of the
 * rest. */
#include "probes/app.h"

#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/json/json.h"
#include "base/metrics/metrics.h"
#include "probes/metrics.h"

#define METRICS_FRESH_MS   1000
#define STATUS_TIMEOUT_MS  2000
#define GATEWAY_TIMEOUT_MS 500
#define GATEWAY_PAGE_MAX   ((size_t)256 << 10)

static const struct {
    const char *path;
    enum probe probe;
} pages[] = {
    { "/livez", PROBE_LIVE },   { "/healthz", PROBE_LIVE }, { "/health", PROBE_LIVE },
    { "/readyz", PROBE_READY }, { "/ready", PROBE_READY },  { "/startupz", PROBE_STARTUP },
};

static const char *const no_store[] = { "Cache-Control: no-store",
                                        "X-Content-Type-Options: nosniff", NULL };

static void answer_probe(struct app *a, struct server_request *r, const char *page, enum probe p)
{
    const struct verdict *v = &a->verdicts[p];
    const char *accept = server_request_header(r, "accept");
    uint64_t now = clock_mono_ms();
    bool json = accept && strstr(accept, "application/json");
    _cleanup_buf_ struct buf body = BUF_INIT;
    if (json)
        verdict_json(v, p, now, &body);
    else
        verdict_text(v, page, server_request_query(r, "verbose") != NULL, now, &body);
    server_reply(r, verdict_ok(v, now) ? 200 : 503,
                 json ? "application/json" : "text/plain; charset=utf-8", no_store, buf_str(&body),
                 body.len);
}

/* ---- metrics ---- */

/* Once both have answered, or have not in their time. */
static void answer_waiters(struct app *a)
{
    if (a->status_call || a->gateway_call)
        return;
    a->metrics_ms = clock_mono_ms();
    while (a->waiter_count) {
        struct server_request *r = a->waiters[--a->waiter_count];
        server_request_on_gone(r, NULL, NULL);
        server_reply(r, 200, METRICS_CONTENT_TYPE, NULL, buf_str(&a->metrics), a->metrics.len);
    }
}

static void on_status(void *data, const char *line, size_t len)
{
    struct app *a = data;
    _cleanup_json_ cJSON *j = NULL;
    if (a->status_known || json_parse(&j, line, len, NULL) < 0 || !json_arr(j, "services"))
        return;
    metrics_render(j, &a->metrics);
    a->status_known = true;
}

static void on_status_end(void *data, int error, const char *message)
{
    struct app *a = data;
    a->status_call = NULL;
    if (error < 0)
        log_debug("status: %s", message);
    if (!a->status_known)
        metrics_render(NULL, &a->metrics);
    answer_waiters(a);
}

static void on_gateway(void *data, const struct http_response *r)
{
    struct app *a = data;
    bool good = r->error == 0 && r->status == 200;
    a->gateway_call = NULL;
    if (!good)
        log_debug("the gateway's metrics: %s (HTTP %d)", r->message, r->status);
    metrics_gateway(&a->metrics, good ? r->body : NULL, r->body_len);
    answer_waiters(a);
}

/* Where the pod's own gateway listens is told by its health check; a hub elsewhere is scraped by
 * itself. */
static bool gateway_url(const struct app *a, struct buf *url)
{
    for (size_t i = 0; i < a->checks.count; i++) {
        const struct check *c = &a->checks.rows[i];
        const char *at = c->target_count ? c->targets[0] : "";
        if (c->type != CHECK_HTTP || strcmp(c->service, "gateway") != 0 ||
            strncmp(at, "http://", 7) != 0)
            continue;
        (void)buf_append(url, at, 7 + strcspn(at + 7, "/"));
        return buf_puts(url, "/metrics") == 0;
    }
    return false;
}

static void ask_gateway(struct app *a)
{
    _cleanup_buf_ struct buf url = BUF_INIT;
    if (!gateway_url(a, &url))
        return;
    const struct http_options o = {
        .url = buf_str(&url),
        .timeout_ms = GATEWAY_TIMEOUT_MS,
        .connect_timeout_ms = GATEWAY_TIMEOUT_MS,
        .max_body = GATEWAY_PAGE_MAX,
        .fresh_connection = true,
        .on_done = on_gateway,
        .data = a,
    };
    if (http_start(a->http, &o, &a->gateway_call) < 0)
        metrics_gateway(&a->metrics, NULL, 0);
}

static int ask_all(struct app *a)
{
    static const char *const words[] = { "status", NULL };
    const struct uvcontrol_options o = {
        .loop = a->loop,
        .words = words,
        .timeout_ms = STATUS_TIMEOUT_MS,
        .on_line = on_status,
        .on_end = on_status_end,
        .data = a,
    };
    if (a->status_call || a->gateway_call)
        return 0; /* who comes now gets the same answer */
    int r = uvcontrol_start(&a->status_call, &o);
    if (r < 0)
        return r;
    buf_reset(&a->metrics);
    a->metrics_ms = 0;
    a->status_known = false;
    ask_gateway(a);
    return 0;
}

static void forget_waiter(struct app *a, const struct server_request *r)
{
    for (size_t i = 0; i < a->waiter_count; i++)
        if (a->waiters[i] == r)
            a->waiters[i] = a->waiters[--a->waiter_count];
}

/* on_gone carries one pointer only, and both the program and the request are wanted. */
static struct app *the_app;

static void on_gone(void *data)
{
    forget_waiter(the_app, data);
}

static void answer_metrics(struct app *a, struct server_request *r)
{
    static const char busy[] = "too many requests wait for PID 1's status\n";
    if (a->metrics_ms && clock_mono_ms() - a->metrics_ms <= METRICS_FRESH_MS) {
        server_reply(r, 200, METRICS_CONTENT_TYPE, NULL, buf_str(&a->metrics), a->metrics.len);
        return;
    }
    if (a->waiter_count == APP_WAITERS_MAX || ask_all(a) < 0) {
        server_reply(r, 503, "text/plain; charset=utf-8", NULL, busy, sizeof busy - 1);
        return;
    }
    the_app = a;
    a->waiters[a->waiter_count++] = r;
    server_request_on_gone(r, on_gone, r);
}

void pages_answer(void *app, struct server_request *r)
{
    static const char *const allow[] = { "Allow: GET, HEAD", NULL };
    static const char bad_method[] = "only GET and HEAD are answered here\n";
    static const char not_found[] = "not found; there are /livez /readyz /startupz /metrics\n";
    const char *path = server_request_path(r);
    enum server_method method = server_request_method(r);
    if (method != SERVER_GET && method != SERVER_HEAD) {
        server_reply(r, 405, "text/plain; charset=utf-8", allow, bad_method, sizeof bad_method - 1);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
        if (strcmp(pages[i].path, path) == 0) {
            answer_probe(app, r, path + 1, pages[i].probe);
            return;
        }
    if (strcmp(path, "/metrics") == 0)
        answer_metrics(app, r);
    else
        server_reply(r, 404, "text/plain; charset=utf-8", NULL, not_found, sizeof not_found - 1);
}

void pages_stop(struct app *a)
{
    uvcontrol_cancel(a->status_call);
    if (a->gateway_call)
        http_cancel(a->gateway_call);
    buf_release(&a->metrics);
}
