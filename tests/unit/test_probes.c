/* rooms: probes base/http base/server base/ws base/uvcontrol base/json base/metrics base/core */
/* codev-probes: verdicts and their age, which check runs when, and the whole against a fake PID 1
 * and a fake service. */
#include "probes/app.h"

#include "tests/unit/control_helper.h"
#include "tests/unit/tls_helper.h"

#include "base/core/cleanup.h"
#include "base/json/json.h"
#include "probes/metrics.h"
#include "tests/unit/run_suite.h"

/* ---- verdicts ---- */

#define GOOD "{\"probe\":\"ready\",\"ok\":true,\"checks\":[{\"name\":\"volumes\",\"ok\":true}]}"
#define BAD                                                                                        \
    "{\"probe\":\"ready\",\"ok\":false,\"checks\":[{\"name\":\"volumes\",\"ok\":true,"             \
    "\"reason\":\"\"},{\"name\":\"opencode\",\"ok\":false,\"reason\":\"not\\nup\"}]}"

static const struct {
    const char *answer; /* NULL: none ever came */
    uint64_t age_ms;
    bool verbose, ok;
    const char *text;
} shown[] = {
    { GOOD, 0, false, true, "ok" },
    { GOOD, 0, true, true, "[+]volumes ok\nreadyz check passed\n" },
    { GOOD, 2000, false, true, "ok" },
    { GOOD, 2001, false, false,
      "[-]pid1 failed: stale: PID 1 does not answer\n[+]volumes ok\nreadyz check failed\n" },
    { BAD, 0, false, false, "[+]volumes ok\n[-]opencode failed: not up\nreadyz check failed\n" },
    { NULL, 0, false, false,
      "[-]pid1 failed: stale: PID 1 does not answer\nreadyz check failed\n" },
};

START_TEST(verdicts_are_shown)
{
    _cleanup_(verdict_release) struct verdict v = { 0 };
    _cleanup_buf_ struct buf text = BUF_INIT, json = BUF_INIT;
    _cleanup_json_ cJSON *j = NULL;
    if (shown[_i].answer)
        ck_assert_int_eq(verdict_update(&v, shown[_i].answer, strlen(shown[_i].answer), 1000), 0);
    uint64_t now = 1000 + shown[_i].age_ms;
    ck_assert_int_eq(verdict_ok(&v, now), shown[_i].ok);
    verdict_text(&v, "readyz", shown[_i].verbose, now, &text);
    ck_assert_str_eq(buf_str(&text), shown[_i].text);
    verdict_json(&v, PROBE_READY, now, &json);
    ck_assert_int_eq(json_parse(&j, buf_str(&json), json.len, NULL), 0);
    ck_assert_int_eq(json_bool(j, "ok", !shown[_i].ok), shown[_i].ok);
    ck_assert_str_eq(json_str(j, "probe", ""), "ready");
}
END_TEST

static const char *const no_verdicts[] = {
    "", "{}", "[]", "nonsense", "{\"ok\":1}", "{\"error\":{\"code\":\"stopping\",\"message\":\"\"}}"
};

START_TEST(a_bad_answer_keeps_the_old_verdict)
{
    _cleanup_(verdict_release) struct verdict v = { 0 };
    ck_assert_int_eq(verdict_update(&v, GOOD, strlen(GOOD), 1000), 0);
    ck_assert_int_lt(verdict_update(&v, no_verdicts[_i], strlen(no_verdicts[_i]), 2000), 0);
    ck_assert_uint_eq(v.at_ms, 1000);
    ck_assert(verdict_ok(&v, 1500));
    ck_assert_uint_eq(v.count, 1);
}
END_TEST

/* ---- metrics ---- */

