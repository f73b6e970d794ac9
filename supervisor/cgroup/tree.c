/* Groups of our own: the tree below the container's group, and what its leaves can do. */
#include "supervisor/cgroup/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/file.h"

#define MOVE_ROUNDS 50 /* what forks while it is moved */
#define GROUPS_DEEP 8  /* below a service's own */
#define TEXT_MAX    ((size_t)1 << 20)

static void refuse(struct cgroup_tree *t, const char *why, int r)
{
    (void)snprintf(t->why, sizeof t->why, "%s%s%s", why, r < 0 ? ": " : "",
                   r < 0 ? strerror(-r) : "");
    cgroup_tree_release(t);
}

static int read_text(int dir_fd, const char *file, char **ret)
{
    _cleanup_fd_ int fd = openat(dir_fd, file, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : file_read_fd(fd, TEXT_MAX, ret, NULL);
}

/* Is it a word of the file, which parts them by spaces? */
static bool file_lists(int dir_fd, const char *file, const char *word)
{
    _cleanup_free_ char *text = NULL;
    char *next = NULL;
    if (read_text(dir_fd, file, &text) == 0)
        next = text;
    for (const char *w; next && (w = strsep(&next, " \n"));)
        if (strcmp(w, word) == 0)
            return true;
    return false;
}

/* How many processes there are that cannot be moved; each pass takes what the one before found. */
static int move_pass(int from_fd, int to_fd, int *ret_stuck)
{
    _cleanup_free_ char *text = NULL;
    int r = read_text(from_fd, "cgroup.procs", &text), found = 0;
    char *next = text;
    *ret_stuck = 0;
    for (const char *pid; r == 0 && (pid = strsep(&next, "\n"));) {
        if (!*pid)
            continue;
        found++;
        /* "0" is a process of another namespace, which would mean ourselves when written. */
        int w = strcmp(pid, "0") == 0 ? -EPERM : cgroup_write(to_fd, "cgroup.procs", pid);
        *ret_stuck += w < 0 && w != -ESRCH;
    }
    return r < 0 ? r : found;
}

static int move_all(int from_fd, int to_fd)
{
    for (int i = 0; i < MOVE_ROUNDS; i++) {
        int stuck, found = move_pass(from_fd, to_fd, &stuck);
        if (found <= 0)
            return found;
        if (stuck)
            return -EBUSY;
    }
    return -EBUSY;
}

/* Hands controllers on to the services' groups. A controller that is not to be had is missing and
 * no failure. */
static void hand_on(struct cgroup_tree *t, int leaf_fd)
{
    struct {
        const char *name, *order;
        bool *on;
    } wanted[] = { { "memory", "+memory", &t->memory }, { "pids", "+pids", &t->pids } };
    int r = 0, moved = 1;
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        *wanted[i].on = file_lists(t->dir_fd, "cgroup.subtree_control", wanted[i].name);
        if (*wanted[i].on || !file_lists(t->dir_fd, "cgroup.controllers", wanted[i].name))
            continue;
        moved = moved > 0 ? move_all(t->dir_fd, leaf_fd) : moved;
        r = moved < 0 ? moved : cgroup_write(t->dir_fd, "cgroup.subtree_control", wanted[i].order);
        *wanted[i].on = r == 0;
    }
    if (r < 0)
        (void)snprintf(t->why, sizeof t->why, "controllers cannot be handed on: %s", strerror(-r));
    else if (!t->memory || !t->pids)
        (void)snprintf(t->why, sizeof t->why, "there is no controller for %s here",
                       t->memory ? "processes"
                       : t->pids ? "memory"
                                 : "memory and processes");
}

static bool others_are_in(int dir_fd)
{
    _cleanup_free_ char *text = NULL;
    char *next = NULL;
    if (read_text(dir_fd, "cgroup.procs", &text) == 0)
        next = text;
    for (const char *pid; next && (pid = strsep(&next, "\n"));)
        if (*pid && strtol(pid, NULL, 10) != (long)getpid())
            return true;
    return false;
}

