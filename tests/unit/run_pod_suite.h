/* How a test program ends that needs the real PID 1 (init_pod.h): where that cannot run, one test
 * says so, and is counted as skipped. */
#pragma once

#include "tests/unit/init_pod.h"
#include "tests/unit/run_suite.h"

START_TEST(everything_is_skipped)
{
    (void)printf("SKIP %s\n", pod_impossible());
    (void)fflush(stdout); /* the test's process ends without it */
}
END_TEST

/* Runs what `suite` makes; the status to exit with. */
static inline int run_pod_suite(Suite *(*suite)(void))
{
    if (!*pod_impossible())
        return run_suite(suite());
    Suite *s = suite_create("skipped");
    TCase *t = tcase_create("skipped");
    tcase_add_test(t, everything_is_skipped);
    suite_add_tcase(s, t);
    return run_suite(s);
}
