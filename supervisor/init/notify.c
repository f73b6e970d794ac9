/* The sockets of sd_notify(3): who sent a datagram, and what it says. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "supervisor/init/supervisor.h"
#include "supervisor/init/tree.h"

#define ANCESTORS_MAX 64

static pid_t parent_of(pid_t pid)
{
    char path[48], text[1024];
    struct tree_process p;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    return tree_parse_stat(text, &p) == 0 ? p.parent : 0;
}

/* The service whose guard is above that process. */
struct service *notify_owner(struct supervisor *sv, pid_t pid)
{
    for (int i = 0; pid > 1 && i < ANCESTORS_MAX; i++) {
        for (struct service *s = sv->services; s; s = s->next)
            if (pid == s->proc.leader || pid == s->proc.guard.pid)
                return s;
        pid = parent_of(pid);
    }
    return NULL;
}

/* Descriptors that came along would be ours: none is wanted. */
static pid_t sender(struct msghdr *m)
{
    pid_t pid = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET)
            continue;
        if (c->cmsg_type == SCM_CREDENTIALS) {
            struct ucred cred;
            memcpy(&cred, CMSG_DATA(c), sizeof cred);
            pid = cred.pid;
        } else if (c->cmsg_type == SCM_RIGHTS) {
            size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (size_t i = 0; i < n; i++) {
                int fd;
                memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
                (void)close(fd);
            }
        }
    }
    return pid;
}

static void on_readable(struct source *source, uint32_t events)
{
    struct supervisor *sv = source->arg;
    (void)events;
    for (int i = 0; i < 64; i++) {
        char text[4096];
        union {
            struct cmsghdr align;
            char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(16 * sizeof(int))];
        } control;
        struct iovec iov = { .iov_base = text, .iov_len = sizeof text };
        struct msghdr m = { .msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control.room,
                            .msg_controllen = sizeof control.room };
        ssize_t n = recvmsg(source->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0)
            return;
        struct service *s = notify_owner(sv, sender(&m));
        struct notify_message message;
        if (!s || m.msg_flags & MSG_TRUNC)
            continue;
        notify_parse(text, (size_t)n, &message);
        service_notify(s, &message);
    }
}

static int listen_on(struct supervisor *sv, struct source *s, const struct sockaddr_un *addr,
                     socklen_t len)
{
    int on = 1;
    *s = (struct source){ .fd = -1, .fn = on_readable, .arg = sv };
    s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0)
        return -errno;
    /* Who sent it is checked by pid. */
    int r = setsockopt(s->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0 ||
                    bind(s->fd, (const struct sockaddr *)addr, len) < 0
                ? -errno
                : loop_add(&sv->loop, s, EPOLLIN);
    if (r < 0)
        loop_close(&sv->loop, s);
    return r;
}

bool notify_address(const struct supervisor *sv, bool other_user, char *out, size_t size)
{
    int fd = other_user ? sv->notify_abstract.fd : sv->notify.fd;
    (void)(other_user ? snprintf(out, size, "@codev-notify-%s", sv->logs.boot_id)
                      : snprintf(out, size, "%s/notify.sock", sv->runtime_dir));
    return fd >= 0;
}

/* Only root has services of other users. */
static void open_abstract(struct supervisor *sv)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    if (geteuid() != 0)
        return;
    int n =
        snprintf(addr.sun_path + 1, sizeof addr.sun_path - 1, "codev-notify-%s", sv->logs.boot_id);
    (void)listen_on(sv, &sv->notify_abstract, &addr,
                    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n));
}

int notify_open(struct supervisor *sv)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    open_abstract(sv);
    int n = snprintf(addr.sun_path, sizeof addr.sun_path, "%s/notify.sock", sv->runtime_dir);
    if (n < 0 || (size_t)n >= sizeof addr.sun_path)
        return -ENAMETOOLONG;
    (void)unlink(addr.sun_path);
    return listen_on(sv, &sv->notify, &addr, sizeof addr);
}

void notify_adopt(struct supervisor *sv, int fd, int abstract_fd)
{
    struct source *sources[] = { &sv->notify, &sv->notify_abstract };
    const int fds[] = { fd, abstract_fd };
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        *sources[i] = (struct source){ .fd = fds[i], .fn = on_readable, .arg = sv };
        if (fds[i] < 0)
            continue;
        (void)fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        if (loop_add(&sv->loop, sources[i], EPOLLIN) < 0)
            loop_close(&sv->loop, sources[i]);
    }
}
