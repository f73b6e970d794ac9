/* rooms: bridge/gateway/core base/trace bridge/gateway/store base/metrics base/json base/core base/uvcontrol */
/* Decisions on their way to OpenCode, and what is true there now. */
#include "tests/unit/core_helper.h"

/* ---------------------------------------------------------------- delivery */

START_TEST(sent_again_until_it_arrives)
{
    ask_for("per_1", "ses_1", "ses_1", 1);
    ck_assert_int_eq(decide("per_1", OUTCOME_ONCE, "", &ann), 0);
    answer(-ECONNRESET, "");
    run_until(&replies, 2);
    ck_assert_uint_eq(last_attempt, 0); /* no answer came: the same command */
    answer(-EREMOTEIO, "");
    run_until(&replies, 3);
    ck_assert_uint_eq(last_attempt, 1); /* it was answered: a new one */
    answer(0, "");
    replied("per_1", OUTCOME_ONCE);
    ck_assert_int_eq(look("per_1").outcome, OUTCOME_ONCE);
}
END_TEST

START_TEST(unknown_to_opencode_is_gone)
{
    ask_for("per_1", "ses_1", "ses_1", 1);
    ck_assert_int_eq(decide("per_1", OUTCOME_ONCE, "", &ann), 0);
    answer(-ENOENT, "");
    run_until_state("per_1", REQUEST_SETTLED);
    ck_assert_int_eq(look("per_1").outcome, OUTCOME_GONE);
}
END_TEST

START_TEST(unknown_after_an_answer_was_lost_is_ours)
{
    ask_for("per_1", "ses_1", "ses_1", 1);
    ck_assert_int_eq(decide("per_1", OUTCOME_ONCE, "", &ann), 0);
    answer(-ETIMEDOUT, "");
    run_until(&replies, 2);
    answer(-ENOENT, "");
    run_until_state("per_1", REQUEST_SETTLED);
    ck_assert_int_eq(look("per_1").outcome, OUTCOME_ONCE);
    ck_assert_str_eq(look("per_1").name, "Ann");
}
END_TEST

START_TEST(another_process_took_nothing)
{
    ask_for("per_1", "ses_1", "ses_1", 1);
    ck_assert_int_eq(decide("per_1", OUTCOME_ONCE, "", &ann), 0);
    close_way(); /* its answer is lost */
    open_way("i2");
    run_until(&replies, 2);
    answer(-ENOENT, "");
    run_until_state("per_1", REQUEST_SETTLED);
    ck_assert_int_eq(look("per_1").outcome, OUTCOME_GONE);
}
END_TEST

START_TEST(never_sent_then_unknown_is_gone)
{
    ask_for("per_1", "ses_1", "ses_1", 1);
    ck_assert_int_eq(decide("per_1", OUTCOME_ONCE, "", &ann), 0);
    answer(-ENOTCONN, "");
    run_until(&replies, 2);
    answer(-ENOENT, "");
    run_until_state("per_1", REQUEST_SETTLED);
    ck_assert_int_eq(look("per_1").outcome, OUTCOME_GONE);
}
END_TEST

START_TEST(taken_and_listed_no_more_is_proof)
{
    ask_for("per_1", "ses_1", "ses_1", 1);
    ck_assert_int_eq(decide("per_1", OUTCOME_ALWAYS, "", &ann), 0);
    answer(0, "");
    run_until(&checks, 1);
    answer(-ENOENT, "");
    ck_assert_int_eq(look("per_1").state, REQUEST_SETTLED);
    ck_assert_int_eq(look("per_1").outcome, OUTCOME_ALWAYS);
}
END_TEST

START_TEST(taken_but_still_listed_is_sent_again)
{
    ask_for("per_1", "ses_1", "ses_1", 1);
    ck_assert_int_eq(decide("per_1", OUTCOME_ONCE, "", &ann), 0);
    answer(0, "");
    run_until(&checks, 1);
    answer(0, "");
    run_until(&replies, 2);
    ck_assert_int_eq(look("per_1").state, REQUEST_DECIDING);
}
END_TEST

START_TEST(waits_for_a_way)
{
    ask_for("per_1", "ses_1", "ses_1", 1);
    close_way();
    ck_assert_int_eq(decide("per_1", OUTCOME_ONCE, "", &ann), 0);
    ck_assert_uint_eq(replies, 0);
    open_way("i1");
    run_until(&replies, 1);
}
END_TEST

START_TEST(restart_sends_what_was_decided)
{
    ask_for("per_1", "ses_1", "ses_1", 1);
    ask_for("per_2", "ses_1", "ses_1", 2);
    ck_assert_int_eq(decide("per_1", OUTCOME_ONCE, "", &ann), 0);
    ck_assert_uint_eq(replies, 1);
    close_core();
    told[0] = '\0';
    open_core();
    ck_assert_str_eq(told, "per_1:deciding:once:slack per_2:pending:none: ");
    open_way("i1");
    run_until(&replies, 2);
    ck_assert_str_eq(asked, "per_1 /w once [] ");
}
END_TEST

