/* rooms: base/http base/server base/ws base/core */
/* The HTTP client against our own server in one loop, and against peers that misbehave. */
#include "base/http/http.h"

#include "tests/unit/tls_helper.h"

#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/server/server.h"
#include "tests/unit/run_suite.h"

static uv_loop_t loop;
static struct server *server;
static struct http_client *client;
static struct server_request *waiting[64];
static unsigned waiting_count, gone, done;
static struct buf chunks, body;
static struct http_response last; /* its strings are gone */
static char message[256], content_type[64];

static void on_gone(void *data)
{
    (void)data;
    gone++;
}

static void on_request(void *data, struct server_request *r)
{
    static const char *const later[] = { "Retry-After: 17", NULL };
    static char big[100000];
    char text[1024];
    size_t len;
    (void)data;
    const char *path = server_request_path(r), *auth = server_request_header(r, "authorization");
    const char *type = server_request_header(r, "content-type");
    if (strcmp(path, "/wait") == 0 || strcmp(path, "/stream") == 0) {
        server_request_on_gone(r, on_gone, NULL);
        if (path[1] == 's')
            ck_assert_int_eq(server_stream_start(r, 200, "text/event-stream", NULL), 0);
        waiting[waiting_count++] = r;
        return;
    }
    if (strcmp(path, "/429") == 0) {
        server_reply(r, 429, "application/json", later, "{}", 2);
        return;
    }
    if (strcmp(path, "/302") == 0) {
        static const char *const to[] = { "Location: /elsewhere", NULL };
        server_reply(r, 302, "text/plain", to, "", 0);
        return;
    }
    if (strcmp(path, "/big") == 0) {
        server_reply(r, 200, "text/plain", NULL, big, sizeof big);
        return;
    }
    const char *given = server_request_body(r, &len);
    int n = snprintf(text, sizeof text, "%d %s auth=%s type=%s header=%s body=%zu:%s",
                     (int)server_request_method(r), path, auth ? auth : "-", type ? type : "-",
                     server_request_header(r, "x-a") ? server_request_header(r, "x-a") : "-", len,
                     given);
    server_reply(r, 200, "text/plain; charset=utf-8", NULL, text, (size_t)n);
}

static void on_done(void *data, const struct http_response *r)
{
    ck_assert_ptr_eq(data, &loop);
    done++;
    last = *r;
    (void)snprintf(message, sizeof message, "%s", r->message);
    (void)snprintf(content_type, sizeof content_type, "%s", r->content_type);
    buf_reset(&body);
    ck_assert_int_eq(buf_append(&body, r->body, r->body_len), 0);
}

static void on_chunk(void *data, const char *chunk, size_t len)
{
    (void)data;
    ck_assert_int_eq(buf_append(&chunks, chunk, len), 0);
}

static void start(const char *ca_file)
{
    struct error e = ERROR_INIT;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    const struct server_options o = { .loop = &loop,
                                      .listen = "127.0.0.1",
                                      .on_request = on_request };
    ck_assert_msg(server_new(&server, &o, &e) == 0, "%s", e.message);
    ck_assert_int_eq(http_client_new(&client, &loop, ca_file), 0);
}

static void finish(void)
{
    http_client_free(client);
    server_free(server);
    net_close_loop(&loop);
    buf_release(&chunks);
    buf_release(&body);
}

static int request_url(const char *url, struct http_options o, struct http_request **ret)
{
    unsigned before = done;
    o.url = url;
    o.data = &loop;
    if (!o.on_done)
        o.on_done = on_done;
    int r = http_start(client, &o, ret);
    ck_assert_uint_eq(done, before); /* never from within */
    return r;
}

static struct http_request *request(const char *path, struct http_options o)
{
    struct http_request *r = NULL;
    char url[128];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", (unsigned)server_port(server), path);
    ck_assert_int_eq(request_url(url, o, &r), 0);
    return r;
}

