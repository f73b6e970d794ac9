#include "supervisor/init/groups.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/jsonw.h"
#include "supervisor/init/supervisor.h"

#define OOM_BELIEVED_MS                                                                            \
    5000 /* from a kill seen to the end that it explains: a large process takes                    \
            its time to go */
#define LOOK_MS      1000
#define PIDS_IDLE_MS 30000 /* between two looks when nothing happens and much is free */
#define PIDS_BUSY_MS 2000
#define PIDS_NEAR    90 /* per cent */
#define PIDS_FINE    80
#define SAY_AGAIN_MS 60000

/* --- the container's counters --- */

/* How many processes of the container the kernel has killed for want of memory. */
static int read_oom_count(const struct groups *g, uint64_t *ret)
{
    char path[CGROUP_PATH_MAX + 32];
    if (g->place.v2[0]) {
        (void)snprintf(path, sizeof path, "%s/memory.events", g->place.v2);
        if (cgroup_read(AT_FDCWD, path, "oom_kill", ret) == 0)
            return 0;
    }
    if (!g->place.v1_memory[0])
        return -ENOENT;
    (void)snprintf(path, sizeof path, "%s/memory.oom_control", g->place.v1_memory);
    return cgroup_read(AT_FDCWD, path, "oom_kill", ret);
}

static void look_at_oom(struct supervisor *sv)
{
    struct groups *g = &sv->groups;
    uint64_t now;
    if (!g->oom_known || read_oom_count(g, &now) < 0 || now <= g->oom_count)
        return;
    uint64_t n = now - g->oom_count;
    g->oom_count = now;
    g->oom_ms = clock_mono_ms();
    g->oom_kills += n;
    if (g->tree.memory) /* each service's group tells more, and says it */
        return;
    g->oom_unclaimed += (unsigned)n;
    say(sv, LOG_LEVEL_WARN, "the kernel killed %llu process%s of this container, out of memory",
        (unsigned long long)n, n == 1 ? "" : "es");
}

static int read_pids(const struct groups *g, const char *file, uint64_t *ret)
{
    char path[CGROUP_PATH_MAX + 32];
    const char *const dirs[] = { g->place.v2, g->place.v1_pids };
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dirs[i], file);
        if (*dirs[i] && cgroup_read(AT_FDCWD, path, NULL, ret) == 0)
            return 0;
    }
    return -ENOENT;
}

/* The service with most processes, where that can be told. */
static const struct service *most_processes(struct supervisor *sv, uint64_t *ret)
{
    const struct service *most = NULL;
    *ret = 0;
    for (struct service *s = sv->services; s && sv->groups.tree.pids; s = s->next) {
        uint64_t n;
        int fd = cgroup_service_open(&sv->groups.tree, s->name);
        if (fd < 0)
            continue;
        if (cgroup_read(fd, "pids.current", NULL, &n) == 0 && n > *ret) {
            *ret = n;
            most = s;
        }
        (void)close(fd);
    }
    return most;
}

static void say_pids(struct supervisor *sv)
{
    const struct groups *g = &sv->groups;
    uint64_t n;
    const struct service *most = most_processes(sv, &n);
    char detail[SERVICE_NAME_MAX + 64] = "";
    if (most)
        (void)snprintf(detail, sizeof detail, "; most has service %s, %llu", most->name,
                       (unsigned long long)n);
    say(sv, LOG_LEVEL_WARN,
        "the container has %llu of at most %llu processes and threads: soon none can be made%s",
        (unsigned long long)g->pids_now, (unsigned long long)g->pids_max, detail);
}

