#include "supervisor/init/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "supervisor/init/signals.h"
#include "supervisor/init/tree.h"

#define STUCK_MS 3000 /* from the order to kill, or the program's end, to the guard's end */

#define SWEEP_MS 5000 /* for the helper that replaces a killed guard */

static void gone(struct proc *p)
{
    loop_close(p->loop, &p->sock);
    timer_clear(&p->stuck);
    p->leader = 0;
    p->fn(p, PROC_GONE);
}

/* In the helper: the guard is gone, so all that was below it is a child of PID 1 now, among other
 * orphans. Ours are those of the program's session, those that carry its mark in the environment,
 * and what is below them. */
static void sweep_work(int fd, void *arg)
{
    const struct proc *p = arg;
    (void)fd;
    for (int quiet = 0; quiet < 3;) {
        int n = tree_kill_orphans(getppid(), p->last_leader, p->mark, p->reaper);
        quiet = n > 0 ? 0 : quiet + 1;
        (void)usleep(5000);
    }
}

static void on_sweep_record(struct helper *h, uint32_t type, const void *data, size_t len)
{
    (void)h;
    (void)type;
    (void)data;
    (void)len;
}

static void on_sweep_end(struct helper *h, bool complete)
{
    (void)complete;
    gone(h->arg);
}

static void guard_lost(struct proc *p)
{
    loop_close(p->loop, &p->sock);
    timer_clear(&p->stuck);
    p->leader = 0;
    if (helper_start(&p->sweep, "sweep", SWEEP_MS, sweep_work, p) < 0)
        gone(p);
}

static void take_message(struct proc *p, const struct guard_message *m)
{
    switch ((enum guard_what)m->what) {
    case GUARD_FORKED:
        p->leader = p->last_leader = m->pid;
        break;
    case GUARD_SANDBOX:
        p->sandboxed = true;
        p->report = m->report;
        break;
    case GUARD_STARTED:
        p->fn(p, PROC_STARTED);
        break;
    case GUARD_FAILED:
        p->leader = 0;
        p->failed = true;
        p->failure = (struct spawn_failure){ .step = m->step, .error = m->error, .part = m->part };
        p->fn(p, PROC_FAILED);
        break;
    case GUARD_EXITED:
        p->leader = 0;
        if (p->failed)
            break;
        p->exited = true;
        p->status = m->status;
        p->unseen = m->error == ECHILD;
        if (!p->stopping) /* else its group may take the grace, and proc_kill() ends that */
            timer_set(p->loop, &p->stuck, STUCK_MS);
        p->fn(p, PROC_EXITED);
        break;
    case GUARD_DONE:
        p->killed = m->killed;
        p->done = true;
        break;
    case GUARD_WHAT_MAX:
    default:
        break;
    }
}

