#include "base/git/internal.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the child tells through its pipe: smaller than PIPE_BUF, so one write, one read. */
struct outcome {
    int result;
    struct error error;
};

static _Noreturn void child_main(int (*work)(void *, struct error *), void *arg, int fd,
                                 pid_t parent, const int close_in_child[2])
{
    /* With us dies what we were doing: a killed parent must leave nobody writing to the volume. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    for (int i = 0; i < 2; i++)
        if (close_in_child[i] >= 0)
            (void)close(close_in_child[i]);
    struct outcome outcome = { 0 };
    outcome.result = work(arg, &outcome.error);
    _exit(fd_write_all(fd, &outcome, sizeof outcome) < 0);
}

static int read_outcome(int fd, uint64_t deadline_ms, struct outcome *ret)
{
    for (;;) {
        uint64_t now = clock_mono_ms(), left = deadline_ms > now ? deadline_ms - now : 0;
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int n = poll(&p, 1, left > 60000 ? 60000 : (int)left);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n <= 0 && left == 0)
            return -ETIMEDOUT;
        if (n <= 0)
            continue;
        ssize_t got = read(fd, ret, sizeof *ret);
        return got == (ssize_t)sizeof *ret ? 0 : -EIO;
    }
}

int gitrepo_job_start(struct gitrepo_job *job, int (*work)(void *arg, struct error *e), void *arg,
                      const int close_in_child[2], struct error *e)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_set_errno(e, -errno, "cannot make a pipe");
    _cleanup_fd_ int in = fds[0];
    _cleanup_fd_ int out = fds[1];
    pid_t self = getpid(), pid = fork();
    if (pid < 0)
        return error_set_errno(e, -errno, "cannot fork");
    if (pid == 0)
        child_main(work, arg, out, self, close_in_child);
    *job = (struct gitrepo_job){ .pid = pid, .fd = TAKE_FD(in) };
    return 0;
}

int gitrepo_job_end(struct gitrepo_job *job, uint64_t deadline_ms, struct error *e)
{
    _cleanup_fd_ int in = TAKE_FD(job->fd);
    struct outcome outcome;
    int r = read_outcome(in, deadline_ms, &outcome), status = 0;
    (void)kill(job->pid, SIGKILL);
    while (waitpid(job->pid, &status, 0) < 0 && errno == EINTR)
        ;
    *job = GITREPO_JOB_NONE;
    if (r == -ETIMEDOUT)
        return error_set(e, r, "git took longer than it may");
    if (r < 0)
        return error_set(e, -EIO, "git ended unexpectedly (%s %d)",
                         WIFSIGNALED(status) ? "signal" : "exit",
                         WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    if (outcome.result < 0 && e)
        *e = outcome.error;
    return outcome.result;
}

int gitrepo_child(int (*work)(void *arg, struct error *e), void *arg, uint64_t deadline_ms,
                  const int close_in_child[2], struct error *e)
{
    struct gitrepo_job job;
    int r = gitrepo_job_start(&job, work, arg, close_in_child, e);
    return r < 0 ? r : gitrepo_job_end(&job, deadline_ms, e);
}
