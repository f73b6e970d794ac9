/* rooms: bridge/gateway/core base/trace bridge/gateway/store base/metrics base/json base/core base/uvcontrol */
/* What becomes of requests, and the orders of people. */
#include "tests/unit/core_helper.h"

/* ---------------------------------------------------------------- the table */

static const struct {
    enum request_state state;
    enum request_event event;
    enum request_action action;
} transitions[] = {
    { REQUEST_PENDING, REQUEST_DECIDED, REQUEST_TAKE_DECISION },
    { REQUEST_PENDING, REQUEST_REPLIED, REQUEST_SETTLE_THEIRS },
    { REQUEST_PENDING, REQUEST_CONFIRMED, REQUEST_IGNORE },
    { REQUEST_PENDING, REQUEST_VOIDED, REQUEST_SETTLE_GONE },
    { REQUEST_DECIDING, REQUEST_DECIDED, REQUEST_REFUSE },
    { REQUEST_DECIDING, REQUEST_REPLIED, REQUEST_SETTLE_THEIRS },
    { REQUEST_DECIDING, REQUEST_CONFIRMED, REQUEST_SETTLE_OURS },
    { REQUEST_DECIDING, REQUEST_VOIDED, REQUEST_SETTLE_GONE },
    { REQUEST_SETTLED, REQUEST_DECIDED, REQUEST_REFUSE },
    { REQUEST_SETTLED, REQUEST_REPLIED, REQUEST_IGNORE },
    { REQUEST_SETTLED, REQUEST_CONFIRMED, REQUEST_IGNORE },
    { REQUEST_SETTLED, REQUEST_VOIDED, REQUEST_IGNORE },
};
_Static_assert(sizeof transitions / sizeof *transitions ==
                   (size_t)REQUEST_STATE_MAX * REQUEST_EVENT_MAX,
               "every transition");

START_TEST(table_holds_each_transition)
{
    ck_assert_int_eq(request_table(transitions[_i].state, transitions[_i].event),
                     transitions[_i].action);
}
END_TEST

/* ---------------------------------------------------------------- the flow */

START_TEST(allowed_once)
{
    ask_for("per_1", "ses_1", "ses_1", 1);
    ck_assert_str_eq(look("per_1").summary, "ls -l");
    ck_assert_int_eq(decide("per_1", OUTCOME_ONCE, "", &ann), 0);
    ck_assert_str_eq(asked, "per_1 /w once [] ");
    ck_assert_int_eq(look("per_1").state, REQUEST_DECIDING);
    answer(0, "");
    ck_assert_int_eq(look("per_1").state, REQUEST_DECIDING); /* 200 is no proof */
    replied("per_1", OUTCOME_ONCE);
    struct seen_request s = look("per_1");
    ck_assert_int_eq(s.state, REQUEST_SETTLED);
    ck_assert_int_eq(s.outcome, OUTCOME_ONCE);
    ck_assert_str_eq(s.name, "Ann");
    ck_assert_str_eq(told, "per_1:pending:none: per_1:deciding:once:slack "
                           "per_1:settled:once:slack ");
    ck_assert_uint_eq(replies, 1);
}
END_TEST

START_TEST(first_answer_wins)
{
    ask_for("per_1", "ses_1", "ses_1", 1);
    ck_assert_int_eq(decide("per_1", OUTCOME_REJECT, "use tests/", &ann), 0);
    ck_assert_int_eq(decide("per_1", OUTCOME_ONCE, "", &bob), 1);
    ck_assert_uint_eq(replies, 1);
    ck_assert_str_eq(asked, "per_1 /w reject [use tests/] ");
    answer(0, "");
    replied("per_1", OUTCOME_REJECT);
    ck_assert_int_eq(decide("per_1", OUTCOME_ONCE, "", &bob), 1);
    ck_assert_str_eq(look("per_1").name, "Ann");
    ck_assert_str_eq(look("per_1").reason, "use tests/");
}
END_TEST

