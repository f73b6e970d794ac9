#include "bridge/backup/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "bridge/gateway/store/copy.h"

#define DEPTH_MAX 64

/* Below the volume's root; each is made anew by whoever wrote it. */
static const char *const left_out[] = { "lost+found", "share/opencode/log" };

static bool is_left_out(const char *below)
{
    for (size_t i = 0; i < ARRAY_SIZE(left_out); i++)
        if (strcmp(left_out[i], below) == 0)
            return true;
    return strncmp(below, ".codev-", 7) == 0; /* tests of ourselves, halves of a restore */
}

/* Belongs to a database beside it, whose copy has it all. */
static bool is_sidecar(const char *path)
{
    static const char *const ends[] = { "-wal", "-shm", "-journal" };
    char main[PATH_MAX];
    size_t n = strlen(path);
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        size_t m = strlen(ends[i]);
        if (n <= m || n >= sizeof main || strcmp(path + n - m, ends[i]) != 0)
            continue;
        memcpy(main, path, n - m);
        main[n - m] = '\0';
        return store_is_database(main);
    }
    return false;
}

static int copy_file(const char *from, const char *to, const struct stat *st, struct error *e)
{
    _cleanup_fd_ int in = open(from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (in < 0)
        return error_set_errno(e, -errno, "cannot read %s", from);
    _cleanup_fd_ int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0)
        return error_set_errno(e, -errno, "cannot make %s", to);
    char data[65536];
    for (;;) {
        ssize_t n = read(in, data, sizeof data);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(e, -errno, "cannot read %s", from);
        if (n == 0)
            break;
        int r = fd_write_all(out, data, (size_t)n);
        if (r < 0)
            return error_set_errno(e, r, "cannot write %s", to);
    }
    const struct timespec times[] = { st->st_atim, st->st_mtim };
    (void)futimens(out, times);
    return fchmod(out, st->st_mode & 07777) < 0 ? error_set_errno(e, -errno, "%s", to) : 0;
}

static int copy_link(const char *from, const char *to, struct error *e)
{
    char target[PATH_MAX];
    ssize_t n = readlink(from, target, sizeof target - 1);
    if (n >= 0)
        target[n] = '\0';
    if (n < 0 || symlink(target, to) < 0)
        return error_set_errno(e, -errno, "cannot copy the link %s", from);
    return 0;
}

static int copy_entry(const char *from, const char *to, const char *below, unsigned depth,
                      struct tree_count *count, struct error *e);

static int copy_folder(const char *from, const char *to, const char *below, unsigned depth,
                       struct tree_count *count, struct error *e)
{
    if (depth > DEPTH_MAX)
        return error_set(e, -ELOOP, "%s lies too deep", from);
    DIR *dir = opendir(from);
    if (!dir)
        return error_set_errno(e, -errno, "cannot read %s", from);
    int r = 0;
    for (struct dirent *d; r == 0 && (d = readdir(dir));) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        _cleanup_free_ char *a = path_join(from, d->d_name), *b = path_join(to, d->d_name);
        _cleanup_free_ char *c = *below ? path_join(below, d->d_name) : strdup(d->d_name);
        struct error one = ERROR_INIT;
        r = a && b && c ? copy_entry(a, b, c, depth, count, &one) : -ENOMEM;
        if (r == -ENOENT && access(a, F_OK) < 0)
            r = 0; /* it went while we looked */
        else if (r < 0)
            (void)error_set(e, r, "%s", one.message);
    }
    (void)closedir(dir);
    return r;
}

static int copy_entry(const char *from, const char *to, const char *below, unsigned depth,
                      struct tree_count *count, struct error *e)
{
    struct stat st;
    if (is_left_out(below) || is_sidecar(from)) {
        count->left_out++;
        return 0;
    }
    if (lstat(from, &st) < 0)
        return error_set_errno(e, -errno, "cannot look at %s", from);
    if (S_ISDIR(st.st_mode)) {
        if (mkdir(to, 0700) < 0)
            return error_set_errno(e, -errno, "cannot make %s", to);
        int r = copy_folder(from, to, below, depth + 1, count, e);
        (void)chmod(to, st.st_mode & 07777);
        return r;
    }
    if (S_ISLNK(st.st_mode))
        return copy_link(from, to, e);
    if (!S_ISREG(st.st_mode)) {
        count->left_out++;
        return 0;
    }
    bool database = store_is_database(from);
    int r = database ? store_copy(from, to, e) : copy_file(from, to, &st, e);
    count->files += r == 0;
    count->databases += r == 0 && database;
    return r;
}

int tree_copy(const char *from, const char *to, struct tree_count *count, struct error *e)
{
    *count = (struct tree_count){ 0 };
    return copy_folder(from, to, "", 0, count, e);
}

int tree_is_empty(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir)
        return -errno;
    bool empty = true;
    for (struct dirent *d; (d = readdir(dir));)
        empty &= strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 ||
                 strcmp(d->d_name, "lost+found") == 0;
    (void)closedir(dir);
    return empty;
}
