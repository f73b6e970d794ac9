#include "bridge/prepare/walk.h"

#include "base/core/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX ((size_t)20000)
#define DEPTH_MAX 32

static const char *const npm_files[] = { ".npmrc", "npm-shrinkwrap.json", "package-lock.json",
                                         "package.json" };
static const char *const not_sources[] = { "node_modules", "dist", ".git" };

static void dir_close(DIR **d)
{
    if (*d)
        (void)closedir(*d);
}

int walk_add(struct stamp *s, const struct filelist_entry *entry)
{
    if (s->count >= FILES_MAX)
        return -E2BIG;
    if (s->count == s->room) {
        size_t room = s->room ? s->room * 2 : 64;
        struct filelist_entry *more = realloc(s->entries, room * sizeof *more);
        if (!more)
            return -ENOMEM;
        s->entries = more;
        s->room = room;
    }
    struct filelist_entry copy = *entry;
    copy.path = strdup(entry->path);
    if (!copy.path)
        return -ENOMEM;
    s->entries[s->count++] = copy;
    return 0;
}

static int add_stat(struct stamp *s, char *path, const struct stat *st)
{
    struct filelist_entry entry = {
        .path = path,
        .ino = st->st_ino,
        .size = (uint64_t)st->st_size,
        .mtime_ns = (uint64_t)st->st_mtim.tv_sec * 1000000000U + (uint64_t)st->st_mtim.tv_nsec,
    };
    return walk_add(s, &entry);
}

static bool skipped(const char *name, bool top)
{
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return true;
    for (size_t i = 0; top && i < ARRAY_SIZE(not_sources); i++)
        if (strcmp(name, not_sources[i]) == 0)
            return true;
    return false;
}

/* `prefix` is the folder's path relative to the plugin, with a slash; "" at the top. */
static int walk_folder(int parent, const char *name, const char *prefix, int depth, struct stamp *s)
{
    if (depth > DEPTH_MAX)
        return -ELOOP;
    /* The plugin folder itself may be a link; nothing below it is followed. */
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (*prefix ? O_NOFOLLOW : 0));
    if (fd < 0)
        return -errno;
    _cleanup_(dir_close) DIR *dir = fdopendir(fd);
    if (!dir) {
        (void)close(fd);
        return -ENOMEM;
    }
    int r = 0;
    for (struct dirent *d; r == 0 && (d = readdir(dir));) {
        struct stat st;
        if (skipped(d->d_name, !*prefix) || fstatat(fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        _cleanup_free_ char *path = NULL;
        if (asprintf(&path, "%s%s%s", prefix, d->d_name, S_ISDIR(st.st_mode) ? "/" : "") < 0) {
            path = NULL;
            return -ENOMEM;
        }
        if (S_ISDIR(st.st_mode))
            r = walk_folder(fd, d->d_name, path, depth + 1, s);
        else if (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode))
            r = add_stat(s, path, &st);
    }
    return r;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct filelist_entry *)a)->path,
                  ((const struct filelist_entry *)b)->path);
}

int walk_sources(const char *plugin, struct stamp *ret, struct error *e)
{
    int r = walk_folder(AT_FDCWD, plugin, "", 0, ret);
    if (r == -E2BIG)
        return error_set(e, r, "%s holds more than %zu files", plugin, FILES_MAX);
    if (r < 0)
        return error_set_errno(e, r, "cannot list the files of %s", plugin);
    if (ret->count)
        qsort(ret->entries, ret->count, sizeof *ret->entries, by_path);
    return 0;
}

int walk_npm_files(const char *plugin, struct stamp *ret, struct error *e)
{
    for (size_t i = 0; i < ARRAY_SIZE(npm_files); i++) {
        _cleanup_free_ char *path = path_join(plugin, npm_files[i]);
        _cleanup_free_ char *name = strdup(npm_files[i]);
        struct stat st;
        int r = !path || !name ? -ENOMEM : 0;
        if (r == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode))
            r = add_stat(ret, name, &st);
        if (r < 0)
            return error_set_errno(e, r, "cannot list the files of %s", plugin);
    }
    return 0;
}