START_TEST(metrics_are_rendered)
{
    static const char status[] =
        "{\"ready\":true,\"live\":true,\"uptime_ms\":1500,\"reaped\":12,\"cpu_ms\":10,"
        "\"stdout_dropped\":3,\"services\":["
        "{\"name\":\"opencode\",\"state\":\"ready\",\"restarts\":2,\"uptime_ms\":250,"
        "\"cpu_ms\":1250,\"rss_bytes\":123456789012},{\"name\":\"web\",\"state\":\"backoff\"}],"
        "\"volumes\":[{\"path\":\"/a\\\"\\\\b\\n\",\"ok\":false,\"bytes_total\":100,"
        "\"bytes_free\":7,\"inodes_free\":5}]}";
    static const char *const want[] = {
        "codev_build_info{version=\"" CODEV_VERSION "\"} 1\n",
        "codev_ready 1\n",
        "codev_uptime_seconds 1.5\n",
        "codev_reaped_processes_total 12\n",
        "codev_service_up{service=\"opencode\"} 1\n",
        "codev_service_ready{service=\"opencode\"} 0\n",
        "codev_service_cpu_seconds_total{service=\"opencode\"} 1.25\n",
        "codev_config_ok 1\n",
        "codev_log_lines_dropped_total 3\n",
        "codev_init_cpu_seconds_total 0.01\n",
        "codev_volume_inodes_free{path=\"/a\\\"\\\\b\\n\"} 5\n",
        "codev_service_up{service=\"web\"} 0\n",
        "codev_service_restarts_total{service=\"opencode\"} 2\n",
        "codev_service_uptime_seconds{service=\"opencode\"} 0.25\n",
        "codev_service_resident_memory_bytes{service=\"opencode\"} 123456789012\n",
        "codev_volume_ok{path=\"/a\\\"\\\\b\\n\"} 0\n",
        "codev_volume_free_bytes{path=\"/a\\\"\\\\b\\n\"} 7\n",
        "# TYPE codev_service_restarts_total counter\n",
    };
    _cleanup_json_ cJSON *j = NULL;
    _cleanup_buf_ struct buf out = BUF_INIT, none = BUF_INIT;
    ck_assert_int_eq(json_parse(&j, status, sizeof status - 1, NULL), 0);
    metrics_render(j, &out);
    for (size_t i = 0; i < ARRAY_SIZE(want); i++)
        ck_assert_msg(strstr(buf_str(&out), want[i]), "%s not in %s", want[i], buf_str(&out));
    metrics_render(NULL, &none);
    ck_assert_ptr_nonnull(strstr(buf_str(&none), "codev_ready 0\n"));
    ck_assert_ptr_null(strstr(buf_str(&none), "service"));
}
END_TEST

