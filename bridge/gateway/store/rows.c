#include "bridge/gateway/store/rows.h"

#include "base/core/clock.h"
#include "base/core/log.h"
#include "bridge/gateway/store/history.h"
#include "bridge/gateway/store/query.h"

#include <errno.h>

#define SESSION_COLUMNS                                                                            \
    "pod, id, parent_id, root_id, directory, title, agent, model, created_by, status, "            \
    "status_text, retry_at_ms, created_ms, updated_ms, cost, tokens, instance, seq"

static void session_get(struct query *q, struct session_row *row)
{
    *row = (struct session_row){
        .pod = query_text(q, 0),
        .id = query_text(q, 1),
        .parent_id = query_text(q, 2),
        .root_id = query_text(q, 3),
        .directory = query_text(q, 4),
        .title = query_text(q, 5),
        .agent = query_text(q, 6),
        .model = query_text(q, 7),
        .created_by = query_text(q, 8),
        .status = (int)query_int(q, 9),
        .status_text = query_text(q, 10),
        .retry_at_ms = query_int(q, 11),
        .created_ms = query_int(q, 12),
        .updated_ms = query_int(q, 13),
        .cost = query_num(q, 14),
        .tokens = query_int(q, 15),
        .instance = query_text(q, 16),
        .seq = query_int(q, 17),
    };
}

int store_session_put(struct store *s, const struct session_row *row)
{
    int r = query_run(s,
                      "INSERT OR REPLACE INTO sessions (" SESSION_COLUMNS
                      ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                      "sssssssssisllldlsl", row->pod, row->id, row->parent_id, row->root_id,
                      row->directory, row->title, row->agent, row->model, row->created_by,
                      row->status, row->status_text, row->retry_at_ms, row->created_ms,
                      row->updated_ms, row->cost, row->tokens, row->instance, row->seq);
    return r < 0 ? r : 0;
}

static int session_walk(struct query *q, int (*fn)(void *data, const struct session_row *row),
                        void *data)
{
    int r;
    while ((r = query_step(q)) > 0) {
        struct session_row row;
        session_get(q, &row);
        r = fn(data, &row);
        if (r != 0)
            return r;
    }
    return r;
}

int store_session_get(struct store *s, const char *pod, const char *id,
                      int (*fn)(void *data, const struct session_row *row), void *data)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s, "SELECT " SESSION_COLUMNS " FROM sessions WHERE pod = ? AND id = ?",
                        "ss", pod, id);
    if (r == 0)
        r = query_step(&q);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    struct session_row row;
    session_get(&q, &row);
    return fn(data, &row);
}

int store_session_each(struct store *s, int (*fn)(void *data, const struct session_row *row),
                       void *data)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s,
                        "SELECT " SESSION_COLUMNS " FROM sessions WHERE parent_id = '' "
                        "ORDER BY updated_ms DESC, id",
                        "");
    return r < 0 ? r : session_walk(&q, fn, data);
}

int store_session_each_status(struct store *s, const char *pod, int status,
                              int (*fn)(void *data, const struct session_row *row), void *data)
{
    _cleanup_query_ struct query q = { 0 };
    int r =
        query_begin(&q, s, "SELECT " SESSION_COLUMNS " FROM sessions WHERE pod = ? AND status = ?",
                    "si", pod, status);
    return r < 0 ? r : session_walk(&q, fn, data);
}

int store_session_use(struct store *s, const char *pod, const char *root_id, double *ret_cost,
                      int64_t *ret_tokens)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s,
                        "SELECT total(cost), coalesce(sum(tokens), 0) FROM sessions "
                        "WHERE pod = ? AND root_id = ?",
                        "ss", pod, root_id);
    if (r == 0)
        r = query_step(&q);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    *ret_cost = query_num(&q, 0);
    *ret_tokens = query_int(&q, 1);
    return 0;
}

