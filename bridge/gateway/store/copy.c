#include "bridge/gateway/store/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "bridge/gateway/store/query.h"

#define BUSY_MS 20000

bool store_is_database(const char *path)
{
    static const char magic[16] = "SQLite format 3"; /* with its NUL */
    char head[sizeof magic];
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return fd >= 0 && read(fd, head, sizeof head) == (ssize_t)sizeof head &&
           memcmp(head, magic, sizeof magic) == 0;
}

/* In one step, hence under one read lock: what is copied was true at one moment. */
static int copy(sqlite3 *from, sqlite3 *to)
{
    sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
    if (!b)
        return sqlite3_errcode(to);
    int rc;
    while ((rc = sqlite3_backup_step(b, -1)) == SQLITE_BUSY || rc == SQLITE_LOCKED)
        (void)sqlite3_sleep(50);
    int end = sqlite3_backup_finish(b);
    return rc == SQLITE_DONE ? end : rc;
}

static int check(sqlite3 *db)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    const unsigned char *text = rc == SQLITE_ROW ? sqlite3_column_text(st, 0) : NULL;
    if (rc == SQLITE_ROW)
        rc = text && strcmp((const char *)text, "ok") == 0 ? SQLITE_OK : SQLITE_CORRUPT;
    (void)sqlite3_finalize(st);
    return rc;
}

int store_copy(const char *from, const char *to, struct error *e)
{
    sqlite3 *source = NULL, *target = NULL;
    _cleanup_fd_ int made = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (made < 0)
        return error_set_errno(e, -errno, "cannot make %s", to);
    /* A reader of a live database in WAL mode writes into its -shm file. */
    int rc = sqlite3_open_v2(from, &source, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK) {
        (void)sqlite3_busy_timeout(source, BUSY_MS);
        rc = sqlite3_open_v2(to, &target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    }
    if (rc == SQLITE_OK)
        rc = copy(source, target);
    if (rc == SQLITE_OK)
        rc = check(target);
    (void)sqlite3_close(source);
    (void)sqlite3_close(target);
    if (rc == SQLITE_OK)
        return 0;
    (void)unlink(to);
    return error_set(e, store_errno(rc), "cannot copy the database %s: %s", from,
                     sqlite3_errstr(rc));
}
