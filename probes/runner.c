/* Runs active checks: HTTP targets one after the other, or one TCP connect. */
#include "probes/app.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/parse.h"

#define ERROR_BODY_MAX ((size_t)64 << 10)

struct run {
    struct app *app;
    struct run *prev, *next;
    struct check *check;
    size_t target;
    struct http_request *http;
    /* TCP */
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_connect_t connect;
    uv_getaddrinfo_t lookup;
    bool looking_up, over;
    int handles;
};

static void unref(struct run *run)
{
    if (run->handles == 0 && run->over && !run->looking_up)
        free(run);
}

static void on_closed(uv_handle_t *h)
{
    struct run *run = h->data;
    run->handles--;
    unref(run);
}

static void drop(struct run *run)
{
    run->over = true;
    if (run->prev)
        run->prev->next = run->next;
    else
        run->app->runs = run->next;
    if (run->next)
        run->next->prev = run->prev;
    if (run->http)
        http_cancel(run->http);
    if (run->handles) {
        uv_close((uv_handle_t *)&run->tcp, on_closed);
        uv_close((uv_handle_t *)&run->timer, on_closed);
    }
    unref(run);
}

/* `error`: 0, or what kept it from being answered. */
static void finish(struct run *run, bool ok, int error, const char *reason)
{
    struct app *a = run->app;
    struct check *c = run->check;
    if (checks_done(c, error == -ECONNREFUSED, clock_mono_ms()))
        pid1_report(a, c->service, c->kind, ok, ok ? "" : reason);
    run->http = NULL;
    drop(run);
    runner_kick(a);
}

/* ---- HTTP ---- */

static void next_target(struct run *run);

static void ignore_chunk(void *data, const char *chunk, size_t len)
{
    (void)data;
    (void)chunk;
    (void)len;
}

static void on_http_done(void *data, const struct http_response *r)
{
    struct run *run = data;
    const struct check *c = run->check;
    const char *url = c->targets[run->target];
    char reason[400];
    run->http = NULL;
    if (r->error)
        (void)snprintf(reason, sizeof reason, "%.150s: %.200s", url, r->message);
    else if (r->status / 100 != 2)
        (void)snprintf(reason, sizeof reason, "%.150s answered %d", url, r->status);
    else if (c->auth && strncasecmp(r->content_type, "text/html", 9) == 0)
        /* OpenCode answers every path that it does not know with its web page, and 200. */
        (void)snprintf(reason, sizeof reason, "%.150s answered with a web page", url);
    else {
        run->target++;
        next_target(run);
        return;
    }
    finish(run, false, r->error, reason);
}

static void next_target(struct run *run)
{
    const struct check *c = run->check;
    const struct app *a = run->app;
    if (run->target == c->target_count) {
        finish(run, true, 0, "");
        return;
    }
    const struct http_options o = {
        .url = c->targets[run->target],
        .user = c->auth ? a->user : NULL,
        .password = c->auth ? a->password : NULL,
        .timeout_ms = c->timeout_ms,
        .connect_timeout_ms = c->timeout_ms,
        .max_body = ERROR_BODY_MAX,
        .fresh_connection = true,
        .on_chunk = ignore_chunk,
        .on_done = on_http_done,
        .data = run,
    };
    if (http_start(a->http, &o, &run->http) < 0)
        finish(run, false, -EINVAL, "the check cannot be started: is its URL right?");
}

/* ---- TCP ---- */

static void tcp_failed(struct run *run, int error, const char *what)
{
    char reason[256];
    (void)snprintf(reason, sizeof reason, "%.120s: %.100s", run->check->targets[0], what);
    finish(run, false, error, reason);
}

static void on_tcp_timeout(uv_timer_t *timer)
{
    tcp_failed(timer->data, -ETIMEDOUT, "no connection in time");
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct run *run = connect->data;
    if (run->over)
        return;
    if (status < 0)
        tcp_failed(run, status, uv_strerror(status));
    else
        finish(run, true, 0, "");
}

static void on_looked_up(uv_getaddrinfo_t *lookup, int status, struct addrinfo *found)
{
    struct run *run = lookup->data;
    run->looking_up = false;
    if (run->over) {
        unref(run);
    } else {
        if (status == 0)
            status = uv_tcp_connect(&run->connect, &run->tcp, found->ai_addr, on_connected);
        if (status < 0)
            tcp_failed(run, status, uv_strerror(status));
    }
    uv_freeaddrinfo(found);
}

static void start_tcp(struct run *run)
{
    char host[256];
    uint64_t port;
    const char *target = run->check->targets[0];
    const char *colon = strrchr(target, ':');
    size_t len = colon ? (size_t)(colon - target) : 0;
    bool bracketed = len >= 2 && target[0] == '[' && target[len - 1] == ']';
    if (!colon || len >= sizeof host || parse_u64(colon + 1, 1, 65535, &port) < 0) {
        tcp_failed(run, -EINVAL, "this is no host:port");
        return;
    }
    (void)snprintf(host, sizeof host, "%.*s", (int)(bracketed ? len - 2 : len), target + bracketed);
    (void)uv_tcp_init(run->app->loop, &run->tcp);
    (void)uv_timer_init(run->app->loop, &run->timer);
    run->tcp.data = run->timer.data = run->connect.data = run->lookup.data = run;
    run->handles = 2;
    (void)uv_timer_start(&run->timer, on_tcp_timeout, run->check->timeout_ms, 0);
    struct sockaddr_storage addr = { 0 };
    const char *name = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    int r;
    if (uv_ip4_addr(name, (int)port, (struct sockaddr_in *)&addr) == 0 ||
        uv_ip6_addr(name, (int)port, (struct sockaddr_in6 *)&addr) == 0) {
        r = uv_tcp_connect(&run->connect, &run->tcp, (const struct sockaddr *)&addr, on_connected);
    } else {
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
        r = uv_getaddrinfo(run->app->loop, &run->lookup, on_looked_up, host, colon + 1, &hints);
        run->looking_up = r == 0;
    }
    if (r < 0)
        tcp_failed(run, r, uv_strerror(r));
}

/* ---- life ---- */

static void start(struct app *a, struct check *c)
{
    struct run *run = calloc(1, sizeof *run);
    if (!run) {
        (void)checks_done(c, false, clock_mono_ms());
        return;
    }
    run->app = a;
    run->check = c;
    run->next = a->runs;
    if (run->next)
        run->next->prev = run;
    a->runs = run;
    if (c->type == CHECK_HTTP)
        next_target(run);
    else
        start_tcp(run);
}

static void on_due(uv_timer_t *timer)
{
    runner_kick(timer->data);
}

void runner_kick(struct app *a)
{
    uint64_t wait;
    struct check *c;
    if (a->stopping)
        return;
    while ((c = checks_take(&a->checks, clock_mono_ms(), &wait)))
        start(a, c);
    if (wait == CHECK_NEVER)
        (void)uv_timer_stop(&a->check_timer);
    else
        (void)uv_timer_start(&a->check_timer, on_due, wait, 0);
}

void runner_cancel(struct app *a)
{
    while (a->runs) {
        a->runs->check->running = false;
        drop(a->runs);
    }
}

void runner_start(struct app *a)
{
    (void)uv_timer_init(a->loop, &a->check_timer);
    a->check_timer.data = a;
}

void runner_stop(struct app *a)
{
    runner_cancel(a);
    checks_release(&a->checks);
    uv_close((uv_handle_t *)&a->check_timer, NULL);
}
