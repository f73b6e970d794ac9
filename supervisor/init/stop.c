/* The stop of the whole pod: not ready, drain, tell, services group by group, then everything
 * else, all within one budget. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/jsonw.h"
#include "supervisor/init/stop_budget.h"
#include "supervisor/init/supervisor.h"
#include "supervisor/init/tree.h"

#define STOP_TIMEOUT_MS 25000 /* before a plan says otherwise */
#define SWEEP_ROUND_MS  10
#define SWEEP_MS        1000 /* then the kernel, which ends the namespace with PID 1, does the rest */
#define GROUPS_MAX      64

void termination_log(const char *text)
{
    _cleanup_fd_ int fd =
        open("/dev/termination-log", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0 && fd_write_all(fd, text, strlen(text)) == 0)
        (void)fd_write_all(fd, "\n", 1);
}

static uint64_t left_ms(const struct supervisor *sv)
{
    uint64_t now = clock_mono_ms();
    return sv->stop.deadline_ms > now ? sv->stop.deadline_ms - now : 0;
}

static void sweep(struct supervisor *sv)
{
    if (!sv->stop.sweeping) {
        say(sv, LOG_LEVEL_INFO, "all services have stopped, %llu ms of the budget are left",
            (unsigned long long)left_ms(sv));
        sv->stop.sweeping = true;
        /* Another user's processes, or zombies of a parent outside, would keep us for ever. */
        uint64_t last = clock_mono_ms() + SWEEP_MS;
        sv->stop.deadline_ms = last < sv->stop.deadline_ms ? last : sv->stop.deadline_ms;
    }
    /* As PID 1 "all" is this pod's processes; elsewhere only what is below us. */
    bool gone =
        sv->is_pid1 ? kill(-1, SIGKILL) < 0 && errno == ESRCH : tree_kill_below(getpid()) == 0;
    reaper_collect(&sv->reaper);
    if (gone || !left_ms(sv))
        sv->loop.stop = true;
    else
        timer_set(&sv->loop, &sv->stop.timer, SWEEP_ROUND_MS);
}

/* The groups that still run, in order: what each may need. */
static size_t groups(const struct supervisor *sv, uint32_t *orders, struct stop_need *needs)
{
    size_t n = 0;
    for (const struct service *s = sv->services; s; s = s->next) {
        size_t i = 0;
        if (!service_is_active(s))
            continue;
        while (i < n && orders[i] < s->cfg->stop_order)
            i++;
        if (i == n || orders[i] != s->cfg->stop_order) {
            if (n == GROUPS_MAX && i == n)
                continue;
            if (n == GROUPS_MAX)
                n--; /* the latest one comes in again when its turn is near */
            memmove(orders + i + 1, orders + i, (n - i) * sizeof *orders);
            memmove(needs + i + 1, needs + i, (n - i) * sizeof *needs);
            orders[i] = s->cfg->stop_order;
            needs[i] = (struct stop_need){ 0, 0 };
            n++;
        }
        uint32_t hook = s->cfg->pre_stop.argv.count ? s->cfg->pre_stop.timeout_ms : 0;
        needs[i].hook_ms = hook > needs[i].hook_ms ? hook : needs[i].hook_ms;
        needs[i].grace_ms =
            s->cfg->stop_grace_ms > needs[i].grace_ms ? s->cfg->stop_grace_ms : needs[i].grace_ms;
    }
    return n;
}

static void stop_group(struct supervisor *sv, uint32_t order, struct stop_need share)
{
    for (struct service *s = sv->services; s; s = s->next) {
        if (!service_is_active(s) || s->cfg->stop_order != order)
            continue;
        s->hook_ms = s->cfg->pre_stop.timeout_ms < share.hook_ms ? s->cfg->pre_stop.timeout_ms
                                                                 : share.hook_ms;
        s->grace_ms =
            s->cfg->stop_grace_ms < share.grace_ms ? s->cfg->stop_grace_ms : share.grace_ms;
        s->hasty = sv->stop.hasty;
        service_event(s, EV_STOP, "the pod is stopping");
    }
}

