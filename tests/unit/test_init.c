/* rooms: supervisor/init supervisor/cgroup supervisor/volumes supervisor/plan supervisor/sandbox base/core */
/* PID 1's tables and pure parts: services, backoff, verdicts, the stop's budget, environments. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/control.h"
#include "base/core/file.h"
#include "supervisor/init/backoff.h"
#include "supervisor/init/boot_work.h"
#include "supervisor/init/env.h"
#include "supervisor/init/plain.h"
#include "supervisor/init/runtime_dir.h"
#include "supervisor/init/secret_store.h"
#include "supervisor/init/service.h"
#include "supervisor/init/signals.h"
#include "supervisor/init/spawn.h"
#include "supervisor/init/stop_budget.h"
#include "supervisor/init/supervisor.h"
#include "supervisor/init/tree.h"
#include "supervisor/init/verdict.h"
#include "tests/unit/run_suite.h"

/* --- services --- */

static const struct {
    enum service_state state;
    enum service_event event;
    enum service_action action;
} transitions[] = {
    { SERVICE_STOPPED, EV_START, ACT_WAIT },
    { SERVICE_STOPPED, EV_ENDED, ACT_NONE },
    { SERVICE_STOPPED, EV_CONFIRMED, ACT_NONE },
    { SERVICE_WAITING, EV_DEPS, ACT_LAUNCH },
    { SERVICE_WAITING, EV_STOP, ACT_CANCEL },
    { SERVICE_WAITING, EV_START, ACT_NONE },
    { SERVICE_STARTING, EV_EXECUTED, ACT_EXECUTED },
    { SERVICE_STARTING, EV_CONFIRMED, ACT_READY },
    { SERVICE_STARTING, EV_UNCONFIRMED, ACT_NONE },
    { SERVICE_STARTING, EV_TIMEOUT, ACT_OVERDUE },
    { SERVICE_STARTING, EV_SICK, ACT_NONE }, /* the start timeout judges */
    { SERVICE_STARTING, EV_ENDED, ACT_ENDED },
    { SERVICE_RUNNING, EV_CONFIRMED, ACT_READY },
    { SERVICE_RUNNING, EV_ENDED, ACT_ENDED },
    { SERVICE_READY, EV_UNCONFIRMED, ACT_UNREADY },
    { SERVICE_READY, EV_EXECUTED, ACT_EXECUTED }, /* READY=1 overtook it: post_start still runs */
    { SERVICE_READY, EV_SICK, ACT_SICK },
    { SERVICE_READY, EV_HUNG, ACT_HUNG },
    { SERVICE_UNHEALTHY, EV_HUNG, ACT_HUNG },
    { SERVICE_STOPPING, EV_HUNG, ACT_NONE },
    { SERVICE_BACKOFF, EV_HUNG, ACT_NONE },
    { SERVICE_READY, EV_LOST, ACT_RESTART },
    { SERVICE_READY, EV_START, ACT_NONE },
    { SERVICE_READY, EV_TIMEOUT, ACT_NONE },
    { SERVICE_UNHEALTHY, EV_WELL, ACT_WELL },
    { SERVICE_UNHEALTHY, EV_CONFIRMED, ACT_NONE },
    { SERVICE_STOPPING, EV_ENDED, ACT_SETTLE },
    { SERVICE_STOPPING, EV_TIMEOUT, ACT_KILL },
    { SERVICE_STOPPING, EV_CONFIRMED, ACT_NONE }, /* too late to be ready */
    { SERVICE_STOPPING, EV_SICK, ACT_NONE },
    { SERVICE_STOPPING, EV_START, ACT_THEN_WAITING },
    { SERVICE_STOPPING, EV_STOP, ACT_THEN_STOPPED },
    { SERVICE_BACKOFF, EV_TIMEOUT, ACT_WAIT },
    { SERVICE_BACKOFF, EV_STOP, ACT_CANCEL },
    { SERVICE_BACKOFF, EV_ENDED, ACT_NONE },
    { SERVICE_FAILED, EV_START, ACT_WAIT },
    { SERVICE_FAILED, EV_TIMEOUT, ACT_NONE },
    { SERVICE_DONE, EV_START, ACT_WAIT },
    { SERVICE_DONE, EV_ENDED, ACT_NONE },
};

START_TEST(each_event_does_what_the_table_says)
{
    ck_assert_int_eq((int)service_action(transitions[_i].state, transitions[_i].event),
                     (int)transitions[_i].action);
}
END_TEST

