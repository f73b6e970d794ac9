#include "base/core/ticket.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/core/cleanup.h"

#define FOLDER "logins"
#define PREFIX "login-"
#define HALF   ((SECRET_TEXT_SIZE - 1) / 2)

static bool is_ticket(const char *text)
{
    return strlen(text) == SECRET_TEXT_SIZE - 1 &&
           strspn(text, "0123456789abcdef") == SECRET_TEXT_SIZE - 1;
}

static bool is_fresh(const struct stat *st)
{
    time_t now = time(NULL);
    return S_ISREG(st->st_mode) && st->st_uid == geteuid() && st->st_mtime <= now + 1 &&
           now - st->st_mtime <= TICKET_LIFE_S;
}

static void remove_expired(int dirfd)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct stat st;
    if (!dir) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    for (struct dirent *d; (d = readdir(dir));)
        if (strncmp(d->d_name, PREFIX, strlen(PREFIX)) == 0 &&
            fstatat(dirfd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !is_fresh(&st))
            (void)unlinkat(dirfd, d->d_name, 0);
    (void)closedir(dir);
}

/* A folder of their own: the gateway, which removes them, may write to nothing else there. Returns
 * a descriptor or -errno. */
static int open_folder(const char *dir)
{
    _cleanup_fd_ int runtime = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (runtime < 0)
        return -errno;
    int fd = openat(runtime, FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int make_folder(const char *dir)
{
    _cleanup_fd_ int runtime = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (runtime < 0 || (mkdirat(runtime, FOLDER, 0700) < 0 && errno != EEXIST))
        return -errno;
    return open_folder(dir);
}

int ticket_make(const char *dir, char out[SECRET_TEXT_SIZE], struct error *e)
{
    char name[sizeof PREFIX + HALF];
    _cleanup_fd_ int dirfd = make_folder(dir);
    if (dirfd < 0)
        return error_set_errno(e, dirfd, "cannot make " FOLDER " in the runtime folder %s", dir);
    remove_expired(dirfd);
    int r = secret_generate(out);
    if (r < 0)
        return error_set_errno(e, r, "no random bytes");
    (void)snprintf(name, sizeof name, PREFIX "%.*s", HALF, out);
    _cleanup_fd_ int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(e, -errno, "cannot make a ticket in %s", dir);
    errno = EIO;
    if (write(fd, out + HALF, HALF) == HALF)
        return 0;
    r = -errno;
    (void)unlinkat(dirfd, name, 0);
    return error_set_errno(e, r, "cannot write a ticket in %s", dir);
}

static bool holds(int dirfd, const char *name, const char *half)
{
    char text[HALF + 2] = "";
    _cleanup_fd_ int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, HALF + 1);
    return n == HALF && secret_equal(half, text);
}

bool ticket_use(const char *dir, const char *text)
{
    char name[sizeof PREFIX + HALF];
    struct stat st;
    if (!is_ticket(text))
        return false;
    (void)snprintf(name, sizeof name, PREFIX "%.*s", HALF, text);
    _cleanup_fd_ int dirfd = open_folder(dir);
    if (dirfd < 0 || fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    if (!holds(dirfd, name, text + HALF))
        return false;
    return unlinkat(dirfd, name, 0) == 0 && is_fresh(&st);
}
