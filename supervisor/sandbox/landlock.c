#include "supervisor/sandbox/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/core/cleanup.h"

/* As in linux/landlock.h, whose installed copy may be older than the running kernel. */
#define FS_EXECUTE      (1ULL << 0)
#define FS_WRITE_FILE   (1ULL << 1)
#define FS_READ_FILE    (1ULL << 2)
#define FS_READ_DIR     (1ULL << 3)
#define FS_REMOVE_DIR   (1ULL << 4)
#define FS_REMOVE_FILE  (1ULL << 5)
#define FS_MAKE_CHAR    (1ULL << 6)
#define FS_MAKE_DIR     (1ULL << 7)
#define FS_MAKE_REG     (1ULL << 8)
#define FS_MAKE_SOCK    (1ULL << 9)
#define FS_MAKE_FIFO    (1ULL << 10)
#define FS_MAKE_BLOCK   (1ULL << 11)
#define FS_MAKE_SYM     (1ULL << 12)
#define FS_REFER        (1ULL << 13) /* ABI 2 */
#define FS_TRUNCATE     (1ULL << 14) /* ABI 3 */
#define FS_IOCTL_DEV    (1ULL << 15) /* ABI 5 */
#define FS_ABI_1        ((1ULL << 13) - 1)
#define NET_BIND_TCP    (1ULL << 0) /* ABI 4 */
#define NET_CONNECT_TCP (1ULL << 1)
#define SCOPE_ABSTRACT  (1ULL << 0) /* ABI 6 */
#define SCOPE_SIGNAL    (1ULL << 1)

#define RULE_PATH_BENEATH 1
#define RULE_NET_PORT     2
#define CREATE_VERSION    (1U << 0)

#define FS_OF_FILES (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)
#define FS_READS    (FS_READ_FILE | FS_READ_DIR)
#define FS_WRITES                                                                                  \
    (FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | FS_MAKE_SOCK |   \
     FS_MAKE_FIFO | FS_MAKE_SYM | FS_REFER | FS_TRUNCATE | FS_IOCTL_DEV)

#define NODES_MAX 1024 /* exceptions with all that lies above them */
#define DEPTH_MAX 64

struct ruleset_attr {
    uint64_t files, net, scopes;
};
struct __attribute__((packed)) path_attr {
    uint64_t allowed;
    int32_t parent_fd;
};
struct port_attr {
    uint64_t allowed, port;
};

/* Files by what they are, not by how they are spelt: a link or a second mount changes nothing. */
struct node {
    dev_t dev;
    ino_t ino;
    bool closed; /* the exception itself, else a folder above one */
};

struct walk {
    int ruleset;
    uint64_t handled;
    struct sandbox_report *report;
    const struct node *nodes;
    size_t count;
};

int landlock_abi(void)
{
    long r = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
    return r < 0 ? -errno : (int)r;
}

void landlock_masks(const struct sandbox *s, int abi, struct landlock_masks *ret)
{
    const struct {
        int abi;
        uint32_t flag;
        uint64_t files, net, scopes;
    } rows[] = {
        { 1, SANDBOX_FILES_RULED, FS_ABI_1, 0, 0 },
        { 2, SANDBOX_FILES_RULED, FS_REFER, 0, 0 },
        { 3, SANDBOX_FILES_RULED, FS_TRUNCATE, 0, 0 },
        { 4, SANDBOX_BIND_RULED, 0, NET_BIND_TCP, 0 },
        { 4, SANDBOX_CONNECT_RULED, 0, NET_CONNECT_TCP, 0 },
        { 5, SANDBOX_FILES_RULED, FS_IOCTL_DEV, 0, 0 },
        { 6, SANDBOX_ABSTRACT_OWN, 0, 0, SCOPE_ABSTRACT },
        { 6, SANDBOX_SIGNALS_OWN, 0, 0, SCOPE_SIGNAL },
    };
    *ret = (struct landlock_masks){ 0 };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (abi < rows[i].abi || !(s->header->flags & rows[i].flag))
            continue;
        ret->files |= rows[i].files;
        ret->net |= rows[i].net;
        ret->scopes |= rows[i].scopes;
    }
}

