/* rooms: bridge/gateway/store base/core */
#include "bridge/gateway/store/query.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "bridge/gateway/store/rows.h"
#include "tests/unit/run_suite.h"

static char dir[256];
static struct store *store;
static char *note;

static void dir_make(void)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(dir, sizeof dir, "%s/test-store-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void dir_remove(void)
{
    ck_assert_int_eq(file_remove_tree(dir), 0);
}

static void reopen(void)
{
    struct error e = ERROR_INIT;
    store_close(store);
    free(note);
    store = NULL;
    note = NULL;
    ck_assert_msg(store_open(&store, dir, &note, &e) == 0, "%s", e.message);
}

static void setup(void)
{
    dir_make();
    reopen();
}

static void teardown(void)
{
    store_close(store);
    free(note);
    store = NULL;
    note = NULL;
    dir_remove();
}

static char *path_of(const char *name)
{
    char *path = path_join(dir, name);
    ck_assert_ptr_nonnull(path);
    return path;
}

/* ---------------------------------------------------------------- opening */

START_TEST(keeps_facts_over_a_reopen)
{
    char *value = NULL;
    ck_assert_ptr_null(note);
    ck_assert_int_eq(store_get(store, "k", &value), -ENOENT);
    ck_assert_int_eq(store_put(store, "k", "v1"), 0);
    ck_assert_int_eq(store_put(store, "k", "v2"), 0);
    reopen();
    ck_assert_int_eq(store_get(store, "k", &value), 0);
    ck_assert_str_eq(value, "v2");
    free(value);
    ck_assert_int_eq(store_put(store, "k", NULL), 0);
    ck_assert_int_eq(store_get(store, "k", &value), -ENOENT);
}
END_TEST

START_TEST(file_is_private)
{
    struct stat st;
    char *path = path_of("gateway.db");
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    free(path);
}
END_TEST

static unsigned count_kept(const char *prefix)
{
    unsigned n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d));)
        n += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
    closedir(d);
    return n;
}

static const struct {
    const char *name;
    size_t at;
} damages[] = { { "header", 0 }, { "schema", 100 }, { "all of it", 0 } };

START_TEST(damaged_file_is_kept_aside)
{
    static char junk[65536];
    memset(junk, 0x5a, sizeof junk);
    ck_assert_int_eq(store_put(store, "k", "v"), 0);
    store_close(store);
    store = NULL;
    char *path = path_of("gateway.db"), *value = NULL;
    FILE *f = fopen(path, "r+");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fseek(f, (long)damages[_i].at, SEEK_SET), 0);
    ck_assert_uint_eq(fwrite(junk, 1,
                             _i == 0   ? 64
                             : _i == 1 ? 4000
                                       : sizeof junk,
                             f),
                      _i == 0   ? 64
                      : _i == 1 ? 4000
                                : sizeof junk);
    fclose(f);
    reopen();
    ck_assert_msg(note && strstr(note, "damaged"), "%s: %s", damages[_i].name, note);
    ck_assert_uint_eq(count_kept("gateway.db.corrupt-"), 1);
    ck_assert_int_eq(store_get(store, "k", &value), -ENOENT);
    ck_assert_int_eq(store_put(store, "k", "new"), 0);
    free(path);
}
END_TEST

START_TEST(newer_schema_is_kept_aside)
{
    store_close(store);
    store = NULL;
    char *path = path_of("gateway.db");
    sqlite3 *db;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, "PRAGMA user_version = 999", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    reopen();
    ck_assert_msg(note && strstr(note, "newer"), "%s", note);
    ck_assert_uint_eq(count_kept("gateway.db.newer-"), 1);
    free(path);
}
END_TEST

