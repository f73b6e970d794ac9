/* rooms: bridge/gateway/store base/core */
#include "bridge/gateway/store/query.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/file.h"
#include "tests/unit/run_suite.h"

static char dir[256];
static struct store *store;

static void reopen(void)
{
    struct error e = ERROR_INIT;
    store_close(store);
    store = NULL;
    ck_assert_msg(store_open(&store, dir, NULL, &e) == 0, "%s", e.message);
}

static void setup(void)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(dir, sizeof dir, "%s/test-inbound-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    reopen();
}

static void teardown(void)
{
    store_close(store);
    store = NULL;
    ck_assert_int_eq(file_remove_tree(dir), 0);
}

static int put(const char *lane, const char *a, const char *b)
{
    const char *keys[] = { a, b, NULL };
    return store_inbound_put(store, "slack", keys, lane, "message", a);
}

static char listed[512];
static int64_t first_id;

static int list_one(void *data, const struct inbound_item *i)
{
    size_t n = strlen(listed);
    (void)data;
    if (!first_id)
        first_id = i->id;
    (void)snprintf(listed + n, sizeof listed - n, "%s:%s/%d/%s ", i->lane, i->payload, i->attempts,
                   i->note);
    return 0;
}

static const char *list(void)
{
    listed[0] = '\0';
    first_id = 0;
    ck_assert_int_eq(store_inbound_each(store, "slack", list_one, NULL), 0);
    return listed;
}

START_TEST(each_key_once_also_after_a_reopen)
{
    ck_assert_int_eq(put("l", "ts-1", "event-1"), 1);
    ck_assert_int_eq(put("l", "ts-1", "event-2"), 0);
    ck_assert_int_eq(put("l", "ts-2", "event-1"), 0);
    reopen();
    ck_assert_int_eq(put("l", "ts-1", NULL), 0);
    /* What was refused left none of its keys: that message itself is still new. */
    ck_assert_int_eq(put("l", "ts-2", NULL), 1);
    const char *keys[] = { "ts-1", NULL };
    ck_assert_int_eq(store_inbound_put(store, "web", keys, "l", "message", "{}"), 1);
}
END_TEST

START_TEST(the_oldest_of_each_lane)
{
    ck_assert_int_eq(store_inbound_waits(store, "slack", "a"), 0);
    (void)put("a", "1", NULL);
    (void)put("a", "2", NULL);
    (void)put("b", "3", NULL);
    ck_assert_str_eq(list(), "a:1/0/ b:3/0/ ");
    ck_assert_int_eq(store_inbound_waits(store, "slack", "a"), 1);
    ck_assert_int_eq(store_inbound_done(store, first_id), 0);
    ck_assert_str_eq(list(), "a:2/0/ b:3/0/ ");
    ck_assert_int_eq(put("a", "1", NULL), 0); /* done, not forgotten */
}
END_TEST

START_TEST(attempts_are_known_after_a_crash)
{
    int64_t last;
    ck_assert_int_eq(store_inbound_last(store, "slack", &last), 0);
    ck_assert_int_eq(last, 0);
    (void)put("a", "1", NULL);
    (void)put("b", "2", NULL);
    (void)list();
    ck_assert_int_eq(store_inbound_attempt(store, first_id, "msg_1"), 0);
    ck_assert_int_eq(store_inbound_attempt(store, first_id + 7, "msg_1"), -ENOENT);
    reopen();
    ck_assert_int_eq(store_inbound_last(store, "slack", &last), 0);
    ck_assert_int_eq(last, first_id + 1);
    ck_assert_str_eq(list(), "a:1/1/msg_1 b:2/0/ ");
    ck_assert_int_eq(store_inbound_note(store, last - 1, ""), 0); /* it never left */
    ck_assert_str_eq(list(), "a:1/1/ b:2/0/ ");
}
END_TEST

/* A process that is killed after the answer "stored" has stored it, with its keys. */
START_TEST(stored_is_stored_also_when_killed)
{
    store_close(store);
    store = NULL;
    pid_t child = fork();
    if (child == 0) {
        if (store_open(&store, dir, NULL, NULL) == 0 && put("a", "1", "e") == 1)
            (void)raise(SIGKILL);
        _exit(1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status));
    reopen();
    ck_assert_str_eq(list(), "a:1/0/ ");
    ck_assert_int_eq(put("a", "1", NULL), 0);
}
END_TEST

/* No room: neither the message nor its keys are kept, and the status says so until there is. */
START_TEST(a_full_disk_keeps_nothing_of_it)
{
    char big[8192];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    ck_assert_int_eq(sqlite3_exec(store->db, "PRAGMA max_page_count=1", NULL, NULL, NULL), 0);
    const char *keys[] = { "k", NULL };
    ck_assert_int_eq(store_inbound_put(store, "slack", keys, "l", "message", big), -ENOSPC);
    ck_assert_int_eq(store_failing(store), -ENOSPC);
    ck_assert_str_eq(list(), "");
    ck_assert_int_eq(sqlite3_exec(store->db, "PRAGMA max_page_count=100000", NULL, NULL, NULL), 0);
    ck_assert_int_eq(store_inbound_put(store, "slack", keys, "l", "message", "x"), 1);
    ck_assert_int_eq(store_failing(store), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store inbound");
    TCase *t = tcase_create("inbound");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, each_key_once_also_after_a_reopen);
    tcase_add_test(t, the_oldest_of_each_lane);
    tcase_add_test(t, attempts_are_known_after_a_crash);
    tcase_add_test(t, stored_is_stored_also_when_killed);
    tcase_add_test(t, a_full_disk_keeps_nothing_of_it);
    suite_add_tcase(s, t);
    return run_suite(s);
}
