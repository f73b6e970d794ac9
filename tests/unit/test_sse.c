/* rooms: base/http base/core */
/* Server-sent events: the same events come out wherever the stream is cut. */
#include "base/http/http.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "tests/unit/run_suite.h"

/* Each event becomes "event|data|id;" in `seen`. */
static const struct {
    const char *stream, *seen;
} rows[] = {
    { "data: a\n\n", "|a|;" },
    { "data:a\n\n", "|a|;" },
    { "data:  a\n\n", "| a|;" },
    { "data: a\ndata: b\n\n", "|a\nb|;" },
    { "data\n\n", "||;" },
    { "data\ndata\n\n", "|\n|;" },
    { "event: e\ndata: a\n\ndata: b\n\n", "e|a|;|b|;" },
    { "id: 7\ndata: a\n\ndata: b\n\n", "|a|7;|b|7;" },
    { "id: 7\ndata: a\n\nid\ndata: b\n\n", "|a|7;|b|;" },
    { "event: e\n\ndata: a\n\n", "|a|;" }, /* no data, no event, and its name is forgotten */
    { ": comment\n\n:\ndata: a\n: b\n\n", "|a|;" },
    { "retry: 10\nunknown: x\ndata: a\n\n", "|a|;" },
    { "data: a\r\n\r\ndata: b\r\rdata: c\n\n", "|a|;|b|;|c|;" },
    { "data: a\r\n\ndata: b\n\n", "|a|;|b|;" },
    { "data: a\r\ndata: b\r\n\r\n", "|a\nb|;" },
    { "data: cut off", "" },
    { "data: cut off\n", "" },
    { "\xef\xbb\xbf"
      "data: a\n\n",
      "|a|;" },
    { "\xef\xbb"
      "data: a\n\ndata: b\n\n",
      "|b|;" },
    { "\n\n\ndata: a\n\n\n\n", "|a|;" },
    { "data: {\"a\": \"b: c\"}\n\n", "|{\"a\": \"b: c\"}|;" },
    { "DATA: a\ndata: b\n\n", "|b|;" },
};

static void on_event(void *data, const struct sse_event *e)
{
    ck_assert_uint_eq(strlen(e->data), e->data_len);
    (void)buf_printf(data, "%s|%s|%s;", e->event, e->data, e->id);
}

START_TEST(events_come_whole_wherever_cut)
{
    const char *stream = rows[_i].stream;
    size_t len = strlen(stream);
    for (size_t cut = 0; cut <= len; cut++) {
        _cleanup_buf_ struct buf seen = BUF_INIT;
        struct sse_parser *p;
        ck_assert_int_eq(sse_parser_new(&p, 0, on_event, &seen), 0);
        ck_assert_int_eq(sse_parser_feed(p, stream, cut), 0);
        ck_assert_int_eq(sse_parser_feed(p, stream + cut, len - cut), 0);
        sse_parser_free(p);
        ck_assert_str_eq(buf_str(&seen), rows[_i].seen);
    }
}
END_TEST

START_TEST(byte_by_byte_is_the_same)
{
    _cleanup_buf_ struct buf seen = BUF_INIT;
    struct sse_parser *p;
    ck_assert_int_eq(sse_parser_new(&p, 0, on_event, &seen), 0);
    for (const char *s = rows[_i].stream; *s; s++)
        ck_assert_int_eq(sse_parser_feed(p, s, 1), 0);
    sse_parser_free(p);
    ck_assert_str_eq(buf_str(&seen), rows[_i].seen);
}
END_TEST

static const char *const too_big[] = {
    "data: 0123456789012345678901234567890123456789\n\ndata: b\n\n",
    "data: 01234567890123456789\ndata: 01234567890123456789\n\ndata: b\n\n",
    "event: 0123456789012345678901234567890123456789\ndata: a\n\ndata: b\n\n",
    ": 012345678901234567890123456789012345678901234567890123456789\ndata: a\n\ndata: b\n\n",
};

START_TEST(one_too_big_is_dropped_and_the_rest_goes_on)
{
    _cleanup_buf_ struct buf seen = BUF_INIT;
    struct sse_parser *p;
    ck_assert_int_eq(sse_parser_new(&p, 32, on_event, &seen), 0);
    ck_assert_int_eq(sse_parser_feed(p, too_big[_i], strlen(too_big[_i])), -EFBIG);
    ck_assert_str_eq(buf_str(&seen), "|b|;");
    ck_assert_int_eq(sse_parser_feed(p, "data: c\n\n", 9), 0);
    ck_assert_str_eq(buf_str(&seen), "|b|;|c|;");
    sse_parser_free(p);
}
END_TEST

START_TEST(an_id_with_a_nul_is_ignored)
{
    static const char stream[] = "id: 1\ndata: a\n\nid: 2\0"
                                 "3\ndata: b\n\n";
    _cleanup_buf_ struct buf seen = BUF_INIT;
    struct sse_parser *p;
    ck_assert_int_eq(sse_parser_new(&p, 0, on_event, &seen), 0);
    ck_assert_int_eq(sse_parser_feed(p, stream, sizeof stream - 1), 0);
    ck_assert_str_eq(buf_str(&seen), "|a|1;|b|1;");
    sse_parser_free(p);
}
END_TEST

START_TEST(escape_leaves_only_unreserved)
{
    _cleanup_free_ char *s = http_escape("aZ09-._~ /?&=%\xc3\xa9");
    ck_assert_str_eq(s, "aZ09-._~%20%2F%3F%26%3D%25%C3%A9");
    _cleanup_free_ char *empty = http_escape("");
    ck_assert_str_eq(empty, "");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sse");
    TCase *c = tcase_create("parser");
    suite_add_tcase(s, c);
    tcase_add_loop_test(c, events_come_whole_wherever_cut, 0, (int)ARRAY_SIZE(rows));
    tcase_add_loop_test(c, byte_by_byte_is_the_same, 0, (int)ARRAY_SIZE(rows));
    tcase_add_loop_test(c, one_too_big_is_dropped_and_the_rest_goes_on, 0,
                        (int)ARRAY_SIZE(too_big));
    tcase_add_test(c, an_id_with_a_nul_is_ignored);
    tcase_add_test(c, escape_leaves_only_unreserved);
    return run_suite(s);
}
