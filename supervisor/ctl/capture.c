#include "supervisor/ctl/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "supervisor/ctl/ctl.h"

extern char **environ;

/* Reads both ends until both are closed. */
static int drain(int out_fd, struct buf *out, int err_fd, struct buf *err)
{
    struct pollfd p[] = { { .fd = out_fd, .events = POLLIN }, { .fd = err_fd, .events = POLLIN } };
    struct buf *to[] = { out, err };
    while (p[0].fd >= 0 || p[1].fd >= 0) {
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return -errno;
        for (size_t i = 0; i < 2; i++) {
            char chunk[8192];
            ssize_t n = p[i].fd >= 0 && p[i].revents ? read(p[i].fd, chunk, sizeof chunk) : -2;
            if (n > 0)
                (void)buf_append(to[i], chunk, (size_t)n); /* past its cap: read on, drop */
            else if (n == 0 || (n == -1 && errno != EINTR))
                p[i].fd = -1;
        }
    }
    return 0;
}

static int spawn(const char *path, const char *const *args, int out, int err, pid_t *ret)
{
    posix_spawn_file_actions_t actions;
    size_t n = 0;
    while (args[n])
        n++;
    _cleanup_free_ const char **argv = calloc(n + 2, sizeof *argv);
    if (!argv)
        return -ENOMEM;
    argv[0] = path;
    memcpy(argv + 1, args, n * sizeof *argv);
    int r = posix_spawn_file_actions_init(&actions);
    if (r)
        return -r;
    r = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    if (!r && err >= 0)
        r = posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
    if (!r) {
        union {
            const char **in;
            char *const *out;
        } words = { .in = argv }; /* posix_spawn does not write to them */
        r = posix_spawn(ret, path, &actions, NULL, words.out, environ);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return -r;
}

static void close_pipe(int p[2])
{
    for (int i = 0; i < 2; i++)
        if (p[i] >= 0)
            (void)close(p[i]);
}

static int run(const char *path, const char *const *args, int out[2], struct buf *out_buf,
               int err[2], struct buf *err_buf)
{
    pid_t pid = 0;
    int status = 0;
    int r = spawn(path, args, out[1], err[1], &pid);
    if (r < 0)
        return r;
    for (int *p = out; p; p = p == out ? err : NULL) { /* our copies of the writing ends */
        if (p[1] >= 0)
            (void)close(p[1]);
        p[1] = -1;
    }
    r = drain(out[0], out_buf, err[0], err_buf);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    if (r < 0)
        return r;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

int capture(const char *program, const char *const *args, struct buf *out, struct buf *err)
{
    int out_pipe[2] = { -1, -1 }, err_pipe[2] = { -1, -1 };
    _cleanup_free_ char *path = ctl_beside(program);
    if (!path)
        return -ENOMEM;
    int r = pipe2(out_pipe, O_CLOEXEC) < 0 || (err && pipe2(err_pipe, O_CLOEXEC) < 0) ? -errno : 0;
    if (r == 0)
        r = run(path, args, out_pipe, out, err_pipe, err);
    close_pipe(out_pipe);
    close_pipe(err_pipe);
    return r;
}
