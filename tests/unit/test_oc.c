/* rooms: bridge/gateway/opencode bridge/gateway/core base/trace bridge/gateway/store base/server base/http
 * base/ws base/json base/core */
#include "bridge/gateway/opencode/opencode.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/buf.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/http/http.h"
#include "base/server/server.h"
#include "bridge/gateway/core/feed.h"
#include "bridge/gateway/core/run.h"
#include "bridge/gateway/store/query.h"
#include "tests/unit/run_suite.h"

#define WAIT_MS 20000

static uv_loop_t loop;
static struct store *store;
static struct http_client *http;
static struct core *core;
static struct server *server;
static struct opencode *oc;
static char url[64];
static const struct actor ann = { .connector = "web", .id = "", .name = "Ann" };

static struct settings settings = {
    .pod = "own",
    .version = "t",
    .opencode_url = url,
    .opencode_user = "opencode",
    .opencode_password = "pw",
    .opencode_directory = "/w",
};

/* ---------------------------------------------------------------- an OpenCode that obeys */

static unsigned probes, streams, swallow, posts, list_reads;
static struct server_request *stream, *held;
static const char *permissions, *status_map, *sessions, *one_session;
static bool hold_lists, hold_posts, odd_lists, refuse_password;
static int post_status;
static const char *post_answer;
static char last_post[2048];

static void answer(struct server_request *r, int status, const char *body)
{
    server_reply(r, status, "application/json", NULL, body, strlen(body));
}

static void stream_gone(void *data)
{
    (void)data;
    stream = NULL;
}

static void open_stream(struct server_request *r)
{
    static const char first[] = "data: {\"payload\":{\"id\":\"e\",\"type\":\"server.connected\","
                                "\"properties\":{}}}\n\n";
    streams++;
    ck_assert_int_eq(server_stream_start(r, 200, "text/event-stream", NULL), 0);
    stream = r;
    server_request_on_gone(r, stream_gone, NULL);
    ck_assert_int_eq(server_stream_write(r, first, strlen(first)), 0);
}

static void held_gone(void *data)
{
    (void)data;
    held = NULL;
}

static const struct {
    const char *path;
    const char **list;
} lists[] = {
    { "/permission", &permissions },
    { "/session/status", &status_map },
    { "/session", &sessions },
};

static void answer_list(struct server_request *r)
{
    const char *body = "[]";
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (strcmp(server_request_path(r), lists[i].path) == 0 && *lists[i].list)
            body = *lists[i].list;
    if (strcmp(server_request_path(r), "/session/status") == 0 && !status_map)
        body = "{}";
    if (odd_lists)
        answer(r, 200, strcmp(server_request_path(r), "/question") == 0 ? "{}" : body);
    else
        answer(r, 200, body);
}

static void ignore_gone(void *data)
{
    (void)data;
}

static void on_get(struct server_request *r)
{
    const char *path = server_request_path(r);
    if (strcmp(path, "/global/health") == 0) {
        probes++;
        if (swallow > 0) {
            swallow--;
            server_request_on_gone(r, ignore_gone, NULL);
            return; /* never answered */
        }
        answer(r, 200, "{\"healthy\":true}");
    } else if (strcmp(path, "/global/event") == 0) {
        open_stream(r);
    } else if (strncmp(path, "/session/ses_", 13) == 0) {
        bool there = one_session && !strstr(path, "gone");
        answer(r, there ? 200 : 404, there ? one_session : "{}");
    } else {
        list_reads++;
        if (hold_lists && !held) {
            held = r;
            server_request_on_gone(r, held_gone, NULL);
        } else {
            answer_list(r);
        }
    }
}

static void on_post(struct server_request *r)
{
    size_t len;
    const char *body = server_request_body(r, &len),
               *directory = server_request_query(r, "directory");
    posts++;
    (void)snprintf(last_post, sizeof last_post, "%s [%s] %.*s", server_request_path(r),
                   directory ? directory : "", (int)len, body);
    if (hold_posts)
        server_request_on_gone(r, ignore_gone, NULL);
    else
        answer(r, post_status, post_answer);
}

