#include "bridge/prepare/npm.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "bridge/prepare/closed.h"
#include "bridge/prepare/npm_env.h"
#include "bridge/prepare/npm_output.h"
#include "supervisor/sandbox/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the keeper: we are gone, so npm and all it started go too. */
static void end_group(int signal)
{
    (void)signal;
    (void)kill(0, SIGKILL);
}

static _Noreturn void exec_npm(const struct npm_job *job, char **env)
{
    const char *program = job->closed ? job->closed->npm : job->program ? job->program : "npm";
    const char *argv[24] = { program };
    size_t n = 1;
    for (size_t i = 0; job->args[i] && n < ARRAY_SIZE(argv) - 1; i++)
        argv[n++] = job->args[i];
    static const int defaults[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGCHLD };
    for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
        (void)signal(defaults[i], SIG_DFL);
    errno = 0;
    if (chdir(job->plugin) == 0 && confine_enter(job->sandbox, env))
        (void)execvpe(program, (char *const *)(uintptr_t)argv, env);
    _exit(errno == ENOENT ? 127 : 126);
}

/* The keeper leads npm's process group and waits for npm. It exists so that somebody kills the
 * whole group when codev-prepare itself is killed: the kernel's death signal reaches one process
 * only, and a build that goes on writing would spoil what the next holder of the lock makes. */
static _Noreturn void keeper(const struct npm_job *job, char **env, pid_t parent, int out, int err)
{
    (void)setpgid(0, 0);
    (void)signal(SIGTERM, end_group);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    if (job->close_in_child >= 0)
        (void)close(job->close_in_child);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(err, STDERR_FILENO) < 0)
        _exit(126);
    pid_t pid = fork();
    if (pid == 0)
        exec_npm(job, env);
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (pid < 0)
        _exit(126);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

struct running {
    pid_t pid;
    int pidfd; /* -1 where the kernel has none: then looked at every 100 ms */
    struct npm_output out, err;
};

static int wait_step(struct running *n, uint64_t deadline_ms)
{
    uint64_t now = clock_mono_ms(), left = now >= deadline_ms ? 0 : deadline_ms - now;
    uint64_t most = n->pidfd < 0 ? 100 : 60000;
    struct pollfd p[] = {
        { .fd = n->out.fd, .events = POLLIN },
        { .fd = n->err.fd, .events = POLLIN },
        { .fd = n->pidfd, .events = POLLIN },
    };
    (void)poll(p, ARRAY_SIZE(p), (int)(left < most ? left : most));
    npm_output_read(&n->out);
    npm_output_read(&n->err);
    return left == 0 ? -ETIMEDOUT : 0;
}

/* Until npm ends, not until its pipes close: something it left behind may hold them. */
static int wait_end(struct running *n, uint64_t deadline_ms, int *ret_status)
{
    int r = 0;
    for (;;) {
        pid_t got = waitpid(n->pid, ret_status, WNOHANG);
        if (got == n->pid || (got < 0 && errno != EINTR))
            break;
        r = wait_step(n, deadline_ms);
        if (r < 0)
            break;
    }
    (void)kill(-n->pid, SIGKILL);
    if (r < 0)
        while (waitpid(n->pid, ret_status, 0) < 0 && errno == EINTR)
            ;
    npm_output_end(&n->out);
    npm_output_end(&n->err);
    return r;
}

static int judge(const struct npm_job *job, const struct running *n, int r, int status,
                 struct error *e)
{
    const char *why = npm_output_reason(&n->err, &n->out);
    if (r == -ETIMEDOUT)
        return error_set(e, r, "%s took longer than plugin.timeout and was killed", job->what);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127 && !*why)
        return error_set(e, -ENOENT, "%s is not installed (not in PATH)",
                         job->program ? job->program : "npm");
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return error_set(e, -ECHILD, "%s failed (%s %d)%s%s", job->what, code > 128 ? "signal" : "exit",
                     code > 128 ? code - 128 : code, *why ? ": " : "", why);
}

int npm_run(const struct npm_job *job, struct error *e)
{
    int out[2], err[2];
    if (pipe2(out, O_CLOEXEC) < 0)
        return error_set_errno(e, -errno, "cannot make a pipe");
    _cleanup_fd_ int out_read = out[0];
    _cleanup_fd_ int out_write = out[1];
    if (pipe2(err, O_CLOEXEC) < 0)
        return error_set_errno(e, -errno, "cannot make a pipe");
    _cleanup_fd_ int err_read = err[0];
    _cleanup_fd_ int err_write = err[1];
    _cleanup_(npm_env_free) char **own = job->closed ? NULL : npm_env(job->cache_folder);
    char **env = job->closed ? job->closed->env : own;
    if (!env)
        return error_set_errno(e, -ENOMEM, "%s", job->what);
    log_info("running %s", job->what);
    pid_t self = getpid(), pid = fork();
    if (pid < 0)
        return error_set_errno(e, -errno, "cannot fork for %s", job->what);
    if (pid == 0)
        keeper(job, env, self, out_write, err_write);
    (void)setpgid(pid, pid); /* here too: whoever comes first */
    (void)close(TAKE_FD(out_write));
    (void)close(TAKE_FD(err_write));
    _cleanup_fd_ int pidfd = pidfd_open(pid, 0);
    struct running n = { .pid = pid, .pidfd = pidfd };
    npm_output_begin(&n.out, out_read);
    npm_output_begin(&n.err, err_read);
    int status = 0, r = wait_end(&n, job->deadline_ms, &status);
    return judge(job, &n, r, status, e);
}
