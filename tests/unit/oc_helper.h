/* The direct way in a loop of its own, an OpenCode that obeys the test, and a connector that notes.
 */
#pragma once

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

__attribute__((unused)) static void setup_reading_again(void)
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

static bool is_held(void)
{
    return held != NULL;
}
