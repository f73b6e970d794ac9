#include "bridge/gateway/store/query.h"

#include <errno.h>
#include <stdio.h>

/* One entry for each schema version, in order; never change one that was released, add another.
 * PRAGMA user_version counts those that were applied. */
static const char *const migrations[] = {
    /* 1 */
    "CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE sessions ("
    " pod TEXT NOT NULL, id TEXT NOT NULL, parent_id TEXT NOT NULL, root_id TEXT NOT NULL,"
    " directory TEXT NOT NULL, title TEXT NOT NULL, agent TEXT NOT NULL, model TEXT NOT NULL,"
    " created_by TEXT NOT NULL, status INTEGER NOT NULL, status_text TEXT NOT NULL,"
    " retry_at_ms INTEGER NOT NULL, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,"
    " cost REAL NOT NULL, tokens INTEGER NOT NULL, instance TEXT NOT NULL,"
    " seq INTEGER NOT NULL, PRIMARY KEY (pod, id)) WITHOUT ROWID;"
    "CREATE INDEX sessions_by_time ON sessions (updated_ms);"
    "CREATE TABLE requests ("
    " pod TEXT NOT NULL, id TEXT NOT NULL, instance TEXT NOT NULL, kind INTEGER NOT NULL,"
    " session_id TEXT NOT NULL, root_session_id TEXT NOT NULL, directory TEXT NOT NULL,"
    " permission TEXT NOT NULL, summary TEXT NOT NULL, detail TEXT NOT NULL,"
    " created_ms INTEGER NOT NULL, state INTEGER NOT NULL, outcome INTEGER NOT NULL,"
    " reason TEXT NOT NULL, answers TEXT NOT NULL, actor_connector TEXT NOT NULL,"
    " actor_id TEXT NOT NULL, actor_name TEXT NOT NULL, decided_ms INTEGER NOT NULL,"
    " settled_ms INTEGER NOT NULL, attempts INTEGER NOT NULL, accepted INTEGER NOT NULL,"
    " seq INTEGER NOT NULL, PRIMARY KEY (pod, id)) WITHOUT ROWID;"
    "CREATE INDEX requests_by_state ON requests (state, created_ms);"
    "CREATE INDEX requests_by_session ON requests (pod, session_id);"
    "CREATE TABLE shown (connector TEXT NOT NULL, pod TEXT NOT NULL, id TEXT NOT NULL,"
    " state INTEGER NOT NULL, PRIMARY KEY (connector, pod, id)) WITHOUT ROWID;"
    "CREATE TABLE audit (seq INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER NOT NULL,"
    " connector TEXT NOT NULL, actor_id TEXT NOT NULL, actor_name TEXT NOT NULL,"
    " what TEXT NOT NULL, object TEXT NOT NULL, detail TEXT NOT NULL);"
    "CREATE TABLE bridges (pod TEXT NOT NULL, instance TEXT NOT NULL, seq INTEGER NOT NULL,"
    " seen_ms INTEGER NOT NULL, PRIMARY KEY (pod, instance)) WITHOUT ROWID;"
    "CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, connector TEXT NOT NULL,"
    " lane TEXT NOT NULL, key TEXT NOT NULL, method TEXT NOT NULL, payload TEXT NOT NULL,"
    " state INTEGER NOT NULL, attempts INTEGER NOT NULL, not_before_ms INTEGER NOT NULL,"
    " result TEXT NOT NULL, changed_ms INTEGER NOT NULL);"
    "CREATE INDEX outbox_by_key ON outbox (connector, key, id);"
    "CREATE INDEX outbox_by_state ON outbox (connector, state, id);"
    "CREATE TABLE inbox (connector TEXT NOT NULL, key TEXT NOT NULL, seen_ms INTEGER NOT NULL,"
    " PRIMARY KEY (connector, key)) WITHOUT ROWID;"
    "CREATE TABLE places (connector TEXT NOT NULL, kind TEXT NOT NULL, pod TEXT NOT NULL,"
    " id TEXT NOT NULL, channel TEXT NOT NULL, ts TEXT NOT NULL, thread_ts TEXT NOT NULL,"
    " extra TEXT NOT NULL, PRIMARY KEY (connector, kind, pod, id)) WITHOUT ROWID;"
    "CREATE INDEX places_by_ts ON places (connector, channel, ts);",
    /* 2 */
    "CREATE TABLE inbound (id INTEGER PRIMARY KEY AUTOINCREMENT, connector TEXT NOT NULL,"
    " lane TEXT NOT NULL, kind TEXT NOT NULL, payload TEXT NOT NULL, note TEXT NOT NULL,"
    " attempts INTEGER NOT NULL, not_before_ms INTEGER NOT NULL, received_ms INTEGER NOT NULL);"
    "CREATE INDEX inbound_by_lane ON inbound (connector, lane, id);",
    /* 3 */
    "CREATE INDEX sessions_by_root ON sessions (pod, root_id);",
    /* 4 */
    "CREATE TABLE seen (connector TEXT NOT NULL, channel TEXT NOT NULL, thread TEXT NOT NULL,"
    " first TEXT NOT NULL, last TEXT NOT NULL, changed_ms INTEGER NOT NULL,"
    " PRIMARY KEY (connector, channel, thread)) WITHOUT ROWID;",
    /* 5 */
    ("ALTER TABLE audit ADD COLUMN trace_id TEXT NOT NULL DEFAULT '';"
     "ALTER TABLE audit ADD COLUMN cause_id TEXT NOT NULL DEFAULT '';"),
    /* 6 */
    "CREATE TABLE milestones (pod TEXT NOT NULL, session_id TEXT NOT NULL, kind TEXT NOT NULL,"
    " ref TEXT NOT NULL, time_ms INTEGER NOT NULL,"
    " PRIMARY KEY (pod, session_id, kind, ref)) WITHOUT ROWID;"
    "CREATE INDEX requests_by_root ON requests (pod, root_session_id, created_ms);",
    /* 7 */
    ("CREATE TABLE prompts (pod TEXT NOT NULL, id TEXT NOT NULL, connector TEXT NOT NULL,"
     " name TEXT NOT NULL, time_ms INTEGER NOT NULL, PRIMARY KEY (pod, id)) WITHOUT ROWID;"),
};

static int user_version(struct store *s)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &st, NULL);
    if (rc != SQLITE_OK)
        return store_errno(rc);
    rc = sqlite3_step(st);
    int version = rc == SQLITE_ROW ? sqlite3_column_int(st, 0) : store_errno(rc);
    sqlite3_finalize(st);
    return version;
}

int store_schema(struct store *s)
{
    int version = user_version(s);
    return version < 0 || (size_t)version == ARRAY_SIZE(migrations) ? version : -EPROTO;
}

int store_migrate(struct store *s)
{
    int version = user_version(s);
    if (version < 0)
        return version;
    if ((size_t)version > ARRAY_SIZE(migrations))
        return -EPROTO;
    for (size_t i = (size_t)version; i < ARRAY_SIZE(migrations); i++) {
        char set[64];
        (void)snprintf(set, sizeof set, "PRAGMA user_version = %zu", i + 1);
        int rc = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
        if (rc == SQLITE_OK)
            rc = sqlite3_exec(s->db, migrations[i], NULL, NULL, NULL);
        if (rc == SQLITE_OK)
            rc = sqlite3_exec(s->db, set, NULL, NULL, NULL);
        if (rc == SQLITE_OK)
            rc = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
        if (rc != SQLITE_OK) {
            (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
            return store_errno(rc);
        }
    }
    return 0;
}
