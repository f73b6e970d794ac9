/* How much there is of what waits: for metrics. */
#include "bridge/gateway/store/query.h"
#include "bridge/gateway/store/rows.h"

int store_session_counts(struct store *s, int64_t *counts, int max)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(
        &q, s, "SELECT status, count(*) FROM sessions WHERE parent_id = '' GROUP BY status", "");
    for (int i = 0; i < max; i++)
        counts[i] = 0;
    while (r >= 0 && (r = query_step(&q)) > 0) {
        int64_t status = query_int(&q, 0);
        if (status >= 0 && status < max)
            counts[status] = query_int(&q, 1);
    }
    return r;
}

static int read_waiting(struct query *q, int r, struct store_waiting *ret)
{
    *ret = (struct store_waiting){ 0 };
    if (r >= 0)
        r = query_step(q);
    if (r <= 0)
        return r;
    *ret = (struct store_waiting){ query_int(q, 0), query_int(q, 1) };
    return 0;
}

int store_request_waiting(struct store *s, int kind, int state, struct store_waiting *ret)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s,
                        "SELECT count(*), coalesce(min(created_ms), 0) FROM requests "
                        "WHERE state = ? AND kind = ?",
                        "ii", state, kind);
    return read_waiting(&q, r, ret);
}

int store_outbox_waiting(struct store *s, const char *connector, struct store_waiting *ret)
{
    _cleanup_query_ struct query q = { 0 };
    int r =
        query_begin(&q, s, "SELECT count(*), 0 FROM outbox WHERE connector = ? AND state IN (0, 1)",
                    "s", connector);
    return read_waiting(&q, r, ret);
}

int store_inbound_waiting(struct store *s, const char *connector, struct store_waiting *ret)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s,
                        "SELECT count(*), coalesce(min(received_ms), 0) FROM inbound "
                        "WHERE connector = ?",
                        "s", connector);
    return read_waiting(&q, r, ret);
}
