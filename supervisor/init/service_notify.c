/* What a service says about itself by sd_notify(3), and its watchdog. */
#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "supervisor/init/supervisor.h"

#define EXTEND_MAX_MS 10800000 /* the longest start_timeout there is, too */

static void on_watchdog(struct timer *t)
{
    struct service *s = t->arg;
    char why[SERVICE_REASON_MAX];
    (void)snprintf(why, sizeof why, "its watchdog: no WATCHDOG=1 within %u ms", s->watchdog_ms);
    service_event(s, EV_HUNG, why);
}

void service_notify_init(struct service *s)
{
    s->watchdog = (struct timer){ .fn = on_watchdog, .arg = s };
}

void service_notify_begin(struct service *s)
{
    s->said[0] = '\0';
    s->reloading = s->says_stopping = false;
    s->watchdog_ms = s->cfg->watchdog_ms;
    timer_clear(&s->watchdog);
}

void service_watchdog_arm(struct service *s)
{
    if (s->watchdog_ms && s->started_ms)
        timer_set(&s->sv->loop, &s->watchdog, s->watchdog_ms);
}

static uint64_t to_ms(uint64_t us, uint64_t max)
{
    uint64_t ms = us / 1000;
    return ms == 0 ? 1 : ms > max ? max : ms;
}

/* The start, or a stop that is not the whole pod's: that has one budget, and no more. */
static void extend(struct service *s, uint64_t ms)
{
    bool starting = s->state == SERVICE_STARTING || s->state == SERVICE_RUNNING;
    bool stopping = s->state == SERVICE_STOPPING && s->signalled;
    if (!s->timer.due_ms || s->sv->phase == PHASE_STOPPING || !(starting || stopping))
        return;
    if (s->timer.due_ms < clock_mono_ms() + ms)
        timer_set(&s->sv->loop, &s->timer, ms);
}

static void take_main_pid(struct service *s, pid_t pid)
{
    if (pid == s->proc.leader)
        return;
    if (notify_owner(s->sv, pid) == s)
        proc_lead(&s->proc, pid);
    else
        say(s->sv, LOG_LEVEL_WARN, "service %s: MAINPID=%d refused: not one of its processes",
            s->name, (int)pid);
}

static void begins_to_stop(struct service *s)
{
    s->says_stopping = true;
    service_event(s, EV_UNCONFIRMED, "it says that it is stopping");
    if (s->state == SERVICE_RUNNING || s->state == SERVICE_STARTING)
        timer_set(&s->sv->loop, &s->timer, s->cfg->stop_grace_ms);
}

static void take_watchdog(struct service *s, const struct notify_message *m)
{
    if (m->watchdog_us)
        s->watchdog_ms = (uint32_t)to_ms(m->watchdog_us, UINT32_MAX);
    if (m->trigger)
        service_event(s, EV_HUNG, "its watchdog: it triggered it itself");
    else if (m->watchdog || (m->watchdog_us && s->watchdog.due_ms))
        service_watchdog_arm(s);
}

void service_notify(struct service *s, const struct notify_message *m)
{
    if (!s->started_ms)
        return;
    if (m->has_status) {
        size_t len = strlen(m->status);
        memcpy(s->said, m->status, len + 1);
        s->said[mask_apply(&s->sv->logs.mask, s->said, len)] = '\0';
    }
    if (m->main_pid)
        take_main_pid(s, m->main_pid);
    if (m->extend_us)
        extend(s, to_ms(m->extend_us, EXTEND_MAX_MS));
    take_watchdog(s, m);
    if (m->reloading)
        s->reloading = true;
    if (m->stopping && !s->says_stopping && s->state != SERVICE_STOPPING)
        begins_to_stop(s);
    if (m->ready) {
        s->reloading = false;
        if (s->cfg->ready.kind == PLAN_CHECK_NOTIFY && !s->says_stopping)
            service_report(s, false, true, "");
    }
}
