/* Private to the store: the database handle and prepared statements. */
#pragma once

#include "base/core/cleanup.h"
#include "bridge/gateway/store/store.h"

#include <sqlite3.h>

#define STORE_STATEMENTS_MAX 96

struct checkpoint;
struct store {
    sqlite3 *db;
    struct checkpoint *checkpoint; /* NULL: SQLite does it at a commit */
    int log_fd;                    /* of the write-ahead log; -1: none */
    int depth;                     /* of store_begin() */
    bool poisoned; /* an inner transaction was rolled back: the outer one can't commit */
    int failing;   /* the last write failed with this; 0: it did not */
    int changes;   /* sqlite's count of changed rows when something was last stored */
    void (*on_failing)(void *data);
    void *failing_data;
    unsigned inbox_writes;
    struct {
        const char *sql; /* the literal's address is the key */
        sqlite3_stmt *st;
    } cache[STORE_STATEMENTS_MAX];
    size_t cached;
};

/* One use of a prepared statement. A statement that is in use already (a walk whose callback looks
 * again) is prepared a second time for this use only. */
struct query {
    struct store *s;
    sqlite3_stmt *st;
    bool own; /* finalize at the end */
};

/* `sql` must be a literal. `types`: s text (NULL binds ""), i int, l int64_t, d double. 0 or
 * -errno. */
int query_begin(struct query *q, struct store *s, const char *sql, const char *types, ...);
/* 1 a row, 0 the end, -errno. */
int query_step(struct query *q);
const char *query_text(struct query *q, int column); /* never NULL; valid until the next step */
int64_t query_int(struct query *q, int column);
double query_num(struct query *q, int column);
void query_end(struct query *q);
#define _cleanup_query_ _cleanup_(query_end)

/* Runs to the end: number of changed rows (0 or more), or -errno. */
#define query_run(s, sql, types, ...)                                                              \
    ({                                                                                             \
        _cleanup_query_ struct query q_ = { 0 };                                                   \
        int r_ = query_begin(&q_, (s), (sql), (types), ##__VA_ARGS__);                             \
        if (r_ == 0)                                                                               \
            r_ = query_step(&q_);                                                                  \
        query_done((s), r_);                                                                       \
    })

/* What query_run() returns; notes whether writing works. */
int query_done(struct store *s, int r);

/* sqlite's result code as negative errno. */
int store_errno(int rc);

/* Brings a database to the newest schema. 0, -EPROTO when it is of a newer program, -errno. */
int store_migrate(struct store *s);
/* Its version; -EPROTO when that is another one than ours, -errno. */
int store_schema(struct store *s);
