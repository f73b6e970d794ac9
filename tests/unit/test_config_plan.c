/* rooms: supervisor/config supervisor/plan supervisor/profile supervisor/sandbox base/yaml base/json base/core */
/* The plan that comes of a configuration, and what is shown of it. */
#include "tests/unit/config_helper.h"

/* --- the plan --- */

START_TEST(built_in_services)
{
    _cleanup_config_ struct config c;
    _cleanup_free_ void *block = NULL;
    struct plan p;
    load_good(&c, "", NULL);
    compile(&c, &p, &block);
    const struct plan_service *o = find(&p, "opencode"), *g = find(&p, "gateway");
    const struct plan_service *prepare = find(&p, "prepare"), *probes = find(&p, "probes");
    static const char *const argv[] = {
        "opencode", "web", "--hostname", "0.0.0.0", "--port", "8080"
    };
    ck_assert_uint_eq(o->argv.count, ARRAY_SIZE(argv));
    for (uint32_t i = 0; i < o->argv.count; i++)
        ck_assert_str_eq(plan_item(&p, o->argv, i), argv[i]);
    ck_assert_uint_eq(o->ready.kind, PLAN_CHECK_HTTP);
    ck_assert_str_eq(plan_item(&p, o->ready.target, 0), "http://127.0.0.1:8080/global/health");
    ck_assert_str_eq(plan_item(&p, o->ready.target, 1),
                     "http://127.0.0.1:8080/session/status?directory=%2Fhome%2Fcoder%2Fsrc");
    ck_assert_uint_eq(o->ready.timeout_ms, 500);
    ck_assert_uint_eq(o->ready.auth, 1);
    ck_assert_uint_eq(o->health.target.count, 1);
    ck_assert_uint_eq(o->health.interval_ms, 10000);
    ck_assert_uint_eq(o->health.failures, 3);
    ck_assert_uint_eq(o->secret_readers, SECRET_FOR_OPENCODE | SECRET_FOR_OPENCODE_ENV);
    ck_assert_uint_eq(o->gates_ready, 1);
    ck_assert_uint_eq(o->gates_live, 1);
    ck_assert_str_eq(plan_string(&p, o->cwd), "/home/coder/src");
    ck_assert_str_eq(plan_string(&p, o->env_from), "opencode.env");
    ck_assert_str_eq(plan_item(&p, o->after, 0), "prepare");
    ck_assert_uint_eq(o->requires.count, 0);
    ck_assert_str_eq(variable(&p, o->env, "OPENCODE_DISABLE_AUTOUPDATE"), "1");
    ck_assert_str_eq(variable(&p, o->env, "GATEWAY_WS"), "ws://127.0.0.1:8000/ws/bridge");
    ck_assert_str_eq(plan_item(&p, o->pre_stop.argv, 1), "--post");
    ck_assert_str_eq(plan_item(&p, o->pre_stop.argv, 2), "http://127.0.0.1:8080/global/dispose");
    ck_assert_str_eq(plan_item(&p, o->pre_stop.argv, 4), "3000");
    ck_assert_uint_eq(o->stop_signal, SIGTERM);
    ck_assert_uint_eq(prepare->type, PLAN_TYPE_ONESHOT);
    ck_assert_uint_eq(prepare->restart, PLAN_RESTART_NEVER);
    ck_assert_uint_eq(prepare->start_timeout_ms, 630000);
    ck_assert_uint_eq(prepare->secret_readers, SECRET_FOR_PREPARE);
    ck_assert_str_eq(variable(&p, prepare->env, "CODEV_PLUGIN_TIMEOUT_MS"), "600000");
    ck_assert_uint_eq(g->after.count, 0);
    ck_assert_uint_eq(g->ready.auth, 0);
    ck_assert_uint_eq(g->stop_grace_ms, 8000);
    ck_assert_uint_lt(g->stop_order, o->stop_order);
    ck_assert_uint_lt(o->stop_order, probes->stop_order);
    ck_assert_uint_eq(probes->gates_ready, 0);
    ck_assert_uint_eq(find(&p, "plugin-watch")->secret_readers, 0);
    ck_assert_uint_eq(p.header->stop_timeout_ms, 25000);
    ck_assert_str_eq(variable(&p, p.header->environment, "CODEV_HOME"), "/home/coder");
    ck_assert_uint_eq(p.header->volumes, 1);
    ck_assert_uint_eq(p.volumes[0].min_free, 256 << 20);
}
END_TEST

START_TEST(without_a_password)
{
    _cleanup_config_ struct config c;
    _cleanup_free_ void *block = NULL;
    struct plan p;
    load_good(&c, "opencode: {auth: none, port: 1234, hostname: '::', command: serve}\n", NULL);
    compile(&c, &p, &block);
    const struct plan_service *o = find(&p, "opencode");
    ck_assert_uint_eq(o->secret_readers, SECRET_FOR_OPENCODE);
    ck_assert_uint_eq(o->ready.auth, 0);
    ck_assert_uint_eq(o->health.auth, 0);
    ck_assert_str_eq(plan_item(&p, o->ready.target, 0), "http://[::1]:1234/global/health");
    ck_assert_str_eq(plan_item(&p, o->argv, 1), "serve");
}
END_TEST

