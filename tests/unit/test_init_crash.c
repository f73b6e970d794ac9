/* rooms: supervisor/plan supervisor/sandbox base/core */
/* PID 1 faults: it says so, runs itself again, and its services do not notice. */
#include "tests/unit/init_suite.h"

#include <dirent.h>

#include "base/core/secrets.h"

static const char *const secrets[] = { "CODEV_TOKEN=token-of-the-crash-test", NULL };

static void open_ours(void)
{
    pod_init(&pod);
    pod.own_dev = true;
    pod.env = secrets;
}

static void text_of(const char *json, const char *key, char *out, size_t size)
{
    char mark[64];
    (void)snprintf(mark, sizeof mark, "\"%s\":\"", key);
    const char *at = strstr(json, mark);
    (void)snprintf(out, size, "%.*s", at ? (int)strcspn(at + strlen(mark), "\"") : 0,
                   at ? at + strlen(mark) : "");
}

/* Each is a fault that PID 1 can have; from outside the pod it may be sent. */
static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
static const char *const names[] = { "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT" };

/* It answers again, by another image. */
static void fault(int signal, const char *said)
{
    ck_assert_int_eq(kill(pod.pid1, signal), 0);
    POD_EVENTUALLY(&pod, pod_says(&pod, said));
    POD_EVENTUALLY(&pod, *POD_ASK("status"));
}

START_TEST(the_services_do_not_notice)
{
    struct pod_service s[] = {
        { .name = "talker",
          .argv = SHELL("n=0; while :; do echo line $n; n=$((n+1)); sleep 0.05; done"),
          .health = { "/bin/true" },
          .p = { .health = { .kind = PLAN_CHECK_EXEC, .interval_ms = 50, .timeout_ms = 2000 } } },
        { .name = "once", .argv = SHELL("exit 0"), .p = { .type = PLAN_TYPE_ONESHOT } },
        { .name = "user", .argv = SHELL("exec sleep 1000"), .requires = "talker" },
        { .name = "broken",
          .argv = SHELL("exit 3"),
          .p = { .limit_count = 2, .limit_window_ms = 60000 } },
    };
    char boot[64], boot_after[64];
    start(s, ARRAY_SIZE(s));
    POD_EVENTUALLY(&pod, pod_state("user", "ready"));
    POD_EVENTUALLY(&pod, pod_state("broken", "failed"));
    (void)POD_ASK("annotate", "talker", "greeting", "hello there");
    long talker = pid_of("talker"), user = pid_of("user");
    text_of(POD_ASK("status"), "boot_id", boot, sizeof boot);
    char said[64];
    (void)snprintf(said, sizeof said, "PID 1 faulted: %s", names[_i]);
    fault(faults[_i], said);
    ck_assert_int_eq(pid_of("talker"), talker);
    ck_assert_int_eq(pid_of("user"), user);
    ck_assert_int_eq(pod_number(pod_service_status("talker"), "restarts"), 0);
    ck_assert(pod_state("talker", "ready") && pod_state("user", "ready"));
    ck_assert(pod_state("once", "done"));
    ck_assert(pod_state("broken", "failed"));
    ck_assert_ptr_nonnull(strstr(POD_ASK("status"), "\"greeting\":\"hello there\""));
    text_of(POD_ASK("status"), "boot_id", boot_after, sizeof boot_after);
    ck_assert_str_eq(boot, boot_after);
    ck_assert_ptr_nonnull(strstr(POD_ASK("secret", "CODEV_TOKEN"), "token-of-the-crash-test"));
    ck_assert_ptr_null(strstr(pod_log(&pod), "token-of-the-crash-test"));
    ck_assert_ptr_nonnull(strstr(pod_termination_log(&pod), said));
    ck_assert_ptr_nonnull(strstr(pod_termination_log(&pod), "build "));
    /* The pipes are the same ones. */
    size_t len = strlen(pod_log(&pod));
    POD_EVENTUALLY(&pod, strstr(pod_log(&pod) + len, "\"msg\":\"line "));
    /* And all that PID 1 is for goes on. */
    (void)POD_ASK("restart", "user");
    POD_EVENTUALLY(&pod, pod_state("user", "ready") && pid_of("user") != user);
    (void)POD_ASK("restart", "talker");
    POD_EVENTUALLY(&pod, pid_of("talker") > 0 && pid_of("talker") != talker);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(no_line_is_lost_or_torn)
{
    struct pod_service s[] = {
        { .name = "counter",
          .argv = SHELL("n=0; while [ $n -lt 1200 ]; do echo count-$n-; n=$((n+1)); done; "
                        "echo the-last; exec sleep 1000") },
    };
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_says(&pod, "count-100-"));
    ck_assert_int_eq(kill(pod.pid1, SIGSEGV), 0);
    POD_EVENTUALLY(&pod, pod_says(&pod, "the-last"));
    const char *log = pod_log(&pod);
    int lines = 0;
    for (const char *at = log; (at = strstr(at, "\"msg\":\"count-")); at++)
        lines++;
    ck_assert_int_ge(lines, 1200); /* the one at work may come twice */
    ck_assert_int_le(lines, 1201);
    for (const char *at = log, *end; (end = strchr(at, '\n')); at = end + 1)
        ck_assert_msg(*at == '{' && end[-1] == '}', "torn: %.*s", (int)(end - at), at);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(a_second_fault_stops_the_pod_in_order)
{
    struct pod_service s[] = {
        { .name = "polite",
          .argv =
              SHELL("trap 'echo goodbye; exit 0' TERM; echo armed; while :; do sleep 0.05; done") }
    };
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_state("polite", "ready") && pod_says(&pod, "armed"));
    fault(SIGSEGV, "PID 1 faulted: SIGSEGV");
    ck_assert_int_eq(kill(pod.pid1, SIGBUS), 0);
    ck_assert_int_eq(pod_wait(&pod, 20000), 128 + SIGBUS);
    ck_assert(pod_says(&pod, "for the second time within a minute"));
    ck_assert(pod_says(&pod, "goodbye"));
    ck_assert_ptr_nonnull(strstr(pod_termination_log(&pod), "PID 1 faulted: SIGBUS"));
}
END_TEST

