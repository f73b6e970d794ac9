/* rooms: bridge/gateway/core bridge/gateway/store base/json base/core base/uvcontrol */
#include "bridge/gateway/core/core.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "bridge/gateway/core/feed.h"
#include "bridge/gateway/core/private.h"
#include "bridge/gateway/core/run.h"
#include "bridge/gateway/core/summary.h"
#include "bridge/gateway/core/table.h"
#include "bridge/gateway/store/store.h"
#include "tests/unit/run_suite.h"

#define POD "pod-a"

static char dir[256];
static uv_loop_t loop;
static struct store *store;
static struct core *core;
static uint64_t deadline;

static const struct settings settings = {
    .pod = POD,
    .version = "t",
    .opencode_directory = "/w",
    .opencode_url = "",
};
static const struct actor ann = { .connector = "slack", .id = "U1", .name = "Ann" };
static const struct actor bob = { .connector = "web", .id = "", .name = "Bob" };

/* ---------------------------------------------------------------- a connector that notes */

static char told[4096];
static char told_sessions[4096];
static bool acknowledge;

static void on_request(void *data, const struct request *r)
{
    (void)data;
    size_t n = strlen(told);
    (void)snprintf(told + n, sizeof told - n, "%s:%s:%s:%s ", r->id, request_state_name(r->state),
                   request_outcome_name(r->outcome), r->actor.connector);
    if (acknowledge)
        core_request_shown(core, "test", r->pod, r->id, r->state);
}

static void on_session(void *data, const struct session *s)
{
    (void)data;
    size_t n = strlen(told_sessions);
    (void)snprintf(told_sessions + n, sizeof told_sessions - n, "%s:%s:%s ", s->id,
                   session_status_name(s->status), s->created_by);
}

/* ---------------------------------------------------------------- a way that notes */

static struct way *way;
static char asked[1024]; /* of the way */
static core_done_fn *pending_done;
static void *pending_data;
static unsigned replies, checks;
static unsigned last_attempt;
static int next_error;   /* what ops return at once */
static int answer_error; /* given by answer_now when auto */
static bool answer_auto;
static uv_timer_t answer_timer;

static void on_answer_timer(uv_timer_t *t)
{
    (void)t;
    core_done_fn *done = pending_done;
    pending_done = NULL;
    if (done)
        done(pending_data, answer_error, "said so", "");
}

static int hold(core_done_fn *done, void *data)
{
    if (next_error < 0)
        return next_error;
    pending_done = done;
    pending_data = data;
    if (answer_auto)
        (void)uv_timer_start(&answer_timer, on_answer_timer, 0, 0);
    return 0;
}

static void answer(int error, const char *session_id)
{
    core_done_fn *done = pending_done;
    ck_assert_ptr_nonnull(done);
    pending_done = NULL;
    done(pending_data, error, "said so", session_id);
}

static int op_reply(void *data, const struct way_reply *r, core_done_fn *done, void *done_data)
{
    (void)data;
    replies++;
    last_attempt = r->attempt;
    (void)snprintf(asked, sizeof asked, "%s %s %s [%s] %s", r->request_id, r->directory,
                   request_outcome_name(r->outcome), r->reason, r->answers_json);
    return hold(done, done_data);
}

static int op_check(void *data, const struct way_reply *r, core_done_fn *done, void *done_data)
{
    (void)data;
    (void)r;
    checks++;
    return hold(done, done_data);
}

static int op_start(void *data, const struct way_start *s, core_done_fn *done, void *done_data)
{
    (void)data;
    (void)snprintf(asked, sizeof asked, "start %s %s %s", s->directory, s->title, s->prompt);
    return hold(done, done_data);
}

static int op_message(void *data, const struct way_message *m, core_done_fn *done, void *done_data)
{
    (void)data;
    (void)snprintf(asked, sizeof asked, "message %s %s %s", m->session_id, m->directory, m->text);
    return hold(done, done_data);
}

static int op_abort(void *data, const char *id, const char *directory, core_done_fn *done,
                    void *done_data)
{
    (void)data;
    (void)snprintf(asked, sizeof asked, "abort %s %s", id, directory);
    return hold(done, done_data);
}

static const struct way_ops ops = {
    .reply = op_reply,
    .check = op_check,
    .start = op_start,
    .message = op_message,
    .abort = op_abort,
};

/* ---------------------------------------------------------------- fixture */

static void open_core(void)
{
    struct error e = ERROR_INIT;
    struct connector c = {
        .name = "test",
        .request_changed = on_request,
        .session_changed = on_session,
    };
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(uv_timer_init(&loop, &answer_timer), 0);
    ck_assert_msg(store_open(&store, dir, NULL, &e) == 0, "%s", e.message);
    ck_assert_int_eq(core_new(&core, &loop, &settings, store, NULL, deadline), 0);
    ck_assert_int_eq(core_add_connector(core, &c), 0);
    ck_assert_int_eq(core_start(core), 0);
}

static void open_way(const char *instance)
{
    ck_assert_int_eq(core_way_add(&way, core, WAY_BRIDGE, POD, instance, &ops, NULL), 0);
}

