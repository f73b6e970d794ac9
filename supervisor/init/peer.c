/* Whose process is at the other end of the control socket.
 *
 * In a pod everything has one uid, so credentials tell nothing; and no Landlock rule governs
 * connect() to a socket in the file system. What tells is where the process comes from: all that
 * descends from a service has its guard above it, because the guard is a subreaper. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "supervisor/init/supervisor.h"
#include "supervisor/init/tree.h"

#define ANCESTORS_MAX 256
#define TRIES         4 /* a parent may end while we walk past it */

#ifndef SO_PEERPIDFD
#    define SO_PEERPIDFD 77
#endif

static bool of_service(const struct service *s, pid_t pid)
{
    const struct proc *procs[] = { &s->proc, &s->pre_stop.proc, &s->post_start.proc, &s->ready.proc,
                                   &s->health.proc };
    for (size_t i = 0; i < ARRAY_SIZE(procs); i++)
        if (procs[i]->guard.pid == pid || procs[i]->leader == pid)
            return pid > 0;
    return false;
}

static struct service *service_at(struct supervisor *sv, pid_t pid)
{
    for (struct service *s = sv->services; s; s = s->next)
        if (of_service(s, pid))
            return s;
    return NULL;
}

/* How many seccomp filters that process is under; -1: unknown. No process ever gets rid of one. */
static int filters_of(pid_t pid)
{
    static const char key[] = "\nSeccomp_filters:";
    char path[48], text[4096];
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    const char *at = strstr(text, key);
    int count = -1;
    return at && sscanf(at + sizeof key - 1, "%d", &count) == 1 ? count : -1;
}

/* A child of ours that is no service's: left over from a `kubectl exec`, or from a service whose
 * guard was killed. The latter is under a filter of ours. */
static enum peer_kind judge_orphan(pid_t pid)
{
    int theirs = filters_of(pid), ours = filters_of(getpid());
    return theirs >= 0 && ours >= 0 && theirs <= ours ? PEER_OUTSIDE : PEER_UNKNOWN;
}

/* -EAGAIN: a process on the way has ended. */
static int walk(struct supervisor *sv, pid_t peer, enum peer_kind *ret,
                struct service **ret_service)
{
    pid_t pid = peer;
    for (int i = 0; i < ANCESTORS_MAX; i++) {
        struct tree_process p;
        *ret_service = service_at(sv, pid);
        *ret = PEER_SERVICE;
        if (*ret_service)
            return 0;
        if (tree_read_one(pid, &p) < 0)
            return -EAGAIN;
        *ret = p.parent == getpid() ? judge_orphan(peer) : PEER_OUTSIDE;
        if (p.parent <= 1 || p.parent == getpid())
            return 0;
        pid = p.parent;
    }
    *ret = PEER_UNKNOWN;
    return 0;
}

/* Its number may have been given out again, if the kernel can't tell. */
static bool ended(int pidfd)
{
    struct pollfd p = { .fd = pidfd, .events = POLLIN };
    return pidfd >= 0 && poll(&p, 1, 0) != 0;
}

enum peer_kind peer_find(struct supervisor *sv, int fd, struct service **ret_service)
{
    struct ucred cred;
    socklen_t len = sizeof cred;
    int pidfd = -1;
    *ret_service = NULL;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return PEER_UNKNOWN;
    if (cred.uid != 0 && cred.uid != getuid())
        return PEER_UNKNOWN;
    len = sizeof pidfd;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) < 0)
        pidfd = -1;
    _cleanup_fd_ int held = pidfd;
    if (cred.pid <= 0) /* from outside of our PID namespace: nothing of ours can be there */
        return PEER_OUTSIDE;
    enum peer_kind kind = PEER_UNKNOWN;
    int r = -EAGAIN;
    for (int i = 0; r == -EAGAIN && i < TRIES; i++)
        r = walk(sv, cred.pid, &kind, ret_service);
    return r < 0 || ended(held) ? PEER_UNKNOWN : kind;
}

bool peer_sandbox(const struct service *s, struct sandbox *ret)
{
    if (!s->cfg->profile)
        return false;
    plan_sandbox(&s->block->plan, s->cfg->profile - 1, ret);
    return true;
}

bool peer_may(const struct service *s, const char *command)
{
    struct sandbox sandbox;
    return !peer_sandbox(s, &sandbox) || sandbox_allows_command(&sandbox, command);
}

bool peer_may_anything(const struct service *s)
{
    struct sandbox sandbox;
    return !peer_sandbox(s, &sandbox) || sandbox.header->control.count > 0;
}