void cgroup_tree_open(struct cgroup_tree *t, const struct cgroup_place *place, bool alone)
{
    *t = (struct cgroup_tree)CGROUP_TREE_NONE;
    if (!place->v2[0]) {
        refuse(t, "no cgroup v2 is mounted here", 0);
        return;
    }
    t->dir_fd = open(place->v2, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->dir_fd < 0) {
        refuse(t, "cgroup v2 cannot be opened", -errno);
        return;
    }
    if (faccessat(t->dir_fd, "cgroup.events", F_OK, 0) < 0) { /* only the root has none */
        refuse(t, "this is the machine's root group, which is not ours", 0);
        return;
    }
    if (!alone && others_are_in(t->dir_fd)) {
        refuse(t, "the group is shared with processes that are not ours", 0);
        return;
    }
    if (mkdirat(t->dir_fd, CGROUP_LEAF, 0755) < 0 && errno != EEXIST) {
        refuse(t, "cgroup v2 is not writable", -errno);
        return;
    }
    _cleanup_fd_ int leaf = openat(t->dir_fd, CGROUP_LEAF, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* A read-only file in a folder that can be written: processes could not be moved. */
    if (leaf < 0 || faccessat(leaf, "cgroup.procs", W_OK, AT_EACCESS) < 0 ||
        faccessat(t->dir_fd, "cgroup.procs", W_OK, AT_EACCESS) < 0) {
        int r = -errno;
        (void)unlinkat(t->dir_fd, CGROUP_LEAF, AT_REMOVEDIR);
        refuse(t, "cgroup v2 is not writable", r);
        return;
    }
    t->kill = faccessat(leaf, "cgroup.kill", W_OK, AT_EACCESS) == 0;
    hand_on(t, leaf);
    if (!t->memory && !t->pids)
        (void)unlinkat(t->dir_fd, CGROUP_LEAF, AT_REMOVEDIR); /* unless something was moved there */
}

void cgroup_tree_release(struct cgroup_tree *t)
{
    if (t->dir_fd >= 0)
        (void)close(t->dir_fd);
    t->dir_fd = -1;
    t->kill = t->memory = t->pids = false;
}

static void close_dir(DIR **d)
{
    if (*d)
        (void)closedir(*d);
}

/* Groups that a service made in its own and left behind. Depth by depth, the deepest first. */
static void remove_groups_in(int dir_fd, int depth)
{
    int copy = depth ? openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    _cleanup_(close_dir) DIR *d = copy < 0 ? NULL : fdopendir(copy);
    for (const struct dirent *e; d && (e = readdir(d));) {
        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        _cleanup_fd_ int fd = openat(dir_fd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
            remove_groups_in(fd, depth - 1);
        (void)unlinkat(dir_fd, e->d_name, AT_REMOVEDIR);
    }
}

int cgroup_service_open(const struct cgroup_tree *t, const char *service)
{
    char name[128];
    if (t->dir_fd < 0)
        return -ENOENT;
    (void)snprintf(name, sizeof name, CGROUP_SERVICE "%s", service);
    int fd = openat(t->dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int cgroup_service_make(const struct cgroup_tree *t, const char *service, bool *ret_new)
{
    char name[128];
    int old = cgroup_service_open(t, service);
    if (old >= 0) {
        remove_groups_in(old, GROUPS_DEEP);
        (void)close(old);
        cgroup_service_remove(t, service);
    }
    if (t->dir_fd < 0)
        return -ENOENT;
    (void)snprintf(name, sizeof name, CGROUP_SERVICE "%s", service);
    *ret_new = mkdirat(t->dir_fd, name, 0755) == 0;
    if (!*ret_new && errno != EEXIST)
        return -errno;
    return cgroup_service_open(t, service);
}

void cgroup_service_remove(const struct cgroup_tree *t, const char *service)
{
    char name[128];
    if (t->dir_fd < 0)
        return;
    (void)snprintf(name, sizeof name, CGROUP_SERVICE "%s", service);
    (void)unlinkat(t->dir_fd, name, AT_REMOVEDIR);
}

int cgroup_limit(int group_fd, const char *file, uint64_t value)
{
    char text[32] = "max";
    if (value)
        (void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return cgroup_write(group_fd, file, text);
}

int cgroup_kill(int group_fd)
{
    return cgroup_write(group_fd, "cgroup.kill", "1");
}

/* What says that there is no such call here, or not for us; not that there is no room for another
 * process. */
static bool unsupported(int error)
{
    static const int errors[] = { ENOSYS, EINVAL, E2BIG, EPERM, EACCES, EBUSY, EOPNOTSUPP };
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
        if (errors[i] == error)
            return true;
    return false;
}

pid_t cgroup_fork(int group_fd, bool is_new)
{
    struct clone_args args = {
        .flags = CLONE_INTO_CGROUP,
        .exit_signal = SIGCHLD,
        .cgroup = (unsigned)group_fd,
    };
    pid_t pid = is_new ? (pid_t)syscall(SYS_clone3, &args, sizeof args) : -1;
    if (is_new && (pid >= 0 || !unsupported(errno)))
        return pid;
    pid = fork();
    if (pid == 0)
        (void)cgroup_write(group_fd, "cgroup.procs", "0"); /* PID 1 looks whether it is there */
    return pid;
}

bool cgroup_service_holds(const char *service, pid_t pid)
{
    char path[48], name[128];
    _cleanup_free_ char *text = NULL;
    (void)snprintf(path, sizeof path, "/proc/%d/cgroup", (int)pid);
    int n = snprintf(name, sizeof name, "/" CGROUP_SERVICE "%s", service);
    if (file_read(path, TEXT_MAX, &text, NULL) < 0)
        return true; /* it has ended already */
    char *next = text;
    for (const char *line; (line = strsep(&next, "\n"));) {
        const char *at = strncmp(line, "0::", 3) == 0 ? strstr(line, name) : NULL;
        if (at)
            return at[n] == '\0' || at[n] == '/'; /* or in a group that it made for itself */
    }
    return false;
}