START_TEST(restart_tells_until_it_was_shown)
{
    ask_for("per_1", "ses_1", "ses_1", 1);
    replied("per_1", OUTCOME_ONCE);
    close_core();
    told[0] = '\0';
    acknowledge = true;
    open_core();
    ck_assert_str_eq(told, "per_1:settled:once:opencode ");
    close_core();
    told[0] = '\0';
    open_core();
    ck_assert_str_eq(told, "");
    open_way("i1");
}
END_TEST

START_TEST(deadline_denies)
{
    ask_for("per_1", "ses_1", "ses_1", 1);
    answer_auto = true;
    run_until(&replies, 1);
    ck_assert_str_eq(look("per_1").actor, "deadline");
    ck_assert_int_eq(look("per_1").outcome, OUTCOME_REJECT);
    ck_assert_ptr_nonnull(strstr(asked, "nobody answered"));
}
END_TEST

static void setup_deadline(void)
{
    deadline = 30;
    setup();
}

/* ---------------------------------------------------------------- what is true now */

static void sync_with(const char *instance, int64_t as_of, const char *open, const char *busy)
{
    struct feed f = { core, POD, instance, "/w", as_of + 1 };
    const char *o[] = { open }, *b[] = { busy };
    struct feed_sync s = {
        .as_of_seq = as_of,
        .open_ids = o,
        .n_open = open != NULL,
        .busy_ids = b,
        .n_busy = busy != NULL,
    };
    ck_assert_int_eq(core_feed_sync(&f, &s), 0);
}

START_TEST(sync_voids_what_is_missing)
{
    ask_for("per_1", "ses_1", "ses_1", 1);
    ask_for("per_2", "ses_1", "ses_1", 2);
    ask_for("per_3", "ses_1", "ses_1", 9);
    sync_with("i1", 5, "per_2", "ses_1");
    ck_assert_int_eq(look("per_1").outcome, OUTCOME_GONE);
    ck_assert_int_eq(look("per_2").state, REQUEST_PENDING);
    ck_assert_int_eq(look("per_3").state, REQUEST_PENDING); /* it came after */
}
END_TEST

START_TEST(sync_of_another_process_spares_the_connected)
{
    ask_for("per_1", "ses_1", "ses_1", 1);
    sync_with("i2", 5, NULL, NULL);
    ck_assert_int_eq(look("per_1").state, REQUEST_PENDING);
    close_way();
    open_way("i2");
    sync_with("i2", 0, NULL, NULL);
    ck_assert_int_eq(look("per_1").outcome, OUTCOME_GONE);
    ck_assert_ptr_nonnull(strstr(look("per_1").reason, "restarted"));
}
END_TEST

START_TEST(sync_confirms_what_was_taken)
{
    ask_for("per_1", "ses_1", "ses_1", 1);
    ck_assert_int_eq(decide("per_1", OUTCOME_ONCE, "", &ann), 0);
    answer(0, "");
    sync_with("i1", 5, NULL, NULL);
    ck_assert_int_eq(look("per_1").outcome, OUTCOME_ONCE);
}
END_TEST

START_TEST(sync_of_a_restart_voids_what_the_old_one_took)
{
    ask_for("per_1", "ses_1", "ses_1", 1);
    ck_assert_int_eq(decide("per_1", OUTCOME_ONCE, "", &ann), 0);
    answer(0, "");
    close_way();
    open_way("i2");
    sync_with("i2", 0, NULL, NULL);
    ck_assert_int_eq(look("per_1").outcome, OUTCOME_GONE);
}
END_TEST

START_TEST(sync_ends_turns_that_are_over)
{
    status("ses_1", SESSION_BUSY, "", 1);
    status("ses_2", SESSION_RETRY, "overloaded", 2);
    status("ses_3", SESSION_BUSY, "", 9);
    status("ses_4", SESSION_BUSY, "", 3);
    sync_with("i1", 5, NULL, "ses_4");
    ck_assert_int_eq(session_status("ses_1"), SESSION_IDLE);
    ck_assert_int_eq(session_status("ses_2"), SESSION_IDLE);
    ck_assert_int_eq(session_status("ses_3"), SESSION_BUSY);
    ck_assert_int_eq(session_status("ses_4"), SESSION_BUSY);
}
END_TEST

static void session_of(const char *directory, const char *id, int64_t updated_ms)
{
    struct feed f = { core, POD, "i1", directory, 1 };
    struct feed_session s = { .id = id, .parent_id = "", .updated_ms = updated_ms, .cost = -1 };
    ck_assert_int_eq(core_feed_session(&f, &s), 0);
}

