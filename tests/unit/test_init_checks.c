/* rooms: supervisor/plan supervisor/sandbox base/core */
/* Checks of kind exec that do not behave: nothing of them is left, nothing waits for them, and what
 * they say about one start counts for no other. */
#include "tests/unit/init_roles.h"

#define CHECK(...)                                                                                 \
    {                                                                                              \
        .kind = PLAN_CHECK_EXEC, .interval_ms = 30, __VA_ARGS__                                    \
    }

/* It hangs, ignores SIGTERM, and has a child in a session of its own. */
START_TEST(one_that_hangs_and_forks)
{
    const char *name = unique("hang");
    struct pod_service s[] = {
        { .name = "checked",
          .argv = SHELL("exec sleep 1000"),
          .health = { self, "--role", "leaver", name },
          .p = { .health = CHECK(.timeout_ms = 300, .failures = 3, .action = PLAN_ACTION_MARK) } }
    };
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_state("checked", "unhealthy"));
    ck_assert(status_has("checked", "health check failed 3 times: no end within 300 ms"));
    (void)POD_ASK("stop", "checked");
    POD_EVENTUALLY(&pod, pod_state("checked", "stopped"));
    POD_EVENTUALLY(&pod, living(name, NULL) == 0);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

/* What it leaves behind goes with it, and does not change what it said. */
START_TEST(one_that_leaves_a_child)
{
    const char *name = unique("left");
    char script[160];
    (void)snprintf(script, sizeof script,
                   "echo x >>%s/runs; (setsid \"$0\" --role stubborn %s &); exit 0", pod.dir, name);
    struct pod_service s[] = { { .name = "checked",
                                 .argv = SHELL("exec sleep 1000"),
                                 .health = { "/bin/sh", "-c", script, self },
                                 .p = { .health = CHECK(.timeout_ms = 5000, .failures = 1) } } };
    start(s, 1);
    POD_EVENTUALLY(&pod, status_has("checked", "\"health\":\"ok\""));
    for (int i = 0; i < 5; i++) {
        struct stat before, now;
        ck_assert_int_eq(stat(pod_path(&pod, "runs"), &before), 0);
        POD_EVENTUALLY(&pod,
                       stat(pod_path(&pod, "runs"), &now) == 0 && now.st_size > before.st_size);
        ck_assert_int_le(living(name, NULL), 2); /* the one of now, and one on its way out */
    }
    ck_assert_int_eq(restarts_of("checked"), 0);
    (void)POD_ASK("stop", "checked");
    POD_EVENTUALLY(&pod, living(name, NULL) == 0);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(one_that_floods)
{
    struct pod_service s[] = {
        { .name = "checked",
          .argv = SHELL("while :; do echo mine; sleep 0.05; done"),
          .health = { self, "--role", "flood", "" },
          .p = { .health = CHECK(.timeout_ms = 1000, .failures = 2, .action = PLAN_ACTION_MARK) } },
        { .name = "other", .argv = SHELL("while :; do echo others; sleep 0.05; done") },
    };
    start(s, 2);
    POD_EVENTUALLY(&pod, pod_state("checked", "unhealthy"));
    ck_assert(pod_state("other", "ready"));
    /* Both still get their turns. */
    POD_EVENTUALLY(&pod,
                   pod_says(&pod, "\"msg\":\"mine\"") && pod_says(&pod, "\"msg\":\"others\""));
    ck_assert_int_lt(pod_number(POD_ASK("status"), "rss_bytes"), 64 << 20);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

/* The one at work when the service ended is killed, which takes a moment: that is no failure of the
 * next start. */
START_TEST(one_of_an_earlier_start)
{
    struct pod_service s[] = {
        { .name = "checked",
          .argv = SHELL("while [ ! -e die ]; do sleep 0.02; done; rm die"),
          .health = SHELL("[ ! -e hang ] || { for i in $(seq 150); do sleep 1000 & done; "
                          "rm hang; touch hangs; sleep 1000; }"),
          .p = { .backoff_first_ms = 1,
                 .backoff_max_ms = 1,
                 .health = CHECK(.timeout_ms = 60000, .failures = 1) } }
    };
    start(s, 1);
    for (int i = 1; i <= 3; i++) {
        POD_EVENTUALLY(&pod, status_has("checked", "\"health\":\"ok\""));
        touch("hang");
        POD_EVENTUALLY(&pod, there("hangs"));
        ck_assert_int_eq(unlink(pod_path(&pod, "hangs")), 0);
        touch("die");
        POD_EVENTUALLY(&pod, !there("die") && pod_state("checked", "ready"));
    }
    POD_EVENTUALLY(&pod, status_has("checked", "\"health\":\"ok\""));
    ck_assert(!pod_says(&pod, "health check failed"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("init_checks");
    TCase *t = tcase_create("checks");
    tcase_set_timeout(t, 90);
    tcase_add_checked_fixture(t, open_pod, close_pod);
    tcase_add_test(t, one_that_hangs_and_forks);
    tcase_add_test(t, one_that_leaves_a_child);
    tcase_add_test(t, one_that_floods);
    tcase_add_test(t, one_of_an_earlier_start);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    return run_roles(argc, argv, suite);
}
