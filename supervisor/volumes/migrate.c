/* Moves OpenCode's files from the root of a volume into share/opencode. Every step is one rename or
 * one mkdir, so that a kill between any two leaves a state from which the next start goes on: what
 * shows the old layout moves last. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "supervisor/volumes/volumes.h"

#ifndef RENAME_NOREPLACE /* musl has neither */
#    define RENAME_NOREPLACE 1
static int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}
#endif

#define NOTE_NAME "codev-moved.txt"

static const char note_head[] =
    "This volume was once mounted at ~/.local/share/opencode. It is mounted at ~/.local now, so\n"
    "codev-init moved OpenCode's files from the root of the volume to here, by rename: nothing was\n"
    "copied, changed or overwritten. To undo it, move the files below back. This note may go.\n";

enum kind {
    SPARE, /* may stay behind when there is one in the new place already */
    DATA,  /* two of it: nobody but a person can tell which counts */
    SIGN,  /* a file that shows the old layout */
    STORE, /* a folder that shows it by what lies in it */
};

/* In the order in which they move: signs last, else a kill would hide what is left. */
static const struct {
    const char *name;
    enum kind kind;
} entries[] = {
    { "log", SPARE },
    { "tool-output", SPARE },
    { "repos", DATA },
    { "snapshot", DATA },
    { "project", DATA },
    { "worktree", DATA },
    { "mcp-auth.json", DATA },
    { "storage", STORE },
    { "opencode.db-shm", DATA },
    { "opencode.db-wal", DATA },
    { "opencode.db", SIGN },
    { "auth.json", SIGN },
};

static bool there(int dir, const char *name, struct stat *st)
{
    return fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool is_store(int root, const char *name)
{
    static const char *const inside[] = { "migration", "session", "session_diff", "message" };
    _cleanup_fd_ int dir = openat(root, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    for (size_t i = 0; dir >= 0 && i < ARRAY_SIZE(inside); i++)
        if (there(dir, inside[i], &st))
            return true;
    return false;
}

static bool shows(int root, size_t i)
{
    struct stat st;
    if (entries[i].kind == STORE)
        return is_store(root, entries[i].name);
    return entries[i].kind == SIGN && there(root, entries[i].name, &st) && S_ISREG(st.st_mode);
}

static const char *old_layout_of(int root)
{
    for (size_t i = ARRAY_SIZE(entries); i-- > 0;)
        if (shows(root, i))
            return entries[i].name;
    return NULL;
}

const char *volume_old_layout(const char *volume)
{
    _cleanup_fd_ int root = open(volume, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return root < 0 ? NULL : old_layout_of(root);
}

/* Opens `name` in `dir`; makes it first, for the owner of `dir`, when it is not there. */
static int open_folder(int dir, const char *name, struct error *e)
{
    struct stat st;
    if (mkdirat(dir, name, 0755) == 0 && fstat(dir, &st) == 0)
        (void)!fchownat(dir, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW);
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(e, -errno, "cannot open the folder %s of the volume", name);
    return fd;
}

static bool is_empty(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0)
            (void)close(fd);
        return false;
    }
    int found = 0;
    while (found <= 2 && readdir(dir))
        found++;
    (void)closedir(dir);
    return found <= 2; /* . and .. */
}

/* An empty folder (OpenCode makes some at every start) is in nobody's way. */
static bool in_the_way(int to, const char *name, bool remove)
{
    struct stat st;
    if (!there(to, name, &st))
        return false;
    if (!S_ISDIR(st.st_mode) || !is_empty(to, name))
        return true;
    return remove && unlinkat(to, name, AT_REMOVEDIR) < 0;
}

/* Before anything moves: is there one in both places? */
static int check_both(int root, int to, struct error *e)
{
    struct stat st;
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
        if (entries[i].kind != SPARE && there(root, entries[i].name, &st) &&
            in_the_way(to, entries[i].name, false))
            return error_set(e, -EEXIST, "%s is there and in share/opencode as well",
                             entries[i].name);
    return 0;
}

/* Best effort: a note that can't be written must not keep the data from where it is looked for. */
static void note_line(int to, const char *name)
{
    char ts[CLOCK_RFC3339_SIZE], line[200];
    struct stat st, of;
    _cleanup_fd_ int fd =
        openat(to, NOTE_NAME, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0 || fstat(fd, &st) < 0)
        return;
    if (st.st_size == 0) {
        if (fstat(to, &of) == 0)
            (void)!fchown(fd, of.st_uid, of.st_gid);
        (void)fd_write_all(fd, note_head, strlen(note_head));
    }
    clock_rfc3339(ts);
    int n = snprintf(line, sizeof line, "%s %s\n", ts, name);
    (void)fd_write_all(fd, line, (size_t)n);
}

static int rename_free(int root, int to, const char *name)
{
    if (renameat2(root, name, to, name, RENAME_NOREPLACE) == 0)
        return 0;
    struct stat st;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    /* A file system without that flag; nobody else writes here yet. */
    if (there(to, name, &st))
        return -EEXIST;
    return renameat(root, name, to, name) < 0 ? -errno : 0;
}

static int move_all(int root, int to, unsigned *moved, struct error *e)
{
    struct stat st;
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
        const char *name = entries[i].name;
        if (!there(root, name, &st) || (entries[i].kind == STORE && !is_store(root, name)) ||
            in_the_way(to, name, true))
            continue;
        note_line(to, name);
        int r = rename_free(root, to, name);
        if (r < 0)
            return error_set_errno(e, r, "cannot move %s into share/opencode", name);
        ++*moved;
    }
    if (fsync(to) < 0 || fsync(root) < 0)
        return error_set_errno(e, -errno, "cannot sync the volume");
    return 0;
}

int volume_migrate(const char *volume, unsigned *ret_moved, struct error *e)
{
    *ret_moved = 0;
    _cleanup_fd_ int root = open(volume, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return error_set_errno(e, -errno, "cannot open %s", volume);
    if (!old_layout_of(root))
        return 0;
    _cleanup_fd_ int share = open_folder(root, "share", e);
    if (share < 0)
        return share;
    _cleanup_fd_ int to = open_folder(share, "opencode", e);
    if (to < 0)
        return to;
    int r = check_both(root, to, e);
    return r < 0 ? r : move_all(root, to, ret_moved, e);
}
