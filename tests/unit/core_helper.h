/* A core with a connector and a way of straw, which note what they are told and asked. */
#pragma once

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

static inline void on_request(void *data, const struct request *r)
{
    (void)data;
    size_t n = strlen(told);
    (void)snprintf(told + n, sizeof told - n, "%s:%s:%s:%s ", r->id, request_state_name(r->state),
                   request_outcome_name(r->outcome), r->actor.connector);
    if (acknowledge)
        core_request_shown(core, "test", r->pod, r->id, r->state);
}

static inline void on_session(void *data, const struct session *s)
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

static inline void on_answer_timer(uv_timer_t *t)
{
    (void)t;
    core_done_fn *done = pending_done;
    pending_done = NULL;
    if (done)
        done(pending_data, answer_error, "said so", "");
}

static inline int hold(core_done_fn *done, void *data)
{
    if (next_error < 0)
        return next_error;
    pending_done = done;
    pending_data = data;
    if (answer_auto)
        (void)uv_timer_start(&answer_timer, on_answer_timer, 0, 0);
    return 0;
}

static inline void answer(int error, const char *session_id)
{
    core_done_fn *done = pending_done;
    ck_assert_ptr_nonnull(done);
    pending_done = NULL;
    done(pending_data, error, "said so", session_id);
}

static inline int op_reply(void *data, const struct way_reply *r, core_done_fn *done,
                           void *done_data)
{
    (void)data;
    replies++;
    last_attempt = r->attempt;
    (void)snprintf(asked, sizeof asked, "%s %s %s [%s] %s", r->request_id, r->directory,
                   request_outcome_name(r->outcome), r->reason, r->answers_json);
    return hold(done, done_data);
}

static inline int op_check(void *data, const struct way_reply *r, core_done_fn *done,
                           void *done_data)
{
    (void)data;
    (void)r;
    checks++;
    return hold(done, done_data);
}

static inline int op_start(void *data, const struct way_start *s, core_done_fn *done,
                           void *done_data)
{
    (void)data;
    (void)snprintf(asked, sizeof asked, "start %s %s %s", s->directory, s->title, s->prompt);
    return hold(done, done_data);
}

static inline int op_message(void *data, const struct way_message *m, core_done_fn *done,
                             void *done_data)
{
    (void)data;
    (void)snprintf(asked, sizeof asked, "message %s %s %s", m->session_id, m->directory, m->text);
    return hold(done, done_data);
}

static inline int op_abort(void *data, const char *id, const char *directory, core_done_fn *done,
                           void *done_data)
{
    (void)data;
    (void)snprintf(asked, sizeof asked, "abort %s %s", id, directory);
    return hold(done, done_data);
}

static inline int op_history(void *data, const struct way_history *h, core_done_fn *done,
                             void *done_data)
{
    (void)data;
    (void)snprintf(asked, sizeof asked, "history %s %s", h->session_id, h->directory);
    return hold(done, done_data);
}

static const struct way_ops ops = {
    .reply = op_reply,
    .check = op_check,
    .start = op_start,
    .message = op_message,
    .abort = op_abort,
    .history = op_history,
};

/* ---------------------------------------------------------------- fixture */

static inline void open_core(void)
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

static inline void open_way(const char *instance)
{
    ck_assert_int_eq(core_way_add(&way, core, WAY_BRIDGE, POD, instance, &ops, NULL), 0);
}

static inline void close_way(void)
{
    if (pending_done)
        answer(-ECONNRESET, "");
    core_way_remove(way);
    way = NULL;
}

static inline void close_core(void)
{
    close_way();
    core_free(core);
    uv_close((uv_handle_t *)&answer_timer, NULL);
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    store_close(store);
}

static inline void setup(void)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(dir, sizeof dir, "%s/test-core-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    open_core();
    open_way("i1");
}

static inline void teardown(void)
{
    close_core();
    (void)file_remove_tree(dir);
}

static inline struct feed feed(int64_t seq)
{
    return (struct feed){ core, POD, "i1", "/w", seq };
}

static inline void ask_for(const char *id, const char *session, const char *root, int64_t seq)
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

static inline int decide(const char *id, enum request_outcome o, const char *reason,
                         const struct actor *who)
{
    return core_decide(core, POD, id, o, reason, NULL, who);
}

static inline void replied(const char *id, enum request_outcome o)
{
    struct feed f = feed(100);
    ck_assert_int_eq(core_feed_replied(&f, id, o), 0);
}

static inline void idle(const char *session)
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

static inline int see(void *data, const struct request *r)
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

static inline struct seen_request look(const char *id)
{
    struct seen_request s = { 0 };
    ck_assert_int_eq(core_with_request(core, POD, id, see, &s), 0);
    return s;
}

/* Runs the loop until `*n` is at least `want`. */
static inline void run_until(const unsigned *n, unsigned want)
{
    uint64_t end = clock_mono_ms() + 20000;
    while (*n < want && clock_mono_ms() < end)
        (void)uv_run(&loop, UV_RUN_ONCE);
    ck_assert_uint_ge(*n, want);
}

static inline void run_until_state(const char *id, enum request_state state)
{
    uint64_t end = clock_mono_ms() + 20000;
    while (look(id).state != state && clock_mono_ms() < end)
        (void)uv_run(&loop, UV_RUN_ONCE);
    ck_assert_int_eq(look(id).state, state);
}

static inline int status_of(void *data, const struct session *s)
{
    *(enum session_status *)data = s->status;
    return 0;
}

static inline enum session_status session_status(const char *id)
{
    enum session_status s = SESSION_STATUS_MAX;
    ck_assert_int_eq(core_with_session(core, POD, id, status_of, &s), 0);
    return s;
}

static inline void status(const char *id, enum session_status st, const char *text, int64_t seq)
{
    struct feed f = feed(seq);
    struct feed_status s = { .session_id = id, .status = st, .text = text };
    ck_assert_int_eq(core_feed_status(&f, &s), 0);
}