static const struct {
    struct http_options o;
    const char *want;
} requests[] = {
    { { 0 }, "0 /p auth=- type=- header=- body=0:" },
    { { .body = "{}", .body_len = 2 },
      "2 /p auth=- type=application/json; charset=utf-8 header=- body=2:{}" },
    { { .method = "POST" }, "2 /p auth=- type=- header=- body=0:" },
    { { .method = "PUT", .body = "x", .body_len = 1, .content_type = "text/plain" },
      "3 /p auth=- type=text/plain header=- body=1:x" },
    { { .method = "PATCH", .body = "x", .body_len = 1 },
      "4 /p auth=- type=application/json; charset=utf-8 header=- body=1:x" },
    { { .method = "DELETE" }, "5 /p auth=- type=- header=- body=0:" },
    { { .method = "HEAD" }, "" },
    { { .user = "u", .password = "p" }, "0 /p auth=Basic dTpw type=- header=- body=0:" },
    { { .user = "u" }, "0 /p auth=- type=- header=- body=0:" },
    { { .bearer = "tok" }, "0 /p auth=Bearer tok type=- header=- body=0:" },
    { { .headers = (const char *const[]){ "X-A: b c", NULL } },
      "0 /p auth=- type=- header=b c body=0:" },
    { { .body = "", .body_len = 0 },
      "2 /p auth=- type=application/json; charset=utf-8 header=- body=0:" },
};

START_TEST(sends_what_is_asked)
{
    start(NULL);
    (void)request("/p", requests[_i].o);
    net_until(&loop, done == 1);
    ck_assert_int_eq(last.error, 0);
    ck_assert_int_eq(last.status, 200);
    ck_assert_str_eq(buf_str(&body), requests[_i].want);
    ck_assert_str_eq(content_type, "text/plain; charset=utf-8");
    ck_assert_str_eq(message, "");
    ck_assert(last.sent);
    ck_assert_uint_gt(last.elapsed_us, 0);
    ck_assert_int_eq(last.retry_after_s, -1);
    finish();
    ck_assert_uint_eq(done, 1);
}
END_TEST

START_TEST(status_and_retry_after_are_told)
{
    start(NULL);
    (void)request("/429", (struct http_options){ 0 });
    net_until(&loop, done == 1);
    ck_assert_int_eq(last.status, 429);
    ck_assert_int_eq(last.retry_after_s, 17);
    (void)request("/302", (struct http_options){ 0 });
    net_until(&loop, done == 2);
    ck_assert_int_eq(last.status, 302); /* not followed */
    finish();
}
END_TEST

START_TEST(too_big_a_body_is_an_error)
{
    start(NULL);
    (void)request("/big", (struct http_options){ .max_body = 1000 });
    net_until(&loop, done == 1);
    ck_assert_int_eq(last.error, -EFBIG);
    (void)request("/big", (struct http_options){ 0 });
    net_until(&loop, done == 2);
    ck_assert_uint_eq(last.body_len, 100000);
    finish();
}
END_TEST

START_TEST(timeout_ends_it)
{
    start(NULL);
    (void)request("/wait", (struct http_options){ .timeout_ms = 50 });
    net_until(&loop, done == 1 && gone == 1);
    ck_assert_int_eq(last.error, -ETIMEDOUT);
    ck_assert(last.sent);
    ck_assert(*message);
    finish();
}
END_TEST

START_TEST(refused_was_not_sent)
{
    char url[64];
    start(NULL);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", (unsigned)tls_free_port());
    ck_assert_int_eq(request_url(url, (struct http_options){ 0 }, NULL), 0);
    net_until(&loop, done == 1);
    ck_assert_int_eq(last.error, -ECONNREFUSED);
    ck_assert(!last.sent);
    finish();
}
END_TEST

START_TEST(loopback_never_goes_through_a_proxy)
{
    char proxy[64];
    (void)snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", (unsigned)tls_free_port());
    ck_assert_int_eq(setenv("http_proxy", proxy, 1), 0);
    ck_assert_int_eq(setenv("all_proxy", proxy, 1), 0);
    start(NULL);
    (void)request("/p", (struct http_options){ 0 });
    net_until(&loop, done == 1);
    ck_assert_int_eq(last.status, 200);
    finish();
}
END_TEST

static const char *const bad_urls[] = { "ftp://127.0.0.1/", "file:///etc/passwd", "nonsense://x",
                                        "http://", "" };

START_TEST(bad_urls_fail)
{
    start(NULL);
    int r = request_url(bad_urls[_i], (struct http_options){ 0 }, NULL);
    if (r == 0) {
        net_until(&loop, done == 1);
        r = last.error;
    }
    ck_assert_int_lt(r, 0);
    ck_assert_int_eq(last.status, 0);
    finish();
}
END_TEST

