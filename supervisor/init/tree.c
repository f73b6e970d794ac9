#include "supervisor/init/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "supervisor/init/reaper.h"

int tree_parse_stat(const char *text, struct tree_process *ret)
{
    struct tree_process p = { 0 };
    int pid, parent, group, session;
    unsigned long long started;
    /* The command may hold anything, also ") R 1": the last parenthesis ends it. */
    const char *end = strrchr(text, ')');
    if (!end || sscanf(text, "%d (", &pid) != 1 ||
        sscanf(end,
               ") %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &p.state, &parent, &group, &session, &started) != 5)
        return -EBADMSG;
    p.pid = pid;
    p.parent = parent;
    p.group = group;
    p.session = session;
    p.started = started;
    *ret = p;
    return 0;
}

static int read_one(const char *name, struct tree_process *ret)
{
    char path[64], text[1024];
    (void)snprintf(path, sizeof path, "/proc/%.20s/stat", name);
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, text, sizeof text - 1);
    if (n < 0)
        return -errno;
    text[n] = '\0';
    return tree_parse_stat(text, ret);
}

int tree_read_one(pid_t pid, struct tree_process *ret)
{
    char name[24];
    (void)snprintf(name, sizeof name, "%d", (int)pid);
    return read_one(name, ret);
}

static void close_dir(DIR **d)
{
    if (*d)
        (void)closedir(*d);
}

int tree_read(struct tree *ret)
{
    __attribute__((cleanup(close_dir))) DIR *proc = opendir("/proc");
    if (!proc)
        return -errno;
    __attribute__((cleanup(tree_release))) struct tree t = { 0 };
    size_t cap = 0;
    for (const struct dirent *d; (d = readdir(proc));) {
        struct tree_process p;
        if (d->d_name[0] < '1' || d->d_name[0] > '9' || read_one(d->d_name, &p) < 0)
            continue;
        if (t.count == cap) {
            cap = cap ? cap * 2 : 64;
            struct tree_process *more = realloc(t.rows, cap * sizeof *more);
            if (!more)
                return -ENOMEM;
            t.rows = more;
        }
        t.rows[t.count++] = p;
    }
    if (!t.count)
        return -ENOENT;
    *ret = t;
    t = (struct tree){ 0 };
    return 0;
}

void tree_release(struct tree *t)
{
    free(t->rows);
    *t = (struct tree){ 0 };
}

static int by_pid(const void *a, const void *b)
{
    pid_t x = ((const struct tree_process *)a)->pid, y = ((const struct tree_process *)b)->pid;
    return (x > y) - (x < y);
}

static struct tree_process *row_of(const struct tree *t, pid_t pid)
{
    struct tree_process key = { .pid = pid };
    return t->count ? bsearch(&key, t->rows, t->count, sizeof key, by_pid) : NULL;
}

/* Walks up from each row. The walk is bounded, because rows are read one after the other and a
 * number given out again in between could close a circle. */
void tree_mark(struct tree *t, pid_t root)
{
    if (t->count)
        qsort(t->rows, t->count, sizeof *t->rows, by_pid);
    for (size_t i = 0; i < t->count; i++)
        t->rows[i].below = false;
    for (size_t i = 0; i < t->count; i++) {
        const struct tree_process *up = &t->rows[i];
        for (size_t steps = 0; up && steps < t->count; steps++) {
            if (up->parent == root || (up != &t->rows[i] && up->below)) {
                t->rows[i].below = true;
                break;
            }
            up = row_of(t, up->parent);
        }
    }
}

int tree_signal(const struct tree_process *p, int signal)
{
    char name[24];
    struct tree_process again;
    _cleanup_fd_ int fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    if (fd < 0 && errno == ESRCH)
        return -ESRCH;
    (void)snprintf(name, sizeof name, "%d", (int)p->pid);
    if (read_one(name, &again) < 0 || again.started != p->started)
        return -ESRCH;
    long r = fd >= 0 ? syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) : kill(p->pid, signal);
    return r < 0 ? -errno : 0;
}

int tree_kill_below(pid_t root)
{
    __attribute__((cleanup(tree_release))) struct tree t = { 0 };
    int r = tree_read(&t), alive = 0;
    if (r < 0)
        return r;
    tree_mark(&t, root);
    for (size_t i = 0; i < t.count; i++) {
        if (!t.rows[i].below || t.rows[i].state == 'Z' || t.rows[i].state == 'X')
            continue;
        alive++;
        (void)tree_signal(&t.rows[i], SIGKILL);
    }
    return alive;
}

/* Does /proc/PID/environ hold this variable? Unreadable counts as no. */
static bool carries(pid_t pid, const char *mark)
{
    char path[48];
    _cleanup_free_ char *text = NULL;
    size_t len, want = strlen(mark);
    (void)snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || file_read_fd(fd, (size_t)4 << 20, &text, &len) < 0)
        return false;
    for (const char *p = text; p < text + len; p += strlen(p) + 1)
        if (strlen(p) == want && memcmp(p, mark, want) == 0)
            return true;
    return false;
}

int tree_kill_orphans(pid_t reaper_pid, pid_t session, const char *mark, const struct reaper *known)
{
    __attribute__((cleanup(tree_release))) struct tree t = { 0 };
    int r = tree_read(&t), alive = 0;
    if (r < 0)
        return r;
    for (size_t i = 0; i < t.count; i++) {
        const struct tree_process p = t.rows[i];
        if (p.parent != reaper_pid || p.state == 'Z' || p.pid == getpid() ||
            reaper_find(known, p.pid) ||
            !((session && p.session == session) || (*mark && carries(p.pid, mark))))
            continue;
        /* From the leaves up, and the root held still: once it is dead, what was below it is an
         * orphan that may have neither session nor mark. */
        (void)tree_signal(&p, SIGSTOP);
        int below = tree_kill_below(p.pid);
        (void)tree_signal(&p, SIGKILL);
        alive += 1 + (below > 0 ? below : 0);
    }
    return alive;
}
