/* rooms: supervisor/plan supervisor/sandbox base/core */
/* Each system call of PID 1 fails once, from its first to its last: at the boot, while it runs,
 * restarts, reloads and stops. After each, PID 1 lives, its services run, and it answers.
 *
 * The process between (init_pod.h) traces PID 1, and no child of it; the call that is meant is left
 * out, and an error that it may really have is what PID 1 sees. Each kind of call fails at its
 * first time and at a random one; with CODEV_FAULTS=all each single one (`make soak`: half an
 * hour), CODEV_FAULTS=allocs: each allocation, CODEV_FAULTS=57:3: the third fork. */
#include "tests/unit/init_suite.h"

#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/user.h>

#include "tests/unit/fail_alloc.h"

#define CALLS_MAX 512

/* Shared with the tracer. */
static struct shared {
    uint32_t count[CALLS_MAX]; /* made so far, by number */
    int nr;                    /* the call to fail; -1: none */
    uint32_t nth;              /* its so-manieth time */
    int error;
    bool done;            /* it has failed */
    uint64_t allocations; /* made in a life, when none fails */
} * shared;

/* --- what fails, and how --- */

#if defined(__x86_64__)

#    define ANY (-1)
static const struct {
    int nr, error;
} errors[] = {
    { SYS_open, EMFILE },
    { SYS_openat, EMFILE },
    { SYS_pipe2, EMFILE },
    { SYS_socket, EMFILE },
    { SYS_socketpair, EMFILE },
    { SYS_epoll_create1, EMFILE },
    { SYS_signalfd4, EMFILE },
    { SYS_memfd_create, EMFILE },
    { SYS_inotify_init1, EMFILE },
    { SYS_accept4, EMFILE },
    { SYS_mmap, ENOMEM },
    { SYS_brk, ENOMEM },
    { SYS_munmap, ENOMEM },
    { SYS_mremap, ENOMEM },
    { SYS_epoll_ctl, ENOSPC },
    { SYS_fork, EAGAIN },
    { SYS_clone, EAGAIN },
    { SYS_clone3, EAGAIN },
    { SYS_vfork, EAGAIN },
    { SYS_read, EIO },
    { SYS_write, ENOSPC },
    { SYS_writev, ENOSPC },
    { SYS_mkdir, EROFS },
    { SYS_unlink, EROFS },
    { SYS_chmod, EROFS },
    { SYS_stat, EACCES },
    { SYS_lstat, EACCES },
    { SYS_access, EACCES },
    { SYS_readlink, EACCES },
    { SYS_wait4, EINTR },
    { SYS_waitid, EINTR },
    { SYS_poll, EINTR },
    { SYS_epoll_wait, EINTR },
    { SYS_epoll_pwait, EINTR },
    { SYS_nanosleep, EINTR },
    { SYS_clock_nanosleep, EINTR },
    { SYS_prctl, EPERM },
    { SYS_kill, EPERM },
    { SYS_pidfd_open, EMFILE },
    { SYS_getrandom, ENOSYS },
    { SYS_bind, EADDRINUSE },
    { SYS_sendto, ENOBUFS },
    { SYS_sendmsg, ENOBUFS },
    { SYS_recvfrom, ENOMEM },
    { SYS_recvmsg, ENOMEM },
    { SYS_close, EIO },
    { SYS_fcntl, EINVAL },
    { SYS_ioctl, EIO },
    { ANY, EIO },
};

/* They cannot fail as they are called here, or they are the C library's own before main(). */
static const int never[] = {
    SYS_exit,       SYS_exit_group,      SYS_rt_sigreturn,    SYS_execve,
    SYS_getpid,     SYS_getppid,         SYS_getuid,          SYS_geteuid,
    SYS_getgid,     SYS_gettid,          SYS_rt_sigaction,    SYS_rt_sigprocmask,
    SYS_arch_prctl, SYS_set_tid_address, SYS_restart_syscall, SYS_set_robust_list,
    SYS_rseq
};

static int error_of(int nr)
{
    size_t i = 0;
    while (errors[i].nr != nr && errors[i].nr != ANY)
        i++;
    return errors[i].error;
}

static bool fails(int nr)
{
    for (size_t i = 0; i < ARRAY_SIZE(never); i++)
        if (never[i] == nr)
            return false;
    return nr >= 0 && nr < CALLS_MAX;
}

/* --- the tracer --- */

/* At its entry. True when this is the one: it is not made, but for close(2), which always closes.
 */
static bool meant(pid_t pid, int nr)
{
    if (!fails(nr))
        return false;
    uint32_t n = ++shared->count[nr];
    if (nr != shared->nr || n != shared->nth)
        return false;
    if (nr != SYS_close)
        (void)ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.orig_rax), -1L);
    return true;
}

