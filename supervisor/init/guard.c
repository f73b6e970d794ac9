#include "supervisor/init/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "supervisor/cgroup/cgroup.h"
#include "supervisor/init/tree.h"

#define KILL_ROUND_MS   10 /* between two passes over what is left */
#define LINGER_ROUND_MS 50
#define LOOK_ROUND_MS   1000 /* at a leader that is no child of ours, where no pidfd can be had */
#define HEIR_MS         1000 /* for the first process to end with what it waited for */

struct guard {
    int sock, exec_fd, signal_fd;
    int cgroup_fd;          /* -1: no group of its own */
    pid_t leader;           /* 0: reaped */
    int leader_fd;          /* a pidfd, of one that leads by MAINPID; -1: none */
    uint64_t heir_until_ms; /* it has ended and another one waited for it; 0: it has not */
    pid_t first;            /* the program itself, also when another one leads; 0: reaped */
    pid_t group;
    bool orderly, kill, ended;
    int killed;
};

static void tell(const struct guard *g, struct guard_message m)
{
    (void)send(g->sock, &m, sizeof m, MSG_NOSIGNAL);
}

/* What goes from the program's side to the guard, before exec closes the pipe. */
struct word {
    bool failed;
    union {
        struct spawn_failure failure;
        struct sandbox_report report;
    };
};

static void tell_report(void *arg, const struct sandbox_report *r)
{
    const struct word w = { .failed = false, .report = *r };
    (void)!write(*(int *)arg, &w, sizeof w);
}

/* The program's side: on success this process is the program. */
_Noreturn static void become_program(const struct spawn_spec *spec, int exec_fd)
{
    struct spawn_failure f = spawn_exec(spec, tell_report, &exec_fd);
    const struct word w = { .failed = true, .failure = f };
    if (write(exec_fd, &w, sizeof w) < 0)
        _exit(125);
    _exit(f.error == ENOENT ? 127 : 126);
}

static void start(struct guard *g, const struct spawn_spec *spec)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0) {
        tell(g, (struct guard_message){ GUARD_FAILED, .step = SPAWN_FORK, .error = errno });
        _exit(1);
    }
    pid_t pid = spec->cgroup_fd ? cgroup_fork(spec->cgroup_fd, spec->cgroup_is_new) : fork();
    if (pid == 0) {
        /* By itself too: it may have written its first line before we get to run again. */
        tell(g, (struct guard_message){ GUARD_FORKED, .pid = getpid() });
        become_program(spec, fds[1]);
    }
    if (pid < 0) {
        tell(g, (struct guard_message){ GUARD_FAILED, .step = SPAWN_FORK, .error = errno });
        _exit(1);
    }
    (void)close(fds[1]);
    g->exec_fd = fds[0];
    g->leader = g->group = g->first = pid;
    tell(g, (struct guard_message){ GUARD_FORKED, .pid = pid });
}

/* End of file means that exec closed the pipe. */
static void read_exec(struct guard *g)
{
    struct word w;
    ssize_t n = read(g->exec_fd, &w, sizeof w);
    if (n < 0 && errno == EINTR)
        return;
    if (n == (ssize_t)sizeof w && !w.failed) {
        tell(g, (struct guard_message){ .what = GUARD_SANDBOX, .report = w.report });
        return; /* exec is next */
    }
    if (n == (ssize_t)sizeof w)
        tell(g, (struct guard_message){ .what = GUARD_FAILED,
                                        .pid = g->group,
                                        .step = w.failure.step,
                                        .error = w.failure.error,
                                        .part = w.failure.part });
    else
        tell(g, (struct guard_message){ GUARD_STARTED, .pid = g->group });
    (void)close(g->exec_fd);
    g->exec_fd = -1;
}

/* As sd_notify(3)'s MAINPID: a program that goes to the background. */
static void lead(struct guard *g, pid_t pid)
{
    __attribute__((cleanup(tree_release))) struct tree t = { 0 };
    if (!g->leader || tree_read(&t) < 0)
        return;
    tree_mark(&t, getpid());
    for (size_t i = 0; i < t.count; i++) {
        if (!t.rows[i].below || t.rows[i].pid != pid || t.rows[i].state == 'Z')
            continue;
        if (g->leader_fd >= 0)
            (void)close(g->leader_fd);
        g->leader_fd = (int)syscall(SYS_pidfd_open, pid, 0);
        g->heir_until_ms = 0;
        g->leader = pid;
        g->group = t.rows[i].group;
        tell(g, (struct guard_message){ GUARD_FORKED, .pid = pid });
    }
}

static void read_order(struct guard *g)
{
    struct guard_command c;
    ssize_t n = recv(g->sock, &c, sizeof c, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n != (ssize_t)sizeof c || c.order == GUARD_KILL) {
        g->kill = true;
        return;
    }
    if (c.order == GUARD_LEAD) {
        lead(g, c.signal);
        return;
    }
    if (c.order == GUARD_STOP)
        g->orderly = true;
    /* setsid() is the program's first act, but it may not have come to it yet. */
    if (g->leader && kill(-g->group, c.signal) < 0)
        (void)kill(g->leader, c.signal);
}

static void leader_ended(struct guard *g, struct guard_message m)
{
    m.what = GUARD_EXITED;
    m.pid = g->leader;
    while (g->exec_fd >= 0) /* all it said; its end of the pipe is closed */
        read_exec(g);
    g->leader = 0;
    g->ended = true;
    if (g->leader_fd >= 0)
        (void)close(g->leader_fd);
    g->leader_fd = -1;
    tell(g, m);
}

