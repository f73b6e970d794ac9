#include "supervisor/init/plain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "supervisor/init/plain_say.h"

#define SAY(p, line, ...) plain_say((p)->options, line, (struct plain_words){ __VA_ARGS__ })

#define PATH_DEFAULT "/bin:/usr/bin"

extern char **environ;

struct plain {
    const struct plain_options *options;
    char **command;
    pid_t child;
    int status;                        /* -1 while the child lives */
    bool gave_terminal;                /* to the child's group */
    bool handed_off[PLAIN_SIGNALS];    /* the next one is the terminal's and nobody's order */
    sigset_t mask;                     /* what the child gets */
    struct sigaction ttin, ttou, chld; /* the same */
};

/* Faults of our own, and what the kernel never delivers, keep their meaning. */
static void waited_signals(const struct plain *p, sigset_t *set)
{
    static const int own[] = { SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS };
    (void)sigfillset(set);
    /* dumb-init passes even these on. */
    for (size_t i = 0; p->options->manner != PLAIN_DUMB_INIT && i < ARRAY_SIZE(own); i++)
        (void)sigdelset(set, own[i]);
    if (p->options->manner == PLAIN_TINI) {
        (void)sigdelset(set, SIGTTIN);
        (void)sigdelset(set, SIGTTOU);
    }
}

/* A terminal must not stop us for what we say on it, and an inherited "ignore" of SIGCHLD must not
 * take the child's status away. */
static void set_signals(struct plain *p, const sigset_t *waited)
{
    const struct sigaction ignore = { .sa_handler = SIG_IGN }, usual = { .sa_handler = SIG_DFL };
    (void)sigaction(SIGTTIN, &ignore, &p->ttin);
    (void)sigaction(SIGTTOU, &ignore, &p->ttou);
    (void)sigaction(SIGCHLD, &usual, &p->chld);
    (void)sigprocmask(SIG_SETMASK, waited, NULL);
}

/* What the command inherits. dumb-init gives it the usual meaning of every signal. */
static void restore_signals(const struct plain *p)
{
    const struct sigaction usual = { .sa_handler = SIG_DFL };
    sigset_t none;
    if (p->options->manner == PLAIN_DUMB_INIT) {
        for (int s = 1; s < 32; s++)
            (void)sigaction(s, &usual, NULL);
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        return;
    }
    (void)sigaction(SIGTTIN, &p->ttin, NULL);
    (void)sigaction(SIGTTOU, &p->ttou, NULL);
    (void)sigaction(SIGCHLD, &p->chld, NULL);
    (void)sigprocmask(SIG_SETMASK, &p->mask, NULL);
}

/* In the child, as dumb-init: a session of its own, with the terminal that we let go of. */
static bool make_session(const struct plain *p)
{
    if (setsid() < 0) {
        SAY(p, SAY_SESSION_FAILED, .error = errno);
        return false;
    }
    if (ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0)
        SAY(p, SAY_TTY_NOT_TAKEN, .error = errno);
    SAY(p, SAY_SESSION_MADE, .a = 0);
    return true;
}

/* In the child, as tini: a group of its own, in the foreground where there is a terminal. */
static bool make_group(const struct plain *p)
{
    if (setpgid(0, 0) < 0) {
        SAY(p, SAY_SESSION_FAILED, .error = errno);
        return p->options->manner == PLAIN_OWN;
    }
    if (tcsetpgrp(STDIN_FILENO, getpgrp()) == 0)
        return true;
    if (errno == ENOTTY || errno == ENXIO || errno == EBADF)
        return true;
    SAY(p, SAY_TTY_FAILED, .error = errno);
    return p->options->manner == PLAIN_OWN;
}

/* A script without a first line that names its interpreter is the shell's. */
static void exec_script(const char *path, char **command)
{
    size_t n = 0;
    while (command[n])
        n++;
    const char **argv = calloc(n + 2, sizeof *argv);
    if (!argv)
        return;
    argv[0] = "/bin/sh";
    argv[1] = path;
    for (size_t i = 1; i <= n; i++)
        argv[i + 1] = command[i];
    char *const *a;
    memcpy(&a, &argv, sizeof a); /* execve's prototype lacks a const */
    (void)execve(argv[0], a, environ);
    free(argv);
}

static int try_exec(const char *path, char **command)
{
    (void)execve(path, command, environ);
    if (errno == ENOEXEC)
        exec_script(path, command);
    return errno;
}

