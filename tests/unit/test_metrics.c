/* rooms: base/metrics base/core */
/* Prometheus text: what is written, and what of another program is let through. */
#include "base/metrics/metrics.h"

#include <errno.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "tests/unit/run_suite.h"

static const struct metric plain = { "t_up", METRIC_GAUGE, "Help.", { 0 } };
static const struct metric two = { "t_calls_total", METRIC_COUNTER, "Calls.", { "method", "to" } };
static const struct metric took = { "t_seconds", METRIC_HISTOGRAM, "Took.", { "kind" } };

static const struct {
    const char *value, *shown;
} values[] = {
    { "", "" },
    { "plain", "plain" },
    { "a\"b", "a\\\"b" },
    { "a\\b", "a\\\\b" },
    { "\\\"", "\\\\\\\"" },
    { "a\nb", "a\\nb" },
    { "x\"} 1\nt_up 7\n#", "x\\\"} 1\\nt_up 7\\n#" },
    { "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
    { "\xff", "\xef\xbf\xbd" },
    { "a\xc3", "a\xef\xbf\xbd" },
    { "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* a surrogate */
    { "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
    { "a\rb\tc", "a\rb\tc" },
};

START_TEST(values_of_labels_are_escaped)
{
    _cleanup_buf_ struct buf out = BUF_INIT, want = BUF_INIT;
    buf_printf(&want, "t_calls_total{method=\"m\",to=\"%s\"} 3\n", values[_i].shown);
    metric_sample(&out, &two, METRIC_VALUES("m", values[_i].value), 3);
    ck_assert_str_eq(buf_str(&out), buf_str(&want));
}
END_TEST

static const struct {
    double value;
    const char *shown;
} numbers[] = {
    { 0, "0" },           { 1, "1" },       { 123456789012, "123456789012" },
    { 0.0025, "0.0025" }, { -5.5, "-5.5" }, { 1763755000.123, "1763755000.123" },
};

START_TEST(numbers_are_whole)
{
    _cleanup_buf_ struct buf out = BUF_INIT, want = BUF_INIT;
    buf_printf(&want, "# HELP t_up Help.\n# TYPE t_up gauge\nt_up %s\n", numbers[_i].shown);
    metric_single(&out, &plain, numbers[_i].value);
    ck_assert_str_eq(buf_str(&out), buf_str(&want));
}
END_TEST

START_TEST(a_histogram_is_cumulated)
{
    static const double bounds[] = { 0.001, 1, 60 };
    struct metric_histogram h = { .bounds = bounds, .count = 3 };
    static const double seen[] = { 0.0005, 0.001, 0.5, 1, 59, 61, -3 };
    _cleanup_buf_ struct buf out = BUF_INIT;
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++)
        metric_observe(&h, seen[i]);
    metric_head(&out, &took);
    metric_histogram(&out, &took, METRIC_VALUES("k"), &h);
    ck_assert_str_eq(buf_str(&out), "# HELP t_seconds Took.\n"
                                    "# TYPE t_seconds histogram\n"
                                    "t_seconds_bucket{kind=\"k\",le=\"0.001\"} 3\n"
                                    "t_seconds_bucket{kind=\"k\",le=\"1\"} 5\n"
                                    "t_seconds_bucket{kind=\"k\",le=\"60\"} 6\n"
                                    "t_seconds_bucket{kind=\"k\",le=\"+Inf\"} 7\n"
                                    "t_seconds_sum{kind=\"k\"} 121.5015\n"
                                    "t_seconds_count{kind=\"k\"} 7\n");
}
END_TEST

START_TEST(a_histogram_without_labels_has_le_alone)
{
    static const struct metric bare = { "t_s", METRIC_HISTOGRAM, "Took.", { 0 } };
    static const double bounds[] = { 2 };
    struct metric_histogram h = { .bounds = bounds, .count = 1 };
    _cleanup_buf_ struct buf out = BUF_INIT;
    metric_histogram(&out, &bare, NULL, &h);
    ck_assert_str_eq(buf_str(&out), "t_s_bucket{le=\"2\"} 0\nt_s_bucket{le=\"+Inf\"} 0\n"
                                    "t_s_sum 0\nt_s_count 0\n");
}
END_TEST

START_TEST(documents_are_made_of_the_rows)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    metrics_document(&out, &two, 1);
    metrics_document(&out, &plain, 1);
    ck_assert_str_eq(buf_str(&out), "| `t_calls_total` | counter | `method`, `to` | Calls. |\n"
                                    "| `t_up` | gauge |  | Help. |\n");
}
END_TEST

static const char *const good[] = {
    "",
    "t_up 1\n",
    "# HELP t_up Help, with \"quotes\" and more.\n# TYPE t_up gauge\nt_up 1.5e+09\n",
    "t_s_bucket{le=\"+Inf\"} 3\n",
    "t_a{x=\"a b\",y=\"\\\"\\\\\\n\"} -1\n",
    "t_a{x=\"\"} 0\n",
};

START_TEST(what_is_clean_is_taken)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    buf_puts(&out, "before 1\n");
    ck_assert_int_eq(metrics_take(&out, good[_i], strlen(good[_i]), "t_"), 0);
    ck_assert_str_eq(buf_str(&out) + strlen("before 1\n"), good[_i]);
}
END_TEST

