/* rooms: supervisor/plan supervisor/sandbox base/core */
/* The real codev-init as PID 1: what it leaves behind, how it stops, what it survives. */
#include "tests/unit/init_pod.h"

#include <dirent.h>
#include <sys/socket.h>

#include "tests/unit/run_pod_suite.h"

static struct pod pod;
static char self[PATH_MAX];

/* --- roles: what this program does when a pod starts it --- */

static void name_me(const char *name)
{
    (void)prctl(PR_SET_NAME, name, 0, 0, 0);
}

_Noreturn static void sleep_for_ever(void)
{
    for (;;)
        (void)pause();
}

static void ignore_everything(void)
{
    static const int polite[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1 };
    for (size_t i = 0; i < ARRAY_SIZE(polite); i++)
        (void)signal(polite[i], SIG_IGN);
}

static void role_stubborn(const char *name)
{
    name_me(name);
    ignore_everything();
    sleep_for_ever();
}

/* A child that leaves group, session and parent behind, and its environment. */
static void role_leaver(const char *name)
{
    if (fork() == 0) {
        (void)setsid();
        if (fork() == 0) {
            (void)setsid();
            (void)clearenv();
            role_stubborn(name);
        }
        _exit(0);
    }
    (void)wait(NULL);
    sleep_for_ever();
}

static void role_orphans(const char *count)
{
    for (long i = strtol(count, NULL, 10); i > 0; i--) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(fork() < 0);
        if (pid > 0)
            (void)waitpid(pid, NULL, 0);
    }
    name_me("orphans-made");
}

static void role_flood(const char *unused)
{
    char line[200];
    (void)unused;
    memset(line, 'f', sizeof line);
    line[sizeof line - 1] = '\n';
    while (write(STDOUT_FILENO, line, sizeof line) > 0)
        continue;
}

static void role_bomb(const char *name)
{
    name_me(name);
    (void)signal(SIGCHLD, SIG_IGN);
    for (int i = 0; i < 300; i++) {
        if (fork() == 0) {
            (void)setsid();
            ignore_everything();
            for (int k = 0; k < 3; k++)
                (void)fork();
            sleep_for_ever();
        }
    }
    sleep_for_ever();
}

static void role_notify(const char *after)
{
    (void)poll(NULL, 0, (int)strtol(after, NULL, 10));
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    const char *path = getenv("NOTIFY_SOCKET");
    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "%s", path ? path : "");
    static const char text[] = "STATUS=x\nREADY=1\n";
    if (sendto(fd, text, sizeof text - 1, 0, (struct sockaddr *)&addr, sizeof addr) < 0)
        _exit(9);
    sleep_for_ever();
}

static const struct {
    const char *name;
    void (*run)(const char *argument);
} roles[] = {
    { "stubborn", role_stubborn }, { "leaver", role_leaver }, { "orphans", role_orphans },
    { "flood", role_flood },       { "bomb", role_bomb },     { "notify", role_notify },
};

#define ROLE(role, argument)                                                                       \
    {                                                                                              \
        self, "--role", role, argument                                                             \
    }
#define SHELL(text)                                                                                \
    {                                                                                              \
        "/bin/sh", "-c", text                                                                      \
    }

/* --- looking at this machine's processes --- */

/* How many live processes have this name; `*ret_pid` is one of them. */
static int living(const char *name, pid_t *ret_pid)
{
    int n = 0;
    DIR *proc = opendir("/proc");
    ck_assert_ptr_nonnull(proc);
    for (const struct dirent *d; (d = readdir(proc));) {
        char path[300], text[512] = "", mark[64];
        if (d->d_name[0] < '1' || d->d_name[0] > '9')
            continue;
        (void)snprintf(path, sizeof path, "/proc/%s/stat", d->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, text, sizeof text - 1) < 0)
            text[0] = '\0';
        if (fd >= 0)
            (void)close(fd);
        (void)snprintf(mark, sizeof mark, "(%s) ", name);
        const char *at = strstr(text, mark);
        if (!at || at[strlen(mark)] == 'Z' || at[strlen(mark)] == 'X')
            continue;
        n++;
        if (ret_pid)
            *ret_pid = (pid_t)strtol(d->d_name, NULL, 10);
    }
    (void)closedir(proc);
    return n;
}

/* Zombies whose parent is `parent`. */
static int zombies_of(pid_t parent)
{
    int n = 0;
    DIR *proc = opendir("/proc");
    ck_assert_ptr_nonnull(proc);
    for (const struct dirent *d; (d = readdir(proc));) {
        char path[300], text[512] = "";
        if (d->d_name[0] < '1' || d->d_name[0] > '9')
            continue;
        (void)snprintf(path, sizeof path, "/proc/%s/stat", d->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC), ppid = 0;
        char state = ' ';
        if (fd >= 0 && read(fd, text, sizeof text - 1) > 0 && strrchr(text, ')'))
            (void)sscanf(strrchr(text, ')'), ") %c %d", &state, &ppid);
        if (fd >= 0)
            (void)close(fd);
        n += ppid == parent && state == 'Z';
    }
    (void)closedir(proc);
    return n;
}

/* A name that no other test, also of another run at the same time, has. */
static const char *unique(const char *prefix)
{
    static char names[4][16];
    static unsigned next;
    char *name = names[next++ % 4];
    (void)snprintf(name, sizeof names[0], "%.6s%d", prefix, (int)getpid());
    return name;
}

