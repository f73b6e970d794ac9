#include "bridge/gateway/store/checkpoint.h"

#include "base/core/cleanup.h"

#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>

#define DUE_PAGES  1000  /* as SQLite itself */
#define LATE_PAGES 16000 /* 64 MiB: the thread does not keep up, so whoever writes has to wait */
#define STACK_SIZE ((size_t)256 << 10)

struct checkpoint {
    sqlite3 *db; /* the writer's */
    char *path;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool due, stop; /* under the lock */
};

/* A connection for each time: one that stays open would keep the last one to close from being the
 * writer's, which empties the log. */
static void checkpoint_run(const char *path)
{
    sqlite3 *db = NULL;
    if (sqlite3_open_v2(path, &db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
                        NULL) == SQLITE_OK) {
        (void)sqlite3_exec(db, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
        (void)sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    }
    (void)sqlite3_close(db);
}

static void *thread_main(void *data)
{
    struct checkpoint *c = data;
    (void)pthread_mutex_lock(&c->lock);
    while (!c->stop) {
        if (!c->due) {
            (void)pthread_cond_wait(&c->wake, &c->lock);
            continue;
        }
        c->due = false;
        (void)pthread_mutex_unlock(&c->lock);
        checkpoint_run(c->path);
        (void)pthread_mutex_lock(&c->lock);
    }
    (void)pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* After each commit of the writer, with what the log holds then. */
static int on_commit(void *data, sqlite3 *db, const char *name, int pages)
{
    struct checkpoint *c = data;
    if (pages >= LATE_PAGES)
        (void)sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (pages < DUE_PAGES || pages >= LATE_PAGES)
        return SQLITE_OK;
    (void)pthread_mutex_lock(&c->lock);
    c->due = true;
    (void)pthread_cond_signal(&c->wake);
    (void)pthread_mutex_unlock(&c->lock);
    return SQLITE_OK;
}

static void checkpoint_free(struct checkpoint *c)
{
    (void)pthread_cond_destroy(&c->wake);
    (void)pthread_mutex_destroy(&c->lock);
    free(c->path);
    free(c);
}

/* No signal is for this thread. */
static int thread_start(struct checkpoint *c)
{
    pthread_attr_t attr;
    sigset_t all, before;
    if (pthread_attr_init(&attr) != 0)
        return -1;
    (void)pthread_attr_setstacksize(&attr, STACK_SIZE);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&c->thread, &attr, thread_main, c);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    return r == 0 ? 0 : -1;
}

struct checkpoint *checkpoint_start(sqlite3 *db, const char *path)
{
    struct checkpoint *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->db = db;
    c->path = strdup(path);
    (void)pthread_mutex_init(&c->lock, NULL);
    (void)pthread_cond_init(&c->wake, NULL);
    if (!c->path || thread_start(c) < 0) {
        checkpoint_free(c);
        return NULL;
    }
    (void)sqlite3_wal_hook(db, on_commit, c);
    return c;
}

void checkpoint_stop(struct checkpoint *c)
{
    if (!c)
        return;
    (void)sqlite3_wal_autocheckpoint(c->db, DUE_PAGES); /* takes the hook's place */
    (void)pthread_mutex_lock(&c->lock);
    c->stop = true;
    (void)pthread_cond_signal(&c->wake);
    (void)pthread_mutex_unlock(&c->lock);
    (void)pthread_join(c->thread, NULL);
    checkpoint_free(c);
}
