/* What the events of a service do: its processes, timers and hooks. The one place that changes a
 * service's state. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/jsonw.h"
#include "supervisor/init/supervisor.h"

#define NO_PROCESS_MS 10 /* the least until another try where no process could be made */

#define MISSING_MS 1000 /* until a service that there was no memory for is made */

static void announce(struct service *s, enum service_state from)
{
    _cleanup_buf_ struct buf line = BUF_INIT;
    struct jsonw w = JSONW_INIT(&line);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "event", "service");
    jsonw_str(&w, "service", s->name);
    jsonw_str(&w, "from", service_state_names[from]);
    jsonw_str(&w, "to", service_state_names[s->state]);
    jsonw_str(&w, "reason", s->reason);
    jsonw_object_end(&w);
    control_event(&s->sv->control, &line);
}

static bool lists_requirement(const struct service *s, const char *name)
{
    for (uint32_t i = 0; i < s->cfg->requires.count; i++)
        if (strcmp(plan_item(&s->block->plan, s->cfg->requires, i), name) == 0)
            return true;
    return false;
}

static void tell_dependents(struct service *s)
{
    char why[SERVICE_REASON_MAX];
    (void)snprintf(why, sizeof why, "requires %s, which is %s", s->name,
                   service_state_names[s->state]);
    for (struct service *d = s->sv->services; d; d = d->next)
        if (d != s && lists_requirement(d, s->name))
            service_event(d, EV_LOST, why);
}

/* What goes as it should is said once: when it is there, and when it is over. */
static enum log_level state_level(const struct service *s, enum service_state from)
{
    static const enum log_level levels[SERVICE_STATE_MAX] = {
        [SERVICE_STOPPED] = LOG_LEVEL_INFO,   [SERVICE_WAITING] = LOG_LEVEL_DEBUG,
        [SERVICE_STARTING] = LOG_LEVEL_DEBUG, [SERVICE_RUNNING] = LOG_LEVEL_DEBUG,
        [SERVICE_READY] = LOG_LEVEL_INFO,     [SERVICE_UNHEALTHY] = LOG_LEVEL_WARN,
        [SERVICE_STOPPING] = LOG_LEVEL_INFO,  [SERVICE_BACKOFF] = LOG_LEVEL_WARN,
        [SERVICE_FAILED] = LOG_LEVEL_ERROR,   [SERVICE_DONE] = LOG_LEVEL_INFO,
    };
    if (s->sv->phase == PHASE_STOPPING && s->state != SERVICE_FAILED)
        return LOG_LEVEL_DEBUG; /* each end is a line of its own there */
    if (from == SERVICE_READY && s->state == SERVICE_RUNNING)
        return LOG_LEVEL_WARN;
    return levels[s->state];
}

static void set_state(struct service *s, enum service_state to, const char *reason)
{
    enum service_state from = s->state;
    bool carried = service_lets_start(from, s->cfg->type, true);
    s->state = to;
    (void)snprintf(s->reason, sizeof s->reason, "%s", reason);
    s->sv->poke = true;
    if (from == to)
        return;
    say(s->sv, state_level(s, from), "service %s: %s -> %s%s%s", s->name, service_state_names[from],
        service_state_names[to], *reason ? ": " : "", reason);
    announce(s, from);
    if (s->sv->phase != PHASE_STOPPING && carried && !service_lets_start(to, s->cfg->type, true))
        tell_dependents(s);
    verdict_update(s->sv);
}

static uint32_t random_bits(void)
{
    uint32_t r = 0;
    if (getrandom(&r, sizeof r, GRND_NONBLOCK) < 0)
        r = (uint32_t)clock_mono_us();
    return r;
}

/* --- hooks --- */

static void send_stop_signal(struct service *s)
{
    s->signalled = true;
    if (s->hasty || !s->grace_ms) {
        proc_kill(&s->proc);
        return;
    }
    proc_stop(&s->proc, (int)s->cfg->stop_signal);
    timer_set(&s->sv->loop, &s->timer, s->grace_ms);
}

void service_hook_lost(struct service *s)
{
    send_stop_signal(s);
}