static void take_messages(struct proc *p)
{
    struct source *s = &p->sock;
    while (s->fd >= 0) {
        struct guard_message m;
        ssize_t n = recv(s->fd, &m, sizeof m, MSG_DONTWAIT);
        if (n == (ssize_t)sizeof m) {
            take_message(p, &m);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        loop_close(p->loop, s); /* the guard ended; its death comes from wait */
    }
}

/* A guard that is done has nothing left to do but to end: nobody waits for that. */
static void on_message(struct source *s, uint32_t events)
{
    struct proc *p = s->arg;
    (void)events;
    take_messages(p);
    if (!p->done || !p->guard.pid)
        return;
    reaper_remove(p->reaper, &p->guard);
    gone(p);
}

void proc_poll(struct proc *p)
{
    take_messages(p);
}

static void on_guard_exit(struct child *c, int status)
{
    struct proc *p = c->arg;
    (void)status;
    proc_poll(p);
    if (p->done || p->failed)
        gone(p);
    else
        guard_lost(p);
}

/* A guard that cannot finish: something below it does not die (state D), or it was stopped or
 * starved. What still lives is reparented to us and killed from here as far as it can be. */
static void on_stuck(struct timer *t)
{
    struct proc *p = t->arg;
    (void)tree_kill_below(p->guard.pid);
    (void)kill(p->guard.pid, SIGKILL);
}

void proc_init(struct proc *p, struct loop *loop, struct reaper *reaper)
{
    *p = (struct proc){
        .loop = loop,
        .reaper = reaper,
        .sock = { .fd = -1, .fn = on_message, .arg = p },
        .guard = { .on_exit = on_guard_exit, .arg = p },
        .stuck = { .fn = on_stuck, .arg = p },
    };
    helper_init(&p->sweep, loop, reaper);
    p->sweep.on_record = on_sweep_record;
    p->sweep.on_end = on_sweep_end;
    p->sweep.arg = p;
}

void proc_release(struct proc *p)
{
    timer_forget(p->loop, &p->stuck);
    timer_forget(p->loop, &p->sweep.deadline);
}

int proc_start(struct proc *p, const struct spawn_spec *spec)
{
    int pair[2];
    if (proc_active(p))
        return -EBUSY;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    _cleanup_fd_ int theirs = pair[1];
    p->sock.fd = pair[0];
    int r = loop_add(p->loop, &p->sock, EPOLLIN);
    if (r < 0) {
        loop_close(p->loop, &p->sock);
        return r;
    }
    pid_t pid = fork();
    if (pid == 0)
        guard_main(spec, theirs);
    if (pid < 0) {
        r = -errno;
        loop_close(p->loop, &p->sock);
        return r;
    }
    p->leader = p->last_leader = 0;
    p->exited = p->failed = p->stopping = p->done = p->sandboxed = p->unseen = false;
    (void)snprintf(p->mark, sizeof p->mark, "%s", spec->mark ? spec->mark : "");
    p->status = p->killed = 0;
    p->failure = (struct spawn_failure){ 0 };
    p->guard.pid = pid;
    reaper_add(p->reaper, &p->guard);
    return 0;
}

void proc_save(const struct proc *p, struct saved_proc *ret)
{
    *ret = (struct saved_proc){
        .sock = p->guard.pid ? p->sock.fd : -1,
        .guard = p->guard.pid,
        .leader = p->leader,
        .last_leader = p->last_leader,
        .exited = p->exited,
        .failed = p->failed,
        .stopping = p->stopping,
        .done = p->done,
        .unseen = p->unseen,
        .sweeping = helper_busy(&p->sweep),
        .status = p->status,
        .killed = p->killed,
        .failure = p->failure,
        .stuck_due_ms = p->stuck.due_ms,
        .sandboxed = p->sandboxed,
        .report = p->report,
    };
    memcpy(ret->mark, p->mark, sizeof ret->mark);
}

int proc_adopt(struct proc *p, const struct saved_proc *saved)
{
    p->leader = saved->leader;
    p->last_leader = saved->last_leader;
    p->exited = saved->exited;
    p->failed = saved->failed;
    p->stopping = saved->stopping;
    p->done = saved->done;
    p->unseen = saved->unseen;
    p->status = saved->status;
    p->killed = saved->killed;
    p->failure = saved->failure;
    p->sandboxed = saved->sandboxed;
    p->report = saved->report;
    memcpy(p->mark, saved->mark, sizeof p->mark);
    p->mark[sizeof p->mark - 1] = '\0';
    p->resweep = saved->sweeping;
    if (saved->stuck_due_ms)
        timer_set_at(p->loop, &p->stuck, saved->stuck_due_ms);
    if (!saved->guard)
        return 0;
    p->guard.pid = saved->guard;
    reaper_add(p->reaper, &p->guard);
    p->sock.fd = saved->sock;
    if (p->sock.fd < 0)
        return 0;
    (void)fcntl(p->sock.fd, F_SETFD, FD_CLOEXEC);
    return loop_add(p->loop, &p->sock, EPOLLIN);
}

void proc_check(struct proc *p)
{
    siginfo_t info;
    if (p->resweep) {
        p->resweep = false;
        guard_lost(p);
    } else if (p->guard.pid &&
               waitid(P_PID, (id_t)p->guard.pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 &&
               errno == ECHILD) {
        reaper_remove(p->reaper, &p->guard);
        on_guard_exit(&p->guard, 0);
    }
}

static void order(struct proc *p, enum guard_order what, int signal)
{
    struct guard_command c = { .order = what, .signal = signal };
    if (!p->guard.pid || p->sock.fd < 0)
        return;
    (void)send(p->sock.fd, &c, sizeof c, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)kill(p->guard.pid, SIGCONT); /* should somebody have stopped it */
}

void proc_signal(struct proc *p, int signal)
{
    order(p, GUARD_SIGNAL, signal);
}

void proc_stop(struct proc *p, int signal)
{
    p->stopping = true;
    order(p, GUARD_STOP, signal);
}

void proc_lead(struct proc *p, pid_t pid)
{
    order(p, GUARD_LEAD, pid);
}

void proc_kill(struct proc *p)
{
    order(p, GUARD_KILL, 0);
    if (p->guard.pid && !p->stuck.due_ms)
        timer_set(p->loop, &p->stuck, STUCK_MS);
}

const char *proc_status_text(int status, char out[PROC_STATUS_SIZE])
{
    if (WIFSIGNALED(status))
        (void)snprintf(out, PROC_STATUS_SIZE, "signal %d (%s)", WTERMSIG(status),
                       signal_name(WTERMSIG(status)));
    else
        (void)snprintf(out, PROC_STATUS_SIZE, "exit %d", WEXITSTATUS(status));
    return out;
}

int proc_status_code(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