static int trace(pid_t pid)
{
    int status, deliver = 0;
    bool inside = false, failing = false, begun = false;
    for (;;) {
        if (waitpid(pid, &status, 0) < 0)
            _exit(95);
        if (!WIFSTOPPED(status))
            return status;
        int sig = WSTOPSIG(status);
        deliver = 0;
        if (!begun) { /* by exec */
            begun = true;
            (void)ptrace(PTRACE_SETOPTIONS, pid, NULL,
                         PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC);
        } else if (sig == (SIGTRAP | 0x80)) {
            long nr = ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.orig_rax), NULL);
            inside = !inside;
            if (inside) {
                failing = meant(pid, (int)nr);
            } else if (failing) {
                (void)ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.rax),
                             (long)-shared->error);
                failing = false;
                shared->done = true;
            }
        } else if (status >> 16 == 0) {
            deliver = sig;
        }
        (void)ptrace(PTRACE_SYSCALL, pid, NULL, (long)deliver);
    }
}
#else
static int error_of(int nr)
{
    return nr;
}

static int trace(pid_t pid)
{
    (void)pid;
    return 0;
}
#endif

/* --- the course of a pod's life --- */

static struct pod_service services[] = {
    { .name = "chatty",
      .argv = SHELL("n=0; while :; do n=$((n+1)); echo line $n; sleep 0.02; done") },
    { .name = "checked",
      .argv = SHELL("exec sleep 1000"),
      .requires = "chatty",
      .health = { "/bin/true" },
      .p = { .health = { .kind = PLAN_CHECK_EXEC,
                         .interval_ms = 50,
                         .timeout_ms = 5000,
                         .failures = 3 } } },
    { .name = "once", .argv = SHELL("exit 0"), .p = { .type = PLAN_TYPE_ONESHOT } },
    { .name = "hooked",
      .argv = SHELL("exec sleep 1000"),
      .pre_stop = { "/bin/true" },
      .post_start = { "/bin/true" },
      .p = { .pre_stop.timeout_ms = 2000, .post_start.timeout_ms = 2000 } },
    { .name = "late", .argv = SHELL("exec sleep 1000") }, /* comes with the reload */
};

static bool answers(void)
{
    return strstr(POD_ASK("status"), "\"phase\":\"running\"") != NULL;
}

static bool all_run(void)
{
    return pod_state("chatty", "ready") && pod_state("checked", "ready") &&
           pod_state("once", "done") && pod_state("hooked", "ready");
}

/* Lines of that service still come. */
static bool talks(void)
{
    const char *log = pod_log(&pod);
    size_t len = strlen(log);
    uint64_t until = clock_mono_ms() + 200;
    while (clock_mono_ms() < until) {
        if (strstr(pod_log(&pod) + len, "\"msg\":\"line "))
            return true;
        (void)poll(NULL, 0, 5);
    }
    return false;
}

/* What failed once may be asked for once more. */
#define ASKED(wanted, ...) (strstr(POD_ASK(__VA_ARGS__), wanted) != NULL)
#define OK                 "\"ok\":true"

static void live_a_life(void)
{
    pod_write_plan(&pod, services, 4, 0, pod.dir, PLAN_POLICY_WARN);
    pod_start(&pod);
    POD_EVENTUALLY(&pod, answers() && all_run());
    long pid = pid_of("chatty");
    POD_EVENTUALLY(&pod, ASKED(OK, "restart", "chatty"));
    POD_EVENTUALLY(&pod, all_run() && pid_of("chatty") != pid);
    POD_EVENTUALLY(&pod, ASKED("line ", "logs", "chatty", "5"));
    pod_write_plan(&pod, services, 5, 0, pod.dir, PLAN_POLICY_WARN);
    POD_EVENTUALLY(&pod, ASKED(OK, "reload"));
    POD_EVENTUALLY(&pod, pod_state("late", "ready"));
    POD_EVENTUALLY(&pod, ASKED(OK, "stop", "checked"));
    POD_EVENTUALLY(&pod, pod_state("checked", "stopped"));
    POD_EVENTUALLY(&pod, ASKED(OK, "start", "checked"));
    POD_EVENTUALLY(&pod, all_run() && talks());
    ck_assert_int_eq(pod_stop(&pod, 25000), 0);
}

static void open_ours(void)
{
    const uint64_t counted = shared->allocations;
    pod_init(&pod);
    pod.traced = true;
    pod.watch = trace;
    pod.watch_config = true;
    memset(shared, 0, sizeof *shared);
    shared->allocations = counted;
    shared->nr = -1;
}

/* --- which --- */

struct fault {
    int nr;
    uint32_t nth;
};
static struct fault faults[40000];
static int fault_count;

static void add(int nr, uint32_t nth, uint32_t of)
{
    if (nth >= 1 && nth <= of && fault_count < (int)ARRAY_SIZE(faults) &&
        (!fault_count || faults[fault_count - 1].nr != nr || faults[fault_count - 1].nth < nth))
        faults[fault_count++] = (struct fault){ nr, nth };
}

/* To count, too. */
START_TEST(nothing_fails)
{
    live_a_life();
}
END_TEST

