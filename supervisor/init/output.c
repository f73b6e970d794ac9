#include "supervisor/init/output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/clock.h"
#include "base/core/file.h"

#define OUTPUT_BATCH ((size_t)32 << 10)

static void on_writable(struct source *s, uint32_t events);

/* A descriptor of our own for the same pipe or terminal: O_NONBLOCK belongs to the open file, and
 * the one that was handed to us is shared with whoever started us. */
static int reopen(struct output *o)
{
    struct stat st;
    bool known = fstat(STDOUT_FILENO, &st) == 0;
    if (!known && errno == EBADF)
        return -EBADF;
    o->is_socket = known && S_ISSOCK(st.st_mode);
    if (known && (S_ISREG(st.st_mode) || o->is_socket))
        return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    o->restore_flags = fcntl(STDOUT_FILENO, F_GETFL);
    fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (fd >= 0)
        (void)fd_set_nonblock(fd, true);
    return fd;
}

int output_init(struct output *o, struct loop *loop)
{
    *o = (struct output){
        .loop = loop,
        .pending = BUF_INIT_MAX(OUTPUT_MAX),
        .restore_flags = -1,
        .source = { .fd = -1, .fn = on_writable, .arg = o },
    };
    int fd = reopen(o);
    if (fd < 0)
        return fd == -1 ? -errno : fd;
    o->source.fd = fd;
    o->pollable = loop_add(loop, &o->source, 0) == 0;
    return 0;
}

static ssize_t put(const struct output *o, const char *data, size_t len)
{
    if (o->is_socket)
        return send(o->source.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return write(o->source.fd, data, len);
}

static void count_lost(struct output *o, const char *data, size_t len)
{
    o->failing = true;
    for (const char *end = data + len; (data = memchr(data, '\n', (size_t)(end - data))); data++) {
        o->dropped++;
        o->dropped_total++;
    }
}

/* Writes what can be written now; the count, all of it when it is lost. */
static size_t push(struct output *o, const char *data, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = put(o, data + done, len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return done;
        if (n <= 0) { /* the reader is gone, or the disk is full: nothing would help */
            count_lost(o, data + done, len - done);
            return len;
        }
        o->failing = false;
        done += (size_t)n;
    }
    return done;
}

static void set_blocked(struct output *o, bool on)
{
    if (o->pollable && o->blocked != on)
        (void)loop_change(o->loop, &o->source, on ? EPOLLOUT : 0);
    o->blocked = on;
}

static void push_pending(struct output *o)
{
    buf_consume(&o->pending, push(o, o->pending.data, o->pending.len));
    set_blocked(o, o->pending.len > 0);
}

static void report_drops(struct output *o)
{
    if (!o->dropped || o->failing || o->pending.len > OUTPUT_MAX / 2)
        return;
    uint64_t n = o->dropped;
    o->dropped = 0;
    if (o->on_drained)
        o->on_drained(o, n);
}

static void on_writable(struct source *s, uint32_t events)
{
    struct output *o = s->arg;
    if (o->pending.len)
        push_pending(o);
    report_drops(o);
    if (!o->pending.len)
        buf_release(&o->pending);
    /* A pipe whose reader is gone stays "ready" for ever. */
    if (events & (EPOLLERR | EPOLLHUP) && !(events & EPOLLOUT)) {
        (void)epoll_ctl(o->loop->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
        o->pollable = false;
    }
}

/* Past what one write(2) may as well take, they need not wait longer. */
static bool collect(struct output *o, const char *line, size_t len)
{
    if (o->pending.len + len > OUTPUT_BATCH)
        push_pending(o);
    return !o->blocked && buf_append(&o->pending, line, len) == 0;
}

void output_line(struct output *o, const char *line, size_t len)
{
    size_t done = 0;
    if (o->source.fd < 0)
        return;
    if (!o->pollable && o->blocked)
        push_pending(o);
    if (o->holding && !o->blocked && collect(o, line, len))
        return;
    if (!o->pending.len) {
        done = push(o, line, len);
        if (done == len) {
            report_drops(o);
            return;
        }
    }
    /* A line that was begun must be ended, whatever the cap. */
    if ((done == 0 && o->pending.len + len > OUTPUT_MAX / 8 * 7) ||
        buf_append(&o->pending, line + done, len - done) < 0) {
        o->dropped++;
        o->dropped_total++;
    }
    set_blocked(o, o->pending.len > 0);
}

void output_hold(struct output *o)
{
    o->holding = true;
}

void output_let_go(struct output *o)
{
    o->holding = false;
    if (o->source.fd < 0 || o->blocked || !o->pending.len)
        return;
    push_pending(o);
    report_drops(o);
    if (!o->pending.len)
        buf_release(&o->pending);
}

void output_flush(struct output *o, unsigned ms)
{
    uint64_t deadline = clock_mono_ms() + ms;
    while (o->source.fd >= 0 && o->pending.len) {
        buf_consume(&o->pending, push(o, o->pending.data, o->pending.len));
        uint64_t now = clock_mono_ms();
        if (!o->pending.len || now >= deadline)
            break;
        struct pollfd p = { .fd = o->source.fd, .events = POLLOUT };
        (void)poll(&p, 1, (int)(deadline - now));
    }
}

void output_release(struct output *o)
{
    loop_close(o->loop, &o->source);
    buf_release(&o->pending);
    if (o->restore_flags >= 0)
        (void)fcntl(STDOUT_FILENO, F_SETFL, o->restore_flags);
}
