/* Where are our own groups? */
#include "supervisor/cgroup/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/core/parse.h"

#define TEXT_MAX ((size_t)1 << 20)

/* Is `word` one of the words of a list that commas part? */
static bool lists(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, len) == 0 && (at[len] == ',' || at[len] == '\0'))
            return true;
    }
    return false;
}

/* The part of `path` below `root`, "" for the root itself; NULL: outside. */
static const char *below(const char *path, const char *root)
{
    size_t len = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(path, root, len) != 0 || (path[len] != '/' && path[len] != '\0'))
        return NULL;
    return strcmp(path + len, "/") == 0 ? "" : path + len;
}

/* `controller` NULL: version 2. */
static bool shows(const struct mount_entry *m, const char *controller)
{
    if (!controller)
        return strcmp(m->fs_type, "cgroup2") == 0;
    return strcmp(m->fs_type, "cgroup") == 0 && lists(m->super_options, controller);
}

/* The path of a group → its folder. */
static void folder(const char *path, const struct mount_table *mounts, const char *controller,
                   char ret[CGROUP_PATH_MAX])
{
    for (size_t i = mounts->count; i-- > 0;) { /* later ones lie over earlier ones */
        const struct mount_entry *m = &mounts->entries[i];
        const char *rest = shows(m, controller) ? below(path, m->root) : NULL;
        if (!rest || strstr(path, "/.."))
            continue;
        int n = snprintf(ret, CGROUP_PATH_MAX, "%s%s", m->mount_point, rest);
        if (n > 0 && n < CGROUP_PATH_MAX)
            return;
        ret[0] = '\0';
    }
}

/* "4:memory:/a/b", "0::/a/b" */
static void take_line(char *line, const struct mount_table *mounts, struct cgroup_place *ret)
{
    char *path = line;
    const char *id = strsep(&path, ":"), *controllers = path ? strsep(&path, ":") : NULL;
    if (!id || !controllers || !path || *path != '/')
        return;
    if (strcmp(id, "0") == 0 && !*controllers)
        folder(path, mounts, NULL, ret->v2);
    if (lists(controllers, "memory"))
        folder(path, mounts, "memory", ret->v1_memory);
    if (lists(controllers, "pids"))
        folder(path, mounts, "pids", ret->v1_pids);
}

void cgroup_place_parse(const char *text, const struct mount_table *mounts,
                        struct cgroup_place *ret)
{
    *ret = (struct cgroup_place){ 0 };
    _cleanup_free_ char *copy = strdup(text);
    char *next = copy;
    for (char *line; next && (line = strsep(&next, "\n"));)
        take_line(line, mounts, ret);
}

/* A folder of another's group must not be taken for ours: after a change of namespaces the paths
 * may say anything. */
static bool lists_us(const char *dir)
{
    char path[CGROUP_PATH_MAX + 16];
    _cleanup_free_ char *text = NULL;
    (void)snprintf(path, sizeof path, "%s/cgroup.procs", dir);
    if (file_read(path, TEXT_MAX, &text, NULL) < 0)
        return false;
    char *next = text;
    for (const char *line; (line = strsep(&next, "\n"));)
        if (*line && strtol(line, NULL, 10) == (long)getpid())
            return true;
    return false;
}

/* In the machine's root group, which has everybody in it and takes long to list, these are missing;
 * it has no use for us. */
static bool has(const char *dir, const char *file)
{
    char path[CGROUP_PATH_MAX + 16];
    (void)snprintf(path, sizeof path, "%s/%s", dir, file);
    return access(path, F_OK) == 0;
}

/* After an exec of PID 1 itself it is in its leaf already. */
static void up_from_leaf(char dir[CGROUP_PATH_MAX])
{
    char *last = strrchr(dir, '/');
    if (last && last != dir && strcmp(last + 1, CGROUP_LEAF) == 0)
        *last = '\0';
}

int cgroup_place_find(struct cgroup_place *ret)
{
    struct error e = ERROR_INIT;
    struct mount_table mounts = { 0 };
    _cleanup_free_ char *text = NULL;
    *ret = (struct cgroup_place){ 0 };
    int r = file_read("/proc/self/cgroup", TEXT_MAX, &text, NULL);
    if (r == 0)
        r = mount_table_read(&mounts, &e);
    if (r < 0)
        return r;
    cgroup_place_parse(text, &mounts, ret);
    mount_table_release(&mounts);
    if (*ret->v1_memory && !lists_us(ret->v1_memory))
        ret->v1_memory[0] = '\0';
    if (*ret->v1_pids && (!has(ret->v1_pids, "pids.max") || !lists_us(ret->v1_pids)))
        ret->v1_pids[0] = '\0';
    /* Of version 2 the root stays: whoever would use it says why not (cgroup_tree_open()). */
    if (*ret->v2 && has(ret->v2, "cgroup.events") && !lists_us(ret->v2))
        ret->v2[0] = '\0';
    up_from_leaf(ret->v2);
    return 0;
}

static int number(const char *text, uint64_t *ret)
{
    if (strcmp(text, "max") == 0)
        *ret = UINT64_MAX;
    else if (parse_u64(text, 0, UINT64_MAX, ret) < 0)
        return -EBADMSG;
    return 0;
}

int cgroup_read(int dir_fd, const char *file, const char *key, uint64_t *ret)
{
    char text[4096]; /* memory.stat, the longest, has 1 to 2 KiB */
    _cleanup_fd_ int fd = openat(dir_fd, file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, text, sizeof text - 1);
    if (n < 0)
        return -errno;
    text[n] = '\0';
    char *next = text;
    for (char *line; (line = strsep(&next, "\n"));) {
        char *value = line;
        if (!key)
            return number(line, ret);
        if (strcmp(strsep(&value, " "), key) == 0)
            return value ? number(value, ret) : -EBADMSG;
    }
    return -ENOENT;
}

int cgroup_write(int dir_fd, const char *file, const char *text)
{
    _cleanup_fd_ int fd = openat(dir_fd, file, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}
