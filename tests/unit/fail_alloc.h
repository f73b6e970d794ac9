/* What the file holds that CODEV_TEST_ALLOC names. */
#pragma once

#include <stdint.h>

struct fail_alloc {
    uint64_t count;   /* allocations of PID 1 so far */
    uint64_t fail_at; /* the one to fail; 0: none */
};