static void on_request(void *data, struct server_request *r)
{
    (void)data;
    const char *auth = server_request_header(r, "authorization");
    if (refuse_password || !auth || strcmp(auth, "Basic b3BlbmNvZGU6cHc=") != 0)
        answer(r, 401, "");
    else if (server_request_method(r) == SERVER_POST)
        on_post(r);
    else
        on_get(r);
}

/* ---------------------------------------------------------------- a connector that notes */

static char texts[4096];

static void on_activity(void *data, const struct activity *a)
{
    (void)data;
    size_t n = strlen(texts);
    (void)snprintf(texts + n, sizeof texts - n, "%d|%s|%s|%s|%s;", (int)a->kind, a->session_id,
                   a->role, a->text, a->status);
}

/* ---------------------------------------------------------------- fixture */

static void open_server(uint16_t port)
{
    struct error e = ERROR_INIT;
    struct server_options o = {
        .loop = &loop,
        .listen = "127.0.0.1",
        .port = port,
        .on_request = on_request,
    };
    ck_assert_msg(server_new(&server, &o, &e) == 0, "%s", e.message);
}

static void setup_again(uint64_t again_ms)
{
    const struct opencode_options fast = {
        .grace_ms = 10,
        .retry_min_ms = 10,
        .retry_max_ms = 50,
        .again_min_ms = again_ms,
        .again_max_ms = again_ms,
    };
    struct connector c = { .name = "test", .activity = on_activity };
    struct error e = ERROR_INIT;
    post_status = 200;
    post_answer = "true";
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    open_server(0);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", (unsigned)server_port(server));
    ck_assert_int_eq(http_client_new(&http, &loop, NULL), 0);
    ck_assert_int_eq(store_open(&store, "", NULL, &e), 0);
    ck_assert_int_eq(core_new(&core, &loop, &settings, store, http, 0), 0);
    ck_assert_int_eq(core_add_connector(core, &c), 0);
    ck_assert_int_eq(opencode_new(&oc, core, &fast, &e), 0);
    ck_assert_int_eq(core_start(core), 0);
}

/* What the stream tells is all there is. */
static void setup(void)
{
    setup_again(600000);
}

static void setup_reading_again(void)
{
    setup_again(20);
}

static void teardown(void)
{
    opencode_free(oc);
    server_free(server);
    core_free(core);
    http_client_free(http);
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    store_close(store);
}

static void tick(uv_timer_t *t)
{
    (void)t;
}

