/* rooms: supervisor/plan supervisor/sandbox base/core */
/* What a service leaves behind, however it ends, and what nobody waits for. */
#include "tests/unit/init_roles.h"

START_TEST(ten_thousand_orphans_leave_no_zombie)
{
    struct pod_service s[] = {
        { .name = "maker", .argv = ROLE("orphans", "3000"), .p = { .type = PLAN_TYPE_ONESHOT } }
    };
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_state("maker", "done")); /* its guard reaped them */
    long before = pod_number(POD_ASK("status"), "reaped");
    exec_inside("orphans", "10000"); /* PID 1 itself has to */
    POD_EVENTUALLY(&pod, pod_number(POD_ASK("status"), "reaped") >= before + 10000);
    ck_assert_int_eq(zombies_of(pod.pid1), 0);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

/* How the service that left something behind ends. */
enum { BY_STOP, BY_CRASH, BY_GUARD, BY_HELD_GUARD, BY_POD_STOP, BY_MAX };

START_TEST(what_a_service_leaves_behind_is_gone)
{
    const char *name = unique("left");
    struct pod_service s[] = { { .name = "leaver", .argv = ROLE("leaver", name) } };
    start(s, 1);
    pid_t stray = host_pid(name), guard = pod_guard(&pod, "leaver"), leader = 0;
    ck_assert_int_gt(guard, 0);
    POD_EVENTUALLY(&pod, parent_of(stray) == guard); /* its guard's, not among the orphans */
    char children[64], text[256] = "";
    (void)snprintf(children, sizeof children, "/proc/%d/task/%d/children", (int)guard, (int)guard);
    int fd = open(children, O_RDONLY | O_CLOEXEC);
    ck_assert_int_gt(read(fd, text, sizeof text - 1), 0);
    (void)close(fd);
    leader = (pid_t)strtol(text, NULL, 10);
    leader = leader == stray ? (pid_t)strtol(strchr(text, ' '), NULL, 10) : leader;
    POD_EVENTUALLY(&pod, pod_state("leaver", "ready"));
    switch (_i) {
    case BY_STOP:
        (void)POD_ASK("stop", "leaver");
        break;
    case BY_CRASH:
        ck_assert_int_eq(kill(leader, SIGKILL), 0);
        break;
    case BY_GUARD:
        ck_assert_int_eq(kill(guard, SIGKILL), 0);
        break;
    case BY_HELD_GUARD:
        ck_assert_int_eq(kill(guard, SIGSTOP), 0);
        (void)POD_ASK("stop", "leaver");
        break;
    default:
        ck_assert_int_eq(pod_stop(&pod, 10000), 0);
        break;
    }
    /* The same process: the service may have been started again, and left a new one. */
    POD_EVENTUALLY(&pod, kill(stray, 0) < 0 || parent_of(stray) == 0);
    if (_i == BY_CRASH || _i == BY_GUARD) {
        POD_EVENTUALLY(&pod, pod_number(pod_service_status("leaver"), "restarts") >= 1);
        ck_assert_int_eq(kill(leader, 0), -1);
    }
    if (_i != BY_POD_STOP)
        ck_assert_int_eq(pod_stop(&pod, 10000), 0);
    ck_assert_int_eq(living(name, NULL), 0);
}
END_TEST

START_TEST(a_host_of_forked_daemons_is_gone_too)
{
    const char *name = unique("bomb");
    struct pod_service s[] = {
        { .name = "bomb", .argv = ROLE("bomb", name), .p = { .stop_grace_ms = 100 } }
    };
    start(s, 1);
    POD_EVENTUALLY(&pod, living(name, NULL) > 2000);
    (void)POD_ASK("stop", "bomb");
    POD_EVENTUALLY(&pod, pod_state("bomb", "stopped"));
    ck_assert_int_eq(living(name, NULL), 0);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(a_held_guard_hides_no_death)
{
    struct pod_service s[] = { { .name = "svc", .argv = SHELL("exec sleep 1000") } };
    char path[64], text[64] = "";
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_state("svc", "ready"));
    pid_t guard = pod_guard(&pod, "svc");
    ck_assert_int_gt(guard, 0);
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)guard, (int)guard);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_gt(read(fd, text, sizeof text - 1), 0);
    (void)close(fd);
    ck_assert_int_eq(kill(guard, SIGSTOP), 0);
    ck_assert_int_eq(kill((pid_t)strtol(text, NULL, 10), SIGKILL), 0);
    POD_EVENTUALLY(&pod, pod_number(pod_service_status("svc"), "restarts") == 1);
    POD_EVENTUALLY(&pod, pod_state("svc", "ready"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(when_it_is_killed_outright_nothing_is_left)
{
    const char *name = unique("kill");
    struct pod_service s[] = { { .name = "leaver", .argv = ROLE("leaver", name) } };
    pod.own_pid1 = false; /* as PID 1 the kernel would see to it */
    start(s, 1);
    (void)host_pid(name);
    ck_assert_int_eq(kill(pod.pid1, SIGKILL), 0);
    POD_EVENTUALLY(&pod, living(name, NULL) == 0);
}
END_TEST

/* A killed guard: its orphans are found by the service's session, or by its mark in their
 * environment. What has shed both no one can tell from another service's; the end of the pod is
 * its end. */
static const struct {
    const char *how; /* $0 is this program, $1 the name */
    bool found;
} strays[] = {
    { "(env -i \"$0\" --role stubborn \"$1\" &)", true },
    { "(setsid \"$0\" --role stubborn \"$1\" &)", true },
    { "(setsid env -i \"$0\" --role stubborn \"$1\" &)", false },
};

START_TEST(a_killed_guards_orphans_are_found)
{
    const char *name = unique("stray");
    char script[160];
    (void)snprintf(script, sizeof script, "%s; exec sleep 1000", strays[_i].how);
    struct pod_service s[] = { { .name = "leaver",
                                 .argv = { "/bin/sh", "-c", script, self, name },
                                 .p = { .restart = PLAN_RESTART_NEVER } } };
    start(s, 1);
    pid_t stray = host_pid(name), guard = 0;
    POD_EVENTUALLY(&pod, living("g:leaver", &guard) == 1 && parent_of(stray) == guard);
    ck_assert_int_eq(kill(guard, SIGKILL), 0);
    POD_EVENTUALLY(&pod, status_has("leaver", "its guard was killed"));
    POD_EVENTUALLY(&pod, pod_state("leaver", "failed"));
    ck_assert_int_eq(living(name, NULL), strays[_i].found ? 0 : 1);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
    ck_assert_int_eq(living(name, NULL), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("init_orphans");
    TCase *t = tcase_create("live");
    tcase_set_timeout(t, 90);
    tcase_add_checked_fixture(t, open_pod, close_pod);
    tcase_add_test(t, ten_thousand_orphans_leave_no_zombie);
    tcase_add_loop_test(t, what_a_service_leaves_behind_is_gone, 0, BY_MAX);
    tcase_add_test(t, a_host_of_forked_daemons_is_gone_too);
    tcase_add_test(t, a_held_guard_hides_no_death);
    tcase_add_test(t, when_it_is_killed_outright_nothing_is_left);
    tcase_add_loop_test(t, a_killed_guards_orphans_are_found, 0, ARRAY_SIZE(strays));
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    return run_roles(argc, argv, suite);
}
