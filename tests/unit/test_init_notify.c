/* rooms: supervisor/init supervisor/plan supervisor/sandbox base/core */
/* sd_notify(3): what a datagram says, and what PID 1 makes of it. */
#include "tests/unit/init_suite.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "supervisor/init/notify_message.h"
#include "tests/unit/run_suite.h"

/* --- the datagram --- */

static const struct {
    const char *text;
    struct notify_message expected;
} messages[] = {
    { "READY=1", { .ready = true } },
    { "READY=1\n", { .ready = true } },
    { "READY=0", { .ready = false } },
    { "READY=11", { .ready = false } },
    { "NOT_READY=1", { .ready = false } },
    { "READY", { .ready = false } },
    { "", { .ready = false } },
    { "X=1\nSTOPPING=1\nRELOADING=1\nMONOTONIC_USEC=12", { .stopping = true, .reloading = true } },
    { "WATCHDOG=1", { .watchdog = true } },
    { "WATCHDOG=trigger", { .trigger = true } },
    { "WATCHDOG_USEC=2500000", { .watchdog_us = 2500000 } },
    { "MAINPID=4711", { .main_pid = 4711 } },
    { "MAINPID=-1", { .main_pid = 0 } },
    { "MAINPID=4294967297", { .main_pid = 0 } },
    { "MAINPID=12x", { .main_pid = 0 } },
    { "EXTEND_TIMEOUT_USEC=1000", { .extend_us = 1000 } },
    { "FDSTORE=1\nFDNAME=x\nBARRIER=1\nERRNO=5", { .ready = false } },
    { "STATUS=Serving 3 of 4", { .has_status = true, .status = "Serving 3 of 4" } },
    { "STATUS=", { .has_status = true, .status = "" } },
    { "STATUS=a\tb\033[31mc\xff", { .has_status = true, .status = "a?b?[31mc?" } },
    { "STATUS=\xc3\xa9t\xc3\xa9", { .has_status = true, .status = "\xc3\xa9t\xc3\xa9" } },
};

START_TEST(datagrams_by_table)
{
    struct notify_message m;
    const struct notify_message *e = &messages[_i].expected;
    notify_parse(messages[_i].text, strlen(messages[_i].text), &m);
    ck_assert(m.ready == e->ready && m.reloading == e->reloading && m.stopping == e->stopping);
    ck_assert(m.watchdog == e->watchdog && m.trigger == e->trigger);
    ck_assert(m.has_status == e->has_status);
    ck_assert_str_eq(m.status, e->status);
    ck_assert_int_eq(m.main_pid, e->main_pid);
    ck_assert_uint_eq(m.extend_us, e->extend_us);
    ck_assert_uint_eq(m.watchdog_us, e->watchdog_us);
}
END_TEST

START_TEST(a_long_status_is_cut_between_characters)
{
    char text[2000] = "STATUS=";
    struct notify_message m;
    for (size_t i = strlen(text); i + 2 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 3);
    notify_parse(text, strlen(text), &m);
    ck_assert_uint_lt(strlen(m.status), sizeof m.status);
    ck_assert_uint_eq(strlen(m.status) % 2, 0);
    ck_assert_uint_gt(strlen(m.status), 200);
}
END_TEST

/* --- the service's side: `--say TEXT`, with %p for its own pid; a `~N` waits N ms, `!` ends it, a
 * lone `F` goes to the background with its child, which says MAINPID; `G` goes on in a child, and
 * stays when that has ended; `H` ends as its child does --- */

static int say(const char *text)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    const char *path = getenv("NOTIFY_SOCKET");
    if (!path || strlen(path) >= sizeof addr.sun_path)
        return -1;
    memcpy(addr.sun_path, path, strlen(path));
    if (*path == '@')
        addr.sun_path[0] = '\0';
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ssize_t n = sendto(fd, text, strlen(text), 0, (struct sockaddr *)&addr, len);
    (void)close(fd);
    return n < 0 ? -1 : 0;
}

static int go_to_background(void)
{
    char text[64];
    pid_t pid = fork();
    if (pid == 0)
        return 0;
    (void)snprintf(text, sizeof text, "MAINPID=%d\nREADY=1", (int)pid);
    (void)say(text);
    (void)poll(NULL, 0, 100);
    _exit(0);
}

/* The child goes on as the main process; the parent waits for it, and stays or ends as it did. */
static void have_a_child(bool stay)
{
    char text[64];
    int status;
    pid_t pid = fork();
    if (pid == 0)
        return;
    (void)snprintf(text, sizeof text, "MAINPID=%d\nREADY=1", (int)pid);
    (void)say(text);
    (void)waitpid(pid, &status, 0);
    while (stay)
        (void)pause();
    _exit(WEXITSTATUS(status));
}

