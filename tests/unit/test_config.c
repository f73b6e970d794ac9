/* rooms: supervisor/config supervisor/plan supervisor/profile supervisor/sandbox base/yaml base/json base/core */
#include "supervisor/config/config.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "base/core/secrets.h"
#include "base/json/json.h"
#include "supervisor/config/compile.h"
#include "supervisor/config/docs.h"
#include "supervisor/config/environ.h"
#include "supervisor/config/print.h"
#include "supervisor/plan/plan.h"
#include "tests/unit/run_suite.h"

static char dir[200];
static char file[256], env_path[256];

static void make_dir(void)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(dir, sizeof dir, "%s/codev-config-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(file, sizeof file, "%s/codev.yaml", dir);
    (void)snprintf(env_path, sizeof env_path, "%s/env.sh", dir);
}

static void remove_dir(void)
{
    (void)file_remove_tree(dir);
}

/* Each test runs in a process of its own: its environment is only what it sets. */
static void clean_environment(void)
{
    (void)clearenv();
    (void)setenv("HOME", "/home/coder", 1);
}

static int load(struct config *c, const char *yaml, const char *env)
{
    ck_assert_int_eq(file_write_atomic(file, yaml, strlen(yaml), 0600), 0);
    if (env) {
        ck_assert_int_eq(file_write_atomic(env_path, env, strlen(env), 0600), 0);
        (void)setenv("CODEV_ENV_FILE", env_path, 1);
    }
    struct config_flags flags = { .file = file };
    return config_load(c, &flags);
}

static void load_good(struct config *c, const char *yaml, const char *env)
{
    int r = load(c, yaml, env);
    ck_assert_msg(r == 0, "%s", buf_str(&c->errors));
}

static void compile(const struct config *c, struct plan *p, void **block)
{
    size_t size = 0;
    struct error e = ERROR_INIT;
    ck_assert_msg(config_compile(c, block, &size, &e) == 0, "%s", e.message);
    ck_assert_msg(plan_open(p, *block, size, &e) == 0, "%s", e.message);
}

static const struct plan_service *find(const struct plan *p, const char *name)
{
    int i = plan_service_index(p, name);
    ck_assert_msg(i >= 0, "%s is not in the plan", name);
    return &p->services[i];
}

/* The value of K in a list of K=V, NULL: none. Fails when it is there twice. */
static const char *variable(const struct plan *p, struct plan_list list, const char *name)
{
    const char *value = NULL;
    size_t n = strlen(name);
    for (uint32_t i = 0; i < list.count; i++) {
        const char *s = plan_item(p, list, i);
        if (strncmp(s, name, n) != 0 || s[n] != '=')
            continue;
        ck_assert_msg(!value, "%s twice", name);
        value = s + n + 1;
    }
    return value;
}

/* --- the table --- */

START_TEST(every_row_is_sound)
{
    const struct setting *o = &option_table[_i];
    ck_assert_msg(o->key || o->variable, "row %d has no name", _i);
    ck_assert_ptr_nonnull(o->help);
    ck_assert(o->help[strlen(o->help) - 1] == '.');
    ck_assert(o->type != OPTION_CHOICE || o->words);
    ck_assert(o->type != OPTION_URL || o->words);
    ck_assert(o->max == 0 || o->min <= o->max);
    if (o->key)
        ck_assert_int_eq(option_find(o->scope, o->key, strlen(o->key)), _i);
    _cleanup_buf_ struct buf expected = BUF_INIT;
    if (o->fallback && *o->fallback && !strchr(o->fallback, '$'))
        ck_assert_msg(option_check(o, o->fallback, &expected) == 0, "%s: default is wrong",
                      option_name((enum option_id)_i));
}
END_TEST