START_TEST(headers_with_line_ends_are_refused)
{
    static const char *const bad[] = { "X: a\r\nY: b", NULL };
    start(NULL);
    ck_assert_int_eq(
        request_url("http://127.0.0.1:1/", (struct http_options){ .headers = bad }, NULL), -EINVAL);
    ck_assert_int_eq(
        request_url("http://127.0.0.1:1/", (struct http_options){ .bearer = "a\nb" }, NULL),
        -EINVAL);
    finish();
    ck_assert_uint_eq(done, 0);
}
END_TEST

START_TEST(streams_come_in_chunks)
{
    start(NULL);
    (void)request("/stream", (struct http_options){ .on_chunk = on_chunk });
    net_until(&loop, waiting_count == 1);
    ck_assert_int_eq(server_stream_write(waiting[0], "one", 3), 0);
    net_until(&loop, chunks.len == 3);
    ck_assert_int_eq(server_stream_write(waiting[0], "two", 3), 0);
    net_until(&loop, chunks.len == 6);
    ck_assert_uint_eq(done, 0);
    server_stream_end(waiting[0]);
    net_until(&loop, done == 1);
    ck_assert_str_eq(buf_str(&chunks), "onetwo");
    ck_assert_int_eq(last.error, 0);
    ck_assert_uint_eq(last.body_len, 0);
    /* Any other status is no stream. */
    (void)request("/429", (struct http_options){ .on_chunk = on_chunk });
    net_until(&loop, done == 2);
    ck_assert_str_eq(buf_str(&body), "{}");
    ck_assert_uint_eq(chunks.len, 6);
    finish();
}
END_TEST

START_TEST(a_silent_stream_is_given_up)
{
    start(NULL);
    (void)request("/stream", (struct http_options){ .on_chunk = on_chunk, .idle_timeout_ms = 100 });
    net_until(&loop, waiting_count == 1);
    for (int i = 0; i < 5; i++) { /* bytes keep it alive past its time */
        uint64_t until = uv_hrtime() + 40000000;
        ck_assert_int_eq(server_stream_write(waiting[0], "x", 1), 0);
        while (uv_hrtime() < until)
            net_turn(&loop);
    }
    ck_assert_uint_eq(done, 0);
    net_until(&loop, done == 1 && gone == 1);
    ck_assert_int_eq(last.error, -ETIMEDOUT);
    ck_assert_uint_eq(chunks.len, 5);
    finish();
}
END_TEST

START_TEST(a_cut_stream_is_an_error)
{
    start(NULL);
    (void)request("/stream", (struct http_options){ .on_chunk = on_chunk });
    net_until(&loop, waiting_count == 1);
    server_free(server);
    server = NULL;
    net_until(&loop, done == 1);
    ck_assert_int_lt(last.error, 0);
    finish();
}
END_TEST

START_TEST(cancelled_is_not_told)
{
    start(NULL);
    struct http_request *r = request("/wait", (struct http_options){ 0 });
    if (_i == 1)
        net_until(&loop, waiting_count == 1);
    http_cancel(r);
    if (_i == 1)
        net_until(&loop, gone == 1);
    finish();
    ck_assert_uint_eq(done, 0);
}
END_TEST

/* ---- what callbacks may do ---- */

static struct http_request *first_request;

static void cancel_in_chunk(void *data, const char *chunk, size_t len)
{
    on_chunk(data, chunk, len);
    http_cancel(first_request);
}

START_TEST(a_chunk_may_cancel_its_request)
{
    start(NULL);
    first_request = request("/stream", (struct http_options){ .on_chunk = cancel_in_chunk });
    net_until(&loop, waiting_count == 1);
    ck_assert_int_eq(server_stream_write(waiting[0], "one", 3), 0);
    net_until(&loop, gone == 1);
    finish();
    ck_assert_uint_eq(done, 0);
}
END_TEST

static void start_in_chunk(void *data, const char *chunk, size_t len)
{
    on_chunk(data, chunk, len);
    (void)request("/p", (struct http_options){ 0 });
}

START_TEST(a_chunk_may_start_a_request)
{
    start(NULL);
    (void)request("/stream", (struct http_options){ .on_chunk = start_in_chunk });
    net_until(&loop, waiting_count == 1);
    ck_assert_int_eq(server_stream_write(waiting[0], "one", 3), 0);
    net_until(&loop, done == 1);
    ck_assert_int_eq(last.status, 200);
    finish();
}
END_TEST

static void start_in_done(void *data, const struct http_response *r)
{
    on_done(data, r);
    (void)request("/p", (struct http_options){ 0 });
}

