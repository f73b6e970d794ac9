/* rooms: supervisor/plan supervisor/sandbox base/core */
/* A reload, and what it leaves alone. */
#include "tests/unit/init_roles.h"

START_TEST(a_reload_touches_only_what_changed)
{
    struct pod_service s[] = {
        { .name = "same", .argv = SHELL("exec sleep 1000") },
        { .name = "other", .argv = SHELL("exec sleep 1001") },
        { .name = "gone", .argv = SHELL("exec sleep 1002") },
    };
    start(s, 3);
    for (size_t i = 0; i < 3; i++)
        POD_EVENTUALLY(&pod, pod_state(s[i].name, "ready"));
    long pid = pod_number(pod_service_status("same"), "pid");
    s[0].p.stop_grace_ms = 1234; /* how it is stopped is no reason to restart it */
    s[1].argv[2] = "exec sleep 1003";
    s[2] = (struct pod_service){ .name = "new", .argv = SHELL("exec sleep 1004") };
    pod_write_plan(&pod, s, 3, 0, NULL, 0);
    const char *answer = POD_ASK("reload");
    ck_assert_str_eq(answer, "{\"ok\":true,\"started\":[\"new\"],\"stopped\":[\"gone\"],"
                             "\"restarted\":[\"other\"]}");
    POD_EVENTUALLY(&pod, pod_state("new", "ready"));
    POD_EVENTUALLY(&pod, *pod_service_status("gone") == '\0');
    POD_EVENTUALLY(&pod, pod_number(pod_service_status("other"), "restarts") == 1);
    ck_assert_int_eq(pod_number(pod_service_status("same"), "pid"), pid);
    pod_config_script(&pod, "#!/bin/sh\necho 'bad: here' >&2\nexit 78\n");
    ck_assert_ptr_nonnull(
        strstr(POD_ASK("reload"), "\"code\":\"bad_config\",\"message\":\"bad: here\""));
    ck_assert_int_eq(kill(pod.pid1, SIGHUP), 0);
    POD_EVENTUALLY(&pod, strstr(strstr(pod_log(&pod), "reload refused")
                                    ? strstr(pod_log(&pod), "reload refused") + 1
                                    : "",
                                "reload refused"));
    ck_assert_int_eq(pod_number(pod_service_status("same"), "pid"), pid);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

/* Reloads the plan; nothing is restarted by it. */
static void reload(const struct pod_service *s, size_t count)
{
    pod_write_plan(&pod, s, count, 0, NULL, 0);
    ck_assert_str_eq(POD_ASK("reload"),
                     "{\"ok\":true,\"started\":[],\"stopped\":[],\"restarted\":[]}");
}

static size_t lines_of_check(void)
{
    size_t n = 0;
    for (const char *at = pod_log(&pod); (at = strstr(at, "\"msg\":\"checked\"")); at++)
        n++;
    return n;
}

START_TEST(a_reload_changes_checks_of_what_runs)
{
    struct pod_service s[] = { { .name = "svc",
                                 .argv = SHELL("exec sleep 1000"),
                                 .health = SHELL("echo checked; exit 1"),
                                 .p = { .health = { .kind = PLAN_CHECK_EXEC,
                                                    .interval_ms = 20,
                                                    .timeout_ms = 1000,
                                                    .failures = 1,
                                                    .action = PLAN_ACTION_MARK } } } };
    const struct plan_check none = { .kind = PLAN_CHECK_NONE }, with = s[0].p.health;
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_state("svc", "unhealthy"));
    s[0].p.health = none; /* nothing could ever say that it is well again */
    reload(s, 1);
    ck_assert(pod_state("svc", "ready"));
    (void)poll(NULL, 0, 100);
    size_t before = lines_of_check();
    (void)poll(NULL, 0, 300);
    ck_assert_uint_eq(lines_of_check(), before);
    s[0].p.health = with; /* is made without a restart */
    reload(s, 1);
    POD_EVENTUALLY(&pod, pod_state("svc", "unhealthy"));
    ck_assert_int_eq(pod_number(pod_service_status("svc"), "restarts"), 0);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(what_is_no_longer_configured_is_not_started_again)
{
    struct pod_service s[] = {
        { .name = "kept", .argv = SHELL("exec sleep 1000") },
        { .name = "slow",
          .argv = SHELL("trap 'sleep 0.5; exit' TERM; while :; do sleep 0.01; done") },
    };
    start(s, 2);
    POD_EVENTUALLY(&pod, pod_state("slow", "ready"));
    (void)poll(NULL, 0, 100);
    pod_write_plan(&pod, s, 1, 0, NULL, 0);
    (void)POD_ASK("reload");
    ck_assert(pod_state("slow", "stopping"));
    ck_assert_ptr_nonnull(strstr(POD_ASK("start", "slow"), "unknown_service"));
    ck_assert_ptr_nonnull(strstr(POD_ASK("restart", "slow"), "unknown_service"));
    POD_EVENTUALLY(&pod, *pod_service_status("slow") == '\0');
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("init_reload");
    TCase *t = tcase_create("live");
    tcase_set_timeout(t, 90);
    tcase_add_checked_fixture(t, open_pod, close_pod);
    tcase_add_test(t, a_reload_touches_only_what_changed);
    tcase_add_test(t, a_reload_changes_checks_of_what_runs);
    tcase_add_test(t, what_is_no_longer_configured_is_not_started_again);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    return run_roles(argc, argv, suite);
}
