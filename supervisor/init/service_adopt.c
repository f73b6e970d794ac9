/* Services over an exec of PID 1 (crash.h): what is kept of each, and how it is taken up again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "supervisor/init/crash.h"
#include "supervisor/init/supervisor.h"

/* For a service whose time to start again is not known. */
#define BACKOFF_LOST_MS 1000

struct saved_check {
    uint32_t failures;
    bool reported, last_ok;
    uint64_t last_ms;
    char reason[SERVICE_REASON_MAX];
};

struct saved_service {
    char name[SERVICE_NAME_MAX];
    enum service_state state;
    enum service_then then;
    struct log_fds log;
    struct saved_proc proc;
    uint64_t timer_due_ms, started_ms, stop_began_ms;
    uint32_t grace_ms, hook_ms, restarts;
    bool signalled, hasty, orderly, gave_up, reloading, says_stopping, confirmed;
    uint32_t watchdog_ms;
    uint64_t watchdog_due_ms;
    int secrets_fd;
    uint64_t secrets_due_ms;
    uint64_t oom_count, limit_count, oom_kills, refused;
    char said[NOTIFY_STATUS_MAX];
    char last_exit[sizeof((struct service *)NULL)->last_exit];
    int last_code;
    char reason[SERVICE_REASON_MAX];
    struct backoff backoff;
    struct saved_check ready, health;
};

/* --- in the handler --- */

static void save_check(struct saved_check *to, const struct service_check *from)
{
    to->failures = from->failures;
    to->reported = from->reported;
    to->last_ok = from->last_ok;
    to->last_ms = from->last_ms;
    memcpy(to->reason, from->reason, sizeof to->reason);
}

/* What is read and not yet written: unfinished lines, mostly. */
static void save_line(const struct log_stream *s, bool err, int fd)
{
    const bool head[2] = { err, s->split };
    if (s->line.len > s->done || s->split)
        crash_put2(fd, CRASH_LINE, head, sizeof head, s->line.data + s->done,
                   s->line.len - s->done);
}

static void save_service(const struct service *s, int fd)
{
    static struct saved_service r; /* not on the small stack */
    memcpy(r.name, s->name, sizeof r.name);
    r.state = s->state;
    r.then = s->then;
    log_channel_save(&s->log, &r.log);
    proc_save(&s->proc, &r.proc);
    r.timer_due_ms = s->timer.due_ms;
    r.started_ms = s->started_ms;
    r.stop_began_ms = s->stop_began_ms;
    r.grace_ms = s->grace_ms;
    r.hook_ms = s->hook_ms;
    r.restarts = s->restarts;
    r.signalled = s->signalled;
    r.hasty = s->hasty;
    r.orderly = s->orderly;
    r.gave_up = s->gave_up;
    r.reloading = s->reloading;
    r.says_stopping = s->says_stopping;
    r.confirmed = s->confirmed;
    r.watchdog_ms = s->watchdog_ms;
    r.watchdog_due_ms = s->watchdog.due_ms;
    r.secrets_fd = s->secrets_fd;
    r.secrets_due_ms = s->secrets_timer.due_ms;
    r.oom_count = s->group.oom_count;
    r.limit_count = s->group.limit_count;
    r.oom_kills = s->group.oom_kills;
    r.refused = s->group.refused;
    memcpy(r.said, s->said, sizeof r.said);
    memcpy(r.last_exit, s->last_exit, sizeof r.last_exit);
    r.last_code = s->last_code;
    memcpy(r.reason, s->reason, sizeof r.reason);
    r.backoff = s->backoff;
    save_check(&r.ready, &s->ready);
    save_check(&r.health, &s->health);
    crash_keep_fd(r.secrets_fd, true);
    crash_keep_fd(r.proc.sock, true);
    for (size_t i = 0; i < ARRAY_SIZE(r.log.fds); i++)
        crash_keep_fd(r.log.fds[i], true);
    crash_put(fd, CRASH_SERVICE, &r, sizeof r);
    save_line(&s->log.out, false, fd);
    save_line(&s->log.err, true, fd);
    for (size_t i = 0; i < SERVICE_NOTES_MAX; i++)
        if (s->notes[i].key)
            crash_put2(fd, CRASH_NOTE, s->notes[i].key, strlen(s->notes[i].key) + 1,
                       s->notes[i].text, strlen(s->notes[i].text));
}

/* One that is no longer configured is not kept: its guard finds us gone and ends it. */
void services_save(const struct supervisor *sv, int fd)
{
    unsigned n = 0;
    for (const struct service *s = sv->services; s && n < 1000; s = s->next, n++)
        if (!s->removed)
            save_service(s, fd);
}

/* --- in the next image --- */

static void adopt_check(struct service_check *to, const struct saved_check *from)
{
    to->failures = from->failures;
    to->reported = from->reported;
    to->last_ok = from->last_ok;
    to->last_ms = from->last_ms;
    memcpy(to->reason, from->reason, sizeof to->reason);
    to->reason[sizeof to->reason - 1] = '\0';
}

