#include "base/core/clock.h"
#include "bridge/gateway/store/query.h"

#include <errno.h>

#define SEEN_COLUMNS "channel, thread, first, last"

int store_seen_put(struct store *s, const char *connector, const char *channel, const char *thread,
                   const char *ts)
{
    int r = query_run(s,
                      "INSERT INTO seen (connector, channel, thread, first, last, changed_ms) "
                      "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (connector, channel, thread) DO "
                      "UPDATE SET last = excluded.last, changed_ms = excluded.changed_ms WHERE "
                      "excluded.last > last",
                      "sssssl", connector, channel, thread, ts, ts, clock_wall_ms());
    return r < 0 ? r : 0;
}

static void row_get(struct query *q, struct store_seen *seen)
{
    *seen = (struct store_seen){
        .channel = query_text(q, 0),
        .thread = query_text(q, 1),
        .first = query_text(q, 2),
        .last = query_text(q, 3),
    };
}

int store_seen_get(struct store *s, const char *connector, const char *channel, const char *thread,
                   int (*fn)(void *data, const struct store_seen *seen), void *data)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s,
                        "SELECT " SEEN_COLUMNS " FROM seen WHERE connector = ? AND channel = ? "
                        "AND thread = ?",
                        "sss", connector, channel, thread);
    if (r == 0)
        r = query_step(&q);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    struct store_seen seen;
    row_get(&q, &seen);
    return fn ? fn(data, &seen) : 0;
}

int store_seen_each_channel(struct store *s, const char *connector,
                            int (*fn)(void *data, const struct store_seen *seen), void *data)
{
    _cleanup_query_ struct query q = { 0 };
    int r =
        query_begin(&q, s, "SELECT " SEEN_COLUMNS " FROM seen WHERE connector = ? AND thread = ''",
                    "s", connector);
    if (r < 0)
        return r;
    while ((r = query_step(&q)) > 0) {
        struct store_seen seen;
        row_get(&q, &seen);
        r = fn(data, &seen);
        if (r != 0)
            return r;
    }
    return r;
}
