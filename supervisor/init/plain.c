#include "supervisor/init/plain.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/parse.h"
#include "supervisor/init/signals.h"

struct plain {
    const struct plain_options *options;
    pid_t child;
    int status; /* -1 while the child lives */
};

__attribute__((format(printf, 2, 3))) static void tell(bool wanted, const char *fmt, ...)
{
    va_list ap;
    if (!wanted)
        return;
    va_start(ap, fmt);
    (void)fputs("codev-init: ", stderr);
    (void)vfprintf(stderr, fmt, ap);
    (void)fputc('\n', stderr);
    va_end(ap);
}

void plain_options_init(struct plain_options *o)
{
    *o = (struct plain_options){ 0 };
    for (int i = 0; i < PLAIN_SIGNALS; i++)
        o->rewrite[i] = i;
}

int plain_rewrite(struct plain_options *o, const char *text)
{
    char from[8];
    uint64_t a, b;
    const char *colon = strchr(text, ':');
    if (!colon || colon == text || (size_t)(colon - text) >= sizeof from)
        return -EINVAL;
    memcpy(from, text, (size_t)(colon - text));
    from[colon - text] = '\0';
    if (parse_u64(from, 1, PLAIN_SIGNALS - 1, &a) < 0 ||
        parse_u64(colon + 1, 0, PLAIN_SIGNALS - 1, &b) < 0)
        return -EINVAL;
    o->rewrite[a] = (int)b;
    return 0;
}

/* Faults of our own, and what the kernel never delivers, keep their meaning. */
static void block_signals(sigset_t *set)
{
    static const int own[] = { SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS };
    (void)sigfillset(set);
    for (size_t i = 0; i < ARRAY_SIZE(own); i++)
        (void)sigdelset(set, own[i]);
    (void)sigprocmask(SIG_SETMASK, set, NULL);
}

/* In the child: a group of its own, in the foreground where there is a terminal. */
_Noreturn static void become(char **argv, const sigset_t *mask)
{
    (void)setpgid(0, 0);
    /* SIGTTOU is blocked still, so a background process may do this. */
    if (tcsetpgrp(STDIN_FILENO, getpgrp()) < 0 && errno != ENOTTY && errno != EBADF &&
        errno != ENXIO)
        tell(true, "cannot hand the terminal over: %s, going on", strerror(errno));
    (void)sigprocmask(SIG_SETMASK, mask, NULL);
    (void)execvp(argv[0], argv);
    int e = errno;
    sigset_t all;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL); /* SIGPIPE must not change the status */
    tell(true, "cannot run %s: %s", argv[0], strerror(e));
    _exit(e == ENOENT ? 127 : 126);
}

static void forward(const struct plain *p, int signal)
{
    int to = p->options->rewrite[signal];
    if (!to)
        return;
    tell(p->options->verbose, "%s received, %s sent", signal_name(signal), signal_name(to));
    if (kill(p->options->group ? -p->child : p->child, to) < 0 && errno != ESRCH)
        tell(true, "cannot send signal %d: %s", to, strerror(errno));
}

/* What stops the child stops us too, so that a shell's job control sees it. */
static void follow_stop(const struct plain *p, int signal)
{
    tell(p->options->verbose, "the command was stopped by %s", signal_name(signal));
    if (getpid() != 1)
        (void)kill(getpid(), SIGSTOP);
}

static void reap(struct plain *p)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG | WUNTRACED);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid <= 0)
            return;
        if (pid != p->child)
            continue;
        if (WIFSTOPPED(status))
            follow_stop(p, WSTOPSIG(status));
        else
            p->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
}

int plain_run(const struct plain_options *o, char **argv, const sigset_t *mask)
{
    struct plain p = { .options = o, .status = -1 };
    sigset_t set;
    block_signals(&set);
    if (o->subreaper && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        tell(true, "cannot become a subreaper: %s, going on", strerror(errno));
    if (getpid() != 1 && !o->subreaper)
        tell(o->verbose, "not PID 1: orphans go elsewhere (-s reaps them here)");
    p.child = fork();
    if (p.child == 0)
        become(argv, mask);
    if (p.child < 0) {
        tell(true, "cannot make a process: %s", strerror(errno));
        return 126;
    }
    (void)setpgid(p.child, p.child); /* in both, so that neither is too late */
    while (p.status < 0) {
        siginfo_t info;
        int signal = sigwaitinfo(&set, &info);
        if (signal == SIGCHLD)
            reap(&p);
        else if (signal > 0 && signal < PLAIN_SIGNALS)
            forward(&p, signal);
    }
    reap(&p);
    return p.status;
}