uint64_t landlock_rights(enum sandbox_access access, uint64_t handled)
{
    static const uint64_t rights[SANDBOX_ACCESS_MAX] = {
        [SANDBOX_READ] = FS_READS,
        [SANDBOX_EXEC] = FS_READS | FS_EXECUTE,
        [SANDBOX_WRITE] = FS_READS | FS_WRITES,
        [SANDBOX_WORK] = FS_READS | FS_WRITES | FS_EXECUTE,
    };
    return rights[access] & handled;
}

/* --- paths --- */

/* 0, -ENOENT for a root that there is none of, -ENAMETOOLONG. */
static int rule_path(const struct sandbox *s, const struct sandbox_rule *r,
                     const struct sandbox_where *where, char *out, size_t size)
{
    char cwd[4096];
    const char *roots[SANDBOX_ROOT_MAX] = {
        [SANDBOX_ROOT_NONE] = "",
        [SANDBOX_ROOT_RUNTIME] = where->runtime,
        [SANDBOX_ROOT_STATE] = where->state,
        [SANDBOX_ROOT_CWD] = r->root == SANDBOX_ROOT_CWD ? getcwd(cwd, sizeof cwd) : NULL,
    };
    const char *root = roots[r->root], *path = sandbox_string(s, r->path);
    /* Who has no working folder of its own gets no rule for all there is. */
    if (r->root != SANDBOX_ROOT_NONE && (!root || root[0] != '/' || !root[1]))
        return -ENOENT;
    const char *slash = r->root == SANDBOX_ROOT_NONE || !*path ? "" : "/";
    int n = snprintf(out, size, "%s%s%s", root, slash, path);
    return n > 0 && (size_t)n < size ? 0 : -ENAMETOOLONG;
}

/* mkdir -p; what cannot be made is left for the rule to miss. */
static void make_folder(char *path)
{
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        (void)mkdir(path, 0755);
        *p = '/';
    }
    (void)mkdir(path, 0755);
}

static void make_folders(const struct sandbox *s, const struct sandbox_where *where)
{
    char path[8192];
    for (uint32_t i = 0; i < s->header->rules.count; i++)
        if (s->rules[i].access == SANDBOX_MAKE &&
            rule_path(s, &s->rules[i], where, path, sizeof path) == 0)
            make_folder(path);
}

/* --- exceptions --- */

/* What is not there closes nothing. Anything else that keeps us from it may pass, and what was not
 * closed then stays open for good. */
static bool is_absent(int error)
{
    return error == ENOENT || error == ENOTDIR;
}

static int add_node(struct node *nodes, size_t *count, const char *path, bool closed)
{
    struct stat st;
    _cleanup_fd_ int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return is_absent(errno) ? 0 : -errno;
    for (size_t i = 0; i < *count; i++) {
        if (nodes[i].dev == st.st_dev && nodes[i].ino == st.st_ino) {
            nodes[i].closed |= closed;
            return 0;
        }
    }
    if (*count == NODES_MAX)
        return -E2BIG;
    nodes[(*count)++] = (struct node){ .dev = st.st_dev, .ino = st.st_ino, .closed = closed };
    return 0;
}

/* A folder on the way to `path` does not let us through. Is it another's? Then we do not get there
 * later either; our own anybody of our user can open again, whatever rules there are for files. */
static bool is_anothers(const char *path)
{
    char above[8192];
    struct stat st;
    (void)snprintf(above, sizeof above, "%s", path);
    for (char *slash; (slash = strrchr(above, '/'));) {
        slash[slash == above] = '\0';
        if (stat(above, &st) == 0)
            return st.st_uid != geteuid();
        if (slash == above)
            break;
    }
    return false;
}

/* `path` without links in it, where /proc can tell. 1; 0: nobody in the sandbox can get there. */
static int resolve(char *path, size_t size)
{
    char link[48];
    _cleanup_fd_ int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return is_absent(errno) || (errno == EACCES && is_anothers(path)) ? 0 : -errno;
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    char real[8192];
    ssize_t n = readlink(link, real, sizeof real - 1);
    if (n > 0 && (size_t)n < size && real[0] == '/') {
        memcpy(path, real, (size_t)n);
        path[n] = '\0';
    }
    return 1;
}