START_TEST(a_third_fault_is_the_end)
{
    struct pod_service s[] = {
        { .name = "stubborn",
          .argv = SHELL("trap '' TERM; while :; do sleep 0.05; done"),
          .p = { .stop_grace_ms = 9000 } },
    };
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_state("stubborn", "ready"));
    fault(SIGSEGV, "PID 1 faulted: SIGSEGV");
    fault(SIGBUS, "PID 1 faulted: SIGBUS");
    ck_assert_int_eq(kill(pod.pid1, SIGFPE), 0);
    ck_assert_int_eq(pod_wait(&pod, 5000), 128 + SIGFPE);
    ck_assert(pod_says(&pod, "the pod ends at once"));
}
END_TEST

START_TEST(a_fault_while_it_stops_does_not_hold_the_stop_up)
{
    struct pod_service s[] = {
        { .name = "slow",
          .argv = SHELL("trap 'sleep 0.5; echo slept; exit 0' TERM; echo armed; "
                        "while :; do sleep 0.05; done"),
          .p = { .stop_grace_ms = 8000 } },
        { .name = "hooked",
          .argv = SHELL("exec sleep 1000"),
          .pre_stop = { "/bin/sleep", "5" },
          .p = { .pre_stop.timeout_ms = 8000 } },
    };
    start(s, 2);
    POD_EVENTUALLY(&pod, pod_state("slow", "ready") && pod_state("hooked", "ready"));
    POD_EVENTUALLY(&pod, pod_says(&pod, "armed"));
    ck_assert_int_eq(kill(pod.pid1, SIGTERM), 0);
    POD_EVENTUALLY(&pod, pod_state("hooked", "stopping"));
    ck_assert_int_eq(kill(pod.pid1, SIGSEGV), 0);
    ck_assert_int_eq(pod_wait(&pod, 20000), 0);
    ck_assert(pod_says(&pod, "slept"));
    ck_assert(pod_says(&pod, "PID 1 faulted: SIGSEGV"));
}
END_TEST