/* One that leads by MAINPID, and whose own parent, below us, is still there: wait(2) tells that
 * one how it ended, and us nothing. */
static void look_at_leader(struct guard *g)
{
    siginfo_t info;
    struct pollfd p = { .fd = g->leader_fd, .events = POLLIN };
    if (!g->leader || g->leader == g->first)
        return;
    bool gone = g->leader_fd >= 0 ? poll(&p, 1, 0) > 0 : kill(g->leader, 0) < 0;
    bool ours = waitid(P_PID, (id_t)g->leader, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
    if (!gone || ours)
        return;
    uint64_t now = clock_mono_ms();
    if (!g->heir_until_ms)
        g->heir_until_ms = now + HEIR_MS;
    if (g->first && now < g->heir_until_ms)
        return; /* it may be just about to end with that status itself */
    leader_ended(g, (struct guard_message){ .error = ECHILD, .status = 1 << 8 });
}

/* True when no child is left. */
static bool reap(struct guard *g)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid <= 0)
            return pid < 0;
        bool first = pid == g->first, leads = pid == g->leader;
        if (first)
            g->first = 0;
        if (leads || (first && g->leader && g->heir_until_ms))
            leader_ended(g, (struct guard_message){ .status = status });
    }
}

/* After an orderly stop the rest of the program's own group was signalled with it and may take the
 * rest of the grace; PID 1 ends that with GUARD_KILL. What left the group goes at once. */
static bool group_lives(const struct guard *g)
{
    __attribute__((cleanup(tree_release))) struct tree t = { 0 };
    if (tree_read(&t) < 0)
        return false;
    tree_mark(&t, getpid());
    for (size_t i = 0; i < t.count; i++)
        if (t.rows[i].below && t.rows[i].group == g->group && t.rows[i].state != 'Z')
            return true;
    return false;
}

static void kill_rest(struct guard *g)
{
    int n = tree_kill_below(getpid());
    if (n > 0 && g->ended)
        g->killed += n;
    if (n < 0) /* no /proc: all that can be reached is the group */
        (void)kill(-g->group, SIGKILL);
    /* At once, so that nothing can be forked faster than it is killed. After the passes over the
     * tree, which count; they are for what left its cgroup. */
    if (g->cgroup_fd >= 0)
        (void)cgroup_kill(g->cgroup_fd);
}

static int round_ms(const struct guard *g)
{
    if (g->kill)
        return KILL_ROUND_MS;
    if (g->ended || g->heir_until_ms)
        return LINGER_ROUND_MS;
    return g->leader != g->first && g->leader_fd < 0 ? LOOK_ROUND_MS : -1;
}

_Noreturn static void watch(struct guard *g)
{
    for (;;) {
        struct signalfd_siginfo info;
        struct pollfd p[] = {
            { .fd = g->sock, .events = POLLIN },
            { .fd = g->signal_fd, .events = POLLIN },
            { .fd = g->exec_fd, .events = POLLIN },
            /* Ended, but not yet waited for, it would end each poll at once. */
            { .fd = g->heir_until_ms ? -1 : g->leader_fd, .events = POLLIN },
        };
        (void)poll(p, ARRAY_SIZE(p), round_ms(g));
        if (p[1].revents && read(g->signal_fd, &info, sizeof info) < 0 && errno != EAGAIN)
            g->kill = true;
        if (p[2].revents && g->exec_fd >= 0)
            read_exec(g);
        if (p[0].revents)
            read_order(g);
        look_at_leader(g);
        if (reap(g)) {
            tell(g, (struct guard_message){ GUARD_DONE, .pid = g->group, .killed = g->killed });
            _exit(0);
        }
        if (g->ended && !g->kill && (!g->orderly || !group_lives(g)))
            g->kill = true;
        if (g->kill)
            kill_rest(g);
    }
}

_Noreturn void guard_main(const struct spawn_spec *spec, int sock)
{
    struct guard g = {
        .sock = sock,
        .exec_fd = -1,
        .leader_fd = -1,
        .cgroup_fd = spec->cgroup_fd && spec->cgroup_is_its_own ? spec->cgroup_fd : -1,
    };
    const int keep[] = { sock, spec->stdout_fd, spec->stderr_fd, spec->keep_fd, spec->cgroup_fd };
    char name[16];
    (void)snprintf(name, sizeof name, "g:%s", spec->label);
    (void)prctl(PR_SET_NAME, name, 0, 0, 0);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) {
        tell(&g, (struct guard_message){ GUARD_FAILED, .step = SPAWN_SESSION, .error = errno });
        _exit(1);
    }
    spawn_close_fds(keep, ARRAY_SIZE(keep));
    sigset_t chld;
    (void)sigemptyset(&chld);
    (void)sigaddset(&chld, SIGCHLD);
    g.signal_fd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
    if (g.signal_fd < 0) {
        tell(&g, (struct guard_message){ GUARD_FAILED, .step = SPAWN_FORK, .error = errno });
        _exit(1);
    }
    start(&g, spec);
    /* Only the program holds its log pipes and its descriptors. */
    const int mine[] = { sock, g.exec_fd, g.signal_fd, g.cgroup_fd };
    spawn_close_fds(mine, ARRAY_SIZE(mine));
    (void)spawn_stdio(-1, -1, -1);
    watch(&g);
}