static void listed(const char *id, int64_t since_ms)
{
    struct feed f = { core, POD, "i1", "/w", 6 };
    struct feed_sync s = { .as_of_seq = 5, .listed_since_ms = since_ms };
    s.listed_ids = &id;
    s.n_listed = 1;
    asked[0] = '\0';
    ck_assert_int_eq(core_feed_sync(&f, &s), 0);
}

START_TEST(sync_looks_up_what_is_not_listed)
{
    session_of("/w", "ses_old", 50);
    session_of("/w", "ses_deleted", 100);
    session_of("/w", "ses_listed", 200);
    session_of("/other", "ses_elsewhere", 300);
    session_of("/w", "ses_archived", 400);
    listed("ses_listed", 100);
    ck_assert_str_eq(asked, "history ses_archived /w");
    answer(0, "");
    ck_assert_str_eq(asked, "history ses_deleted /w");
    listed("ses_listed", 100); /* again, while it is asked: not once more */
    ck_assert_str_eq(asked, "");
    answer(-ENOENT, "");
    ck_assert_int_eq(session_status("ses_deleted"), SESSION_GONE);
    ck_assert_int_eq(session_status("ses_archived"), SESSION_IDLE);
    ck_assert_str_eq(asked, "history ses_archived /w");
    answer(-ECONNRESET, ""); /* no proof */
    ck_assert_ptr_null(pending_done);
    ck_assert_int_eq(session_status("ses_archived"), SESSION_IDLE);
    ck_assert_int_eq(session_status("ses_old"), SESSION_IDLE);
    listed("ses_listed", 401);
    ck_assert_str_eq(asked, "");
    ck_assert_ptr_null(pending_done);
    close_way(); /* nobody to ask: forgotten, not kept */
    listed("ses_listed", 0);
    ck_assert_ptr_null(core->missing);
    open_way("i1");
}
END_TEST

START_TEST(an_error_stays_to_be_read)
{
    status("ses_1", SESSION_BUSY, "", 1);
    status("ses_1", SESSION_ERROR, "401 from the model", 2);
    status("ses_1", SESSION_IDLE, "", 3);
    status("ses_1", SESSION_IDLE, "", 4);
    ck_assert_int_eq(session_status("ses_1"), SESSION_ERROR);
    status("ses_1", SESSION_BUSY, "", 5);
    ck_assert_int_eq(session_status("ses_1"), SESSION_BUSY);
}
END_TEST

START_TEST(batch_tells_after_the_commit)
{
    ck_assert_int_eq(core_batch_begin(core), 0);
    ask_for("per_1", "ses_1", "ses_1", 1);
    ck_assert_str_eq(told, "");
    ck_assert_int_eq(core_batch_commit(core), 0);
    ck_assert_str_eq(told, "per_1:pending:none: ");
    ck_assert_int_eq(core_batch_begin(core), 0);
    ask_for("per_2", "ses_1", "ses_1", 2);
    core_batch_rollback(core);
    ck_assert_str_eq(told, "per_1:pending:none: ");
    ck_assert_int_eq(decide("per_2", OUTCOME_ONCE, "", &ann), -ENOENT);
}
END_TEST

int main(void)
{
    (void)setenv("CODEV_LOG_LEVEL", "error", 0);
    log_init("test");
    Suite *s = suite_create("core delivery");
    TCase *t = tcase_create("delivery"), *d = tcase_create("deadline");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, sent_again_until_it_arrives);
    tcase_add_test(t, unknown_to_opencode_is_gone);
    tcase_add_test(t, unknown_after_an_answer_was_lost_is_ours);
    tcase_add_test(t, another_process_took_nothing);
    tcase_add_test(t, never_sent_then_unknown_is_gone);
    tcase_add_test(t, taken_and_listed_no_more_is_proof);
    tcase_add_test(t, taken_but_still_listed_is_sent_again);
    tcase_add_test(t, waits_for_a_way);
    tcase_add_test(t, restart_sends_what_was_decided);
    tcase_add_test(t, restart_tells_until_it_was_shown);
    tcase_add_test(t, sync_voids_what_is_missing);
    tcase_add_test(t, sync_of_another_process_spares_the_connected);
    tcase_add_test(t, sync_confirms_what_was_taken);
    tcase_add_test(t, sync_of_a_restart_voids_what_the_old_one_took);
    tcase_add_test(t, sync_ends_turns_that_are_over);
    tcase_add_test(t, sync_looks_up_what_is_not_listed);
    tcase_add_test(t, an_error_stays_to_be_read);
    tcase_add_test(t, batch_tells_after_the_commit);
    tcase_add_checked_fixture(d, setup_deadline, teardown);
    tcase_add_test(d, deadline_denies);
    suite_add_tcase(s, t);
    suite_add_tcase(s, d);
    return run_suite(s);
}