START_TEST(answered_in_opencode_first)
{
    ask_for("per_1", "ses_1", "ses_1", 1);
    replied("per_1", OUTCOME_ALWAYS);
    struct seen_request s = look("per_1");
    ck_assert_int_eq(s.state, REQUEST_SETTLED);
    ck_assert_int_eq(s.outcome, OUTCOME_ALWAYS);
    ck_assert_str_eq(s.actor, "opencode");
    ck_assert_int_eq(decide("per_1", OUTCOME_ONCE, "", &ann), 1);
    ck_assert_uint_eq(replies, 0);
}
END_TEST

START_TEST(race_shows_what_opencode_says)
{
    ask_for("per_1", "ses_1", "ses_1", 1);
    ck_assert_int_eq(decide("per_1", OUTCOME_ONCE, "", &ann), 0);
    replied("per_1", OUTCOME_REJECT);
    ck_assert_int_eq(look("per_1").outcome, OUTCOME_REJECT);
    ck_assert_str_eq(look("per_1").actor, "opencode");
    answer(-ENOENT, "");
    ck_assert_int_eq(look("per_1").outcome, OUTCOME_REJECT);
}
END_TEST

START_TEST(one_denial_takes_the_session_along)
{
    ask_for("per_1", "ses_1", "ses_1", 1);
    ask_for("per_2", "ses_1", "ses_1", 2);
    ask_for("per_3", "ses_2", "ses_2", 3);
    ck_assert_int_eq(decide("per_1", OUTCOME_REJECT, "", &ann), 0);
    replied("per_1", OUTCOME_REJECT);
    replied("per_2", OUTCOME_REJECT);
    replied("per_3", OUTCOME_REJECT);
    ck_assert_str_eq(look("per_2").name, "Ann");
    ck_assert_ptr_nonnull(strstr(look("per_2").reason, "together"));
    ck_assert_str_eq(look("per_3").actor, "opencode");
}
END_TEST

START_TEST(idle_voids_its_own_requests)
{
    ask_for("per_1", "ses_1", "ses_1", 1);
    ask_for("per_2", "ses_child", "ses_1", 2);
    ask_for("per_3", "ses_1", "ses_1", 3);
    ck_assert_int_eq(decide("per_3", OUTCOME_ONCE, "", &ann), 0);
    idle("ses_1");
    ck_assert_int_eq(look("per_1").outcome, OUTCOME_GONE);
    ck_assert_int_eq(look("per_3").outcome, OUTCOME_GONE);
    ck_assert_int_eq(look("per_2").state, REQUEST_PENDING);
    ck_assert_int_eq(decide("per_1", OUTCOME_ONCE, "", &ann), 1);
    idle("ses_1"); /* it comes twice */
    idle("ses_child");
    ck_assert_int_eq(look("per_2").outcome, OUTCOME_GONE);
}
END_TEST

START_TEST(child_belongs_to_its_root)
{
    struct feed f = feed(1);
    struct feed_session root = { .id = "ses_1", .title = "Root", .parent_id = "", .cost = -1 };
    struct feed_session child = { .id = "ses_2", .title = "Sub", .parent_id = "ses_1" };
    struct feed_session grand = { .id = "ses_3", .title = "Sub sub", .parent_id = "ses_2" };
    ck_assert_int_eq(core_feed_session(&f, &root), 0);
    ck_assert_int_eq(core_feed_session(&f, &child), 0);
    ck_assert_int_eq(core_feed_session(&f, &grand), 0);
    ask_for("per_1", "ses_3", "", 1);
    ck_assert_str_eq(look("per_1").root, "ses_1");
    ck_assert_str_eq(look("per_1").title, "Root");
    ck_assert_str_eq(told_sessions, "ses_1:idle:opencode "); /* children are not told */
}
END_TEST