/* PID 1's words come from a configuration; whatever they hold, each is one label of one line. */
START_TEST(hostile_names_stay_in_their_labels)
{
    static const char status[] =
        "{\"ready\":false,\"services\":[{\"name\":\"x\\\"} 1\\ncodev_ready 1\\n#\",\"state\":\"ready\","
        "\"notes\":{\"version\":7}},{\"name\":\"opencode\",\"notes\":{\"version\":\"1\\\\\\\"\\n\"}}],"
        "\"volumes\":[{\"path\":\"/\\u0001\\\\\\n{a=\\\"b\\\"}\",\"ok\":true}]}";
    _cleanup_json_ cJSON *j = NULL;
    _cleanup_buf_ struct buf out = BUF_INIT;
    ck_assert_int_eq(json_parse(&j, status, sizeof status - 1, NULL), 0);
    metrics_render(j, &out);
    static const char *const want[] = {
        "\ncodev_ready 0\n",
        "\ncodev_service_up{service=\"x\\\"} 1\\ncodev_ready 1\\n#\"} 1\n",
        "\ncodev_opencode_info{version=\"1\\\\\\\"\\n\"} 1\n",
        "\ncodev_volume_ok{path=\"/\001\\\\\\n{a=\\\"b\\\"}\"} 1\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(want); i++)
        ck_assert_msg(strstr(buf_str(&out), want[i]), "%s not in %s", want[i], buf_str(&out));
    ck_assert_ptr_null(strstr(buf_str(&out), "\ncodev_ready 1"));
}
END_TEST

static const struct {
    const char *note, *state; /* NULL: nothing is told */
} plugin_notes[] = {
    { "{\\\"state\\\":\\\"ready\\\",\\\"commit\\\":\\\"0a1b\\\"}", "ready" },
    { "{\\\"state\\\":\\\"missing\\\"}", "missing" },
    { "{\\\"state\\\":\\\"failed\\\"}", "failed" },
    { "{\\\"state\\\":\\\"disabled\\\"}", "disabled" },
    { "nonsense", NULL },
    { "", NULL },
};

START_TEST(plugin_states_are_told)
{
    char status[400], want[100];
    _cleanup_json_ cJSON *j = NULL;
    _cleanup_buf_ struct buf out = BUF_INIT;
    (void)snprintf(status, sizeof status,
                   "{\"services\":[{\"name\":\"prepare\",\"notes\":{\"plugin\":\"%s\"}},"
                   "{\"name\":\"opencode\",\"notes\":{\"version\":\"1.18.33\"}}]}",
                   plugin_notes[_i].note);
    ck_assert_int_eq(json_parse(&j, status, strlen(status), NULL), 0);
    metrics_render(j, &out);
    ck_assert_ptr_nonnull(strstr(buf_str(&out), "codev_opencode_info{version=\"1.18.33\"} 1\n"));
    ck_assert_int_eq(strstr(buf_str(&out), "codev_plugin_info{commit=\"0a1b\"} 1\n") != NULL,
                     _i == 0);
    if (!plugin_notes[_i].state) {
        ck_assert_ptr_null(strstr(buf_str(&out), "codev_plugin"));
        return;
    }
    for (size_t i = 0; plugin_notes[i].state; i++) {
        (void)snprintf(want, sizeof want, "codev_plugin_state{state=\"%s\"} %d\n",
                       plugin_notes[i].state, (int)i == _i);
        ck_assert_msg(strstr(buf_str(&out), want), "%s not in %s", want, buf_str(&out));
    }
}
END_TEST

START_TEST(session_states_are_told)
{
    static const char status[] =
        "{\"services\":[{\"name\":\"session-state\",\"notes\":{\"git\":\"{\\\"state\\\":"
        "\\\"refused\\\",\\\"unpushed\\\":3,\\\"commits\\\":7,\\\"pushes\\\":2,\\\"failures\\\":5,"
        "\\\"pushed_ms\\\":1700000000500}\"}}]}";
    static const char *const lines[] = {
        "codev_session_state{state=\"refused\"} 1\n",
        "codev_session_state{state=\"current\"} 0\n",
        "codev_session_state_unpushed_commits 3\n",
        "codev_session_state_commits_total 7\n",
        "codev_session_state_pushes_total 2\n",
        "codev_session_state_failures_total 5\n",
        "codev_session_state_last_push_timestamp_seconds 1700000000.5\n",
    };
    _cleanup_json_ cJSON *j = NULL;
    _cleanup_buf_ struct buf out = BUF_INIT, without = BUF_INIT;
    ck_assert_int_eq(json_parse(&j, status, strlen(status), NULL), 0);
    metrics_render(j, &out);
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        ck_assert_msg(strstr(buf_str(&out), lines[i]), "%s not in %s", lines[i], buf_str(&out));
    metrics_render(NULL, &without);
    ck_assert_ptr_null(strstr(buf_str(&without), "codev_session_state"));
}
END_TEST

/* ---- the scheduler: steps of a table, on a clock that the test holds ---- */

#define TABLE                                                                                      \
    "{\"checks\":[{\"service\":\"a\",\"kind\":\"ready\",\"type\":\"http\",\"target\":[\"r\"],"     \
    "\"interval_ms\":100,\"timeout_ms\":50,\"auth\":true},"                                        \
    "{\"service\":\"a\",\"kind\":\"health\",\"type\":\"tcp\",\"target\":[\"h:1\"],"                \
    "\"interval_ms\":1000,\"timeout_ms\":50,\"auth\":false},"                                      \
    "{\"service\":\"a\",\"kind\":\"ready\",\"type\":\"exec\",\"target\":[\"x\"]}]}"

enum step {
    STEP_EVENT,
    STEP_STATUS_OLD,
    STEP_STATUS_NEW,
    STEP_TAKE,
    STEP_NONE,
    STEP_DONE,
    STEP_DROPPED
};

struct step_row {
    enum step what;
    uint64_t at;
    const char *text; /* a state, or the target that is to run */
    uint64_t wait;    /* of STEP_NONE */
    bool refused;     /* of STEP_DONE, STEP_DROPPED */
};

static const struct step_row begin_to_ready[] = {
    { STEP_NONE, 0, NULL, CHECK_NEVER, false },
    { STEP_EVENT, 10, "waiting", 0, false },
    { STEP_NONE, 10, NULL, CHECK_NEVER, false },
    { STEP_EVENT, 20, "starting", 0, false },
    { STEP_TAKE, 20, "r", 0, false },
    { STEP_NONE, 50, NULL, CHECK_NEVER, false }, /* one is on its way: no second */
    { STEP_DONE, 60, NULL, 0, false },
    { STEP_NONE, 70, NULL, 50, false },
    { STEP_TAKE, 120, "r", 0, false },
    { STEP_DONE, 500, NULL, 0, false }, /* longer than its interval: the next at once */
    { STEP_TAKE, 500, "r", 0, false },
    { STEP_DONE, 510, NULL, 0, false },
    { STEP_EVENT, 520, "ready", 0, false },
    { STEP_NONE, 520, NULL, 1000, false },
    { STEP_TAKE, 1520, "h:1", 0, false },
    { STEP_DONE, 1530, NULL, 0, false },
    { STEP_EVENT, 1540, "unhealthy", 0, false },
    { STEP_NONE, 1540, NULL, 980, false },
    { STEP_EVENT, 1550, "stopping", 0, false },
    { STEP_NONE, 1550, NULL, CHECK_NEVER, false },
};

static const struct step_row late_result[] = {
    { STEP_EVENT, 0, "starting", 0, false },
    { STEP_TAKE, 0, "r", 0, false },
    { STEP_EVENT, 10, "backoff", 0, false },
    { STEP_DROPPED, 20, NULL, 0, false },
    { STEP_NONE, 20, NULL, CHECK_NEVER, false },
    { STEP_EVENT, 30, "starting", 0, false },
    { STEP_TAKE, 30, "r", 0, false },
    { STEP_EVENT, 40, "backoff", 0, false },
    { STEP_EVENT, 50, "starting", 0, false }, /* the running check saw the process before */
    { STEP_NONE, 50, NULL, CHECK_NEVER, false },
    { STEP_DROPPED, 60, NULL, 0, false },
    { STEP_TAKE, 60, "r", 0, false },
    { STEP_DONE, 70, NULL, 0, false },
};

static const struct step_row states_by_status[] = {
    { STEP_STATUS_NEW, 0, "starting", 0, false },
    { STEP_TAKE, 0, "r", 0, false },
    { STEP_DONE, 1, NULL, 0, false },
    { STEP_EVENT, 10, "ready", 0, false },
    { STEP_STATUS_OLD, 20, "starting", 0, false }, /* asked before the event */
    { STEP_NONE, 20, NULL, 990, false },
    { STEP_STATUS_NEW, 30, "stopped", 0, false },
    { STEP_NONE, 30, NULL, CHECK_NEVER, false },
};

static const struct step_row nobody_listens_yet[] = {
    { STEP_EVENT, 0, "starting", 0, false },
    { STEP_TAKE, 0, "r", 0, false },
    { STEP_DONE, 1, NULL, 0, true }, /* the first counts */
    { STEP_NONE, 1, NULL, CHECK_EAGER_MS, false },
    { STEP_TAKE, 26, "r", 0, false },
    { STEP_DROPPED, 27, NULL, 0, true },
    { STEP_TAKE, 52, "r", 0, false },
    { STEP_DROPPED, 53, NULL, 0, true },
    { STEP_TAKE, 120, "r", 0, false },
    { STEP_DONE, 121, NULL, 0, true }, /* an interval later it counts again */
    { STEP_TAKE, 146, "r", 0, false },
    { STEP_DONE, 147, NULL, 0, false }, /* anything else counts at once */
    { STEP_NONE, 147, NULL, 99, false },
    { STEP_TAKE, CHECK_EAGER_FOR_MS, "r", 0, false },
    { STEP_DONE, CHECK_EAGER_FOR_MS + 1, NULL, 0, true }, /* patience has its end */
    { STEP_NONE, CHECK_EAGER_FOR_MS + 1, NULL, 99, false },
};

static const struct {
    const struct step_row *steps;
    size_t count;
} scenarios[] = {
    { begin_to_ready, ARRAY_SIZE(begin_to_ready) },
    { late_result, ARRAY_SIZE(late_result) },
    { states_by_status, ARRAY_SIZE(states_by_status) },
    { nobody_listens_yet, ARRAY_SIZE(nobody_listens_yet) },
};

START_TEST(checks_run_when_they_should)
{
    static struct checks t;
    struct check *running = NULL;
    ck_assert_int_eq(checks_load(&t, TABLE, strlen(TABLE), 0), 1);
    ck_assert_uint_eq(t.count, 2); /* exec is PID 1's own */
    ck_assert_int_eq(checks_load(&t, TABLE, strlen(TABLE), 0), 0);
    for (size_t i = 0; i < scenarios[_i].count; i++) {
        const struct step_row *s = &scenarios[_i].steps[i];
        uint64_t wait = 0;
        struct check *c;
        switch (s->what) {
        case STEP_EVENT:
            checks_state(&t, "a", s->text, CHECK_NEVER, s->at);
            break;
        case STEP_STATUS_OLD:
            checks_state(&t, "a", s->text, checks_now(&t) - 1, s->at);
            break;
        case STEP_STATUS_NEW:
            checks_state(&t, "a", s->text, checks_now(&t), s->at);
            break;
        case STEP_TAKE:
            running = checks_take(&t, s->at, &wait);
            ck_assert_msg(running && strcmp(running->targets[0], s->text) == 0, "step %zu", i);
            break;
        case STEP_NONE:
            c = checks_take(&t, s->at, &wait);
            ck_assert_msg(!c && wait == s->wait, "step %zu: wait %llu", i,
                          (unsigned long long)wait);
            break;
        case STEP_DONE:
        case STEP_DROPPED:
            ck_assert_msg(checks_done(running, s->refused, s->at) == (s->what == STEP_DONE),
                          "step %zu", i);
            break;
        }
    }
    checks_release(&t);
}
END_TEST

static const struct {
    const char *json;
    int result;
} tables[] = {
    { "{\"checks\":[]}", 1 },
    { "{}", -EBADMSG },
    { "nonsense", -EBADMSG },
    { "{\"error\":{\"code\":\"busy\"}}", -EBADMSG },
    { "{\"checks\":[{\"service\":\"\",\"kind\":\"ready\",\"type\":\"tcp\",\"target\":[\"a\"]}]}",
      -EBADMSG },
    { "{\"checks\":[{\"service\":\"a\",\"kind\":\"ready\",\"type\":\"tcp\",\"target\":[]}]}",
      -EBADMSG },
    { "{\"checks\":[{\"service\":\"a\",\"kind\":\"ready\",\"type\":\"tcp\",\"target\":[1]}]}",
      -EBADMSG },
    { "{\"checks\":[{\"service\":\"a\",\"kind\":\"ready\",\"type\":\"tcp\",\"target\":"
      "[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]}]}",
      -EBADMSG },
    { "{\"checks\":[{\"service\":\"a\",\"kind\":\"other\",\"type\":\"tcp\",\"target\":[\"a\"]}]}",
      1 },
};

START_TEST(tables_are_judged)
{
    static struct checks t;
    ck_assert_int_eq(checks_load(&t, TABLE, strlen(TABLE), 0), 1);
    ck_assert_int_eq(checks_load(&t, tables[_i].json, strlen(tables[_i].json), 0),
                     tables[_i].result);
    ck_assert_uint_eq(t.count, tables[_i].result == 1 ? 0 : 2);
    checks_release(&t);
}
END_TEST

START_TEST(intervals_are_bounded)
{
    static const char json[] =
        "{\"checks\":[{\"service\":\"a\",\"kind\":\"ready\",\"type\":\"tcp\","
        "\"target\":[\"a\"],\"interval_ms\":0,\"timeout_ms\":-5}]}";
    static struct checks t;
    ck_assert_int_eq(checks_load(&t, json, sizeof json - 1, 0), 1);
    ck_assert_uint_eq(t.rows[0].interval_ms, CHECK_MIN_MS);
    ck_assert_uint_eq(t.rows[0].timeout_ms, CHECK_MIN_MS);
    checks_release(&t);
}
END_TEST

/* ---- the whole, live ---- */

static uv_loop_t loop;
static struct app app;
static struct server *service; /* what is checked */
static struct net_peer peer;
static char table[1024], reports[65536];
static const char *state, *ready_json;
static const char *service_type, *seen_auth;
static int service_status;
static const char *service_says;
static unsigned service_asked;
static unsigned status_asked;

static void forget_request(void *data)
{
    (void)data;
}

static void on_service(void *data, struct server_request *r)
{
    static char auth[200];
    (void)data;
    service_asked++;
    const char *given = server_request_header(r, "authorization");
    (void)snprintf(auth, sizeof auth, "%s", given ? given : "-");
    seen_auth = auth;
    if (service_says)
        server_reply(r, service_status, service_type, NULL, service_says, strlen(service_says));
    else /* it never answers */
        server_request_on_gone(r, forget_request, NULL);
}

static const char *pid1(const char *line, bool *ret_stay)
{
    static char text[1024];
    if (strncmp(line, "report ", 7) == 0) {
        size_t at = strlen(reports);
        (void)snprintf(reports + at, sizeof reports - at, "%s\n", line + 7);
        return "{\"ok\":true}\n";
    }
    if (strcmp(line, "events") == 0) {
        *ret_stay = true;
        return "";
    }
    if (strcmp(line, "checks") == 0)
        return table;
    if (strcmp(line, "status") == 0) {
        status_asked++;
        (void)snprintf(text, sizeof text,
                       "{\"ready\":true,\"services\":[{\"name\":\"svc\",\"state\":\"%s\"}]}\n",
                       state);
        return text;
    }
    if (strcmp(line, "probe ready") == 0)
        return ready_json;
    return GOOD "\n";
}

static void tell(const char *to)
{
    char text[200];
    state = to;
    (void)snprintf(text, sizeof text,
                   "{\"event\":\"service\",\"service\":\"svc\",\"from\":\"x\",\"to\":\"%s\","
                   "\"reason\":\"\"}\n",
                   to);
    net_until(&loop, fake.stream);
    fake_send(fake.stream, text);
}

static void set_table(const char *kind, const char *type, const char *target, bool auth)
{
    (void)snprintf(table, sizeof table,
                   "{\"checks\":[{\"service\":\"svc\",\"kind\":\"%s\",\"type\":\"%s\","
                   "\"target\":[\"%s\"],\"interval_ms\":50,\"timeout_ms\":500,\"auth\":%s}]}\n",
                   kind, type, target, auth ? "true" : "false");
}

static void start(void)
{
    struct error e = ERROR_INIT;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    fake_start(&loop, pid1);
    struct server_options o = { .loop = &loop, .listen = "127.0.0.1", .on_request = on_service };
    ck_assert_int_eq(server_new(&service, &o, &e), 0);
    service_status = 200;
    service_says = "{}";
    service_type = "application/json";
    state = "starting";
    ready_json = BAD "\n";
    app.loop = &loop;
    app.user = "opencode";
    app.password = "pw";
    ck_assert_int_eq(http_client_new(&app.http, &loop, NULL), 0);
    o.on_request = pages_answer;
    o.data = &app;
    ck_assert_int_eq(server_new(&app.server, &o, &e), 0);
    (void)snprintf(table, sizeof table, "{\"checks\":[]}\n");
}

static void run(void)
{
    runner_start(&app);
    pid1_start(&app);
}

static void finish(void)
{
    app.stopping = true;
    server_free(app.server);
    pages_stop(&app);
    runner_stop(&app);
    pid1_stop(&app);
    http_client_free(app.http);
    server_free(service);
    fake_stop();
    net_close_loop(&loop);
    fake_remove();
}

static void url_of_service(char out[64])
{
    (void)snprintf(out, 64, "http://127.0.0.1:%u/health", (unsigned)server_port(service));
}

static void get(const char *path, const char *more)
{
    char text[256];
    net_connect(&peer, server_port(app.server));
    (void)snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s\r\n",
                   path, more);
    net_send(&peer, text);
    net_until(&loop, net_ended(&peer));
    net_hang_up(&peer);
}

