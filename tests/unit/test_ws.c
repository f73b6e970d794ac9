/* rooms: base/server base/ws base/core */
/* The WebSocket client against our own server in one loop, and against peers that misbehave. */
#include "base/ws/ws.h"

#include "tests/unit/tls_helper.h"

#include "base/core/cleanup.h"
#include "base/server/server.h"
#include "tests/unit/run_suite.h"

static uv_loop_t loop;
static struct server *server;
static struct server_ws *accepted;
static struct ws_client *client;
static struct ws *socket_;
static unsigned opened, messages, pings, closed;
static int close_code;
static char close_reason[200];
static size_t last_len;
static bool abandon_on_message, send_on_open;

static void on_request(void *data, struct server_request *r)
{
    (void)data;
    server_reply(r, 404, "text/plain", NULL, "no", 2);
}

static int server_open(void *data, struct server_ws *ws)
{
    (void)data;
    accepted = ws;
    return strcmp(server_ws_path(ws), "/refuse") == 0 ? 403 : 0;
}

static void server_message(void *data, struct server_ws *ws, const char *msg, size_t len,
                           bool binary)
{
    (void)data;
    (void)binary;
    if (strcmp(msg, "close") == 0)
        server_ws_close(ws, 4002, "enough");
    else
        (void)server_ws_send(ws, msg, len);
}

static void server_closed(void *data, struct server_ws *ws)
{
    (void)data;
    (void)ws;
    accepted = NULL;
}

static void on_open(void *data, struct ws *ws)
{
    ck_assert_ptr_eq(data, &loop);
    ck_assert_ptr_eq(ws, socket_);
    opened++;
    if (send_on_open)
        ck_assert_int_eq(ws_send(ws, "from on_open", 12), 0);
}

static void on_message(void *data, struct ws *ws, const char *msg, size_t len)
{
    (void)data;
    ck_assert_uint_eq(strlen(msg), len);
    messages++;
    last_len = len;
    if (abandon_on_message)
        ws_abandon(ws);
}

static void on_ping(void *data, struct ws *ws)
{
    (void)data;
    (void)ws;
    pings++;
}

static void on_close(void *data, struct ws *ws, int code, const char *reason)
{
    (void)data;
    ck_assert_ptr_eq(ws, socket_);
    closed++;
    close_code = code;
    (void)snprintf(close_reason, sizeof close_reason, "%s", reason);
}

static void start(const char *ca_file)
{
    struct error e = ERROR_INIT;
    opened = messages = pings = closed = 0;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    const struct server_options o = {
        .loop = &loop,
        .listen = "127.0.0.1",
        .on_request = on_request,
        .max_message = (size_t)1 << 20,
        .ws = { .on_open = server_open, .on_message = server_message, .on_close = server_closed },
    };
    ck_assert_msg(server_new(&server, &o, &e) == 0, "%s", e.message);
    ck_assert_msg(ws_client_new(&client, &loop, ca_file, &e) == 0, "%s", e.message);
}

static void finish(void)
{
    ws_client_free(client);
    server_free(server);
    net_close_loop(&loop);
}

static int open_url(const char *url, struct ws_options o)
{
    struct error e = ERROR_INIT;
    o.url = url;
    o.ops = (struct ws_ops){
        .on_open = on_open, .on_message = on_message, .on_ping = on_ping, .on_close = on_close
    };
    o.data = &loop;
    int r = ws_open(client, &o, &socket_, &e);
    ck_assert(r == 0 || *e.message);
    return r;
}

static void open_port(uint16_t port, const char *path, struct ws_options o)
{
    char url[64];
    (void)snprintf(url, sizeof url, "ws://127.0.0.1:%u%s", (unsigned)port, path);
    ck_assert_int_eq(open_url(url, o), 0);
    ck_assert_uint_eq(opened + closed, 0); /* nothing from within */
}

static void open_own(const char *path)
{
    open_port(server_port(server), path, (struct ws_options){ 0 });
}

START_TEST(opens_and_echoes)
{
    static char big[300000];
    memset(big, 'x', sizeof big);
    start(NULL);
    send_on_open = true;
    open_own("/a?b=c");
    ck_assert_int_eq(ws_send(socket_, "before on_open", 14), 0);
    net_until(&loop, messages == 2);
    ck_assert_int_eq(ws_send(socket_, big, sizeof big), 0);
    net_until(&loop, last_len == sizeof big);
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(ws_send(socket_, "small", 5), 0);
    net_until(&loop, messages == 1003);
    finish();
    ck_assert_uint_eq(opened, 1);
    ck_assert_uint_eq(closed, 0); /* ws_client_free tells nobody */
}
END_TEST

