#include "bridge/prepare/lock.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define RETRY_MS 100

/* Who holds it, for the message of those who wait: "HOST PID". Only ever informative. */
static void holder_read(int fd, char *out, size_t size)
{
    ssize_t n = pread(fd, out, size - 1, 0);
    out[n > 0 ? n : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
            *p = '?';
}

static void holder_write(int fd)
{
    char host[65] = "", text[100];
    (void)gethostname(host, sizeof host - 1);
    int n = snprintf(text, sizeof text, "%s process %d\n", host, (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
        log_debug("cannot write down who holds the lock, ignoring");
}

static char *lock_path(const char *repo_path)
{
    const char *slash = strrchr(repo_path, '/');
    char *out = NULL;
    if (!slash ||
        asprintf(&out, "%.*s/.%s.codev-lock", (int)(slash - repo_path), repo_path, slash + 1) < 0)
        return NULL;
    return out;
}

static int lock_open(const char *repo_path, struct error *e)
{
    _cleanup_free_ char *path = lock_path(repo_path);
    if (!path)
        return error_set_errno(e, -EINVAL, "no place for a lock beside %s", repo_path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    return fd < 0 ? error_set_errno(e, -errno, "cannot open the lock %s", path) : fd;
}

int lock_try(const char *repo_path)
{
    _cleanup_fd_ int fd = lock_open(repo_path, NULL);
    if (fd < 0)
        return fd;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return -errno;
    return TAKE_FD(fd);
}

int lock_take(const char *repo_path, uint64_t deadline_ms, struct error *e)
{
    _cleanup_fd_ int fd = lock_open(repo_path, e);
    if (fd < 0)
        return fd;
    char holder[100];
    for (bool told = false; flock(fd, LOCK_EX | LOCK_NB) < 0; told = true) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return error_set_errno(e, -errno, "cannot lock the repository volume at %s", repo_path);
        holder_read(fd, holder, sizeof holder);
        if (!told)
            log_info("waiting for %s, which works on the repository volume", holder);
        if (clock_mono_ms() >= deadline_ms)
            return error_set(e, -ETIMEDOUT, "%s kept the repository volume's lock too long",
                             holder);
        (void)poll(NULL, 0, RETRY_MS);
    }
    holder_write(fd);
    return TAKE_FD(fd);
}
