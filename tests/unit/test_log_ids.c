/* rooms: supervisor/init supervisor/cgroup supervisor/volumes supervisor/plan supervisor/sandbox base/trace base/core */
/* The ids in log lines: their form, how a service puts them, what PID 1 makes of them. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "base/core/trace.h"
#include "base/trace/derive.h"
#include "supervisor/init/logline.h"
#include "tests/unit/run_suite.h"

#define TRACE  "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"

/* https://www.w3.org/TR/trace-context/#traceparent-header, and what its test suite tries. */
static const struct {
    const char *header;
    bool good, sampled;
} headers[] = {
    { "00-" TRACE "-" PARENT "-01", true, true },
    { "00-" TRACE "-" PARENT "-00", true, false },
    { "00-" TRACE "-" PARENT "-ff", true, true },
    { "cc-" TRACE "-" PARENT "-01", true, true },
    { "cc-" TRACE "-" PARENT "-01-what-the-future-will-be-like", true, true },
    { "cc-" TRACE "-" PARENT "-01.what", false, false },
    { "00-" TRACE "-" PARENT "-01-", false, false },
    { "00-" TRACE "-" PARENT "-01-more", false, false },
    { "ff-" TRACE "-" PARENT "-01", false, false },
    { "0-" TRACE "-" PARENT "-01", false, false },
    { ".0-" TRACE "-" PARENT "-01", false, false },
    { "00-00000000000000000000000000000000-" PARENT "-01", false, false },
    { "00-" TRACE "-0000000000000000-01", false, false },
    { "00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01", false, false },
    { "00-" TRACE "-00F067AA0BA902B7-01", false, false },
    { "00-4bf92f3577b34da6a3ce929d0e0e473-" PARENT "-01", false, false },
    { "00-" TRACE "-00f067aa0ba902b-01", false, false },
    { "00-" TRACE "-" PARENT "-1", false, false },
    { "00-" TRACE "-" PARENT "-0x", false, false },
    { "00-" TRACE "-" PARENT "-001", false, false },
    { "00_" TRACE "-" PARENT "-01", false, false },
    { "00-" TRACE "_" PARENT "-01", false, false },
    { "00-" TRACE "-" PARENT "_01", false, false },
    { " 00-" TRACE "-" PARENT "-01", false, false },
    { "00-" TRACE "-" PARENT "-01 ", false, false },
    { "00-4bf92f3577b34da6a3ce929d0e0e473\"-" PARENT "-01", false, false },
    { "00-" TRACE "-" PARENT "-", false, false },
    { "00", false, false },
    { "", false, false },
};

START_TEST(a_traceparent_is_read_to_the_letter)
{
    struct traceparent t = { .trace_id = "untouched" };
    ck_assert_msg(traceparent_parse(headers[_i].header, &t) == headers[_i].good, "%s",
                  headers[_i].header);
    ck_assert_str_eq(t.trace_id, headers[_i].good ? TRACE : "untouched");
    ck_assert_str_eq(t.parent_id, headers[_i].good ? PARENT : "");
    ck_assert_int_eq(t.sampled, headers[_i].sampled);
}
END_TEST

START_TEST(no_header_is_no_traceparent)
{
    struct traceparent t;
    ck_assert(!traceparent_parse(NULL, &t));
}
END_TEST

START_TEST(a_new_trace_id_has_the_form_and_is_new)
{
    char a[TRACE_ID_SIZE], b[TRACE_ID_SIZE];
    ck_assert_int_eq(trace_new(a), 0);
    ck_assert_int_eq(trace_new(b), 0);
    ck_assert(trace_id_fits(a, strlen(a)));
    ck_assert_str_ne(a, b);
}
END_TEST

/* The plugin's tests have the same example. */
START_TEST(a_trace_is_derived_from_the_id)
{
    struct trace_ids ids;
    trace_derive("per_1", &ids);
    ck_assert_str_eq(ids.trace_id, "51286eb77d463f8df03d44eb21920f1a");
    ck_assert_str_eq(ids.span_id, "3abdb4b2d7241ed6");
}
END_TEST

/* --- a service's lines --- */

