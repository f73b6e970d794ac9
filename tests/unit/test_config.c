/* rooms: supervisor/config supervisor/plan supervisor/profile supervisor/sandbox base/yaml base/json base/core */
/* The option table, the configuration file, and where values come from. */
#include "tests/unit/config_helper.h"

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

static Suite *make_suite(void)
{
    Suite *s = suite_create("config");
    TCase *o = tcase_create("options");
    tcase_add_loop_test(o, every_row_is_sound, 0, OPT_MAX);
    tcase_add_test(o, choices_are_in_the_plans_order);
    tcase_add_loop_test(o, values_by_table, 0, (int)ARRAY_SIZE(values));
    tcase_add_test(o, numbers_of_values);
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
    suite_add_tcase(s, l);
    return s;
}

int main(void)
{
    return run_suite(make_suite());
}
