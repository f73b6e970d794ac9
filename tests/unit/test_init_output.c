/* rooms: supervisor/plan supervisor/sandbox base/core */
/* What services write while nobody reads, or too slowly, and who holds the pipe for it: the real
 * codev-init. */
#include "tests/unit/init_suite.h"

#include <sys/socket.h>
#include <time.h>

/* With the sanitizers memory is not given back at once. */
#if defined(__SANITIZE_ADDRESS__)
#    define MEMORY_TIMES 12
#else
#    define MEMORY_TIMES 1
#endif

/* --- roles: what this program does when a pod starts it --- */

/* As fast as the pipe takes it, in lines of so many bytes. */
static void role_flood(const char *line_bytes)
{
    static char text[65536];
    size_t len = (size_t)strtoul(line_bytes, NULL, 10);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % len == len - 1 ? '\n' : 'f';
    if (fork() == 0) {
        while (write(STDERR_FILENO, text, sizeof text) > 0)
            continue;
        _exit(0);
    }
    while (write(STDOUT_FILENO, text, sizeof text) > 0)
        continue;
}

/* Takes the stdout of another process, and keeps it. */
static void role_holder(const char *pid)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%s/fd/1", pid);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "held\n", 5) < 0)
        _exit(9);
    for (;;)
        (void)pause();
}

static const struct role roles[] = { { "flood", role_flood }, { "holder", role_holder } };

static long rss_kib(void)
{
    char path[64];
    _cleanup_free_ char *text = NULL;
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pod.pid1);
    ck_assert_int_eq(file_read(path, 65536, &text, NULL), 0);
    const char *at = strstr(text, "\nVmRSS:");
    ck_assert_ptr_nonnull(at);
    return strtol(at + 7, NULL, 10);
}

/* Takes a little of what PID 1 writes. */
static void read_slowly(int fd)
{
    char bytes[4096];
    struct timespec ts = { .tv_nsec = 5000000 };
    (void)nanosleep(&ts, NULL);
    (void)!read(fd, bytes, sizeof bytes);
}

/* The last number that `ticker` has written. */
static long ticks(void)
{
    const char *at = strstr(POD_ASK("logs", "ticker", "1"), "\"msg\":\"tick ");
    return at ? strtol(at + 12, NULL, 10) : -1;
}

#define FLOODS                                                                                     \
    { .name = "tiny", .argv = ROLE("flood", "2") },                                                \
        { .name = "short", .argv = ROLE("flood", "10") },                                          \
        { .name = "long", .argv = ROLE("flood", "1000") },                                         \
        { .name = "endless", .argv = ROLE("flood", "65537") },                                     \
    {                                                                                              \
        .name = "ticker",                                                                          \
        .argv = SHELL("n=0; while :; do n=$((n+1)); echo tick $n; sleep 0.01; done")               \
    }

enum { NOBODY_READS, SLOW_READER, READERS };

START_TEST(a_flood_takes_neither_answers_nor_the_turns_of_others)
{
    struct pod_service s[] = { FLOODS };
    start(s, ARRAY_SIZE(s));
    int out = pod.out;
    pod.out = -1;
    POD_EVENTUALLY(&pod, pod_number(POD_ASK("status"), "stdout_dropped") > 10000);
    long before = ticks();
    for (int i = 0; i < 200; i++) {
        if (_i == SLOW_READER)
            read_slowly(out);
        ck_assert_ptr_nonnull(strstr(POD_ASK("version"), "\"pid\":1"));
    }
    POD_EVENTUALLY(&pod, ticks() > before + 20);
    ck_assert_int_lt(rss_kib(), 16 * 1024 * MEMORY_TIMES);
    ck_assert_int_eq(kill(pod.pid1, SIGTERM), 0);
    ck_assert_int_eq(pod_wait(&pod, 15000), 0);
    (void)close(out);
}
END_TEST