START_TEST(whatever_runs_can_end_and_be_stopped)
{
    static const enum service_state active[] = { SERVICE_STARTING, SERVICE_RUNNING, SERVICE_READY,
                                                 SERVICE_UNHEALTHY, SERVICE_STOPPING };
    for (size_t i = 0; i < ARRAY_SIZE(active); i++) {
        ck_assert_int_ne((int)service_action(active[i], EV_ENDED), ACT_NONE);
        ck_assert_int_ne((int)service_action(active[i], EV_STOP), ACT_NONE);
    }
    for (int s = 0; s < SERVICE_STATE_MAX; s++)
        ck_assert_ptr_nonnull(service_state_names[s]);
    ck_assert_int_eq((int)service_action(SERVICE_STATE_MAX, EV_STOP), ACT_NONE);
    ck_assert_int_eq((int)service_action(SERVICE_READY, SERVICE_EVENT_MAX), ACT_NONE);
}
END_TEST

START_TEST(dependents_start_when_they_may)
{
    static const struct {
        enum service_state state;
        uint32_t type;
        bool after, requires;
    } rows[] = {
        { SERVICE_READY, PLAN_TYPE_DAEMON, true, true },
        { SERVICE_DONE, PLAN_TYPE_ONESHOT, true, true },
        { SERVICE_UNHEALTHY, PLAN_TYPE_DAEMON, true, true },
        { SERVICE_RUNNING, PLAN_TYPE_DAEMON, true, true },
        { SERVICE_RUNNING, PLAN_TYPE_ONESHOT, false, false }, /* it is at work */
        { SERVICE_STARTING, PLAN_TYPE_DAEMON, false, false },
        { SERVICE_BACKOFF, PLAN_TYPE_DAEMON, false, false },
        { SERVICE_WAITING, PLAN_TYPE_DAEMON, false, false },
        { SERVICE_STOPPING, PLAN_TYPE_DAEMON, false, false },
        { SERVICE_FAILED, PLAN_TYPE_ONESHOT, true, false }, /* OpenCode goes on without a plugin */
        { SERVICE_STOPPED, PLAN_TYPE_DAEMON, true, false },
    };
    ck_assert_uint_lt((unsigned)_i, ARRAY_SIZE(rows));
    ck_assert_int_eq(service_lets_start(rows[_i].state, rows[_i].type, false), rows[_i].after);
    ck_assert_int_eq(service_lets_start(rows[_i].state, rows[_i].type, true), rows[_i].requires);
}
END_TEST

START_TEST(an_end_has_its_consequence_by_policy)
{
    static const struct {
        uint32_t type, restart;
        bool success;
        enum service_end end;
    } rows[] = {
        { PLAN_TYPE_ONESHOT, PLAN_RESTART_NEVER, true, END_DONE },
        { PLAN_TYPE_ONESHOT, PLAN_RESTART_ALWAYS, true, END_DONE },
        { PLAN_TYPE_ONESHOT, PLAN_RESTART_NEVER, false, END_FAILED },
        { PLAN_TYPE_ONESHOT, PLAN_RESTART_ON_FAILURE, false, END_AGAIN },
        { PLAN_TYPE_DAEMON, PLAN_RESTART_ALWAYS, true, END_AGAIN },
        { PLAN_TYPE_DAEMON, PLAN_RESTART_ALWAYS, false, END_AGAIN },
        { PLAN_TYPE_DAEMON, PLAN_RESTART_ON_FAILURE, true, END_STOPPED },
        { PLAN_TYPE_DAEMON, PLAN_RESTART_ON_FAILURE, false, END_AGAIN },
        { PLAN_TYPE_DAEMON, PLAN_RESTART_NEVER, true, END_STOPPED },
        { PLAN_TYPE_DAEMON, PLAN_RESTART_NEVER, false, END_FAILED },
    };
    ck_assert_uint_lt((unsigned)_i, ARRAY_SIZE(rows));
    ck_assert_int_eq((int)service_end_by_policy(rows[_i].type, rows[_i].restart, rows[_i].success),
                     (int)rows[_i].end);
}
END_TEST

/* --- backoff --- */

static const struct plan_service patient = {
    .backoff_first_ms = 100,
    .backoff_max_ms = 1000,
    .backoff_factor_milli = 2000,
    .backoff_reset_ms = 60000,
    .limit_count = 3,
    .limit_window_ms = 10000,
};

START_TEST(delays_grow_to_the_cap_and_start_anew)
{
    static const uint64_t expected[] = { 100, 200, 400, 800, 1000, 1000 };
    struct backoff b = { 0 };
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
        ck_assert_uint_eq(backoff_delay(&b, &patient, 5, 0), expected[i]);
    ck_assert_uint_eq(backoff_delay(&b, &patient, 60000, 0), 100);
    ck_assert_uint_eq(backoff_delay(&b, &patient, 59999, 0), 200);
}
END_TEST