/* Of its limits.nproc. True when it has one, and so must be looked at again. */
static bool look_at_own_pids(struct service *s)
{
    struct groups *g = &s->sv->groups;
    uint64_t now, max = s->cfg->limit_nproc;
    if (!g->tree.pids || !max || !s->started_ms)
        return false;
    int fd = cgroup_service_open(&g->tree, s->name);
    if (fd < 0)
        return false;
    bool known = cgroup_read(fd, "pids.current", NULL, &now) == 0;
    (void)close(fd);
    if (known && !s->group.pids_near && now * 100 >= max * PIDS_NEAR) {
        s->group.pids_near = true;
        say(s->sv, LOG_LEVEL_WARN,
            "service %s has %llu of at most %llu processes and threads (limits.nproc): soon it can "
            "make none",
            s->name, (unsigned long long)now, (unsigned long long)max);
    } else if (known && now * 100 < max * PIDS_FINE) {
        s->group.pids_near = false;
    }
    return true;
}

static void look_at_pids_of_all(struct supervisor *sv)
{
    bool again = false;
    for (struct service *s = sv->services; s; s = s->next)
        again |= look_at_own_pids(s);
    if (again)
        timer_set(&sv->loop, &sv->groups.pids_timer, PIDS_BUSY_MS);
}

static void look_at_pids(struct supervisor *sv)
{
    struct groups *g = &sv->groups;
    uint64_t max;
    if (read_pids(g, "pids.max", &max) < 0 || max == UINT64_MAX || !max ||
        read_pids(g, "pids.current", &g->pids_now) < 0) {
        g->pids_max = 0;
        return;
    }
    g->pids_max = max;
    uint64_t percent = g->pids_now * 100 / max;
    if (!g->pids_near && percent >= PIDS_NEAR) {
        g->pids_near = true;
        say_pids(sv);
    } else if (g->pids_near && percent < PIDS_FINE) {
        g->pids_near = false;
        say(sv, LOG_LEVEL_INFO,
            "the container has %llu of at most %llu processes and threads again",
            (unsigned long long)g->pids_now, (unsigned long long)max);
    }
    timer_set(&sv->loop, &g->pids_timer, percent * 2 >= 100 ? PIDS_BUSY_MS : PIDS_IDLE_MS);
}

static void on_pids_timer(struct timer *t)
{
    look_at_pids(t->arg);
    look_at_pids_of_all(t->arg);
}

/* --- a service's own group --- */

static int open_group(const struct service *s)
{
    return cgroup_service_open(&s->sv->groups.tree, s->name);
}

static void say_oom(struct service *s, uint64_t n)
{
    char max[24], by[64] = "the container's limit, or the node's";
    if (s->group.oom_by_own_limit)
        (void)snprintf(by, sizeof by, "its memory_max is %s", memory_text(s->cfg->memory_max, max));
    say(s->sv, LOG_LEVEL_WARN,
        "service %s: the kernel killed %llu of its processes, out of memory: "
        "%s",
        s->name, (unsigned long long)n, by);
}

static void look_at_group_oom(struct service *s, int fd)
{
    struct service_group *g = &s->group;
    uint64_t kills, limit = 0;
    if (cgroup_read(fd, "memory.events", "oom_kill", &kills) < 0)
        return;
    (void)cgroup_read(fd, "memory.events", "oom", &limit);
    if (kills > g->oom_count) {
        g->oom_ms = clock_mono_ms();
        g->oom_by_own_limit = limit > g->limit_count;
        g->oom_kills += kills - g->oom_count;
        say_oom(s, kills - g->oom_count);
    }
    g->oom_count = kills; /* less than before: the group was made anew */
    g->limit_count = limit;
}

static void look_at_refused(struct service *s, int fd)
{
    struct service_group *g = &s->group;
    uint64_t refused, now = 0, max = 0, ms = clock_mono_ms();
    if (cgroup_read(fd, "pids.events", "max", &refused) < 0 || refused <= g->refused) {
        g->refused = refused;
        return;
    }
    g->refused = refused;
    if (g->refused_ms && ms - g->refused_ms < SAY_AGAIN_MS)
        return;
    g->refused_ms = ms;
    (void)cgroup_read(fd, "pids.current", NULL, &now);
    (void)cgroup_read(fd, "pids.max", NULL, &max);
    bool own = s->cfg->limit_nproc && now * 10 >= max * 9;
    say(s->sv, LOG_LEVEL_WARN,
        "service %s: the kernel refuses to make more processes: it has %llu, %s", s->name,
        (unsigned long long)now,
        own ? "and limits.nproc allows no more" : "and the container has as many as it may");
}

