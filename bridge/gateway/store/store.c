#include "bridge/gateway/store/store.h"

#include "base/core/buf.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "bridge/gateway/store/checkpoint.h"
#include "bridge/gateway/store/query.h"
#include "bridge/gateway/store/rows.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_MS          ((int64_t)86400000)
#define KEEP_DONE_DAYS  7
#define KEEP_ROWS_DAYS  90
#define KEEP_AUDIT_DAYS 400

static void statements_free(struct store *s)
{
    for (size_t i = 0; i < s->cached; i++)
        sqlite3_finalize(s->cache[i].st);
    s->cached = 0;
}

static void db_close(struct store *s)
{
    statements_free(s);
    checkpoint_stop(TAKE_PTR(s->checkpoint));
    if (s->db)
        (void)sqlite3_close(s->db);
    s->db = NULL;
}

/* Answers whether the file is sound at the same time: a wrong header or a broken tree ends here
 * with -EUCLEAN. */
static int db_settings(struct store *s)
{
    /* In WAL with synchronous=NORMAL a commit survives any end of the process without an fsync;
     * what must survive a power cut, too, waits for one of the log (store_log_fd()). */
    int rc = sqlite3_exec(s->db,
                          "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                          "PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF;",
                          NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return store_errno(rc);
    sqlite3_stmt *st = NULL;
    rc = sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &st, NULL);
    if (rc != SQLITE_OK)
        return store_errno(rc);
    rc = sqlite3_step(st);
    bool sound = rc == SQLITE_ROW && sqlite3_column_text(st, 0) &&
                 strcmp((const char *)sqlite3_column_text(st, 0), "ok") == 0;
    sqlite3_finalize(st);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return store_errno(rc);
    return sound ? 0 : -EUCLEAN;
}

static int db_open(struct store *s, const char *path)
{
    int rc = sqlite3_open_v2(path, &s->db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                                 SQLITE_OPEN_PRIVATECACHE,
                             NULL);
    int r = store_errno(rc);
    if (r == 0) {
        (void)sqlite3_extended_result_codes(s->db, 1);
        (void)sqlite3_busy_timeout(s->db, 200); /* a backup may read beside us */
        r = db_settings(s);
    }
    if (r == 0)
        r = store_migrate(s);
    if (r == 0) /* proves that it can be written at all */
        r = store_put(s, "opened", "1");
    if (r < 0)
        db_close(s);
    return r;
}

void store_forget(struct store *s)
{
    int64_t now = clock_wall_ms(), done = now - KEEP_DONE_DAYS * DAY_MS,
            rows = now - KEEP_ROWS_DAYS * DAY_MS;
    (void)query_run(s, "DELETE FROM audit WHERE time_ms < ?", "l", now - KEEP_AUDIT_DAYS * DAY_MS);
    (void)query_run(s,
                    "DELETE FROM sessions WHERE (parent_id <> '' OR status = ?) AND updated_ms < ?",
                    "il", STORE_SESSION_GONE, rows);
    /* What could not be sent for so long (a revoked token) is news to nobody any more. */
    (void)query_run(s, "DELETE FROM outbox WHERE changed_ms < ?", "l", rows);
    (void)query_run(s, "DELETE FROM outbox WHERE state >= ? AND changed_ms < ?", "il", OUTBOX_DONE,
                    done);
    (void)query_run(s, "DELETE FROM inbox WHERE seen_ms < ?", "l", now - DAY_MS);
    (void)query_run(s, "DELETE FROM seen WHERE changed_ms < ? AND thread <> ''", "l", rows);
    (void)query_run(s, "DELETE FROM prompts WHERE time_ms < ?", "l", rows);
    (void)query_run(s, "DELETE FROM bridges WHERE seen_ms < ?", "l", rows);
    (void)query_run(s,
                    "DELETE FROM milestones WHERE time_ms < ? AND NOT EXISTS (SELECT 1 FROM "
                    "sessions s WHERE s.pod = milestones.pod AND s.id = milestones.session_id)",
                    "l", rows);
    (void)query_run(s, "DELETE FROM requests WHERE settled_ms > 0 AND settled_ms < ?", "l", rows);
    (void)query_run(s,
                    "DELETE FROM shown WHERE NOT EXISTS (SELECT 1 FROM requests r WHERE "
                    "r.pod = shown.pod AND r.id = shown.id)",
                    "");
    (void)query_run(s,
                    "DELETE FROM places WHERE kind = 'request' AND NOT EXISTS (SELECT 1 FROM "
                    "requests r WHERE r.pod = places.pod AND r.id = places.id)",
                    "");
}

/* Moves the file and its WAL out of the way, never over anything. */
static int keep_aside(const char *path, const char *why, char **ret_kept)
{
    static const char *const suffixes[] = { "", "-wal", "-shm" };
    _cleanup_buf_ struct buf base = BUF_INIT;
    buf_printf(&base, "%s.%s-%" PRId64, path, why, clock_wall_ms());
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        _cleanup_buf_ struct buf from = BUF_INIT, to = BUF_INIT;
        buf_printf(&from, "%s%s", path, suffixes[i]);
        buf_printf(&to, "%s%s", buf_str(&base), suffixes[i]);
        if (from.failed || to.failed)
            return -ENOMEM;
        if (rename(buf_str(&from), buf_str(&to)) < 0 && errno != ENOENT)
            return -errno;
    }
    *ret_kept = buf_take(&base);
    return *ret_kept ? 0 : -ENOMEM;
}