static void on_hook(struct proc *p, enum proc_event event)
{
    struct service_hook *h = p->arg;
    struct service *s = h->service;
    char text[PROC_STATUS_SIZE];
    if (event != PROC_GONE)
        return;
    timer_clear(&h->timeout);
    if (p->failed)
        say(s->sv, LOG_LEVEL_WARN, "service %s: %s: %s: %s, going on", s->name, h->name,
            spawn_step_text((enum spawn_step)p->failure.step), strerror(p->failure.error));
    else if (!p->exited || p->status != 0)
        say(s->sv, LOG_LEVEL_WARN, "service %s: %s ended with %s, going on", s->name, h->name,
            proc_status_text(p->status, text));
    if (h == &s->pre_stop && s->state == SERVICE_STOPPING && !s->signalled)
        send_stop_signal(s);
}

static void on_hook_timeout(struct timer *t)
{
    struct service_hook *h = t->arg;
    say(h->service->sv, LOG_LEVEL_WARN, "service %s: %s took too long, killed", h->service->name,
        h->name);
    proc_kill(&h->proc);
}

/* True when it runs now. */
static bool run_hook(struct service *s, struct service_hook *h, const struct plan_hook *cfg,
                     uint32_t timeout_ms)
{
    if (!cfg->argv.count || !timeout_ms || proc_active(&h->proc))
        return false;
    int r = service_spawn(s, &h->proc, cfg->argv, h->name, true);
    if (r < 0) {
        say(s->sv, LOG_LEVEL_WARN, "service %s: cannot run %s: %s, going on", s->name, h->name,
            strerror(-r));
        return false;
    }
    timer_set(&s->sv->loop, &h->timeout, timeout_ms);
    return true;
}

static void hook_init(struct service *s, struct service_hook *h, const char *name)
{
    *h = (struct service_hook){ .service = s, .name = name };
    proc_init(&h->proc, &s->sv->loop, &s->sv->reaper);
    h->proc.fn = on_hook;
    h->proc.arg = h;
    h->timeout.fn = on_hook_timeout;
    h->timeout.arg = h;
}

/* What is due once in a life: when it is ready for the first time. */
static void on_confirmed(struct service *s)
{
    if (s->confirmed)
        return;
    s->confirmed = true;
    service_watchdog_arm(s);
    service_secrets_watch(s);
    (void)run_hook(s, &s->post_start, &s->cfg->post_start, s->cfg->post_start.timeout_ms);
}

/* --- ends --- */

static void give_up(struct service *s, const char *reason)
{
    bool ends_pod = s->cfg->critical || s->cfg->limit_then == PLAN_THEN_EXIT;
    s->gave_up = true;
    set_state(s, SERVICE_FAILED, reason);
    if (!ends_pod || s->sv->phase == PHASE_STOPPING)
        return;
    char why[SERVICE_REASON_MAX + SERVICE_NAME_MAX + 32];
    (void)snprintf(why, sizeof why, "service %s gave up: %s", s->name, reason);
    stop_begin(s->sv, s->last_code ? s->last_code : 1, why);
}

static void start_again(struct service *s, const char *reason, uint64_t up_ms, bool counts)
{
    char why[SERVICE_REASON_MAX];
    uint64_t delay = backoff_delay(&s->backoff, s->cfg, up_ms, random_bits());
    if (!counts && delay < NO_PROCESS_MS)
        delay = NO_PROCESS_MS;
    if (counts && backoff_over_limit(&s->backoff, s->cfg, clock_mono_ms())) {
        (void)snprintf(why, sizeof why, "%.200s (%u restarts within %u s)", reason,
                       s->cfg->limit_count, s->cfg->limit_window_ms / 1000);
        give_up(s, why);
        return;
    }
    s->restarts++;
    (void)snprintf(why, sizeof why, "%.200s; starts again in %llu ms", reason,
                   (unsigned long long)delay);
    /* First: without it the state never ends. */
    if (delay)
        timer_set(&s->sv->loop, &s->timer, delay);
    else
        timer_set_now(&s->sv->loop, &s->timer);
    set_state(s, SERVICE_BACKOFF, why);
}

