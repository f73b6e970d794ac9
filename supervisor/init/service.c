#include "supervisor/init/service.h"

#include "base/core/cleanup.h"

const char *const service_state_names[SERVICE_STATE_MAX] = {
    [SERVICE_STOPPED] = "stopped",   [SERVICE_WAITING] = "waiting",
    [SERVICE_STARTING] = "starting", [SERVICE_RUNNING] = "running",
    [SERVICE_READY] = "ready",       [SERVICE_UNHEALTHY] = "unhealthy",
    [SERVICE_STOPPING] = "stopping", [SERVICE_BACKOFF] = "backoff",
    [SERVICE_FAILED] = "failed",     [SERVICE_DONE] = "done",
};

/* clang-format off */
const uint8_t service_actions[SERVICE_STATE_MAX][SERVICE_EVENT_MAX] = {
    [SERVICE_STOPPED] = {
        [EV_START] = ACT_WAIT,
        [EV_RESTART] = ACT_WAIT,
    },
    [SERVICE_WAITING] = {
        [EV_DEPS] = ACT_LAUNCH,
        [EV_STOP] = ACT_CANCEL,
    },
    [SERVICE_STARTING] = {
        [EV_EXECUTED] = ACT_EXECUTED,
        [EV_CONFIRMED] = ACT_READY,
        [EV_ENDED] = ACT_ENDED,
        [EV_TIMEOUT] = ACT_OVERDUE,
        [EV_HUNG] = ACT_HUNG, /* it may trigger it itself; time counts from its readiness on */
        [EV_STOP] = ACT_STOP,
        [EV_RESTART] = ACT_RESTART,
        [EV_LOST] = ACT_RESTART,
        [EV_OVER] = ACT_OVER,
    },
    [SERVICE_RUNNING] = {
        [EV_CONFIRMED] = ACT_READY,
        [EV_ENDED] = ACT_ENDED,
        [EV_TIMEOUT] = ACT_OVERDUE,
        [EV_STOP] = ACT_STOP,
        [EV_RESTART] = ACT_RESTART,
        [EV_LOST] = ACT_RESTART,
        [EV_OVER] = ACT_OVER,
        [EV_SICK] = ACT_SICK,
        [EV_HUNG] = ACT_HUNG,
    },
    [SERVICE_READY] = {
        [EV_EXECUTED] = ACT_EXECUTED, /* it was confirmed before the news of its start came */
        [EV_UNCONFIRMED] = ACT_UNREADY,
        [EV_ENDED] = ACT_ENDED,
        [EV_STOP] = ACT_STOP,
        [EV_RESTART] = ACT_RESTART,
        [EV_LOST] = ACT_RESTART,
        [EV_OVER] = ACT_OVER,
        [EV_SICK] = ACT_SICK,
        [EV_HUNG] = ACT_HUNG,
    },
    [SERVICE_UNHEALTHY] = {
        [EV_ENDED] = ACT_ENDED,
        [EV_STOP] = ACT_STOP,
        [EV_RESTART] = ACT_RESTART,
        [EV_LOST] = ACT_RESTART,
        [EV_OVER] = ACT_OVER,
        [EV_WELL] = ACT_WELL,
        [EV_HUNG] = ACT_HUNG,
    },
    [SERVICE_STOPPING] = {
        [EV_START] = ACT_THEN_WAITING,
        [EV_ENDED] = ACT_SETTLE,
        [EV_TIMEOUT] = ACT_KILL,
        [EV_STOP] = ACT_THEN_STOPPED,
        [EV_RESTART] = ACT_THEN_WAITING,
    },
    [SERVICE_BACKOFF] = {
        [EV_START] = ACT_WAIT,
        [EV_TIMEOUT] = ACT_WAIT,
        [EV_STOP] = ACT_CANCEL,
        [EV_RESTART] = ACT_WAIT,
    },
    [SERVICE_FAILED] = {
        [EV_START] = ACT_WAIT,
        [EV_RESTART] = ACT_WAIT,
        [EV_STOP] = ACT_CANCEL,
    },
    [SERVICE_DONE] = {
        [EV_START] = ACT_WAIT,
        [EV_RESTART] = ACT_WAIT,
        [EV_STOP] = ACT_CANCEL,
    },
};
/* clang-format on */

enum service_action service_action(enum service_state state, enum service_event event)
{
    if ((unsigned)state >= SERVICE_STATE_MAX || (unsigned)event >= SERVICE_EVENT_MAX)
        return ACT_NONE;
    return (enum service_action)service_actions[state][event];
}

bool service_is_ready(const struct service *s)
{
    return s->state == SERVICE_READY || s->state == SERVICE_DONE;
}

bool service_is_active(const struct service *s)
{
    return proc_active(&s->proc) || s->state == SERVICE_STOPPING;
}

bool service_lets_start(enum service_state state, uint32_t type, bool requires)
{
    switch (state) {
    case SERVICE_READY:
    case SERVICE_UNHEALTHY:
    case SERVICE_DONE:
        return true;
    case SERVICE_RUNNING: /* a daemon was ready once */
        return type == PLAN_TYPE_DAEMON;
    case SERVICE_STOPPED: /* nothing will come of it: order alone is no reason to wait */
    case SERVICE_FAILED:
        return !requires
        ;
    case SERVICE_WAITING:
    case SERVICE_STARTING:
    case SERVICE_STOPPING:
    case SERVICE_BACKOFF:
    case SERVICE_STATE_MAX:
    default:
        return false;
    }
}

enum service_end service_end_by_policy(uint32_t type, uint32_t restart, bool success)
{
    if (type == PLAN_TYPE_ONESHOT && success)
        return END_DONE;
    if (restart == PLAN_RESTART_ALWAYS || (restart == PLAN_RESTART_ON_FAILURE && !success))
        return END_AGAIN;
    return success ? END_STOPPED : END_FAILED;
}