static void adopt(struct service *s, const struct saved_service *r)
{
    s->state = (unsigned)r->state < SERVICE_STATE_MAX ? r->state : SERVICE_STOPPED;
    s->then = r->then;
    s->started_ms = r->started_ms;
    s->stop_began_ms = r->stop_began_ms;
    s->grace_ms = r->grace_ms;
    s->hook_ms = r->hook_ms;
    s->restarts = r->restarts;
    s->signalled = r->signalled;
    s->hasty = r->hasty;
    s->orderly = r->orderly;
    s->gave_up = r->gave_up;
    s->reloading = r->reloading;
    s->says_stopping = r->says_stopping;
    s->confirmed = r->confirmed;
    s->watchdog_ms = r->watchdog_ms;
    if (r->watchdog_due_ms)
        service_watchdog_arm(s); /* the whole time: what it said meanwhile waits in the socket */
    s->secrets_fd = r->secrets_fd;
    crash_keep_fd(s->secrets_fd, false);
    if (s->secrets_fd >= 0 && r->secrets_due_ms)
        timer_set_at(&s->sv->loop, &s->secrets_timer, r->secrets_due_ms);
    s->group.oom_count = r->oom_count;
    s->group.limit_count = r->limit_count;
    s->group.oom_kills = r->oom_kills;
    s->group.refused = r->refused;
    memcpy(s->said, r->said, sizeof s->said);
    s->said[sizeof s->said - 1] = '\0';
    memcpy(s->last_exit, r->last_exit, sizeof s->last_exit);
    s->last_exit[sizeof s->last_exit - 1] = '\0';
    s->last_code = r->last_code;
    memcpy(s->reason, r->reason, sizeof s->reason);
    s->reason[sizeof s->reason - 1] = '\0';
    s->backoff = r->backoff;
    adopt_check(&s->ready, &r->ready);
    adopt_check(&s->health, &r->health);
    s->log.pid = s->started_ms ? (int)r->proc.leader : 0;
    if (r->timer_due_ms)
        timer_set_at(&s->sv->loop, &s->timer, r->timer_due_ms);
}

/* The one whose record came last; NULL: it was let go. Its notes and lines come behind it. */
static struct service *latest;

/* Its guard finds us gone. */
static void let_go(struct supervisor *sv, const struct saved_service *r, const char *why)
{
    say(sv, LOG_LEVEL_WARN, "service %s: %s, ended", r->name, why);
    if (r->secrets_fd >= 0) {
        (void)secret_pipe_drain(r->secrets_fd);
        (void)close(r->secrets_fd);
    }
    if (r->proc.sock >= 0)
        (void)close(r->proc.sock);
    for (size_t i = 0; i < ARRAY_SIZE(r->log.fds); i++)
        if (r->log.fds[i] >= 0)
            (void)close(r->log.fds[i]);
}

int service_adopt(struct supervisor *sv, const void *data, size_t len)
{
    static struct saved_service r;
    if (len != sizeof r)
        return -EBADMSG;
    memcpy(&r, data, sizeof r);
    r.name[sizeof r.name - 1] = '\0';
    int index = sv->plan ? plan_service_index(&sv->plan->plan, r.name) : -1;
    struct service *s = index < 0 ? NULL : service_new(sv, sv->plan, (uint32_t)index, &r.log);
    latest = s;
    if (!s) {
        /* No longer: the fault came between a new plan and the end of what it takes away. */
        let_go(sv, &r, index < 0 && sv->plan ? "no longer in the configuration" : "out of memory");
        return 0;
    }
    service_append(sv, s);
    adopt(s, &r);
    int e = proc_adopt(&s->proc, &r.proc);
    if (e < 0)
        say(sv, LOG_LEVEL_WARN, "service %s: its guard is heard when it ends only: %s", s->name,
            strerror(-e));
    return 0;
}

void service_adopt_line(const char *data, size_t len)
{
    struct service *s = latest;
    bool head[2];
    if (!s || len < sizeof head)
        return;
    memcpy(head, data, sizeof head);
    log_channel_resume(&s->log, head[0], head[1], data + sizeof head, len - sizeof head);
}

void service_adopt_note(const char *data, size_t len)
{
    struct service *s = latest;
    const char *nul = memchr(data, '\0', len);
    if (!s || !nul)
        return;
    size_t key = (size_t)(nul - data) + 1;
    for (size_t i = 0; i < SERVICE_NOTES_MAX; i++) {
        if (s->notes[i].key)
            continue;
        s->notes[i].key = strdup(data);
        s->notes[i].text = strndup(data + key, len - key);
        if (!s->notes[i].key || !s->notes[i].text) {
            free(s->notes[i].key);
            free(s->notes[i].text);
            s->notes[i] = (struct service_note){ 0 };
        }
        return;
    }
}

/* Whoever was stopped or has ended has a reason for it. */
static bool never_started(const struct service *s)
{
    return s->state == SERVICE_STOPPED && !*s->reason && !*s->last_exit;
}

static bool runs(enum service_state state)
{
    return state == SERVICE_STARTING || state == SERVICE_RUNNING || state == SERVICE_READY ||
           state == SERVICE_UNHEALTHY || state == SERVICE_STOPPING;
}

/* The fault may have come between two steps that belong together. */
static void settle(struct service *s)
{
    proc_check(&s->proc);
    if (runs(s->state) && !proc_active(&s->proc)) {
        (void)snprintf(s->last_exit, sizeof s->last_exit, "lost in a fault of PID 1");
        service_event(s, EV_ENDED, "");
    } else if (s->state == SERVICE_STOPPING && !s->signalled) {
        service_hook_lost(s);
    } else if (runs(s->state) && s->state != SERVICE_STOPPING) {
        service_checks_resume(s);
    } else if (s->state == SERVICE_BACKOFF && !s->timer.due_ms) {
        timer_set(&s->sv->loop, &s->timer, BACKOFF_LOST_MS);
    } else if (s->sv->phase == PHASE_RUNNING && never_started(s)) {
        service_event(s, EV_START, "");
    }
}

void services_adopted(struct supervisor *sv)
{
    groups_look(sv);
    groups_begin(sv);
    if (sv->phase == PHASE_RUNNING)
        services_complete(sv); /* the fault may have come before one of them was made */
    for (struct service *s = sv->services; s; s = s->next)
        settle(s);
    reaper_collect(&sv->reaper);
    sv->poke = true;
    verdict_update(sv);
}