static int copy_session(void *data, const struct session *s)
{
    struct session *to = data;
    to->cost = s->cost;
    to->tokens = s->tokens;
    return 0;
}

/* Sums come with the session, by either way and perhaps twice: each counts once, and a subagent's
 * belong to its root. */
START_TEST(what_it_took_is_counted_once)
{
    struct feed f = { core, "pod", "i1", "/w", 0 };
    struct session seen = { 0 };
    const struct feed_session told_twice[] = {
        { .id = "ses_1", .parent_id = "", .cost = 0.25, .tokens = 100 },
        { .id = "ses_2", .parent_id = "ses_1", .cost = 0.5, .tokens = 1000 },
        { .id = "ses_1", .parent_id = "", .cost = 0.75, .tokens = 300 },
        { .id = "ses_2", .parent_id = "ses_1", .cost = 1.5, .tokens = 2000 },
        { .id = "ses_1", .parent_id = "", .cost = -1, .tokens = -1 },
    };
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < sizeof told_twice / sizeof told_twice[0]; i++)
            ck_assert_int_eq(core_feed_session(&f, &told_twice[i]), 0);
    ck_assert_int_eq(core_with_session(core, "pod", "ses_1", copy_session, &seen), 0);
    ck_assert_double_eq(seen.cost, 2.25);
    ck_assert_int_eq(seen.tokens, 2300);
    ck_assert_int_eq(core_with_session(core, "pod", "ses_2", copy_session, &seen), 0);
    ck_assert_double_eq(seen.cost, 1.5);
}
END_TEST

START_TEST(parent_that_is_known_later)
{
    struct feed f = feed(1);
    struct feed_session child = { .id = "ses_2", .title = "Sub", .parent_id = "ses_1" };
    ask_for("per_1", "ses_2", "", 1);
    ck_assert_str_eq(look("per_1").root, "ses_2");
    ck_assert_int_eq(core_feed_session(&f, &child), 0);
    ck_assert_str_eq(look("per_1").root, "ses_1");
}
END_TEST

START_TEST(questions_are_answered)
{
    struct feed f = feed(1);
    struct feed_request r = {
        .kind = REQUEST_QUESTION,
        .id = "que_1",
        .session_id = "ses_1",
        .root_session_id = "ses_1",
        .permission = "question",
        .detail_json = "{\"questions\":[{\"question\":\"Which\\ncolour?\"}]}",
    };
    ck_assert_int_eq(core_feed_asked(&f, &r), 1);
    ck_assert_int_eq(core_feed_asked(&f, &r), 0);
    ck_assert_str_eq(look("que_1").summary, "Which colour?");
    ck_assert_int_eq(decide("que_1", OUTCOME_ONCE, "", &ann), -EINVAL);
    ck_assert_int_eq(core_decide(core, POD, "que_1", OUTCOME_ANSWERED, "", "[1]", &ann), -EINVAL);
    ck_assert_int_eq(core_decide(core, POD, "que_1", OUTCOME_ANSWERED, "", "[[\"Red\"]]", &ann), 0);
    ck_assert_str_eq(asked, "que_1 /w answered [] [[\"Red\"]]");
    answer(0, "");
    replied("que_1", OUTCOME_ANSWERED);
    ck_assert_int_eq(look("que_1").outcome, OUTCOME_ANSWERED);
}
END_TEST

START_TEST(bad_requests_and_decisions_are_refused)
{
    struct feed f = feed(1);
    char long_id[300];
    memset(long_id, 'x', sizeof long_id - 1);
    long_id[sizeof long_id - 1] = '\0';
    struct feed_request r = {
        .id = long_id,
        .session_id = "s",
        .root_session_id = "",
        .permission = "bash",
        .detail_json = "no json at all",
    };
    ck_assert_int_eq(core_feed_asked(&f, &r), -EINVAL);
    r.id = "";
    ck_assert_int_eq(core_feed_asked(&f, &r), -EINVAL);
    r.id = "per_1";
    ck_assert_int_eq(core_feed_asked(&f, &r), 1);
    ck_assert_str_eq(look("per_1").summary, "bash");
    ck_assert_int_eq(decide("per_1", OUTCOME_GONE, "", &ann), -EINVAL);
    ck_assert_int_eq(decide("per_1", OUTCOME_ANSWERED, "", &ann), -EINVAL);
    ck_assert_int_eq(decide("per_unknown", OUTCOME_ONCE, "", &ann), -ENOENT);
}
END_TEST