START_TEST(closes_when_asked)
{
    start(NULL);
    open_own("/");
    net_until(&loop, opened == 1);
    ws_close(socket_, 1000);
    ck_assert_int_eq(ws_send(socket_, "x", 1), -ENOTCONN);
    net_until(&loop, closed == 1 && !accepted);
    ck_assert_int_eq(close_code, 1000);
    finish();
    ck_assert_uint_eq(closed, 1);
}
END_TEST

START_TEST(queue_goes_out_before_the_close)
{
    start(NULL);
    open_own("/");
    net_until(&loop, opened == 1);
    ck_assert_int_eq(ws_send(socket_, "close", 5), 0); /* the server then closes with 4002 */
    ws_close(socket_, 1000);
    net_until(&loop, closed == 1);
    finish();
    ck_assert_uint_eq(closed, 1);
}
END_TEST

START_TEST(hears_the_code_of_the_server)
{
    start(NULL);
    open_own("/");
    ck_assert_int_eq(ws_send(socket_, "close", 5), 0);
    net_until(&loop, closed == 1);
    ck_assert_int_eq(close_code, 4002);
    ck_assert_str_eq(close_reason, "enough");
    finish();
}
END_TEST

START_TEST(too_large_a_message_ends_it)
{
    static char big[5000];
    memset(big, 'x', sizeof big);
    start(NULL);
    open_port(server_port(server), "/", (struct ws_options){ .max_message = 4096 });
    ck_assert_int_eq(ws_send(socket_, big, sizeof big), 0);
    net_until(&loop, closed == 1);
    ck_assert_int_eq(close_code, 1009);
    ck_assert_uint_eq(messages, 0);
    finish();
}
END_TEST

START_TEST(may_be_abandoned_within_a_message)
{
    start(NULL);
    abandon_on_message = true;
    open_own("/");
    ck_assert_int_eq(ws_send(socket_, "x", 1), 0);
    ck_assert_int_eq(ws_send(socket_, "y", 1), 0);
    net_until(&loop, messages == 1 && !accepted);
    finish();
    ck_assert_uint_eq(messages, 1);
    ck_assert_uint_eq(closed, 0);
}
END_TEST

START_TEST(may_be_abandoned_before_it_is_open)
{
    start(NULL);
    open_own("/");
    if (_i == 1)
        net_turn(&loop);
    ws_abandon(socket_);
    finish();
    ck_assert_uint_eq(closed + opened, 0);
}
END_TEST

START_TEST(may_be_closed_before_it_is_open)
{
    start(NULL);
    open_own("/");
    if (_i == 1)
        net_turn(&loop);
    ws_close(socket_, 1001);
    net_until(&loop, closed == 1);
    finish();
    ck_assert_uint_eq(closed, 1);
    ck_assert_uint_eq(opened, 0);
}
END_TEST

START_TEST(a_refused_connection_is_told)
{
    start(NULL);
    open_port(tls_free_port(), "/", (struct ws_options){ 0 });
    net_until(&loop, closed == 1);
    ck_assert_int_eq(close_code, 1006);
    ck_assert(*close_reason);
    finish();
}
END_TEST

START_TEST(a_refused_upgrade_is_told)
{
    start(NULL);
    open_own("/refuse");
    net_until(&loop, closed == 1);
    ck_assert_int_eq(close_code, 1006);
    ck_assert_msg(strstr(close_reason, "403"), "%s", close_reason);
    ck_assert_uint_eq(opened, 0);
    finish();
}
END_TEST

