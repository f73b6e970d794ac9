#include "supervisor/ctl/copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/core/cleanup.h"
#include "base/core/file.h"

#define DEPTH_MAX 16
#define FILE_MAX  ((size_t)64 << 20)

static void close_dir(DIR **d)
{
    if (*d)
        (void)closedir(*d);
}

static bool left_out(const char *name)
{
    static const char *const names[] = { ".", "..", "node_modules", "dist", ".git" };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static int copy_file(const char *from, const char *to, mode_t mode)
{
    _cleanup_free_ char *data = NULL;
    size_t len = 0;
    int r = file_read(from, FILE_MAX, &data, &len);
    if (r < 0)
        return r;
    _cleanup_fd_ int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode & 0777);
    if (fd < 0)
        return -errno;
    r = fd_write_all(fd, data, len);
    return r == 0 && fsync(fd) < 0 ? -errno : r;
}

static int copy_link(const char *from, const char *to)
{
    char target[4096];
    ssize_t n = readlink(from, target, sizeof target - 1);
    if (n < 0)
        return -errno;
    target[n] = '\0';
    return symlink(target, to) < 0 ? -errno : 0;
}

static int copy_folder(const char *from, const char *to, int depth);

static int copy_one(const char *from, const char *to, int depth)
{
    struct stat st;
    if (lstat(from, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return copy_folder(from, to, depth + 1);
    if (S_ISLNK(st.st_mode))
        return copy_link(from, to);
    return S_ISREG(st.st_mode) ? copy_file(from, to, st.st_mode) : 0;
}

static int copy_folder(const char *from, const char *to, int depth)
{
    _cleanup_(close_dir) DIR *d = opendir(from);
    if (!d || mkdir(to, 0755) < 0)
        return -errno;
    if (depth > DEPTH_MAX)
        return -ELOOP;
    for (const struct dirent *entry; (entry = readdir(d));) {
        if (left_out(entry->d_name))
            continue;
        _cleanup_free_ char *source = path_join(from, entry->d_name);
        _cleanup_free_ char *target = path_join(to, entry->d_name);
        int r = source && target ? copy_one(source, target, depth) : -ENOMEM;
        if (r < 0)
            return r;
    }
    return 0;
}

int copy_tree(const char *from, const char *to, struct error *e)
{
    struct stat st;
    if (lstat(to, &st) == 0)
        return error_set(e, -EEXIST, "something is at %s already: it is not overwritten", to);
    _cleanup_free_ char *parent = strdup(to);
    _cleanup_free_ char *tmp = NULL;
    if (!parent || asprintf(&tmp, "%s.new-%d", to, (int)getpid()) < 0)
        return error_set_errno(e, -ENOMEM, "cannot copy %s", from);
    int r = file_mkdir_p(dirname(parent), 0755);
    if (r < 0)
        return error_set_errno(e, r, "cannot make the folder of %s", to);
    r = copy_folder(from, tmp, 0);
    /* Nothing may have come in between: renameat2 would tell, rename() replaces an empty folder. */
    if (r == 0 && renameat2(AT_FDCWD, tmp, AT_FDCWD, to, RENAME_NOREPLACE) < 0)
        r = -errno;
    if (r < 0) {
        (void)file_remove_tree(tmp);
        return error_set_errno(e, r, "cannot copy %s to %s", from, to);
    }
    return 0;
}