static bool reported(const char *text)
{
    return strstr(reports, text) != NULL;
}

static const struct {
    const char *path, *more, *status, *body;
} page_rows[] = {
    { "/livez", "", "200", "\r\n\r\nok" },
    { "/healthz", "", "200", "\r\n\r\nok" },
    { "/health", "", "200", "\r\n\r\nok" },
    { "/startupz", "", "200", "\r\n\r\nok" },
    { "/livez?verbose", "", "200", "[+]volumes ok\nlivez check passed\n" },
    { "/readyz", "", "503", "[-]opencode failed: not up\nreadyz check failed\n" },
    { "/ready", "", "503", "ready check failed\n" },
    { "/readyz", "Accept: application/json\r\n", "503", "\"probe\":\"ready\",\"ok\":false" },
    { "/metrics", "", "200", "codev_service_up{service=\"svc\"} 0\n" },
    { "/nothing", "", "404", "not found" },
};

START_TEST(each_page_answers)
{
    char want[32];
    start();
    run();
    net_until(&loop, app.verdicts[0].known && app.verdicts[1].known && app.verdicts[2].known);
    get(page_rows[_i].path, page_rows[_i].more);
    (void)snprintf(want, sizeof want, "HTTP/1.1 %s ", page_rows[_i].status);
    ck_assert_msg(strstr(peer.got, want) && strstr(peer.got, page_rows[_i].body), "%s", peer.got);
    finish();
}
END_TEST