START_TEST(a_fault_at_the_start_begins_anew)
{
    struct pod_service s[] = { { .name = "one", .argv = SHELL("exec sleep 1000") } };
    char script[256];
    (void)snprintf(script, sizeof script,
                   "#!/bin/sh\nsleep 0.5\ncat '%s/plan' >\"/proc/self/fd/$3\"\n", pod.dir);
    pod_config_script(&pod, script);
    start(s, 1);
    POD_EVENTUALLY(&pod, *POD_ASK("status"));
    fault(SIGSEGV, "PID 1 faulted: SIGSEGV");
    POD_EVENTUALLY(&pod, pod_state("one", "ready"));
    ck_assert_ptr_nonnull(strstr(POD_ASK("secret", "CODEV_TOKEN"), "token-of-the-crash-test"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

/* Before the plan is there nobody knows in which form lines are wanted: they wait. */
START_TEST(lines_that_wait_are_not_lost)
{
    struct pod_service s[] = { { .name = "one", .argv = SHELL("exec sleep 1000") } };
    char script[256];
    (void)snprintf(script, sizeof script,
                   "#!/bin/sh\n[ -e '%s/go' ] || sleep 1000\ncat '%s/plan' >\"/proc/self/fd/$3\"\n",
                   pod.dir, pod.dir);
    pod_config_script(&pod, script);
    pod.text = true;
    pod_write_plan(&pod, s, 1, 0, NULL, 0);
    pod_start(&pod);
    POD_EVENTUALLY(&pod, *POD_ASK("status"));
    ck_assert_str_eq(pod_log(&pod), "");
    ck_assert_int_eq(file_write_atomic(pod_path(&pod, "go"), "", 0, 0644), 0);
    fault(SIGSEGV, "PID 1 faulted: SIGSEGV");
    POD_EVENTUALLY(&pod, pod_state("one", "ready"));
    ck_assert_ptr_nonnull(strstr(pod_log(&pod), "codev-init " CODEV_VERSION ", pid 1"));
    ck_assert_msg(!strchr(pod_log(&pod), '{'), "not all is text: %s", pod_log(&pod));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

/* Does PID 1 have a descriptor of that pipe? */
static bool holds(const char *pipe)
{
    char path[300], target[64];
    bool found = false;
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pod.pid1);
    DIR *fds = opendir(path);
    ck_assert_ptr_nonnull(fds);
    for (const struct dirent *d; (d = readdir(fds));) {
        (void)snprintf(path, sizeof path, "/proc/%d/fd/%s", (int)pod.pid1, d->d_name);
        ssize_t n = readlink(path, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        found |= strcmp(target, pipe) == 0;
    }
    (void)closedir(fds);
    return found;
}

/* The pipe with a service's secrets, which it has not read: PID 1 keeps its hold of it. */
START_TEST(secrets_can_still_be_taken_back)
{
    struct pod_service s[] = {
        { .name = "careless",
          .argv = SHELL("echo \"$(readlink /proc/self/fd/$CODEV_SECRETS_FD) it is\"; "
                        "exec sleep 1000"),
          .p = { .secret_readers = SECRET_FOR_GATEWAY } },
    };
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_state("careless", "ready") && pod_says(&pod, "] it is"));
    const char *at = strstr(pod_log(&pod), "pipe:[");
    ck_assert_ptr_nonnull(at);
    char pipe[64];
    (void)snprintf(pipe, sizeof pipe, "%.*s", (int)strcspn(at, " "), at);
    ck_assert(holds(pipe));
    long pid = pid_of("careless");
    fault(SIGSEGV, "PID 1 faulted: SIGSEGV");
    ck_assert_int_eq(pid_of("careless"), pid);
    ck_assert(holds(pipe));
    (void)POD_ASK("stop", "careless");
    POD_EVENTUALLY(&pod, pod_state("careless", "stopped"));
    ck_assert(!holds(pipe));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(why_a_reload_was_refused_stays_known)
{
    struct pod_service s[] = { { .name = "one", .argv = SHELL("exec sleep 1000") } };
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_state("one", "ready"));
    pod_config_script(&pod, "#!/bin/sh\necho 'codev.yaml:7: home: expected a path' >&2\nexit 78\n");
    (void)POD_ASK("reload");
    POD_EVENTUALLY(&pod, strstr(POD_ASK("status"), "codev.yaml:7: home"));
    fault(SIGSEGV, "PID 1 faulted: SIGSEGV");
    ck_assert_ptr_nonnull(strstr(POD_ASK("status"), "codev.yaml:7: home"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

/* What <NAME>_FILE named is what codev-config closes to the sandboxes: after a fault as before. */
START_TEST(where_secrets_come_from_stays_known)
{
    struct pod_service s[] = { { .name = "one", .argv = SHELL("exec sleep 1000") } };
    const char *const env[] = { "CODEV_TOKEN_FILE=/nowhere/token-of-the-crash-test", NULL };
    char script[512];
    (void)snprintf(script, sizeof script,
                   "#!/bin/sh\necho \"told: $CODEV_TOKEN_FILE.\" >&2\n"
                   "cat '%s/plan' >\"/proc/self/fd/$3\"\n",
                   pod.dir);
    pod_config_script(&pod, script);
    pod.env = env;
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_state("one", "ready"));
    long one = pid_of("one");
    fault(SIGSEGV, "PID 1 faulted: SIGSEGV");
    size_t len = strlen(pod_log(&pod));
    ck_assert_ptr_nonnull(strstr(POD_ASK("reload"), "\"ok\":true"));
    POD_EVENTUALLY(&pod, strstr(pod_log(&pod) + len, "told: "));
    ck_assert_ptr_nonnull(strstr(pod_log(&pod) + len, "told: /nowhere/token-of-the-crash-test."));
    ck_assert_int_eq(pid_of("one"), one);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(a_foreign_state_is_closed)
{
    struct pod_service s[] = { { .name = "one", .argv = SHELL("exec sleep 1000") } };
    const char *const env[] = { "CODEV_ADOPT_FD=77", NULL };
    char path[64], target[64];
    ck_assert_int_eq(dup2(STDERR_FILENO, 77), 77);
    pod.env = env;
    start(s, 1);
    (void)close(77);
    POD_EVENTUALLY(&pod, pod_state("one", "ready"));
    (void)snprintf(path, sizeof path, "/proc/%d/fd/77", (int)pod.pid1);
    ck_assert_int_lt(readlink(path, target, sizeof target), 0);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(from_inside_the_pod_it_is_nothing)
{
    struct pod_service s[] = { { .name = "hostile",
                                 .argv = SHELL("kill -SEGV 1; kill -ABRT 1; exec sleep 1000") } };
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_says(&pod, "to PID 1: no fault of its own, ignored"));
    POD_EVENTUALLY(&pod, pod_state("hostile", "ready"));
    ck_assert(!pod_says(&pod, "PID 1 faulted"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

/* A real one, and in a guard: it dies of it, its service is gone, PID 1 is not run twice. */
START_TEST(a_guards_fault_is_its_own)
{
    struct pod_service s[] = {
        { .name = "victim",
          .argv = SHELL("kill -SEGV $PPID; exec sleep 1000"),
          .p = { .limit_count = 2, .limit_window_ms = 60000 } },
    };
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_state("victim", "failed"));
    ck_assert(pod_says(&pod, "its guard was killed"));
    ck_assert(!pod_says(&pod, "PID 1 faulted"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("init_crash");
    TCase *t = tcase_create("crash");
    tcase_set_timeout(t, 90);
    tcase_add_checked_fixture(t, open_ours, close_pod);
    tcase_add_loop_test(t, the_services_do_not_notice, 0, ARRAY_SIZE(faults));
    tcase_add_test(t, no_line_is_lost_or_torn);
    tcase_add_test(t, a_second_fault_stops_the_pod_in_order);
    tcase_add_test(t, a_third_fault_is_the_end);
    tcase_add_test(t, a_fault_while_it_stops_does_not_hold_the_stop_up);
    tcase_add_test(t, a_fault_at_the_start_begins_anew);
    tcase_add_test(t, lines_that_wait_are_not_lost);
    tcase_add_test(t, secrets_can_still_be_taken_back);
    tcase_add_test(t, why_a_reload_was_refused_stays_known);
    tcase_add_test(t, where_secrets_come_from_stays_known);
    tcase_add_test(t, a_foreign_state_is_closed);
    tcase_add_test(t, from_inside_the_pod_it_is_nothing);
    tcase_add_test(t, a_guards_fault_is_its_own);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return run_pod_suite(suite);
}