static void choose(void)
{
    const char *mode = getenv("CODEV_FAULTS");
    int nr_only, nth_only;
    if (mode && sscanf(mode, "%d:%d", &nr_only, &nth_only) == 2) {
        add(nr_only, (uint32_t)nth_only, UINT32_MAX);
        return;
    }
    bool all = mode && strcmp(mode, "all") == 0;
    if (mode && !all)
        return;
    srandom((unsigned)clock_mono_us());
    for (int nr = 0; nr < CALLS_MAX; nr++) {
        uint32_t of = shared->count[nr];
        for (uint32_t n = 1; n <= (all ? of : 1); n++)
            add(nr, n, of);
        if (!all && of > 30)
            add(nr, 2 + (uint32_t)random() % (of - 1), of);
    }
}

START_TEST(a_call_fails_once)
{
    shared->nr = faults[_i].nr;
    shared->nth = faults[_i].nth;
    shared->error = error_of(shared->nr);
    (void)snprintf(pod.about, sizeof pod.about, "CODEV_FAULTS=%d:%u (%s):", shared->nr, shared->nth,
                   strerror(shared->error));
    live_a_life();
}
END_TEST

static const char *impossible(void)
{
#if !defined(__x86_64__)
    return "the tracer knows x86_64 only";
#elif defined(__SANITIZE_ADDRESS__)
    return "the sanitizers make system calls and allocate by themselves";
#else
    return pod_impossible();
#endif
}

/* --- allocations --- */

static char variable[128];
static const char *const with_variable[] = { variable, NULL };
static struct fail_alloc *allocations;
static uint64_t chosen[100000];
static int chosen_count;

static void open_allocations(void)
{
    pod_init_as(&pod, "codev-init-fails");
    const struct fail_alloc none = { 0 };
    ck_assert_int_eq(
        file_write_atomic(pod_path(&pod, "allocations"), (const char *)&none, sizeof none, 0600),
        0);
    _cleanup_fd_ int fd = open(pod_path(&pod, "allocations"), O_RDWR | O_CLOEXEC);
    allocations = mmap(NULL, sizeof *allocations, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(allocations, MAP_FAILED);
    (void)snprintf(variable, sizeof variable, "CODEV_TEST_ALLOC=%s/allocations", pod.dir);
    pod.env = with_variable;
}

START_TEST(no_allocation_fails)
{
    live_a_life();
    ck_assert_uint_gt(allocations->count, 100);
    shared->allocations = allocations->count;
}
END_TEST

START_TEST(an_allocation_fails)
{
    allocations->fail_at = chosen[_i];
    (void)snprintf(pod.about, sizeof pod.about,
                   "CODEV_FAULTS=alloc:%llu:", (unsigned long long)chosen[_i]);
    live_a_life();
}
END_TEST

static void choose_allocations(void)
{
    const char *mode = getenv("CODEV_FAULTS");
    bool all = mode && (strcmp(mode, "all") == 0 || strcmp(mode, "allocs") == 0);
    if (mode && strncmp(mode, "alloc:", 6) == 0)
        chosen[chosen_count++] = strtoull(mode + 6, NULL, 10);
    else if (!mode || all)
        for (uint64_t n = 1; n <= shared->allocations && chosen_count < (int)ARRAY_SIZE(chosen);
             n += all ? 1 : 1 + (uint64_t)random() % (shared->allocations / 10))
            chosen[chosen_count++] = n;
}

static void add_case(Suite *s, const char *name, void (*open_it)(void), const TTest *test,
                     int count)
{
    TCase *t = tcase_create(name);
    tcase_set_timeout(t, 90);
    tcase_add_checked_fixture(t, open_it, close_pod);
    tcase_add_loop_test(t, test, 0, count);
    suite_add_tcase(s, t);
}

START_TEST(it_is_skipped)
{
    (void)printf("SKIP failing system calls and allocations: %s\n", impossible());
    (void)fflush(stdout);
}
END_TEST

static Suite *nothing(void)
{
    Suite *s = suite_create("init_faults");
    TCase *t = tcase_create("nothing");
    tcase_add_test(t, it_is_skipped);
    suite_add_tcase(s, t);
    return s;
}

static Suite *life(void)
{
    Suite *s = suite_create("init_faults");
    add_case(s, "no call fails", open_ours, nothing_fails, 1);
    add_case(s, "no allocation fails", open_allocations, no_allocation_fails, 1);
    return s;
}

static Suite *suite(void)
{
    Suite *s = suite_create("init_faults");
    add_case(s, "calls", open_ours, a_call_fails_once, fault_count);
    add_case(s, "allocations", open_allocations, an_allocation_fails, chosen_count);
    return s;
}

int main(void)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return EXIT_FAILURE;
    if (*impossible())
        return run_suite(nothing());
    const char *mode = getenv("CODEV_FAULTS");
    bool one = mode && strchr(mode, ':');
    if (!one && run_suite(life()) != EXIT_SUCCESS) /* which counts */
        return EXIT_FAILURE;
    choose();
    choose_allocations();
    (void)printf("%d calls and %d allocations fail\n", fault_count, chosen_count);
    (void)fflush(stdout);
    return run_suite(suite());
}
