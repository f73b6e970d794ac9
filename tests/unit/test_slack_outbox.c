/* rooms: bridge/gateway/slack bridge/gateway/slack/render bridge/gateway/slack/wire bridge/gateway/store base/server base/metrics base/trace base/json base/core */
/* The outbox and the Web API's client below it, with an HTTP client of straw: what is on its way to
 * Slack at the same time, and what a 429 forbids. */
#include "bridge/gateway/slack/outbox.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/http/http.h"
#include "bridge/gateway/core/crash.h"
#include "bridge/gateway/core/flush.h"
#include "bridge/gateway/slack/internal.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/run_suite.h"

#define CALLS_MAX 32

static uv_loop_t loop;
static struct slack slack;
static const struct settings settings = { .slack_channel = "C1" };

/* ---- an HTTP client of straw */

static struct straw {
    char method[64];
    http_done_fn *done;
    void *data;
    uint64_t at_ms;
} calls[CALLS_MAX];
static size_t call_count;

int http_start(struct http_client *c, const struct http_options *o, struct http_request **ret)
{
    (void)c;
    if (ret)
        *ret = NULL;
    ck_assert_uint_lt(call_count, CALLS_MAX);
    struct straw *s = &calls[call_count++];
    *s = (struct straw){ .done = o->on_done, .data = o->data, .at_ms = clock_mono_ms() };
    (void)snprintf(s->method, sizeof s->method, "%s", strrchr(o->url, '/') + 1);
    return 0;
}

void http_cancel(struct http_request *r)
{
    (void)r;
}

char *http_escape(const char *s)
{
    return strdup(s);
}

static void answer(size_t n, int status, const char *body, int64_t retry_after_s)
{
    struct straw s = calls[n];
    calls[n].done = NULL;
    s.done(s.data, &(struct http_response){ .message = "",
                                            .status = status,
                                            .body = body,
                                            .body_len = strlen(body),
                                            .content_type = "application/json",
                                            .retry_after_s = retry_after_s });
}

#define OK      "{\"ok\":true,\"channel\":\"C1\",\"ts\":\"1.1\"}"
#define LIMITED "{\"ok\":false,\"error\":\"ratelimited\"}"

/* ---- what the outbox calls of the rest */

void slack_problem(struct slack *s, enum slack_problem p, const char *reason)
{
    (void)s;
    (void)p;
    (void)reason;
}

void core_request_shown(struct core *core, const char *connector, const char *pod,
                        const char *request_id, enum request_state state)
{
    (void)core;
    (void)connector;
    (void)pod;
    (void)request_id;
    (void)state;
}

struct flush *core_flush(struct core *core)
{
    (void)core;
    return NULL;
}

int flush_wait(struct flush *f, flush_fn *fn, void *data)
{
    (void)f;
    (void)fn;
    (void)data;
    return 0;
}

int core_with_request(struct core *core, const char *pod, const char *id,
                      int (*fn)(void *data, const struct request *r), void *data)
{
    (void)core;
    (void)pod;
    (void)id;
    (void)fn;
    (void)data;
    return -ENOENT;
}

void crash_point(const char *name)
{
    (void)name;
}

/* ---- fixture */

static void setup(void)
{
    struct error e = ERROR_INIT;
    call_count = 0;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    slack = (struct slack){ .loop = &loop, .set = &settings };
    ck_assert_int_eq(store_open(&slack.store, NULL, NULL, &e), 0);
    const struct api_settings api = {
        .loop = &loop, .base = "https://slack.test/api/", .bot_token = "b", .app_token = "a"
    };
    ck_assert_int_eq(api_new(&slack.api, &api), 0);
    ck_assert_int_eq(outbox_new(&slack.outbox, &slack), 0);
}

static void teardown(void)
{
    outbox_free(slack.outbox);
    api_free(slack.api);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    store_close(slack.store);
}

static void put_text(const char *key, bool live)
{
    cJSON *args = cJSON_CreateObject();
    json_add_str(args, "text", key);
    struct outgoing m = { .key = key, .lane = key, .args = args, .live = live };
    ck_assert_int_eq(outbox_put(slack.outbox, &m), 0);
}

static void put(const char *key, bool file)
{
    cJSON *args = cJSON_CreateObject();
    json_add_str(args, "text", key);
    if (file) {
        json_add_str(args, "filename", key);
        json_add_str(args, "content", "text");
    }
    struct outgoing m = { .key = key, .lane = key, .args = args, .file = file };
    ck_assert_int_eq(outbox_put(slack.outbox, &m), 0);
}