START_TEST(jitter_stays_in_its_bounds)
{
    struct plan_service s = patient;
    bool low = false, high = false;
    s.backoff_jitter_milli = 100;
    for (uint32_t i = 0; i < 2000; i++) {
        struct backoff b = { 0 };
        uint64_t d = backoff_delay(&b, &s, 0, i * 2654435761U);
        ck_assert_uint_ge(d, 90);
        ck_assert_uint_le(d, 110);
        low = low || d < 95;
        high = high || d > 105;
    }
    ck_assert(low && high);
}
END_TEST

START_TEST(strange_settings_end_too)
{
    struct plan_service s = { .backoff_factor_milli = 0, .backoff_jitter_milli = UINT32_MAX };
    struct backoff b = { 0 };
    for (int i = 0; i < 100; i++)
        ck_assert_uint_eq(backoff_delay(&b, &s, 0, 7), 0);
    s.backoff_first_ms = s.backoff_max_ms = UINT32_MAX;
    s.backoff_factor_milli = UINT32_MAX;
    for (int i = 0; i < 100; i++)
        ck_assert_uint_le(backoff_delay(&b, &s, 0, UINT32_MAX), 2ULL * UINT32_MAX);
    ck_assert(!backoff_over_limit(&b, &s, 1)); /* no limit set */
}
END_TEST

START_TEST(too_many_restarts_in_the_window_are_noticed)
{
    struct backoff b = { 0 };
    for (uint64_t t = 1000; t < 4000; t += 1000)
        ck_assert(!backoff_over_limit(&b, &patient, t));
    ck_assert(backoff_over_limit(&b, &patient, 4000));
    backoff_reset(&b);
    for (uint64_t t = 1000; t < 100000; t += 4000) /* three in any ten seconds */
        ck_assert(!backoff_over_limit(&b, &patient, t));
}
END_TEST

/* --- verdicts --- */

static struct verdict_service judged[] = {
    { "opencode", "ready", "", true, true, true, false, false },
    { "gateway", "ready", "", true, false, true, false, false },
    { "ttyd", "backoff", "exit 1", false, false, false, false, false },
};
static struct verdict_volume places[] = {
    { "/home/coder/.local", "", true, true, true },
    { "/home/coder/cache", "it is read-only", false, true, false },
};

static const struct {
    const char *name;
    struct verdict_input in;
    int service, volume; /* what is wrong; -1: nothing */
    struct verdict_service as_service;
    struct verdict_volume as_volume;
    bool live, ready;
    const char *failing; /* check of /readyz */
} verdicts[] = {
    { "all is well", { .started_up = true }, -1, -1, { 0 }, { 0 }, true, true, "" },
    { "booting", { .booting = true }, -1, -1, { 0 }, { 0 }, true, false, "boot" },
    { "stopping", { .stopping = true }, -1, -1, { 0 }, { 0 }, true, false, "stopping" },
    { "a gate is not ready",
      { 0 },
      1,
      -1,
      { "gateway", "starting", "", true, false, false, false, false },
      { 0 },
      true,
      false,
      "gateway" },
    { "no gate, not ready",
      { 0 },
      2,
      -1,
      { "ttyd", "failed", "", false, false, false, true, false },
      { 0 },
      true,
      true,
      "" },
    { "OpenCode gave up",
      { 0 },
      0,
      -1,
      { "opencode", "failed", "exit 1", true, true, false, true, false },
      { 0 },
      false,
      false,
      "opencode" },
    { "its check is stale",
      { 0 },
      0,
      -1,
      { "opencode", "ready", "", true, true, true, false, true },
      { 0 },
      true,
      false,
      "opencode" },
    { "bad volume that gates",
      { 0 },
      -1,
      0,
      { 0 },
      { "/home/coder/.local", "not mounted", true, true, false },
      true,
      false,
      "volumes" },
    { "volume not looked at",
      { 0 },
      -1,
      0,
      { 0 },
      { "/home/coder/.local", "", true, false, false },
      true,
      false,
      "volumes" },
};