int store_session_reroot(struct store *s, const char *pod, const char *old_root,
                         const char *new_root)
{
    int r = query_run(s, "UPDATE sessions SET root_id = ? WHERE pod = ? AND root_id = ?", "sss",
                      new_root, pod, old_root);
    if (r >= 0)
        r = query_run(
            s, "UPDATE requests SET root_session_id = ? WHERE pod = ? AND root_session_id = ?",
            "sss", new_root, pod, old_root);
    return r < 0 ? r : 0;
}

/* ---------------------------------------------------------------- requests */

#define REQUEST_COLUMNS                                                                            \
    "pod, id, instance, kind, session_id, root_session_id, directory, permission, summary, "       \
    "detail, created_ms, state, outcome, reason, answers, actor_connector, actor_id, "             \
    "actor_name, decided_ms, settled_ms, attempts, accepted, seq"
#define REQUEST_SELECT                                                                             \
    "SELECT " REQUEST_COLUMNS ", (SELECT s.title FROM sessions s WHERE s.pod = r.pod AND "         \
    "s.id = r.root_session_id) FROM requests r "

static void request_get(struct query *q, struct request_row *row)
{
    *row = (struct request_row){
        .pod = query_text(q, 0),
        .id = query_text(q, 1),
        .instance = query_text(q, 2),
        .kind = (int)query_int(q, 3),
        .session_id = query_text(q, 4),
        .root_session_id = query_text(q, 5),
        .directory = query_text(q, 6),
        .permission = query_text(q, 7),
        .summary = query_text(q, 8),
        .detail = query_text(q, 9),
        .created_ms = query_int(q, 10),
        .state = (int)query_int(q, 11),
        .outcome = (int)query_int(q, 12),
        .reason = query_text(q, 13),
        .answers = query_text(q, 14),
        .actor_connector = query_text(q, 15),
        .actor_id = query_text(q, 16),
        .actor_name = query_text(q, 17),
        .decided_ms = query_int(q, 18),
        .settled_ms = query_int(q, 19),
        .attempts = (int)query_int(q, 20),
        .accepted = (int)query_int(q, 21),
        .seq = query_int(q, 22),
        .session_title = query_text(q, 23),
    };
}

static int request_walk(struct query *q, store_request_fn *fn, void *data)
{
    int r;
    while ((r = query_step(q)) > 0) {
        struct request_row row;
        request_get(q, &row);
        r = fn(data, &row);
        if (r != 0)
            return r;
    }
    return r;
}

int store_request_insert(struct store *s, const struct request_row *row)
{
    return query_run(
        s,
        "INSERT OR IGNORE INTO requests (" REQUEST_COLUMNS
        ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "sssissssssliissssslliil", row->pod, row->id, row->instance, row->kind, row->session_id,
        row->root_session_id, row->directory, row->permission, row->summary, row->detail,
        row->created_ms, row->state, row->outcome, row->reason, row->answers, row->actor_connector,
        row->actor_id, row->actor_name, row->decided_ms, row->settled_ms, row->attempts,
        row->accepted, row->seq);
}

int store_request_get(struct store *s, const char *pod, const char *id, store_request_fn *fn,
                      void *data)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s, REQUEST_SELECT "WHERE pod = ? AND id = ?", "ss", pod, id);
    if (r == 0)
        r = query_step(&q);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    struct request_row row;
    request_get(&q, &row);
    return fn(data, &row);
}

int store_request_each(struct store *s, int max_state, store_request_fn *fn, void *data)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s, REQUEST_SELECT "WHERE state <= ? ORDER BY created_ms DESC, id DESC",
                        "i", max_state);
    return r < 0 ? r : request_walk(&q, fn, data);
}

int store_request_each_unshown(struct store *s, const char *connector, int settled_state,
                               int64_t settled_since_ms, store_request_fn *fn, void *data)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s,
                        REQUEST_SELECT "WHERE (state < ? OR settled_ms >= ?) AND NOT EXISTS "
                                       "(SELECT 1 FROM shown h WHERE h.connector = ? AND "
                                       "h.pod = r.pod AND h.id = r.id AND h.state >= ?) "
                                       "ORDER BY created_ms, id",
                        "ilsi", settled_state, settled_since_ms, connector, settled_state);
    return r < 0 ? r : request_walk(&q, fn, data);
}