START_TEST(a_built_in_service_is_changed_key_by_key)
{
    _cleanup_config_ struct config c;
    _cleanup_free_ void *block = NULL;
    struct plan p;
    load_good(
        &c,
        "services:\n  opencode: {env: {FOO: bar, BROWSER: mine}, memory_max: 2GiB, after: [],\n"
        "    stop: {grace: 9s}, ready: {tcp: '127.0.0.1:8080'}, pre_stop: {exec: [mine]}}\n",
        NULL);
    compile(&c, &p, &block);
    const struct plan_service *o = find(&p, "opencode");
    ck_assert_uint_eq(o->argv.count, 6);
    ck_assert_str_eq(variable(&p, o->env, "FOO"), "bar");
    ck_assert_str_eq(variable(&p, o->env, "BROWSER"), "mine");
    ck_assert_str_eq(variable(&p, o->env, "OPENCODE_DISABLE_SHARE"), "1");
    ck_assert(o->memory_max == 2ULL << 30);
    ck_assert_uint_eq(o->after.count, 0);
    ck_assert_uint_eq(o->stop_grace_ms, 9000);
    ck_assert_uint_eq(o->ready.kind, PLAN_CHECK_TCP);
    ck_assert_uint_eq(o->ready.target.count, 1);
    ck_assert_str_eq(plan_item(&p, o->pre_stop.argv, 0), "mine");
    ck_assert_uint_eq(o->health.kind, PLAN_CHECK_HTTP);
    ck_assert_uint_eq(o->gates_ready, 1);
}
END_TEST

START_TEST(the_services_example_of_the_manual)
{
    _cleanup_config_ struct config c;
    _cleanup_free_ void *block = NULL;
    struct plan p;
    load_good(
        &c,
        "sandbox: {profiles: {mine: {read: [/usr], allow: [ptrace]}}}\n"
        "services:\n"
        "  ttyd:\n"
        "    command: [ttyd, -p, \"7681\", bash]\n"
        "    type: daemon\n"
        "    after: [prepare]\n"
        "    requires: [db]\n"
        "    env: {TERM: xterm-256color}\n"
        "    cwd: /home/coder/src\n"
        "    user: \"\"\n"
        "    start_timeout: 30s\n"
        "    ready: {http: \"http://127.0.0.1:7681/\", interval: 1s, timeout: 500ms}\n"
        "    health: {http: \"http://127.0.0.1:7681/\", interval: 10s, timeout: 2s, failures: 3, "
        "action: mark}\n"
        "    restart: on-failure\n"
        "    backoff: {first: 100ms, factor: 2, max: 30s, jitter: 0.1, reset_after: 1m}\n"
        "    restart_limit: {count: 10, window: 5m, then: exit}\n"
        "    stop: {signal: INT, grace: 5s}\n"
        "    pre_stop: {http_post: \"http://127.0.0.1:7681/bye\", exec: [], timeout: 5s}\n"
        "    post_start: {exec: [hello, world], timeout: 5s}\n"
        "    memory_max: 1MiB\n"
        "    limits: {nofile: 100, nproc: 200}\n"
        "    sandbox: mine\n"
        "    critical: true\n"
        "  db: {command: [db], ready: {notify: true}, health: {exec: [ping]}}\n",
        NULL);
    compile(&c, &p, &block);
    const struct plan_service *t = find(&p, "ttyd"), *db = find(&p, "db");
    ck_assert_uint_eq(t->argv.count, 4);
    ck_assert_str_eq(plan_item(&p, t->requires, 0), "db");
    ck_assert_uint_eq(t->restart, PLAN_RESTART_ON_FAILURE);
    ck_assert_uint_eq(t->backoff_factor_milli, 2000);
    ck_assert_uint_eq(t->backoff_jitter_milli, 100);
    ck_assert_uint_eq(t->backoff_reset_ms, 60000);
    ck_assert_uint_eq(t->limit_count, 10);
    ck_assert_uint_eq(t->limit_window_ms, 300000);
    ck_assert_uint_eq(t->limit_then, PLAN_THEN_EXIT);
    ck_assert_uint_eq(t->stop_signal, SIGINT);
    ck_assert_uint_eq(t->health.action, PLAN_ACTION_MARK);
    ck_assert_uint_eq(t->pre_stop.argv.count, 5);
    ck_assert_str_eq(plan_item(&p, t->post_start.argv, 1), "world");
    ck_assert_uint_eq(t->limit_nofile, 100);
    ck_assert_uint_eq(t->limit_nproc, 200);
    ck_assert_str_eq(plan_string(&p, t->sandbox), "mine");
    ck_assert_uint_eq(t->profile, (uint32_t)plan_profile_index(&p, "mine") + 1);
    ck_assert_uint_eq(t->critical, 1);
    ck_assert_uint_eq(t->gates_ready, 1);
    ck_assert_uint_eq(t->ready.auth, 0);
    ck_assert_uint_eq(t->secret_readers, 0);
    ck_assert_uint_eq(db->ready.kind, PLAN_CHECK_NOTIFY);
    ck_assert_uint_eq(db->health.kind, PLAN_CHECK_EXEC);
    ck_assert_uint_eq(db->gates_ready, 0);
    ck_assert_uint_gt(db->stop_order, t->stop_order); /* stops after what needs it */
}
END_TEST