START_TEST(verdicts_are_as_the_table_says)
{
    struct verdict_service services[ARRAY_SIZE(judged)];
    struct verdict_volume volumes[ARRAY_SIZE(places)];
    struct verdict_check checks[16];
    struct verdict_input in = verdicts[_i].in;
    size_t n;
    memcpy(services, judged, sizeof judged);
    memcpy(volumes, places, sizeof places);
    if (verdicts[_i].service >= 0)
        services[verdicts[_i].service] = verdicts[_i].as_service;
    if (verdicts[_i].volume >= 0)
        volumes[verdicts[_i].volume] = verdicts[_i].as_volume;
    in.services = services;
    in.service_count = ARRAY_SIZE(services);
    in.volumes = volumes;
    in.volume_count = ARRAY_SIZE(volumes);
    ck_assert_msg(verdict_judge(VERDICT_LIVE, &in, checks, 16, &n) == verdicts[_i].live, "%s",
                  verdicts[_i].name);
    bool ready = verdict_judge(VERDICT_READY, &in, checks, 16, &n);
    ck_assert_msg(ready == verdicts[_i].ready, "%s", verdicts[_i].name);
    const char *failing = "";
    for (size_t i = 0; i < n; i++) {
        ck_assert(checks[i].ok == (checks[i].reason[0] == '\0'));
        if (!checks[i].ok)
            failing = checks[i].name;
    }
    ck_assert_str_eq(failing, verdicts[_i].failing);
    ck_assert(verdict_judge(VERDICT_STARTUP, &in, checks, 16, &n) == in.started_up);
    /* A short array changes nothing but the list. */
    ck_assert(verdict_judge(VERDICT_READY, &in, checks, 1, &n) == ready);
    ck_assert_uint_eq(n, 1);
}
END_TEST

/* --- the stop's budget --- */

START_TEST(no_sum_of_graces_passes_the_budget)
{
    for (uint32_t budget = 0; budget < 40000; budget += 777) {
        struct stop_need needs[] = { { 3000, 8000 }, { 0, 5000 }, { 5000, 5000 }, { 0, 60000 } };
        uint64_t used = 0;
        for (size_t i = 0; i < ARRAY_SIZE(needs); i++) {
            struct stop_need s =
                stop_share(needs + i, ARRAY_SIZE(needs) - i, budget > used ? budget - used : 0);
            ck_assert_uint_le(s.grace_ms, needs[i].grace_ms);
            ck_assert_uint_le(s.hook_ms, needs[i].hook_ms);
            used += (uint64_t)s.hook_ms + s.grace_ms; /* the worst case: each takes all */
        }
        ck_assert_uint_le(used, budget);
    }
}
END_TEST

START_TEST(everyone_gets_what_it_needs_when_there_is_enough)
{
    struct stop_need needs[] = { { 3000, 8000 }, { 0, 5000 } };
    struct stop_need s = stop_share(needs, 2, 25000);
    ck_assert_uint_eq(s.hook_ms, 3000);
    ck_assert_uint_eq(s.grace_ms, 8000);
    s = stop_share(needs, 2, 9000); /* half of what is asked for, after the reserve */
    ck_assert_uint_eq(s.grace_ms, 4000);
    ck_assert_uint_eq(stop_share(needs, 0, 100).grace_ms, 0);
    ck_assert_uint_eq(stop_reserve(25000), 1000);
    ck_assert_uint_eq(stop_reserve(1000), 200);
}
END_TEST

/* --- environments --- */

START_TEST(later_variables_win)
{
    struct env e = { 0 };
    env_put(&e, "A=1");
    env_put(&e, "AB=2");
    env_put(&e, "A=3");
    env_put(&e, "nothing");
    env_put(&e, "=x");
    env_set(&e, "C", "a=b");
    ck_assert_uint_eq(e.count, 3);
    ck_assert_str_eq(env_get(&e, "A"), "3");
    ck_assert_str_eq(env_get(&e, "C"), "a=b");
    ck_assert_ptr_null(env_get(&e, "B"));
    env_unset(&e, "A");
    ck_assert_ptr_null(env_get(&e, "A"));
    ck_assert_str_eq(env_get(&e, "AB"), "2");
    ck_assert_ptr_null(e.vars[e.count]);
    env_release(&e);
}
END_TEST

