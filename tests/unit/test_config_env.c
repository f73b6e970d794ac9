/* rooms: supervisor/config supervisor/plan supervisor/profile supervisor/sandbox base/yaml base/json base/core */
/* The env file: how its lines are read, and whom they reach. */
#include "tests/unit/config_helper.h"

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

static Suite *make_suite(void)
{
    Suite *s = suite_create("config_env");
    TCase *o = tcase_create("options");
    tcase_add_loop_test(o, env_lines_by_table, 0, (int)ARRAY_SIZE(lines));
    tcase_add_test(o, env_file_last_wins_and_secrets_stay_out_of_warnings);
    tcase_add_test(o, env_file_is_bounded);
    suite_add_tcase(s, o);
    TCase *l = tcase_create("load");
    tcase_add_unchecked_fixture(l, make_dir, remove_dir);
    tcase_add_checked_fixture(l, clean_environment, NULL);
    tcase_add_test(l, env_file_cannot_weaken_the_guard);
    tcase_add_test(l, env_file_goes_to_those_it_is_for);
    tcase_add_test(l, env_file_steers_no_built_in_service);
    suite_add_tcase(s, l);
    return s;
}

int main(void)
{
    return run_suite(make_suite());
}
