/* rooms: supervisor/plan supervisor/sandbox base/core */
/* The wall clock jumps, forwards and backwards: nothing of PID 1 hangs on it. Only where the clock
 * is nobody else's: in the guest kernel of tests/uml/run.sh, which sets CODEV_GUEST. */
#include "tests/unit/init_suite.h"

#include <time.h>

static struct timespec before;

static void remember_clock(void)
{
    ck_assert_int_eq(clock_gettime(CLOCK_REALTIME, &before), 0);
}

static void jump(long seconds)
{
    struct timespec now;
    ck_assert_int_eq(clock_gettime(CLOCK_REALTIME, &now), 0);
    now.tv_sec += seconds;
    ck_assert_int_eq(clock_settime(CLOCK_REALTIME, &now), 0);
}

static void put_clock_back(void)
{
    (void)clock_settime(CLOCK_REALTIME, &before);
}

static long lines_of_runs(void)
{
    struct stat st;
    return stat(pod_path(&pod, "runs"), &st) < 0 ? 0 : st.st_size;
}

/* Checks go on at their pace, backoff and graces keep theirs, nothing is restarted for it. */
static void all_goes_on(void)
{
    long runs = lines_of_runs(), crashes = restarts_of("crashes");
    POD_EVENTUALLY(&pod, lines_of_runs() > runs + 4);
    POD_EVENTUALLY(&pod, restarts_of("crashes") > crashes);
    ck_assert(status_has("checked", "\"health\":\"ok\""));
    ck_assert_int_eq(restarts_of("checked"), 0);
    ck_assert_int_lt(pod_number(POD_ASK("status"), "uptime_ms"), 300000);
}

START_TEST(the_clock_jumps_both_ways)
{
    struct pod_service s[] = {
        { .name = "checked",
          .argv = SHELL("exec sleep 1000"),
          .health = SHELL("echo >>runs"),
          .p = { .health = { .kind = PLAN_CHECK_EXEC,
                             .interval_ms = 50,
                             .timeout_ms = 10000,
                             .failures = 1 } } },
        { .name = "crashes",
          .argv = SHELL("exit 1"),
          .p = { .backoff_first_ms = 100, .backoff_max_ms = 200 } },
        { .name = "stubborn",
          .argv = SHELL("trap '' TERM; echo armed; while :; do sleep 0.1; done"),
          .p = { .stop_grace_ms = 500 } },
    };
    start(s, ARRAY_SIZE(s));
    POD_EVENTUALLY(&pod, pod_state("checked", "ready") && pod_says(&pod, "armed"));
    all_goes_on();
    jump(86400);
    all_goes_on();
    jump(-3 * 86400);
    all_goes_on();
    (void)POD_ASK("restart", "stubborn");
    jump(-7200);
    POD_EVENTUALLY(&pod, restarts_of("stubborn") == 1 && pod_state("stubborn", "ready"));
    ck_assert_int_eq(kill(pod.pid1, SIGTERM), 0);
    jump(10 * 86400);
    ck_assert_int_eq(pod_wait(&pod, 20000), 0);
    /* As if nothing had been: each line has the time that was then. */
    ck_assert(pod_says(&pod, "stopped: exit status 0"));
}
END_TEST

START_TEST(not_here)
{
    (void)printf("SKIP a clock that jumps: this machine's is not ours; the guest's is\n");
    (void)fflush(stdout);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("init_clock");
    TCase *t = tcase_create("guest");
    tcase_set_tags(t, "guest");
    tcase_set_timeout(t, 120);
    if (getenv("CODEV_GUEST")) {
        tcase_add_unchecked_fixture(t, remember_clock, put_clock_back);
        tcase_add_checked_fixture(t, open_pod, close_pod);
        tcase_add_test(t, the_clock_jumps_both_ways);
    } else {
        tcase_add_test(t, not_here);
    }
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return run_pod_suite(suite);
}
