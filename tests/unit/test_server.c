/* rooms: base/server base/ws base/core */
/* The server, spoken to by raw sockets: what it takes, what it refuses and how, and that nothing a
 * client does or leaves undone holds it up. */
#include "tests/unit/server_helper.h"

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

static Suite *make_suite(void)
{
    Suite *s = suite_create("server");
    TCase *http = tcase_create("http");
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
    return s;
}

int main(void)
{
    return run_suite(make_suite());
}
