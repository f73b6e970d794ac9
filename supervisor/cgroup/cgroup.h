/* The kernel's control groups as a container sees them: which files tell about the container's own
 * group, and, where a cgroup v2 folder of our own can be written, one group for each service.
 *
 * Kernel: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/{memory,pids}.rst. Nothing here waits
 * on a disk; everything is a few reads and writes in cgroupfs. */
#pragma once

#include "supervisor/volumes/volumes.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CGROUP_PATH_MAX 512
#define CGROUP_LEAF     "pid1"     /* where PID 1, its guards and `kubectl exec` are */
#define CGROUP_SERVICE  "service." /* and its name; the kernel's own files begin otherwise */

/* The folders of the groups that this process is in; "" where none can be seen. On a hybrid
 * machine `v2` is there without controllers, and the controllers are v1's. */
struct cgroup_place {
    char v2[CGROUP_PATH_MAX];
    char v1_memory[CGROUP_PATH_MAX];
    char v1_pids[CGROUP_PATH_MAX];
};

/* From the text of /proc/self/cgroup and the mount table. Pure: what it names need not be there.
 * Lines that are not as cgroups(7) says are passed over. */
void cgroup_place_parse(const char *text, const struct mount_table *mounts,
                        struct cgroup_place *ret);
/* The same for this process; a folder that does not list it is left out, and PID 1's leaf counts as
 * the group that it was made in. 0 or -errno. */
int cgroup_place_find(struct cgroup_place *ret);

/* One key of a flat-keyed file ("oom_kill 3"); `key` NULL: the file is one number ("max" counts as
 * UINT64_MAX). Relative to `dir_fd` (AT_FDCWD: as it is). 0, -ENOENT, -EBADMSG, -errno. */
int cgroup_read(int dir_fd, const char *file, const char *key, uint64_t *ret);
/* 0 or -errno. */
int cgroup_write(int dir_fd, const char *file, const char *text);

/* Whether a process may make groups below its own. */
struct cgroup_tree {
    int dir_fd; /* the folder below which the services' groups are; -1: none can be made */
    bool kill, memory, pids; /* what each of them can do: cgroup.kill, memory.max, pids.max */
    char why[160];           /* why not, or what is missing; "" when all is there */
};
#define CGROUP_TREE_NONE                                                                           \
    {                                                                                              \
        .dir_fd = -1                                                                               \
    }

/* Makes our own group ready: PID 1 moves to a leaf of it where controllers are to be had, since a
 * group that hands controllers on may hold no process itself. What was in the group goes with it.
 * The machine's root group is never taken, nor one that is shared with others (`alone`: all that
 * is in it is ours, as for PID 1 of a container). Called again after exec it finds all as it was.
 */
void cgroup_tree_open(struct cgroup_tree *t, const struct cgroup_place *place, bool alone);
void cgroup_tree_release(struct cgroup_tree *t);

/* The group of a service; a descriptor for the functions above and below. -errno on failure;
 * -ENOENT where there is none, or no tree. */
int cgroup_service_open(const struct cgroup_tree *t, const char *service);
/* Makes it, and anew when there is one that is empty: without the counters, and the groups inside,
 * of an earlier run. `*ret_new` false: the old one could not be removed. As above. */
int cgroup_service_make(const struct cgroup_tree *t, const char *service, bool *ret_new);
/* Removes it; it must be empty. */
void cgroup_service_remove(const struct cgroup_tree *t, const char *service);
/* Sets a limit, 0: none. 0 or -errno. */
int cgroup_limit(int group_fd, const char *file, uint64_t value);

/* SIGKILL to all in the group and below it, at once: also to what is forked meanwhile. 0 or -errno
 * (-ENOENT before Linux 5.14). */
int cgroup_kill(int group_fd);

/* fork(2) into that group: the child is in it from its first instruction on. Where the kernel or a
 * seccomp filter has no clone3, and where the group is not new, the child moves itself: Linux 6.18
 * kills at once what is cloned into a group that was killed before. As fork(2), -1 with errno. */
pid_t cgroup_fork(int group_fd, bool is_new);
/* Is this process in the group of that service? */
bool cgroup_service_holds(const char *service, pid_t pid);
