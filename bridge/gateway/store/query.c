#include "bridge/gateway/store/query.h"

#include <errno.h>
#include <stdarg.h>

int store_errno(int rc)
{
    static const struct {
        int rc, error;
    } table[] = {
        { SQLITE_OK, 0 },
        { SQLITE_ROW, 0 },
        { SQLITE_DONE, 0 },
        { SQLITE_NOMEM, -ENOMEM },
        { SQLITE_FULL, -ENOSPC },
        { SQLITE_BUSY, -EAGAIN },
        { SQLITE_LOCKED, -EAGAIN },
        { SQLITE_READONLY, -EROFS },
        { SQLITE_PERM, -EACCES },
        { SQLITE_CANTOPEN, -EACCES },
        { SQLITE_TOOBIG, -EFBIG },
        { SQLITE_CONSTRAINT, -EEXIST },
        { SQLITE_NOTADB, -EUCLEAN },
        { SQLITE_CORRUPT, -EUCLEAN },
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (table[i].rc == (rc & 0xff))
            return table[i].error;
    return -EIO;
}

/* The statement of that literal, not in use; `*ret_own` when the caller must finalize it. */
static int statement(struct store *s, const char *sql, sqlite3_stmt **ret, bool *ret_own)
{
    bool known = false;
    for (size_t i = 0; i < s->cached; i++) {
        if (s->cache[i].sql != sql)
            continue;
        known = true;
        if (sqlite3_stmt_busy(s->cache[i].st))
            break;
        *ret = s->cache[i].st;
        *ret_own = false;
        return 0;
    }
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL);
    if (rc != SQLITE_OK)
        return store_errno(rc);
    *ret_own = known || s->cached == STORE_STATEMENTS_MAX;
    if (!*ret_own) {
        s->cache[s->cached].sql = sql;
        s->cache[s->cached++].st = st;
    }
    *ret = st;
    return 0;
}

static int bind_one(sqlite3_stmt *st, int index, char type, va_list *ap)
{
    const char *text;
    switch (type) {
    case 's':
        text = va_arg(*ap, const char *);
        return sqlite3_bind_text(st, index, text ? text : "", -1, SQLITE_TRANSIENT);
    case 'i':
        return sqlite3_bind_int(st, index, va_arg(*ap, int));
    case 'l':
        return sqlite3_bind_int64(st, index, va_arg(*ap, int64_t));
    case 'd':
        return sqlite3_bind_double(st, index, va_arg(*ap, double));
    default:
        return SQLITE_MISUSE;
    }
}

int query_begin(struct query *q, struct store *s, const char *sql, const char *types, ...)
{
    *q = (struct query){ .s = s };
    int r = statement(s, sql, &q->st, &q->own);
    if (r < 0)
        return r;
    va_list ap;
    va_start(ap, types);
    int rc = SQLITE_OK;
    for (int i = 0; types[i] && rc == SQLITE_OK; i++)
        rc = bind_one(q->st, i + 1, types[i], &ap);
    va_end(ap);
    return store_errno(rc);
}

int query_step(struct query *q)
{
    int rc = sqlite3_step(q->st);
    return rc == SQLITE_ROW ? 1 : store_errno(rc);
}

static void set_failing(struct store *s, int failing)
{
    bool news = (s->failing != 0) != (failing != 0);
    s->failing = failing;
    if (news && s->on_failing)
        s->on_failing(s->failing_data);
}

int query_done(struct store *s, int r)
{
    if (r < 0) {
        set_failing(s, r);
        return r;
    }
    /* Inside a transaction nothing is stored yet; an empty one proves nothing. */
    if (sqlite3_get_autocommit(s->db) && sqlite3_total_changes(s->db) != s->changes) {
        s->changes = sqlite3_total_changes(s->db);
        set_failing(s, 0);
    }
    return sqlite3_changes(s->db);
}

const char *query_text(struct query *q, int column)
{
    const unsigned char *text = sqlite3_column_text(q->st, column);
    return text ? (const char *)text : "";
}

int64_t query_int(struct query *q, int column)
{
    return sqlite3_column_int64(q->st, column);
}

double query_num(struct query *q, int column)
{
    return sqlite3_column_double(q->st, column);
}

void query_end(struct query *q)
{
    if (!q->st)
        return;
    if (q->own) {
        sqlite3_finalize(q->st);
    } else {
        sqlite3_reset(q->st);
        sqlite3_clear_bindings(q->st);
    }
    q->st = NULL;
}