/* The index of a choice is the plan's enum. */
START_TEST(choices_are_in_the_plans_order)
{
    static const struct {
        enum option_id id;
        const char *word;
        unsigned value;
    } rows[] = {
        { OPT_LOG_FORMAT, "json", PLAN_LOG_JSON },
        { OPT_LOG_FORMAT, "text", PLAN_LOG_TEXT },
        { OPT_LOG_LEVEL, "debug", LOG_LEVEL_DEBUG },
        { OPT_LOG_LEVEL, "error", LOG_LEVEL_ERROR },
        { OPT_STORAGE_POLICY, "fail", PLAN_POLICY_FAIL },
        { OPT_STORAGE_POLICY, "degrade", PLAN_POLICY_DEGRADE },
        { OPT_STORAGE_POLICY, "warn", PLAN_POLICY_WARN },
        { OPT_TYPE, "daemon", PLAN_TYPE_DAEMON },
        { OPT_TYPE, "oneshot", PLAN_TYPE_ONESHOT },
        { OPT_RESTART, "always", PLAN_RESTART_ALWAYS },
        { OPT_RESTART, "on-failure", PLAN_RESTART_ON_FAILURE },
        { OPT_RESTART, "never", PLAN_RESTART_NEVER },
        { OPT_LIMIT_THEN, "degrade", PLAN_THEN_DEGRADE },
        { OPT_LIMIT_THEN, "exit", PLAN_THEN_EXIT },
        { OPT_HEALTH_ACTION, "restart", PLAN_ACTION_RESTART },
        { OPT_HEALTH_ACTION, "mark", PLAN_ACTION_MARK },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        ck_assert_msg(option_number(&option_table[rows[i].id], rows[i].word) == rows[i].value, "%s",
                      rows[i].word);
}
END_TEST

static const struct {
    enum option_id id;
    const char *text;
    bool good;
} values[] = {
    { OPT_HOME, "/home/coder", true },
    { OPT_HOME, "home", false },
    { OPT_HOME, "", false },
    { OPT_HOME, "/a\nb", false },
    { OPT_OPENCODE_PORT, "1", true },
    { OPT_OPENCODE_PORT, "65535", true },
    { OPT_OPENCODE_PORT, "0", false },
    { OPT_OPENCODE_PORT, "65536", false },
    { OPT_OPENCODE_PORT, "80 ", false },
    { OPT_OPENCODE_PORT, "8e3", false },
    { OPT_OPENCODE_HOSTNAME, "0.0.0.0", true },
    { OPT_OPENCODE_HOSTNAME, "::1", true },
    { OPT_OPENCODE_HOSTNAME, "localhost", true },
    { OPT_OPENCODE_HOSTNAME, "1.2.3", false },
    { OPT_OPENCODE_HOSTNAME, "256.1.1.1", false },
    { OPT_OPENCODE_HOSTNAME, "-x", false },
    { OPT_OPENCODE_HOSTNAME, "a b", false },
    { OPT_GATEWAY_URL, "http://127.0.0.1:8000", true },
    { OPT_GATEWAY_URL, "https://gateway.ai-dev.svc/base?x=1", true },
    { OPT_GATEWAY_URL, "http://[::1]:8000/", true },
    { OPT_GATEWAY_URL, "http://user:pw@host:1/", true },
    { OPT_GATEWAY_URL, "ws://127.0.0.1:8000", false },
    { OPT_GATEWAY_URL, "http://", false },
    { OPT_GATEWAY_URL, "http:///x", false },
    { OPT_GATEWAY_URL, "http://host:0/", false },
    { OPT_GATEWAY_URL, "http://host:99999/", false },
    { OPT_GATEWAY_URL, "http://host:8000x/", false },
    { OPT_GATEWAY_URL, "http://ho st/", false },
    { OPT_GATEWAY_URL, "http://[::1/", false },
    { OPT_GATEWAY_URL, "host:8000", false },
    { OPT_PLUGIN_URL, "https://github.example/ai-dev.git", true },
    { OPT_PLUGIN_URL, "git@github.example:team/ai-dev.git", true },
    { OPT_PLUGIN_URL, "file:///srv/ai-dev.git", true },
    { OPT_PLUGIN_URL, "ssh://git@host:22/x.git", true },
    { OPT_PLUGIN_URL, "", true },
    { OPT_PLUGIN_URL, "file://relative", false },
    { OPT_PLUGIN_URL, "ai-dev", false },
    { OPT_PLUGIN_URL, "@host:x", false },
    { OPT_READY_TCP, "127.0.0.1:80", true },
    { OPT_READY_TCP, "[::1]:80", true },
    { OPT_READY_TCP, "host", false },
    { OPT_READY_TCP, "host:", false },
    { OPT_READY_TCP, ":80", false },
    { OPT_STOP_SIGNAL, "TERM", true },
    { OPT_STOP_SIGNAL, "SIGINT", true },
    { OPT_STOP_SIGNAL, "15", true },
    { OPT_STOP_SIGNAL, "0", false },
    { OPT_STOP_SIGNAL, "65", false },
    { OPT_STOP_SIGNAL, "TREM", false },
    { OPT_BACKOFF_FACTOR, "1.5", true },
    { OPT_BACKOFF_FACTOR, "0.9", false },
    { OPT_BACKOFF_FACTOR, "2s", false },
    { OPT_BACKOFF_JITTER, "0", true },
    { OPT_BACKOFF_JITTER, "1.01", false },
    { OPT_STOP_TIMEOUT, "25s", true },
    { OPT_STOP_TIMEOUT, "10ms", false },
    { OPT_STOP_TIMEOUT, "61m", false },
    { OPT_STOP_TIMEOUT, "soon", false },
    { OPT_CRITICAL, "true", true },
    { OPT_CRITICAL, "maybe", false },
    { OPT_SANDBOX, "my-profile", true },
    { OPT_SANDBOX, "../x", false },
    { OPT_MEMORY_MAX, "2GiB", true },
    { OPT_MEMORY_MAX, "2GB", false },
};

START_TEST(values_by_table)
{
    _cleanup_buf_ struct buf expected = BUF_INIT;
    int r = option_check(&option_table[values[_i].id], values[_i].text, &expected);
    ck_assert_msg((r == 0) == values[_i].good, "%s: '%s' %s", option_name(values[_i].id),
                  values[_i].text, buf_str(&expected));
    ck_assert(r == 0 || expected.len);
}
END_TEST

START_TEST(numbers_of_values)
{
    ck_assert_uint_eq(option_number(&option_table[OPT_STOP_TIMEOUT], "25s"), 25000);
    ck_assert_uint_eq(option_number(&option_table[OPT_BACKOFF_FACTOR], "1.5"), 1500);
    ck_assert_uint_eq(option_number(&option_table[OPT_BACKOFF_JITTER], "0.1"), 100);
    ck_assert_uint_eq(option_number(&option_table[OPT_STOP_SIGNAL], "SIGINT"), SIGINT);
    ck_assert_uint_eq(option_number(&option_table[OPT_STOP_SIGNAL], "TERM"), SIGTERM);
    ck_assert_uint_eq(option_number(&option_table[OPT_MEMORY_MAX], "2GiB"), 2ULL << 30);
    ck_assert_uint_eq(option_number(&option_table[OPT_CRITICAL], "yes"), 1);
}
END_TEST

/* --- what is wrong is said, with its place --- */

static const struct {
    const char *yaml, *line; /* what must be one of the error lines, behind the file's name */
} faults[] = {
    { "stop_timout: 1s\n", ":1: stop_timout: unknown key (did you mean 'stop_timeout'?)\n" },
    { "frobnicate: 1\n", ":1: frobnicate: unknown key\n" },
    { "log:\n  levl: info\n", ":2: log.levl: unknown key (did you mean 'level'?)\n" },
    { "service: {}\n", ":1: service: unknown key (did you mean 'services'?)\n" },
    { "log.format: json\n", ":1: log.format: unknown key" },
    { "log: json\n", ":1: log: expected a mapping, not a value\n" },
    { "log: {format: xml}\n", ":1: log.format: expected json or text, not 'xml'\n" },
    { "\n\ndrain: -1s\n", ":3: drain: expected a duration from 0s to 10m" },
    { "opencode: {port: [1]}\n", ":1: opencode.port: expected one value, not a list\n" },
    { "opencode: {port: 80.5}\n",
      ":1: opencode.port: expected a number from 1 to 65535, not '80.5'\n" },
    { "gateway: {port: 8080}\n",
      ":1: gateway.port: expected a port of its own: opencode.port has" },
    { "slack: {allowed_users: {a: b}}\n",
      ":1: slack.allowed_users: expected a list, not a mapping\n" },
    { "slack: {allowed_users: [[a]]}\n",
      ":1: slack.allowed_users: expected a list of plain values" },
    { "slack: {allow: everybody}\n", ":1: slack.allow: expected users or channel_members" },
    { "- a\n", ":1: expected a mapping of settings, not a list\n" },
    { "a: [\n", ":2: not valid YAML" },
    { "home: /a\nhome: /b\n", ":2: the key 'home' is here a second time (first in line 1)\n" },
    { "storage: {path: /a}\n", ":1: storage: expected a list, not a mapping\n" },
    { "storage: [/a]\n", ":1: storage[0]: expected a mapping" },
    { "storage: [{policy: fail}]\n", ":1: storage[0]: expected a path" },
    { "storage: [{path: a}]\n", ":1: storage[0].path: expected an absolute path, not 'a'\n" },
    { "storage: [{path: /a}, {path: /a/}]\n", ":1: storage[1].path: this path is there twice\n" },
    { "storage:\n  - path: /a\n    polcy: warn\n",
      ":3: storage[0].polcy: unknown key (did you mean 'policy'?)\n" },
    { "services: []\n", ":1: services: expected a mapping" },
    { "services: {a b: {command: [x]}}\n", ":1: services: 'a b': expected a name" },
    { "services: {a: [x]}\n", ":1: services.a: expected a mapping, not a list\n" },
    { "services:\n  a: {type: daemon}\n", ":2: services.a: command is missing" },
    { "services: {a: {command: []}}\n", ":1: services.a: command is missing" },
    { "services: {a: {command: ['']}}\n", ":1: services.a.command: expected a program" },
    { "services: {a: {command: sleep 5}}\n", ":1: services.a.command: expected a list such as" },
    { "services: {a: {command: [x], typ: daemon}}\n",
      ":1: services.a.typ: unknown key (did you mean 'type'?)\n" },
    { "services: {a: {command: [x], after: [prepar]}}\n",
      ":1: services.a.after: no service is named 'prepar' (did you mean 'prepare'?)\n" },
    { "services: {a: {command: [x], requires: zzzzzz}}\n",
      ":1: services.a.requires: no service is named 'zzzzzz'\n" },
    { "services:\n  a: {command: [x], after: [b]}\n  b: {command: [x], requires: [c]}\n"
      "  c: {command: [x],\n      after: a}\n",
      ":5: services.c.after: these services wait for each other: a -> b -> c -> a\n" },
    { "services: {a: {command: [x], after: [a]}}\n",
      ":1: services.a.after: these services wait for each other: a -> a\n" },
    { "services: {prepare: {after: [opencode]}}\n", "these services wait for each other" },
    { "services: {a: {command: [x], ready: {http: 'http://h/', tcp: 'h:1'}}}\n",
      ":1: services.a.ready.tcp: expected only one of this and ready.http\n" },
    { "services: {a: {command: [x], type: oneshot, restart: always}}\n",
      ":1: services.a.restart: expected on-failure or never for a oneshot" },
    { "services: {a: {command: [x], env: {1A: b}}}\n", "'1A' is no name of a variable" },
    { "services: {a: {command: [x], env: [A=b]}}\n", ":1: services.a.env: expected a mapping" },
    { "services: {a: {command: [x], env: {A: [b]}}}\n", ":1: services.a.env.A: expected a value" },
    { "services: {a: {command: [x], user: nobody-here}}\n",
      ":1: services.a.user: expected a user" },
    { "services: {a: {command: [x], backoff: {first: 2m, max: 1m}}}\n",
      ":1: services.a.backoff.first: expected at most backoff.max (1m), not '2m'\n" },
    { "plugin: {url: 'http://u:secret@ho st/'}\n", ":1: plugin.url: expected a URL with" },
};

START_TEST(faults_by_table)
{
    _cleanup_config_ struct config c;
    ck_assert_int_eq(load(&c, faults[_i].yaml, NULL), -EINVAL);
    ck_assert_msg(strstr(buf_str(&c.errors), faults[_i].line), "%s", buf_str(&c.errors));
    ck_assert_ptr_null(strstr(buf_str(&c.errors), "secret"));
    for (const char *p = buf_str(&c.errors); *p; p++)
        ck_assert(*p == '\n' || (unsigned char)*p >= ' ');
}
END_TEST

static const struct {
    const char *text;
    bool warned;
} drains[] = {
    { "drain: 20s", true },  { "drain: 25s", true },
    { "drain: 12s", false }, { "drain: 20s\nstop_timeout: 60s", false },
    { "", false },
};

START_TEST(a_drain_that_leaves_no_time_is_warned_of)
{
    _cleanup_config_ struct config c;
    load_good(&c, drains[_i].text, NULL);
    ck_assert(!!strstr(buf_str(&c.warnings), "drain: ") == drains[_i].warned);
}
END_TEST

START_TEST(all_faults_are_said_at_once)
{
    _cleanup_config_ struct config c;
    (void)setenv("CODEV_PROBES_PORT", "http", 1);
    (void)setenv("SLACK_API_URL", "slack.com", 1);
    ck_assert_int_eq(
        load(&c, "a: 1\nb: 2\nhome: x\nservices: {q: {}, r: {command: [x], b: 1}}\n", NULL),
        -EINVAL);
    static const char *const lines[] = {
        "codev.yaml:1: a:",
        "codev.yaml:2: b:",
        "codev.yaml:3: home:",
        "codev.yaml:4: services.q: command is missing",
        "codev.yaml:4: services.r.b: unknown",
        "\nCODEV_PROBES_PORT: expected a number from 1 to 65535, not 'http'\n",
        "\nSLACK_API_URL: expected a URL",
    };
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        ck_assert_msg(strstr(buf_str(&c.errors), lines[i]), "%s in\n%s", lines[i],
                      buf_str(&c.errors));
}
END_TEST

START_TEST(a_file_that_was_named_must_be_there)
{
    _cleanup_config_ struct config c;
    struct config_flags flags = { .file = "/does/not/exist.yaml" };
    ck_assert_int_eq(config_load(&c, &flags), -EINVAL);
    ck_assert_ptr_nonnull(strstr(buf_str(&c.errors), "/does/not/exist.yaml:1: cannot read"));
}
END_TEST

START_TEST(endless_faults_are_bounded)
{
    _cleanup_config_ struct config c;
    _cleanup_buf_ struct buf yaml = BUF_INIT;
    for (int i = 0; i < 5000; i++)
        buf_printf(&yaml, "key-that-nobody-knows-%d: 1\n", i);
    ck_assert_int_eq(load(&c, buf_str(&yaml), NULL), -EINVAL);
    ck_assert_uint_le(c.errors.len, 64 << 10);
}
END_TEST

START_TEST(too_many_services)
{
    _cleanup_config_ struct config c;
    _cleanup_buf_ struct buf yaml = BUF_INIT;
    buf_puts(&yaml, "services:\n");
    for (int i = 0; i < CONFIG_SERVICES_MAX; i++)
        buf_printf(&yaml, "  s%d: {command: [x]}\n", i);
    ck_assert_int_eq(load(&c, buf_str(&yaml), NULL), -EINVAL);
    ck_assert_ptr_nonnull(strstr(buf_str(&c.errors), "more than 64 services"));
}
END_TEST

/* --- sources --- */

START_TEST(defaults_without_a_file)
{
    _cleanup_config_ struct config c;
    struct config_flags flags = { 0 };
    ck_assert_msg(config_load(&c, &flags) == 0, "%s", buf_str(&c.errors));
    ck_assert_str_eq(value_text(&c.top, OPT_HOME), "/home/coder");
    ck_assert_str_eq(value_text(&c.top, OPT_ENV_FILE), "/home/coder/src/.opencode-env.sh");
    ck_assert_str_eq(value_text(&c.top, OPT_GATEWAY_WS), "ws://127.0.0.1:8000/ws/bridge");
    ck_assert_uint_eq(c.storage_count, 1);
    ck_assert_str_eq(value_text(c.storage[0], OPT_STORAGE_PATH), "/home/coder/.local");
    ck_assert_str_eq(value_text(c.storage[0], OPT_STORAGE_POLICY), "warn");
    ck_assert_uint_eq(c.service_count, 5);
}
END_TEST

START_TEST(policy_in_a_pod)
{
    _cleanup_config_ struct config c;
    (void)setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", 1);
    load_good(&c, "", NULL);
    ck_assert_str_eq(value_text(c.storage[0], OPT_STORAGE_POLICY), "degrade");
}
END_TEST

static const struct {
    const char *home, *codev_home, *yaml, *expected;
} homes[] = {
    { "/h", NULL, "", "/h" },           { "/h", "/c", "", "/c" },
    { "/h", NULL, "home: /f\n", "/f" }, { "/h", "/c", "home: /f\n", "/c" },
    { "/", NULL, "", "/home/coder" }, /* what runtimes set for a uid without a name */
    { "", "", "", "/home/coder" },      { NULL, NULL, "", "/home/coder" },
    { "/h/", NULL, "", "/h" },
};

START_TEST(home_by_table)
{
    _cleanup_config_ struct config c;
    (void)unsetenv("HOME");
    if (homes[_i].home)
        (void)setenv("HOME", homes[_i].home, 1);
    if (homes[_i].codev_home)
        (void)setenv("CODEV_HOME", homes[_i].codev_home, 1);
    load_good(&c, homes[_i].yaml, NULL);
    ck_assert_str_eq(value_text(&c.top, OPT_HOME), homes[_i].expected);
}
END_TEST

/* Each stronger source wins over the ones before it. */
START_TEST(precedence)
{
    const char *set[] = { "gateway.port=5" };
    struct config_flags flags = { .file = file, .set = set, .set_count = 1 };
    for (int step = 0; step < 5; step++) {
        _cleanup_config_ struct config c;
        static const char *const expected[] = { "8000", "2", "3", "4", "5" };
        static const enum source sources[] = { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENV_FILE,
                                               SOURCE_ENVIRONMENT, SOURCE_FLAG };
        const char *yaml = step >= 1 ? "gateway: {port: 2}\n" : "";
        const char *env = step >= 2 ? "CODEV_GATEWAY_PORT=3\n" : "";
        (void)setenv("CODEV_GATEWAY_PORT", step >= 3 ? "4" : "", 1); /* "": not set */
        ck_assert_int_eq(file_write_atomic(file, yaml, strlen(yaml), 0600), 0);
        ck_assert_int_eq(file_write_atomic(env_path, env, strlen(env), 0600), 0);
        (void)setenv("CODEV_ENV_FILE", env_path, 1);
        flags.set_count = step >= 4;
        ck_assert_msg(config_load(&c, &flags) == 0, "%s", buf_str(&c.errors));
        ck_assert_str_eq(value_text(&c.top, OPT_GATEWAY_PORT), expected[step]);
        ck_assert_int_eq(c.top.values[OPT_GATEWAY_PORT].source, sources[step]);
    }
}
END_TEST

START_TEST(lists_from_a_variable)
{
    _cleanup_config_ struct config c;
    (void)setenv("SLACK_ALLOWED_USERS", "U1, U2,,U3", 1);
    load_good(&c, "slack: {allowed_users: [U9]}\n", NULL);
    const struct value *v = &c.top.values[OPT_SLACK_ALLOWED_USERS];
    ck_assert_uint_eq(v->count, 3);
    ck_assert_str_eq(v->items[1], "U2");
}
END_TEST

START_TEST(bad_flags)
{
    _cleanup_config_ struct config c;
    const char *set[] = { "gateway.prt=5", "gateway.port", "services.a.command=x" };
    struct config_flags flags = { .set = set, .set_count = 3 };
    ck_assert_int_eq(config_load(&c, &flags), -EINVAL);
    ck_assert_ptr_nonnull(strstr(buf_str(&c.errors), "--set gateway.prt=5: expected KEY=VALUE"));
}
END_TEST

/* --- the env file --- */

static const struct {
    const char *line;
    const char *value; /* of K; NULL: not set */
    const char *warning;
} lines[] = {
    { "K=v", "v", NULL },
    { "export K=v", "v", NULL },
    { "  export\tK=v  # comment", "v", NULL },
    { "K=", "", NULL },
    { "K='a b $x `y` \"'", "a b $x `y` \"", NULL },
    { "K=\"a b \\\"q\\\" \\\\ \\$x \\n\"", "a b \"q\" \\ $x \\n", NULL },
    { "K=a'b c'\"d e\"f", "ab cd ef", NULL },
    { "K=a\\ b\\'c", "a b'c", NULL },
    { "K=v#notacomment", "v#notacomment", NULL },
    { "K=a=b", "a=b", NULL },
    { "K=5$", "5$", NULL },
    { "K=v\r", "v", NULL },
    { "# K=v", NULL, NULL },
    { "", NULL, NULL },
    { "K=$(id)", NULL, "command substitution" },
    { "K=\"`id`\"", NULL, "command substitution" },
    { "K=$HOME/x", NULL, "variables are not expanded" },
    { "K=\"${HOME}\"", NULL, "variables are not expanded" },
    { "K=a b", NULL, "something stands behind" },
    { "K=a; rm -rf /", NULL, "no commands" },
    { "K=a && b", NULL, "something stands behind" },
    { "K=<(x)", NULL, "no commands" },
    { "K='open", NULL, "the closing '" },
    { "K=\"open", NULL, "the closing \"" },
    { "K=a\\", NULL, "continued" },
    { "echo hello", NULL, "expected K=V" },
    { "K = v", NULL, "expected K=V" },
    { "1K=v", NULL, "expected K=V" },
    { "exportK=v", NULL, NULL },
    { "if true; then", NULL, "expected K=V" },
};

START_TEST(env_lines_by_table)
{
    struct env_file f = { 0 };
    _cleanup_buf_ struct buf warnings = BUF_INIT;
    ck_assert_int_eq(env_file_parse(&f, "env", lines[_i].line, strlen(lines[_i].line), &warnings),
                     0);
    const struct env_variable *v = env_file_get(&f, "K");
    if (lines[_i].value) {
        ck_assert_msg(v, "%s", buf_str(&warnings));
        ck_assert_str_eq(v->value, lines[_i].value);
        ck_assert_uint_eq(v->line, 1);
    } else {
        ck_assert_ptr_null(v);
    }
    if (lines[_i].warning)
        ck_assert_msg(strstr(buf_str(&warnings), lines[_i].warning), "%s", buf_str(&warnings));
    else
        ck_assert_str_eq(buf_str(&warnings), "");
    env_file_release(&f);
}
END_TEST

START_TEST(env_file_last_wins_and_secrets_stay_out_of_warnings)
{
    struct env_file f = { 0 };
    _cleanup_buf_ struct buf warnings = BUF_INIT;
    const char *text = "K=1\nTOKEN=very secret\nK=2\n";
    ck_assert_int_eq(env_file_parse(&f, "/e", text, strlen(text), &warnings), 0);
    ck_assert_uint_eq(f.count, 1);
    ck_assert_str_eq(env_file_get(&f, "K")->value, "2");
    ck_assert_uint_eq(env_file_get(&f, "K")->line, 3);
    ck_assert_str_eq(buf_str(&warnings),
                     "/e:2: something stands behind the value: quote it: this line is skipped\n");
    env_file_release(&f);
}
END_TEST

START_TEST(env_file_is_bounded)
{
    struct env_file f = { 0 };
    _cleanup_buf_ struct buf warnings = BUF_INIT, text = BUF_INIT;
    for (int i = 0; i < ENV_FILE_VARIABLES + 5; i++)
        buf_printf(&text, "K%d=x\n", i);
    ck_assert_int_eq(env_file_parse(&f, "/e", text.data, text.len, &warnings), 0);
    ck_assert_uint_eq(f.count, ENV_FILE_VARIABLES);
    ck_assert_ptr_nonnull(strstr(buf_str(&warnings), "too many variables"));
    env_file_release(&f);
    ck_assert_int_eq(env_file_parse(&f, "/e", "A=\0B", 4, &warnings), 0);
    ck_assert_uint_eq(f.count, 0);
    env_file_release(&f);
}
END_TEST

START_TEST(env_file_cannot_weaken_the_guard)
{
    _cleanup_config_ struct config c;
    load_good(&c, "",
              "CODEV_OPENCODE_AUTH=none\nSLACK_API_URL=http://evil/\nSLACK_ALLOWED_USERS=U0\n"
              "CODEV_TOKEN=known\nOPENCODE_SERVER_PASSWORD=known\nCODEV_HOME=/x\n");
    env_file_warn(&c, &c.warnings);
    ck_assert_str_eq(value_text(&c.top, OPT_OPENCODE_AUTH), "password");
    ck_assert_str_eq(value_text(&c.top, OPT_SLACK_API_URL), "");
    ck_assert_uint_eq(c.top.values[OPT_SLACK_ALLOWED_USERS].count, 0);
    ck_assert_str_eq(value_text(&c.top, OPT_HOME), "/home/coder");
    static const char *const names[] = { "CODEV_OPENCODE_AUTH", "SLACK_API_URL", "CODEV_TOKEN",
                                         "OPENCODE_SERVER_PASSWORD" };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        ck_assert_msg(strstr(buf_str(&c.warnings), names[i]), "%s: %s", names[i],
                      buf_str(&c.warnings));
    _cleanup_free_ void *block = NULL;
    struct plan p;
    compile(&c, &p, &block);
    ck_assert_ptr_null(variable(&p, p.header->environment, "CODEV_TOKEN"));
    ck_assert_ptr_null(variable(&p, find(&p, "opencode")->env, "CODEV_TOKEN"));
    ck_assert_ptr_null(variable(&p, find(&p, "opencode")->env, "OPENCODE_SERVER_PASSWORD"));
    ck_assert_str_eq(variable(&p, find(&p, "gateway")->env, "SLACK_API_URL"),
                     "https://slack.com/api/");
}
END_TEST

START_TEST(env_file_goes_to_those_it_is_for)
{
    _cleanup_config_ struct config c;
    _cleanup_free_ void *block = NULL;
    struct plan p;
    (void)setenv("SET_IN_POD", "pod", 1);
    load_good(
        &c, "services: {tty: {command: [x], env: {MINE: config}}}\n",
        "ANTHROPIC_API_KEY=key\nLD_PRELOAD=/evil.so\nHTTPS_PROXY=http://p:1\nSET_IN_POD=file\n"
        "MINE=file\nSLACK_BOT_TOKEN=xoxb\n");
    compile(&c, &p, &block);
    struct plan_list opencode = find(&p, "opencode")->env, gateway = find(&p, "gateway")->env;
    ck_assert_str_eq(variable(&p, opencode, "ANTHROPIC_API_KEY"), "key");
    ck_assert_str_eq(variable(&p, opencode, "HTTPS_PROXY"), "http://p:1");
    ck_assert_ptr_null(variable(&p, opencode, "SET_IN_POD"));
    ck_assert_ptr_null(variable(&p, opencode, "SLACK_BOT_TOKEN"));
    ck_assert_str_eq(variable(&p, gateway, "HTTPS_PROXY"), "http://p:1");
    ck_assert_ptr_null(variable(&p, gateway, "LD_PRELOAD"));
    ck_assert_ptr_null(variable(&p, gateway, "ANTHROPIC_API_KEY"));
    ck_assert_ptr_null(variable(&p, p.header->environment, "LD_PRELOAD"));
    ck_assert_str_eq(variable(&p, p.header->environment, "SLACK_BOT_TOKEN"), "xoxb");
    ck_assert_str_eq(variable(&p, find(&p, "tty")->env, "MINE"), "config");
}
END_TEST

/* The agent can write the file: it must not get code into OpenCode or into the plugin's build. */
START_TEST(env_file_steers_no_built_in_service)
{
    static const char *const names[] = {
        "LD_PRELOAD",
        "BUN_OPTIONS",
        "NODE_OPTIONS",
        "OPENCODE_PERMISSION",
        "PATH",
        "OPENCODE_CONFIG_DIR",
        "XDG_CONFIG_HOME",
        "GIT_SSH_COMMAND",
        "SHELL",
        "NPM_CONFIG_SCRIPT_SHELL",
    };
    _cleanup_config_ struct config c;
    _cleanup_free_ void *block = NULL;
    struct plan p;
    struct buf text = BUF_INIT;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        (void)unsetenv(names[i]);
        buf_printf(&text, "%s=evil\n", names[i]);
    }
    load_good(&c, "services: {tty: {command: [/x]}}\n", buf_str(&text));
    env_file_warn(&c, &c.warnings);
    compile(&c, &p, &block);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        static const char *const services[] = { "opencode", "prepare", "plugin-watch", "gateway" };
        for (size_t k = 0; k < ARRAY_SIZE(services); k++) {
            const char *v = variable(&p, find(&p, services[k])->env, names[i]);
            ck_assert_msg(!v || strcmp(v, "evil") != 0, "%s of %s", names[i], services[k]);
        }
        ck_assert_str_eq(variable(&p, find(&p, "tty")->env, names[i]), "evil");
        ck_assert_msg(strstr(buf_str(&c.warnings), names[i]), "%s", names[i]);
    }
    buf_release(&text);
}
END_TEST

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
    Suite *s = suite_create("config");
    TCase *o = tcase_create("options");
    tcase_add_loop_test(o, every_row_is_sound, 0, OPT_MAX);
    tcase_add_test(o, choices_are_in_the_plans_order);
    tcase_add_loop_test(o, values_by_table, 0, (int)ARRAY_SIZE(values));
    tcase_add_test(o, numbers_of_values);
    tcase_add_loop_test(o, env_lines_by_table, 0, (int)ARRAY_SIZE(lines));
    tcase_add_test(o, env_file_last_wins_and_secrets_stay_out_of_warnings);
    tcase_add_test(o, env_file_is_bounded);
    tcase_add_test(o, the_documents_are_the_table);
    suite_add_tcase(s, o);
    TCase *l = tcase_create("load");
    tcase_add_unchecked_fixture(l, make_dir, remove_dir);
    tcase_add_checked_fixture(l, clean_environment, NULL);
    tcase_add_loop_test(l, faults_by_table, 0, (int)ARRAY_SIZE(faults));
    tcase_add_loop_test(l, a_drain_that_leaves_no_time_is_warned_of, 0, ARRAY_SIZE(drains));
    tcase_add_test(l, all_faults_are_said_at_once);
    tcase_add_test(l, a_file_that_was_named_must_be_there);
    tcase_add_test(l, endless_faults_are_bounded);
    tcase_add_test(l, too_many_services);
    tcase_add_test(l, defaults_without_a_file);
    tcase_add_test(l, policy_in_a_pod);
    tcase_add_loop_test(l, home_by_table, 0, (int)ARRAY_SIZE(homes));
    tcase_add_test(l, precedence);
    tcase_add_test(l, lists_from_a_variable);
    tcase_add_test(l, bad_flags);
    tcase_add_test(l, env_file_cannot_weaken_the_guard);
    tcase_add_test(l, env_file_goes_to_those_it_is_for);
    tcase_add_test(l, env_file_steers_no_built_in_service);
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
