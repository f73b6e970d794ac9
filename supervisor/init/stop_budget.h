/* How the time of a stop is shared out. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* What services that stop together may need: the longest of each. */
struct stop_need {
    uint32_t hook_ms, grace_ms;
};

/* What the first of `count` groups gets when `left_ms` remain for all of them: what it needs, or,
 * when all together need more than there is, its proportional part. A part of the time is kept
 * back for the final kill (stop_reserve). */
struct stop_need stop_share(const struct stop_need *needs, size_t count, uint64_t left_ms);

/* Kept back for killing and reaping: a fifth, at most 1 s. */
uint64_t stop_reserve(uint64_t budget_ms);
