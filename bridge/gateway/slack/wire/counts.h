/* What the connector counts of itself since the process started. */
#pragma once

#include "base/metrics/metrics.h"
#include "bridge/gateway/slack/wire/errors.h"
#include "bridge/gateway/slack/wire/limit.h"

struct api_result;

/* ok, each class of errors, and no answer at all. */
enum slack_result {
    SLACK_RESULT_OK = SLACK_ERROR_CLASS_MAX,
    SLACK_RESULT_UNREACHABLE,
    SLACK_RESULT_MAX
};

enum slack_envelope { ENVELOPE_EVENTS, ENVELOPE_INTERACTIVE, ENVELOPE_SLASH, ENVELOPE_MAX };

struct slack_counts {
    uint64_t calls[SLACK_METHOD_MAX][SLACK_RESULT_MAX];
    uint64_t rate_limited[SLACK_METHOD_MAX];
    struct metric_histogram call, ack;
    uint64_t acked[ENVELOPE_MAX], refused[ENVELOPE_MAX];
    uint64_t connections, losses;
    uint64_t delivered, failed; /* messages of the outbox */
};
void slack_counts_init(struct slack_counts *c);

/* One answered exchange of a method of Slack's. */
void slack_count_call(struct slack_counts *c, enum slack_method m, const struct api_result *r,
                      int http_status, uint64_t elapsed_us);