/* Runs the loop until `fits` holds. */
static void run_until_at(bool (*fits)(void), int line)
{
    uv_timer_t timer;
    uint64_t end = clock_mono_ms() + WAIT_MS;
    ck_assert_int_eq(uv_timer_init(&loop, &timer), 0);
    ck_assert_int_eq(uv_timer_start(&timer, tick, 5, 5), 0);
    while (!fits() && clock_mono_ms() < end)
        (void)uv_run(&loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_msg(fits(), "not in time, from line %d", line);
}
#define run_until(fits) run_until_at((fits), __LINE__)

static bool reached(void)
{
    struct link_state l;
    core_links(core, &l);
    return strcmp(l.opencode, "http") == 0;
}

static void tell(const char *event)
{
    struct buf b = BUF_INIT;
    ck_assert_ptr_nonnull(stream);
    buf_printf(&b, "data: {\"directory\":\"/w\",\"payload\":%s}\n\n", event);
    ck_assert_int_eq(server_stream_write(stream, b.data, b.len), 0);
    buf_release(&b);
}

#define ASKED(id, session)                                                                         \
    "{\"type\":\"permission.asked\",\"properties\":{\"id\":\"" id "\",\"sessionID\":\"" session    \
    "\",\"permission\":\"bash\",\"patterns\":[\"ls\"],\"metadata\":{\"command\":\"ls\"},"          \
    "\"always\":[]}}"
#define LISTED(id, session)                                                                        \
    "{\"id\":\"" id "\",\"sessionID\":\"" session                                                  \
    "\",\"permission\":\"bash\",\"patterns\":[\"ls\"],\"metadata\":{},\"always\":[]}"
#define REPLIED(id, reply)                                                                         \
    "{\"type\":\"permission.replied\",\"properties\":{\"sessionID\":\"ses_1\",\"requestID\":\"" id \
    "\",\"reply\":\"" reply "\"}}"
#define SESSION(id, more) "{\"id\":\"" id "\",\"directory\":\"/w\",\"title\":\"T\"" more "}"
#define CREATED(id)       "{\"type\":\"session.created\",\"properties\":{\"info\":" SESSION(id, "") "}}"

struct seen {
    enum request_state state;
    enum request_outcome outcome;
    char root[64];
};

static int see(void *data, const struct request *r)
{
    struct seen *s = data;
    s->state = r->state;
    s->outcome = r->outcome;
    (void)snprintf(s->root, sizeof s->root, "%s", r->root_session_id);
    return 0;
}

static bool known(const char *id, struct seen *ret)
{
    return core_with_request(core, "own", id, see, ret) == 0;
}

static bool per_1_pending(void)
{
    struct seen s;
    return known("per_1", &s) && s.state == REQUEST_PENDING;
}

static bool per_1_gone(void)
{
    struct seen s;
    return known("per_1", &s) && s.outcome == OUTCOME_GONE;
}

static bool per_1_once(void)
{
    struct seen s;
    return known("per_1", &s) && s.state == REQUEST_SETTLED && s.outcome == OUTCOME_ONCE;
}

static bool per_1_settled(void)
{
    struct seen s;
    return known("per_1", &s) && s.state == REQUEST_SETTLED;
}

static bool per_2_pending(void)
{
    struct seen s;
    return known("per_2", &s) && s.state == REQUEST_PENDING;
}

/* ---------------------------------------------------------------- reaching it */

START_TEST(early_requests_are_never_answered)
{
    swallow = 2;
    run_until(reached);
    ck_assert_uint_ge(probes, 3);
    ck_assert_uint_eq(streams, 1);
}
END_TEST

static bool refused(void)
{
    struct link_state l;
    core_links(core, &l);
    return strstr(l.opencode_reason, "password") != NULL;
}

START_TEST(wrong_password_is_said)
{
    refuse_password = true;
    run_until(refused);
    refuse_password = false;
    run_until(reached);
}
END_TEST

static bool stream_is_gone(void)
{
    return stream == NULL;
}

static const struct way_ops no_ops;

START_TEST(a_bridge_ends_the_stream)
{
    struct way *bridge;
    run_until(reached);
    ck_assert_int_eq(core_way_add(&bridge, core, WAY_BRIDGE, "own", "i", &no_ops, NULL), 0);
    run_until(stream_is_gone);
    struct link_state l;
    core_links(core, &l);
    ck_assert_str_eq(l.opencode, "bridge");
    core_way_remove(bridge);
    run_until(reached);
    ck_assert_uint_eq(streams, 2);
}
END_TEST

START_TEST(a_hub_has_no_direct_way)
{
    struct opencode *none;
    settings.opencode_url = "";
    ck_assert_int_eq(opencode_new(&none, core, NULL, NULL), 0);
    ck_assert_ptr_null(none);
}
END_TEST

/* ---------------------------------------------------------------- events */

START_TEST(asked_and_answered_by_the_stream)
{
    run_until(reached);
    tell(CREATED("ses_1"));
    tell("{\"type\":\"sync\",\"properties\":{}}");
    tell(ASKED("per_1", "ses_1"));
    run_until(per_1_pending);
    tell(REPLIED("per_1", "once"));
    run_until(per_1_once);
}
END_TEST

START_TEST(child_is_looked_up_before)
{
    struct seen s;
    run_until(reached);
    tell(CREATED("ses_1"));
    one_session = SESSION("ses_2", ",\"parentID\":\"ses_1\"");
    tell(ASKED("per_1", "ses_2"));
    run_until(per_1_pending);
    ck_assert(known("per_1", &s));
    ck_assert_str_eq(s.root, "ses_1");
}
END_TEST

START_TEST(unknown_session_becomes_a_root)
{
    run_until(reached);
    tell(ASKED("per_1", "ses_7"));
    run_until(per_1_pending);
}
END_TEST

START_TEST(nonsense_is_passed_over)
{
    static const char junk[] = "data: no json\n\ndata: []\n\ndata: {\"payload\":7}\n\n: x\n\n"
                               "data: {\"payload\":{\"type\":\"permission.asked\"}}\n\n"
                               "data: {\"payload\":{\"type\":\"permission.asked\",\"properties\":"
                               "{\"id\":{}}}}\n\n"
                               "data: {\"payload\":{\"type\":\"message.part.updated\","
                               "\"properties\":{\"part\":[1]}}}\n\n"
                               "data: {\"payload\":{\"type\":\"session.status\",\"properties\":"
                               "{\"sessionID\":\"ses_1\",\"status\":\"busy\"}}}\n\n";
    run_until(reached);
    ck_assert_int_eq(server_stream_write(stream, junk, strlen(junk)), 0);
    tell(ASKED("per_1", "ses_1"));
    run_until(per_1_pending);
    ck_assert_uint_eq(streams, 1);
}
END_TEST

START_TEST(idle_voids)
{
    run_until(reached);
    tell(ASKED("per_1", "ses_1"));
    run_until(per_1_pending);
    tell("{\"type\":\"session.error\",\"properties\":{\"sessionID\":\"ses_1\",\"error\":{"
         "\"name\":\"MessageAbortedError\",\"data\":{\"message\":\"Aborted\"}}}}");
    run_until(per_1_gone);
}
END_TEST

static bool two_texts(void)
{
    return strstr(texts, "|Hello world|") != NULL && strstr(texts, "|bash: ls|completed") != NULL;
}

START_TEST(text_grows_and_tools_are_told)
{
    run_until(reached);
    tell(CREATED("ses_1"));
    tell("{\"type\":\"message.updated\",\"properties\":{\"info\":{\"id\":\"msg_u\",\"role\":"
         "\"user\"}}}");
    tell("{\"type\":\"message.part.updated\",\"properties\":{\"part\":{\"id\":\"prt_u\",\"type\":"
         "\"text\",\"text\":\"do it\",\"messageID\":\"msg_u\",\"sessionID\":\"ses_1\"}}}");
    tell("{\"type\":\"message.part.updated\",\"properties\":{\"part\":{\"id\":\"prt_1\",\"type\":"
         "\"text\",\"text\":\"\",\"messageID\":\"msg_1\",\"sessionID\":\"ses_1\"}}}");
    static const char *const deltas[] = { "Hel", "lo ", "world" };
    for (size_t i = 0; i < 3; i++) {
        char s[256];
        (void)snprintf(s, sizeof s,
                       "{\"type\":\"message.part.delta\",\"properties\":{\"partID\":\"prt_1\","
                       "\"field\":\"text\",\"delta\":\"%s\"}}",
                       deltas[i]);
        tell(s);
    }
    tell("{\"type\":\"message.part.delta\",\"properties\":{\"partID\":\"prt_1\",\"field\":"
         "\"metadata\",\"delta\":\"odd\"}}");
    tell("{\"type\":\"message.part.delta\",\"properties\":{\"partID\":\"prt_thought\",\"field\":"
         "\"text\",\"delta\":\"secret\"}}");
    for (int i = 0; i < 3; i++)
        tell("{\"type\":\"message.part.updated\",\"properties\":{\"part\":{\"id\":\"prt_2\","
             "\"type\":\"tool\",\"tool\":\"bash\",\"sessionID\":\"ses_1\",\"state\":{\"status\":"
             "\"completed\",\"input\":{\"command\":\"ls\"}}}}}");
    run_until(two_texts);
    ck_assert_ptr_nonnull(strstr(texts, "0|ses_1|user|do it|completed;"));
    ck_assert_ptr_null(strstr(texts, "secret"));
    const char *tool = strstr(texts, "bash: ls");
    ck_assert_ptr_null(strstr(tool + 1, "bash: ls")); /* each state once */
}
END_TEST

/* ---------------------------------------------------------------- reading again */

START_TEST(what_waits_is_read)
{
    permissions = "[" LISTED("per_1", "ses_1") "," LISTED("per_2", "ses_2") "]";
    status_map = "{\"ses_1\":{\"type\":\"busy\"}}";
    struct seen s;
    run_until(reached);
    run_until(per_1_pending);
    ck_assert(!known("per_2", &s)); /* its session is idle: an abort left it there */
}
END_TEST

START_TEST(what_is_missing_after_a_cut_is_gone)
{
    run_until(reached);
    tell(ASKED("per_1", "ses_1"));
    tell(ASKED("per_2", "ses_1"));
    run_until(per_2_pending);
    permissions = "[" LISTED("per_2", "ses_1") "]";
    status_map = "{\"ses_1\":{\"type\":\"busy\"}}";
    server_stream_end(stream);
    stream = NULL;
    run_until(per_1_gone);
    ck_assert(per_2_pending());
    ck_assert_uint_eq(streams, 2);
}
END_TEST

static bool is_held(void)
{
    return held != NULL;
}

START_TEST(events_during_the_reading_come_after_it)
{
    hold_lists = true;
    permissions = "[" LISTED("per_1", "ses_1") "]";
    status_map = "{\"ses_1\":{\"type\":\"busy\"}}";
    run_until(is_held);
    tell(REPLIED("per_1", "once")); /* between the list and its answer */
    tell(ASKED("per_2", "ses_1"));
    hold_lists = false;
    answer_list(held);
    held = NULL;
    run_until(per_1_once);
    run_until(per_2_pending); /* not listed, but newer than the list */
}
END_TEST

START_TEST(answered_during_the_cut_is_not_gone)
{
    run_until(reached);
    tell(ASKED("per_1", "ses_1"));
    run_until(per_1_pending);
    hold_lists = true;
    server_stream_end(stream);
    stream = NULL;
    run_until(is_held);
    tell(REPLIED("per_1", "once"));
    hold_lists = false;
    answer_list(held);
    held = NULL;
    run_until(per_1_settled);
    ck_assert(per_1_once());
}
END_TEST

static bool lists_again(void)
{
    return list_reads >= 2;
}

START_TEST(no_list_no_conclusion)
{
    run_until(reached);
    tell(ASKED("per_1", "ses_1"));
    run_until(per_1_pending);
    odd_lists = true;
    list_reads = 0;
    server_stream_end(stream);
    stream = NULL;
    run_until(lists_again);
    run_until(reached);
    ck_assert(per_1_pending());
    odd_lists = false;
    run_until(per_1_gone);
}
END_TEST

START_TEST(disposal_is_read_again)
{
    run_until(reached);
    tell(ASKED("per_1", "ses_1"));
    run_until(per_1_pending);
    tell("{\"type\":\"server.instance.disposed\",\"properties\":{\"directory\":\"/w\"}}");
    run_until(per_1_gone);
    ck_assert_uint_eq(streams, 1);
}
END_TEST

/* Said to be connected, the stream does not tell yet: found by the lists. */
START_TEST(what_the_stream_lost_is_found)
{
    status_map = "{\"ses_1\":{\"type\":\"busy\"}}";
    run_until(reached);
    permissions = "[" LISTED("per_1", "ses_1") "]";
    run_until(per_1_pending);
    permissions = "[]";
    run_until(per_1_gone);
    ck_assert_uint_eq(streams, 1);
}
END_TEST

static bool read_more(void)
{
    return list_reads > 0;
}

static uint64_t quiet_until;

static bool quiet_over(void)
{
    return clock_mono_ms() >= quiet_until;
}

/* Reading makes OpenCode load a directory: not for the sake of looking. */
START_TEST(an_idle_pod_is_not_read_again)
{
    run_until(reached);
    list_reads = 0;
    quiet_until = clock_mono_ms() + 200; /* ten times the distance between two readings */
    run_until(quiet_over);
    ck_assert_uint_eq(list_reads, 0);
    tell(ASKED("per_1", "ses_1"));
    run_until(read_more);
}
END_TEST

/* ---------------------------------------------------------------- orders */

static bool posted(void)
{
    return posts >= 1;
}

static bool posted_twice(void)
{
    return posts >= 2;
}

START_TEST(decision_is_posted)
{
    run_until(reached);
    tell(ASKED("per_1", "ses_1"));
    run_until(per_1_pending);
    ck_assert_int_eq(core_decide(core, "own", "per_1", OUTCOME_REJECT, "use \"x\"", NULL, &ann), 0);
    run_until(posted);
    ck_assert_str_eq(last_post, "/permission/per_1/reply [/w] {\"reply\":\"reject\",\"message\":"
                                "\"use \\\"x\\\"\"}");
}
END_TEST

START_TEST(failure_is_posted_again)
{
    run_until(reached);
    tell(ASKED("per_1", "ses_1"));
    run_until(per_1_pending);
    post_status = 500;
    ck_assert_int_eq(core_decide(core, "own", "per_1", OUTCOME_ONCE, "", NULL, &ann), 0);
    run_until(posted_twice);
    post_status = 200;
    permissions = "[]";
    run_until(per_1_once); /* taken, and listed no more */
}
END_TEST

START_TEST(unknown_there_is_gone)
{
    run_until(reached);
    tell(ASKED("per_1", "ses_1"));
    run_until(per_1_pending);
    post_status = 404;
    ck_assert_int_eq(core_decide(core, "own", "per_1", OUTCOME_ONCE, "", NULL, &ann), 0);
    run_until(per_1_gone);
}
END_TEST

static bool is_refused(void)
{
    struct link_state l;
    core_links(core, &l);
    return strstr(l.opencode_reason, "onnect") != NULL;
}

/* It took the decision and died before it said so. */
START_TEST(death_takes_the_decision_along)
{
    run_until(reached);
    tell(ASKED("per_1", "ses_1"));
    run_until(per_1_pending);
    hold_posts = true;
    ck_assert_int_eq(core_decide(core, "own", "per_1", OUTCOME_ONCE, "", NULL, &ann), 0);
    run_until(posted);
    uint16_t port = server_port(server);
    server_free(server);
    run_until(is_refused);
    hold_posts = false;
    post_status = _i == 0 ? 404 : 500; /* 0: the delivery finds out, 1: the lists do */
    odd_lists = _i == 0;
    open_server(port);
    run_until(per_1_settled);
    ck_assert(per_1_gone());
}
END_TEST

static void writable(bool yes)
{
    ck_assert_int_eq(sqlite3_exec(store->db, yes ? "PRAGMA query_only=0" : "PRAGMA query_only=1",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
}

static bool store_is_bad(void)
{
    struct link_state l;
    core_links(core, &l);
    return *l.store_reason != '\0';
}

/* The stream does not repeat what could not be stored. */
START_TEST(full_disk_is_said_and_read_again)
{
    run_until(reached);
    tell(CREATED("ses_1"));
    writable(false);
    tell(ASKED("per_1", "ses_1"));
    run_until(store_is_bad);
    struct seen s;
    ck_assert(!known("per_1", &s));
    permissions = "[" LISTED("per_1", "ses_1") "]";
    status_map = "{\"ses_1\":{\"type\":\"busy\"}}";
    writable(true);
    run_until(per_1_pending);
    ck_assert(!store_is_bad());
    ck_assert_uint_eq(streams, 1);
}
END_TEST

/* One session of the list is deleted; the child of another still finds its root. */
START_TEST(deleted_session_hides_no_other)
{
    permissions = "[" LISTED("per_1", "ses_gone") "," LISTED("per_2", "ses_2") "]";
    status_map = "{\"ses_gone\":{\"type\":\"busy\"},\"ses_2\":{\"type\":\"busy\"}}";
    one_session = SESSION("ses_2", ",\"parentID\":\"ses_1\"");
    struct seen s;
    run_until(per_2_pending);
    ck_assert(known("per_2", &s));
    ck_assert_str_eq(s.root, "ses_1");
    ck_assert(known("per_1", &s));
    ck_assert_str_eq(s.root, "ses_gone");
}
END_TEST

static int done_error = 1;
static char done_session[64];

static void on_done(void *data, int error, const char *message, const char *session_id)
{
    (void)data;
    (void)message;
    done_error = error;
    (void)snprintf(done_session, sizeof done_session, "%s", session_id);
}

static bool is_done(void)
{
    return done_error != 1;
}

START_TEST(start_creates_and_prompts)
{
    struct session_start s = { .title = "T", .prompt = "go", .model = "p/m/x", .actor = &ann };
    run_until(reached);
    post_answer = SESSION("ses_5", "");
    ck_assert_int_eq(core_session_start(core, &s, on_done, NULL), 0);
    run_until(is_done);
    ck_assert_int_eq(done_error, 0);
    ck_assert_str_eq(done_session, "ses_5");
    ck_assert_uint_eq(posts, 2);
    ck_assert_str_eq(last_post, "/session/ses_5/prompt_async [/w] {\"parts\":[{\"type\":\"text\","
                                "\"text\":\"go\"}],\"model\":{\"providerID\":\"p\",\"modelID\":"
                                "\"m/x\"}}");
}
END_TEST

START_TEST(nobody_there_is_an_answer)
{
    struct session_start s = { .prompt = "go", .actor = &ann };
    settings.opencode_url = "http://127.0.0.1:1";
    ck_assert_int_eq(core_session_start(core, &s, on_done, NULL), 0);
    run_until(is_done);
    ck_assert_int_eq(done_error, -ENOTCONN);
}
END_TEST

/* What a turn says before the events are read would be lost: nothing begins to work until then. */
START_TEST(freed_before_it_is_up)
{
    struct session_start s = { .prompt = "go", .actor = &ann, .message_id = "msg_1" };
    hold_lists = true;
    run_until(is_held);
    tell(ASKED("per_1", "ses_1"));
    ck_assert_int_eq(core_session_start(core, &s, on_done, NULL), 0);
    ck_assert_int_eq(done_error, -ENOTCONN);
    ck_assert_uint_eq(posts, 0);
    opencode_free(oc);
    oc = NULL;
}
END_TEST

START_TEST(freed_in_the_middle)
{
    struct session_start s = { .prompt = "go", .actor = &ann };
    run_until(reached);
    ck_assert_int_eq(core_session_start(core, &s, on_done, NULL), 0);
    opencode_free(oc);
    oc = NULL;
    ck_assert_int_eq(done_error, -ECONNRESET);
}
END_TEST

int main(void)
{
    (void)setenv("CODEV_LOG_LEVEL", "error", 0);
    log_init("test");
    Suite *s = suite_create("opencode");
    TCase *t = tcase_create("direct");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, early_requests_are_never_answered);
    tcase_add_test(t, wrong_password_is_said);
    tcase_add_test(t, a_bridge_ends_the_stream);
    tcase_add_test(t, a_hub_has_no_direct_way);
    tcase_add_test(t, asked_and_answered_by_the_stream);
    tcase_add_test(t, child_is_looked_up_before);
    tcase_add_test(t, unknown_session_becomes_a_root);
    tcase_add_test(t, nonsense_is_passed_over);
    tcase_add_test(t, idle_voids);
    tcase_add_test(t, text_grows_and_tools_are_told);
    tcase_add_test(t, what_waits_is_read);
    tcase_add_test(t, what_is_missing_after_a_cut_is_gone);
    tcase_add_test(t, events_during_the_reading_come_after_it);
    tcase_add_test(t, answered_during_the_cut_is_not_gone);
    tcase_add_test(t, no_list_no_conclusion);
    tcase_add_test(t, disposal_is_read_again);
    tcase_add_test(t, decision_is_posted);
    tcase_add_test(t, failure_is_posted_again);
    tcase_add_test(t, unknown_there_is_gone);
    tcase_add_loop_test(t, death_takes_the_decision_along, 0, 2);
    tcase_add_test(t, full_disk_is_said_and_read_again);
    tcase_add_test(t, deleted_session_hides_no_other);
    tcase_add_test(t, start_creates_and_prompts);
    tcase_add_test(t, nobody_there_is_an_answer);
    tcase_add_test(t, freed_before_it_is_up);
    tcase_add_test(t, freed_in_the_middle);
    suite_add_tcase(s, t);
    t = tcase_create("again");
    tcase_add_checked_fixture(t, setup_reading_again, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, what_the_stream_lost_is_found);
    tcase_add_test(t, an_idle_pod_is_not_read_again);
    suite_add_tcase(s, t);
    return run_suite(s);
}