/* As a gateway of before left it. */
START_TEST(the_audit_log_of_before_is_kept_and_gets_its_ids)
{
    static const char before[] =
        "ALTER TABLE audit DROP COLUMN trace_id;"
        "ALTER TABLE audit DROP COLUMN cause_id;"
        "DROP TABLE milestones; DROP INDEX requests_by_root; DROP TABLE prompts;"
        "PRAGMA user_version = 4";
    ck_assert_int_eq(store_audit(store, "slack", "U1", "Ann", "old", "o", "d"), 0);
    store_close(store);
    store = NULL;
    char *path = path_of("gateway.db");
    sqlite3 *db;
    sqlite3_stmt *st;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, before, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    reopen();
    _log_about_ struct log_about about = {
        .id = { [LOG_TRACE_ID] = "4bf92f3577b34da6a3ce929d0e0e4736", [LOG_ENVELOPE_ID] = "e-1" },
    };
    log_enter(&about);
    ck_assert_int_eq(store_audit(store, "slack", "U1", "Ann", "new", "o", "d"), 0);
    store_close(store);
    store = NULL;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(
        sqlite3_prepare_v2(db,
                           "SELECT group_concat(what || ':' || trace_id || ':' || cause_id) "
                           "FROM (SELECT * FROM audit ORDER BY seq)",
                           -1, &st, NULL),
        SQLITE_OK);
    ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
    ck_assert_str_eq((const char *)sqlite3_column_text(st, 0),
                     "old::,new:4bf92f3577b34da6a3ce929d0e0e4736:e-1");
    sqlite3_finalize(st);
    sqlite3_close(db);
    reopen();
    free(path);
}
END_TEST

START_TEST(no_folder_means_memory)
{
    struct store *s = NULL;
    char *said = NULL, *value = NULL;
    ck_assert_int_eq(store_open(&s, "", &said, NULL), 0);
    ck_assert_msg(strstr(said, "memory") != NULL, "%s", said);
    free(said);
    ck_assert_int_eq(store_put(s, "a", "b"), 0);
    ck_assert_int_eq(store_get(s, "a", &value), 0);
    free(value);
    store_close(s);
    ck_assert_int_eq(store_open(&s, "/nonexistent/folder", &said, NULL), 0);
    ck_assert_msg(strstr(said, "memory") != NULL, "%s", said);
    free(said);
    store_close(s);
}
END_TEST

START_TEST(survives_a_kill_at_once)
{
    store_close(store);
    store = NULL;
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        struct store *s = NULL;
        if (store_open(&s, dir, NULL, NULL) == 0 && store_put(s, "killed", "after commit") == 0)
            (void)raise(SIGKILL);
        _exit(1);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    reopen();
    char *value = NULL;
    ck_assert_int_eq(store_get(store, "killed", &value), 0);
    ck_assert_str_eq(value, "after commit");
    free(value);
}
END_TEST

/* ---------------------------------------------------------------- transactions */

START_TEST(transactions_nest)
{
    char *value = NULL;
    ck_assert_int_eq(store_begin(store), 0);
    ck_assert_int_eq(store_put(store, "a", "1"), 0);
    ck_assert_int_eq(store_begin(store), 0);
    ck_assert_int_eq(store_put(store, "b", "2"), 0);
    ck_assert_int_eq(store_commit(store), 0);
    ck_assert_int_eq(store_commit(store), 0);
    ck_assert_int_eq(store_get(store, "b", &value), 0);
    free(value);
    ck_assert_int_eq(store_commit(store), -EINVAL);
}
END_TEST

START_TEST(inner_rollback_undoes_the_outer)
{
    char *value = NULL;
    ck_assert_int_eq(store_begin(store), 0);
    ck_assert_int_eq(store_put(store, "a", "1"), 0);
    ck_assert_int_eq(store_begin(store), 0);
    store_rollback(store);
    ck_assert_int_eq(store_commit(store), -ECANCELED);
    ck_assert_int_eq(store_get(store, "a", &value), -ENOENT);
    ck_assert_int_eq(store_put(store, "a", "2"), 0); /* usable again */
}
END_TEST

/* ---------------------------------------------------------------- outbox */

static char seen[512];

static int note_item(void *data, const struct outbox_item *i)
{
    (void)data;
    size_t n = strlen(seen);
    (void)snprintf(seen + n, sizeof seen - n, "%s=%s/%d/%d ", i->key, i->payload, (int)i->state,
                   i->attempts);
    return 0;
}

static int64_t last_id;

static int take_id(void *data, const struct outbox_item *i)
{
    (void)data;
    last_id = i->id;
    return 0;
}

static void put(const char *key, const char *payload, bool again)
{
    ck_assert_int_eq(store_outbox_put(store, "slack", "C1", key, "m", payload, again), 0);
}

static const char *list(void)
{
    seen[0] = '\0';
    ck_assert_int_eq(store_outbox_each(store, "slack", note_item, NULL), 0);
    return seen;
}

static int64_t id_of(const char *key)
{
    ck_assert_int_eq(store_outbox_find(store, "slack", key, take_id, NULL), 0);
    return last_id;
}