static void note_end(struct service *s)
{
    const struct proc *p = &s->proc;
    if (p->failed) {
        const struct plan *plan = &s->block->plan;
        const struct spawn_wanted wanted = {
            .command = plan_item(plan, s->cfg->argv, 0),
            .cwd = plan_string(plan, s->cfg->cwd),
            .user = plan_string(plan, s->cfg->user),
        };
        spawn_failure_text(&p->failure, &wanted, s->last_exit, sizeof s->last_exit);
        s->last_code = p->failure.error == ENOENT ? 127 : 126;
    } else if (p->exited && p->unseen) {
        (void)snprintf(s->last_exit, sizeof s->last_exit,
                       "its main process ended; how, only its own parent was told");
        s->last_code = proc_status_code(p->status);
    } else if (p->exited) {
        service_end_text(s, p->status, s->last_exit, sizeof s->last_exit);
        s->last_code = proc_status_code(p->status);
    } else {
        (void)snprintf(s->last_exit, sizeof s->last_exit, "its guard was killed");
        s->last_code = 128 + SIGKILL;
    }
}

static void end_by_policy(struct service *s, const char *reason, uint64_t up_ms, bool success)
{
    if (s->sv->phase == PHASE_STOPPING) {
        set_state(s, SERVICE_STOPPED, reason);
        return;
    }
    switch (service_end_by_policy(s->cfg->type, s->cfg->restart, success)) {
    case END_DONE:
        set_state(s, SERVICE_DONE, "");
        on_confirmed(s);
        break;
    case END_STOPPED:
        set_state(s, SERVICE_STOPPED, reason);
        break;
    case END_AGAIN:
        start_again(s, reason, up_ms, true);
        break;
    case END_FAILED:
        give_up(s, reason);
        break;
    default:
        break;
    }
}

/* Nothing runs any more: what was noted while it ran is over. */
static uint64_t ran(struct service *s)
{
    uint64_t up = s->started_ms ? clock_mono_ms() - s->started_ms : 0;
    log_channel_drain(&s->log);
    s->log.pid = 0;
    s->started_ms = 0;
    timer_clear(&s->timer);
    timer_clear(&s->watchdog);
    service_secrets_back(s);
    service_checks_stop(s);
    if (proc_active(&s->post_start.proc))
        proc_kill(&s->post_start.proc);
    return up;
}

/* --- the actions --- */

static void act_wait(struct service *s, const char *reason)
{
    if (s->state != SERVICE_BACKOFF) {
        backoff_reset(&s->backoff);
        s->gave_up = false;
    }
    timer_clear(&s->timer);
    set_state(s, SERVICE_WAITING, reason);
}

static void act_launch(struct service *s, const char *reason)
{
    s->signalled = s->hasty = s->orderly = false;
    s->then = THEN_STOPPED;
    s->confirmed = false;
    service_notify_begin(s);
    set_state(s, SERVICE_STARTING, reason);
    int r = service_spawn(s, &s->proc, s->cfg->argv, s->name, true);
    if (r < 0) {
        char why[128];
        (void)snprintf(why, sizeof why, "cannot make a process: %s", strerror(-r));
        (void)snprintf(s->last_exit, sizeof s->last_exit, "%.60s", why);
        start_again(s, why, 0, false); /* no fault of the service: never gives up for it */
        return;
    }
    s->started_ms = clock_mono_ms();
    service_checks_start(s);
    if (s->cfg->memory_max)
        memory_watch(s->sv);
    if (s->cfg->start_timeout_ms)
        timer_set(&s->sv->loop, &s->timer, s->cfg->start_timeout_ms);
}

static void act_executed(struct service *s, const char *reason)
{
    if (s->cfg->type == PLAN_TYPE_ONESHOT) {
        set_state(s, SERVICE_RUNNING, reason);
    } else if (s->cfg->ready.kind == PLAN_CHECK_NONE) {
        timer_clear(&s->timer);
        set_state(s, SERVICE_READY, reason);
        on_confirmed(s);
    }
}

static void act_ready(struct service *s, const char *reason)
{
    if (s->cfg->type == PLAN_TYPE_ONESHOT)
        return;
    timer_clear(&s->timer);
    s->health.last_ms = clock_mono_ms();
    set_state(s, SERVICE_READY, reason);
    on_confirmed(s);
}

static void act_unready(struct service *s, const char *reason)
{
    set_state(s, SERVICE_RUNNING, reason);
}