static const char *const bad[] = {
    "t_up",
    "t_up 1",
    "t_up 1\n\n",
    "\n",
    "t_up  1\n",
    "t_up 1 \n",
    "t_up 1 1763755000\n",
    "t_up NaN\n",
    "t_up 0x10\n",
    "t_up one\n",
    "t_up \n",
    "t_up 1\r\n",
    "t_ok 1\nother_ready 1\n",
    " t_up 1\n",
    "t_up{} 1\n",
    "t_up{a} 1\n",
    "t_up{a=b} 1\n",
    "t_up{a=\"b} 1\n",
    "t_up{a=\"b\",} 1\n",
    "t_up{a=\"\\x\"} 1\n",
    "t_up{a=\"b\\",
    "t_up{a=\"b\\\n\"} 1\n",
    "t_up{1a=\"b\"} 1\n",
    "t_up{a=\"\xff\"} 1\n",
    "t_up{a=\"b\"}1\n",
    "# a comment\n",
    "# HELP other_up Help.\n",
    "# HELP t_up H\\elp.\n",
    "# TYPE t_up untyped\n",
    "# TYPE t_up gauges\n",
    "# TYPE t_up\n",
    "# EOF\n",
    "<html></html>\n",
    "t_up 1111111111111111111111111111111111111111111\n",
};

START_TEST(what_is_not_is_left_out_as_a_whole)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    buf_puts(&out, "before 1\n");
    ck_assert_int_eq(metrics_take(&out, bad[_i], strlen(bad[_i]), "t_"), -EBADMSG);
    ck_assert_str_eq(buf_str(&out), "before 1\n");
}
END_TEST

START_TEST(a_nul_is_no_end)
{
    static const char text[] = "t_up 1\0\nother 1\n";
    _cleanup_buf_ struct buf out = BUF_INIT;
    ck_assert_int_eq(metrics_take(&out, text, sizeof text - 1, "t_"), -EBADMSG);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("metrics");
    TCase *t = tcase_create("text");
    tcase_add_loop_test(t, values_of_labels_are_escaped, 0, sizeof values / sizeof *values);
    tcase_add_loop_test(t, numbers_are_whole, 0, sizeof numbers / sizeof *numbers);
    tcase_add_test(t, a_histogram_is_cumulated);
    tcase_add_test(t, a_histogram_without_labels_has_le_alone);
    tcase_add_test(t, documents_are_made_of_the_rows);
    tcase_add_loop_test(t, what_is_clean_is_taken, 0, sizeof good / sizeof *good);
    tcase_add_loop_test(t, what_is_not_is_left_out_as_a_whole, 0, sizeof bad / sizeof *bad);
    tcase_add_test(t, a_nul_is_no_end);
    suite_add_tcase(s, t);
    return run_suite(s);
}