START_TEST(lines_are_read_and_never_executed)
{
    static const char text[] = "# comment\n"
                               "\n"
                               "A=plain\n"
                               "  export B = no\n" /* a space in the name */
                               "export C=\"two words\"\r\n"
                               "D='$(id)'\n"
                               "E=`id` $HOME\n"
                               "1F=x\n"
                               "G\n"
                               "H=\"open\n"
                               "export\tI=tab\n"
                               "J=";
    struct env e = { 0 };
    ck_assert_uint_eq(env_put_lines(&e, text, sizeof text - 1), 3);
    ck_assert_str_eq(env_get(&e, "A"), "plain");
    ck_assert_ptr_null(env_get(&e, "B"));
    ck_assert_str_eq(env_get(&e, "C"), "two words");
    ck_assert_str_eq(env_get(&e, "D"), "$(id)");
    ck_assert_str_eq(env_get(&e, "E"), "`id` $HOME");
    ck_assert_str_eq(env_get(&e, "H"), "\"open");
    ck_assert_str_eq(env_get(&e, "I"), "tab");
    ck_assert_str_eq(env_get(&e, "J"), "");
    ck_assert_uint_eq(env_put_lines(&e, "K=a\0b\n", 6), 1); /* would be cut silently */
    env_release(&e);
}
END_TEST

static int read_file_of(struct secret_store *s, const char *name)
{
    for (size_t i = 0; i < secret_count(); i++) {
        _cleanup_free_ char *value = NULL;
        if (strcmp(secret_table[i].name, name) != 0)
            continue;
        int r = secret_store_read_file(s, i, &value);
        return r < 0 ? r : secret_store_set(s, name, value);
    }
    return -ENOENT;
}

START_TEST(secrets_leave_the_environment)
{
    struct secret_store s = { 0 };
    char path[] = "/tmp/codev-secret-XXXXXX";
    _cleanup_fd_ int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fd_write_all(fd, "app-from-file\nsecond line\n", 26), 0);
    char bot[] = "SLACK_BOT_TOKEN=xoxb-secret", other[] = "OTHER=kept";
    char file[128];
    (void)snprintf(file, sizeof file, "SLACK_APP_TOKEN_FILE=%s", path);
    char *vars[] = { bot, other, file, NULL }, **saved = environ;
    environ = vars;
    ck_assert_int_eq(secret_store_collect(&s), 0);
    environ = saved;
    ck_assert_ptr_null(secret_store_get(&s, "SLACK_APP_TOKEN")); /* a helper reads files */
    ck_assert_int_eq(read_file_of(&s, "SLACK_APP_TOKEN"), 0);
    (void)unlink(path);
    ck_assert_str_eq(secret_store_get(&s, "SLACK_BOT_TOKEN"), "xoxb-secret");
    ck_assert_str_eq(secret_store_get(&s, "SLACK_APP_TOKEN"), "app-from-file");
    ck_assert_ptr_eq(vars[0], other); /* the only one left */
    ck_assert_ptr_null(vars[1]);
    for (size_t i = 0; i < sizeof bot; i++) /* where /proc/1/environ shows it */
        ck_assert_int_eq(bot[i], 0);
    for (size_t i = 0; i < strlen(path); i++)
        ck_assert_int_eq(file[i], 0);
    secret_store_wipe(&s);
    ck_assert_ptr_null(secret_store_get(&s, "SLACK_BOT_TOKEN"));
}
END_TEST

static int hand_over(const struct secret_store *s, uint32_t readers, struct env *env)
{
    char number[16];
    int fd, r = secret_store_pipe(s, readers, &fd);
    secret_store_environment(s, readers, env);
    if (r < 0 || fd < 0)
        return r;
    (void)snprintf(number, sizeof number, "%d", fd);
    env_set(env, "CODEV_SECRETS_FD", number);
    return 0;
}

START_TEST(what_nobody_took_is_taken_back)
{
    struct secret_store s = { 0 };
    int fd;
    ck_assert_int_eq(secret_store_set(&s, "SLACK_BOT_TOKEN", "xoxb"), 0);
    ck_assert_int_eq(secret_store_pipe(&s, SECRET_FOR_GATEWAY, &fd), 0);
    ck_assert_uint_eq(secret_pipe_drain(fd), strlen("SLACK_BOT_TOKEN=xoxb\n"));
    ck_assert_uint_eq(secret_pipe_drain(fd), 0);
    (void)close(fd);
    ck_assert_int_eq(secret_store_pipe(&s, SECRET_FOR_PREPARE, &fd), 0);
    ck_assert_int_eq(fd, -1);
    secret_store_wipe(&s);
}
END_TEST

START_TEST(what_was_given_is_not_generated)
{
    static struct supervisor sv;
    ck_assert_int_eq(secret_store_set(&sv.secrets, "CODEV_BRIDGE_TOKEN", "the hub's"), 0);
    boot_generate_secrets(&sv);
    ck_assert_str_eq(secret_store_get(&sv.secrets, "CODEV_BRIDGE_TOKEN"), "the hub's");
    ck_assert_uint_eq(strlen(secret_store_get(&sv.secrets, "CODEV_TOKEN")), SECRET_TEXT_SIZE - 1);
    ck_assert_ptr_null(secret_store_get(&sv.secrets, "GITHUB_TOKEN"));
    secret_store_wipe(&sv.secrets);
}
END_TEST

