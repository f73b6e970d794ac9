/* Where people are told of what needs them: Slack, the web page, or both. Pure; the choices and the
 * activity that go in are kept by focus.c. Times are wall clock in ms. */
#pragma once

#include "bridge/gateway/core/core.h"

enum weight {
    WEIGHT_NORMAL,   /* a request, a milestone */
    WEIGHT_CRITICAL, /* what failed */
    WEIGHT_MAX,
};

struct presence {
    enum focus focus;
    int64_t now_ms;
    int64_t active_ms;     /* somebody's last doing on the web page; 0: never */
    int64_t active_for_ms; /* how long that counts */
    enum weight weight;
    int64_t urgent_ms; /* from then on it is urgent; 0: never */
};

struct presence_verdict {
    enum told told;
    int64_t slack_ms; /* told is TOLD_WEB: when it comes to Slack by itself; 0: never */
};
struct presence_verdict presence_judge(const struct presence *p);

/* When a request that was asked at `created_ms` becomes urgent: after `hold_ms`, or at half of the
 * time after which nobody is asked any more (`deadline_ms`; 0: there is none), so that somebody can
 * still answer. */
int64_t presence_urgent_at(int64_t created_ms, uint64_t hold_ms, uint64_t deadline_ms);