static void look_at_groups(struct supervisor *sv)
{
    for (struct service *s = sv->services; s; s = s->next) {
        int fd = s->started_ms ? open_group(s) : -1;
        if (fd < 0)
            continue;
        if (sv->groups.tree.memory)
            look_at_group_oom(s, fd);
        if (sv->groups.tree.pids)
            look_at_refused(s, fd);
        (void)close(fd);
    }
}

/* The files tell of each change; what it was is read anew. */
static void on_inotify(struct source *source, uint32_t events)
{
    struct supervisor *sv = source->arg;
    char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    (void)events;
    while (read(source->fd, buffer, sizeof buffer) > 0)
        continue;
    look_at_oom(sv);
    look_at_pids(sv);
    look_at_groups(sv);
}

static int watch(const struct groups *g, const char *dir, const char *file)
{
    char path[CGROUP_PATH_MAX + 160];
    if (g->inotify.fd < 0 || !*dir)
        return 0;
    (void)snprintf(path, sizeof path, "%s/%s", dir, file);
    int wd = inotify_add_watch(g->inotify.fd, path, IN_MODIFY);
    return wd < 0 ? 0 : wd;
}

static void watch_pids(struct service *s)
{
    char file[128];
    (void)snprintf(file, sizeof file, CGROUP_SERVICE "%s/pids.events", s->name);
    s->group.watch = watch(&s->sv->groups, s->sv->groups.place.v2, file);
}

static void set_limit(struct service *s, int fd, const char *file, uint64_t value, const char *key)
{
    int r = cgroup_limit(fd, file, value);
    if (r < 0)
        say(s->sv, LOG_LEVEL_WARN, "service %s: %s cannot be set as %s: %s", s->name, key, file,
            strerror(-r));
}

/* What the group has counted so far is nothing new. */
static void begin_count(struct service *s, int fd)
{
    struct service_group *g = &s->group;
    g->oom_count = g->limit_count = g->refused = 0;
    (void)cgroup_read(fd, "memory.events", "oom_kill", &g->oom_count);
    (void)cgroup_read(fd, "memory.events", "oom", &g->limit_count);
    (void)cgroup_read(fd, "pids.events", "max", &g->refused);
    if (s->sv->groups.tree.pids)
        watch_pids(s);
}

static void begin_run(struct service *s, int fd)
{
    const struct cgroup_tree *t = &s->sv->groups.tree;
    s->group.oom_ms = s->group.memory = s->group.over = 0;
    s->group.oom_by_own_limit = s->group.warned = s->group.pids_near = false;
    if (t->memory)
        set_limit(s, fd, "memory.max", s->cfg->memory_max, "memory_max");
    if (t->pids)
        set_limit(s, fd, "pids.max", s->cfg->limit_nproc, "limits.nproc");
    if (t->pids && s->cfg->limit_nproc)
        timer_set(&s->sv->loop, &s->sv->groups.pids_timer, PIDS_BUSY_MS);
    begin_count(s, fd);
}

/* One that an earlier image of PID 1 started: what that one had counted is nothing new. */
static void resume(struct service *s)
{
    const struct service_group was = s->group;
    int fd = s->started_ms ? open_group(s) : -1;
    if (s->started_ms && s->cfg->memory_max)
        memory_watch(s->sv);
    if (fd < 0)
        return;
    begin_count(s, fd);
    s->group.oom_count = was.oom_count;
    s->group.limit_count = was.limit_count;
    s->group.refused = was.refused;
    if (s->sv->groups.tree.memory)
        look_at_group_oom(s, fd);
    if (s->sv->groups.tree.pids)
        look_at_refused(s, fd);
    (void)close(fd);
}

