/* rooms: supervisor/profile supervisor/sandbox base/core */
/* System calls, capabilities, limits: each denied call is made inside of a profile and without. */
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <seccomp.h>

#include "base/core/buf.h"
#include "tests/unit/run_suite.h"
#include "tests/unit/sandbox_helper.h"

static const struct profile plain = { .name = "t", .filter = true };

struct call {
    long nr;
    long args[6];
};

/* The errno of a call; 0: it worked. */
static int make_call(void *arg)
{
    const struct call *c = arg;
    long r = syscall(c->nr, c->args[0], c->args[1], c->args[2], c->args[3], c->args[4], c->args[5]);
    return r < 0 ? errno : 0;
}

/* Arguments that the kernel refuses by another errno, were it asked. */
static struct call call_of(const struct denied *d, int nr)
{
    struct call c = { .nr = nr, .args = { -1, -1, -1, -1, -1, -1 } };
    switch (d->when) {
    case DENIED_FLAGS:
        c = (struct call){ .nr = nr, .args = { CLONE_NEWUTS | SIGCHLD } };
        if (nr == SYS_unshare)
            c.args[0] = CLONE_NEWUTS;
        break;
    case DENIED_EQUAL:
        memset(c.args, 0, sizeof c.args);
        if (nr == SYS_ioctl)
            c.args[0] = -1;
        if (nr == SYS_socket && d->arg == 2) {
            c.args[0] = AF_INET;
            c.args[1] = SOCK_STREAM;
        }
        c.args[d->arg] = (long)d->value;
        break;
    case DENIED_ABOVE:
        memset(c.args, 0, sizeof c.args);
        c.args[0] = AF_VSOCK;
        c.args[1] = SOCK_STREAM;
        break;
    case DENIED_NETLINK:
        c = (struct call){ .nr = nr, .args = { AF_NETLINK, SOCK_RAW, 15 } };
        break;
    case DENIED_PERSONA:
        c = (struct call){ .nr = nr, .args = { READ_IMPLIES_EXEC } };
        break;
    case DENIED_ALWAYS:
    case DENIED_WHEN_MAX:
        break;
    }
    return c;
}

static const uid_t uids[] = { 0, 1000 };

/* Both as we are and, where we are root, as an ordinary user. */
START_TEST(a_denied_call_fails)
{
    const struct denied *d = &denied_table[_i];
    int nr = seccomp_syscall_resolve_name(d->call);
    if (nr == __NR_SCMP_ERROR)
        nr = d->number;
    if (nr < 0) /* not on this machine */
        return;
    struct box b;
    box_make(&b, &plain);
    struct call c = call_of(d, nr);
    for (size_t i = 0; i < ARRAY_SIZE(uids) && (i == 0 || geteuid() == 0); i++)
        ck_assert_msg(box_run(&b, uids[i], make_call, &c) == d->error, "%s: not errno %d as uid %u",
                      d->call, d->error, uids[i]);
    box_release(&b);
    /* It takes no arguments, and would hang up our own terminal. */
    if (strcmp(d->call, "vhangup") == 0 || !unconfined())
        return;
    int r = box_run(NULL, 0, make_call, &c);
    ck_assert_msg(r != d->error || d->error == ENOSYS, "%s fails so without a profile, too",
                  d->call);
}
END_TEST

START_TEST(what_a_profile_allows_is_not_denied)
{
    static const char *const names[] = { "ptrace", "trace" }; /* by name, by group */
    struct call c = { .nr = SYS_ptrace, .args = { -1, -1, -1, -1 } };
    struct profile p = plain;
    p.allow = (struct profile_words){ .items = &names[_i], .count = 1 };
    struct box b;
    box_make(&b, &p);
    ck_assert_int_ne(box_run(&b, 0, make_call, &c), EPERM);
    struct call other = { .nr = SYS_keyctl, .args = { -1 } };
    ck_assert_int_eq(box_run(&b, 0, make_call, &other), EPERM);
    box_release(&b);
}
END_TEST

START_TEST(what_a_profile_denies_beside_the_table)
{
    struct call c = { .nr = SYS_getppid };
    struct profile p = plain;
    struct box b;
    p.deny = (struct profile_words)WORDS("getppid");
    box_make(&b, &p);
    ck_assert_int_eq(box_run(&b, 0, make_call, &c), EPERM);
    box_release(&b);
    ck_assert_int_eq(box_run(NULL, 0, make_call, &c), 0);
}
END_TEST

