#include "bridge/gateway/slack/metrics.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/store/rows.h"

#include <string.h>

enum row {
    ROW_CALLS,
    ROW_CALL,
    ROW_RATE_LIMITED,
    ROW_CONNECTIONS,
    ROW_LOSSES,
    ROW_ENVELOPES,
    ROW_ACK,
    ROW_OUTBOX,
    ROW_MESSAGES,
    ROW_INBOUND,
    ROW_INBOUND_OLDEST,
    ROW_MAX,
};

static const struct metric rows[ROW_MAX] = {
    [ROW_CALLS] = { "codev_gateway_slack_calls_total",
                    METRIC_COUNTER,
                    "Calls of Slack's Web API by method and result; a method appears with its first "
                    "call.",
                    { "method", "result" } },
    /* Without the method: thirteen of them would be two hundred series a pod. */
    [ROW_CALL] = { "codev_gateway_slack_call_seconds",
                   METRIC_HISTOGRAM,
                   "How long a call of Slack's Web API took.",
                   { 0 } },
    [ROW_RATE_LIMITED] = { "codev_gateway_slack_rate_limited_total",
                           METRIC_COUNTER,
                           "Calls that Slack answered 429.",
                           { "method" } },
    [ROW_CONNECTIONS] = { "codev_gateway_slack_connections_total",
                          METRIC_COUNTER,
                          "Socket Mode connections that Slack greeted.",
                          { 0 } },
    [ROW_LOSSES] = { "codev_gateway_slack_connection_losses_total",
                     METRIC_COUNTER,
                     "Times that no Socket Mode connection was left.",
                     { 0 } },
    [ROW_ENVELOPES] = { "codev_gateway_slack_envelopes_total",
                        METRIC_COUNTER,
                        "What people did in Slack; refused: it could not be stored and was not "
                        "acknowledged.",
                        { "type", "result" } },
    [ROW_ACK] = { "codev_gateway_slack_ack_seconds",
                  METRIC_HISTOGRAM,
                  "From an envelope's arrival to its acknowledgement; Slack waits 3 s.",
                  { 0 } },
    [ROW_OUTBOX] = { "codev_gateway_slack_outbox_messages",
                     METRIC_GAUGE,
                     "Messages that wait to be sent.",
                     { 0 } },
    [ROW_MESSAGES] = { "codev_gateway_slack_messages_total",
                       METRIC_COUNTER,
                       "Messages and changes of messages that were delivered, or given up.",
                       { "result" } },
    [ROW_INBOUND] = { "codev_gateway_slack_inbound_waiting",
                      METRIC_GAUGE,
                      "Acknowledged envelopes whose work is not over.",
                      { 0 } },
    [ROW_INBOUND_OLDEST] = { "codev_gateway_slack_inbound_oldest_seconds",
                             METRIC_GAUGE,
                             "How long the oldest of them has waited; 0: none waits.",
                             { 0 } },
};

static const char *const results[SLACK_RESULT_MAX] = {
    [SLACK_ERROR_TOKEN] = "token",
    [SLACK_ERROR_SETUP] = "setup",
    [SLACK_ERROR_RATE] = "rate_limited",
    [SLACK_ERROR_SERVER] = "server",
    [SLACK_ERROR_CONTENT] = "content",
    [SLACK_ERROR_GONE] = "gone",
    [SLACK_ERROR_OTHER] = "refused",
    [SLACK_RESULT_OK] = "ok",
    [SLACK_RESULT_UNREACHABLE] = "unreachable",
};

static const char *const envelopes[ENVELOPE_MAX] = {
    [ENVELOPE_EVENTS] = "events",
    [ENVELOPE_INTERACTIVE] = "interactive",
    [ENVELOPE_SLASH] = "slash",
};

/* ---------------------------------------------------------------- the page */

static bool was_called(const struct slack_counts *c, int method)
{
    uint64_t n = 0;
    for (int r = 0; r < SLACK_RESULT_MAX; r++)
        n += c->calls[method][r];
    return n > 0;
}

static void put_calls(const struct slack_counts *c, struct buf *out)
{
    metric_head(out, &rows[ROW_CALLS]);
    for (int m = 0; m < SLACK_METHOD_MAX; m++)
        for (int r = 0; r < SLACK_RESULT_MAX && was_called(c, m); r++)
            metric_sample(out, &rows[ROW_CALLS], METRIC_VALUES(slack_methods[m].name, results[r]),
                          (double)c->calls[m][r]);
    metric_head(out, &rows[ROW_RATE_LIMITED]);
    for (int m = 0; m < SLACK_METHOD_MAX; m++)
        metric_sample(out, &rows[ROW_RATE_LIMITED], METRIC_VALUES(slack_methods[m].name),
                      (double)c->rate_limited[m]);
    metric_head(out, &rows[ROW_CALL]);
    metric_histogram(out, &rows[ROW_CALL], NULL, &c->call);
}

static void put_socket(const struct slack_counts *c, struct buf *out)
{
    metric_single(out, &rows[ROW_CONNECTIONS], (double)c->connections);
    metric_single(out, &rows[ROW_LOSSES], (double)c->losses);
    metric_head(out, &rows[ROW_ENVELOPES]);
    for (int e = 0; e < ENVELOPE_MAX; e++) {
        metric_sample(out, &rows[ROW_ENVELOPES], METRIC_VALUES(envelopes[e], "acked"),
                      (double)c->acked[e]);
        metric_sample(out, &rows[ROW_ENVELOPES], METRIC_VALUES(envelopes[e], "refused"),
                      (double)c->refused[e]);
    }
    metric_head(out, &rows[ROW_ACK]);
    metric_histogram(out, &rows[ROW_ACK], NULL, &c->ack);
}

static void put_queues(struct slack *s, struct buf *out)
{
    struct store_waiting outbox, inbound;
    int64_t now = clock_wall_ms();
    metric_head(out, &rows[ROW_MESSAGES]);
    metric_sample(out, &rows[ROW_MESSAGES], METRIC_VALUES("delivered"),
                  (double)s->counts.delivered);
    metric_sample(out, &rows[ROW_MESSAGES], METRIC_VALUES("failed"), (double)s->counts.failed);
    if (store_outbox_waiting(s->store, CONNECTOR, &outbox) < 0 ||
        store_inbound_waiting(s->store, CONNECTOR, &inbound) < 0)
        return;
    int64_t age_ms = inbound.count && inbound.oldest_ms < now ? now - inbound.oldest_ms : 0;
    metric_single(out, &rows[ROW_OUTBOX], (double)outbox.count);
    metric_single(out, &rows[ROW_INBOUND], (double)inbound.count);
    metric_single(out, &rows[ROW_INBOUND_OLDEST], (double)age_ms / 1000);
}

void slack_metrics(void *slack, struct buf *out)
{
    struct slack *s = slack;
    put_calls(&s->counts, out);
    put_socket(&s->counts, out);
    put_queues(s, out);
}

void slack_metrics_document(struct buf *out)
{
    metrics_document(out, rows, ROW_MAX);
}