/* Builds one note of three parts; a later one replaces it. */
static void note(char **ret_note, const char *a, const char *b, const char *c)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    buf_printf(&text, "%s%s%s", a, b, c);
    free(*ret_note);
    *ret_note = buf_take(&text);
}

static int open_file(struct store *s, const char *path, char **ret_note)
{
    int r = db_open(s, path);
    if (r != -EUCLEAN && r != -EPROTO)
        return r;
    _cleanup_free_ char *kept = NULL;
    int moved = keep_aside(path, r == -EPROTO ? "newer" : "corrupt", &kept);
    if (moved < 0)
        return moved;
    note(ret_note, path,
         r == -EPROTO ? " was written by a newer version; starting anew, the old one is kept as "
                      : " is damaged; starting anew, the old one is kept as ",
         kept);
    bool corrupt = r == -EUCLEAN;
    r = db_open(s, path);
    return r == 0 && corrupt ? store_put(s, STORE_REBUILD, kept) : r;
}

/* SQLite takes memory for twenty pages at once for each cache, three of them at the start, and most
 * for good. After the first use it says no, and nothing changes. */
static void page_by_page(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
}

/* The folder as well: a log that was just made must have its name. */
static int log_open(const char *dir, const char *path)
{
    _cleanup_buf_ struct buf log = BUF_INIT;
    buf_printf(&log, "%s-wal", path);
    int fd = log.failed ? -1 : open(buf_str(&log), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    _cleanup_fd_ int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0)
        (void)fsync(folder);
    return fd;
}

int store_open(struct store **ret, const char *dir, char **ret_note, struct error *e)
{
    _cleanup_free_ char *said = NULL, *path = NULL;
    struct store *s = calloc(1, sizeof *s);
    if (!s)
        return error_set_errno(e, -ENOMEM, "cannot open the gateway's state");
    int r = -ENOENT;
    page_by_page();
    if (dir && *dir) {
        path = path_join(dir, "gateway.db");
        mode_t old = umask(077);
        r = path ? open_file(s, path, &said) : -ENOMEM;
        (void)umask(old);
        if (r < 0)
            note(&said, path ? path : dir,
                 " cannot be used, state is kept in memory: ", strerror(-r));
    } else {
        note(&said, "no state folder: ", "state is kept in memory", " and lost at a restart");
    }
    s->log_fd = r == 0 ? log_open(dir, path) : -1;
    if (r == 0)
        s->checkpoint = checkpoint_start(s->db, path);
    else
        r = db_open(s, ":memory:");
    if (r < 0) {
        free(s);
        return error_set_errno(e, r, "cannot open the gateway's state");
    }
    store_forget(s);
    if (ret_note)
        *ret_note = TAKE_PTR(said);
    *ret = s;
    return 0;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    db_close(s);
    if (s->log_fd >= 0)
        (void)close(s->log_fd);
    free(s);
}

int store_log_fd(const struct store *s)
{
    return s->log_fd;
}

/* It may have been done already, as sqlite does on a full disk: no failure then. */
static void roll_back(struct store *s)
{
    if (!sqlite3_get_autocommit(s->db))
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    s->changes = sqlite3_total_changes(s->db);
}

int store_failing(const struct store *s)
{
    return s->failing;
}

void store_on_failing(struct store *s, void (*fn)(void *data), void *data)
{
    s->on_failing = fn;
    s->failing_data = data;
}

int store_begin(struct store *s)
{
    if (s->depth == 0) {
        int r = query_run(s, "BEGIN IMMEDIATE", "");
        if (r < 0)
            return r;
        s->poisoned = false;
    }
    s->depth++;
    return 0;
}

int store_commit(struct store *s)
{
    if (s->depth == 0)
        return -EINVAL;
    if (--s->depth > 0)
        return s->poisoned ? -ECANCELED : 0;
    if (!s->poisoned) {
        int r = query_run(s, "COMMIT", "");
        if (r >= 0)
            return 0;
        roll_back(s);
        return r;
    }
    roll_back(s);
    return -ECANCELED;
}

void store_rollback(struct store *s)
{
    if (s->depth == 0)
        return;
    s->poisoned = true;
    if (--s->depth == 0)
        roll_back(s);
}

int store_each(struct store *s, const char *prefix,
               int (*fn)(void *data, const char *key, const char *value), void *data)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s, "SELECT key, value FROM kv WHERE substr(key, 1, length(?)) = ?",
                        "ss", prefix, prefix);
    while (r == 0 && (r = query_step(&q)) > 0)
        r = fn(data, query_text(&q, 0), query_text(&q, 1));
    return r;
}

int store_get(struct store *s, const char *key, char **ret)
{
    _cleanup_query_ struct query q = { 0 };
    int r = query_begin(&q, s, "SELECT value FROM kv WHERE key = ?", "s", key);
    if (r == 0)
        r = query_step(&q);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    *ret = strdup(query_text(&q, 0));
    return *ret ? 0 : -ENOMEM;
}

int store_put(struct store *s, const char *key, const char *value)
{
    int r = value ? query_run(s, "INSERT OR REPLACE INTO kv (key, value) VALUES (?, ?)", "ss", key,
                              value)
                  : query_run(s, "DELETE FROM kv WHERE key = ?", "s", key);
    return r < 0 ? r : 0;
}
