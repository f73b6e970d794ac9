/* rooms: supervisor/init supervisor/cgroup supervisor/volumes supervisor/plan supervisor/sandbox base/core */
/* PID 1's loop: timers. */
#include <check.h>

#include "base/core/clock.h"
#include "supervisor/init/loop.h"
#include "tests/unit/run_suite.h"

static struct loop loop;
static unsigned fired;

static void open_loop(void)
{
    loop = (struct loop){ 0 };
    fired = 0;
    ck_assert_int_eq(loop_init(&loop), 0);
}

static void close_loop(void)
{
    loop_release(&loop);
}

static void count(struct timer *t)
{
    (void)t;
    fired++;
}

static void again(struct timer *t)
{
    fired++;
    timer_set_now(&loop, t);
}

START_TEST(a_timer_for_now_needs_no_wait)
{
    struct timer now = { .fn = count }, later = { .fn = count };
    timer_set(&loop, &later, 3600000);
    timer_set_now(&loop, &now);
    ck_assert_int_eq(loop_once(&loop), 0);
    ck_assert_uint_eq(fired, 1);
    ck_assert_uint_eq(now.due_ms, 0);
    ck_assert_uint_ne(later.due_ms, 0);
}
END_TEST

/* Else one service that cannot be started would keep PID 1 from everything else. */
START_TEST(a_round_ends_whatever_its_timers_set)
{
    struct timer one = { .fn = again }, two = { .fn = again };
    timer_set_now(&loop, &one);
    timer_set_now(&loop, &two);
    for (unsigned round = 1; round <= 5; round++) {
        unsigned before = fired;
        ck_assert_int_eq(loop_once(&loop), 0);
        ck_assert_uint_gt(fired, before);
        ck_assert_uint_le(fired, 2 * round);
    }
}
END_TEST

START_TEST(the_earliest_timer_comes_first)
{
    struct timer now = { .fn = count }, soon = { .fn = count };
    uint64_t began = clock_mono_ms();
    timer_set(&loop, &soon, 30);
    timer_set(&loop, &now, 0); /* counts as 1 ms */
    while (fired < 1)
        ck_assert_int_eq(loop_once(&loop), 0);
    ck_assert_uint_eq(now.due_ms, 0);
    while (fired < 2)
        ck_assert_int_eq(loop_once(&loop), 0);
    ck_assert_uint_ge(clock_mono_ms() - began, 30);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("init_loop");
    TCase *t = tcase_create("timers");
    tcase_add_checked_fixture(t, open_loop, close_loop);
    tcase_add_test(t, a_timer_for_now_needs_no_wait);
    tcase_add_test(t, a_round_ends_whatever_its_timers_set);
    tcase_add_test(t, the_earliest_timer_comes_first);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return run_suite(suite());
}
