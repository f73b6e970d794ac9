#include "base/core/clock.h"
#include "bridge/gateway/store/query.h"

#include <errno.h>

#define OUTBOX_COLUMNS                                                                             \
    "id, connector, lane, key, method, payload, state, attempts, not_before_ms, result"

int store_outbox_put(struct store *s, const char *connector, const char *lane, const char *key,
                     const char *method, const char *payload, bool again)
{
    int64_t now = clock_wall_ms();
    int r = query_run(s,
                      "UPDATE outbox SET lane = ?, method = ?, payload = ?, changed_ms = ? "
                      "WHERE connector = ? AND key = ? AND state = 0",
                      "ssslss", lane, method, payload, now, connector, key);
    if (r != 0)
        return r < 0 ? r : 0;
    r = query_run(s,
                  "INSERT INTO outbox (connector, lane, key, method, payload, state, attempts, "
                  "not_before_ms, result, changed_ms) SELECT ?, ?, ?, ?, ?, 0, 0, 0, '', ? "
                  "WHERE ? OR NOT EXISTS (SELECT 1 FROM outbox WHERE connector = ? AND key = ?)",
                  "sssssliss", connector, lane, key, method, payload, now, (int)again, connector,
                  key);
    return r < 0 ? r : 0;
}

static void row_get(struct query *q, struct outbox_item *i)
{
    *i = (struct outbox_item){
        .id = query_int(q, 0),
        .connector = query_text(q, 1),
        .lane = query_text(q, 2),
        .key = query_text(q, 3),
        .method = query_text(q, 4),
        .payload = query_text(q, 5),
        .state = (enum outbox_state)query_int(q, 6),
        .attempts = (int)query_int(q, 7),
        .not_before_ms = query_int(q, 8),
        .result = query_text(q, 9),
    };
}

int store_outbox_each(struct store *s, const char *connector,
                      int (*fn)(void *data, const struct outbox_item *i), void *data)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s,
                        "SELECT " OUTBOX_COLUMNS " FROM outbox WHERE connector = ? AND state IN "
                        "(0, 1) ORDER BY id",
                        "s", connector);
    if (r < 0)
        return r;
    while ((r = query_step(&q)) > 0) {
        struct outbox_item i;
        row_get(&q, &i);
        r = fn(data, &i);
        if (r != 0)
            return r;
    }
    return r;
}

int store_outbox_set(struct store *s, int64_t id, enum outbox_state state, const char *result,
                     int64_t not_before_ms)
{
    int r = query_run(s,
                      "UPDATE outbox SET state = ?, result = ?, not_before_ms = ?, "
                      "attempts = attempts + ?, changed_ms = ? WHERE id = ?",
                      "islill", (int)state, result, not_before_ms, (int)(state == OUTBOX_SENDING),
                      clock_wall_ms(), id);
    return r < 0 ? r : r == 0 ? -ENOENT : 0;
}

int store_outbox_doubt(struct store *s, const char *connector, const char *update)
{
    int r =
        query_run(s,
                  "UPDATE outbox SET state = 1 WHERE connector = ? AND state = 0 AND method <> ? "
                  "AND changed_ms > (SELECT max(changed_ms) FROM outbox) - 60000",
                  "ss", connector, update);
    return r < 0 ? r : 0;
}

int store_outbox_find(struct store *s, const char *connector, const char *key,
                      int (*fn)(void *data, const struct outbox_item *i), void *data)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s,
                        "SELECT " OUTBOX_COLUMNS " FROM outbox WHERE connector = ? AND key = ? "
                        "ORDER BY id DESC LIMIT 1",
                        "ss", connector, key);
    if (r == 0)
        r = query_step(&q);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    struct outbox_item i;
    row_get(&q, &i);
    return fn(data, &i);
}
