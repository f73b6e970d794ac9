#include "bridge/gateway/store/history.h"

#include "base/core/buf.h"
#include "base/core/file.h"
#include "bridge/gateway/store/query.h"

#include <errno.h>
#include <string.h>

#define BUSY_MS 2000 /* the gateway opens or recovers it just now */

static int refuse(struct store *s, const char *path, int r, struct error *e)
{
    store_close(s);
    if (r == -EPROTO)
        return error_set(e, r, "%s is of another version", path);
    return r == -EUCLEAN ? error_set(e, r, "%s is damaged", path)
                         : error_set_errno(e, r, "cannot read %s", path);
}

int store_open_reader(struct store **ret, const char *dir, struct error *e)
{
    _cleanup_free_ char *path = path_join(dir, "gateway.db");
    struct store *s = path ? calloc(1, sizeof *s) : NULL;
    if (!s)
        return error_set_errno(e, -ENOMEM, "cannot read the gateway's state");
    if (access(path, F_OK) < 0)
        return refuse(s, path, -errno, e);
    int rc = sqlite3_open_v2(
        path, &s->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL);
    int r = store_errno(rc);
    if (r == 0) {
        (void)sqlite3_extended_result_codes(s->db, 1);
        (void)sqlite3_busy_timeout(s->db, BUSY_MS);
        r = store_schema(s);
    }
    if (r < 0)
        return refuse(s, path, r, e);
    *ret = s;
    return 0;
}

/* FNV-1a, the end included. */
static uint64_t mix(uint64_t print, const char *text)
{
    do
        print = (print ^ (unsigned char)*text) * UINT64_C(1099511628211);
    while (*text++);
    return print;
}

#define PRINT_COLUMNS 11 /* beside the first two */

int store_print_each(struct store *s,
                     int (*fn)(void *data, const char *pod, const char *id, uint64_t print),
                     void *data)
{
    _cleanup_query_ struct query q = { 0 };
    _cleanup_buf_ struct buf pod = BUF_INIT, id = BUF_INIT;
    uint64_t print = UINT64_C(14695981039346656037);
    int more, r = query_begin(&q, s,
                              "SELECT s.pod, s.root_id, s.id, s.directory, s.title, s.agent, "
                              "s.model, s.created_by, s.status, s.updated_ms, s.cost, s.tokens, "
                              "p.channel || p.thread_ts || p.ts FROM sessions s LEFT JOIN places p "
                              "ON p.connector = 'slack' AND p.kind = 'session' AND p.pod = s.pod "
                              "AND p.id = s.id ORDER BY s.pod, s.root_id, s.id",
                              "");
    if (r < 0)
        return r;
    while ((more = query_step(&q)) > 0) {
        bool same = strcmp(buf_str(&pod), query_text(&q, 0)) == 0 &&
                    strcmp(buf_str(&id), query_text(&q, 1)) == 0;
        if (!same) {
            r = id.len ? fn(data, buf_str(&pod), buf_str(&id), print) : 0;
            if (r != 0)
                return r;
            print = UINT64_C(14695981039346656037);
            buf_reset(&pod);
            buf_reset(&id);
            (void)buf_puts(&pod, query_text(&q, 0));
            (void)buf_puts(&id, query_text(&q, 1));
        }
        for (int i = 2; i < 2 + PRINT_COLUMNS; i++)
            print = mix(print, query_text(&q, i));
    }
    if (more < 0 || pod.failed || id.failed)
        return more < 0 ? more : -ENOMEM;
    return id.len ? fn(data, buf_str(&pod), buf_str(&id), print) : 0;
}

int store_changed_each(struct store *s, int64_t since_ms,
                       int (*fn)(void *data, const char *pod, const char *id), void *data)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s,
                        "SELECT pod, root_session_id FROM requests WHERE "
                        "max(created_ms, decided_ms, settled_ms) >= ? UNION "
                        "SELECT pod, session_id FROM milestones WHERE time_ms >= ?",
                        "ll", since_ms, since_ms);
    if (r < 0)
        return r;
    while ((r = query_step(&q)) > 0) {
        r = fn(data, query_text(&q, 0), query_text(&q, 1));
        if (r != 0)
            return r;
    }
    return r;
}

int store_milestone_put(struct store *s, const struct milestone_row *m)
{
    return query_run(s,
                     "INSERT OR IGNORE INTO milestones (pod, session_id, kind, ref, time_ms) "
                     "VALUES (?, ?, ?, ?, ?)",
                     "ssssl", m->pod, m->session_id, m->kind, m->ref, m->time_ms);
}

int store_milestone_each(struct store *s, const char *pod, const char *session_id,
                         int (*fn)(void *data, const struct milestone_row *m), void *data)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s,
                        "SELECT pod, session_id, kind, ref, time_ms FROM milestones "
                        "WHERE pod = ? AND session_id = ? ORDER BY time_ms, kind, ref",
                        "ss", pod, session_id);
    if (r < 0)
        return r;
    while ((r = query_step(&q)) > 0) {
        const struct milestone_row row = {
            .pod = query_text(&q, 0),
            .session_id = query_text(&q, 1),
            .kind = query_text(&q, 2),
            .ref = query_text(&q, 3),
            .time_ms = query_int(&q, 4),
        };
        r = fn(data, &row);
        if (r != 0)
            return r;
    }
    return r;
}
