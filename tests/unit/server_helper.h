/* A server in a loop, which echoes what it is asked; for the test_server* programs. */
#pragma once

#include "base/server/server.h"

#include "tests/unit/net_helper.h"

#include <sys/resource.h>

#include "base/core/cleanup.h"
#include "base/server/head.h"
#include "tests/unit/run_suite.h"

static uv_loop_t loop;
static struct server *server;
static struct net_peer peer;
static struct server_request *waiting[512];
static unsigned waiting_count, gone_count, request_count, open_count, close_count;
static char last_message[300000];
static size_t last_len;

static inline void on_gone(void *data)
{
    (void)data;
    gone_count++;
}

static inline void echo(struct server_request *r)
{
    static const char *const extra[] = { "X-Good: yes", "X-Bad: a\r\nX-Smuggled: b", NULL };
    char text[2048];
    size_t len;
    const char *body = server_request_body(r, &len), *q = server_request_query(r, "q");
    const char *header = server_request_header(r, "x-test");
    int n = snprintf(text, sizeof text, "method=%d path=%s q=%s header=%s len=%zu body=%.200s;",
                     (int)server_request_method(r), server_request_path(r), q ? q : "-",
                     header ? header : "-", len, body);
    server_reply(r, 200, "text/plain", extra, text, (size_t)n);
}

#define HUGE_BODY ((size_t)16 << 20) /* more than the kernel takes off us */

static inline void on_request(void *data, struct server_request *r)
{
    (void)data;
    const char *path = server_request_path(r);
    request_count++;
    if (strncmp(path, "/wait", 5) == 0) {
        if (strcmp(path, "/wait-deaf") != 0)
            server_request_on_gone(r, on_gone, NULL);
        waiting[waiting_count++] = r;
    } else if (strcmp(path, "/stream") == 0) {
        server_request_on_gone(r, on_gone, NULL);
        ck_assert_int_eq(server_stream_start(r, 200, "text/event-stream", NULL), 0);
        waiting[waiting_count++] = r;
    } else if (strcmp(path, "/big") == 0) {
        static char big[2 << 20];
        server_reply(r, 200, "text/plain", NULL, big, sizeof big);
    } else if (strcmp(path, "/huge") == 0) {
        char *huge = calloc(1, HUGE_BODY);
        server_reply(r, 200, "text/plain", NULL, huge, HUGE_BODY);
        free(huge);
    } else if (strcmp(path, "/end-of-server") == 0) {
        server_reply(r, 200, "text/plain", NULL, "bye", 3);
        server_free(server);
        server = NULL;
    } else {
        echo(r);
    }
}

static inline int ws_opened(void *data, struct server_ws *ws)
{
    (void)data;
    if (strcmp(server_ws_path(ws), "/ws") != 0)
        return 404;
    const char *auth = server_ws_header(ws, "authorization");
    if (!auth || strcmp(auth, "Bearer t") != 0)
        return 401;
    open_count++;
    server_ws_set_data(ws, &open_count);
    ck_assert_int_eq(server_ws_send(ws, "welcome", 7), 0);
    return 0;
}

static inline void ws_message(void *data, struct server_ws *ws, const char *msg, size_t len,
                              bool binary)
{
    (void)data;
    ck_assert_ptr_eq(server_ws_data(ws), &open_count);
    ck_assert_uint_lt(len, sizeof last_message);
    memcpy(last_message, msg, len + 1);
    last_len = len;
    if (strcmp(msg, "close") == 0)
        server_ws_close(ws, 4001, "asked");
    else
        (void)server_ws_send(ws, binary ? "binary" : msg, binary ? 6 : len);
}

static inline void ws_closed(void *data, struct server_ws *ws)
{
    (void)data;
    (void)ws;
    close_count++;
}

static inline void start_with(struct server_options o)
{
    struct error e = ERROR_INIT;
    waiting_count = gone_count = request_count = open_count = close_count = 0;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    o.loop = &loop;
    o.listen = "127.0.0.1";
    o.on_request = on_request;
    ck_assert_msg(server_new(&server, &o, &e) == 0, "%s", e.message);
    net_connect(&peer, server_port(server));
}

static inline void start(void)
{
    start_with((struct server_options){ .max_body = 4096 });
}

static inline void start_ws(uint64_t ping_ms)
{
    start_with((struct server_options){
        .max_message = 100000,
        .ws_ping_ms = ping_ms,
        .ws = { .on_open = ws_opened, .on_message = ws_message, .on_close = ws_closed },
    });
}

static inline void finish(void)
{
    if (peer.fd >= 0)
        net_hang_up(&peer);
    server_free(server);
    net_close_loop(&loop);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static inline void get(const char *path)
{
    char text[256];
    (void)snprintf(text, sizeof text, GET("%s"), path);
    net_send(&peer, text);
}