static void *thread(void *arg)
{
    return arg;
}

/* What developer tools do all day; the number of the first that fails. */
static int works(void *arg)
{
    pthread_t t;
    void *got = NULL;
    (void)arg;
    if (pthread_create(&t, NULL, thread, &got) != 0 || pthread_join(t, &got) != 0 || got != &got)
        return 1;
    const int sockets[][3] = { { AF_UNIX, SOCK_STREAM, 0 },
                               { AF_INET, SOCK_STREAM, IPPROTO_TCP },
                               { AF_INET6, SOCK_DGRAM, 0 },
                               { AF_NETLINK, SOCK_RAW, 0 } };
    for (size_t i = 0; i < ARRAY_SIZE(sockets); i++)
        if (socket(sockets[i][0], sockets[i][1], sockets[i][2]) < 0 && errno != EAFNOSUPPORT)
            return 2;
    if (personality(0xffffffff) < 0 || personality(ADDR_NO_RANDOMIZE) < 0)
        return 3;
    if (unshare(CLONE_FILES | CLONE_FS) < 0)
        return 4;
    int n;
    if (ioctl(0, FIONREAD, &n) < 0 && errno == EPERM)
        return 5;
    return system("a=$(printf x | cat); test \"$a\" = x && true & wait") == 0 ? 0 : 6;
}

START_TEST(everyday_work_goes_on)
{
    struct box b;
    box_make(&b, &plain);
    for (size_t i = 0; i < ARRAY_SIZE(uids) && (i == 0 || geteuid() == 0); i++) {
        /* What a container's own filter denies is no fault of ours. */
        int outside = box_run(NULL, uids[i], works, NULL);
        ck_assert(outside == 0 || !unconfined());
        ck_assert_int_eq(box_run(&b, uids[i], works, NULL), outside);
    }
    box_release(&b);
}
END_TEST

#ifdef __x86_64__
/* getpid() by the 32-bit door; its result. */
static int by_int80(void *arg)
{
    long r;
    (void)arg;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
    return (int)r < 0 ? -(int)r : 0;
}

START_TEST(other_doors_into_the_kernel_are_closed)
{
    struct call x32 = { .nr = 0x40000000 | SYS_getpid };
    struct box b;
    box_make(&b, &plain);
    ck_assert_int_ne(box_run(&b, 0, make_call, &x32), 0);
    if (box_run(NULL, 0, by_int80, NULL) == 0)
        ck_assert_int_eq(box_run(&b, 0, by_int80, NULL), EPERM);
    else
        printf("SKIP this kernel takes no 32-bit calls\n");
    box_release(&b);
}
END_TEST
#endif

/* A call that nobody has judged is as if the kernel were older: seen in the filter itself. */
START_TEST(newer_calls_are_unknown)
{
    struct box b;
    box_make(&b, &plain);
    ck_assert_uint_eq(b.sandbox.filter[1].k, SYSCALL_NEWEST);
    ck_assert_uint_eq(b.sandbox.filter[2].k & 0xffff, ENOSYS);
    struct call c = { .nr = SYSCALL_NEWEST + 1 };
    ck_assert_int_eq(box_run(&b, 0, make_call, &c), ENOSYS);
    box_release(&b);
}
END_TEST

/* The filter that was made when this was built is the one that libseccomp makes now. */
START_TEST(the_usual_filter_is_what_libseccomp_makes)
{
    _cleanup_buf_ struct buf built = BUF_INIT, now = BUF_INIT;
    struct error e = ERROR_INIT;
    ck_assert_int_eq(filter_compile(&plain, &built, &e), 0);
    ck_assert_int_eq(filter_make(&plain, &now, &e), 0);
    ck_assert_uint_gt(now.len, 100 * sizeof(struct sandbox_insn));
    ck_assert_uint_eq(built.len, now.len);
    ck_assert_mem_eq(built.data, now.data, now.len);
}
END_TEST

START_TEST(without_a_filter_nothing_is_denied)
{
    const struct profile p = { .name = "t" };
    struct call c = { .nr = SYS_keyctl, .args = { -1 } };
    struct box b;
    box_make(&b, &p);
    ck_assert_int_ne(box_run(&b, 0, make_call, &c), EPERM);
    box_release(&b);
}
END_TEST