START_TEST(outbox_keeps_order_and_replaces_queued)
{
    put("a", "1", false);
    put("b", "2", false);
    put("a", "3", false);
    ck_assert_str_eq(list(), "a=3/0/0 b=2/0/0 ");
    ck_assert_int_eq(store_outbox_put(store, "web", "C1", "a", "m", "other", false), 0);
    ck_assert_str_eq(list(), "a=3/0/0 b=2/0/0 ");
}
END_TEST

START_TEST(outbox_begins_anew_only_if_asked)
{
    put("a", "1", false);
    int64_t id = id_of("a");
    ck_assert_int_eq(store_outbox_set(store, id, OUTBOX_SENDING, "", 0), 0);
    put("a", "2", false);
    ck_assert_str_eq(list(), "a=1/1/1 ");
    put("a", "2", true);
    ck_assert_str_eq(list(), "a=1/1/1 a=2/0/0 ");
    put("a", "3", false); /* the queued one is replaced */
    ck_assert_str_eq(list(), "a=1/1/1 a=3/0/0 ");
    ck_assert_int_eq(store_outbox_set(store, id, OUTBOX_DONE, "{\"ts\":\"1.2\"}", 0), 0);
    ck_assert_str_eq(list(), "a=3/0/0 ");
    ck_assert_int_eq(store_outbox_set(store, 4711, OUTBOX_DONE, "", 0), -ENOENT);
    ck_assert_int_eq(store_outbox_find(store, "slack", "nothing", take_id, NULL), -ENOENT);
}
END_TEST

START_TEST(outbox_survives_a_reopen)
{
    put("a", "1", false);
    ck_assert_int_eq(store_outbox_set(store, id_of("a"), OUTBOX_SENDING, "", 99), 0);
    reopen();
    ck_assert_str_eq(list(), "a=1/1/1 ");
}
END_TEST

/* ---------------------------------------------------------------- places */

static int place_is(void *data, const struct store_place *p)
{
    return strcmp(p->id, data) == 0 ? 7 : 8;
}

START_TEST(places_are_found_both_ways)
{
    struct store_place p = {
        .connector = "slack",
        .kind = "request",
        .pod = "p",
        .id = "per_1",
        .channel = "C1",
        .ts = "1.1",
    };
    char request[] = "per_1", session[] = "ses_1";
    ck_assert_int_eq(store_place_put(store, &p), 0);
    ck_assert_int_eq(store_place_get(store, "slack", "request", "p", "per_1", place_is, request),
                     7);
    ck_assert_int_eq(store_place_find(store, "slack", "C1", "1.1", place_is, request), 7);
    ck_assert_int_eq(store_place_find(store, "slack", "C1", "1.2", place_is, request), -ENOENT);
    p.kind = "session";
    p.id = "ses_1";
    ck_assert_int_eq(store_place_put(store, &p), 0);
    ck_assert_int_eq(store_place_find(store, "slack", "C1", "1.1", place_is, session), 7);
    ck_assert_int_eq(store_place_delete(store, "slack", "session", "p", "ses_1"), 0);
    ck_assert_int_eq(store_place_get(store, "slack", "session", "p", "ses_1", place_is, session),
                     -ENOENT);
}
END_TEST

/* ---------------------------------------------------------------- requests */

static struct request_row row_of(const char *id)
{
    return (struct request_row){
        .pod = "p",
        .id = id,
        .session_id = "ses_1",
        .root_session_id = "ses_1",
        .created_ms = 5,
    };
}

START_TEST(first_decision_wins)
{
    struct request_row row = row_of("per_1");
    ck_assert_int_eq(store_request_insert(store, &row), 1);
    ck_assert_int_eq(store_request_insert(store, &row), 0);
    row.state = 1;
    row.outcome = 1;
    row.actor_id = "U1";
    ck_assert_int_eq(store_request_move(store, 0, &row), 1);
    row.actor_id = "U2";
    ck_assert_int_eq(store_request_move(store, 0, &row), 0);
    row.id = "per_2";
    ck_assert_int_eq(store_request_move(store, 0, &row), 0);
}
END_TEST

static unsigned walked;

static int count_row(void *data, const struct request_row *row)
{
    (void)data;
    (void)row;
    walked++;
    return 0;
}