static void act_ended(struct service *s, const char *reason)
{
    uint64_t up = ran(s);
    (void)reason;
    if (s->proc.killed)
        say(s->sv, LOG_LEVEL_WARN, "service %s left %d processes behind, killed", s->name,
            s->proc.killed);
    char why[sizeof s->last_exit];
    memcpy(why, s->last_exit, sizeof why);
    if (s->proc.failed && s->proc.failure.step == SPAWN_FORK && s->sv->phase != PHASE_STOPPING) {
        start_again(s, why, 0, false); /* as in act_launch(): no fault of the service */
        return;
    }
    end_by_policy(s, why, up, s->proc.exited && s->proc.status == 0);
}

static void act_settle(struct service *s, const char *reason)
{
    char why[SERVICE_REASON_MAX];
    uint64_t up = ran(s);
    (void)reason;
    if (proc_active(&s->pre_stop.proc))
        proc_kill(&s->pre_stop.proc);
    say(s->sv, LOG_LEVEL_INFO, "service %s ended after %llu ms: %s%s", s->name,
        (unsigned long long)(clock_mono_ms() - s->stop_began_ms), s->last_exit,
        s->proc.killed ? "; what it left behind was killed" : "");
    memcpy(why, s->reason, sizeof why);
    switch (s->then) {
    case THEN_STOPPED:
        set_state(s, SERVICE_STOPPED, why);
        break;
    case THEN_WAITING:
        s->restarts++;
        set_state(s, SERVICE_WAITING, why);
        break;
    case THEN_CRASHED:
        /* A oneshot that took too long has failed, whatever its status says. */
        end_by_policy(s, why, up, false);
        break;
    default:
        break;
    }
}

static void begin_stop(struct service *s, enum service_then then, const char *reason)
{
    s->then = then;
    s->orderly = true;
    s->stop_began_ms = clock_mono_ms();
    if (s->sv->phase != PHASE_STOPPING) {
        s->grace_ms = s->cfg->stop_grace_ms;
        s->hook_ms = s->cfg->pre_stop.timeout_ms;
    }
    timer_clear(&s->timer);
    timer_clear(&s->watchdog);
    service_checks_stop(s);
    set_state(s, SERVICE_STOPPING, reason);
    if (s->hasty || !run_hook(s, &s->pre_stop, &s->cfg->pre_stop, s->hook_ms))
        send_stop_signal(s);
}

static void act_stop(struct service *s, const char *reason)
{
    begin_stop(s, THEN_STOPPED, reason);
}

static void act_cancel(struct service *s, const char *reason)
{
    timer_clear(&s->timer);
    set_state(s, SERVICE_STOPPED, reason);
}

static void act_restart(struct service *s, const char *reason)
{
    begin_stop(s, THEN_WAITING, reason);
}

static void act_overdue(struct service *s, const char *reason)
{
    char why[SERVICE_REASON_MAX];
    const struct plan_check *c = &s->cfg->ready;
    (void)reason;
    if (s->says_stopping) {
        begin_stop(s, THEN_CRASHED, "it said that it was stopping, and did not end");
        return;
    }
    /* Whether it is ready nobody could say: codev-probes, which would, is away. */
    if ((c->kind == PLAN_CHECK_HTTP || c->kind == PLAN_CHECK_TCP) && !s->ready.reported &&
        s->cfg->type == PLAN_TYPE_DAEMON) {
        (void)snprintf(s->reason, sizeof s->reason,
                       "nobody has checked it yet: does codev-probes run?");
        timer_set(&s->sv->loop, &s->timer, s->cfg->start_timeout_ms);
        return;
    }
    (void)snprintf(why, sizeof why, "not %s within %u ms%s%.150s",
                   s->cfg->type == PLAN_TYPE_ONESHOT ? "done" : "ready", s->cfg->start_timeout_ms,
                   s->ready.reason[0] ? ": " : "", s->ready.reason);
    begin_stop(s, THEN_CRASHED, why);
}

static void act_sick(struct service *s, const char *reason)
{
    if (s->cfg->health.action == PLAN_ACTION_MARK)
        set_state(s, SERVICE_UNHEALTHY, reason);
    else
        begin_stop(s, THEN_CRASHED, reason);
}

static void act_hung(struct service *s, const char *reason)
{
    begin_stop(s, THEN_CRASHED, reason);
}

static void act_kill(struct service *s, const char *reason)
{
    (void)reason;
    say(s->sv, LOG_LEVEL_WARN, "service %s did not stop within its grace of %u ms, killed", s->name,
        s->grace_ms);
    proc_kill(&s->proc);
}