START_TEST(the_table_is_whole)
{
    static const char *const needed[] = {
        "mount",
        "umount2",
        "unshare",
        "setns",
        "clone",
        "clone3",
        "bpf",
        "ptrace",
        "pidfd_getfd",
        "io_uring_setup",
        "keyctl",
        "add_key",
        "request_key",
        "kexec_load",
        "init_module",
        "finit_module",
        "userfaultfd",
        "reboot",
        "swapon",
        "acct",
        "quotactl",
        "pivot_root",
        "chroot",
        "syslog",
        "settimeofday",
        "clock_settime",
        "iopl",
        "ioperm",
        "personality",
        "ioctl",
        "socket",
        "process_vm_readv",
        "process_vm_writev",
        "perf_event_open",
        "open_by_handle_at",
    };
    for (size_t i = 0; i < denied_count; i++)
        ck_assert_msg(*denied_table[i].reason && *denied_table[i].group && denied_table[i].error,
                      "%s", denied_table[i].call);
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
        size_t k = 0;
        while (k < denied_count && strcmp(denied_table[k].call, needed[i]) != 0)
            k++;
        ck_assert_msg(k < denied_count, "%s is missing", needed[i]);
    }
}
END_TEST

/* --- capabilities, limits, what a program finds after exec --- */

static int shell(void *arg)
{
    (void)execl("/bin/sh", "sh", "-c", (const char *)arg, NULL);
    return 99;
}

static char no_caps[] = "! grep -E '^Cap(Inh|Prm|Eff|Amb):.*[1-9a-f]' /proc/self/status && "
                        "grep -q '^NoNewPrivs:.1' /proc/self/status";
static char no_bounding[] = "! grep -E '^CapBnd:.*[1-9a-f]' /proc/self/status";
static char one_cap[] = "grep -q '^CapEff:.0*400$' /proc/self/status && "
                        "grep -q '^CapBnd:.0*400$' /proc/self/status";
static char no_core[] = "test $(ulimit -c) = 0 && test $(ulimit -n) = 64";

START_TEST(capabilities_are_given_up)
{
    struct box b;
    box_make(&b, &plain);
    for (size_t i = 0; i < ARRAY_SIZE(uids) && (i == 0 || geteuid() == 0); i++)
        ck_assert_int_eq(box_run(&b, uids[i], shell, no_caps), 0);
    if (geteuid() == 0)
        ck_assert_int_eq(box_run(&b, 0, shell, no_bounding), 0);
    box_release(&b);
}
END_TEST

START_TEST(a_capability_that_is_kept)
{
    struct profile p = plain;
    struct box b;
    if (geteuid() != 0) {
        printf("SKIP needs root\n");
        return;
    }
    p.capabilities = (struct profile_words)WORDS("CAP_NET_BIND_SERVICE");
    box_make(&b, &p);
    for (size_t i = 0; i < ARRAY_SIZE(uids); i++)
        ck_assert_int_eq(box_run(&b, uids[i], shell, one_cap), 0);
    box_release(&b);
}
END_TEST

START_TEST(limits_hold)
{
    static const struct profile_limit limits[] = { { RLIMIT_CORE, 0 },
                                                   { RLIMIT_NOFILE, 64 },
                                                   { RLIMIT_NPROC, UINT64_MAX } };
    struct profile p = plain;
    struct box b;
    p.limits = limits;
    p.limit_count = ARRAY_SIZE(limits);
    box_make(&b, &p);
    ck_assert_uint_eq(b.sandbox.header->limits.count, 2);
    ck_assert_int_eq(box_run(&b, 0, shell, no_core), 0);
    box_release(&b);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("sandbox_calls");
    TCase *t = tcase_create("calls");
    tcase_set_timeout(t, 30);
    tcase_add_loop_test(t, a_denied_call_fails, 0, (int)denied_count);
    tcase_add_loop_test(t, what_a_profile_allows_is_not_denied, 0, 2);
    tcase_add_test(t, what_a_profile_denies_beside_the_table);
    tcase_add_test(t, everyday_work_goes_on);
#ifdef __x86_64__
    tcase_add_test(t, other_doors_into_the_kernel_are_closed);
#endif
    tcase_add_test(t, newer_calls_are_unknown);
    tcase_add_test(t, the_usual_filter_is_what_libseccomp_makes);
    tcase_add_test(t, without_a_filter_nothing_is_denied);
    tcase_add_test(t, the_table_is_whole);
    tcase_add_test(t, capabilities_are_given_up);
    tcase_add_test(t, a_capability_that_is_kept);
    tcase_add_test(t, limits_hold);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return run_suite(make_suite());
}