/* ---------------------------------------------------------------- orders */

static int done_error = 1;
static char done_session[64];

static void on_done(void *data, int error, const char *message, const char *session_id)
{
    (void)data;
    (void)message;
    done_error = error;
    (void)snprintf(done_session, sizeof done_session, "%s", session_id);
}

START_TEST(session_first_appears_with_its_author)
{
    struct session_start s = { .title = "T", .prompt = "do it", .actor = &ann };
    struct feed f = feed(1);
    struct feed_session info = { .id = "ses_9", .parent_id = "", .title = "T" };
    ck_assert_int_eq(core_session_start(core, &s, on_done, NULL), 0);
    ck_assert_str_eq(asked, "start /w T do it");
    ck_assert_int_eq(core_feed_session(&f, &info), 0); /* the event is quicker than the answer */
    ck_assert_str_eq(told_sessions, "");
    answer(0, "ses_9");
    ck_assert_int_eq(done_error, 0);
    ck_assert_str_eq(done_session, "ses_9");
    ck_assert_ptr_nonnull(strstr(told_sessions, "ses_9:idle:slack:U1 "));
    ck_assert_ptr_null(strstr(told_sessions, "opencode"));
}
END_TEST

static void status_of_ses_1(enum session_status status, const char *text)
{
    struct feed f = feed(2);
    struct feed_status s = { .session_id = "ses_1", .status = status, .text = text };
    ck_assert_int_eq(core_feed_status(&f, &s), 0);
}

static void turn_loop(void)
{
    for (int i = 0; i < 3; i++)
        (void)uv_run(&loop, UV_RUN_NOWAIT);
}

START_TEST(a_message_stops_the_turn_where_that_is_set)
{
    struct settings interrupts = settings;
    interrupts.interrupts = true;
    status_of_ses_1(SESSION_BUSY, "");
    ck_assert_int_eq(core_session_message(core, POD, "ses_1", "one", &ann, on_done, NULL), 0);
    ck_assert_str_eq(asked, "message ses_1 /w one"); /* by default OpenCode queues it */
    answer(0, "");
    core->settings = &interrupts;
    ck_assert_int_eq(core_session_message(core, POD, "ses_1", "two", &ann, on_done, NULL), 0);
    ck_assert_str_eq(asked, "abort ses_1 /w");
    answer(0, "");
    turn_loop();
    ck_assert_str_eq(asked, "abort ses_1 /w"); /* not before the turn is over */
    status_of_ses_1(SESSION_IDLE, "aborted");
    turn_loop();
    ck_assert_str_eq(asked, "message ses_1 /w two");
    answer(0, "");
    asked[0] = '\0';
    ck_assert_int_eq(core_session_message(core, POD, "ses_1", "three", &ann, on_done, NULL), 0);
    ck_assert_str_eq(asked, "message ses_1 /w three");
    answer(0, "");
    core->settings = &settings;
}
END_TEST

START_TEST(held_session_of_another_is_told_too)
{
    struct session_start s = { .prompt = "x", .actor = &ann };
    struct feed f = feed(1);
    struct feed_session info = { .id = "ses_8", .parent_id = "", .title = "Other" };
    ck_assert_int_eq(core_session_start(core, &s, on_done, NULL), 0);
    ck_assert_int_eq(core_feed_session(&f, &info), 0);
    answer(-EREMOTEIO, "");
    ck_assert_int_eq(done_error, -EREMOTEIO);
    ck_assert_str_eq(told_sessions, "ses_8:idle:opencode ");
}
END_TEST