static void shorten(struct service *s, struct timer *t, uint64_t ms)
{
    if (t->due_ms && t->due_ms > clock_mono_ms() + ms)
        timer_set(&s->sv->loop, t, ms);
}

static void act_then_stopped(struct service *s, const char *reason)
{
    (void)reason;
    s->then = THEN_STOPPED;
    if (s->hasty)
        proc_kill(&s->proc);
    if (s->sv->phase != PHASE_STOPPING)
        return;
    /* Its stop began with all the time in the world; now it has its share of the budget. */
    if (s->signalled)
        shorten(s, &s->timer, s->grace_ms);
    else
        shorten(s, &s->pre_stop.timeout, s->hook_ms);
}

static void act_then_waiting(struct service *s, const char *reason)
{
    (void)reason;
    s->then = THEN_WAITING;
}

static void act_none(struct service *s, const char *reason)
{
    (void)s;
    (void)reason;
}

static void (*const actions[SERVICE_ACTION_MAX])(struct service *s, const char *reason) = {
    [ACT_NONE] = act_none,
    [ACT_WAIT] = act_wait,
    [ACT_LAUNCH] = act_launch,
    [ACT_EXECUTED] = act_executed,
    [ACT_READY] = act_ready,
    [ACT_UNREADY] = act_unready,
    [ACT_ENDED] = act_ended,
    [ACT_SETTLE] = act_settle,
    [ACT_STOP] = act_stop,
    [ACT_CANCEL] = act_cancel,
    [ACT_RESTART] = act_restart,
    [ACT_OVERDUE] = act_overdue,
    [ACT_SICK] = act_sick,
    [ACT_WELL] = act_ready,
    [ACT_HUNG] = act_hung,
    [ACT_OVER] = act_hung,
    [ACT_KILL] = act_kill,
    [ACT_THEN_STOPPED] = act_then_stopped,
    [ACT_THEN_WAITING] = act_then_waiting,
};

void service_event(struct service *s, enum service_event event, const char *reason)
{
    actions[service_action(s->state, event)](s, reason);
}

static void on_proc(struct proc *p, enum proc_event event)
{
    struct service *s = p->arg;
    switch (event) {
    case PROC_STARTED:
        service_group_check(s);
        service_event(s, EV_EXECUTED, "");
        break;
    case PROC_FAILED:
    case PROC_EXITED:
        note_end(s);
        break;
    case PROC_GONE:
        if (!p->failed && !p->exited)
            note_end(s);
        service_group_kill(s);
        service_event(s, EV_ENDED, "");
        break;
    default:
        break;
    }
}

/* The program may write before the news of its start is read: both come in one round. */
static void find_pid(struct log_channel *c)
{
    struct service *s = c->arg;
    proc_poll(&s->proc);
    /* One that has ended already wrote them too. */
    c->pid = s->started_ms ? (int)s->proc.last_leader : 0;
}

static void on_timer(struct timer *t)
{
    service_event(t->arg, EV_TIMEOUT, "");
}

/* --- making, finding, waiting --- */

struct service *service_new(struct supervisor *sv, struct plan_block *block, uint32_t index,
                            const struct log_fds *adopted)
{
    struct service *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->sv = sv;
    s->block = plan_block_ref(block);
    s->cfg = &block->plan.services[index];
    (void)snprintf(s->name, sizeof s->name, "%s", plan_string(&block->plan, s->cfg->name));
    proc_init(&s->proc, &sv->loop, &sv->reaper);
    s->proc.fn = on_proc;
    s->proc.arg = s;
    s->timer.fn = on_timer;
    s->timer.arg = s;
    service_notify_init(s);
    service_secrets_init(s);
    hook_init(s, &s->pre_stop, "pre_stop");
    hook_init(s, &s->post_start, "post_start");
    service_checks_init(s);
    int r = log_channel_open(&s->log, &sv->logs, s->name, adopted);
    s->log.find_pid = find_pid;
    s->log.arg = s;
    if (r < 0)
        say(sv, LOG_LEVEL_WARN,
            "service %s: no pipes could be made for its output: %s; tried again", s->name,
            strerror(-r));
    return s;
}

