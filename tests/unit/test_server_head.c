/* rooms: base/server base/ws base/core */
/* The head of a request, by table. */
#include "base/server/server.h"

#include <check.h>

#include "base/core/cleanup.h"
#include "base/server/head.h"
#include "tests/unit/run_suite.h"

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

static Suite *make_suite(void)
{
    Suite *s = suite_create("server_head");
    TCase *parser = tcase_create("head");
    tcase_add_loop_test(parser, head_is_judged, 0, (int)ARRAY_SIZE(heads));
    tcase_add_test(parser, head_end_is_found_wherever_it_is_cut);
    tcase_add_loop_test(parser, path_is_normalised, 0, (int)ARRAY_SIZE(paths));
    suite_add_tcase(s, parser);
    return s;
}

int main(void)
{
    return run_suite(make_suite());
}