/* The exception and every folder above it. One that is not there closes nothing. */
static int add_exception(struct node *nodes, size_t *count, char *path, size_t size)
{
    int r = resolve(path, size);
    if (r <= 0)
        return r;
    r = add_node(nodes, count, path, true);
    for (char *slash; r == 0 && (slash = strrchr(path, '/'));) {
        if (slash == path)
            return add_node(nodes, count, "/", false);
        *slash = '\0';
        r = add_node(nodes, count, path, false);
    }
    return r;
}

/* For rules that only read, or for those that write as well. */
static int collect(const struct sandbox *s, const struct sandbox_where *where, bool writing,
                   struct node *nodes, size_t *count)
{
    char path[8192];
    for (uint32_t i = 0; i < s->header->rules.count; i++) {
        const struct sandbox_rule *rule = &s->rules[i];
        if (rule->access != SANDBOX_HIDDEN && !(writing && rule->access == SANDBOX_FIXED))
            continue;
        if (rule_path(s, rule, where, path, sizeof path) < 0)
            continue;
        int r = add_exception(nodes, count, path, sizeof path);
        if (r < 0)
            return r;
    }
    return 0;
}

/* --- rules --- */

static const struct node *find(const struct walk *w, const struct stat *st)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->nodes[i].dev == st->st_dev && w->nodes[i].ino == st->st_ino)
            return &w->nodes[i];
    return NULL;
}

static int add_rule(struct walk *w, int fd, const struct stat *st, uint64_t rights)
{
    if (!S_ISDIR(st->st_mode))
        rights &= FS_OF_FILES;
    const struct path_attr attr = { .allowed = rights & w->handled, .parent_fd = fd };
    if (!attr.allowed)
        return 0;
    if (syscall(SYS_landlock_add_rule, w->ruleset, RULE_PATH_BENEATH, &attr, 0) == 0) {
        w->report->rules++;
        return 0;
    }
    /* A file of a kind that no rule can be made for (a pipe, a namespace): it stays closed. */
    return errno == EBADFD ? 0 : -errno;
}

static int grant(struct walk *w, int fd, uint64_t rights, int depth);

static int grant_entry(struct walk *w, int dir, const char *name, uint64_t rights, int depth)
{
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return 0;
    _cleanup_fd_ int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? 0 : grant(w, fd, rights, depth + 1);
}

struct entry {
    uint64_t ino;
    int64_t off;
    unsigned short reclen;
    unsigned char type;
    char name[];
};

static int grant_siblings(struct walk *w, int fd, uint64_t rights, int depth)
{
    _Alignas(8) char room[8192];
    _cleanup_fd_ int dir = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return 0; /* who cannot list it is let into nothing below it */
    for (;;) {
        long n = syscall(SYS_getdents64, dir, room, sizeof room);
        if (n <= 0)
            return n < 0 ? (int)-errno : 0;
        for (long at = 0; at < n;) {
            const void *here = room + at;
            const struct entry *d = here;
            int r = grant_entry(w, dir, d->name, rights, depth);
            if (r < 0)
                return r;
            at += d->reclen;
        }
    }
}

/* Landlock knows no exceptions: around one, what lies beside it is allowed, all along the way. A
 * symbolic link gets no rule: what it leads to has one, or is closed. The names in a folder are no
 * secret, only what is in the files: else nobody could list "/". */
static int grant(struct walk *w, int fd, uint64_t rights, int depth)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return 0;
    const struct node *n = find(w, &st);
    if (S_ISLNK(st.st_mode) || (n && n->closed))
        return 0;
    if (!n || !S_ISDIR(st.st_mode))
        return add_rule(w, fd, &st, rights);
    int r = add_rule(w, fd, &st, rights & FS_READ_DIR);
    if (r < 0 || depth >= DEPTH_MAX)
        return r;
    return grant_siblings(w, fd, rights, depth);
}

/* Whether an exception, or what lies in one, is where `fd` leads: its folders up to the root. */
static bool in_exception(const struct walk *w, int fd)
{
    char link[32], path[4096];
    struct stat st;
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0 || path[0] != '/')
        return true; /* unknown: nothing is let out */
    path[n] = '\0';
    for (char *slash = path + n; slash > path; slash = strrchr(path, '/')) {
        *slash = '\0';
        if (*path && stat(path, &st) < 0)
            return true;
        const struct node *node = *path ? find(w, &st) : NULL;
        if (node && node->closed)
            return true;
        if (!*path)
            break;
    }
    return false;
}

