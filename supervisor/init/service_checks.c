/* Readiness and health: checks of kind exec are run from here; http and tcp are codev-probes's,
 * which reports them; PID 1 reads no network. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "supervisor/init/supervisor.h"

static const struct plan_check *config(const struct service_check *c)
{
    return c->health ? &c->service->cfg->health : &c->service->cfg->ready;
}

static void schedule(struct service_check *c)
{
    timer_set(&c->service->sv->loop, &c->timer, config(c)->interval_ms);
}

static void on_proc(struct proc *p, enum proc_event event)
{
    struct service_check *c = p->arg;
    char text[PROC_STATUS_SIZE];
    if (event != PROC_GONE)
        return;
    bool outdated = c->outdated, late = c->late;
    c->outdated = c->late = false;
    timer_clear(&c->timer);
    if (!c->service->started_ms || c->service->state == SERVICE_STOPPING ||
        config(c)->kind != PLAN_CHECK_EXEC)
        return;
    /* Without a process for it nothing was checked: that says nothing about the service. */
    if (outdated || (p->failed && p->failure.step == SPAWN_FORK)) {
        schedule(c);
        return;
    }
    bool ok = !late && p->exited && WIFEXITED(p->status) && WEXITSTATUS(p->status) == 0;
    if (late)
        (void)snprintf(text, sizeof text, "no end within %u ms", config(c)->timeout_ms);
    else if (p->failed)
        (void)snprintf(text, sizeof text, "%s", spawn_step_text((enum spawn_step)p->failure.step));
    else
        (void)proc_status_text(p->status, text);
    schedule(c);
    service_report(c->service, c->health, ok, ok ? "" : text);
}

/* The next check is due, or the one at work is overdue. */
static void on_timer(struct timer *t)
{
    struct service_check *c = t->arg;
    if (proc_active(&c->proc)) {
        c->late = true;
        proc_kill(&c->proc);
        return;
    }
    if (config(c)->kind != PLAN_CHECK_EXEC)
        return;
    if (service_spawn(c->service, &c->proc, config(c)->target, c->argv_label, false) < 0)
        schedule(c);
    else
        timer_set(&c->service->sv->loop, &c->timer, config(c)->timeout_ms);
}

static void init(struct service *s, struct service_check *c, bool health)
{
    *c = (struct service_check){ .service = s, .health = health };
    proc_init(&c->proc, &s->sv->loop, &s->sv->reaper);
    c->proc.fn = on_proc;
    c->proc.arg = c;
    c->timer.fn = on_timer;
    c->timer.arg = c;
    (void)snprintf(c->argv_label, sizeof c->argv_label, "%s", health ? "health" : "ready");
}

void service_checks_init(struct service *s)
{
    init(s, &s->ready, false);
    init(s, &s->health, true);
}

static void begin(struct service_check *c)
{
    c->failures = 0;
    c->reported = c->last_ok = false;
    c->last_ms = clock_mono_ms();
    c->reason[0] = '\0';
    if (config(c)->kind == PLAN_CHECK_EXEC)
        schedule(c);
}

void service_checks_start(struct service *s)
{
    begin(&s->ready);
    begin(&s->health);
}

void service_checks_resume(struct service *s)
{
    struct service_check *both[] = { &s->ready, &s->health };
    for (size_t i = 0; i < ARRAY_SIZE(both); i++)
        if (config(both[i])->kind == PLAN_CHECK_EXEC)
            schedule(both[i]);
}

void service_checks_stop(struct service *s)
{
    struct service_check *both[] = { &s->ready, &s->health };
    for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
        timer_clear(&both[i]->timer);
        both[i]->outdated = proc_active(&both[i]->proc); /* nothing about the next start */
        proc_kill(&both[i]->proc);
    }
}

void service_check_changed(struct service *s, bool health)
{
    struct service_check *c = health ? &s->health : &s->ready;
    if (!s->started_ms || s->state == SERVICE_STOPPING)
        return; /* the next start begins with it */
    timer_clear(&c->timer);
    if (proc_active(&c->proc)) {
        c->outdated = true;
        proc_kill(&c->proc);
    }
    begin(c);
    if (health)
        service_event(s, EV_WELL, ""); /* what the old one said is no verdict of the new one */
    else if (config(c)->kind == PLAN_CHECK_NONE)
        service_event(s, EV_CONFIRMED, "");
}

static enum service_event verdict(const struct service_check *c, bool ok, bool enough)
{
    if (c->health)
        return ok ? EV_WELL : enough ? EV_SICK : SERVICE_EVENT_MAX;
    return ok ? EV_CONFIRMED : enough ? EV_UNCONFIRMED : SERVICE_EVENT_MAX;
}

void service_report(struct service *s, bool health, bool ok, const char *reason)
{
    struct service_check *c = health ? &s->health : &s->ready;
    if (!s->started_ms || s->state == SERVICE_STOPPING || config(c)->kind == PLAN_CHECK_NONE)
        return;
    c->reported = true;
    c->last_ok = ok;
    c->last_ms = clock_mono_ms();
    c->failures = ok ? 0 : c->failures + 1;
    (void)snprintf(c->reason, sizeof c->reason, "%s", reason);
    /* Health counts from the first confirmation on: before it, the start timeout judges. */
    if (health && s->state == SERVICE_STARTING) {
        c->failures = 0;
        return;
    }
    uint32_t limit = config(c)->failures ? config(c)->failures : 1;
    char why[SERVICE_REASON_MAX];
    (void)snprintf(why, sizeof why, "%s check failed %u times: %.180s", health ? "health" : "ready",
                   c->failures, reason);
    enum service_event event = verdict(c, ok, c->failures >= limit);
    if (event != SERVICE_EVENT_MAX)
        service_event(s, event, ok ? "" : why);
}

bool service_is_stale(const struct service *s)
{
    const struct plan_check *c = &s->cfg->health;
    if (c->kind != PLAN_CHECK_HTTP && c->kind != PLAN_CHECK_TCP)
        return false;
    uint64_t patience = 3ULL * (c->interval_ms + c->timeout_ms) + 5000;
    return clock_mono_ms() - s->health.last_ms > patience;
}
