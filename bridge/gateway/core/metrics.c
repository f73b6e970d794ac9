#include "bridge/gateway/core/metrics.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/metrics/metrics.h"
#include "bridge/gateway/core/private.h"
#include "bridge/gateway/core/table.h"

#include <string.h>

/* A person answers in seconds, or after lunch, or tomorrow. */
static const double decision_bounds[] = { 1,   2,    5,    10,   30,    60,    120,  300,
                                          600, 1800, 3600, 7200, 14400, 28800, 86400 };

enum row {
    ROW_BUILD,
    ROW_START,
    ROW_WAY,
    ROW_BRIDGES,
    ROW_BRIDGE_CONNECTIONS,
    ROW_BRIDGE_LOSSES,
    ROW_SLACK,
    ROW_SESSIONS,
    ROW_OPEN,
    ROW_OLDEST,
    ROW_ASKED,
    ROW_SETTLED,
    ROW_DECISION,
    ROW_STORE,
    ROW_MAX,
};

static const struct metric rows[ROW_MAX] = {
    [ROW_BUILD] = { "codev_gateway_build_info",
                    METRIC_GAUGE,
                    "The gateway's version; always 1.",
                    { "version" } },
    [ROW_START] = { "codev_gateway_start_time_seconds",
                    METRIC_GAUGE,
                    "When the gateway started, in seconds since 1970.",
                    { 0 } },
    [ROW_WAY] = { "codev_gateway_opencode_way",
                  METRIC_GAUGE,
                  "1 for the way by which the gateway reaches OpenCode now.",
                  { "way" } },
    [ROW_BRIDGES] = { "codev_gateway_bridges",
                      METRIC_GAUGE,
                      "Bridge plugins that are connected.",
                      { 0 } },
    [ROW_BRIDGE_CONNECTIONS] = { "codev_gateway_bridge_connections_total",
                                 METRIC_COUNTER,
                                 "Bridge plugins that connected.",
                                 { 0 } },
    [ROW_BRIDGE_LOSSES] = { "codev_gateway_bridge_losses_total",
                            METRIC_COUNTER,
                            "Bridge plugins that went away.",
                            { 0 } },
    [ROW_SLACK] = { "codev_gateway_slack_state",
                    METRIC_GAUGE,
                    "1 for the state of the link to Slack; off: no tokens are set.",
                    { "state" } },
    [ROW_SESSIONS] = { "codev_gateway_sessions",
                       METRIC_GAUGE,
                       "Sessions that are known, without subagents' own, by what they do.",
                       { "status" } },
    [ROW_OPEN] = { "codev_gateway_requests_open",
                   METRIC_GAUGE,
                   "Requests that wait for a person (pending), or for OpenCode to confirm the "
                   "decision (deciding).",
                   { "kind", "state" } },
    [ROW_OLDEST] = { "codev_gateway_requests_oldest_seconds",
                     METRIC_GAUGE,
                     "How long the oldest request that waits for a person has waited; 0: none "
                     "waits.",
                     { "kind" } },
    [ROW_ASKED] = { "codev_gateway_requests_total",
                    METRIC_COUNTER,
                    "Requests that the agent made.",
                    { "kind" } },
    [ROW_SETTLED] = { "codev_gateway_requests_settled_total",
                      METRIC_COUNTER,
                      "Requests by how they ended; expired: nobody answered in time; gone: the turn "
                      "ended, or OpenCode did.",
                      { "kind", "outcome" } },
    [ROW_DECISION] = { "codev_gateway_decision_seconds",
                       METRIC_HISTOGRAM,
                       "From a request to a person's decision.",
                       { "kind" } },
    [ROW_STORE] = { "codev_gateway_store_failing",
                    METRIC_GAUGE,
                    "1 while the gateway's state cannot be stored.",
                    { 0 } },
};

static const char *const kinds[REQUEST_KIND_MAX] = {
    [REQUEST_PERMISSION] = "permission",
    [REQUEST_QUESTION] = "question",
};

/* ---------------------------------------------------------------- counting */

static const char deadline[] = "deadline"; /* the actor's connector */

void counts_init(struct core_counts *c)
{
    c->started_ms = clock_wall_ms();
    for (int k = 0; k < REQUEST_KIND_MAX; k++)
        c->decision[k] = (struct metric_histogram){ .bounds = decision_bounds,
                                                    .count = ARRAY_SIZE(decision_bounds) };
}

static bool is_person(const struct request_row *row)
{
    return row->outcome != OUTCOME_GONE && strcmp(row->actor_connector, deadline) != 0;
}

void counts_moved(struct core_counts *c, int from, const struct request_row *row)
{
    bool expired = strcmp(row->actor_connector, deadline) == 0;
    if (row->kind < 0 || row->kind >= REQUEST_KIND_MAX)
        return;
    if (from == REQUEST_PENDING && is_person(row))
        metric_observe(&c->decision[row->kind], (double)(row->decided_ms - row->created_ms) / 1000);
    if (row->state != REQUEST_SETTLED)
        return;
    if (expired && row->outcome != OUTCOME_GONE)
        c->expired[row->kind]++;
    else
        c->settled[row->kind][row->outcome]++;
}

/* ---------------------------------------------------------------- the page */

