/* rooms: bridge/gateway/store base/core */
/* What waits is counted, and what is gone is told from what failed. */
#include "bridge/gateway/store/rows.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/core/clock.h"
#include "bridge/gateway/core/core.h"
#include "tests/unit/run_suite.h"

static struct store *store;

static void setup(void)
{
    struct error e = ERROR_INIT;
    ck_assert_int_eq(store_open(&store, "", NULL, &e), 0);
}

static void teardown(void)
{
    store_close(store);
}

static void put_session(const char *id, const char *parent, int status)
{
    ck_assert_int_eq(store_session_put(store,
                                       &(struct session_row){
                                           .pod = "p",
                                           .id = id,
                                           .parent_id = parent,
                                           .root_id = *parent ? parent : id,
                                           .directory = "",
                                           .title = "",
                                           .agent = "",
                                           .model = "",
                                           .created_by = "",
                                           .status = status,
                                           .status_text = "",
                                           .updated_ms = clock_wall_ms(),
                                           .instance = "",
                                       }),
                     0);
}

START_TEST(sessions_without_their_subagents)
{
    int64_t counts[SESSION_STATUS_MAX];
    put_session("a", "", SESSION_BUSY);
    put_session("b", "", SESSION_BUSY);
    put_session("c", "a", SESSION_BUSY);
    put_session("d", "", SESSION_GONE);
    ck_assert_int_eq(store_session_counts(store, counts, SESSION_STATUS_MAX), 0);
    ck_assert_int_eq(counts[SESSION_IDLE], 0);
    ck_assert_int_eq(counts[SESSION_BUSY], 2);
    ck_assert_int_eq(counts[SESSION_GONE], 1);
    ck_assert_int_eq(store_session_counts(store, counts, 1), 0); /* no room: nothing is written */
}
END_TEST

START_TEST(what_waits)
{
    struct store_waiting w;
    static const char *const keys[] = { "k1", NULL }, *const more[] = { "k2", NULL };
    int64_t before = clock_wall_ms();
    ck_assert_int_eq(store_outbox_waiting(store, "slack", &w), 0);
    ck_assert_int_eq(w.count, 0);
    ck_assert_int_eq(store_outbox_put(store, "slack", "l", "a", "m", "{}", false), 0);
    ck_assert_int_eq(store_outbox_put(store, "slack", "l", "b", "m", "{}", false), 0);
    ck_assert_int_eq(store_outbox_put(store, "other", "l", "c", "m", "{}", false), 0);
    ck_assert_int_eq(store_outbox_set(store, 1, OUTBOX_SENDING, "", 0), 0);
    ck_assert_int_eq(store_outbox_waiting(store, "slack", &w), 0);
    ck_assert_int_eq(w.count, 2);
    ck_assert_int_eq(store_outbox_set(store, 1, OUTBOX_DONE, "{}", 0), 0);
    ck_assert_int_eq(store_outbox_set(store, 2, OUTBOX_FAILED, "{}", 0), 0);
    ck_assert_int_eq(store_outbox_waiting(store, "slack", &w), 0);
    ck_assert_int_eq(w.count, 0);
    ck_assert_int_eq(store_inbound_waiting(store, "slack", &w), 0);
    ck_assert(w.count == 0 && w.oldest_ms == 0);
    ck_assert_int_eq(store_inbound_put(store, "slack", keys, "l", "event", "{}"), 1);
    ck_assert_int_eq(store_inbound_put(store, "slack", more, "l", "event", "{}"), 1);
    ck_assert_int_eq(store_inbound_waiting(store, "slack", &w), 0);
    ck_assert(w.count == 2 && w.oldest_ms >= before && w.oldest_ms <= clock_wall_ms());
}
END_TEST

static int count_one(void *data, const struct store_place *p)
{
    (void)p;
    ++*(int *)data;
    return 0;
}

/* Threads of sessions whose last turn failed are read on; those of sessions that are gone not. */
START_TEST(a_failed_session_is_not_a_gone_one)
{
    static const char *const ids[] = { "failed", "gone" };
    int n = 0;
    put_session(ids[0], "", SESSION_ERROR);
    put_session(ids[1], "", SESSION_GONE);
    for (size_t i = 0; i < 2; i++)
        ck_assert_int_eq(store_place_put(store, &(struct store_place){ .connector = "slack",
                                                                       .kind = "session",
                                                                       .pod = "p",
                                                                       .id = ids[i],
                                                                       .channel = "C",
                                                                       .ts = ids[i],
                                                                       .thread_ts = ids[i],
                                                                       .extra = "" }),
                         0);
    ck_assert_int_eq(store_place_each_thread(store, "slack", 0, 10, count_one, &n), 0);
    ck_assert_int_eq(n, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("store counts");
    TCase *t = tcase_create("counts");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, sessions_without_their_subagents);
    tcase_add_test(t, what_waits);
    tcase_add_test(t, a_failed_session_is_not_a_gone_one);
    suite_add_tcase(s, t);
    return run_suite(s);
}