START_TEST(gone_stays_gone_until_it_is_listed_again)
{
    status("ses_1", SESSION_BUSY, "", 1);
    struct feed f = feed(2);
    ck_assert_int_eq(core_feed_session_gone(&f, "ses_1"), 0);
    /* The turn that was under way ends, badly. */
    status("ses_1", SESSION_ERROR, "no such session", 3);
    status("ses_1", SESSION_IDLE, "", 4);
    struct feed again = feed(5);
    struct feed_session info = { .id = "ses_1", .title = "Back", .heard = true };
    ck_assert_int_eq(core_feed_session(&again, &info), 0);
    ck_assert_int_eq(session_status("ses_1"), SESSION_GONE);
    info.heard = false;
    ck_assert_int_eq(core_feed_session(&again, &info), 0);
    ck_assert_int_eq(session_status("ses_1"), SESSION_IDLE);
}
END_TEST

START_TEST(orders_need_a_session_and_a_way)
{
    ck_assert_int_eq(core_session_message(core, POD, "ses_no", "hi", &ann, on_done, NULL), 0);
    ck_assert_int_eq(done_error, -ENOENT);
    status("ses_1", SESSION_BUSY, "", 1);
    ck_assert_int_eq(core_session_message(core, POD, "ses_1", "hi", &ann, on_done, NULL), 0);
    ck_assert_str_eq(asked, "message ses_1 /w hi");
    answer(0, "ses_1");
    ck_assert_int_eq(done_error, 0);
    ck_assert_int_eq(core_session_abort(core, POD, "ses_1", &ann, on_done, NULL), 0);
    ck_assert_str_eq(asked, "abort ses_1 /w");
    answer(0, "ses_1");
    close_way();
    ck_assert_int_eq(core_session_abort(core, POD, "ses_1", &ann, on_done, NULL), 0);
    ck_assert_int_eq(done_error, -ENOTCONN);
}
END_TEST

static bool is_error(void)
{
    return session_status("ses_1") == SESSION_ERROR;
}

START_TEST(accepted_but_never_begun_is_said)
{
    status("ses_1", SESSION_IDLE, "", 1);
    core->watch_ms = 30;
    ck_assert_int_eq(core_session_message(core, POD, "ses_1", "hi", &ann, NULL, NULL), 0);
    answer(0, "ses_1");
    uint64_t end = clock_mono_ms() + 20000;
    while (!is_error() && clock_mono_ms() < end)
        (void)uv_run(&loop, UV_RUN_ONCE);
    ck_assert(is_error());
}
END_TEST

START_TEST(accepted_and_begun_is_not)
{
    status("ses_1", SESSION_IDLE, "", 1);
    core->watch_ms = 1;
    ck_assert_int_eq(core_session_message(core, POD, "ses_1", "hi", &ann, NULL, NULL), 0);
    answer(0, "ses_1");
    ck_assert_ptr_nonnull(core->watches);
    status("ses_1", SESSION_BUSY, "", 2);
    ck_assert_ptr_null(core->watches);
    ck_assert_int_eq(core_session_message(core, POD, "ses_1", "hi", &ann, NULL, NULL), 0);
    answer(-EPERM, "");
    ck_assert_ptr_null(core->watches); /* refused: that is said by its answer */
}
END_TEST

static bool nobody_watches(void)
{
    return core->watches == NULL;
}

START_TEST(queued_behind_a_turn_is_no_failure)
{
    status("ses_1", SESSION_BUSY, "", 1);
    core->watch_ms = 1;
    ck_assert_int_eq(core_session_message(core, POD, "ses_1", "hi", &ann, NULL, NULL), 0);
    answer(0, "ses_1");
    uint64_t end = clock_mono_ms() + 20000;
    while (!nobody_watches() && clock_mono_ms() < end)
        (void)uv_run(&loop, UV_RUN_ONCE);
    ck_assert(nobody_watches());
    ck_assert_int_eq(session_status("ses_1"), SESSION_BUSY);
}
END_TEST