/* --- what is shown --- */

START_TEST(print_shows_sources_and_masks)
{
    _cleanup_config_ struct config c;
    _cleanup_buf_ struct buf text = BUF_INIT, json = BUF_INIT;
    (void)setenv("SLACK_BOT_TOKEN", "xoxb-secret", 1);
    (void)setenv("CODEV_GATEWAY_PORT", "8001", 1);
    load_good(&c,
              "plugin: {url: 'https://bot:hidden@git.example/x.git'}\n"
              "services: {a: {command: [x], env: {API_KEY: hidden, TERM: vt100}}}\n",
              "SLACK_APP_TOKEN=hidden\nOTHER=hidden\n");
    config_print_text(&c, &text);
    config_print_json(&c, &json);
    for (int i = 0; i < 2; i++) {
        const char *out = buf_str(i ? &json : &text);
        ck_assert_msg(!strstr(out, "hidden") && !strstr(out, "xoxb-secret"), "%s", out);
        ck_assert_ptr_nonnull(strstr(out, "vt100"));
        ck_assert_ptr_nonnull(strstr(out, "********@git.example"));
    }
    _cleanup_json_ cJSON *j = NULL;
    struct error e = ERROR_INIT;
    ck_assert_msg(json_parse(&j, json.data, json.len, &e) == 0, "%s", e.message);
    const cJSON *port = json_obj(json_obj(j, "options"), "gateway.port");
    ck_assert_int_eq(json_int(port, "value", 0), 8001);
    ck_assert_str_eq(json_str(port, "source", ""), "environment");
    ck_assert_str_eq(json_str(port, "from", ""), "CODEV_GATEWAY_PORT");
    const cJSON *url = json_obj(json_obj(j, "options"), "plugin.url");
    ck_assert_str_eq(json_str(url, "source", ""), "file");
    ck_assert_ptr_nonnull(strstr(json_str(url, "from", ""), "codev.yaml:1"));
    ck_assert_str_eq(json_str_at(j, "secrets.SLACK_BOT_TOKEN.source", ""), "environment");
    ck_assert_str_eq(json_str_at(j, "secrets.SLACK_APP_TOKEN.source", ""), "env_file");
    ck_assert_str_eq(json_str_at(j, "secrets.CODEV_TOKEN.source", ""), "generated");
    ck_assert(!json_bool(json_obj(json_obj(j, "secrets"), "GITHUB_TOKEN"), "set", true));
}
END_TEST

/* What stands between the marks of a document is the table, word for word. */
static void check_part(const char *path, const char *begin, const char *end, struct buf *part)
{
    _cleanup_free_ char *text = NULL;
    ck_assert_msg(file_read(path, 1 << 20, &text, NULL) == 0, "cannot read %s here", path);
    char *from = strstr(text, begin), *to = from ? strstr(from, end) : NULL;
    ck_assert_msg(to, "%s has lost its marks", path);
    *to = '\0';
    ck_assert_msg(strcmp(from + strlen(begin), buf_str(part)) == 0,
                  "%s is not what the option table says: run scripts/update-docs.sh", path);
}

START_TEST(the_documents_are_the_table)
{
    _cleanup_buf_ struct buf markdown = BUF_INIT, mdoc = BUF_INIT;
    config_docs_markdown(&markdown);
    check_part("docs/config.md", "<!-- options: begin -->\n", "<!-- options: end -->", &markdown);
    config_docs_mdoc(&mdoc);
    check_part("docs/man/codev.yaml.5", ".\\\" options: begin\n", ".\\\" options: end", &mdoc);
}
END_TEST

START_TEST(compile_without_a_descriptor_is_a_usage_error)
{
    char self[4096], command[4096 + 512];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    ck_assert_int_gt(n, 0);
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    (void)snprintf(command, sizeof command, "exec '%s/../bin/codev-config' compile 2>'%s'", self,
                   file);
    int status = system(command);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 2);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("config_plan");
    TCase *o = tcase_create("options");
    tcase_add_test(o, the_documents_are_the_table);
    suite_add_tcase(s, o);
    TCase *l = tcase_create("load");
    tcase_add_unchecked_fixture(l, make_dir, remove_dir);
    tcase_add_checked_fixture(l, clean_environment, NULL);
    tcase_add_test(l, built_in_services);
    tcase_add_test(l, without_a_password);
    tcase_add_test(l, a_built_in_service_is_changed_key_by_key);
    tcase_add_test(l, the_services_example_of_the_manual);
    tcase_add_test(l, print_shows_sources_and_masks);
    tcase_add_test(l, compile_without_a_descriptor_is_a_usage_error);
    suite_add_tcase(s, l);
    return s;
}

int main(void)
{
    return run_suite(make_suite());
}
