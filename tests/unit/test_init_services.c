/* rooms: supervisor/plan supervisor/sandbox base/core */
/* What the options of a service say, on the real PID 1: hooks, policies, limits, checks, secrets,
 * and the exit statuses of the pod. */
#include "tests/unit/init_suite.h"

#include "base/core/secrets.h"

#define SLEEPER SHELL("exec sleep 1000")
#define ALWAYS  60000 /* ms: longer than any test */

static void open_ours(void)
{
    pod_init(&pod);
    pod.own_dev = true;
}

/* --- hooks --- */

START_TEST(post_start_runs_when_it_is_ready)
{
    struct pod_service s[] = {
        { .name = "late",
          .argv = SHELL("sleep 0.3; touch is-ready; exec sleep 1000"),
          .check = SHELL("test -e is-ready"),
          .post_start = SHELL("test -e is-ready && touch after-ready; echo once >>counted"),
          .p = { .ready.kind = PLAN_CHECK_EXEC,
                 .start_timeout_ms = ALWAYS,
                 .post_start.timeout_ms = 5000 } },
        { .name = "once",
          .argv = SHELL("touch worked"),
          .post_start = SHELL("test -e worked && touch after-done"),
          .p = { .type = PLAN_TYPE_ONESHOT, .post_start.timeout_ms = 5000 } },
        { .name = "fails",
          .argv = SLEEPER,
          .post_start = SHELL("exit 4"),
          .p = { .post_start.timeout_ms = 5000 } },
        { .name = "hangs",
          .argv = SLEEPER,
          .post_start = SHELL("exec sleep 1001"),
          .p = { .post_start.timeout_ms = 200 } },
    };
    start(s, ARRAY_SIZE(s));
    POD_EVENTUALLY(&pod, there("after-ready") && there("after-done"));
    POD_EVENTUALLY(&pod, pod_says(&pod, "service fails: post_start ended with exit 4, going on"));
    POD_EVENTUALLY(&pod, pod_says(&pod, "service hangs: post_start took too long, killed"));
    ck_assert(pod_state("fails", "ready") && pod_state("hangs", "ready"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(pre_stop_runs_first_also_at_a_restart)
{
    struct pod_service s[] = {
        { .name = "polite",
          .argv = SHELL("trap 'test -e asked && touch in-order; exit 0' TERM; "
                        "while :; do sleep 0.02; done"),
          .pre_stop = SHELL("touch asked"),
          .p = { .pre_stop.timeout_ms = 5000 } },
        { .name = "stuck",
          .argv = SLEEPER,
          .pre_stop = SHELL("exec sleep 1000"),
          .p = { .pre_stop.timeout_ms = 200 } },
    };
    start(s, 2);
    POD_EVENTUALLY(&pod, pod_state("polite", "ready") && pod_state("stuck", "ready"));
    (void)POD_ASK("restart", "polite");
    POD_EVENTUALLY(&pod, there("in-order"));
    POD_EVENTUALLY(&pod, pod_number(pod_service_status("polite"), "restarts") == 1);
    (void)POD_ASK("stop", "stuck");
    POD_EVENTUALLY(&pod, pod_state("stuck", "stopped"));
    ck_assert(pod_says(&pod, "service stuck: pre_stop took too long, killed"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

/* --- policies --- */

START_TEST(a_oneshot_tries_until_it_ends_well)
{
    struct pod_service s[] = {
        { .name = "third-time",
          .argv = SHELL("echo x >>tries; test $(wc -l <tries) -ge 3"),
          .p = { .type = PLAN_TYPE_ONESHOT, .restart = PLAN_RESTART_ON_FAILURE } },
        { .name = "after", .argv = SLEEPER, .requires = "third-time" },
        { .name = "slow",
          .argv = SLEEPER,
          .p = { .type = PLAN_TYPE_ONESHOT,
                 .restart = PLAN_RESTART_NEVER,
                 .start_timeout_ms = 200 } },
        { .name = "never",
          .argv = SHELL("exit 3"),
          .p = { .type = PLAN_TYPE_ONESHOT, .restart = PLAN_RESTART_NEVER } },
        { .name = "all-the-same", .argv = SLEEPER, .after = "never" },
        { .name = "not-without", .argv = SLEEPER, .requires = "never" },
    };
    start(s, ARRAY_SIZE(s));
    POD_EVENTUALLY(&pod, pod_state("third-time", "done"));
    ck_assert_int_eq(pod_number(pod_service_status("third-time"), "restarts"), 2);
    POD_EVENTUALLY(&pod, pod_state("after", "ready"));
    POD_EVENTUALLY(&pod, pod_state("slow", "failed"));
    ck_assert(pod_says(&pod, "not done within 200 ms"));
    POD_EVENTUALLY(&pod, pod_state("never", "failed"));
    POD_EVENTUALLY(&pod, pod_state("all-the-same", "ready"));
    ck_assert(pod_state("not-without", "waiting"));
    ck_assert(status_has("not-without", "waits for never"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(who_requires_another_stops_and_waits_with_it)
{
    struct pod_service s[] = {
        { .name = "base", .argv = SLEEPER },
        { .name = "needs", .argv = SLEEPER, .requires = "base" },
        { .name = "follows", .argv = SLEEPER, .after = "base" },
    };
    start(s, 3);
    POD_EVENTUALLY(&pod, pod_state("needs", "ready") && pod_state("follows", "ready"));
    (void)POD_ASK("stop", "base");
    POD_EVENTUALLY(&pod, pod_state("needs", "waiting"));
    ck_assert(pod_state("follows", "ready"));
    ck_assert_int_eq(pod_number(pod_service_status("follows"), "restarts"), 0);
    (void)POD_ASK("start", "base");
    POD_EVENTUALLY(&pod, pod_state("needs", "ready"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(a_daemons_end_has_its_policy)
{
    struct pod_service s[] = {
        { .name = "well-never", .argv = SHELL("exit 0"), .p = { .restart = PLAN_RESTART_NEVER } },
        { .name = "bad-never", .argv = SHELL("exit 9"), .p = { .restart = PLAN_RESTART_NEVER } },
        { .name = "well-failure",
          .argv = SHELL("exit 0"),
          .p = { .restart = PLAN_RESTART_ON_FAILURE } },
        { .name = "bad-failure",
          .argv = SHELL("exit 9"),
          .p = { .restart = PLAN_RESTART_ON_FAILURE } },
        { .name = "well-always", .argv = SHELL("exit 0"), .p = { .restart = PLAN_RESTART_ALWAYS } },
        { .name = "by-signal",
          .argv = SHELL("kill -9 $$"),
          .p = { .restart = PLAN_RESTART_ON_FAILURE } },
    };
    start(s, ARRAY_SIZE(s));
    POD_EVENTUALLY(&pod, pod_state("well-never", "stopped"));
    POD_EVENTUALLY(&pod, pod_state("bad-never", "failed"));
    POD_EVENTUALLY(&pod, pod_state("well-failure", "stopped"));
    POD_EVENTUALLY(&pod, pod_number(pod_service_status("bad-failure"), "restarts") >= 2);
    POD_EVENTUALLY(&pod, pod_number(pod_service_status("well-always"), "restarts") >= 2);
    POD_EVENTUALLY(&pod, pod_number(pod_service_status("by-signal"), "restarts") >= 2);
    ck_assert(status_has("by-signal", "signal 9 (SIGKILL)"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(a_health_check_restarts_or_only_marks)
{
    struct pod_service s[] = {
        { .name = "marked",
          .argv = SLEEPER,
          .health = SHELL("test ! -e sick"),
          .p = { .health = { .kind = PLAN_CHECK_EXEC,
                             .interval_ms = 30,
                             .timeout_ms = 5000,
                             .failures = 2,
                             .action = PLAN_ACTION_MARK } } },
        { .name = "restarted",
          .argv = SLEEPER,
          .health = SHELL("test ! -e sick"),
          .p = { .health = { .kind = PLAN_CHECK_EXEC,
                             .interval_ms = 30,
                             .timeout_ms = 5000,
                             .failures = 2 } } },
    };
    start(s, 2);
    POD_EVENTUALLY(&pod, pod_state("marked", "ready") && pod_state("restarted", "ready"));
    _cleanup_fd_ int fd = open(pod_path(&pod, "sick"), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    ck_assert_int_ge(fd, 0);
    POD_EVENTUALLY(&pod, pod_state("marked", "unhealthy"));
    POD_EVENTUALLY(&pod, pod_number(pod_service_status("restarted"), "restarts") >= 1);
    ck_assert_int_eq(unlink(pod_path(&pod, "sick")), 0);
    POD_EVENTUALLY(&pod, pod_state("marked", "ready") && pod_state("restarted", "ready"));
    ck_assert_int_eq(pod_number(pod_service_status("marked"), "restarts"), 0);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(user_folder_and_limits_are_as_asked)
{
    struct pod_service s[] = {
        { .name = "nobody",
          .argv = SHELL("echo is $(id -u):$(id -g) $(ulimit -n) $(pwd)-; exec sleep 1000"),
          .user = "65534",
          .p = { .limit_nofile = 77 } },
        { .name = "nosuch",
          .argv = SLEEPER,
          .user = "no-such-user",
          .p = { .restart = PLAN_RESTART_NEVER } },
    };
    char said[PATH_MAX];
    start(s, 2);
    (void)snprintf(said, sizeof said, "is 65534:65534 77 %s-", pod.dir);
    POD_EVENTUALLY(&pod, pod_says(&pod, said));
    POD_EVENTUALLY(&pod, pod_state("nosuch", "failed"));
    ck_assert(pod_says(&pod, "there is no user no-such-user"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

/* --- exit statuses --- */

static const struct {
    const char *argv[4];
    struct plan_service p;
    int status;
    const char *reason;
} ends[] = {
    { SHELL("exit 7"),
      { .critical = 1, .restart = PLAN_RESTART_NEVER },
      7,
      "service vital gave up: exit 7" },
    { SHELL("kill -TERM $$"),
      { .critical = 1, .restart = PLAN_RESTART_NEVER },
      128 + SIGTERM,
      "service vital gave up: signal 15 (SIGTERM)" },
    { { "/no/such/program" },
      { .critical = 1, .restart = PLAN_RESTART_NEVER },
      127,
      "cannot run /no/such/program" },
    { { "/etc/passwd" },
      { .critical = 1, .restart = PLAN_RESTART_NEVER },
      126,
      "cannot run /etc/passwd" },
    { SHELL("exit 5"),
      { .limit_count = 2, .limit_window_ms = ALWAYS, .limit_then = PLAN_THEN_EXIT },
      5,
      "(2 restarts within 60 s)" },
    { SHELL("exit 0"),
      { .critical = 1, .limit_count = 2, .limit_window_ms = ALWAYS },
      1,
      "service vital gave up: exit 0" },
};

START_TEST(a_vital_services_end_is_the_pods)
{
    struct pod_service s[] = { { .name = "vital", .p = ends[_i].p },
                               { .name = "other", .argv = SLEEPER } };
    memcpy(s[0].argv, ends[_i].argv, sizeof ends[_i].argv);
    start(s, 2);
    ck_assert_int_eq(pod_wait(&pod, 20000), ends[_i].status);
    ck_assert(pod_says(&pod, ends[_i].reason));
    ck_assert_ptr_nonnull(strstr(pod_termination_log(&pod), ends[_i].reason));
}
END_TEST

START_TEST(a_bad_configuration_is_78)
{
    pod_config_script(&pod, "#!/bin/sh\necho 'codev.yaml:3: drain: expected a duration' >&2\n"
                            "exit 78\n");
    pod_start(&pod);
    ck_assert_int_eq(pod_wait(&pod, 20000), 78);
    ck_assert_str_eq(pod_termination_log(&pod),
                     "configuration: codev.yaml:3: drain: expected a duration\n");
}
END_TEST

/* How codev-config itself may fail, beside what it says of a configuration. "": it is not there. */
static const struct {
    const char *script, *reason;
} broken[] = {
    { "", "configuration: cannot run codev-config: not found in PATH" },
    { "#!/nowhere/sh\n", "configuration: cannot run codev-config: not found in PATH" },
    { "#!/bin/sh\nkill -9 $$\n", "configuration: codev-config ended with status 137" },
    { "#!/bin/sh\nexit 3\n", "configuration: codev-config ended with status 3" },
    { "#!/bin/sh\nexit 0\n", "configuration: " },
};

START_TEST(a_config_compiler_that_fails_is_78)
{
    pod_config_script(&pod, broken[_i].script);
    if (!*broken[_i].script)
        ck_assert_int_eq(unlink(pod_path(&pod, "codev-config")), 0);
    pod_start(&pod);
    ck_assert_int_eq(pod_wait(&pod, 20000), 78);
    const char *said = pod_termination_log(&pod);
    ck_assert_msg(strncmp(said, broken[_i].reason, strlen(broken[_i].reason)) == 0, "%s", said);
}
END_TEST

START_TEST(a_config_compiler_that_hangs_is_given_up)
{
    pod_config_script(&pod, "#!/bin/sh\ntrap '' TERM\nsleep 1000\n");
    pod_start(&pod);
    ck_assert_int_eq(pod_wait(&pod, 40000), 78);
    ck_assert_str_eq(pod_termination_log(&pod),
                     "configuration: codev-config did not end within 10 s\n");
}
END_TEST

START_TEST(an_orderly_stop_is_0)
{
    static const int signals[] = { SIGTERM, SIGINT, SIGQUIT, 0 };
    struct pod_service s[] = { { .name = "one", .argv = SLEEPER } };
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_state("one", "ready"));
    if (signals[_i])
        ck_assert_int_eq(kill(pod.pid1, signals[_i]), 0);
    else
        ck_assert_ptr_nonnull(strstr(POD_ASK("shutdown"), "\"ok\":true"));
    ck_assert_int_eq(pod_wait(&pod, 20000), 0);
    ck_assert_str_eq(pod_termination_log(&pod), "");
}
END_TEST

/* --- secrets --- */

START_TEST(secrets_come_from_files_too)
{
    static char app[PATH_MAX], bot[PATH_MAX], git[PATH_MAX], token[PATH_MAX];
    static const char *env[] = { app, bot, git, token, NULL };
    struct pod_service s[] = { { .name = "one", .argv = SLEEPER } };
    (void)snprintf(app, sizeof app, "SLACK_APP_TOKEN_FILE=%s/app", pod.dir);
    (void)snprintf(bot, sizeof bot, "SLACK_BOT_TOKEN_FILE=%s/missing", pod.dir);
    (void)snprintf(git, sizeof git, "GITHUB_TOKEN_FILE=%s/fifo", pod.dir);
    (void)snprintf(token, sizeof token, "CODEV_TOKEN_FILE=%s/token", pod.dir);
    ck_assert_int_eq(file_write_atomic(pod_path(&pod, "app"), "xapp-from-a-file\nmore\n", 22, 0600),
                     0);
    ck_assert_int_eq(file_write_atomic(pod_path(&pod, "token"), "token-from-a-file", 17, 0600), 0);
    ck_assert_int_eq(mkfifo(pod_path(&pod, "fifo"), 0600), 0);
    pod.env = env;
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_state("one", "ready"));
    ck_assert_ptr_nonnull(strstr(POD_ASK("secret", "SLACK_APP_TOKEN"), "\"xapp-from-a-file\""));
    ck_assert_ptr_nonnull(strstr(POD_ASK("secret", "CODEV_TOKEN"), "\"token-from-a-file\""));
    ck_assert_ptr_nonnull(strstr(POD_ASK("secret", "SLACK_BOT_TOKEN"), "no_secret"));
    ck_assert(pod_says(&pod, "cannot read the secret SLACK_BOT_TOKEN_FILE="));
    ck_assert(pod_says(&pod, "cannot read the secret GITHUB_TOKEN_FILE="));
    ck_assert(!there("state/token")); /* given, so none is generated */
    ck_assert(!pod_says(&pod, "from-a-file"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

/* What a program finds in its pipe, a while after it started. */
#define SHOW_PIPE                                                                                  \
    "fd=$CODEV_SECRETS_FD; echo \"fd:${fd:+yes} bridge:$CODEV_BRIDGE\"; "                          \
    "[ -z \"$fd\" ] || dd if=/proc/$$/fd/$fd iflag=nonblock 2>/dev/null | sed 's/=.*//; s/^/name:/'; exec sleep 1000"

START_TEST(no_token_is_left_for_a_plugin_that_is_not_there)
{
    struct pod_service s[] = {
        { .name = "with",
          .argv = SHELL(SHOW_PIPE),
          .p = { .secret_readers = SECRET_FOR_OPENCODE } },
        { .name = "without",
          .argv = SHELL(SHOW_PIPE),
          .env_from = "opencode.env",
          .p = { .secret_readers = SECRET_FOR_OPENCODE } },
    };
    ck_assert_int_eq(mkdir(pod_path(&pod, "run"), 0700), 0);
    ck_assert_int_eq(
        file_write_atomic(pod_path(&pod, "run/opencode.env"), "CODEV_BRIDGE=none\n", 18, 0600), 0);
    start(s, 2);
    POD_EVENTUALLY(&pod, pod_says(&pod, "fd:yes bridge:"));
    POD_EVENTUALLY(&pod, pod_says(&pod, "name:CODEV_BRIDGE_TOKEN"));
    POD_EVENTUALLY(&pod, pod_says(&pod, "fd: bridge:\""));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(the_log_is_quiet_about_what_goes_well)
{
    struct pod_service s[] = {
        { .name = "one",
          .argv = SHELL("printf '\\033[31mred\\033[0m\\n\\n\\033[0m\\nlast\\n'; exec sleep 1000") },
        { .name = "two", .argv = SLEEPER, .after = "one" },
    };
    start(s, 2);
    POD_EVENTUALLY(&pod, pod_state("two", "ready") && pod_says(&pod, "\"msg\":\"last\""));
    ck_assert(pod_says(&pod, "\"msg\":\"red\""));
    ck_assert(!pod_says(&pod, "\"msg\":\"\""));
    ck_assert(!pod_says(&pod, "-> waiting"));
    ck_assert(pod_says(&pod, "service two: starting -> ready"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("init_services");
    TCase *t = tcase_create("services");
    tcase_set_timeout(t, 90);
    tcase_add_checked_fixture(t, open_ours, close_pod);
    tcase_add_test(t, post_start_runs_when_it_is_ready);
    tcase_add_test(t, pre_stop_runs_first_also_at_a_restart);
    tcase_add_test(t, a_oneshot_tries_until_it_ends_well);
    tcase_add_test(t, who_requires_another_stops_and_waits_with_it);
    tcase_add_test(t, a_daemons_end_has_its_policy);
    tcase_add_test(t, a_health_check_restarts_or_only_marks);
    tcase_add_test(t, user_folder_and_limits_are_as_asked);
    tcase_add_loop_test(t, a_vital_services_end_is_the_pods, 0, ARRAY_SIZE(ends));
    tcase_add_test(t, a_bad_configuration_is_78);
    tcase_add_loop_test(t, a_config_compiler_that_fails_is_78, 0, ARRAY_SIZE(broken));
    tcase_add_test(t, a_config_compiler_that_hangs_is_given_up);
    tcase_add_loop_test(t, an_orderly_stop_is_0, 0, 4);
    tcase_add_test(t, secrets_come_from_files_too);
    tcase_add_test(t, no_token_is_left_for_a_plugin_that_is_not_there);
    tcase_add_test(t, the_log_is_quiet_about_what_goes_well);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return run_pod_suite(suite);
}
