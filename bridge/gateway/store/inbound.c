#include "base/core/clock.h"
#include "bridge/gateway/store/query.h"

#include <errno.h>

#define INBOUND_COLUMNS  "id, lane, kind, payload, note, attempts, received_ms"
#define KEYS_SWEEP_EVERY 256
#define KEYS_KEEP_MS     ((int64_t)86400000)

static int put_keys(struct store *s, const char *connector, const char *const *keys, int64_t now)
{
    for (size_t i = 0; keys[i]; i++) {
        int r =
            query_run(s, "INSERT OR IGNORE INTO inbox (connector, key, seen_ms) VALUES (?, ?, ?)",
                      "ssl", connector, keys[i], now);
        if (r <= 0)
            return r;
    }
    return 1;
}

int store_inbound_put(struct store *s, const char *connector, const char *const *keys,
                      const char *lane, const char *kind, const char *payload)
{
    int64_t now = clock_wall_ms();
    if (++s->inbox_writes % KEYS_SWEEP_EVERY == 0)
        (void)query_run(s, "DELETE FROM inbox WHERE seen_ms < ?", "l", now - KEYS_KEEP_MS);
    int r = store_begin(s);
    if (r < 0)
        return r;
    r = put_keys(s, connector, keys, now);
    if (r > 0)
        r = query_run(s,
                      "INSERT INTO inbound (connector, lane, kind, payload, note, attempts, "
                      "not_before_ms, received_ms) VALUES (?, ?, ?, ?, '', 0, 0, ?)",
                      "ssssl", connector, lane, kind, payload, now);
    if (r <= 0) {
        store_rollback(s);
        return r;
    }
    r = store_commit(s);
    return r < 0 ? r : 1;
}

int store_inbound_each(struct store *s, const char *connector,
                       int (*fn)(void *data, const struct inbound_item *i), void *data)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s,
                        "SELECT " INBOUND_COLUMNS " FROM inbound i WHERE connector = ? AND NOT "
                        "EXISTS (SELECT 1 FROM inbound e WHERE e.connector = i.connector AND "
                        "e.lane = i.lane AND e.id < i.id) ORDER BY id",
                        "s", connector);
    if (r < 0)
        return r;
    while ((r = query_step(&q)) > 0) {
        struct inbound_item i = {
            .id = query_int(&q, 0),
            .lane = query_text(&q, 1),
            .kind = query_text(&q, 2),
            .payload = query_text(&q, 3),
            .note = query_text(&q, 4),
            .attempts = (int)query_int(&q, 5),
            .received_ms = query_int(&q, 6),
        };
        r = fn(data, &i);
        if (r != 0)
            return r;
    }
    return r;
}

int store_inbound_waits(struct store *s, const char *connector, const char *lane)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s, "SELECT 1 FROM inbound WHERE connector = ? AND lane = ? LIMIT 1",
                        "ss", connector, lane);
    return r < 0 ? r : query_step(&q);
}

int store_inbound_attempt(struct store *s, int64_t id, const char *note)
{
    int r = query_run(s, "UPDATE inbound SET attempts = attempts + 1, note = ? WHERE id = ?", "sl",
                      note, id);
    return r < 0 ? r : r == 0 ? -ENOENT : 0;
}

int store_inbound_note(struct store *s, int64_t id, const char *note)
{
    int r = query_run(s, "UPDATE inbound SET note = ? WHERE id = ?", "sl", note, id);
    return r < 0 ? r : 0;
}

int store_inbound_done(struct store *s, int64_t id)
{
    int r = query_run(s, "DELETE FROM inbound WHERE id = ?", "l", id);
    return r < 0 ? r : 0;
}

int store_inbound_last(struct store *s, const char *connector, int64_t *ret)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s, "SELECT coalesce(max(id), 0) FROM inbound WHERE connector = ?", "s",
                        connector);
    if (r >= 0)
        r = query_step(&q);
    *ret = r > 0 ? query_int(&q, 0) : 0;
    return r < 0 ? r : 0;
}

int store_inbound_unsettled(struct store *s, const char *connector, int64_t last)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s,
                        "SELECT 1 FROM inbound WHERE connector = ? AND id <= ? AND attempts > 0 "
                        "LIMIT 1",
                        "sl", connector, last);
    return r < 0 ? r : query_step(&q);
}
