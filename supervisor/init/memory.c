/* memory_max: how much a service has, looked at now and then. Where its group has a limit the
 * kernel enforces it and this only warns; elsewhere it is what restarts the service. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "supervisor/init/supervisor.h"
#include "supervisor/init/tree.h"

#define LOOK_MS      5000
#define LOOK_NEAR_MS 1000 /* when one is near its limit */
#define OVER_LOOKS   5    /* in a row until it counts: a short peak harms nobody */
#define NEAR_PERCENT 90
#define FINE_PERCENT 80

const char *memory_text(uint64_t bytes, char out[24])
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    size_t i = 0;
    double n = (double)bytes;
    for (; n >= 1024 && i + 1 < ARRAY_SIZE(units); i++)
        n /= 1024;
    (void)snprintf(out, 24, n < 10 && i ? "%.1f %s" : "%.0f %s", n, units[i]);
    return out;
}

enum memory_verdict memory_judge(struct service_group *g, uint64_t used, uint64_t max)
{
    g->memory = used;
    g->over = used > max ? g->over + 1 : 0;
    if (g->over >= OVER_LOOKS)
        return MEMORY_OVER;
    if (used < max / 100 * FINE_PERCENT)
        g->warned = false;
    if (g->warned || used < max / 100 * NEAR_PERCENT)
        return MEMORY_FINE;
    g->warned = true;
    return MEMORY_NEAR;
}

/* Anonymous memory, which nothing but the process's end gives back: what is resident without the
 * pages of files, of which each process of the service would count the same ones again. */
static uint64_t anonymous(pid_t pid)
{
    char path[48], text[128];
    unsigned long long size, resident, shared;
    (void)snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    if (sscanf(text, "%llu %llu %llu", &size, &resident, &shared) != 3 || shared > resident)
        return 0;
    return (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t memory_of_tree(struct tree *t, pid_t root)
{
    uint64_t sum = 0;
    tree_mark(t, root);
    for (size_t i = 0; i < t->count; i++)
        if (t->rows[i].below)
            sum += anonymous(t->rows[i].pid);
    return sum;
}

/* As the kubelet counts: file pages that nobody uses are no need. */
static uint64_t memory_of_group(struct service *s)
{
    uint64_t used = 0, idle = 0;
    int fd = cgroup_service_open(&s->sv->groups.tree, s->name);
    if (fd < 0)
        return 0;
    (void)cgroup_read(fd, "memory.current", NULL, &used);
    (void)cgroup_read(fd, "memory.stat", "inactive_file", &idle);
    (void)close(fd);
    return used > idle ? used - idle : 0;
}

static void act(struct service *s, enum memory_verdict verdict)
{
    char used[24], max[24], why[SERVICE_REASON_MAX];
    (void)memory_text(s->group.memory, used);
    (void)memory_text(s->cfg->memory_max, max);
    if (verdict == MEMORY_NEAR)
        say(s->sv, LOG_LEVEL_WARN,
            "service %s: has %s of memory, near its limit of %s (memory_max)", s->name, used, max);
    if (verdict != MEMORY_OVER || s->sv->groups.tree.memory)
        return;
    (void)snprintf(why, sizeof why, "has %s of memory, over its limit of %s (memory_max)", used,
                   max);
    s->group.over = 0;
    service_event(s, EV_OVER, why);
}

static bool is_limited(const struct service *s)
{
    return s->cfg->memory_max && s->started_ms && s->proc.guard.pid;
}

static void on_timer(struct timer *timer)
{
    struct supervisor *sv = timer->arg;
    __attribute__((cleanup(tree_release))) struct tree t = { 0 };
    bool any = false, near = false;
    if (!sv->groups.tree.memory && tree_read(&t) < 0)
        t = (struct tree){ 0 }; /* no /proc, or no memory: next time */
    for (struct service *s = sv->services; s; s = s->next) {
        if (!is_limited(s))
            continue;
        any = true;
        uint64_t used =
            sv->groups.tree.memory ? memory_of_group(s) : memory_of_tree(&t, s->proc.guard.pid);
        act(s, memory_judge(&s->group, used, s->cfg->memory_max));
        near = near || s->group.warned;
    }
    if (any)
        timer_set(&sv->loop, timer, near ? LOOK_NEAR_MS : LOOK_MS);
}

void memory_init(struct supervisor *sv)
{
    sv->groups.memory_timer = (struct timer){ .fn = on_timer, .arg = sv };
}

void memory_watch(struct supervisor *sv)
{
    if (!sv->groups.memory_timer.due_ms)
        timer_set(&sv->loop, &sv->groups.memory_timer, LOOK_MS);
}