/* Looks and writes again below a walk. */
static int nested_row(void *data, const struct request_row *row)
{
    struct request_row other = row_of("per_new");
    char *before = strdup(row->id);
    ck_assert_int_eq(store_begin(store), 0);
    (void)store_request_insert(store, &other);
    ck_assert_int_eq(store_request_each(store, 2, count_row, NULL), 0);
    ck_assert_int_eq(store_commit(store), 0);
    ck_assert_str_eq(row->id, before); /* still the row's own */
    free(before);
    (*(unsigned *)data)++;
    return 0;
}

START_TEST(walks_nest)
{
    unsigned outer = 0;
    struct request_row a = row_of("per_1"), b = row_of("per_2");
    ck_assert_int_eq(store_request_insert(store, &a), 1);
    ck_assert_int_eq(store_request_insert(store, &b), 1);
    ck_assert_int_eq(store_request_each(store, 2, nested_row, &outer), 0);
    ck_assert_uint_ge(outer, 2);
    ck_assert_uint_ge(walked, 6);
}
END_TEST

START_TEST(unshown_are_told_until_settled_is_shown)
{
    struct request_row row = row_of("per_1");
    ck_assert_int_eq(store_request_insert(store, &row), 1);
    ck_assert_int_eq(store_shown_put(store, "slack", "p", "per_1", 0), 0);
    walked = 0;
    ck_assert_int_eq(store_request_each_unshown(store, "slack", 2, 0, count_row, NULL), 0);
    ck_assert_uint_eq(walked, 1); /* open: always */
    row.state = 2;
    row.settled_ms = 100;
    ck_assert_int_eq(store_request_move(store, 0, &row), 1);
    walked = 0;
    ck_assert_int_eq(store_request_each_unshown(store, "slack", 2, 100, count_row, NULL), 0);
    ck_assert_int_eq(store_request_each_unshown(store, "slack", 2, 101, count_row, NULL), 0);
    ck_assert_uint_eq(walked, 1); /* the second asks for later ones only */
    ck_assert_int_eq(store_shown_put(store, "slack", "p", "per_1", 2), 0);
    ck_assert_int_eq(store_shown_put(store, "slack", "p", "per_1", 1), 0); /* never back */
    walked = 0;
    ck_assert_int_eq(store_request_each_unshown(store, "slack", 2, 0, count_row, NULL), 0);
    ck_assert_uint_eq(walked, 0);
}
END_TEST

START_TEST(bridge_numbers_are_kept)
{
    int64_t seq = -1;
    ck_assert_int_eq(store_bridge_seq(store, "p", "i", &seq), 0);
    ck_assert_int_eq(seq, 0);
    ck_assert_int_eq(store_bridge_seq_put(store, "p", "i", 42), 0);
    reopen();
    ck_assert_int_eq(store_bridge_seq(store, "p", "i", &seq), 0);
    ck_assert_int_eq(seq, 42);
    ck_assert_int_eq(store_bridge_seq(store, "p", "j", &seq), 0);
    ck_assert_int_eq(seq, 0);
}
END_TEST

static unsigned news;

static void on_failing(void *data)
{
    (void)data;
    news++;
}

/* A transaction that is rolled back proves no recovery, one that is stored does. */
START_TEST(failing_is_known_until_it_ends)
{
    store_on_failing(store, on_failing, NULL);
    ck_assert_int_eq(sqlite3_exec(store->db, "PRAGMA query_only=1", NULL, NULL, NULL), SQLITE_OK);
    ck_assert_int_lt(store_put(store, "k", "v"), 0);
    ck_assert_int_lt(store_put(store, "k", "v"), 0);
    ck_assert_int_eq(store_failing(store), -EROFS);
    ck_assert_uint_eq(news, 1);
    ck_assert_int_eq(sqlite3_exec(store->db, "PRAGMA query_only=0", NULL, NULL, NULL), SQLITE_OK);
    ck_assert_int_eq(store_begin(store), 0);
    ck_assert_int_eq(store_put(store, "k", "v"), 0);
    store_rollback(store);
    ck_assert_int_eq(store_failing(store), -EROFS);
    ck_assert_int_eq(store_put(store, "k", "v"), 0);
    ck_assert_int_eq(store_failing(store), 0);
    ck_assert_uint_eq(news, 2);
}
END_TEST