/* Until there are `n` calls, for at most 20 s. */
static void until(size_t n)
{
    uint64_t end = clock_mono_ms() + 20000;
    while (call_count < n && clock_mono_ms() < end) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        (void)usleep(1000);
    }
    ck_assert_uint_eq(call_count, n);
}

/* All that can be done at once is. */
static void settle(void)
{
    for (int i = 0; i < 20; i++) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        (void)usleep(1000);
    }
}

START_TEST(no_call_of_a_method_is_on_its_way_when_its_429_comes)
{
    put("one", false);
    put("two", false); /* another lane: nothing but the method is shared */
    until(1);
    settle();
    ck_assert_uint_eq(call_count, 1);
    answer(0, 429, LIMITED, 1);
    uint64_t limited_ms = clock_mono_ms();
    until(2);
    ck_assert_uint_ge(calls[1].at_ms, limited_ms + 1000);
    answer(1, 200, OK, -1);
    until(3);
    answer(2, 200, OK, -1);
    settle();
    ck_assert_uint_eq(call_count, 3);
    ck_assert_int_eq(outbox_fate(slack.outbox, "one"), FATE_DONE);
    ck_assert_int_eq(outbox_fate(slack.outbox, "two"), FATE_DONE);
}
END_TEST

START_TEST(files_wait_for_their_methods)
{
    static const char url[] =
        "{\"ok\":true,\"upload_url\":\"https://up.test/x\",\"file_id\":\"F1\"}";
    put("a.md", true);
    put("b.md", true);
    until(1);
    settle();
    ck_assert_uint_eq(call_count, 1); /* getUploadURLExternal, once */
    answer(0, 429, LIMITED, 1);
    uint64_t limited_ms = clock_mono_ms();
    until(2);
    ck_assert_uint_ge(calls[1].at_ms, limited_ms + 1000);
    answer(1, 200, url, -1); /* then its bytes, and the other's first step */
    until(4);
    ck_assert_str_eq(calls[2].method, "x");
    ck_assert_str_eq(calls[3].method, "files.getUploadURLExternal");
    answer(2, 200, "", -1);
    until(5);
    ck_assert_str_eq(calls[4].method, "files.completeUploadExternal");
    answer(3, 200, url, -1);
    until(6);
    answer(5, 200, "", -1);
    settle();
    ck_assert_uint_eq(call_count, 6); /* the second waits for the first's answer */
    answer(4, 200, OK, -1);
    until(7);
    ck_assert_str_eq(calls[6].method, "files.completeUploadExternal");
    answer(6, 200, OK, -1);
    settle();
    ck_assert_int_eq(outbox_fate(slack.outbox, "a.md"), FATE_DONE);
    ck_assert_int_eq(outbox_fate(slack.outbox, "b.md"), FATE_DONE);
}
END_TEST

/* A channel takes four posts at once, then one a second. */
START_TEST(growing_text_leaves_a_post_to_what_people_wait_for)
{
    static const char *const pages[] = { "page 1", "page 2", "page 3", "page 4" };
    for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
        put_text(pages[i], true);
    for (size_t i = 0; i < 3; i++) {
        until(i + 1);
        answer(i, 200, OK, -1);
    }
    settle();
    ck_assert_uint_eq(call_count, 3);
    put_text("request", false);
    uint64_t asked_ms = clock_mono_ms();
    settle();
    ck_assert_uint_eq(call_count, 4);
    answer(3, 200, OK, -1);
    settle();
    ck_assert_int_eq(outbox_fate(slack.outbox, "request"), FATE_DONE);
    ck_assert_int_eq(outbox_fate(slack.outbox, "page 4"), FATE_QUEUED);
    until(5);
    ck_assert_uint_ge(calls[4].at_ms, asked_ms + 1000);
    answer(4, 200, OK, -1);
    settle();
    ck_assert_int_eq(outbox_fate(slack.outbox, "page 4"), FATE_DONE);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("slack_outbox");
    TCase *t = tcase_create("outbox");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, no_call_of_a_method_is_on_its_way_when_its_429_comes);
    tcase_add_test(t, files_wait_for_their_methods);
    tcase_add_test(t, growing_text_leaves_a_post_to_what_people_wait_for);
    suite_add_tcase(s, t);
    return run_suite(s);
}