START_TEST(each_service_gets_its_own_secrets_only)
{
    struct secret_store s = { 0 };
    struct env gateway = { 0 }, opencode = { 0 }, stranger = { 0 };
    ck_assert_int_eq(secret_store_set(&s, "SLACK_BOT_TOKEN", "xoxb"), 0);
    ck_assert_int_eq(secret_store_set(&s, "CODEV_BRIDGE_TOKEN", "bridge\ncut"), 0);
    ck_assert_int_eq(secret_store_set(&s, "OPENCODE_SERVER_PASSWORD", "pass"), 0);
    ck_assert_int_eq(secret_store_set(&s, "NO_SECRET", "x"), -ENOENT);
    ck_assert_int_eq(hand_over(&s, SECRET_FOR_GATEWAY, &gateway), 0);
    ck_assert_ptr_null(env_get(&gateway, "SLACK_BOT_TOKEN"));
    ck_assert_int_eq(setenv("CODEV_SECRETS_FD", env_get(&gateway, "CODEV_SECRETS_FD"), 1), 0);
    struct secrets got = { 0 };
    ck_assert_int_eq(secrets_take(SECRET_FOR_GATEWAY, &got, NULL), 0);
    ck_assert_uint_eq(got.count, 3);
    ck_assert_str_eq(secrets_get(&got, "SLACK_BOT_TOKEN"), "xoxb");
    ck_assert_str_eq(secrets_get(&got, "CODEV_BRIDGE_TOKEN"), "bridge");
    secrets_release(&got);
    uint32_t both = SECRET_FOR_OPENCODE | SECRET_FOR_OPENCODE_ENV;
    ck_assert_int_eq(hand_over(&s, both, &opencode), 0);
    ck_assert_str_eq(env_get(&opencode, "OPENCODE_SERVER_PASSWORD"), "pass");
    ck_assert_int_eq(setenv("CODEV_SECRETS_FD", env_get(&opencode, "CODEV_SECRETS_FD"), 1), 0);
    ck_assert_int_eq(secrets_take(SECRET_FOR_OPENCODE, &got, NULL), 0);
    ck_assert_uint_eq(got.count, 1);
    ck_assert_str_eq(secrets_get(&got, "CODEV_BRIDGE_TOKEN"), "bridge");
    secrets_release(&got);
    ck_assert_int_eq(hand_over(&s, 0, &stranger), 0);
    ck_assert_uint_eq(stranger.count, 0);
    env_release(&gateway);
    env_release(&opencode);
    secret_store_wipe(&s);
}
END_TEST

START_TEST(many_large_secrets_never_block)
{
    struct secret_store s = { 0 };
    struct env e = { 0 };
    char *large = malloc(300000);
    ck_assert_ptr_nonnull(large);
    memset(large, 'x', 299999);
    large[299999] = '\0';
    ck_assert_int_eq(secret_store_set(&s, "SLACK_BOT_TOKEN", large), 0);
    ck_assert_int_eq(hand_over(&s, SECRET_FOR_GATEWAY, &e), 0);
    ck_assert_int_eq(secret_store_set(&s, "SLACK_APP_TOKEN", large), 0);
    ck_assert_int_eq(secret_store_set(&s, "GITHUB_TOKEN", large), 0);
    ck_assert_int_eq(secret_store_set(&s, "NTFY_TOPIC", large), 0);
    ck_assert_int_eq(hand_over(&s, SECRET_FOR_GATEWAY, &e), -EMSGSIZE);
    free(large);
    env_release(&e);
    secret_store_wipe(&s);
}
END_TEST

/* --- processes and names --- */

