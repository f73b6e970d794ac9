/* How every unit test program ends. CK_VERBOSITY and the like in the environment are obeyed. */
#pragma once

#include <check.h>
#include <stdlib.h>

/* Runs and frees `s`; the status to exit with. */
static inline int run_suite(Suite *s)
{
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
