#include "bridge/gateway/store/query.h"
#include "bridge/gateway/store/rows.h"

#include <errno.h>

#define PLACE_COLUMNS "connector, kind, pod, id, channel, ts, thread_ts, extra"

static int place_one(struct query *q, int (*fn)(void *data, const struct store_place *p),
                     void *data)
{
    int r = query_step(q);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    struct store_place p = {
        .connector = query_text(q, 0),
        .kind = query_text(q, 1),
        .pod = query_text(q, 2),
        .id = query_text(q, 3),
        .channel = query_text(q, 4),
        .ts = query_text(q, 5),
        .thread_ts = query_text(q, 6),
        .extra = query_text(q, 7),
    };
    return fn(data, &p);
}

int store_place_put(struct store *s, const struct store_place *p)
{
    int r = query_run(
        s, "INSERT OR REPLACE INTO places (" PLACE_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        "ssssssss", p->connector, p->kind, p->pod, p->id, p->channel, p->ts, p->thread_ts,
        p->extra);
    return r < 0 ? r : 0;
}

int store_place_get(struct store *s, const char *connector, const char *kind, const char *pod,
                    const char *id, int (*fn)(void *data, const struct store_place *p), void *data)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s,
                        "SELECT " PLACE_COLUMNS " FROM places WHERE connector = ? AND kind = ? "
                        "AND pod = ? AND id = ?",
                        "ssss", connector, kind, pod, id);
    return r < 0 ? r : place_one(&q, fn, data);
}

/* A request may be shown by the message that opens a session's thread: the session comes first,
 * since a reply there is meant for it. */
int store_place_find(struct store *s, const char *connector, const char *channel, const char *ts,
                     int (*fn)(void *data, const struct store_place *p), void *data)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s,
                        "SELECT " PLACE_COLUMNS " FROM places WHERE connector = ? AND channel = ? "
                        "AND ts = ? ORDER BY kind = 'session' DESC LIMIT 1",
                        "sss", connector, channel, ts);
    return r < 0 ? r : place_one(&q, fn, data);
}

int store_place_each_thread(struct store *s, const char *connector, int64_t since_ms, int max,
                            int (*fn)(void *data, const struct store_place *p), void *data)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s,
                        "SELECT p.connector, p.kind, p.pod, p.id, p.channel, p.ts, p.thread_ts, "
                        "p.extra FROM places p JOIN sessions s ON s.pod = p.pod AND s.id = p.id "
                        "WHERE p.connector = ? AND p.kind = 'session' AND s.status <> ? AND "
                        "s.updated_ms >= ? ORDER BY s.updated_ms DESC LIMIT ?",
                        "sili", connector, STORE_SESSION_GONE, since_ms, max);
    if (r < 0)
        return r;
    while ((r = place_one(&q, fn, data)) == 0)
        ;
    return r == -ENOENT ? 0 : r;
}

int store_place_delete(struct store *s, const char *connector, const char *kind, const char *pod,
                       const char *id)
{
    int r =
        query_run(s, "DELETE FROM places WHERE connector = ? AND kind = ? AND pod = ? AND id = ?",
                  "ssss", connector, kind, pod, id);
    return r < 0 ? r : 0;
}