int store_session_requests(struct store *s, const char *pod, const char *root_id, int max,
                           store_request_fn *fn, void *data)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s,
                        REQUEST_SELECT "WHERE r.pod = ?1 AND r.root_session_id = ?2 AND r.id IN "
                                       "(SELECT id FROM requests WHERE pod = ?1 AND "
                                       "root_session_id = ?2 ORDER BY created_ms DESC, id DESC "
                                       "LIMIT ?3) ORDER BY created_ms, id",
                        "ssi", pod, root_id, max);
    return r < 0 ? r : request_walk(&q, fn, data);
}

int store_request_move(struct store *s, int from, const struct request_row *row)
{
    return query_run(s,
                     "UPDATE requests SET state = ?, outcome = ?, reason = ?, answers = ?, "
                     "actor_connector = ?, actor_id = ?, actor_name = ?, decided_ms = ?, "
                     "settled_ms = ? WHERE pod = ? AND id = ? AND state = ?",
                     "iisssssllssi", row->state, row->outcome, row->reason, row->answers,
                     row->actor_connector, row->actor_id, row->actor_name, row->decided_ms,
                     row->settled_ms, row->pod, row->id, from);
}

int store_request_attempted(struct store *s, const char *pod, const char *id, int by)
{
    int r = query_run(s, "UPDATE requests SET attempts = attempts + ? WHERE pod = ? AND id = ?",
                      "iss", by, pod, id);
    return r < 0 ? r : 0;
}

int store_request_accepted(struct store *s, const char *pod, const char *id)
{
    int r =
        query_run(s, "UPDATE requests SET accepted = 1 WHERE pod = ? AND id = ?", "ss", pod, id);
    return r < 0 ? r : 0;
}

int store_shown_put(struct store *s, const char *connector, const char *pod, const char *id,
                    int state)
{
    int r = query_run(s,
                      "INSERT INTO shown (connector, pod, id, state) VALUES (?, ?, ?, ?) ON "
                      "CONFLICT DO UPDATE SET state = max(state, excluded.state)",
                      "sssi", connector, pod, id, state);
    return r < 0 ? r : 0;
}

/* ---------------------------------------------------------------- audit, bridges */

int store_audit(struct store *s, const char *connector, const char *actor_id,
                const char *actor_name, const char *what, const char *object, const char *detail)
{
    const char *trace = log_id(LOG_TRACE_ID), *cause = log_id(LOG_REQUEST_ID);
    if (!cause)
        cause = log_id(LOG_ENVELOPE_ID);
    int r = query_run(s,
                      "INSERT INTO audit (time_ms, connector, actor_id, actor_name, what, object, "
                      "detail, trace_id, cause_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                      "lssssssss", clock_wall_ms(), connector, actor_id, actor_name, what, object,
                      detail, trace ? trace : "", cause ? cause : "");
    return r < 0 ? r : 0;
}

int store_bridge_seq(struct store *s, const char *pod, const char *instance, int64_t *ret)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s, "SELECT seq FROM bridges WHERE pod = ? AND instance = ?", "ss", pod,
                        instance);
    if (r == 0)
        r = query_step(&q);
    if (r < 0)
        return r;
    *ret = r > 0 ? query_int(&q, 0) : 0;
    return 0;
}

int store_bridge_seq_put(struct store *s, const char *pod, const char *instance, int64_t seq)
{
    int r = query_run(s,
                      "INSERT OR REPLACE INTO bridges (pod, instance, seq, seen_ms) VALUES "
                      "(?, ?, ?, ?)",
                      "ssll", pod, instance, seq, clock_wall_ms());
    return r < 0 ? r : 0;
}