/* Whether the path, as it is spelt, is an exception or lies in one. */
static bool names_exception(const struct sandbox *s, const struct sandbox_where *where,
                            const char *path)
{
    char closed[8192];
    for (uint32_t i = 0; i < s->header->rules.count; i++) {
        const struct sandbox_rule *r = &s->rules[i];
        if ((r->access != SANDBOX_HIDDEN && r->access != SANDBOX_FIXED) ||
            rule_path(s, r, where, closed, sizeof closed) < 0)
            continue;
        size_t n = strlen(closed);
        if (strncmp(path, closed, n) == 0 && (path[n] == '/' || !path[n]))
            return true;
    }
    return false;
}

/* A rule's own path holds even inside an exception: that is how a part of it is let out. But only
 * one that is spelt so: any other may have been made a link that leads there. */
static int grant_path(struct walk *w, const char *path, uint64_t rights, bool inside)
{
    struct stat st;
    _cleanup_fd_ int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || (!inside && in_exception(w, fd))) {
        w->report->missing++;
        return 0;
    }
    const struct node *n = find(w, &st);
    return n && n->closed ? add_rule(w, fd, &st, rights) : grant(w, fd, rights, 0);
}

static int add_paths(const struct sandbox *s, const struct sandbox_where *where, struct walk *w,
                     bool writing)
{
    char path[8192];
    for (uint32_t i = 0; i < s->header->rules.count; i++) {
        const struct sandbox_rule *rule = &s->rules[i];
        uint64_t rights = landlock_rights((enum sandbox_access)rule->access, w->handled);
        bool writes = rule->access == SANDBOX_WRITE || rule->access == SANDBOX_WORK;
        if (!rights || writes != writing)
            continue;
        int r = rule_path(s, rule, where, path, sizeof path);
        if (r < 0)
            w->report->missing++;
        else
            r = grant_path(w, path, rights, names_exception(s, where, path));
        if (r < 0 && r != -ENOENT)
            return r;
    }
    return 0;
}

static int add_ports(const struct sandbox *s, int ruleset, uint64_t handled)
{
    for (uint32_t i = 0; i < s->header->ports.count; i++) {
        const struct sandbox_port *p = &s->ports[i];
        const struct port_attr attr = {
            .allowed = ((p->use & SANDBOX_BIND ? NET_BIND_TCP : 0) |
                        (p->use & SANDBOX_CONNECT ? NET_CONNECT_TCP : 0)) &
                       handled,
            .port = p->port,
        };
        if (attr.allowed && syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &attr, 0) < 0)
            return -errno;
    }
    return 0;
}

static int add_files(const struct sandbox *s, const struct sandbox_where *where, int ruleset,
                     uint64_t handled, struct sandbox_report *report)
{
    for (int writing = 0; writing < 2; writing++) {
        struct node nodes[NODES_MAX];
        struct walk w = {
            .ruleset = ruleset, .handled = handled, .report = report, .nodes = nodes
        };
        int r = collect(s, where, writing, nodes, &w.count);
        if (r == 0)
            r = add_paths(s, where, &w, writing);
        if (r < 0)
            return r;
    }
    return 0;
}

int landlock_enter(const struct sandbox *s, const struct sandbox_where *where, int abi,
                   struct sandbox_report *report)
{
    struct landlock_masks m;
    landlock_masks(s, abi, &m);
    make_folders(s, where);
    if (!m.files && !m.net && !m.scopes)
        return 0;
    const struct ruleset_attr attr = { .files = m.files, .net = m.net, .scopes = m.scopes };
    /* An older kernel refuses a longer struct only if what it does not know is set: it is not. */
    _cleanup_fd_ int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    if (ruleset < 0)
        return -errno;
    int r = m.files ? add_files(s, where, ruleset, m.files, report) : 0;
    if (r == 0)
        r = add_ports(s, ruleset, m.net);
    if (r < 0)
        return r;
    return syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? -errno : 0;
}