static pid_t host_pid(const char *name)
{
    pid_t pid = 0;
    POD_EVENTUALLY(&pod, living(name, &pid) >= 1);
    return pid;
}

/* The parent of a process. */
static pid_t parent_of(pid_t pid)
{
    char path[64], text[512] = "";
    int ppid = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, text, sizeof text - 1) > 0 && strrchr(text, ')'))
        (void)sscanf(strrchr(text, ')'), ") %*c %d", &ppid);
    if (fd >= 0)
        (void)close(fd);
    return ppid;
}

static bool blocks_sigterm(pid_t pid)
{
    char path[64];
    _cleanup_free_ char *text = NULL;
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    if (file_read(path, 65536, &text, NULL) < 0)
        return false;
    const char *at = strstr(text, "\nSigBlk:");
    return at && (strtoull(at + 9, NULL, 16) & (1ULL << (SIGTERM - 1)));
}

/* Runs a role inside the pod's PID namespace, as kubectl exec does. */
static void exec_inside(const char *role, const char *argument)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)pod.pid1);
    int status;
    pid_t outer = fork();
    if (outer == 0) {
        int ns = open(path, O_RDONLY | O_CLOEXEC);
        if (ns < 0 || setns(ns, CLONE_NEWPID) < 0)
            _exit(1);
        pid_t inner = fork();
        if (inner == 0) {
            (void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* /proc is another namespace's */
            (void)execl(self, self, "--role", role, argument, (char *)NULL);
            _exit(1);
        }
        _exit(waitpid(inner, &status, 0) == inner && status == 0 ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(outer, &status, 0), outer);
    ck_assert_int_eq(status, 0);
}

static void open_pod(void)
{
    pod_init(&pod);
}

static void close_pod(void)
{
    pod_release(&pod);
}

static void start(const struct pod_service *services, size_t count)
{
    pod_write_plan(&pod, services, count, 0, NULL, 0);
    pod_start(&pod);
}

/* --- the tests --- */

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

/* How the service that left something behind ends. */
enum { BY_STOP, BY_CRASH, BY_GUARD, BY_HELD_GUARD, BY_POD_STOP, BY_MAX };

START_TEST(what_a_service_leaves_behind_is_gone)
{
    const char *name = unique("left");
    struct pod_service s[] = { { .name = "leaver", .argv = ROLE("leaver", name) } };
    start(s, 1);
    pid_t stray = host_pid(name), guard = parent_of(stray);
    ck_assert_int_ne(guard, pod.pid1); /* it is below its guard, not among the orphans */
    pid_t leader = 0;
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

static Suite *suite(void)
{
    Suite *s = suite_create("init_live");
    TCase *t = tcase_create("live");
    tcase_set_timeout(t, 90);
    tcase_add_checked_fixture(t, open_pod, close_pod);
    tcase_add_test(t, ten_thousand_orphans_leave_no_zombie);
    tcase_add_test(t, a_crash_loop_backs_off_and_gives_up);
    tcase_add_test(t, a_stubborn_service_is_killed_at_its_grace);
    tcase_add_loop_test(t, what_a_service_leaves_behind_is_gone, 0, BY_MAX);
    tcase_add_test(t, a_host_of_forked_daemons_is_gone_too);
    tcase_add_test(t, a_blocked_stdout_holds_nobody_up);
    tcase_add_loop_test(t, sigterm_during_start_stops_cleanly, 0, 8);
    tcase_add_test(t, the_stop_fits_its_budget_and_kills_everything);
    tcase_add_test(t, a_second_sigterm_shortens_the_stop);
    tcase_add_loop_test(t, exit_statuses_say_why, 0, 6);
    tcase_add_test(t, readiness_comes_from_exec_and_notify);
    tcase_add_test(t, reports_of_checks_are_counted_and_acted_upon);
    tcase_add_test(t, a_reload_touches_only_what_changed);
    tcase_add_test(t, a_reload_changes_checks_of_what_runs);
    tcase_add_test(t, what_is_no_longer_configured_is_not_started_again);
    tcase_add_test(t, a_stop_under_way_leaves_time_for_the_others);
    tcase_add_test(t, a_held_guard_hides_no_death);
    tcase_add_test(t, the_last_words_of_a_short_life_have_its_pid);
    tcase_add_test(t, the_first_line_has_the_form_of_the_others);
    tcase_add_test(t, pre_stop_runs_before_the_signal_and_no_longer_than_it_may);
    tcase_add_test(t, the_control_socket_bears_bad_clients);
    tcase_add_test(t, logs_and_notes_are_kept_for_those_who_ask);
    tcase_add_loop_test(t, it_runs_with_few_descriptors, 14, 40);
    tcase_add_test(t, a_lack_of_processes_makes_nothing_give_up);
    tcase_add_test(t, it_runs_as_nobody_with_nothing_writable);
    tcase_add_test(t, it_works_where_it_is_not_pid_1);
    tcase_add_test(t, when_it_is_killed_outright_nothing_is_left);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return EXIT_FAILURE;
    for (size_t i = 0; argc == 4 && strcmp(argv[1], "--role") == 0 && i < ARRAY_SIZE(roles); i++) {
        if (strcmp(roles[i].name, argv[2]) == 0) {
            roles[i].run(argv[3]);
            return EXIT_SUCCESS;
        }
    }
    return run_pod_suite(suite);
}
