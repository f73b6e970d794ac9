/* A service: its state, the table that says what each event does in each state, and its history.
 * What a state change costs (processes, timers, hooks) is in service_run.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/init/backoff.h"
#include "supervisor/init/groups.h"
#include "supervisor/init/logs.h"
#include "supervisor/init/notify_message.h"
#include "supervisor/init/proc.h"
#include "supervisor/plan/plan.h"

struct supervisor;

enum service_state {
    SERVICE_STOPPED,   /* nobody wants it to run */
    SERVICE_WAITING,   /* for `after` and `requires` */
    SERVICE_STARTING,  /* it runs, or is about to; not confirmed */
    SERVICE_RUNNING,   /* a oneshot at work; a daemon whose readiness went away again */
    SERVICE_READY,     /* a daemon that is confirmed */
    SERVICE_UNHEALTHY, /* its health check fails and its action is `mark` */
    SERVICE_STOPPING,
    SERVICE_BACKOFF, /* waits for its next start */
    SERVICE_FAILED,  /* gave up */
    SERVICE_DONE,    /* a oneshot that ended well */
    SERVICE_STATE_MAX,
};
extern const char *const service_state_names[SERVICE_STATE_MAX];

enum service_event {
    EV_START,       /* it is wanted */
    EV_DEPS,        /* all that it waits for is there */
    EV_EXECUTED,    /* its command runs */
    EV_CONFIRMED,   /* its readiness check holds, or it has none */
    EV_UNCONFIRMED, /* its readiness check failed often enough */
    EV_ENDED,       /* nothing of it is left */
    EV_TIMEOUT,     /* the state's own time is over */
    EV_STOP,        /* it is not wanted any more */
    EV_RESTART,     /* stop, and start again at once */
    EV_LOST,        /* what it requires went away: stop, and wait for it */
    EV_SICK,        /* its health check failed often enough */
    EV_WELL,        /* its health check holds again */
    EV_HUNG,        /* its watchdog was not fed */
    EV_OVER,        /* it has more memory than it may */
    SERVICE_EVENT_MAX,
};

/* What to do. The table holds one for each state and event. */
enum service_action {
    ACT_NONE,         /* the event means nothing in this state */
    ACT_WAIT,         /* → waiting */
    ACT_LAUNCH,       /* → starting */
    ACT_EXECUTED,     /* oneshot → running; daemon without a check → ready */
    ACT_READY,        /* → ready */
    ACT_UNREADY,      /* → running */
    ACT_ENDED,        /* by policy → done, stopped, backoff, failed */
    ACT_SETTLE,       /* the stop is complete → what was wanted after it */
    ACT_STOP,         /* → stopping, then stopped */
    ACT_CANCEL,       /* → stopped, nothing runs */
    ACT_RESTART,      /* → stopping, then waiting */
    ACT_OVERDUE,      /* did not confirm in time → stopping, then as if it had crashed */
    ACT_SICK,         /* restart: → stopping, then as if it had crashed; mark: → unhealthy */
    ACT_WELL,         /* → ready */
    ACT_HUNG,         /* → stopping, then as if it had crashed */
    ACT_OVER,         /* → stopping, then as if it had crashed */
    ACT_KILL,         /* its grace is over */
    ACT_THEN_STOPPED, /* stopping already: what comes after it changes */
    ACT_THEN_WAITING,
    SERVICE_ACTION_MAX,
};
extern const uint8_t service_actions[SERVICE_STATE_MAX][SERVICE_EVENT_MAX];

/* What follows a stop. */
enum service_then { THEN_STOPPED, THEN_WAITING, THEN_CRASHED };

#define SERVICE_NAME_MAX   64
#define SERVICE_REASON_MAX 256
#define SERVICE_NOTES_MAX  16
#define SERVICE_NOTE_BYTES ((size_t)8 << 10)

struct service_note {
    char *key, *text; /* owned */
};

/* A check that PID 1 runs by itself (kind exec), or that codev-probes reports. */
struct service_check {
    struct service *service;
    bool health;       /* else readiness */
    uint32_t failures; /* in a row */
    bool reported;     /* there was a verdict since the start */
    bool last_ok;
    bool late;     /* the one at work took too long */
    bool outdated; /* the one at work asks what nobody wants to know any more */
    uint64_t last_ms;
    char reason[SERVICE_REASON_MAX];
    struct proc proc;
    struct timer timer; /* the next one is due, or this one is overdue */
    char argv_label[16];
};

/* post_start or pre_stop at work. */
struct service_hook {
    struct service *service;
    const char *name;
    struct proc proc;
    struct timer timeout;
};

struct service {
    struct supervisor *sv;
    char name[SERVICE_NAME_MAX];
    struct plan_block *block; /* the plan that `cfg` points into; a reference */
    const struct plan_service *cfg;
    enum service_state state;
    enum service_then then;
    struct log_channel log;
    struct proc proc;
    struct timer timer; /* start timeout, backoff, grace: the state's */
    struct service_check ready, health;
    struct timer watchdog;
    uint32_t watchdog_ms;         /* 0: none */
    char said[NOTIFY_STATUS_MAX]; /* STATUS= of sd_notify(3) */
    bool reloading, says_stopping;
    int secrets_fd; /* our hold of the pipe with its secrets; -1: none */
    struct timer secrets_timer;
    bool confirmed; /* since this start it has been ready */
    struct service_hook pre_stop, post_start;
    struct service_group group;
    struct backoff backoff;
    struct service_note notes[SERVICE_NOTES_MAX];
    uint64_t started_ms; /* 0: does not run */
    uint64_t stop_began_ms;
    uint32_t grace_ms, hook_ms; /* of this stop */
    bool signalled;             /* the stop signal was sent */
    bool hasty;                 /* kill at once: the second SIGTERM */
    bool orderly;               /* this end was asked for */
    uint32_t restarts;
    char last_exit[200]; /* "" when it has not ended yet */
    int last_code;
    bool gave_up;
    bool removed; /* not in the plan any more: gone when stopped */
    char reason[SERVICE_REASON_MAX];
    struct service *next;
};

/* What an event does; a pure look-up. */
enum service_action service_action(enum service_state state, enum service_event event);

/* Is it confirmed now: ready, or a oneshot done? */
bool service_is_ready(const struct service *s);
/* May those start that come `after` it? `requires`: those that cannot do without it? */
bool service_lets_start(enum service_state state, uint32_t type, bool requires);
/* Does something of it run? */
bool service_is_active(const struct service *s);

/* What follows an end that was not asked for. Pure. */
enum service_end { END_DONE, END_STOPPED, END_AGAIN, END_FAILED };
enum service_end service_end_by_policy(uint32_t type, uint32_t restart, bool success);
