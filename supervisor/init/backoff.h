/* How long to wait before a service starts again, and when to give it up. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/plan/plan.h"

#define RESTARTS_KEPT 128 /* the highest restart_limit.count that counts */

struct backoff {
    uint32_t delays;                  /* given out since the last reset */
    uint64_t restarts[RESTARTS_KEPT]; /* when, monotonic ms; a ring */
    uint32_t next, kept;
};

/* The delay before the next start, in ms. `up_ms`: how long it ran; `random`: any 32 bits. */
uint64_t backoff_delay(struct backoff *b, const struct plan_service *s, uint64_t up_ms,
                       uint32_t random);

/* Notes a restart at `now_ms`. True when it is one too many in the window. */
bool backoff_over_limit(struct backoff *b, const struct plan_service *s, uint64_t now_ms);

void backoff_reset(struct backoff *b);