/* One sample for each name, 1 for the one that holds. */
static void put_states(struct buf *out, const struct metric *m, const char *const *names,
                       size_t count, const char *now)
{
    metric_head(out, m);
    for (size_t i = 0; i < count; i++)
        metric_sample(out, m, METRIC_VALUES(names[i]), strcmp(names[i], now) == 0);
}

static void put_links(struct core *core, struct buf *out)
{
    static const char *const ways[] = { "bridge", "http", "none" };
    static const char *const states[] = { "off", "connecting", "connected", "failed" };
    struct link_state l;
    core_links(core, &l);
    put_states(out, &rows[ROW_WAY], ways, ARRAY_SIZE(ways), l.opencode);
    metric_single(out, &rows[ROW_BRIDGES], l.bridges);
    metric_single(out, &rows[ROW_BRIDGE_CONNECTIONS], (double)core->counts.bridge_connections);
    metric_single(out, &rows[ROW_BRIDGE_LOSSES], (double)core->counts.bridge_losses);
    put_states(out, &rows[ROW_SLACK], states, ARRAY_SIZE(states), l.slack);
    metric_single(out, &rows[ROW_STORE], store_failing(core->store) != 0);
}

static void put_sessions(struct core *core, struct buf *out)
{
    int64_t counts[SESSION_STATUS_MAX];
    if (store_session_counts(core->store, counts, SESSION_STATUS_MAX) < 0)
        return;
    metric_head(out, &rows[ROW_SESSIONS]);
    for (int s = 0; s < SESSION_STATUS_MAX; s++)
        metric_sample(out, &rows[ROW_SESSIONS],
                      METRIC_VALUES(session_status_name((enum session_status)s)),
                      (double)counts[s]);
}

static void put_waiting(struct core *core, struct buf *out)
{
    struct store_waiting waiting[REQUEST_KIND_MAX][REQUEST_SETTLED];
    int64_t now = clock_wall_ms();
    for (int k = 0; k < REQUEST_KIND_MAX; k++)
        for (int s = 0; s < REQUEST_SETTLED; s++)
            if (store_request_waiting(core->store, k, s, &waiting[k][s]) < 0)
                return;
    metric_head(out, &rows[ROW_OPEN]);
    for (int k = 0; k < REQUEST_KIND_MAX; k++)
        for (int s = 0; s < REQUEST_SETTLED; s++)
            metric_sample(out, &rows[ROW_OPEN],
                          METRIC_VALUES(kinds[k], request_state_name((enum request_state)s)),
                          (double)waiting[k][s].count);
    metric_head(out, &rows[ROW_OLDEST]);
    for (int k = 0; k < REQUEST_KIND_MAX; k++) {
        const struct store_waiting *w = &waiting[k][REQUEST_PENDING];
        int64_t age_ms = w->count && w->oldest_ms < now ? now - w->oldest_ms : 0;
        metric_sample(out, &rows[ROW_OLDEST], METRIC_VALUES(kinds[k]), (double)age_ms / 1000);
    }
}

/* Which outcomes each kind can have; all are there from the start, so that the first one counts as
 * an increase. */
static const bool possible[REQUEST_KIND_MAX][OUTCOME_MAX] = {
    [REQUEST_PERMISSION] = { [OUTCOME_ONCE] = true,
                             [OUTCOME_ALWAYS] = true,
                             [OUTCOME_REJECT] = true,
                             [OUTCOME_GONE] = true },
    [REQUEST_QUESTION] = { [OUTCOME_ANSWERED] = true,
                           [OUTCOME_REJECT] = true,
                           [OUTCOME_GONE] = true },
};

static void put_requests(const struct core_counts *c, struct buf *out)
{
    metric_head(out, &rows[ROW_ASKED]);
    for (int k = 0; k < REQUEST_KIND_MAX; k++)
        metric_sample(out, &rows[ROW_ASKED], METRIC_VALUES(kinds[k]), (double)c->asked[k]);
    metric_head(out, &rows[ROW_SETTLED]);
    for (int k = 0; k < REQUEST_KIND_MAX; k++) {
        for (int o = 0; o < OUTCOME_MAX; o++)
            if (possible[k][o] || c->settled[k][o])
                metric_sample(
                    out, &rows[ROW_SETTLED],
                    METRIC_VALUES(kinds[k], request_outcome_name((enum request_outcome)o)),
                    (double)c->settled[k][o]);
        metric_sample(out, &rows[ROW_SETTLED], METRIC_VALUES(kinds[k], "expired"),
                      (double)c->expired[k]);
    }
    metric_head(out, &rows[ROW_DECISION]);
    for (int k = 0; k < REQUEST_KIND_MAX; k++)
        metric_histogram(out, &rows[ROW_DECISION], METRIC_VALUES(kinds[k]), &c->decision[k]);
}

void core_metrics(struct core *core, struct buf *out)
{
    metric_head(out, &rows[ROW_BUILD]);
    metric_sample(out, &rows[ROW_BUILD], METRIC_VALUES(core->settings->version), 1);
    metric_single(out, &rows[ROW_START], (double)core->counts.started_ms / 1000);
    put_links(core, out);
    put_sessions(core, out);
    put_waiting(core, out);
    put_requests(&core->counts, out);
    for (size_t i = 0; i < core->n_connectors; i++)
        if (core->connectors[i].metrics)
            core->connectors[i].metrics(core->connectors[i].data, out);
}

void core_metrics_document(struct buf *out)
{
    metrics_document(out, rows, ROW_MAX);
}