static int play(int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        const char *word = argv[i];
        if (*word == '~')
            (void)poll(NULL, 0, atoi(word + 1)); /* NOLINT: of this program */
        else if (*word == '!')
            return atoi(word + 1);
        else if (strcmp(word, "F") == 0)
            (void)go_to_background();
        else if (strcmp(word, "G") == 0 || strcmp(word, "H") == 0)
            have_a_child(*word == 'G');
        else if (strcmp(word, "*") == 0) /* feeds the watchdog for ever */
            for (;;) {
                (void)say("WATCHDOG=1");
                (void)poll(NULL, 0, 50);
            }
        else if (say(word) < 0)
            return 99;
    }
    for (;;)
        (void)pause();
}

#define SAYS(...)                                                                                  \
    {                                                                                              \
        self, "--say", __VA_ARGS__                                                                 \
    }
START_TEST(what_it_says_is_shown)
{
    struct pod_service s[] = {
        { .name = "talker",
          .argv = SAYS("STATUS=warming up", "~300", "RELOADING=1", "~300",
                       "READY=1\nSTATUS=serving", "FDSTORE=1\nX=y"),
          .p = { .ready.kind = PLAN_CHECK_NOTIFY, .start_timeout_ms = 20000 } },
    };
    start(s, 1);
    POD_EVENTUALLY(&pod, status_has("talker", "\"status\":\"warming up\""));
    ck_assert(pod_state("talker", "starting"));
    POD_EVENTUALLY(&pod, status_has("talker", "\"reloading\":true"));
    POD_EVENTUALLY(&pod, pod_state("talker", "ready"));
    ck_assert(status_has("talker", "\"status\":\"serving\""));
    ck_assert(status_has("talker", "\"reloading\":false"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(a_watchdog_that_is_not_fed_restarts)
{
    struct pod_service s[] = {
        { .name = "fed", .argv = SAYS("*"), .p = { .watchdog_ms = 2000 } },
        { .name = "hungry",
          .argv = SAYS("READY=1", "WATCHDOG=1"),
          .p = { .ready.kind = PLAN_CHECK_NOTIFY, .start_timeout_ms = 20000, .watchdog_ms = 200 } },
        { .name = "self", .argv = SAYS("~100", "WATCHDOG=trigger"), .p = { .watchdog_ms = 60000 } },
        { .name = "told",
          .argv = SHELL("echo usec=$WATCHDOG_USEC pid=$(($WATCHDOG_PID - $$)); exec sleep 1000"),
          .p = { .watchdog_ms = 60000 } },
        { .name = "none",
          .argv = SHELL("echo none=$WATCHDOG_USEC$NOTIFY_SOCKET-; exec sleep 1000") },
    };
    start(s, ARRAY_SIZE(s));
    POD_EVENTUALLY(&pod, pod_number(pod_service_status("hungry"), "restarts") >= 2);
    POD_EVENTUALLY(&pod, pod_number(pod_service_status("self"), "restarts") >= 1);
    ck_assert(pod_says(&pod, "its watchdog: no WATCHDOG=1 within 200 ms"));
    ck_assert(pod_says(&pod, "its watchdog: it triggered it itself"));
    ck_assert(pod_says(&pod, "usec=60000000 pid=0"));
    ck_assert(pod_says(&pod, "none=-"));
    ck_assert_int_eq(pod_number(pod_service_status("fed"), "restarts"), 0);
    ck_assert(pod_state("fed", "ready"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(who_stops_by_itself_is_not_ready)
{
    struct pod_service s[] = {
        { .name = "leaving",
          .argv = SAYS("READY=1", "~100", "STOPPING=1"),
          .p = { .ready.kind = PLAN_CHECK_NOTIFY,
                 .start_timeout_ms = 20000,
                 .stop_grace_ms = 1500,
                 .gates_ready = 1,
                 .limit_count = 1,
                 .limit_window_ms = 60000 } },
    };
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_says(&pod, "it says that it is stopping"));
    ck_assert_ptr_nonnull(strstr(POD_ASK("probe", "ready"), "\"ok\":false"));
    /* And who only says so is helped along. */
    POD_EVENTUALLY(&pod, pod_says(&pod, "it said that it was stopping, and did not end"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(a_start_may_take_longer_when_it_says_so)
{
    struct pod_service s[] = {
        { .name = "slow",
          .argv = SAYS("EXTEND_TIMEOUT_USEC=20000000", "~1500", "READY=1"),
          .p = { .ready.kind = PLAN_CHECK_NOTIFY, .start_timeout_ms = 800 } },
    };
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_state("slow", "ready"));
    ck_assert_int_eq(pod_number(pod_service_status("slow"), "restarts"), 0);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(the_main_process_may_be_another_one_of_its_own)
{
    struct pod_service s[] = {
        { .name = "daemon",
          .argv = SAYS("F", "~700", "!7"),
          .p = { .ready.kind = PLAN_CHECK_NOTIFY,
                 .start_timeout_ms = 20000,
                 .restart = PLAN_RESTART_NEVER } },
        { .name = "stayer",
          .argv = SAYS("F"),
          .p = { .ready.kind = PLAN_CHECK_NOTIFY, .start_timeout_ms = 20000 } },
    };
    start(s, 2);
    POD_EVENTUALLY(&pod, pod_state("daemon", "ready") && pod_state("stayer", "ready"));
    /* Its first process has ended with 0; what counts is how the other one ends. */
    POD_EVENTUALLY(&pod, pod_state("daemon", "failed"));
    ck_assert(status_has("daemon", "\"last_exit\":\"exit 7\""));
    ck_assert(pod_state("stayer", "ready"));
    ck_assert_int_gt(pod_number(pod_service_status("stayer"), "pid"), 1);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
    ck_assert(!pod_says(&pod, "did not stop within its grace"));
}
END_TEST

/* The end of a grandchild, which its own parent waits for, is its end: nobody else would notice. */
START_TEST(the_main_process_may_have_a_parent_of_its_own)
{
    struct pod_service s[] = {
        { .name = "keeper", /* stays when its child has ended */
          .argv = SAYS("G", "~300", "!7"),
          .p = { .ready.kind = PLAN_CHECK_NOTIFY,
                 .start_timeout_ms = 20000,
                 .restart = PLAN_RESTART_NEVER } },
        { .name = "heir", /* ends as its child did */
          .argv = SAYS("H", "~300", "!8"),
          .p = { .ready.kind = PLAN_CHECK_NOTIFY,
                 .start_timeout_ms = 20000,
                 .restart = PLAN_RESTART_NEVER } },
        { .name = "middle", /* the first process is gone, the one between stays */
          .argv = SAYS("F", "G", "~300", "!9"),
          .p = { .ready.kind = PLAN_CHECK_NOTIFY,
                 .start_timeout_ms = 20000,
                 .restart = PLAN_RESTART_ALWAYS,
                 .limit_count = 1,
                 .limit_window_ms = 60000 } },
    };
    start(s, ARRAY_SIZE(s));
    POD_EVENTUALLY(&pod, pod_state("keeper", "failed"));
    ck_assert(status_has("keeper", "how, only its own parent was told"));
    POD_EVENTUALLY(&pod, pod_state("heir", "failed"));
    ck_assert(status_has("heir", "\"last_exit\":\"exit 8\""));
    POD_EVENTUALLY(&pod, pod_state("middle", "failed"));
    ck_assert_int_eq(pod_number(pod_service_status("middle"), "restarts"), 1);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(strangers_say_nothing)
{
    struct pod_service s[] = {
        { .name = "waits",
          .argv = SAYS("STATUS=here", "MAINPID=1"),
          .p = { .ready.kind = PLAN_CHECK_NOTIFY, .start_timeout_ms = 60000 } },
    };
    start(s, 1);
    POD_EVENTUALLY(&pod, status_has("waits", "\"status\":\"here\""));
    POD_EVENTUALLY(&pod, pod_says(&pod, "MAINPID=1 refused: not one of its processes"));
    /* This process can reach the socket; it is no process of the service. */
    ck_assert_int_eq(setenv("NOTIFY_SOCKET", pod_path(&pod, "run/notify.sock"), 1), 0);
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(say("READY=1\nSTATUS=stranger\nMAINPID=1"), 0);
    POD_EVENTUALLY(&pod, *POD_ASK("status")); /* what was sent before is read by now */
    POD_EVENTUALLY(&pod, *POD_ASK("status"));
    ck_assert(pod_state("waits", "starting"));
    ck_assert(status_has("waits", "\"status\":\"here\""));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(another_user_can_say_it_too)
{
    struct pod_service s[] = {
        { .name = "nobody",
          .argv = SAYS("READY=1"),
          .user = "65534",
          .p = { .ready.kind = PLAN_CHECK_NOTIFY, .start_timeout_ms = 20000 } },
    };
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_state("nobody", "ready"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

static void add_pure(Suite *s)
{
    TCase *t = tcase_create("datagrams");
    tcase_add_loop_test(t, datagrams_by_table, 0, ARRAY_SIZE(messages));
    tcase_add_test(t, a_long_status_is_cut_between_characters);
    suite_add_tcase(s, t);
}

static void add_live(Suite *s)
{
    TCase *t = tcase_create("live");
    tcase_set_timeout(t, 90);
    tcase_add_checked_fixture(t, open_pod, close_pod);
    tcase_add_test(t, what_it_says_is_shown);
    tcase_add_test(t, a_watchdog_that_is_not_fed_restarts);
    tcase_add_test(t, who_stops_by_itself_is_not_ready);
    tcase_add_test(t, a_start_may_take_longer_when_it_says_so);
    tcase_add_test(t, the_main_process_may_be_another_one_of_its_own);
    tcase_add_test(t, the_main_process_may_have_a_parent_of_its_own);
    tcase_add_test(t, strangers_say_nothing);
    tcase_add_test(t, another_user_can_say_it_too);
    suite_add_tcase(s, t);
}

int main(int argc, char **argv)
{
    if (readlink("/proc/self/exe", self, sizeof self - 1) <= 0)
        return EXIT_FAILURE;
    if (argc > 2 && strcmp(argv[1], "--say") == 0)
        return play(argc, argv);
    Suite *s = suite_create("init_notify");
    add_pure(s);
    if (*pod_impossible())
        (void)printf("SKIP init_notify: %s\n", pod_impossible());
    else
        add_live(s);
    return run_suite(s);
}
