#include "bridge/gateway/slack/wire/backoff.h"

#define MIN_MS        500
#define MAX_MS        30000
#define DOUBLINGS_MAX 6
#define DOUBLINGS_UP  3 /* after a connection, however short: the other side is there */

static void forget_if_stable(struct backoff *b, uint64_t now_ms)
{
    if (b->up_ms && now_ms - b->up_ms >= BACKOFF_STABLE_MS)
        b->failures = 0;
}

void backoff_up(struct backoff *b, uint64_t now_ms, bool went_on)
{
    if (went_on) {
        forget_if_stable(b, now_ms);
        return;
    }
    b->up_ms = now_ms;
    if (b->failures > DOUBLINGS_UP)
        b->failures = DOUBLINGS_UP;
}

uint64_t backoff_wait(struct backoff *b, uint64_t now_ms, bool up, uint64_t told_ms,
                      uint64_t *ret_jitter_ms)
{
    if (!up) {
        forget_if_stable(b, now_ms);
        b->up_ms = 0;
    }
    if (told_ms) {
        *ret_jitter_ms = MIN_MS;
        return told_ms;
    }
    uint64_t ceiling = (uint64_t)MIN_MS
                       << (b->failures < DOUBLINGS_MAX ? b->failures : DOUBLINGS_MAX);
    *ret_jitter_ms = ceiling < MAX_MS ? ceiling : MAX_MS;
    b->failures++;
    return 0; /* anywhere between nothing and the ceiling */
}
