/* Readiness as in sd_notify(3): READY=1 from a process of a service that says `notify`. */
#include <errno.h>
#include <fcntl.h>
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
static struct service *owner(struct supervisor *sv, pid_t pid)
{
    for (int i = 0; pid > 1 && i < ANCESTORS_MAX; i++) {
        for (struct service *s = sv->services; s; s = s->next)
            if (pid == s->proc.leader || pid == s->proc.guard.pid)
                return s;
        pid = parent_of(pid);
    }
    return NULL;
}

static bool says_ready(const char *text)
{
    for (const char *p = text; p; p = strchr(p, '\n')) {
        p += *p == '\n';
        if (strncmp(p, "READY=1", 7) == 0 && (p[7] == '\n' || p[7] == '\0'))
            return true;
    }
    return false;
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
        char text[2048];
        union {
            struct cmsghdr align;
            char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(16 * sizeof(int))];
        } control;
        struct iovec iov = { .iov_base = text, .iov_len = sizeof text - 1 };
        struct msghdr m = { .msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control.room,
                            .msg_controllen = sizeof control.room };
        ssize_t n = recvmsg(source->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0)
            return;
        text[n] = '\0';
        struct service *s = owner(sv, sender(&m));
        if (s && s->cfg->ready.kind == PLAN_CHECK_NOTIFY && says_ready(text))
            service_report(s, false, true, "");
    }
}

int notify_open(struct supervisor *sv)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int on = 1;
    int n = snprintf(addr.sun_path, sizeof addr.sun_path, "%s/notify.sock", sv->runtime_dir);
    sv->notify = (struct source){ .fd = -1, .fn = on_readable, .arg = sv };
    if (n < 0 || (size_t)n >= sizeof addr.sun_path)
        return -ENAMETOOLONG;
    (void)unlink(addr.sun_path);
    sv->notify.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sv->notify.fd < 0)
        return -errno;
    /* Who sent it is checked by pid. */
    int r = setsockopt(sv->notify.fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0 ||
                    bind(sv->notify.fd, (const struct sockaddr *)&addr, sizeof addr) < 0
                ? -errno
                : loop_add(&sv->loop, &sv->notify, EPOLLIN);
    if (r < 0)
        loop_close(&sv->loop, &sv->notify);
    return r;
}

void notify_adopt(struct supervisor *sv, int fd)
{
    sv->notify = (struct source){ .fd = fd, .fn = on_readable, .arg = sv };
    if (fd < 0)
        return;
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (loop_add(&sv->loop, &sv->notify, EPOLLIN) < 0)
        loop_close(&sv->loop, &sv->notify);
}