/* Each could once have the whole of all rings in memory. */
START_TEST(many_who_ask_for_logs_and_do_not_read_cost_little)
{
    struct pod_service s[] = { FLOODS };
    start(s, ARRAY_SIZE(s));
    int out = pod.out, idle[24], size = 4096;
    pod.out = -1;
    POD_EVENTUALLY(&pod, pod_number(POD_ASK("status"), "stdout_dropped") > 10000);
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "%s/run/control.sock", pod.dir);
    long before = rss_kib();
    for (size_t i = 0; i < ARRAY_SIZE(idle); i++) {
        idle[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        (void)setsockopt(idle[i], SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
        ck_assert_int_eq(connect(idle[i], (struct sockaddr *)&addr, sizeof addr), 0);
        const char *line = i % 2 ? "logs %2A 100000\n" : "logs %2A 100000 follow\n";
        ck_assert_int_gt(send(idle[i], line, strlen(line), MSG_NOSIGNAL), 0);
    }
    for (int i = 0; i < 50; i++)
        ck_assert_ptr_nonnull(strstr(POD_ASK("version"), "\"pid\":1"));
    long cost = rss_kib() - before;
    ck_assert_msg(cost < 6 * 1024 * MEMORY_TIMES, "%ld KiB", cost);
    /* One who reads gets it all, from the oldest line on to those that come. */
    char text[65536];
    size_t got = 0;
    for (ssize_t n; got < 1 << 20 && (n = recv(idle[0], text, sizeof text, 0)) > 0;)
        got += (size_t)n;
    ck_assert_uint_ge(got, 1 << 20);
    for (size_t i = 0; i < ARRAY_SIZE(idle); i++)
        (void)close(idle[i]);
    ck_assert_int_eq(kill(pod.pid1, SIGTERM), 0);
    ck_assert_int_eq(pod_wait(&pod, 15000), 0);
    (void)close(out);
}
END_TEST

/* The end of a service is told by its process, not by its pipe. */
START_TEST(a_pipe_that_another_service_holds_hides_no_death)
{
    struct pod_service s[] = {
        { .name = "first",
          .argv = SHELL("echo $$ >first.pid; exec sleep 1000"),
          .p = { .restart = PLAN_RESTART_NEVER } },
        { .name = "holder",
          .argv = SHELL("exec \"$0\" --role holder $(cat first.pid)"),
          .after = "first" },
    };
    s[0].p.backoff_first_ms = 10;
    s[1].argv[3] = self;
    start(s, 2);
    POD_EVENTUALLY(&pod, pod_says(&pod, "\"msg\":\"held\""));
    char command[64];
    (void)snprintf(command, sizeof command, "nsenter -t %d -p kill -9 %ld", (int)pod.pid1,
                   pod_number(pod_service_status("first"), "pid"));
    ck_assert_int_eq(system(command), 0);
    POD_EVENTUALLY(&pod, pod_state("first", "failed"));
    ck_assert(pod_state("holder", "ready"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(closing_its_output_is_no_death)
{
    struct pod_service s[] = {
        { .name = "quiet", .argv = SHELL("echo last; exec >&- 2>&-; exec sleep 1000") },
    };
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_says(&pod, "\"msg\":\"last\""));
    POD_EVENTUALLY(&pod, pod_state("quiet", "ready"));
    for (int i = 0; i < 20; i++)
        ck_assert(pod_state("quiet", "ready"));
    ck_assert_int_eq(pod_number(pod_service_status("quiet"), "restarts"), 0);
    (void)POD_ASK("restart", "quiet");
    POD_EVENTUALLY(&pod, strstr(strstr(pod_log(&pod), "\"msg\":\"last\"") + 1, "\"msg\":\"last\""));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("init_output");
    TCase *t = tcase_create("output");
    tcase_set_timeout(t, 90);
    tcase_add_checked_fixture(t, open_pod, close_pod);
    tcase_add_loop_test(t, a_flood_takes_neither_answers_nor_the_turns_of_others, 0, READERS);
    tcase_add_test(t, many_who_ask_for_logs_and_do_not_read_cost_little);
    tcase_add_test(t, a_pipe_that_another_service_holds_hides_no_death);
    tcase_add_test(t, closing_its_output_is_no_death);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    return play_role(argc, argv, roles, ARRAY_SIZE(roles)) ? EXIT_SUCCESS : run_pod_suite(suite);
}