static char *line_of(void (*say)(void))
{
    int p[2], saved = dup(STDERR_FILENO);
    char text[1024] = "";
    ck_assert_int_eq(pipe(p), 0);
    ck_assert_int_eq(dup2(p[1], STDERR_FILENO), STDERR_FILENO);
    log_init("test");
    say();
    (void)dup2(saved, STDERR_FILENO);
    ck_assert_int_gt((int)read(p[0], text, sizeof text - 1), 0);
    (void)close(p[0]);
    (void)close(p[1]);
    (void)close(saved);
    return strdup(text);
}

static void say_nested(void)
{
    _log_about_ struct log_about outer = {
        .id = { [LOG_REQUEST_ID] = "r-1", [LOG_SESSION] = "ses_outer" },
    };
    log_enter(&outer);
    {
        _log_about_ struct log_about inner = {
            .id = { [LOG_TRACE_ID] = TRACE, [LOG_SESSION] = "ses_inner" },
        };
        log_enter(&inner);
        log_info("inner");
        ck_assert_str_eq(log_id(LOG_SESSION), "ses_inner");
    }
    log_info("outer");
}

static void say_nothing_else(void)
{
    say_nested();
    log_info("bare");
}

START_TEST(lines_carry_the_ids_of_what_they_are_about)
{
    _cleanup_free_ char *text = line_of(say_nothing_else);
    ck_assert_str_eq(text, "{\"level\":\"info\",\"msg\":\"inner\",\"trace_id\":\"" TRACE
                           "\",\"request_id\":\"r-1\",\"session\":\"ses_inner\"}\n"
                           "{\"level\":\"info\",\"msg\":\"outer\",\"request_id\":\"r-1\","
                           "\"session\":\"ses_outer\"}\n"
                           "{\"level\":\"info\",\"msg\":\"bare\"}\n");
    ck_assert_ptr_null(log_id(LOG_SESSION));
}
END_TEST

/* What is kept goes on without what it was copied from; a span is that of its own trace. */
static void say_kept(void)
{
    char request[] = "r-7", trace[] = TRACE;
    struct log_about *kept;
    {
        _log_about_ struct log_about about = {
            .id = { [LOG_REQUEST_ID] = request, [LOG_TRACE_ID] = trace, [LOG_SPAN_ID] = PARENT },
        };
        log_enter(&about);
        kept = log_keep();
    }
    memset(request, 'x', sizeof request - 1);
    memset(trace, 'x', sizeof trace - 1);
    _log_about_ struct log_about later = log_kept(kept);
    log_enter(&later);
    log_info("later");
    _log_about_ struct log_about other = {
        .id = { [LOG_TRACE_ID] = "51286eb77d463f8df03d44eb21920f1a" },
    };
    log_enter(&other);
    log_info("other");
    free(kept);
}

START_TEST(what_caused_it_is_known_later)
{
    _cleanup_free_ char *text = line_of(say_kept);
    ck_assert_str_eq(text,
                     "{\"level\":\"info\",\"msg\":\"later\",\"trace_id\":\"" TRACE
                     "\",\"span_id\":\"" PARENT "\",\"request_id\":\"r-7\"}\n"
                     "{\"level\":\"info\",\"msg\":\"other\","
                     "\"trace_id\":\"51286eb77d463f8df03d44eb21920f1a\",\"request_id\":\"r-7\"}\n");
    ck_assert_ptr_null(log_keep());
}
END_TEST

static void say_hostile(void)
{
    static char huge[400];
    memset(huge, 'a', sizeof huge - 1);
    _log_about_ struct log_about about = {
        .id = { [LOG_TRACE_ID] = "4BF9",
                [LOG_SPAN_ID] = TRACE,
                [LOG_REQUEST_ID] = "a b",
                [LOG_ENVELOPE_ID] = "x\ny",
                [LOG_SESSION] = "\"",
                [LOG_POD] = huge },
    };
    log_enter(&about);
    log_info("m");
}

START_TEST(what_is_no_id_is_left_out)
{
    _cleanup_free_ char *text = line_of(say_hostile);
    ck_assert_str_eq(text, "{\"level\":\"info\",\"msg\":\"m\"}\n");
}
END_TEST

/* --- PID 1's lines --- */