int service_group_open(struct service *s, bool *ret_new)
{
    bool running = s->started_ms != 0; /* then this is a hook or a check of it */
    *ret_new = true;
    int fd = running ? open_group(s) : cgroup_service_make(&s->sv->groups.tree, s->name, ret_new);
    if (fd < 0 && fd != -ENOENT)
        say(s->sv, LOG_LEVEL_WARN, "service %s: no control group could be made for it: %s", s->name,
            strerror(-fd));
    if (fd >= 0 && !running)
        begin_run(s, fd);
    s->group.is_new = running ? s->group.is_new : *ret_new;
    *ret_new = s->group.is_new;
    return fd < 0 ? 0 : fd;
}

void service_group_check(struct service *s)
{
    if (s->sv->groups.tree.dir_fd >= 0 && s->proc.leader &&
        !cgroup_service_holds(s->name, s->proc.leader))
        say(s->sv, LOG_LEVEL_WARN,
            "service %s: its program could not be put into its control group: limits do not hold",
            s->name);
}

void service_group_kill(struct service *s)
{
    int fd = open_group(s);
    if (fd < 0)
        return;
    (void)cgroup_kill(fd);
    (void)close(fd);
}

/* Only upwards or with room to spare: the kernel would hold us up while it looks for pages to take
 * away. */
void service_group_changed(struct service *s)
{
    uint64_t used = 0, max = s->cfg->memory_max;
    int fd = s->started_ms ? open_group(s) : -1;
    if (fd < 0)
        return;
    (void)cgroup_read(fd, "memory.current", NULL, &used);
    if (s->sv->groups.tree.memory && (!max || used < max / 100 * 90))
        set_limit(s, fd, "memory.max", max, "memory_max");
    else if (s->sv->groups.tree.memory)
        say(s->sv, LOG_LEVEL_WARN,
            "service %s: has more memory than memory_max allows now; it holds "
            "from its next start on",
            s->name);
    (void)close(fd);
}

void service_group_remove(struct service *s)
{
    if (s->group.watch > 0)
        (void)inotify_rm_watch(s->sv->groups.inotify.fd, s->group.watch);
    cgroup_service_remove(&s->sv->groups.tree, s->name);
}

/* --- how it ended --- */

static bool recent(uint64_t ms)
{
    return ms && clock_mono_ms() - ms <= OOM_BELIEVED_MS;
}

/* Did the kernel kill some of it? */
static bool was_oom(struct service *s)
{
    struct groups *g = &s->sv->groups;
    if (g->tree.memory) {
        int fd = open_group(s);
        if (fd >= 0)
            look_at_group_oom(s, fd);
        if (fd >= 0)
            (void)close(fd);
        return recent(s->group.oom_ms);
    }
    look_at_oom(s->sv);
    if (!g->oom_unclaimed || !recent(g->oom_ms)) {
        g->oom_unclaimed = 0;
        return false;
    }
    g->oom_unclaimed--;
    s->group.oom_kills++;
    return true;
}

void service_end_text(struct service *s, int status, char *out, size_t size)
{
    char text[PROC_STATUS_SIZE], max[24];
    const struct groups *g = &s->sv->groups;
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    bool by_shell = WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGKILL;
    (void)proc_status_text(status, text);
    (void)snprintf(out, size, "%s", text);
    if (s->orderly || (!killed && !by_shell))
        return;
    bool oom = was_oom(s);
    if (oom && killed && s->group.oom_by_own_limit)
        (void)snprintf(out, size, "killed by the kernel, out of memory (memory_max %s)",
                       memory_text(s->cfg->memory_max, max));
    else if (oom && killed)
        (void)snprintf(out, size, "killed by the kernel, out of memory");
    else if (oom)
        (void)snprintf(out, size, "%s, what it ran was killed by the kernel, out of memory", text);
    else if (killed && !g->oom_known)
        (void)snprintf(out, size, "%s, perhaps out of memory", text);
    s->group.oom_ms = 0;
}

/* --- the whole --- */

