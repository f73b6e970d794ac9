/* rooms: base/server base/ws base/core */
/* The server, spoken to by raw sockets: what it takes, what it refuses and how, and that nothing a
 * client does or leaves undone holds it up. */
#include "base/server/server.h"

#include "tests/unit/net_helper.h"

#include <sys/resource.h>

#include "base/core/cleanup.h"
#include "base/server/head.h"
#include "tests/unit/run_suite.h"

/* ---- the head parser, by table ---- */

static const struct {
    const char *text;
    int status;
} heads[] = {
    { "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
    { "GET / HTTP/1.0\r\n\r\n", 0 },
    { "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
    { "GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
    { "GET /%e2%82%ac HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
    { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 0 },
    { "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 0 },
    { "GET / HTTP/1.1\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400 },
    { "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400 },
    { "GET /\r\n\r\n", 400 },
    { "GET / FTP/1.1\r\n\r\n", 400 },
    { "GET / HTTP/2.0\r\n\r\n", 505 },
    { "PRI * HTTP/2.0\r\n\r\n", 505 },
    { "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 405 },
    { "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405 },
    { "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "GET /%c0%af HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "GET /% HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\n b\r\nHost: a\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost: a\r\nNo colon\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost: a\r\nA: b\x01\r\n\r\n", 400 },
    { "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
      400 },
    { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501 },
    { "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501 },
    { "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", 417 },
};

START_TEST(head_is_judged)
{
    char text[512];
    struct server_head h;
    const char *why = "";
    size_t scanned = 0;
    (void)snprintf(text, sizeof text, "%s", heads[_i].text);
    ssize_t n = server_head_find(text, strlen(text), &scanned);
    ck_assert_int_eq(n, (ssize_t)strlen(text));
    int status = server_head_parse(&h, text, (size_t)n, &why);
    ck_assert_msg(status == heads[_i].status, "%d (%s) for %s", status, why, heads[_i].text);
    ck_assert(status == 0 || *why);
    ck_assert(status != 0 || h.path);
}
END_TEST

START_TEST(head_end_is_found_wherever_it_is_cut)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
    size_t whole = sizeof text - 1 - 4;
    for (size_t cut = 1; cut < whole; cut++) {
        size_t scanned = 0;
        ck_assert_int_eq(server_head_find(text, cut, &scanned), 0);
        ck_assert_int_eq(server_head_find(text, sizeof text - 1, &scanned), (ssize_t)whole);
    }
    size_t scanned = 0;
    ck_assert_int_eq(server_head_find("GET / HTTP/1.1\nHost: a\n\n", 25, &scanned), -EBADMSG);
    _cleanup_free_ char *big = calloc(1, SERVER_HEAD_MAX + 10);
    memset(big, 'a', SERVER_HEAD_MAX + 9);
    scanned = 0;
    ck_assert_int_eq(server_head_find(big, SERVER_HEAD_MAX + 9, &scanned), -EFBIG);
}
END_TEST

static const struct {
    const char *from, *to;
} paths[] = {
    { "/", "/" },
    { "//", "/" },
    { "/a", "/a" },
    { "/a/", "/a/" },
    { "/a//b", "/a/b" },
    { "/a/./b", "/a/b" },
    { "/a/../b", "/b" },
    { "/a/b/..", "/a/" },
    { "/..", "/" },
    { "/../../etc", "/etc" },
    { "/a/..", "/" },
    { "/a/.", "/a/" },
    { "/...", "/..." },
    { "/.a/..b", "/.a/..b" },
    { "/a/b/c/../../d", "/a/d" },
};

START_TEST(path_is_normalised)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%s", paths[_i].from);
    server_path_normalise(text);
    ck_assert_str_eq(text, paths[_i].to);
}
END_TEST

/* ---- a server in a loop ---- */

static uv_loop_t loop;
static struct server *server;
static struct net_peer peer;
static struct server_request *waiting[512];
static unsigned waiting_count, gone_count, request_count, open_count, close_count;
static char last_message[300000];
static size_t last_len;

static void on_gone(void *data)
{
    (void)data;
    gone_count++;
}

static void echo(struct server_request *r)
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

static void on_request(void *data, struct server_request *r)
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

static int ws_opened(void *data, struct server_ws *ws)
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

static void ws_message(void *data, struct server_ws *ws, const char *msg, size_t len, bool binary)
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

static void ws_closed(void *data, struct server_ws *ws)
{
    (void)data;
    (void)ws;
    close_count++;
}

static void start_with(struct server_options o)
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

static void start(void)
{
    start_with((struct server_options){ .max_body = 4096 });
}

static void start_ws(uint64_t ping_ms)
{
    start_with((struct server_options){
        .max_message = 100000,
        .ws_ping_ms = ping_ms,
        .ws = { .on_open = ws_opened, .on_message = ws_message, .on_close = ws_closed },
    });
}

static void finish(void)
{
    if (peer.fd >= 0)
        net_hang_up(&peer);
    server_free(server);
    net_close_loop(&loop);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static void get(const char *path)
{
    char text[256];
    (void)snprintf(text, sizeof text, GET("%s"), path);
    net_send(&peer, text);
}

START_TEST(answers_each_method)
{
    static const struct {
        const char *name;
        enum server_method method;
    } rows[] = { { "GET", SERVER_GET },       { "POST", SERVER_POST },
                 { "PUT", SERVER_PUT },       { "PATCH", SERVER_PATCH },
                 { "DELETE", SERVER_DELETE }, { "OPTIONS", SERVER_OPTIONS } };
    char text[128];
    start();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        (void)snprintf(text, sizeof text, "%s /x HTTP/1.1\r\nHost: a\r\n\r\n", rows[i].name);
        net_send(&peer, text);
        (void)snprintf(text, sizeof text, "method=%d path=/x", (int)rows[i].method);
        net_until(&loop, net_has(&peer, text));
    }
    ck_assert_uint_eq(net_count(&peer, "HTTP/1.1 200 OK"), ARRAY_SIZE(rows));
    ck_assert(!peer.ended);
    finish();
}
END_TEST

START_TEST(gives_the_request_decoded_once)
{
    start();
    net_send(&peer, "POST /a%2520b/../c%20d?q=x%26y+z&other HTTP/1.1\r\nHost: a\r\n"
                    "X-TEST:  value \t\r\nContent-Length: 5\r\n\r\nhello");
    net_until(&loop, net_has(&peer, "path=/c d q=x&y z header=value len=5 body=hello;"));
    get("/%2e%2e/%2e%2e/etc");
    net_until(&loop, net_has(&peer, "path=/etc "));
    get("/a%2520b");
    net_until(&loop, net_has(&peer, "path=/a%20b "));
    finish();
}
END_TEST

START_TEST(drops_header_values_with_line_ends)
{
    start();
    get("/");
    net_until(&loop, net_has(&peer, "method=0"));
    ck_assert(net_has(&peer, "X-Good: yes\r\n"));
    ck_assert(!net_has(&peer, "Smuggled"));
    finish();
}
END_TEST

START_TEST(head_has_length_but_no_body)
{
    start();
    net_send(&peer, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\nHEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    net_until(&loop, waiting_count == 1);
    ck_assert_int_eq(server_stream_write(waiting[0], "data", 4), 0);
    server_stream_end(waiting[0]);
    get("/after");
    net_until(&loop, net_has(&peer, "path=/after"));
    ck_assert(net_has(&peer, "Content-Length: "));
    ck_assert_uint_eq(net_count(&peer, "method=1"), 0);
    ck_assert_uint_eq(net_count(&peer, "data"), 0);
    finish();
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_order)
{
    start();
    net_send(&peer, GET("/1") GET("/wait") GET("/3") "\r\n" GET("/4"));
    net_until(&loop, waiting_count == 1 && net_has(&peer, "path=/1"));
    for (int i = 0; i < 20; i++)
        net_turn(&loop);
    ck_assert_uint_eq(request_count, 2); /* the third waits for the second's answer */
    server_reply(waiting[0], 200, "text/plain", NULL, "second;", 7);
    net_until(&loop, net_has(&peer, "path=/4"));
    ck_assert(strstr(peer.got, "path=/1") < strstr(peer.got, "second;"));
    ck_assert(strstr(peer.got, "second;") < strstr(peer.got, "path=/3"));
    ck_assert(strstr(peer.got, "path=/3") < strstr(peer.got, "path=/4"));
    ck_assert_uint_eq(gone_count, 0);
    finish();
}
END_TEST

START_TEST(a_flood_of_pipelined_requests_is_bounded)
{
    start();
    for (int i = 0; i < 5; i++) {
        net_send(&peer, GET("/big"));
        net_until(&loop, request_count > 0);
    }
    for (int i = 0; i < 50; i++)
        net_turn(&loop);
    ck_assert_uint_le(request_count, 3); /* the others wait until the client reads */
    finish();
}
END_TEST

START_TEST(a_body_may_come_a_byte_at_a_time)
{
    static const char sized[] = "POST /s HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    static const char chunked[] =
        "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
    start();
    for (size_t i = 0; i < sizeof sized - 1; i++) {
        net_send_bytes(&peer, sized + i, 1);
        net_turn(&loop);
    }
    net_until(&loop, net_has(&peer, "path=/s q=- header=- len=3 body=abc;"));
    for (size_t i = 0; i < sizeof chunked - 1; i++) {
        net_send_bytes(&peer, chunked + i, 1);
        net_turn(&loop);
    }
    net_until(&loop, net_has(&peer, "path=/c q=- header=- len=13 body=abc0123456789;"));
    finish();
}
END_TEST

START_TEST(expect_is_answered_with_continue)
{
    start();
    net_send(&peer, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
                    "Expect: 100-continue\r\n\r\n");
    net_until(&loop, net_has(&peer, "HTTP/1.1 100 Continue\r\n\r\n"));
    net_send(&peer, "abc");
    net_until(&loop, net_has(&peer, "len=3 body=abc;"));
    finish();
}
END_TEST

#define CHUNKED "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

/* Each is refused with that status, told to close, and closed. */
static const struct {
    const char *text;
    const char *status;
} refused[] = {
    { "GET / HTTP/1.1\nHost: a\n\n", "400" },
    { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
      "400" },
    { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4097\r\n\r\n", "413" },
    { CHUNKED "1001\r\n", "413-after-data" },
    { CHUNKED "g\r\n", "400" },
    { CHUNKED "1;a=b\r\nx\r\n", "400" },
    { CHUNKED "1\r\nxy", "400" },
    { CHUNKED "fffffffffffffffff\r\n", "400" },
    { CHUNKED "0\r\nTrailer: a\r\n\r\n", "400" },
    { CHUNKED "\r\n", "400" },
    { "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "405" },
};

START_TEST(bad_requests_are_refused_and_closed)
{
    char want[32];
    start();
    net_send(&peer, refused[_i].text);
    if (strcmp(refused[_i].status, "413-after-data") == 0) {
        static char data[0x1001];
        memset(data, 'x', sizeof data);
        net_send_bytes(&peer, data, sizeof data);
    }
    (void)snprintf(want, sizeof want, "HTTP/1.1 %.3s ", refused[_i].status);
    net_until(&loop, net_ended(&peer));
    ck_assert_msg(net_has(&peer, want), "%s", peer.got);
    ck_assert(net_has(&peer, "Connection: close\r\n"));
    ck_assert(net_has(&peer, "{\"error\":{\"code\":\""));
    ck_assert_uint_eq(request_count, 0);
    finish();
}
END_TEST

START_TEST(huge_headers_get_431)
{
    static char value[SERVER_HEAD_MAX];
    memset(value, 'a', sizeof value);
    start();
    net_send(&peer, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    net_send_bytes(&peer, value, sizeof value);
    net_until(&loop, net_ended(&peer));
    ck_assert(net_has(&peer, "HTTP/1.1 431 "));
    finish();
}
END_TEST

START_TEST(a_slow_request_gets_408)
{
    static const char *const parts[] = {
        "GET / HTTP/1.1\r\nHo", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"
    };
    start_with((struct server_options){ .request_timeout_ms = 50 });
    net_send(&peer, parts[_i]);
    net_until(&loop, net_ended(&peer));
    ck_assert(net_has(&peer, "HTTP/1.1 408 "));
    finish();
}
END_TEST

/* A byte now and then must not buy more time. */
START_TEST(a_slow_loris_gets_408)
{
    uint64_t begin = uv_hrtime();
    start_with((struct server_options){ .request_timeout_ms = 100 });
    net_send(&peer, "GET / HTTP/1.1\r\n");
    while (!net_has(&peer, "408") && uv_hrtime() - begin < 3000000000ull) {
        (void)send(peer.fd, "X", 1, MSG_NOSIGNAL);
        net_turn(&loop);
    }
    ck_assert(net_has(&peer, "HTTP/1.1 408 "));
    finish();
}
END_TEST

START_TEST(silence_is_closed_without_a_word)
{
    start_with((struct server_options){ .request_timeout_ms = 50 });
    net_until(&loop, net_ended(&peer));
    ck_assert_uint_eq(peer.len, 0);
    finish();
}
END_TEST

START_TEST(a_client_gone_while_it_waits_is_told)
{
    start();
    net_send(&peer, GET("/wait"));
    net_until(&loop, waiting_count == 1);
    net_hang_up(&peer);
    net_until(&loop, gone_count == 1);
    finish();
}
END_TEST

START_TEST(an_answer_to_a_gone_client_finds_nobody)
{
    start();
    net_send(&peer, GET("/wait-deaf"));
    net_until(&loop, waiting_count == 1);
    net_hang_up(&peer);
    for (int i = 0; i < 20; i++)
        net_turn(&loop);
    ck_assert_str_eq(server_request_path(waiting[0]), "/wait-deaf");
    server_reply(waiting[0], 200, "text/plain", NULL, "x", 1);
    finish();
}
END_TEST

START_TEST(a_stream_is_sent_in_chunks)
{
    start();
    net_send(&peer, GET("/stream"));
    net_until(&loop, waiting_count == 1);
    ck_assert_int_eq(server_stream_write(waiting[0], "hello", 5), 0);
    ck_assert_int_eq(server_stream_write(waiting[0], "", 0), 0);
    net_until(&loop, net_has(&peer, "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"));
    server_stream_end(waiting[0]);
    net_until(&loop, net_has(&peer, "hello\r\n0\r\n\r\n"));
    get("/after");
    net_until(&loop, net_has(&peer, "path=/after"));
    ck_assert_uint_eq(gone_count, 0);
    finish();
}
END_TEST

START_TEST(a_stream_of_http_1_0_ends_with_the_connection)
{
    start();
    net_send(&peer, "GET /stream HTTP/1.0\r\n\r\n");
    net_until(&loop, waiting_count == 1);
    ck_assert_int_eq(server_stream_write(waiting[0], "hello", 5), 0);
    server_stream_end(waiting[0]);
    net_until(&loop, net_ended(&peer));
    ck_assert(net_has(&peer, "\r\n\r\nhello"));
    ck_assert(!net_has(&peer, "chunked"));
    finish();
}
END_TEST

START_TEST(a_stream_nobody_reads_is_refused_more)
{
    static char data[65536];
    int r = 0;
    start();
    net_send(&peer, GET("/stream"));
    net_until(&loop, waiting_count == 1);
    for (int i = 0; i < 1000 && r == 0; i++) {
        r = server_stream_write(waiting[0], data, sizeof data);
        net_turn(&loop);
    }
    ck_assert_int_eq(r, -ENOBUFS);
    server_stream_end(waiting[0]);
    finish();
    ck_assert_uint_eq(gone_count, 0);
}
END_TEST

START_TEST(a_client_that_reads_nothing_is_gone)
{
    static char data[65536];
    start_with((struct server_options){ .stall_ms = 150 });
    net_send(&peer, GET("/stream"));
    net_until(&loop, waiting_count == 1);
    for (int i = 0; i < 100 && gone_count == 0; i++) {
        if (server_stream_write(waiting[0], data, sizeof data) == -ENOBUFS)
            break;
        net_turn(&loop);
    }
    net_until(&loop, gone_count == 1);
    finish();
}
END_TEST

START_TEST(a_slow_reader_is_not_gone)
{
    static char data[65536];
    size_t got = 0;
    start_with((struct server_options){ .stall_ms = 300 });
    net_send(&peer, GET("/huge"));
    uint64_t begin = uv_hrtime(), next = begin;
    while (uv_hrtime() - begin < 900000000ull) { /* three times as long as a stall may be */
        net_turn(&loop);
        if (uv_hrtime() < next)
            continue;
        ssize_t n = recv(peer.fd, data, 8192, 0);
        ck_assert_msg(n > 0 || (n < 0 && errno == EAGAIN), "cut off");
        got += n > 0 ? (size_t)n : 0;
        next = uv_hrtime() + 2000000;
    }
    ck_assert_uint_lt(got, HUGE_BODY);
    while (got < HUGE_BODY) {
        ssize_t n = recv(peer.fd, data, sizeof data, 0);
        ck_assert_msg(n > 0 || (n < 0 && errno == EAGAIN), "cut off");
        got += n > 0 ? (size_t)n : 0;
        net_turn(&loop);
    }
    finish();
}
END_TEST

START_TEST(three_hundred_at_once)
{
    static int fds[300];
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    start();
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        struct net_peer *p = &peer;
        net_hang_up(p);
        net_connect(p, server_port(server));
        net_send(p, GET("/wait"));
        fds[i] = dup(p->fd);
        if (i % 50 == 0)
            net_turn(&loop);
    }
    net_until(&loop, waiting_count == ARRAY_SIZE(fds));
    for (size_t i = 0; i < waiting_count; i++)
        server_reply(waiting[i], 200, "text/plain", NULL, "done;", 5);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        struct net_peer *p = &peer;
        net_hang_up(p);
        p->fd = fds[i];
        p->len = 0;
        p->ended = false;
        net_until(&loop, net_has(p, "done;"));
    }
    ck_assert_uint_eq(gone_count, 0);
    finish();
}
END_TEST

START_TEST(connections_over_the_limit_are_closed)
{
    struct net_peer *second = calloc(1, sizeof *second);
    start_with((struct server_options){ .max_connections = 1 });
    net_send(&peer, GET("/wait"));
    net_until(&loop, waiting_count == 1);
    net_connect(second, server_port(server));
    net_until(&loop, net_ended(second));
    server_reply(waiting[0], 200, "text/plain", NULL, "done;", 5);
    net_until(&loop, net_has(&peer, "done;"));
    net_hang_up(second);
    free(second);
    finish();
}
END_TEST

START_TEST(the_end_tells_those_who_wait)
{
    start();
    net_send(&peer, GET("/wait"));
    net_until(&loop, waiting_count == 1);
    server_free(server);
    ck_assert_uint_eq(gone_count, 1);
    server = NULL;
    finish();
}
END_TEST

START_TEST(a_handler_may_end_the_server)
{
    start();
    net_send(&peer, GET("/end-of-server") GET("/never"));
    net_until(&loop, net_has(&peer, "bye") && net_ended(&peer));
    ck_assert_uint_eq(request_count, 1);
    finish();
}
END_TEST

START_TEST(two_servers_share_a_loop_but_no_port)
{
    struct server *other = NULL;
    struct error e = ERROR_INIT;
    start();
    struct server_options o = {
        .loop = &loop, .listen = "127.0.0.1", .port = server_port(server), .on_request = on_request
    };
    ck_assert_int_eq(server_new(&other, &o, &e), -EADDRINUSE);
    ck_assert(strstr(e.message, "cannot listen"));
    o.port = 0;
    ck_assert_int_eq(server_new(&other, &o, &e), 0);
    net_hang_up(&peer);
    net_connect(&peer, server_port(other));
    get("/other");
    net_until(&loop, net_has(&peer, "path=/other"));
    server_free(other);
    o.listen = "no address";
    ck_assert_int_eq(server_new(&other, &o, &e), -EINVAL);
    finish();
}
END_TEST

/* ---- WebSocket ---- */

#define UPGRADE(path, token)                                                                       \
    "GET " path                                                                                    \
    " HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"            \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"                 \
    "Authorization: Bearer " token "\r\n\r\n"

/* A masked frame with a mask of zeros. */
static void send_frame(unsigned char first, const void *payload, size_t len)
{
    unsigned char head[14] = { first };
    size_t n = 2;
    if (len < 126) {
        head[1] = (unsigned char)(0x80 | len);
    } else {
        head[1] = 0x80 | 127;
        for (int i = 0; i < 8; i++)
            head[2 + i] = (unsigned char)((uint64_t)len >> (56 - 8 * i));
        n = 10;
    }
    net_send_bytes(&peer, head, n + 4);
    net_send_bytes(&peer, payload, len);
}

static void open_ws(void)
{
    net_send(&peer, UPGRADE("/ws", "t"));
    net_until(&loop, net_has(&peer, "\x81\x07welcome"));
    ck_assert(net_has(&peer, "HTTP/1.1 101 "));
    ck_assert(net_has(&peer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
}

static const struct {
    const char *text, *status;
} upgrades[] = {
    { UPGRADE("/ws", "wrong"), "401" },
    { UPGRADE("/elsewhere", "t"), "404" },
    { "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      "426" },
    { "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n",
      "426" },
};

START_TEST(upgrades_can_be_refused)
{
    char want[32];
    start_ws(0);
    net_send(&peer, upgrades[_i].text);
    (void)snprintf(want, sizeof want, "HTTP/1.1 %s ", upgrades[_i].status);
    net_until(&loop, net_has(&peer, want));
    get("/after"); /* the connection lives on */
    net_until(&loop, net_has(&peer, "path=/after"));
    finish();
    ck_assert_uint_eq(open_count + close_count, 0);
}
END_TEST

START_TEST(messages_are_joined_and_echoed)
{
    static char big[90000];
    memset(big, 'b', sizeof big);
    start_ws(0);
    open_ws();
    send_frame(0x81, "abc", 3);
    net_until(&loop, net_has(&peer, "\x81\x03"
                                    "abc"));
    send_frame(0x01, "de", 2);
    send_frame(0x89, "ping", 4);
    send_frame(0x00, "f", 1);
    send_frame(0x80, "g", 1);
    net_until(&loop, net_has(&peer, "\x81\x04"
                                    "defg"));
    ck_assert(net_has(&peer, "\x8a\x04ping"));
    send_frame(0x81, big, sizeof big);
    net_until(&loop, last_len == sizeof big);
    ck_assert_mem_eq(last_message, big, sizeof big);
    send_frame(0x82, "\0\1", 2);
    net_until(&loop, net_has(&peer, "\x81\x06"
                                    "binary"));
    finish();
    ck_assert_uint_eq(close_count, 1);
}
END_TEST

START_TEST(early_frames_are_kept)
{
    static const char both[] = UPGRADE("/ws", "t") "\x81\x85\0\0\0\0early";
    start_ws(0);
    net_send_bytes(&peer, both, sizeof both - 1);
    net_until(&loop, net_has(&peer, "\x81\x05"
                                    "early"));
    finish();
}
END_TEST

/* What ends a connection, and the close code that tells why (big-endian, in a close frame). */
static const struct {
    unsigned char first;
    const char *payload;
    size_t len;
    unsigned code;
} enders[] = {
    { 0x81, NULL, 100001, 1009 },
    { 0x81, "\xff\xfe", 2, 1007 },
    { 0x81, "close", 5, 4001 },
    { 0x88, "\x03\xe8", 2, 1000 },
};

START_TEST(close_codes_say_why)
{
    static char big[100001];
    memset(big, 'b', sizeof big);
    start_ws(0);
    open_ws();
    send_frame(enders[_i].first, enders[_i].payload ? enders[_i].payload : big, enders[_i].len);
    net_until(&loop, net_read(&peer) && memchr(peer.got, 0x88, peer.len));
    const unsigned char *frame = memchr(peer.got, 0x88, peer.len);
    ck_assert_ptr_nonnull(frame);
    ck_assert_uint_eq((unsigned)frame[2] << 8 | frame[3], enders[_i].code);
    if (enders[_i].code == 1007) /* libwebsockets' own: it waits longer for the peer's answer */
        net_hang_up(&peer);
    net_until(&loop, close_count == 1);
    finish();
    ck_assert_uint_eq(close_count, 1);
}
END_TEST

START_TEST(a_peer_that_answers_no_ping_is_gone)
{
    start_ws(20);
    open_ws();
    net_until(&loop, net_read(&peer) && memchr(peer.got, 0x89, peer.len));
    net_until(&loop, close_count == 1 && net_ended(&peer));
    finish();
}
END_TEST

/* A masked pong with the ping's payload, as browsers and Bun answer, keeps it open: four times as
 * many pings are answered as may stay unanswered. */
START_TEST(a_peer_that_answers_pings_stays)
{
    start_ws(20);
    open_ws();
    net_until(&loop, net_read(&peer) && memmem(peer.got, peer.len, "\r\n\r\n", 4));
    size_t at = (size_t)((char *)memmem(peer.got, peer.len, "\r\n\r\n", 4) - (char *)peer.got) + 4;
    for (int answered = 0; answered < 12;) {
        net_until(&loop, close_count || (net_read(&peer) && peer.len >= at + 2));
        ck_assert_uint_eq(close_count, 0);
        size_t len = (unsigned char)peer.got[at + 1];
        net_until(&loop, net_read(&peer) && peer.len >= at + 2 + len);
        if ((unsigned char)peer.got[at] == 0x89) {
            send_frame(0x8a, peer.got + at + 2, len);
            answered++;
        }
        at += 2 + len;
    }
    ck_assert_uint_eq(close_count, 0);
    finish();
}
END_TEST

START_TEST(a_cut_connection_is_told_once)
{
    start_ws(0);
    open_ws();
    net_hang_up(&peer);
    net_until(&loop, close_count == 1);
    finish();
    ck_assert_uint_eq(close_count, 1);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("server");
    TCase *parser = tcase_create("head"), *http = tcase_create("http"), *ws = tcase_create("ws");
    tcase_add_loop_test(parser, head_is_judged, 0, (int)ARRAY_SIZE(heads));
    tcase_add_test(parser, head_end_is_found_wherever_it_is_cut);
    tcase_add_loop_test(parser, path_is_normalised, 0, (int)ARRAY_SIZE(paths));
    suite_add_tcase(s, parser);

    tcase_set_timeout(http, 30);
    tcase_add_test(http, answers_each_method);
    tcase_add_test(http, gives_the_request_decoded_once);
    tcase_add_test(http, drops_header_values_with_line_ends);
    tcase_add_test(http, head_has_length_but_no_body);
    tcase_add_test(http, pipelined_requests_are_answered_in_order);
    tcase_add_test(http, a_flood_of_pipelined_requests_is_bounded);
    tcase_add_test(http, a_body_may_come_a_byte_at_a_time);
    tcase_add_test(http, expect_is_answered_with_continue);
    tcase_add_loop_test(http, bad_requests_are_refused_and_closed, 0, (int)ARRAY_SIZE(refused));
    tcase_add_test(http, huge_headers_get_431);
    tcase_add_loop_test(http, a_slow_request_gets_408, 0, 2);
    tcase_add_test(http, a_slow_loris_gets_408);
    tcase_add_test(http, silence_is_closed_without_a_word);
    tcase_add_test(http, a_client_gone_while_it_waits_is_told);
    tcase_add_test(http, an_answer_to_a_gone_client_finds_nobody);
    tcase_add_test(http, a_stream_is_sent_in_chunks);
    tcase_add_test(http, a_stream_of_http_1_0_ends_with_the_connection);
    tcase_add_test(http, a_stream_nobody_reads_is_refused_more);
    tcase_add_test(http, a_client_that_reads_nothing_is_gone);
    tcase_add_test(http, a_slow_reader_is_not_gone);
    tcase_add_test(http, three_hundred_at_once);
    tcase_add_test(http, connections_over_the_limit_are_closed);
    tcase_add_test(http, the_end_tells_those_who_wait);
    tcase_add_test(http, a_handler_may_end_the_server);
    tcase_add_test(http, two_servers_share_a_loop_but_no_port);
    suite_add_tcase(s, http);

    tcase_set_timeout(ws, 30);
    tcase_add_loop_test(ws, upgrades_can_be_refused, 0, (int)ARRAY_SIZE(upgrades));
    tcase_add_test(ws, messages_are_joined_and_echoed);
    tcase_add_test(ws, early_frames_are_kept);
    tcase_add_loop_test(ws, close_codes_say_why, 0, (int)ARRAY_SIZE(enders));
    tcase_add_test(ws, a_peer_that_answers_no_ping_is_gone);
    tcase_add_test(ws, a_peer_that_answers_pings_stays);
    tcase_add_test(ws, a_cut_connection_is_told_once);
    suite_add_tcase(s, ws);
    return s;
}

int main(void)
{
    return run_suite(make_suite());
}
