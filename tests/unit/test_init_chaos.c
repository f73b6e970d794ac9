/* rooms: supervisor/plan supervisor/sandbox base/core */
/* Any process of the pod but PID 1 is killed at random: services, their guards, checks, hooks,
 * helpers, codev-config; while services are restarted and the configuration is read anew. Then
 * every service is back, no zombie is left, and no line was lost. CODEV_CHAOS_SECONDS sets how long
 * (4; `make soak`: 600), CODEV_CHAOS_SEED repeats the choices. */
#include "tests/unit/init_roles.h"

#include <sys/syscall.h>

static unsigned chance(unsigned n)
{
    return (unsigned)random() % n;
}

/* --- what was written --- */

#define COUNTERS 3
static struct counted {
    unsigned long token, last; /* of the process that wrote last, and its last number */
    unsigned long lines, gaps;
} counted[COUNTERS];

static void take_line(const char *line)
{
    const char *at = strstr(line, "\"service\":\"count"), *msg = strstr(line, "\"msg\":\"n ");
    unsigned long token, n;
    if (!at || !msg || sscanf(msg, "\"msg\":\"n %lu %lu\"", &token, &n) != 2)
        return;
    struct counted *c = &counted[at[strlen("\"service\":\"count")] - '0'];
    unsigned long wanted = token == c->token ? c->last + 1 : 1;
    c->gaps += n - wanted;
    c->token = token;
    c->last = n;
    c->lines++;
}

/* Reads what PID 1 has written, and forgets it. */
static void take_log(void)
{
    const char *log = pod_log(&pod), *end;
    size_t used = 0;
    while ((end = strchr(log + used, '\n'))) {
        char line[600];
        (void)snprintf(line, sizeof line, "%.*s", (int)(end - log) - (int)used, log + used);
        take_line(line);
        used = (size_t)(end - log) + 1;
    }
    buf_consume(&pod.log, used);
}

/* --- killing --- */

static bool in_pod(pid_t pid, const char *ns)
{
    char path[64], own[64] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)pid);
    return pid != pod.pid1 && readlink(path, own, sizeof own - 1) > 0 && strcmp(own, ns) == 0;
}

/* By a pidfd, and looked at again: the number may have been given out anew, outside the pod. */
static bool kill_one(void)
{
    char path[64], ns[64] = "";
    pid_t chosen = 0;
    unsigned seen = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)pod.pid1);
    ck_assert_int_gt(readlink(path, ns, sizeof ns - 1), 0);
    DIR *proc = opendir("/proc");
    ck_assert_ptr_nonnull(proc);
    for (const struct dirent *d; (d = readdir(proc));) {
        pid_t pid = (pid_t)strtol(d->d_name, NULL, 10);
        if (pid > 0 && in_pod(pid, ns) && chance(++seen) == 0)
            chosen = pid;
    }
    (void)closedir(proc);
    _cleanup_fd_ int fd = chosen ? (int)syscall(SYS_pidfd_open, chosen, 0) : -1;
    return fd >= 0 && in_pod(chosen, ns) &&
           syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0;
}

static void disturb(void)
{
    switch (chance(40)) {
    case 0:
        (void)POD_ASK("restart", "hooked");
        break;
    case 1:
        (void)POD_ASK("reload");
        break;
    case 2:
        (void)POD_ASK("status");
        break;
    default:
        break;
    }
}

static unsigned long number_of(const char *variable, unsigned long fallback)
{
    const char *text = getenv(variable);
    return text && *text ? strtoul(text, NULL, 10) : fallback;
}

#define KEEPS .backoff_first_ms = 10, .backoff_max_ms = 200

START_TEST(every_service_comes_back_and_no_line_is_lost)
{
    struct pod_service s[] = {
        { .name = "count0", .argv = ROLE("count", ""), .p = { KEEPS } },
        { .name = "count1", .argv = ROLE("count", ""), .p = { KEEPS } },
        { .name = "count2", .argv = ROLE("count", ""), .requires = "count0", .p = { KEEPS } },
        { .name = "checked",
          .argv = SHELL("while :; do sleep 0.05; done"),
          .health = { "/bin/sleep", "0.02" },
          .p = { KEEPS, .health = { .kind = PLAN_CHECK_EXEC,
                                    .interval_ms = 20,
                                    .timeout_ms = 5000,
                                    .failures = 3 } } },
        { .name = "hooked",
          .argv = SHELL("exec sleep 1000"),
          .pre_stop = { "/bin/sleep", "0.02" },
          .post_start = { "/bin/sleep", "0.02" },
          .p = { KEEPS, .pre_stop.timeout_ms = 5000, .post_start.timeout_ms = 5000 } },
        { .name = "leaver", .argv = ROLE("leaver", "chaos-left"), .p = { KEEPS } },
    };
    unsigned long seed = number_of("CODEV_CHAOS_SEED", (unsigned long)clock_mono_us() % 100000);
    unsigned long kills = 0, lines = 0, lost = 0;
    srandom((unsigned)seed);
    (void)snprintf(pod.about, sizeof pod.about, "CODEV_CHAOS_SEED=%lu:", seed);
    start(s, ARRAY_SIZE(s));
    POD_EVENTUALLY(&pod, pod_state("leaver", "ready")); /* by then codev-config has done its work */
    uint64_t until = clock_mono_ms() + number_of("CODEV_CHAOS_SECONDS", 4) * 1000;
    while (clock_mono_ms() < until) {
        kills += kill_one();
        disturb();
        take_log();
        (void)poll(NULL, 0, (int)chance(40));
    }
    for (size_t i = 0; i < ARRAY_SIZE(s); i++)
        POD_EVENTUALLY(&pod, (take_log(), pod_state(s[i].name, "ready")));
    POD_EVENTUALLY(&pod, zombies_of(pod.pid1) == 0);
    unsigned long dropped = (unsigned long)pod_number(POD_ASK("status"), "stdout_dropped");
    long rss = pod_number(POD_ASK("status"), "rss_bytes");
    ck_assert_int_eq(pod_stop(&pod, 25000), 0);
    take_log();
    for (size_t i = 0; i < COUNTERS; i++) {
        lines += counted[i].lines;
        lost += counted[i].gaps;
    }
    (void)printf("chaos: seed %lu, %lu killed, %lu lines, %lu lost, %lu counted as dropped, PID 1 "
                 "%ld KiB\n",
                 seed, kills, lines, lost, dropped, rss / 1024);
    (void)fflush(stdout);
    ck_assert_uint_gt(kills, 10);
    ck_assert_uint_gt(lines, 100);
    ck_assert_msg(lost <= dropped, "seed %lu: %lu lines lost, %lu counted", seed, lost, dropped);
    ck_assert_int_lt(rss, 16 << 20);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("init_chaos");
    TCase *t = tcase_create("chaos");
    tcase_set_timeout(t, 120 + (double)number_of("CODEV_CHAOS_SECONDS", 4));
    tcase_add_checked_fixture(t, open_pod, close_pod);
    tcase_add_test(t, every_service_comes_back_and_no_line_is_lost);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    return run_roles(argc, argv, suite);
}