START_TEST(only_get_and_head_are_answered)
{
    start();
    run();
    net_connect(&peer, server_port(app.server));
    net_send(&peer, "POST /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    net_until(&loop, net_ended(&peer));
    net_hang_up(&peer);
    ck_assert(strstr(peer.got, "HTTP/1.1 405 ") && strstr(peer.got, "Allow: GET, HEAD\r\n"));
    finish();
}
END_TEST

/* A poll comes each 250 ms: what PID 1 tells must not wait for it, nor be undone by an answer that
 * was made before. */
START_TEST(a_lost_readiness_is_known_at_once)
{
    start();
    ready_json = GOOD "\n";
    run();
    net_until(&loop, verdict_ok(&app.verdicts[PROBE_READY], uv_hrtime() / 1000000) && fake.stream);
    uv_timer_stop(&app.poll_timer);
    ready_json = NULL; /* no answer: only the event can tell */
    fake_send(fake.stream, "{\"event\":\"ready\",\"ok\":false,\"check\":\"opencode\","
                           "\"reason\":\"backoff: exit 1\"}\n");
    net_until(&loop, !app.verdicts[PROBE_READY].ok);
    get("/readyz", "");
    ck_assert_msg(strstr(peer.got, "HTTP/1.1 503 ") &&
                      strstr(peer.got, "[-]opencode failed: backoff: exit 1"),
                  "%s", peer.got);
    ready_json = GOOD "\n";
    fake_send(fake.stream, "{\"event\":\"ready\",\"ok\":true}\n");
    net_until(&loop, app.verdicts[PROBE_READY].ok);
    get("/readyz", "");
    ck_assert_ptr_nonnull(strstr(peer.got, "HTTP/1.1 200 "));
    finish();
}
END_TEST

START_TEST(a_scrape_asks_pid1_once_a_second_at_most)
{
    start();
    run();
    get("/metrics", "");
    unsigned before = status_asked;
    for (int i = 0; i < 10; i++)
        get("/metrics", "");
    ck_assert_uint_le(status_asked, before + 1); /* one of the refresh */
    finish();
}
END_TEST

static void set_gateway(const char *type)
{
    (void)snprintf(table, sizeof table,
                   "{\"checks\":[{\"service\":\"gateway\",\"kind\":\"health\",\"type\":\"%s\","
                   "\"target\":[\"http://127.0.0.1:%u/api/health\"],\"interval_ms\":50,"
                   "\"timeout_ms\":500,\"auth\":false}]}\n",
                   type, (unsigned)server_port(service));
}

#define GATEWAY_PAGE "# TYPE codev_gateway_bridges gauge\ncodev_gateway_bridges 2\n"
static const struct {
    const char *type, *says;
    int status;
    const char *want, *never;
} gateways[] = {
    { "http", GATEWAY_PAGE, 200, GATEWAY_PAGE, "codev_probes_gateway_up 0" },
    { "http", GATEWAY_PAGE, 200, "codev_probes_gateway_up 1\n", "codev_probes_gateway_up 0" },
    { "http", GATEWAY_PAGE, 500, "codev_probes_gateway_up 0\n", "codev_gateway_bridges" },
    { "http", NULL, 200, "codev_probes_gateway_up 0\n", "codev_gateway_bridges" },
    { "http", GATEWAY_PAGE "codev_ready 0\n", 200, "codev_ready 1\n", "codev_gateway_bridges" },
    { "tcp", GATEWAY_PAGE, 200, "codev_ready 1\n", "gateway" },
};

START_TEST(the_gateways_metrics_are_on_the_page)
{
    start();
    set_gateway(gateways[_i].type);
    service_says = gateways[_i].says;
    service_status = gateways[_i].status;
    run();
    net_until(&loop, app.checks.count == 1);
    get("/metrics", "");
    const char *first = strstr(peer.got, "\ncodev_ready ");
    ck_assert_msg(strstr(peer.got, "HTTP/1.1 200 ") && strstr(peer.got, gateways[_i].want), "%s",
                  peer.got);
    ck_assert_msg(!strstr(peer.got, gateways[_i].never), "%s", peer.got);
    ck_assert(first && !strstr(first + 1, "\ncodev_ready "));
    finish();
}
END_TEST

/* Those who ask while one answer is on its way all get it, whole. */
START_TEST(a_wedged_gateway_holds_nobody_up)
{
    static struct net_peer more[4];
    start();
    set_gateway("http");
    service_says = NULL;
    run();
    net_until(&loop, app.checks.count == 1);
    for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
        net_connect(&more[i], server_port(app.server));
        net_send(&more[i], "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    get("/livez", "");
    for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
        net_until(&loop, net_ended(&more[i]));
        ck_assert_msg(strstr(more[i].got, "codev_service_up{service=\"svc\"} 0\n") &&
                          strstr(more[i].got, "codev_probes_gateway_up 0\n"),
                      "%s", more[i].got);
        net_hang_up(&more[i]);
    }
    finish();
}
END_TEST

START_TEST(without_pid1_nothing_is_well)
{
    start();
    fake_stop();
    run();
    get("/livez", "");
    ck_assert(strstr(peer.got, "HTTP/1.1 503 ") && strstr(peer.got, "PID 1 does not answer"));
    get("/metrics", "");
    ck_assert(strstr(peer.got, "codev_live 0\n"));
    fake_listen(); /* it comes back: found by itself */
    net_until(&loop, verdict_ok(&app.verdicts[PROBE_LIVE], uv_hrtime() / 1000000) && fake.stream);
    finish();
}
END_TEST

START_TEST(readiness_then_health_is_checked_and_reported)
{
    char url[64];
    start();
    url_of_service(url);
    (void)snprintf(
        table, sizeof table,
        "{\"checks\":[{\"service\":\"svc\",\"kind\":\"ready\",\"type\":\"http\","
        "\"target\":[\"%s\",\"%s\"],\"interval_ms\":50,\"timeout_ms\":500,\"auth\":true},"
        "{\"service\":\"svc\",\"kind\":\"health\",\"type\":\"http\",\"target\":[\"%s\"],"
        "\"interval_ms\":50,\"timeout_ms\":500,\"auth\":true}]}\n",
        url, url, url);
    service_status = 503;
    run();
    net_until(&loop, reported("svc ready fail http://127.0.0.1:"));
    ck_assert(reported("%20answered%20503"));
    ck_assert_str_eq(seen_auth, "Basic b3BlbmNvZGU6cHc=");
    ck_assert(!strstr(reports, "pw"));
    service_status = 200;
    net_until(&loop, reported("svc ready ok %\n"));
    ck_assert(!reported("svc health"));
    tell("ready");
    net_until(&loop, reported("svc health ok %\n"));
    service_status = 500;
    net_until(&loop, reported("svc health fail "));
    tell("stopping");
    for (int i = 0; i < 10; i++)
        net_turn(&loop);
    unsigned asked = service_asked;
    uint64_t until = uv_hrtime() + 200000000;
    while (uv_hrtime() < until)
        net_turn(&loop);
    ck_assert_uint_eq(service_asked, asked);
    finish();
}
END_TEST

START_TEST(a_web_page_is_no_good_answer_of_opencode)
{
    char url[64];
    start();
    url_of_service(url);
    set_table("ready", "http", url, _i == 1);
    service_type = "text/html;charset=utf-8";
    run();
    net_until(&loop, reported(_i == 1 ? "svc ready fail " : "svc ready ok "));
    ck_assert(_i == 0 || reported("web%20page"));
    ck_assert_str_eq(seen_auth, _i == 1 ? "Basic b3BlbmNvZGU6cHc=" : "-");
    finish();
}
END_TEST

START_TEST(tcp_is_checked)
{
    char target[64];
    start();
    uint16_t port = _i == 0 ? server_port(service) : tls_free_port();
    (void)snprintf(target, sizeof target, "%s:%u", _i == 2 ? "localhost" : "127.0.0.1",
                   (unsigned)port);
    set_table("ready", "tcp", target, false);
    run();
    net_until(&loop, reported(_i == 0 ? "svc ready ok %" : "svc ready fail "));
    ck_assert(_i == 0 || reported("refused"));
    finish();
}
END_TEST

static const char *const bad_targets[][2] = { { "tcp", "nonsense" },
                                              { "tcp", "127.0.0.1:0" },
                                              { "tcp", ":1" },
                                              { "http", "nonsense://x" },
                                              { "tcp", "no-such-name.invalid:1" } };

START_TEST(bad_targets_are_reported)
{
    start();
    set_table("ready", bad_targets[_i][0], bad_targets[_i][1], false);
    run();
    net_until(&loop, reported("svc ready fail "));
    finish();
}
END_TEST

START_TEST(a_reload_brings_a_new_table)
{
    char target[64];
    start();
    run();
    net_until(&loop, fake.stream && status_asked);
    (void)snprintf(target, sizeof target, "127.0.0.1:%u", (unsigned)server_port(service));
    set_table("ready", "tcp", target, false);
    fake_send(fake.stream, "{\"event\":\"reloaded\"}\n");
    net_until(&loop, reported("svc ready ok %"));
    finish();
}
END_TEST

START_TEST(a_hanging_check_times_out_and_does_not_overlap)
{
    char url[64];
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(listen(fd, 5), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", (unsigned)ntohs(a.sin_port));
    start();
    set_table("ready", "http", url, false);
    run();
    uint64_t begin = uv_hrtime();
    net_until(&loop, app.runs);
    net_until(&loop, reported("svc ready fail "));
    ck_assert_uint_ge((uv_hrtime() - begin) / 1000000, 400);
    ck_assert_ptr_null(strchr(strchr(reports, '\n') + 1, '\n')); /* ten intervals, one check */
    finish();
    (void)close(fd);
}
END_TEST

/* --post runs a loop of its own, so the server that answers it runs in a child. */
START_TEST(post_sends_one_request)
{
    static const char yes[] = "HTTP/1.1 204 No Content\r\n\r\n";
    static const char no[] = "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n";
    char url[64], got[1024];
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), status;
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(listen(fd, 5), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/end", (unsigned)ntohs(a.sin_port));
    pid_t pid = fork();
    if (pid == 0) {
        int c = accept(fd, NULL, NULL);
        ssize_t n = recv(c, got, sizeof got - 1, 0);
        got[n > 0 ? n : 0] = '\0';
        bool right = strncmp(got, "POST /end HTTP/1.1\r\n", 20) == 0 &&
                     strstr(got, "Authorization: Basic dTpw\r\n");
        (void)send(c, _i == 0 ? yes : no, _i == 0 ? sizeof yes - 1 : sizeof no - 1, 0);
        _exit(right ? 0 : 1);
    }
    (void)close(fd);
    ck_assert_int_eq(post_main(url, 2000, "u", "p"), _i);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(post_main(url, 500, "u", "p"), 1); /* nobody listens now */
    ck_assert_int_eq(post_main("nonsense://", 500, "u", "p"), 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("probes");
    TCase *parts = tcase_create("parts"), *live = tcase_create("live");
    suite_add_tcase(s, parts);
    tcase_add_loop_test(parts, verdicts_are_shown, 0, (int)ARRAY_SIZE(shown));
    tcase_add_loop_test(parts, a_bad_answer_keeps_the_old_verdict, 0, (int)ARRAY_SIZE(no_verdicts));
    tcase_add_test(parts, metrics_are_rendered);
    tcase_add_test(parts, session_states_are_told);
    tcase_add_test(parts, hostile_names_stay_in_their_labels);
    tcase_add_loop_test(parts, plugin_states_are_told, 0, ARRAY_SIZE(plugin_notes));
    tcase_add_loop_test(parts, checks_run_when_they_should, 0, (int)ARRAY_SIZE(scenarios));
    tcase_add_loop_test(parts, tables_are_judged, 0, (int)ARRAY_SIZE(tables));
    tcase_add_test(parts, intervals_are_bounded);
    suite_add_tcase(s, live);
    tcase_set_timeout(live, 30);
    tcase_add_loop_test(live, each_page_answers, 0, (int)ARRAY_SIZE(page_rows));
    tcase_add_test(live, only_get_and_head_are_answered);
    tcase_add_test(live, a_lost_readiness_is_known_at_once);
    tcase_add_test(live, a_scrape_asks_pid1_once_a_second_at_most);
    tcase_add_loop_test(live, the_gateways_metrics_are_on_the_page, 0, ARRAY_SIZE(gateways));
    tcase_add_test(live, a_wedged_gateway_holds_nobody_up);
    tcase_add_test(live, without_pid1_nothing_is_well);
    tcase_add_test(live, readiness_then_health_is_checked_and_reported);
    tcase_add_loop_test(live, a_web_page_is_no_good_answer_of_opencode, 0, 2);
    tcase_add_loop_test(live, tcp_is_checked, 0, 3);
    tcase_add_loop_test(live, bad_targets_are_reported, 0, (int)ARRAY_SIZE(bad_targets));
    tcase_add_test(live, a_reload_brings_a_new_table);
    tcase_add_test(live, a_hanging_check_times_out_and_does_not_overlap);
    tcase_add_loop_test(live, post_sends_one_request, 0, 2);
    return run_suite(s);
}
