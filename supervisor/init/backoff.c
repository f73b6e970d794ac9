#include "supervisor/init/backoff.h"

static uint64_t grow(uint64_t ms, uint32_t factor_milli, uint64_t max)
{
    uint64_t v = ms * (factor_milli ? factor_milli : 1000) / 1000;
    return v > max ? max : v;
}

uint64_t backoff_delay(struct backoff *b, const struct plan_service *s, uint64_t up_ms,
                       uint32_t random)
{
    uint64_t max =
        s->backoff_max_ms > s->backoff_first_ms ? s->backoff_max_ms : s->backoff_first_ms;
    if (s->backoff_reset_ms && up_ms >= s->backoff_reset_ms)
        b->delays = 0;
    uint64_t delay = s->backoff_first_ms;
    for (uint32_t i = 0; i < b->delays && delay < max; i++) {
        uint64_t next = grow(delay, s->backoff_factor_milli, max);
        if (next <= delay)
            break;
        delay = next;
    }
    b->delays++;
    uint64_t jitter =
        delay * (s->backoff_jitter_milli > 1000 ? 1000 : s->backoff_jitter_milli) / 1000;
    return jitter ? delay - jitter + random % (2 * jitter + 1) : delay;
}

bool backoff_over_limit(struct backoff *b, const struct plan_service *s, uint64_t now_ms)
{
    uint32_t limit = s->limit_count > RESTARTS_KEPT ? RESTARTS_KEPT : s->limit_count;
    if (!limit)
        return false;
    uint32_t inside = 0;
    for (uint32_t i = 0; i < b->kept; i++)
        if (now_ms - b->restarts[i] < s->limit_window_ms)
            inside++;
    b->restarts[b->next] = now_ms;
    b->next = (b->next + 1) % RESTARTS_KEPT;
    if (b->kept < RESTARTS_KEPT)
        b->kept++;
    return inside >= limit;
}

void backoff_reset(struct backoff *b)
{
    *b = (struct backoff){ 0 };
}
