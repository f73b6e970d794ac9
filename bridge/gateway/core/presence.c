#include "bridge/gateway/core/presence.h"

struct presence_verdict presence_judge(const struct presence *p)
{
    /* Activity of the future: the clock was set back. */
    int64_t last = p->active_ms < p->now_ms ? p->active_ms : p->now_ms;
    int64_t until = p->active_ms > 0 ? last + p->active_for_ms : 0;
    bool active = until > p->now_ms;
    bool urgent = p->urgent_ms > 0 && p->now_ms >= p->urgent_ms;
    if (p->weight == WEIGHT_CRITICAL || urgent)
        return (struct presence_verdict){ .told = TOLD_BOTH };
    if (p->focus == FOCUS_SLACK || (p->focus == FOCUS_AUTO && !active))
        return (struct presence_verdict){ .told = TOLD_SLACK };
    struct presence_verdict v = { .told = TOLD_WEB, .slack_ms = p->urgent_ms };
    if (p->focus == FOCUS_AUTO && (v.slack_ms == 0 || until < v.slack_ms))
        v.slack_ms = until;
    return v;
}

int64_t presence_urgent_at(int64_t created_ms, uint64_t hold_ms, uint64_t deadline_ms)
{
    uint64_t wait = deadline_ms && deadline_ms / 2 < hold_ms ? deadline_ms / 2 : hold_ms;
    return created_ms + (int64_t)wait;
}