void service_append(struct supervisor *sv, struct service *s)
{
    struct service **at = &sv->services;
    while (*at)
        at = &(*at)->next;
    *at = s;
}

/* True when all are there. */
static bool make_missing(struct supervisor *sv, bool start)
{
    const struct plan *p = &sv->plan->plan;
    bool all = true;
    for (uint32_t i = 0; i < p->header->services; i++) {
        if (service_find(sv, plan_string(p, p->services[i].name)))
            continue;
        struct service *s = service_new(sv, sv->plan, i, NULL);
        all = all && s;
        if (s)
            service_append(sv, s);
        if (s && start)
            service_event(s, EV_START, "there was no memory for it before");
    }
    return all;
}

static void on_missing(struct timer *t)
{
    struct supervisor *sv = t->arg;
    if (sv->phase == PHASE_RUNNING && !make_missing(sv, true))
        timer_set(&sv->loop, t, MISSING_MS);
}

void services_missing(struct supervisor *sv)
{
    say(sv, LOG_LEVEL_ERROR, "out of memory: a service is left out for now");
    sv->missing_timer.fn = on_missing;
    sv->missing_timer.arg = sv;
    timer_set(&sv->loop, &sv->missing_timer, MISSING_MS);
}

void services_complete(struct supervisor *sv)
{
    if (!make_missing(sv, false))
        services_missing(sv);
}

void service_free(struct service *s)
{
    struct timer *timers[] = { &s->secrets_timer,      &s->timer,
                               &s->watchdog,           &s->pre_stop.timeout,
                               &s->post_start.timeout, &s->ready.timer,
                               &s->health.timer };
    struct proc *procs[] = { &s->proc, &s->pre_stop.proc, &s->post_start.proc, &s->ready.proc,
                             &s->health.proc };
    service_secrets_back(s);
    for (size_t i = 0; i < ARRAY_SIZE(timers); i++)
        timer_forget(&s->sv->loop, timers[i]);
    for (size_t i = 0; i < ARRAY_SIZE(procs); i++)
        proc_release(procs[i]);
    for (size_t i = 0; i < SERVICE_NOTES_MAX; i++) {
        free(s->notes[i].key);
        free(s->notes[i].text);
    }
    log_channel_close(&s->log);
    service_group_remove(s);
    plan_block_unref(s->block);
    free(s);
}

struct service *service_find(struct supervisor *sv, const char *name)
{
    for (struct service *s = sv->services; s; s = s->next)
        if (strcmp(s->name, name) == 0)
            return s;
    return NULL;
}

/* The name of the first one that it still has to wait for; NULL: none. */
static const char *waits_for(struct service *s)
{
    const struct plan_list lists[] = { s->cfg->after, s->cfg->requires };
    for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
        for (uint32_t i = 0; i < lists[l].count; i++) {
            const char *name = plan_item(&s->block->plan, lists[l], i);
            const struct service *d = service_find(s->sv, name);
            if (d && d != s && !service_lets_start(d->state, d->cfg->type, l == 1))
                return name;
        }
    }
    return NULL;
}

/* Whatever asks for it: what it would write is in the way of what is to be moved there. */
static bool is_held(const struct service *s)
{
    return *s->sv->hold && s->cfg->secret_readers & SECRET_FOR_OPENCODE;
}

/* A removed service may go when nothing of it is at work. */
static bool may_go(const struct service *s)
{
    return s->removed && s->state == SERVICE_STOPPED && !proc_active(&s->proc) &&
           !proc_active(&s->pre_stop.proc) && !proc_active(&s->post_start.proc) &&
           !proc_active(&s->ready.proc) && !proc_active(&s->health.proc);
}

void services_poke(struct supervisor *sv)
{
    for (struct service *s = sv->services; s; s = s->next) {
        if (s->state != SERVICE_WAITING || sv->phase != PHASE_RUNNING)
            continue;
        const char *name = waits_for(s);
        if (is_held(s))
            (void)snprintf(s->reason, sizeof s->reason, "held back: %s", sv->hold);
        else if (!name)
            service_event(s, EV_DEPS, "");
        else
            (void)snprintf(s->reason, sizeof s->reason, "waits for %s", name);
    }
    for (struct service **at = &sv->services; *at;) {
        struct service *s = *at;
        if (!may_go(s)) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        service_free(s);
    }
}
