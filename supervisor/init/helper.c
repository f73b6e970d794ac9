#include "supervisor/init/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "supervisor/init/spawn.h"

struct record {
    uint32_t type, len;
};

int helper_put(int fd, uint32_t type, const void *data, size_t len)
{
    struct record r = { .type = type, .len = (uint32_t)len };
    if (len > HELPER_RECORD_MAX)
        return -EMSGSIZE;
    int e = fd_write_all(fd, &r, sizeof r);
    return e < 0 ? e : fd_write_all(fd, data, len);
}

static void take_records(struct helper *h)
{
    struct record r;
    while (h->in.len >= sizeof r) {
        memcpy(&r, h->in.data, sizeof r);
        if (r.len > HELPER_RECORD_MAX || h->in.len < sizeof r + r.len)
            return;
        h->on_record(h, r.type, h->in.data + sizeof r, r.len);
        if (h->ended) /* cancelled by what it told */
            return;
        buf_consume(&h->in, sizeof r + r.len);
    }
}

static void on_readable(struct source *s, uint32_t events)
{
    struct helper *h = s->arg;
    (void)events;
    for (;;) {
        char chunk[16384];
        h->starved = buf_reserve(&h->in, sizeof chunk) < 0;
        if (h->starved) { /* what is in the pipe stays there until there is room for it */
            h->in.failed = false;
            return;
        }
        ssize_t n = read(s->fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0)
            break;
        (void)buf_append(&h->in, chunk, (size_t)n);
        take_records(h);
        if (h->ended)
            return;
    }
    loop_close(h->loop, s); /* its end comes from wait */
}

static void finish(struct helper *h, bool complete)
{
    if (h->ended)
        return;
    h->ended = true;
    timer_clear(&h->deadline);
    loop_close(h->loop, &h->pipe);
    buf_release(&h->in);
    h->on_end(h, complete);
}

static void on_exit_status(struct child *c, int status)
{
    struct helper *h = c->arg;
    if (h->pipe.fd >= 0)
        on_readable(&h->pipe, EPOLLIN);
    finish(h, WIFEXITED(status) && WEXITSTATUS(status) == 0 && !h->starved);
}

static void on_deadline(struct timer *t)
{
    struct helper *h = t->arg;
    (void)kill(h->child.pid, SIGKILL);
    finish(h, false);
}

void helper_init(struct helper *h, struct loop *loop, struct reaper *reaper)
{
    *h = (struct helper){
        .loop = loop,
        .reaper = reaper,
        .pipe = { .fd = -1, .fn = on_readable, .arg = h },
        .child = { .on_exit = on_exit_status, .arg = h },
        .deadline = { .fn = on_deadline, .arg = h },
        .in = BUF_INIT_MAX(4 * HELPER_RECORD_MAX),
    };
}

_Noreturn static void run(const char *name, int fd, int keep_fd, void (*work)(int fd, void *arg),
                          void *arg)
{
    const int keep[] = { fd, keep_fd };
    (void)prctl(PR_SET_NAME, name, 0, 0, 0);
    spawn_close_fds(keep, ARRAY_SIZE(keep));
    (void)spawn_stdio(-1, -1, -1);
    work(fd, arg);
    _exit(0);
}

int helper_start(struct helper *h, const char *name, uint64_t deadline_ms,
                 void (*work)(int fd, void *arg), void *arg)
{
    int fds[2];
    if (helper_busy(h))
        return -EBUSY;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    _cleanup_fd_ int theirs = fds[1];
    h->pipe.fd = fds[0];
    h->ended = h->starved = false;
    int r = fd_set_nonblock(fds[0], true);
    if (r == 0)
        r = loop_add(h->loop, &h->pipe, EPOLLIN);
    pid_t pid = r < 0 ? -1 : fork();
    if (pid == 0)
        run(name, theirs, h->keep_fd, work, arg);
    if (pid < 0) {
        r = r < 0 ? r : -errno;
        loop_close(h->loop, &h->pipe);
        return r;
    }
    h->child.pid = pid;
    reaper_add(h->reaper, &h->child);
    timer_set(h->loop, &h->deadline, deadline_ms);
    return 0;
}

void helper_adopt(struct helper *h, pid_t pid)
{
    siginfo_t info;
    if (pid <= 0 || waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
        return;
    h->ended = true;
    h->child.pid = pid;
    reaper_add(h->reaper, &h->child);
    (void)kill(pid, SIGKILL);
}

void helper_cancel(struct helper *h)
{
    if (!helper_busy(h) || h->ended)
        return;
    h->ended = true;
    timer_clear(&h->deadline);
    loop_close(h->loop, &h->pipe);
    buf_release(&h->in);
    (void)kill(h->child.pid, SIGKILL);
}
