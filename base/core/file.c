#include "base/core/file.h"

#include "base/core/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int fd_write_all(int fd, const void *data, size_t len)
{
    const char *p = data;
    while (len) {
        ssize_t n = write(fd, p, len);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

static int set_flag(int fd, int get, int set, int flag, bool on)
{
    int flags = fcntl(fd, get);
    if (flags < 0)
        return -errno;
    int want = on ? flags | flag : flags & ~flag;
    if (want != flags && fcntl(fd, set, want) < 0)
        return -errno;
    return 0;
}

int fd_set_nonblock(int fd, bool on)
{
    return set_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}

int fd_set_cloexec(int fd, bool on)
{
    return set_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

int file_read_fd(int fd, size_t max, char **ret, size_t *ret_len)
{
    size_t cap = 4096, len = 0;
    _cleanup_free_ char *data = malloc(cap);
    if (!data)
        return -ENOMEM;
    for (;;) {
        if (cap - len < 2) {
            cap *= 2;
            char *more = realloc(data, cap);
            if (!more)
                return -ENOMEM;
            data = more;
        }
        ssize_t n = read(fd, data + len, cap - len - 1);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (n == 0)
            break;
        len += (size_t)n;
        if (len > max)
            return -EFBIG;
    }
    data[len] = '\0';
    if (ret_len)
        *ret_len = len;
    *ret = TAKE_PTR(data);
    return 0;
}

int file_read(const char *path, size_t max, char **ret, size_t *ret_len)
{
    /* O_NONBLOCK: a FIFO put in the file's place must not hang us. */
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    return file_read_fd(fd, max, ret, ret_len);
}

static int sync_folder(const char *dir)
{
    _cleanup_fd_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* The folder of `path`, malloc'ed. */
static char *folder_of(const char *path)
{
    char *dir = strdup(path), *slash = dir ? strrchr(dir, '/') : NULL;
    if (slash == dir && slash)
        slash[1] = '\0';
    else if (slash)
        *slash = '\0';
    else if (dir) {
        free(dir);
        dir = strdup(".");
    }
    return dir;
}

int file_sync_folder(const char *path)
{
    _cleanup_free_ char *dir = folder_of(path);
    return dir ? sync_folder(dir) : -ENOMEM;
}

static int write_and_rename(const char *dir, const char *tmp, const char *path, const void *data,
                            size_t len, mode_t mode)
{
    _cleanup_fd_ int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return -errno;
    int r = fd_write_all(fd, data, len);
    if (r == 0 && (fchmod(fd, mode) < 0 || fsync(fd) < 0 || rename(tmp, path) < 0))
        r = -errno;
    if (r < 0) {
        (void)unlink(tmp);
        return r;
    }
    return sync_folder(dir);
}

int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode)
{
    _cleanup_free_ char *dir = folder_of(path), *tmp = NULL;
    if (!dir || asprintf(&tmp, "%s.tmp.%d", path, (int)getpid()) < 0)
        return -ENOMEM;
    (void)unlink(tmp); /* of an earlier process with our pid, killed half-way */
    return write_and_rename(dir, tmp, path, data, len, mode);
}

int file_mkdir_p(const char *path, mode_t mode)
{
    _cleanup_free_ char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    for (char *p = copy + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char end = *p;
        *p = '\0';
        if (mkdir(copy, mode) < 0 && errno != EEXIST) {
            int e = errno;
            struct stat st;
            /* EROFS or EACCES on a parent that is there already is no failure. */
            if (stat(copy, &st) < 0 || !S_ISDIR(st.st_mode))
                return -e;
        }
        if (end == '\0')
            break;
        *p = '/';
    }
    struct stat st;
    if (stat(path, &st) < 0)
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path) < 0 && errno != ENOENT ? -errno : 0;
}

int file_remove_tree(const char *path)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
        return errno == ENOENT ? 0 : -errno;
    return 0;
}

char *path_join(const char *a, const char *b)
{
    size_t n = strlen(a);
    char *out = NULL;
    if (asprintf(&out, "%s%s%s", a, n && a[n - 1] == '/' ? "" : "/", b) < 0)
        return NULL;
    return out;
}