static const struct {
    const char *msg, *expected;
} lines[] = {
    { "{\"level\":\"warn\",\"msg\":\"m\",\"trace_id\":\"" TRACE "\",\"request_id\":\"r\"}",
      "\"msg\":\"m\",\"trace_id\":\"" TRACE "\",\"request_id\":\"r\",\"boot_id\"" },
    { "{\"pod\":\"p\",\"msg\":\"m\",\"level\":\"info\",\"span_id\":\"" PARENT "\"}",
      "\"msg\":\"m\",\"span_id\":\"" PARENT "\",\"pod\":\"p\",\"boot_id\"" },
    /* What has not their form is embedded as it is, and fools nobody. */
    { "{\"level\":\"info\",\"msg\":\"m\",\"trace_id\":\"x\"}", "\"json\":{\"level\"" },
    { "{\"level\":\"info\",\"msg\":\"m\",\"trace_id\":7}", "\"json\":{\"level\"" },
    { "{\"level\":\"info\",\"msg\":\"m\",\"session\":\"a\\u0000\"}", "\"json\":{\"level\"" },
    { "{\"level\":\"info\",\"msg\":\"m\",\"boot_id\":\"other\"}", "\"json\":{\"level\"" },
    { "{\"level\":\"info\",\"msg\":\"m\",\"pod\":\"a\",\"pod\":\"b\"}", "\"json\":{\"level\"" },
    { "{\"level\":\"info\",\"trace_id\":\"" TRACE "\"}", "\"json\":{\"level\"" },
    { "{\"msg\":\"m\",\"trace_id\":\"" TRACE "\"}", "\"json\":{\"msg\"" },
};

static char *written(const char *msg, bool text)
{
    struct buf out = BUF_INIT;
    struct log_record r = {
        .level = LOG_LEVEL_INFO,
        .service = "gateway",
        .stream = "stderr",
        .pid = 7,
        .msg = msg,
        .len = strlen(msg),
        .boot_id = "b",
        .seq = 3,
    };
    (text ? logline_text : logline_json)(&out, &r);
    return buf_take(&out);
}

START_TEST(ids_are_lifted_into_the_line)
{
    _cleanup_free_ char *line = written(lines[_i].msg, false);
    struct logline_json found;
    ck_assert_msg(strstr(line, lines[_i].expected) != NULL, "%s", line);
    ck_assert(logline_json_object(line, strlen(line) - 1, &found));
    ck_assert_uint_eq(found.ids[LOG_TRACE_ID].len, _i == 0 ? TRACE_ID_SIZE + 1 : 0);
}
END_TEST

START_TEST(people_read_the_message_alone)
{
    _cleanup_free_ char *line = written(lines[0].msg, true);
    ck_assert_str_eq(line + 8, " gateway  | warn: m\n");
}
END_TEST

/* The longest envelope: what LOGLINE_ENVELOPE stands for. */
START_TEST(the_envelope_has_its_bound)
{
    struct buf out = BUF_INIT;
    char name[64];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    struct log_record r = {
        .wall_us = 253402300799000000, /* the year 9999 */
        .level = LOG_LEVEL_ERROR,
        .service = name,
        .stream = "stderr",
        .pid = 4194304,
        .msg = "",
        .partial = true,
        .boot_id = "00000000-0000-0000-0000-000000000000",
        .seq = UINT64_MAX,
    };
    logline_json(&out, &r);
    ck_assert_uint_le(out.len, LOGLINE_ENVELOPE);
    buf_release(&out);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("log_ids");
    TCase *t = tcase_create("ids");
    tcase_add_loop_test(t, a_traceparent_is_read_to_the_letter, 0, (int)ARRAY_SIZE(headers));
    tcase_add_test(t, no_header_is_no_traceparent);
    tcase_add_test(t, a_new_trace_id_has_the_form_and_is_new);
    tcase_add_test(t, lines_carry_the_ids_of_what_they_are_about);
    tcase_add_test(t, what_caused_it_is_known_later);
    tcase_add_test(t, what_is_no_id_is_left_out);
    tcase_add_test(t, a_trace_is_derived_from_the_id);
    tcase_add_loop_test(t, ids_are_lifted_into_the_line, 0, (int)ARRAY_SIZE(lines));
    tcase_add_test(t, people_read_the_message_alone);
    tcase_add_test(t, the_envelope_has_its_bound);
    suite_add_tcase(s, t);
    return run_suite(s);
}
