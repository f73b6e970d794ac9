/* rooms: supervisor/plan supervisor/sandbox base/core */
#include "supervisor/plan/plan_writer.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "tests/unit/run_suite.h"

/* A writer whose enums are all in range. */
static void start(struct plan_writer *w)
{
    plan_writer_init(w);
    w->header.home = plan_writer_str(w, "/home/coder");
}

static struct plan_service service(struct plan_writer *w, const char *name)
{
    const char *argv[] = { "/bin/true", name };
    return (struct plan_service){
        .name = plan_writer_str(w, name),
        .argv = plan_writer_list(w, argv, 2),
        .stop_signal = 15,
    };
}

START_TEST(strings_are_kept_once)
{
    _cleanup_plan_writer_ struct plan_writer w;
    start(&w);
    ck_assert_uint_eq(plan_writer_str(&w, ""), 0);
    ck_assert_uint_eq(plan_writer_str(&w, NULL), 0);
    plan_str a = plan_writer_str(&w, "alpha"), b = plan_writer_str(&w, "beta");
    ck_assert_uint_ne(a, 0);
    ck_assert_uint_ne(a, b);
    size_t len = w.strings.len;
    ck_assert_uint_eq(plan_writer_str(&w, "alpha"), a);
    ck_assert_uint_eq(plan_writer_str(&w, "beta"), b);
    ck_assert_uint_eq(w.strings.len, len);
}
END_TEST

START_TEST(many_strings_survive_the_growth_of_the_table)
{
    _cleanup_plan_writer_ struct plan_writer w;
    plan_str at[5000];
    char text[32];
    start(&w);
    for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
        (void)snprintf(text, sizeof text, "string %zu", i);
        at[i] = plan_writer_str(&w, text);
    }
    for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
        (void)snprintf(text, sizeof text, "string %zu", i);
        ck_assert_str_eq(w.strings.data + at[i], text);
        ck_assert_uint_eq(plan_writer_str(&w, text), at[i]);
    }
}
END_TEST

START_TEST(what_is_written_is_read)
{
    _cleanup_plan_writer_ struct plan_writer w;
    _cleanup_free_ void *block = NULL;
    size_t size = 0;
    struct error e = ERROR_INIT;
    struct plan p;
    start(&w);
    const char *env[] = { "A=1", "B=2", "C=3" };
    w.header.environment = plan_writer_list(&w, env, 3);
    w.header.stop_timeout_ms = 25000;
    struct plan_service one = service(&w, "one"), two = service(&w, "two");
    const char *after[] = { "one" };
    two.after = plan_writer_list(&w, after, 1);
    two.memory_max = 1ULL << 40;
    plan_writer_service(&w, &one);
    plan_writer_service(&w, &two);
    struct plan_volume v = { .path = plan_writer_str(&w, "/home/coder/.local"), .min_free = 77 };
    plan_writer_volume(&w, &v);
    ck_assert_int_eq(plan_writer_finish(&w, &block, &size, &e), 0);
    ck_assert_msg(plan_open(&p, block, size, &e) == 0, "%s", e.message);
    ck_assert_uint_eq(p.header->services, 2);
    ck_assert_uint_eq(p.header->stop_timeout_ms, 25000);
    ck_assert_str_eq(plan_string(&p, p.header->home), "/home/coder");
    ck_assert_str_eq(plan_string(&p, p.header->config_file), "");
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_str_eq(plan_item(&p, p.header->environment, i), env[i]);
    ck_assert_int_eq(plan_service_index(&p, "two"), 1);
    ck_assert_str_eq(plan_item(&p, p.services[1].argv, 1), "two");
    ck_assert_str_eq(plan_item(&p, p.services[1].after, 0), "one");
    ck_assert(p.services[1].memory_max == 1ULL << 40);
    ck_assert_str_eq(plan_string(&p, p.volumes[0].path), "/home/coder/.local");
    ck_assert_uint_eq(p.volumes[0].min_free, 77);
    ck_assert_uint_eq(p.header->services_off % 8, 0);
    ck_assert_uint_eq(p.header->volumes_off % 8, 0);
}
END_TEST

START_TEST(a_value_out_of_range_is_refused)
{
    _cleanup_plan_writer_ struct plan_writer w;
    _cleanup_free_ void *block = NULL;
    size_t size = 0;
    struct error e = ERROR_INIT;
    start(&w);
    struct plan_service s = service(&w, "one");
    s.restart = PLAN_RESTART_MAX;
    plan_writer_service(&w, &s);
    ck_assert_int_eq(plan_writer_finish(&w, &block, &size, &e), -EBADMSG);
    ck_assert_ptr_null(block);
}
END_TEST

START_TEST(too_large_is_said)
{
    _cleanup_plan_writer_ struct plan_writer w;
    _cleanup_free_ void *block = NULL;
    _cleanup_free_ char *big = malloc(PLAN_MAX);
    size_t size = 0;
    struct error e = ERROR_INIT;
    start(&w);
    memset(big, 'x', PLAN_MAX - 1);
    big[PLAN_MAX - 1] = '\0';
    ck_assert_uint_eq(plan_writer_str(&w, big), 0);
    ck_assert_int_eq(plan_writer_finish(&w, &block, &size, &e), -EFBIG);
    ck_assert_ptr_nonnull(strstr(e.message, "too large"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("plan_writer");
    TCase *t = tcase_create("writer");
    tcase_add_test(t, strings_are_kept_once);
    tcase_add_test(t, many_strings_survive_the_growth_of_the_table);
    tcase_add_test(t, what_is_written_is_read);
    tcase_add_test(t, a_value_out_of_range_is_refused);
    tcase_add_test(t, too_large_is_said);
    suite_add_tcase(s, t);
    return run_suite(s);
}