static int rows_of(const char *table)
{
    char sql[64];
    sqlite3_stmt *st;
    (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", table);
    ck_assert_int_eq(sqlite3_prepare_v2(store->db, sql, -1, &st, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
    int n = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    return n;
}

START_TEST(what_is_old_goes)
{
    static const char rows[] =
        "INSERT INTO audit (time_ms, connector, actor_id, actor_name, what, object, detail) VALUES"
        " (1, '', '', '', '', '', ''), (strftime('%s') * 1000, '', '', '', '', '', '');"
        "INSERT INTO sessions VALUES ('p', 'root', '', 'root', '', '', '', '', '', 0, '', 0, 1, 1,"
        " 0, 0, '', 0), ('p', 'gone', '', 'gone', '', '', '', '', '', 4, '', 0, 1, 1, 0, 0, '', 0),"
        " ('p', 'failed', '', 'failed', '', '', '', '', '', 3, '', 0, 1, 1, 0, 0, '', 0),"
        " ('p', 'child', 'root', 'root', '', '', '', '', '', 0, '', 0, 1, 1, 0, 0, '', 0);"
        "INSERT INTO places VALUES ('c', 'request', 'p', 'per_1', 'C', '1', '1', ''),"
        " ('c', 'session', 'p', 'root', 'C', '1', '1', '');"
        "INSERT INTO outbox (connector, lane, key, method, payload, state, attempts, not_before_ms,"
        " result, changed_ms) VALUES ('c', 'l', 'k', 'm', '', 0, 0, 0, '', 1);";
    ck_assert_int_eq(sqlite3_exec(store->db, rows, NULL, NULL, NULL), SQLITE_OK);
    store_forget(store);
    ck_assert_int_eq(rows_of("audit"), 1);
    ck_assert_int_eq(rows_of("sessions"), 2); /* a root may be gone on with after any time */
    ck_assert_int_eq(rows_of("places"), 1);
    ck_assert_int_eq(rows_of("outbox"), 0);
}
END_TEST

static off_t size_of(const char *name)
{
    struct stat st;
    char *path = path_of(name);
    off_t size = stat(path, &st) == 0 ? st.st_size : 0;
    free(path);
    return size;
}

START_TEST(what_was_committed_gets_into_the_database_while_writing_goes_on)
{
    char key[32], *value = NULL;
    ck_assert_ptr_nonnull(store->checkpoint);
    off_t first = size_of("gateway.db"), log = 0;
    uint64_t end = clock_mono_ms() + 30000;
    for (int i = 0; size_of("gateway.db") == first || i < 3000; i++) {
        ck_assert_uint_lt(clock_mono_ms(), end);
        (void)snprintf(key, sizeof key, "key%d", i % 5000);
        ck_assert_int_eq(store_put(store, key, "some text that takes its room in a page"), 0);
        log = size_of("gateway.db-wal") > log ? size_of("gateway.db-wal") : log;
    }
    ck_assert_int_gt(log, 1000 * 4096); /* nothing was done at a commit */
    ck_assert_int_lt(log, 100 << 20);
    reopen();
    ck_assert_int_eq(store_get(store, "key2999", &value), 0);
    free(value);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store");
    TCase *t = tcase_create("store");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, keeps_facts_over_a_reopen);
    tcase_add_test(t, file_is_private);
    tcase_add_loop_test(t, damaged_file_is_kept_aside, 0, 3);
    tcase_add_test(t, newer_schema_is_kept_aside);
    tcase_add_test(t, the_audit_log_of_before_is_kept_and_gets_its_ids);
    tcase_add_test(t, no_folder_means_memory);
    tcase_add_test(t, survives_a_kill_at_once);
    tcase_add_test(t, transactions_nest);
    tcase_add_test(t, inner_rollback_undoes_the_outer);
    tcase_add_test(t, outbox_keeps_order_and_replaces_queued);
    tcase_add_test(t, outbox_begins_anew_only_if_asked);
    tcase_add_test(t, outbox_survives_a_reopen);
    tcase_add_test(t, places_are_found_both_ways);
    tcase_add_test(t, first_decision_wins);
    tcase_add_test(t, walks_nest);
    tcase_add_test(t, unshown_are_told_until_settled_is_shown);
    tcase_add_test(t, bridge_numbers_are_kept);
    tcase_add_test(t, failing_is_known_until_it_ends);
    tcase_add_test(t, what_is_old_goes);
    tcase_add_test(t, what_was_committed_gets_into_the_database_while_writing_goes_on);
    suite_add_tcase(s, t);
    return run_suite(s);
}