static int listen_only(uint16_t *ret_port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(listen(fd, 5), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

START_TEST(a_silent_server_is_given_up)
{
    uint16_t port;
    int fd = listen_only(&port);
    start(NULL);
    open_port(port, "/", (struct ws_options){ .connect_timeout_ms = 50 });
    net_until(&loop, closed == 1);
    ck_assert_msg(strstr(close_reason, "in time"), "%s", close_reason);
    finish();
    ck_assert_uint_eq(closed, 1);
    (void)close(fd);
}
END_TEST

START_TEST(pings_are_signs_of_life)
{
    start(NULL);
    open_port(server_port(server), "/", (struct ws_options){ .ping_ms = 20 });
    net_until(&loop, pings >= 5);
    ck_assert_uint_eq(closed, 0);
    finish();
}
END_TEST

START_TEST(a_server_that_goes_is_told)
{
    start(NULL);
    open_own("/");
    net_until(&loop, opened == 1);
    server_free(server);
    server = NULL;
    net_until(&loop, closed == 1);
    ck_assert_int_eq(close_code, 1006);
    finish();
}
END_TEST

static const char *const bad_urls[] = {
    "http://127.0.0.1/", "ws://",      "ws:///path",          "ws://h:0/", "ws://h:65536/",
    "ws://h:1x/",        "ws://[::1/", "ws://[::1]x/",        "ws://h /",  "ws://h/\r\nX: y",
    "wss//h/",           "",           "ws://h:99999999999/", "ws://h#f",
};

START_TEST(bad_urls_are_refused)
{
    start(NULL);
    ck_assert_int_eq(open_url(bad_urls[_i], (struct ws_options){ 0 }), -EINVAL);
    finish();
    ck_assert_uint_eq(closed, 0);
}
END_TEST

START_TEST(a_name_that_is_none_is_told)
{
    start(NULL);
    ck_assert_int_eq(open_url("ws://no-such-name.invalid/", (struct ws_options){ 0 }), 0);
    net_until(&loop, closed == 1);
    ck_assert_msg(strstr(close_reason, "no-such-name.invalid"), "%s", close_reason);
    finish();
}
END_TEST

/* 0: the certificate is unknown. 1: it is given, and the server's answer is no upgrade. 2: it is
 * given, but bears another name. */
START_TEST(certificates_are_verified)
{
    static struct tls_server tls;
    static const char *const hosts[] = { "localhost", "localhost", "127.0.0.1" };
    char url[64];
    tls_start(&tls);
    start(_i == 0 ? NULL : tls.ca);
    (void)snprintf(url, sizeof url, "wss://%s:%u/", hosts[_i], (unsigned)tls.port);
    ck_assert_int_eq(open_url(url, (struct ws_options){ 0 }), 0);
    net_until(&loop, closed == 1);
    tls_stop(&tls);
    bool upgrade_failed = strstr(close_reason, "HS:") != NULL;
    ck_assert_msg(upgrade_failed == (_i == 1), "%d: %s", _i, close_reason);
    ck_assert_uint_eq(opened, 0);
    finish();
}
END_TEST

START_TEST(a_ca_file_that_is_not_there_is_an_error)
{
    struct error e = ERROR_INIT;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(ws_client_new(&client, &loop, "/no/such/ca.pem", &e), -ENOENT);
    ck_assert(strstr(e.message, "/no/such/ca.pem"));
    net_close_loop(&loop);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ws");
    TCase *c = tcase_create("client");
    suite_add_tcase(s, c);
    tcase_set_timeout(c, 30);
    tcase_add_test(c, opens_and_echoes);
    tcase_add_test(c, closes_when_asked);
    tcase_add_test(c, queue_goes_out_before_the_close);
    tcase_add_test(c, hears_the_code_of_the_server);
    tcase_add_test(c, too_large_a_message_ends_it);
    tcase_add_test(c, may_be_abandoned_within_a_message);
    tcase_add_loop_test(c, may_be_abandoned_before_it_is_open, 0, 2);
    tcase_add_loop_test(c, may_be_closed_before_it_is_open, 0, 2);
    tcase_add_test(c, a_refused_connection_is_told);
    tcase_add_test(c, a_refused_upgrade_is_told);
    tcase_add_test(c, a_silent_server_is_given_up);
    tcase_add_test(c, pings_are_signs_of_life);
    tcase_add_test(c, a_server_that_goes_is_told);
    tcase_add_loop_test(c, bad_urls_are_refused, 0, (int)ARRAY_SIZE(bad_urls));
    tcase_add_test(c, a_name_that_is_none_is_told);
    tcase_add_loop_test(c, certificates_are_verified, 0, 3);
    tcase_add_test(c, a_ca_file_that_is_not_there_is_an_error);
    return run_suite(s);
}