/* As glibc's execvp, whichever libc we are built with. Returns the error. */
static int exec_command(char **command)
{
    char path[4096];
    const char *name = command[0], *dirs = getenv("PATH");
    size_t name_len = strlen(name);
    bool denied = false;
    if (strchr(name, '/'))
        return try_exec(name, command);
    if (!*name)
        return ENOENT;
    for (const char *p = dirs ? dirs : PATH_DEFAULT;; p++) {
        size_t len = strcspn(p, ":");
        if (len + name_len + 2 <= sizeof path) {
            memcpy(path, p, len);
            path[len] = '/';
            memcpy(path + len + (len > 0), name, name_len + 1); /* an empty part is this folder */
            int e = try_exec(path, command);
            denied = denied || e == EACCES;
            if (e != ENOENT && e != ENOTDIR && e != EACCES)
                return e;
        }
        p += len;
        if (!*p)
            return denied ? EACCES : ENOENT;
    }
}

static int exec_status(enum plain_manner manner, int error)
{
    if (manner == PLAIN_DUMB_INIT)
        return 2;
    if (error == ENOENT)
        return 127;
    return error == EACCES || manner == PLAIN_OWN ? 126 : 1;
}

_Noreturn static void become(const struct plain *p)
{
    if (!(p->options->session ? make_session(p)
                              : p->options->manner == PLAIN_DUMB_INIT || make_group(p)))
        _exit(1);
    restore_signals(p);
    int e = exec_command(p->command);
    sigset_t all;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL); /* SIGPIPE must not change the status */
    SAY(p, SAY_EXEC_FAILED, .text = p->command[0], .error = e);
    _exit(exec_status(p->options->manner, e));
}

/* To the group; to the child alone while it has not come to making one. 0 or an error. */
static int send_signal(const struct plain *p, int signal)
{
    bool group = p->options->group || p->options->session;
    if (group && kill(-p->child, signal) == 0)
        return 0;
    if (group && p->status >= 0)
        return ESRCH; /* the child is reaped, its pid may be somebody else's */
    return kill(p->child, signal) < 0 ? errno : 0;
}

static void forward(const struct plain *p, int signal)
{
    int to = p->options->rewrite[signal];
    if (to != PLAIN_AS_IS)
        SAY(p, SAY_REWRITTEN, .a = signal, .b = to);
    else
        to = signal;
    if (!to) {
        SAY(p, SAY_DROPPED, .a = signal);
        return;
    }
    int e = send_signal(p, to);
    if (e)
        SAY(p, e == ESRCH ? SAY_CHILD_WAS_DEAD : SAY_SEND_FAILED, .a = to, .error = e);
    SAY(p, SAY_FORWARDED, .a = to);
}

static void suspend(const struct plain *p)
{
    SAY(p, SAY_SUSPENDING, .a = 0);
    if (getpid() != 1)
        (void)kill(getpid(), SIGSTOP);
}

/* After a shell's `fg` the terminal is ours, and the child's to have. */
static void give_terminal_back(const struct plain *p)
{
    if (p->options->manner == PLAIN_OWN && !p->options->session &&
        tcgetpgrp(STDIN_FILENO) == getpgrp())
        (void)tcsetpgrp(STDIN_FILENO, p->child);
}

static void on_signal(struct plain *p, int signal)
{
    bool stops = signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
    SAY(p, SAY_RECEIVED, .a = signal);
    if (p->handed_off[signal]) {
        p->handed_off[signal] = false;
        SAY(p, SAY_TTY_SIGNAL, .a = signal);
        return;
    }
    if (signal == SIGCONT)
        give_terminal_back(p);
    forward(p, signal);
    if (stops && (p->options->session || p->options->manner == PLAIN_DUMB_INIT))
        suspend(p);
}

/* What stops the child stops us too, so that a shell's job control sees it. */
static void on_child_stopped(const struct plain *p, int signal)
{
    SAY(p, SAY_STOPPED, .a = signal);
    suspend(p);
}

static void on_child_ended(struct plain *p, int status)
{
    int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    SAY(p, WIFSIGNALED(status) ? SAY_KILLED : SAY_EXITED, .a = p->child,
        .b = WIFSIGNALED(status) ? WTERMSIG(status) : code, .text = p->command[0]);
    code &= 255;
    p->status = (p->options->to_zero[code / 32] >> (code % 32)) & 1 ? 0 : code;
}