void stop_step(struct supervisor *sv)
{
    uint32_t orders[GROUPS_MAX + 1];
    struct stop_need needs[GROUPS_MAX + 1];
    if (sv->phase != PHASE_STOPPING || sv->stop.draining || sv->stop.sweeping)
        return;
    size_t n = groups(sv, orders, needs);
    if (!n) {
        sweep(sv);
        return;
    }
    if (sv->stop.in_group && sv->stop.group == orders[0])
        return;
    sv->stop.in_group = true;
    sv->stop.group = orders[0];
    stop_group(sv, orders[0], stop_share(needs, n, left_ms(sv)));
}

static void announce(struct supervisor *sv)
{
    _cleanup_buf_ struct buf line = BUF_INIT;
    struct jsonw w = JSONW_INIT(&line);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "event", "stopping");
    jsonw_str(&w, "reason", sv->stop.reason);
    jsonw_object_end(&w);
    control_event(&sv->control, &line);
}

static void stop_services(struct supervisor *sv)
{
    sv->stop.draining = false;
    announce(sv);
    for (struct service *s = sv->services; s; s = s->next)
        if (!service_is_active(s))
            service_event(s, EV_STOP, "the pod is stopping");
    /* The last resort: whatever is late, everything is killed while there is time for it. */
    timer_set(&sv->loop, &sv->stop.timer, left_ms(sv) - stop_reserve(left_ms(sv)));
    stop_step(sv);
}

static void kill_all(struct supervisor *sv)
{
    sv->stop.hasty = true;
    for (struct service *s = sv->services; s; s = s->next) {
        s->hasty = true;
        proc_kill(&s->pre_stop.proc);
        proc_kill(&s->post_start.proc);
        proc_kill(&s->proc);
    }
}

static void on_timer(struct timer *t)
{
    struct supervisor *sv = t->arg;
    if (sv->stop.draining) {
        stop_services(sv);
        return;
    }
    if (sv->stop.sweeping || !left_ms(sv)) {
        sweep(sv);
        return;
    }
    say(sv, LOG_LEVEL_WARN, "the stop's budget is nearly over: killing what is left");
    kill_all(sv);
    timer_set(&sv->loop, t, left_ms(sv));
}

void stop_hurry(struct supervisor *sv, const char *reason)
{
    if (sv->phase != PHASE_STOPPING || sv->stop.hasty || sv->stop.sweeping)
        return;
    say(sv, LOG_LEVEL_WARN, "%s once more: no grace any longer", reason);
    kill_all(sv);
    if (sv->stop.draining)
        stop_services(sv);
}

void stop_begin(struct supervisor *sv, int status, const char *reason)
{
    if (sv->phase == PHASE_STOPPING)
        return;
    const struct plan_header *h = sv->plan ? sv->plan->plan.header : NULL;
    uint32_t budget = h && h->stop_timeout_ms ? h->stop_timeout_ms : STOP_TIMEOUT_MS;
    uint32_t drain = h && sv->services ? h->drain_ms : 0;
    bool booting = sv->phase == PHASE_BOOT;
    sv->phase = PHASE_STOPPING;
    sv->stop.status = status;
    sv->stop.deadline_ms = clock_mono_ms() + budget;
    sv->stop.timer = (struct timer){ .fn = on_timer, .arg = sv };
    logs_let_go(&sv->logs);
    (void)snprintf(sv->stop.reason, sizeof sv->stop.reason, "%s", reason);
    say(sv, status ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, "stopping, within %u ms: %s", budget,
        reason);
    if (status)
        termination_log(reason);
    compile_cancel(sv);
    if (booting) /* else it writes the ledger, which may be the last to tell of this boot */
        helper_cancel(&sv->boot_helper);
    helper_cancel(&sv->watch_helper);
    helper_cancel(&sv->config_helper);
    verdict_update(sv);
    sv->stop.draining = true;
    timer_set(&sv->loop, &sv->stop.timer, drain < budget ? drain : budget / 2);
}

void stop_resume(struct supervisor *sv, const struct stop *stop)
{
    uint64_t due = stop->timer.due_ms;
    sv->stop = *stop;
    sv->stop.reason[sizeof sv->stop.reason - 1] = '\0';
    sv->stop.in_group = false; /* the group at work is asked again: its services know */
    sv->stop.timer = (struct timer){ .fn = on_timer, .arg = sv };
    timer_set_at(&sv->loop, &sv->stop.timer, due ? due : sv->stop.deadline_ms);
}
