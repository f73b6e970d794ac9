/* rooms: supervisor/plan supervisor/sandbox base/core */
/* The real codev-init as PID 1: how it starts and stops, what it answers, what it survives. */
#include "tests/unit/init_roles.h"

START_TEST(a_crash_loop_backs_off_and_gives_up)
{
    struct pod_service s[] = { { .name = "crash",
                                 .argv = SHELL("exit 3"),
                                 .p = { .backoff_first_ms = 20,
                                        .backoff_max_ms = 100,
                                        .limit_count = 5,
                                        .limit_window_ms = 60000 } } };
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_state("crash", "failed"));
    static const char *const delays[] = { "again in 20 ms", "again in 40 ms", "again in 80 ms",
                                          "again in 100 ms" };
    const char *at = pod_log(&pod);
    for (size_t i = 0; i < ARRAY_SIZE(delays); i++) {
        at = strstr(at, delays[i]);
        ck_assert_msg(at != NULL, "%s in %s", delays[i], pod_log(&pod));
    }
    const char *status = pod_service_status("crash");
    ck_assert_ptr_nonnull(strstr(status, "\"gave_up\":true"));
    ck_assert_ptr_nonnull(strstr(status, "\"last_exit\":\"exit 3\""));
    ck_assert_int_eq(pod_number(status, "restarts"), 5);
    (void)POD_ASK("start", "crash"); /* a person may try again */
    POD_EVENTUALLY(&pod, pod_number(pod_service_status("crash"), "restarts") > 5);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(a_stubborn_service_is_killed_at_its_grace)
{
    const char *name = unique("stub");
    struct pod_service s[] = {
        { .name = "stubborn", .argv = ROLE("stubborn", name), .p = { .stop_grace_ms = 400 } }
    };
    start(s, 1);
    (void)host_pid(name);
    POD_EVENTUALLY(&pod, pod_state("stubborn", "ready"));
    uint64_t began = clock_mono_ms();
    (void)POD_ASK("stop", "stubborn");
    POD_EVENTUALLY(&pod, living(name, NULL) == 0);
    uint64_t took = clock_mono_ms() - began;
    ck_assert_uint_ge(took, 390);
    ck_assert_uint_le(took, 1000);
    POD_EVENTUALLY(&pod, pod_state("stubborn", "stopped"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(a_blocked_stdout_holds_nobody_up)
{
    struct pod_service s[] = { { .name = "flood", .argv = ROLE("flood", "") },
                               { .name = "calm", .argv = SHELL("exec sleep 1000") } };
    pod_write_plan(&pod, s, 2, 0, NULL, 0);
    pod_start(&pod);
    int blocked = pod.out;
    pod.out = -1; /* nobody reads */
    POD_EVENTUALLY(&pod, pod_number(POD_ASK("status"), "stdout_dropped") > 100);
    uint64_t began = clock_mono_ms();
    for (int i = 0; i < 20; i++)
        ck_assert(pod_state("calm", "ready"));
    ck_assert_uint_lt(clock_mono_ms() - began, 2000);
    (void)POD_ASK("stop", "flood");
    POD_EVENTUALLY(&pod, pod_state("flood", "stopped"));
    pod.out = blocked;
    POD_EVENTUALLY(&pod, pod_says(&pod, "stdout was blocked"));
    pod.out = -1;
    began = clock_mono_ms();
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
    ck_assert_uint_lt(clock_mono_ms() - began, 3000);
    (void)close(blocked);
}
END_TEST

START_TEST(sigterm_during_start_stops_cleanly)
{
    static const int delays[] = { 0, 1, 5, 20, 60, 120, 200, 300 };
    struct pod_service s[] = {
        { .name = "one", .argv = SHELL("sleep 0.05"), .p = { .type = PLAN_TYPE_ONESHOT } },
        { .name = "two", .argv = SHELL("exec sleep 1000"), .after = "one" }
    };
    char script[256];
    (void)snprintf(script, sizeof script,
                   "#!/bin/sh\nsleep 0.1\ncat '%s/plan' >\"/proc/self/fd/$3\"\n", pod.dir);
    pod_config_script(&pod, script);
    pod_write_plan(&pod, s, 2, 5000, pod.dir, PLAN_POLICY_WARN);
    pod_start(&pod);
    /* From the moment on in which main() has blocked signals; before it, the kernel drops them. */
    POD_EVENTUALLY(&pod, blocks_sigterm(pod.pid1));
    (void)poll(NULL, 0, delays[_i]);
    uint64_t began = clock_mono_ms();
    ck_assert_msg(pod_stop(&pod, 10000) == 0, "%s", pod_log(&pod));
    ck_assert_uint_lt(clock_mono_ms() - began, 5000);
}
END_TEST

START_TEST(the_stop_fits_its_budget_and_kills_everything)
{
    const char *name = unique("bud");
    struct pod_service s[4];
    char names[4][8];
    for (uint32_t i = 0; i < 4; i++) {
        (void)snprintf(names[i], sizeof names[i], "s%u", i);
        s[i] = (struct pod_service){ .name = names[i],
                                     .argv = ROLE("stubborn", name),
                                     .p = { .stop_order = i, .stop_grace_ms = 10000 } };
    }
    pod_write_plan(&pod, s, 4, 2000, NULL, 0);
    pod_start(&pod);
    POD_EVENTUALLY(&pod, living(name, NULL) == 4);
    for (size_t i = 0; i < 4; i++)
        POD_EVENTUALLY(&pod, pod_state(names[i], "ready"));
    uint64_t began = clock_mono_ms();
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
    uint64_t took = clock_mono_ms() - began;
    ck_assert_uint_le(took, 2200);
    ck_assert_uint_ge(took, 800); /* each got its part of the time */
    ck_assert_int_eq(living(name, NULL), 0);
    const char *at = pod_log(&pod);
    for (size_t i = 0; i < 4; i++) { /* in order, one after the other */
        char mark[64];
        (void)snprintf(mark, sizeof mark, "service s%zu ended", i);
        at = strstr(at, mark);
        ck_assert_msg(at != NULL, "%s", pod_log(&pod));
    }
}
END_TEST

START_TEST(a_second_sigterm_shortens_the_stop)
{
    const char *name = unique("two");
    struct pod_service s[] = {
        { .name = "stubborn", .argv = ROLE("stubborn", name), .p = { .stop_grace_ms = 9000 } }
    };
    start(s, 1);
    (void)host_pid(name);
    POD_EVENTUALLY(&pod, pod_state("stubborn", "ready"));
    uint64_t began = clock_mono_ms();
    /* A stop that was asked for otherwise is not hurried by the first SIGTERM. */
    (void)POD_ASK("shutdown");
    ck_assert_int_eq(kill(pod.pid1, SIGTERM), 0);
    POD_EVENTUALLY(&pod, pod_state("stubborn", "stopping"));
    ck_assert_int_eq(pod_wait(&pod, 300), -1);
    ck_assert_int_eq(pod_stop(&pod, 5000), 0);
    ck_assert_uint_lt(clock_mono_ms() - began, 2000);
}
END_TEST

START_TEST(exit_statuses_say_why)
{
    struct pod_service s[] = { { .name = "vital",
                                 .argv = SHELL("exit 7"),
                                 .p = { .critical = 1, .restart = PLAN_RESTART_NEVER } } };
    switch (_i) {
    case 0:
        start(s, 1);
        ck_assert_int_eq(pod_wait(&pod, 10000), 7);
        ck_assert(pod_says(&pod, "service vital gave up: exit 7"));
        break;
    case 1:
        pod_config_script(&pod, "#!/bin/sh\necho 'codev.yaml:3: drain: expected a duration' >&2\n"
                                "exit 78\n");
        pod_start(&pod);
        ck_assert_int_eq(pod_wait(&pod, 10000), 78);
        ck_assert(pod_says(&pod, "codev.yaml:3: drain: expected a duration"));
        break;
    case 2:
        pod_config_script(&pod, "#!/bin/sh\necho garbage >\"/proc/self/fd/$3\"\n");
        pod_start(&pod);
        ck_assert_int_eq(pod_wait(&pod, 10000), 78);
        break;
    case 3:
        ck_assert_int_eq(unlink(pod_path(&pod, "codev-config")), 0);
        pod_start(&pod);
        ck_assert_int_eq(pod_wait(&pod, 10000), 78);
        ck_assert(pod_says(&pod, "codev-config"));
        break;
    case 4:
        pod_write_plan(&pod, s, 0, 0, "/nowhere/volume", PLAN_POLICY_FAIL);
        pod_start(&pod);
        ck_assert_int_eq(pod_wait(&pod, 10000), 78);
        ck_assert(pod_says(&pod, "/nowhere/volume"));
        break;
    default:
        pod_write_plan(&pod, s, 0, 0, "/nowhere/volume", PLAN_POLICY_DEGRADE);
        pod_start(&pod);
        POD_EVENTUALLY(&pod, strstr(POD_ASK("status"), "\"phase\":\"running\""));
        ck_assert_ptr_nonnull(strstr(POD_ASK("probe", "ready"), "\"ok\":false"));
        ck_assert_ptr_nonnull(strstr(POD_ASK("probe", "live"), "\"ok\":true"));
        ck_assert_int_eq(pod_stop(&pod, 5000), 0);
        break;
    }
}
END_TEST

START_TEST(readiness_comes_from_exec_and_notify)
{
    struct pod_service s[] = {
        { .name = "exec",
          .argv = SHELL("sleep 0.2; touch ok; exec sleep 1000"),
          .check = SHELL("test -e ok"),
          .p = { .ready.kind = PLAN_CHECK_EXEC, .start_timeout_ms = 10000 } },
        { .name = "notify",
          .argv = ROLE("notify", "100"),
          .after = "exec",
          .p = { .ready.kind = PLAN_CHECK_NOTIFY, .start_timeout_ms = 10000, .gates_ready = 1 } },
        { .name = "never",
          .argv = SHELL("exec sleep 1000"),
          .check = { "/bin/false" },
          .p = { .ready.kind = PLAN_CHECK_EXEC,
                 .start_timeout_ms = 200,
                 .limit_count = 1,
                 .limit_window_ms = 60000 } },
    };
    start(s, 3);
    POD_EVENTUALLY(&pod, pod_state("exec", "starting"));
    ck_assert(pod_state("notify", "waiting"));
    POD_EVENTUALLY(&pod, pod_state("notify", "ready"));
    ck_assert(pod_state("exec", "ready"));
    ck_assert_ptr_nonnull(strstr(POD_ASK("probe", "startup"), "\"ok\":true"));
    POD_EVENTUALLY(&pod, pod_state("never", "failed"));
    ck_assert(pod_says(&pod, "not ready within 200 ms"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(reports_of_checks_are_counted_and_acted_upon)
{
    struct pod_service s[] = {
        { .name = "web",
          .argv = SHELL("exec sleep 1000"),
          .check = { "http://127.0.0.1:1/" },
          .p = { .ready.kind = PLAN_CHECK_HTTP,
                 .health = { .kind = PLAN_CHECK_HTTP, .failures = 3, .interval_ms = 60000 },
                 .gates_ready = 1,
                 .start_timeout_ms = 60000 } },
        { .name = "user", .argv = SHELL("exec sleep 1000"), .requires = "web" },
    };
    start(s, 2);
    POD_EVENTUALLY(&pod, pod_state("web", "starting"));
    ck_assert_ptr_nonnull(strstr(POD_ASK("checks"), "\"target\":[\"http://127.0.0.1:1/\"]"));
    (void)POD_ASK("report", "web", "ready", "fail", "connection refused");
    ck_assert_ptr_nonnull(strstr(POD_ASK("probe", "ready"), "\"ok\":false"));
    ck_assert(pod_state("user", "waiting"));
    (void)POD_ASK("report", "web", "ready", "ok", "");
    ck_assert(pod_state("web", "ready"));
    ck_assert_ptr_nonnull(strstr(POD_ASK("probe", "ready"), "\"ok\":true"));
    POD_EVENTUALLY(&pod, pod_state("user", "ready"));
    (void)POD_ASK("report", "web", "health", "fail", "timeout");
    (void)POD_ASK("report", "web", "health", "fail", "timeout");
    (void)POD_ASK("report", "web", "health", "ok", "");
    (void)POD_ASK("report", "web", "health", "fail", "timeout");
    (void)POD_ASK("report", "web", "health", "fail", "timeout");
    ck_assert(pod_state("web", "ready"));
    (void)POD_ASK("report", "web", "health", "fail", "timeout");
    POD_EVENTUALLY(&pod, pod_number(pod_service_status("web"), "restarts") == 1);
    POD_EVENTUALLY(&pod, pod_state("web", "starting"));
    POD_EVENTUALLY(&pod, pod_state("user", "waiting")); /* it requires web */
    ck_assert(pod_says(&pod, "health check failed 3 times: timeout"));
    (void)POD_ASK("report", "web", "ready", "ok", "");
    POD_EVENTUALLY(&pod, pod_state("user", "ready"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

/* A stop of one service that began before, with a long grace of its own, takes no more of the
 * budget than its share. */
START_TEST(a_stop_under_way_leaves_time_for_the_others)
{
    struct pod_service s[] = {
        { .name = "long",
          .argv = ROLE("stubborn", "rv-long"),
          .p = { .stop_order = 1, .stop_grace_ms = 60000 } },
        { .name = "last",
          .argv =
              SHELL("trap 'sleep 0.2; echo clean-end; exit' TERM; while :; do sleep 0.01; done"),
          .p = { .stop_order = 2, .stop_grace_ms = 60000 } },
    };
    pod_write_plan(&pod, s, 2, 4000, NULL, 0);
    pod_start(&pod);
    POD_EVENTUALLY(&pod, pod_state("last", "ready") && pod_state("long", "ready"));
    (void)poll(NULL, 0, 100);
    (void)POD_ASK("stop", "long");
    ck_assert(pod_state("long", "stopping"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
    ck_assert_msg(pod_says(&pod, "\"msg\":\"clean-end\""), "%s", pod_log(&pod));
}
END_TEST

START_TEST(the_last_words_of_a_short_life_have_its_pid)
{
    struct pod_service s[] = {
        { .name = "brief",
          .argv = { "/bin/echo", "bye" },
          .p = { .restart = PLAN_RESTART_ALWAYS, .backoff_first_ms = 1, .backoff_max_ms = 1 } }
    };
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_number(pod_service_status("brief"), "restarts") > 200);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
    ck_assert(pod_says(&pod, "\"msg\":\"bye\""));
    ck_assert(!pod_says(&pod, "\"pid\":0,\"stream\":\"stdout\""));
}
END_TEST

START_TEST(the_first_line_has_the_form_of_the_others)
{
    struct pod_service s[] = { { .name = "a", .argv = SHELL("exec sleep 1000") },
                               { .name = "b", .argv = { "no-such-thing" } } };
    pod.text = true;
    s[1].p.restart = PLAN_RESTART_NEVER;
    start(s, 2);
    POD_EVENTUALLY(&pod, pod_state("b", "failed"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
    ck_assert_msg(!strchr(pod_log(&pod), '{'), "%s", pod_log(&pod));
    ck_assert(pod_says(&pod, "| codev-init "));
    ck_assert(pod_says(&pod, "cannot run no-such-thing: not found in PATH: install it"));
}
END_TEST

START_TEST(pre_stop_runs_before_the_signal_and_no_longer_than_it_may)
{
    struct pod_service s[] = {
        { .name = "polite",
          .argv = SHELL("trap 'echo got-term; exit 0' TERM; while :; do sleep 0.01; done"),
          .pre_stop = SHELL("echo in-hook"),
          .p = { .pre_stop.timeout_ms = 2000, .stop_order = 1 } },
        { .name = "hung",
          .argv = SHELL("exec sleep 1000"),
          .pre_stop = SHELL("exec sleep 1000"),
          .p = { .pre_stop.timeout_ms = 200, .stop_order = 2 } },
    };
    start(s, 2);
    POD_EVENTUALLY(&pod, pod_state("polite", "ready") && pod_state("hung", "ready"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
    const char *hook = strstr(pod_log(&pod), "in-hook"), *term = strstr(pod_log(&pod), "got-term");
    ck_assert_msg(hook && term && hook < term, "%s", pod_log(&pod));
    ck_assert(pod_says(&pod, "pre_stop took too long"));
}
END_TEST

START_TEST(the_control_socket_bears_bad_clients)
{
    struct pod_service s[] = { { .name = "calm", .argv = SHELL("exec sleep 1000") } };
    static const char *const bad[] = { "nonsense\n",
                                       "\n",
                                       " \n",
                                       "status  x\n",
                                       "status x\n",
                                       "start nobody\n",
                                       "logs calm many\n",
                                       "report calm ready\n",
                                       "probe dead\n",
                                       "secret NOTHING\n",
                                       "%zz\n",
                                       "%00\n" };
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_state("calm", "ready"));
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "%s/run/control.sock", pod.dir);
    for (size_t i = 0; i < ARRAY_SIZE(bad) + 2; i++) {
        char answer[1024] = "", large[20001];
        memset(large, 'a', sizeof large - 1);
        large[sizeof large - 1] = '\0';
        const char *text = i < ARRAY_SIZE(bad) ? bad[i] : large;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
        size_t len = i == ARRAY_SIZE(bad) + 1 ? 5000 : strlen(text);
        (void)send(fd, text, len, MSG_NOSIGNAL);
        ck_assert_int_gt(recv(fd, answer, sizeof answer - 1, MSG_WAITALL), 0);
        ck_assert_msg(strstr(answer, "{\"error\":{\"code\":\"") == answer, "%s", answer);
        (void)close(fd);
    }
    int idle[40];
    for (size_t i = 0; i < ARRAY_SIZE(idle); i++) {
        idle[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        (void)connect(idle[i], (struct sockaddr *)&addr, sizeof addr);
    }
    POD_EVENTUALLY(&pod, pod_state("calm", "ready")); /* once the idle ones were dropped */
    for (size_t i = 0; i < ARRAY_SIZE(idle); i++)
        (void)close(idle[i]);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(logs_and_notes_are_kept_for_those_who_ask)
{
    struct pod_service s[] = { { .name = "talker",
                                 .argv = SHELL("echo one; echo '{\"a\":1}'; echo err >&2; "
                                               "exec sleep 1000") } };
    start(s, 1);
    static const char *const parts[] = { "\"msg\":\"one\"", "\"json\":{\"a\":1}",
                                         "\"stream\":\"stderr\"" };
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) /* two pipes: in any order */
        POD_EVENTUALLY(&pod, strstr(POD_ASK("logs", "talker", "10"), parts[i]));
    ck_assert_int_eq(pod_number(POD_ASK("logs", "talker", "10"), "pid"),
                     pod_number(pod_service_status("talker"), "pid"));
    ck_assert_ptr_nonnull(strstr(POD_ASK("logs", "*", "1000"), "\"service\":\"init\""));
    POD_EVENTUALLY(&pod, pod_state("talker", "ready"));
    int follow = control_open((const char *const[]){ "logs", "init", "0", "follow", NULL }, NULL);
    int events = control_open((const char *const[]){ "events", NULL }, NULL);
    ck_assert(follow >= 0 && events >= 0);
    (void)POD_ASK("version"); /* both have been taken by now */
    ck_assert_ptr_nonnull(strstr(POD_ASK("annotate", "talker", "k", "a \"note\""), "true"));
    ck_assert_ptr_nonnull(strstr(POD_ASK("status"), "\"notes\":{\"k\":\"a \\\"note\\\"\"}"));
    (void)POD_ASK("annotate", "talker", "k", "");
    ck_assert_ptr_nonnull(strstr(POD_ASK("status"), "\"notes\":{}"));
    (void)POD_ASK("restart", "talker");
    char text[4096] = "";
    ck_assert_int_gt(recv(events, text, sizeof text - 1, 0), 0);
    ck_assert_ptr_nonnull(strstr(text, "{\"event\":\"service\",\"service\":\"talker\",\"from\":"
                                       "\"ready\",\"to\":\"stopping\""));
    ck_assert_int_gt(recv(follow, text, sizeof text - 1, 0), 0);
    ck_assert_ptr_nonnull(strstr(text, "service talker: ready -> stopping"));
    (void)close(follow);
    (void)close(events);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(it_runs_with_few_descriptors)
{
    struct pod_service s[] = { { .name = "a", .argv = SHELL("exec sleep 1000") },
                               { .name = "b", .argv = SHELL("exec sleep 1000") },
                               { .name = "c", .argv = SHELL("exec sleep 1000") } };
    pod.nofile = (rlim_t)_i;
    start(s, 3);
    POD_EVENTUALLY(&pod, pod_says(&pod, "service c: ") || pod_wait(&pod, 0) >= 0);
    if (pod.outer > 0)
        ck_assert_int_ge(pod_stop(&pod, 15000), 0);
}
END_TEST

/* The guard of `late` can be made and its program cannot: no fault of a service that has no second
 * try, and over as soon as there is room. */
START_TEST(a_lack_of_processes_makes_nothing_give_up)
{
    struct pod_service s[] = {
        { .name = "first", .argv = { "/bin/sleep", "1000" } },
        { .name = "late",
          .argv = { "/bin/sleep", "1000" },
          .after = "first",
          .p = { .restart = PLAN_RESTART_NEVER } },
    };
    char script[256];
    (void)snprintf(script, sizeof script, "#!/bin/sh\nexec cat '%s/plan' >\"/proc/self/fd/$3\"\n",
                   pod.dir);
    pod_config_script(&pod, script);
    ck_assert_int_eq(chmod(pod.dir, 0777), 0);
    pod.uid = 30000 + (uid_t)getpid() % 10000;
    pod.nproc = 4; /* PID 1, two of `first`, one guard */
    start(s, 2);
    POD_EVENTUALLY(&pod,
                   pod_says(&pod, "service late: starting -> backoff: cannot make a process"));
    (void)POD_ASK("stop", "first");
    POD_EVENTUALLY(&pod, pod_state("late", "ready"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(it_runs_as_nobody_with_nothing_writable)
{
    struct pod_service s[] = { { .name = "a", .argv = SHELL("id -u; exec sleep 1000") } };
    pod.uid = 65534;
    start(s, 1); /* the runtime folder is named and cannot be made */
    POD_EVENTUALLY(&pod, pod_says(&pod, "\"msg\":\"65534\""));
    ck_assert(pod_says(&pod, "no runtime folder could be had"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(it_works_where_it_is_not_pid_1)
{
    const char *name = unique("sub");
    struct pod_service s[] = { { .name = "leaver", .argv = ROLE("leaver", name) } };
    pod.own_pid1 = false;
    start(s, 1);
    (void)host_pid(name);
    POD_EVENTUALLY(&pod, pod_state("leaver", "ready"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
    ck_assert_int_eq(living(name, NULL), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("init_live");
    TCase *t = tcase_create("live");
    tcase_set_timeout(t, 90);
    tcase_add_checked_fixture(t, open_pod, close_pod);
    tcase_add_test(t, a_crash_loop_backs_off_and_gives_up);
    tcase_add_test(t, a_stubborn_service_is_killed_at_its_grace);
    tcase_add_test(t, a_blocked_stdout_holds_nobody_up);
    tcase_add_loop_test(t, sigterm_during_start_stops_cleanly, 0, 8);
    tcase_add_test(t, the_stop_fits_its_budget_and_kills_everything);
    tcase_add_test(t, a_second_sigterm_shortens_the_stop);
    tcase_add_loop_test(t, exit_statuses_say_why, 0, 6);
    tcase_add_test(t, readiness_comes_from_exec_and_notify);
    tcase_add_test(t, reports_of_checks_are_counted_and_acted_upon);
    tcase_add_test(t, a_stop_under_way_leaves_time_for_the_others);
    tcase_add_test(t, the_last_words_of_a_short_life_have_its_pid);
    tcase_add_test(t, the_first_line_has_the_form_of_the_others);
    tcase_add_test(t, pre_stop_runs_before_the_signal_and_no_longer_than_it_may);
    tcase_add_test(t, the_control_socket_bears_bad_clients);
    tcase_add_test(t, logs_and_notes_are_kept_for_those_who_ask);
    tcase_add_loop_test(t, it_runs_with_few_descriptors, 14, 40);
    tcase_add_test(t, a_lack_of_processes_makes_nothing_give_up);
    tcase_add_test(t, it_runs_as_nobody_with_nothing_writable);
    tcase_add_test(t, it_works_where_it_is_not_pid_1);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    return run_roles(argc, argv, suite);
}