START_TEST(a_stat_line_is_read_whatever_the_command_is_called)
{
    struct tree_process p;
    static const char good[] = "42 (a) R 1 (x) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 "
                               "987654 1000 10 18446744073709551615\n";
    ck_assert_int_eq(tree_parse_stat(good, &p), 0);
    ck_assert_int_eq(p.pid, 42);
    ck_assert_int_eq(p.parent, 7);
    ck_assert_int_eq(p.state, 'S');
    ck_assert_uint_eq(p.started, 987654);
    static const char *const bad[] = {
        "", "42", "42 (a", "42 (a) R", "x (a) R 1 2 3", "42 (a) S 1 2 3 4"
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ck_assert_int_lt(tree_parse_stat(bad[i], &p), 0);
}
END_TEST

START_TEST(descendants_are_marked_in_any_order)
{
    struct tree_process rows[] = {
        { .pid = 9, .parent = 5 }, { .pid = 5, .parent = 3 },
        { .pid = 3, .parent = 1 }, { .pid = 4, .parent = 1 },
        { .pid = 7, .parent = 8 }, { .pid = 8, .parent = 7 }, /* a circle */
        { .pid = 6, .parent = 4 }, { .pid = 10, .parent = 99 },
    };
    struct tree t = { .rows = rows, .count = ARRAY_SIZE(rows) };
    tree_mark(&t, 3);
    for (size_t i = 0; i < t.count; i++)
        ck_assert_int_eq(t.rows[i].below, t.rows[i].pid == 5 || t.rows[i].pid == 9);
}
END_TEST

START_TEST(a_program_is_found_along_the_path)
{
    char out[256];
    ck_assert_int_eq(spawn_find("sh", "/nowhere:/bin", out, sizeof out), 0);
    ck_assert_str_eq(out, "/bin/sh");
    ck_assert_int_eq(spawn_find("/x/y", "", out, sizeof out), 0);
    ck_assert_str_eq(out, "/x/y");
    ck_assert_int_eq(spawn_find("no-such-program", "/bin", out, sizeof out), -ENOENT);
    ck_assert_int_eq(spawn_find("passwd", "/etc", out, sizeof out), -EACCES);
    ck_assert_int_eq(spawn_find("sh", "/bin", out, 4), -ENOENT); /* no room: not cut to another */
    ck_assert_str_eq(signal_name(15), "SIGTERM");
    ck_assert_str_eq(signal_name(40), "signal 40");
    ck_assert_str_eq(signal_name(-1), "signal -1");
}
END_TEST

START_TEST(signals_are_rewritten_as_told)
{
    static const char *const bad[] = {
        "", "15", ":2", "15:", "65:2", "0:2", "15:99", "a:b", "15:2x"
    };
    const struct {
        const char *value;
        int from, to;
    } good[] = { { "15:2", 15, 2 }, { "1:0", 1, 0 }, { "64:64", 64, 64 } };
    struct plain_options o;
    char **command, name[] = "codev-init", option[] = "-r", value[16], program[] = "true";
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        char *argv[] = { name, option, value, program, NULL };
        (void)snprintf(value, sizeof value, "%s", good[i].value);
        ck_assert_int_eq(plain_parse(&o, argv, &command), -1);
        ck_assert_str_eq(command[0], "true");
        ck_assert_ptr_null(command[1]);
        ck_assert_int_eq(o.rewrite[good[i].from], good[i].to);
        ck_assert_int_eq(o.rewrite[10], PLAIN_AS_IS);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char *argv[] = { name, option, value, program, NULL };
        (void)snprintf(value, sizeof value, "%s", bad[i]);
        ck_assert_int_eq(plain_parse(&o, argv, &command), 2);
    }
}
END_TEST