START_TEST(done_may_start_a_request)
{
    start(NULL);
    (void)request("/p", (struct http_options){ .on_done = start_in_done });
    net_until(&loop, done == 2);
    finish();
    ck_assert_uint_eq(done, 2);
}
END_TEST

static void free_in_chunk(void *data, const char *chunk, size_t len)
{
    on_chunk(data, chunk, len);
    http_client_free(client);
    client = NULL;
}

static void free_in_done(void *data, const struct http_response *r)
{
    on_done(data, r);
    http_client_free(client);
    client = NULL;
}

START_TEST(callbacks_may_free_the_client)
{
    start(NULL);
    (void)request("/wait", (struct http_options){ 0 });
    if (_i == 0) {
        (void)request("/p", (struct http_options){ .on_done = free_in_done });
        net_until(&loop, done == 1 && gone == 1);
    } else {
        (void)request("/stream", (struct http_options){ .on_chunk = free_in_chunk });
        net_until(&loop, waiting_count == 2);
        ck_assert_int_eq(server_stream_write(waiting[1], "one", 3), 0);
        net_until(&loop, gone == 2);
    }
    finish();
    ck_assert_uint_eq(done, _i == 0);
}
END_TEST

START_TEST(many_at_once_are_all_done)
{
    start(NULL);
    for (int i = 0; i < 200; i++)
        (void)request("/p", (struct http_options){ .fresh_connection = i % 2 == 0 });
    net_until(&loop, done == 200);
    ck_assert_int_eq(last.status, 200);
    finish();
}
END_TEST

/* As OpenSSL's own tools and libwebsockets have it. */
START_TEST(certificates_can_be_named_by_the_environment)
{
    static struct tls_server tls;
    char url[64];
    tls_start(&tls);
    ck_assert_int_eq(setenv("SSL_CERT_FILE", tls.ca, 1), 0);
    start(NULL);
    ck_assert_int_eq(unsetenv("SSL_CERT_FILE"), 0);
    (void)snprintf(url, sizeof url, "https://localhost:%u/", (unsigned)tls.port);
    ck_assert_int_eq(request_url(url, (struct http_options){ 0 }, NULL), 0);
    net_until(&loop, done == 1);
    tls_stop(&tls);
    ck_assert_msg(last.error == 0, "%d %s", last.error, message);
    finish();
}
END_TEST

START_TEST(certificates_are_verified)
{
    static struct tls_server tls;
    char url[64];
    tls_start(&tls);
    start(_i == 0 ? NULL : tls.ca);
    (void)snprintf(url, sizeof url, "https://%s:%u/", _i == 2 ? "127.0.0.1" : "localhost",
                   (unsigned)tls.port);
    ck_assert_int_eq(request_url(url, (struct http_options){ 0 }, NULL), 0);
    net_until(&loop, done == 1);
    tls_stop(&tls);
    ck_assert_msg((last.error == 0) == (_i == 1), "%d: %d %s", _i, last.error, message);
    ck_assert(_i == 1 || (last.error == -EKEYREJECTED && !last.sent));
    finish();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http");
    TCase *c = tcase_create("client");
    suite_add_tcase(s, c);
    tcase_set_timeout(c, 30);
    tcase_add_loop_test(c, sends_what_is_asked, 0, (int)ARRAY_SIZE(requests));
    tcase_add_test(c, status_and_retry_after_are_told);
    tcase_add_test(c, too_big_a_body_is_an_error);
    tcase_add_test(c, timeout_ends_it);
    tcase_add_test(c, refused_was_not_sent);
    tcase_add_test(c, loopback_never_goes_through_a_proxy);
    tcase_add_loop_test(c, bad_urls_fail, 0, (int)ARRAY_SIZE(bad_urls));
    tcase_add_test(c, headers_with_line_ends_are_refused);
    tcase_add_test(c, streams_come_in_chunks);
    tcase_add_test(c, a_silent_stream_is_given_up);
    tcase_add_test(c, a_cut_stream_is_an_error);
    tcase_add_loop_test(c, cancelled_is_not_told, 0, 2);
    tcase_add_test(c, a_chunk_may_cancel_its_request);
    tcase_add_test(c, a_chunk_may_start_a_request);
    tcase_add_test(c, done_may_start_a_request);
    tcase_add_loop_test(c, callbacks_may_free_the_client, 0, 2);
    tcase_add_test(c, many_at_once_are_all_done);
    tcase_add_test(c, certificates_can_be_named_by_the_environment);
    tcase_add_loop_test(c, certificates_are_verified, 0, 3);
    return run_suite(s);
}