static void on_orphan_ended(const struct plain *p, pid_t pid, int status)
{
    SAY(p, WIFSIGNALED(status) ? SAY_OTHER_KILLED : SAY_OTHER_EXITED, .a = pid,
        .b = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    if (p->options->warn_reap)
        SAY(p, SAY_ORPHAN, .a = pid);
}

static void reap(struct plain *p)
{
    /* The followed child's stops are our own idea; the others do not look. */
    int flags = WNOHANG | (p->options->manner == PLAIN_OWN ? WUNTRACED : 0);
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, flags);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid <= 0)
            return;
        if (WIFSTOPPED(status)) {
            if (pid == p->child && !p->options->session)
                on_child_stopped(p, WSTOPSIG(status));
            continue;
        }
        SAY(p, SAY_REAPED, .a = pid);
        if (pid == p->child)
            on_child_ended(p, status);
        else
            on_orphan_ended(p, pid, status);
    }
}

/* As dumb-init: leaves the terminal, so that the child's session can have it. To a session's leader
 * the kernel then sends SIGHUP and SIGCONT. */
static void leave_terminal(struct plain *p)
{
    if (ioctl(STDIN_FILENO, TIOCNOTTY) < 0) {
        SAY(p, SAY_TTY_KEPT, .error = errno);
        return;
    }
    bool leader = getsid(0) == getpid();
    SAY(p, leader ? SAY_TTY_LEFT_AS_LEADER : SAY_TTY_LEFT, .a = 0);
    p->handed_off[SIGHUP] = p->handed_off[SIGCONT] = leader;
}

/* False: tini gives up here, and so do we under its name. */
static bool attach_to_others(const struct plain *p)
{
    const struct plain_options *o = p->options;
    int reaps = 0;
    bool strict = o->manner == PLAIN_TINI;
    if (o->parent_signal && prctl(PR_SET_PDEATHSIG, o->parent_signal, 0, 0, 0) < 0) {
        SAY(p, SAY_PDEATHSIG_FAILED, .error = errno);
        if (strict)
            return false;
    }
    if (o->subreaper && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) {
        SAY(p, SAY_SUBREAPER_FAILED, .error = errno);
        if (strict)
            return false;
    }
    if (getpid() != 1 && (prctl(PR_GET_CHILD_SUBREAPER, &reaps, 0, 0, 0) < 0 || !reaps))
        SAY(p, SAY_NO_REAPING, .a = 0);
    return true;
}

static void watch(struct plain *p, const sigset_t *waited)
{
    while (p->status < 0) {
        siginfo_t info = { 0 };
        int signal = sigwaitinfo(waited, &info);
        if (signal == SIGPIPE && info.si_pid == getpid())
            continue; /* of what we said to nobody */
        if (signal == SIGCHLD) {
            SAY(p, SAY_RECEIVED_CHLD, .a = signal);
            reap(p);
        } else if (signal > 0 && signal < PLAIN_SIGNALS) {
            on_signal(p, signal);
        }
    }
}

int plain_run(const struct plain_options *o, char **command, const sigset_t *mask)
{
    struct plain p = { .options = o, .command = command, .status = -1, .mask = *mask };
    sigset_t waited;
    waited_signals(&p, &waited);
    set_signals(&p, &waited);
    if (!attach_to_others(&p))
        return 1;
    if (o->session)
        leave_terminal(&p);
    p.child = fork();
    if (p.child == 0)
        become(&p);
    if (p.child < 0) {
        SAY(&p, SAY_FORK_FAILED, .error = errno);
        return o->manner == PLAIN_OWN ? 126 : 1;
    }
    SAY(&p, SAY_STARTED, .a = p.child, .text = command[0]);
    if (!o->session && o->manner != PLAIN_DUMB_INIT)
        (void)setpgid(p.child, p.child);           /* in both, so that neither is too late */
    if (o->manner != PLAIN_TINI && chdir("/") < 0) /* the working folder may want to be unmounted */
        SAY(&p, SAY_CHDIR_FAILED, .error = errno);
    watch(&p, &waited);
    if (o->session)
        forward(&p, SIGTERM);
    else if (o->manner == PLAIN_DUMB_INIT)
        SAY(&p, SAY_FORWARDED, .a = SIGTERM);
    SAY(&p, SAY_GOODBYE, .a = p.status);
    return p.status;
}