START_TEST(the_runtime_folder_is_ours_and_closed)
{
    char top[] = "/tmp/codev-rt-XXXXXX", dir[128], link[128], out[256];
    struct stat st;
    ck_assert_ptr_nonnull(mkdtemp(top));
    (void)snprintf(dir, sizeof dir, "%s/a/b", top);
    (void)snprintf(link, sizeof link, "%s/link", top);
    (void)setenv("CODEV_RUNTIME_DIR", dir, 1);
    ck_assert_int_eq(runtime_dir_open(out, sizeof out), 0);
    ck_assert_str_eq(out, dir);
    ck_assert_int_eq(chmod(dir, 0777), 0);
    ck_assert_int_eq(runtime_dir_open(out, sizeof out), 0);
    ck_assert_int_eq(stat(dir, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0700);
    ck_assert_int_eq(symlink(dir, link), 0); /* as another user could place one in /tmp */
    (void)setenv("CODEV_RUNTIME_DIR", link, 1);
    ck_assert_int_lt(runtime_dir_open(out, sizeof out), 0);
    (void)setenv("CODEV_RUNTIME_DIR", "/proc/none", 1);
    ck_assert_int_lt(runtime_dir_open(out, sizeof out), 0);
    ck_assert_int_eq(file_remove_tree(top), 0);
}
END_TEST

/* A mounted emptyDir: root's, mode 0777. */
START_TEST(a_runtime_folder_of_somebody_else_gets_one_of_ours_in_it)
{
    char top[] = "/tmp/codev-rt-XXXXXX", want[128];
    if (geteuid() != 0) {
        (void)printf("SKIP init: needs root to become another user\n");
        return;
    }
    ck_assert_ptr_nonnull(mkdtemp(top));
    ck_assert_int_eq(chmod(top, 0777), 0);
    (void)setenv("CODEV_RUNTIME_DIR", top, 1);
    (void)snprintf(want, sizeof want, "%s/65534", top);
    pid_t pid = fork();
    if (pid == 0) {
        char out[256], found[256], sock[300];
        struct error e = ERROR_INIT;
        if (setgid(65534) < 0 || setuid(65534) < 0)
            _exit(1);
        if (runtime_dir_open(out, sizeof out) < 0 || strcmp(out, want) != 0)
            _exit(2);
        (void)snprintf(sock, sizeof sock, "%s/control.sock", out);
        if (file_write_atomic(sock, "", 0, 0600) < 0)
            _exit(3);
        _exit(control_runtime_dir(found, sizeof found, &e) < 0 || strcmp(found, want) != 0 ? 4 : 0);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(file_remove_tree(top), 0);
}
END_TEST

START_TEST(a_failed_start_says_what_to_do)
{
    static const struct {
        struct spawn_failure f;
        struct spawn_wanted wanted;
        const char *text;
    } rows[] = {
        { { .step = SPAWN_EXEC, .error = ENOENT },
          { "ttyd", "", "" },
          "cannot run ttyd: not found in PATH: " },
        { { .step = SPAWN_EXEC, .error = ENOENT },
          { "/x/y", "", "" },
          "cannot run /x/y: No such file" },
        { { .step = SPAWN_EXEC, .error = EACCES },
          { "/x/y", "", "" },
          "it must be a file with mode +x" },
        { { .step = SPAWN_EXEC, .error = ENOEXEC },
          { "/x/y", "", "" },
          "cannot run /x/y: Exec format error" },
        { { .step = SPAWN_CWD, .error = ENOENT },
          { "a", "/w", "" },
          "cannot enter its working folder /w: " },
        { { .step = SPAWN_USER, .error = ENOENT }, { "a", "", "bob" }, "there is no user bob" },
        { { .step = SPAWN_USER, .error = EPERM },
          { "a", "", "bob" },
          "cannot become the user bob: " },
        { { .step = SPAWN_FORK, .error = EAGAIN }, { "a", "", "" }, "cannot make a process: " },
        { { .step = 99, .error = EAGAIN }, { "a", "", "" }, "cannot start: " },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[200];
        spawn_failure_text(&rows[i].f, &rows[i].wanted, text, sizeof text);
        ck_assert_msg(strstr(text, rows[i].text) != NULL, "%s", text);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("init");
    TCase *t = tcase_create("init");
    tcase_add_loop_test(t, each_event_does_what_the_table_says, 0, (int)ARRAY_SIZE(transitions));
    tcase_add_test(t, whatever_runs_can_end_and_be_stopped);
    tcase_add_loop_test(t, dependents_start_when_they_may, 0, 11);
    tcase_add_loop_test(t, an_end_has_its_consequence_by_policy, 0, 10);
    tcase_add_test(t, delays_grow_to_the_cap_and_start_anew);
    tcase_add_test(t, jitter_stays_in_its_bounds);
    tcase_add_test(t, strange_settings_end_too);
    tcase_add_test(t, too_many_restarts_in_the_window_are_noticed);
    tcase_add_loop_test(t, verdicts_are_as_the_table_says, 0, (int)ARRAY_SIZE(verdicts));
    tcase_add_test(t, no_sum_of_graces_passes_the_budget);
    tcase_add_test(t, everyone_gets_what_it_needs_when_there_is_enough);
    tcase_add_test(t, later_variables_win);
    tcase_add_test(t, lines_are_read_and_never_executed);
    tcase_add_test(t, secrets_leave_the_environment);
    tcase_add_test(t, what_was_given_is_not_generated);
    tcase_add_test(t, each_service_gets_its_own_secrets_only);
    tcase_add_test(t, what_nobody_took_is_taken_back);
    tcase_add_test(t, many_large_secrets_never_block);
    tcase_add_test(t, a_stat_line_is_read_whatever_the_command_is_called);
    tcase_add_test(t, descendants_are_marked_in_any_order);
    tcase_add_test(t, a_program_is_found_along_the_path);
    tcase_add_test(t, a_runtime_folder_of_somebody_else_gets_one_of_ours_in_it);
    tcase_add_test(t, a_failed_start_says_what_to_do);
    tcase_add_test(t, signals_are_rewritten_as_told);
    tcase_add_test(t, the_runtime_folder_is_ours_and_closed);
    suite_add_tcase(s, t);
    return run_suite(s);
}