void groups_init(struct supervisor *sv)
{
    struct groups *g = &sv->groups;
    *g = (struct groups){ .tree = CGROUP_TREE_NONE };
    g->inotify = (struct source){ .fd = -1, .fn = on_inotify, .arg = sv };
    g->pids_timer = (struct timer){ .fn = on_pids_timer, .arg = sv };
    memory_init(sv);
}

void groups_adopt(struct supervisor *sv, uint64_t oom_count, uint64_t oom_kills)
{
    sv->groups.adopted = true;
    sv->groups.oom_count = oom_count;
    sv->groups.oom_kills = oom_kills;
}

static void watch_container(struct supervisor *sv)
{
    struct groups *g = &sv->groups;
    g->inotify.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (g->inotify.fd < 0 || loop_add(&sv->loop, &g->inotify, EPOLLIN) < 0) {
        loop_close(&sv->loop, &g->inotify);
        return;
    }
    int n = watch(g, g->place.v2, "memory.events") + watch(g, g->place.v2, "pids.events") +
            watch(g, g->place.v1_pids, "pids.events");
    if (!n && g->tree.dir_fd < 0)
        loop_close(&sv->loop, &g->inotify);
}

void groups_look(struct supervisor *sv)
{
    int r = cgroup_place_find(&sv->groups.place);
    if (r < 0)
        say(sv, LOG_LEVEL_WARN, "control groups cannot be looked up: %s", strerror(-r));
}

void groups_begin(struct supervisor *sv)
{
    struct groups *g = &sv->groups;
    if (sv->plan && sv->plan->plan.header->cgroup == PLAN_CGROUP_OFF)
        (void)snprintf(g->tree.why, sizeof g->tree.why, "cgroup is off in the configuration");
    else
        cgroup_tree_open(&g->tree, &g->place, sv->is_pid1);
    if (g->tree.dir_fd >= 0)
        say(sv, LOG_LEVEL_INFO, "a control group for each service%s%s%s%s%s",
            g->tree.memory ? ", with memory.max" : "", g->tree.pids ? ", with pids.max" : "",
            *g->tree.why ? " (" : "", g->tree.why, *g->tree.why ? ")" : "");
    else
        say(sv, LOG_LEVEL_INFO,
            "no control groups for services: %s; they are followed by the "
            "process tree",
            g->tree.why);
    uint64_t now = 0;
    g->oom_known = read_oom_count(g, &now) == 0;
    if (!g->adopted || g->oom_count > now)
        g->oom_count = now;
    look_at_oom(sv);
    watch_container(sv);
    look_at_pids(sv);
    for (struct service *s = sv->services; s; s = s->next)
        resume(s);
}

void groups_tick(struct supervisor *sv)
{
    struct groups *g = &sv->groups;
    uint64_t now = clock_mono_ms();
    if (now - g->looked_ms < LOOK_MS || sv->phase == PHASE_BOOT)
        return;
    g->looked_ms = now;
    look_at_oom(sv);
    if (g->pids_max)
        look_at_pids(sv);
}

void groups_release(struct supervisor *sv)
{
    for (struct service *s = sv->services; s; s = s->next)
        service_group_remove(s);
    loop_close(&sv->loop, &sv->groups.inotify);
    cgroup_tree_release(&sv->groups.tree);
}

void groups_status(struct jsonw *w, const struct supervisor *sv)
{
    const struct groups *g = &sv->groups;
    jsonw_object(w, "cgroup");
    jsonw_bool(w, "services", g->tree.dir_fd >= 0);
    jsonw_bool(w, "kill", g->tree.kill);
    jsonw_bool(w, "memory", g->tree.memory);
    jsonw_bool(w, "pids", g->tree.pids);
    jsonw_str(w, "detail", g->tree.why);
    jsonw_bool(w, "oom_known", g->oom_known);
    jsonw_uint(w, "oom_kills", g->oom_kills);
    jsonw_uint(w, "pids_current", g->pids_max ? g->pids_now : 0);
    jsonw_uint(w, "pids_max", g->pids_max);
    jsonw_object_end(w);
}
