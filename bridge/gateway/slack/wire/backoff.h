/* How long until the next attempt to connect. Pure: times are monotonic milliseconds. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define BACKOFF_STABLE_MS 10000 /* up for so long, it begins anew */

struct backoff {
    unsigned failures; /* in a row */
    uint64_t up_ms;    /* since when there is a connection without a gap; 0: there is none */
};

/* A connection is there, so that the next attempt waits for 4 s at most; `went_on`: it takes over
 * from another one without a gap. */
void backoff_up(struct backoff *b, uint64_t now_ms, bool went_on);

/* Another attempt is due: what it waits for at least, and what is added by chance below
 * `*ret_jitter_ms`, so that many don't come back at once. `up`: a connection is there, this is for
 * the next one. `told_ms`: the other side said when, as in Retry-After, which is no failure; else
 * 0.
 */
uint64_t backoff_wait(struct backoff *b, uint64_t now_ms, bool up, uint64_t told_ms,
                      uint64_t *ret_jitter_ms);