static void close_way(void)
{
    if (pending_done)
        answer(-ECONNRESET, "");
    core_way_remove(way);
    way = NULL;
}

static void close_core(void)
{
    close_way();
    core_free(core);
    uv_close((uv_handle_t *)&answer_timer, NULL);
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    store_close(store);
}

static void setup(void)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(dir, sizeof dir, "%s/test-core-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    open_core();
    open_way("i1");
}

static void teardown(void)
{
    close_core();
    (void)file_remove_tree(dir);
}

static struct feed feed(int64_t seq)
{
    return (struct feed){ core, POD, "i1", "/w", seq };
}

static void ask_for(const char *id, const char *session, const char *root, int64_t seq)
{
    struct feed f = feed(seq);
    struct feed_request r = {
        .kind = REQUEST_PERMISSION,
        .id = id,
        .session_id = session,
        .root_session_id = root,
        .permission = "bash",
        .detail_json = "{\"patterns\":[\"ls\"],\"metadata\":{\"command\":\"ls -l\"}}",
    };
    ck_assert_int_eq(core_feed_asked(&f, &r), 1);
}

static int decide(const char *id, enum request_outcome o, const char *reason,
                  const struct actor *who)
{
    return core_decide(core, POD, id, o, reason, NULL, who);
}

static void replied(const char *id, enum request_outcome o)
{
    struct feed f = feed(100);
    ck_assert_int_eq(core_feed_replied(&f, id, o), 0);
}

static void idle(const char *session)
{
    struct feed f = feed(200);
    struct feed_status s = { .session_id = session, .status = SESSION_IDLE };
    ck_assert_int_eq(core_feed_status(&f, &s), 0);
}

struct seen_request {
    enum request_state state;
    enum request_outcome outcome;
    char actor[64], name[64], reason[128], root[64], title[64], summary[400];
};

static int see(void *data, const struct request *r)
{
    struct seen_request *s = data;
    s->state = r->state;
    s->outcome = r->outcome;
    (void)snprintf(s->actor, sizeof s->actor, "%s", r->actor.connector);
    (void)snprintf(s->name, sizeof s->name, "%s", r->actor.name);
    (void)snprintf(s->reason, sizeof s->reason, "%s", r->reason);
    (void)snprintf(s->root, sizeof s->root, "%s", r->root_session_id);
    (void)snprintf(s->title, sizeof s->title, "%s", r->session_title);
    (void)snprintf(s->summary, sizeof s->summary, "%s", r->summary);
    return 0;
}

static struct seen_request look(const char *id)
{
    struct seen_request s = { 0 };
    ck_assert_int_eq(core_with_request(core, POD, id, see, &s), 0);
    return s;
}

/* Runs the loop until `*n` is at least `want`. */
static void run_until(const unsigned *n, unsigned want)
{
    uint64_t end = clock_mono_ms() + 20000;
    while (*n < want && clock_mono_ms() < end)
        (void)uv_run(&loop, UV_RUN_ONCE);
    ck_assert_uint_ge(*n, want);
}

static void run_until_state(const char *id, enum request_state state)
{
    uint64_t end = clock_mono_ms() + 20000;
    while (look(id).state != state && clock_mono_ms() < end)
        (void)uv_run(&loop, UV_RUN_ONCE);
    ck_assert_int_eq(look(id).state, state);
}

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

static int status_of(void *data, const struct session *s)
{
    *(enum session_status *)data = s->status;
    return 0;
}

static enum session_status session_status(const char *id)
{
    enum session_status s = SESSION_STATUS_MAX;
    ck_assert_int_eq(core_with_session(core, POD, id, status_of, &s), 0);
    return s;
}

static void status(const char *id, enum session_status st, const char *text, int64_t seq)
{
    struct feed f = feed(seq);
    struct feed_status s = { .session_id = id, .status = st, .text = text };
    ck_assert_int_eq(core_feed_status(&f, &s), 0);
}

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
    TCase *plain = tcase_create("table"), *t = tcase_create("flow"), *d = tcase_create("deadline");
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
    tcase_add_test(t, sent_again_until_it_arrives);
    tcase_add_test(t, unknown_to_opencode_is_gone);
    tcase_add_test(t, unknown_after_an_answer_was_lost_is_ours);
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
    tcase_add_test(t, an_error_stays_to_be_read);
    tcase_add_test(t, batch_tells_after_the_commit);
    tcase_add_test(t, session_first_appears_with_its_author);
    tcase_add_test(t, held_session_of_another_is_told_too);
    tcase_add_test(t, orders_need_a_session_and_a_way);
    tcase_add_test(t, accepted_but_never_begun_is_said);
    tcase_add_test(t, accepted_and_begun_is_not);
    tcase_add_test(t, queued_behind_a_turn_is_no_failure);
    tcase_add_test(t, another_process_took_nothing);
    tcase_add_checked_fixture(d, setup_deadline, teardown);
    tcase_add_test(d, deadline_denies);
    suite_add_tcase(s, plain);
    suite_add_tcase(s, t);
    suite_add_tcase(s, d);
    return run_suite(s);
}