/* ---------------------------------------------------------------- summaries */

static const struct {
    enum request_kind kind;
    const char *permission, *detail, *summary;
} summaries[] = {
    { REQUEST_PERMISSION, "bash", "{\"metadata\":{\"command\":\"a\\nb\"}}", "a b" },
    { REQUEST_PERMISSION, "edit", "{\"metadata\":{\"filepath\":\"/x/y.c\",\"diff\":\"…\"}}",
      "/x/y.c" },
    { REQUEST_PERMISSION, "external_directory", "{\"metadata\":{\"directories\":[\"/a\",\"/b\"]}}",
      "/a, /b" },
    { REQUEST_PERMISSION, "webfetch", "{\"patterns\":[\"x\",1,\"y\"]}", "x, y" },
    { REQUEST_PERMISSION, "odd", "[]", "odd" },
    { REQUEST_PERMISSION, "odd", "{\"metadata\":7}", "odd" },
    { REQUEST_QUESTION, "question", "{\"questions\":[]}", "question" },
};

START_TEST(summary_is_one_line)
{
    char *s = request_summary(summaries[_i].kind, summaries[_i].permission, summaries[_i].detail);
    ck_assert_str_eq(s, summaries[_i].summary);
    free(s);
}
END_TEST

START_TEST(summary_is_cut_between_characters)
{
    char detail[3000] = "{\"metadata\":{\"command\":\"";
    for (int i = 0; i < 500; i++)
        strcat(detail, "é");
    strcat(detail, "\"}}");
    char *s = request_summary(REQUEST_PERMISSION, "bash", detail);
    ck_assert_uint_le(strlen(s), 300);
    ck_assert_str_eq(s + strlen(s) - strlen("é…"), "é…");
    free(s);
}
END_TEST

int main(void)
{
    (void)setenv("CODEV_LOG_LEVEL", "error", 0);
    log_init("test");
    Suite *s = suite_create("core");
    TCase *plain = tcase_create("table"), *t = tcase_create("flow");
    tcase_add_loop_test(plain, table_holds_each_transition, 0,
                        REQUEST_STATE_MAX * REQUEST_EVENT_MAX);
    tcase_add_loop_test(plain, summary_is_one_line, 0, 7);
    tcase_add_test(plain, summary_is_cut_between_characters);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, allowed_once);
    tcase_add_test(t, first_answer_wins);
    tcase_add_test(t, answered_in_opencode_first);
    tcase_add_test(t, race_shows_what_opencode_says);
    tcase_add_test(t, one_denial_takes_the_session_along);
    tcase_add_test(t, idle_voids_its_own_requests);
    tcase_add_test(t, child_belongs_to_its_root);
    tcase_add_test(t, what_it_took_is_counted_once);
    tcase_add_test(t, parent_that_is_known_later);
    tcase_add_test(t, questions_are_answered);
    tcase_add_test(t, bad_requests_and_decisions_are_refused);
    tcase_add_test(t, session_first_appears_with_its_author);
    tcase_add_test(t, held_session_of_another_is_told_too);
    tcase_add_test(t, gone_stays_gone_until_it_is_listed_again);
    tcase_add_test(t, a_message_stops_the_turn_where_that_is_set);
    tcase_add_test(t, orders_need_a_session_and_a_way);
    tcase_add_test(t, accepted_but_never_begun_is_said);
    tcase_add_test(t, accepted_and_begun_is_not);
    tcase_add_test(t, queued_behind_a_turn_is_no_failure);
    suite_add_tcase(s, plain);
    suite_add_tcase(s, t);
    return run_suite(s);
}
