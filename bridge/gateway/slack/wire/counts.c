#include "bridge/gateway/slack/wire/counts.h"

#include "base/core/cleanup.h"
#include "bridge/gateway/slack/wire/api.h"

#include <string.h>

/* Slack waits 3 s for an acknowledgement, and shows an error to the person after that. */
static const double ack_bounds[] = { 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                     0.1,   0.25,   0.5,   1,    2,     3 };
static const double call_bounds[] = { 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15 };

void slack_counts_init(struct slack_counts *c)
{
    c->ack = (struct metric_histogram){ .bounds = ack_bounds, .count = ARRAY_SIZE(ack_bounds) };
    c->call = (struct metric_histogram){ .bounds = call_bounds, .count = ARRAY_SIZE(call_bounds) };
}

void slack_count_call(struct slack_counts *c, enum slack_method m, const struct api_result *r,
                      int http_status, uint64_t elapsed_us)
{
    size_t result = r->ok                                 ? (size_t)SLACK_RESULT_OK
                    : strcmp(r->code, "unreachable") == 0 ? (size_t)SLACK_RESULT_UNREACHABLE
                                                          : (size_t)r->class;
    c->calls[m][result]++;
    c->rate_limited[m] += http_status == 429;
    metric_observe(&c->call, (double)elapsed_us / 1e6);
}
