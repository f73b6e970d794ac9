#include "bridge/gateway/core/table.h"

#include "base/core/cleanup.h"

static const enum request_action table[REQUEST_STATE_MAX][REQUEST_EVENT_MAX] = {
    [REQUEST_PENDING] = {
        [REQUEST_DECIDED] = REQUEST_TAKE_DECISION,
        [REQUEST_REPLIED] = REQUEST_SETTLE_THEIRS,
        [REQUEST_CONFIRMED] = REQUEST_IGNORE,
        [REQUEST_VOIDED] = REQUEST_SETTLE_GONE,
    },
    [REQUEST_DECIDING] = {
        [REQUEST_DECIDED] = REQUEST_REFUSE,
        [REQUEST_REPLIED] = REQUEST_SETTLE_THEIRS,
        [REQUEST_CONFIRMED] = REQUEST_SETTLE_OURS,
        [REQUEST_VOIDED] = REQUEST_SETTLE_GONE,
    },
    [REQUEST_SETTLED] = {
        [REQUEST_DECIDED] = REQUEST_REFUSE,
        [REQUEST_REPLIED] = REQUEST_IGNORE,
        [REQUEST_CONFIRMED] = REQUEST_IGNORE,
        [REQUEST_VOIDED] = REQUEST_IGNORE,
    },
};

static const char *const state_names[] = {
    [REQUEST_PENDING] = "pending",
    [REQUEST_DECIDING] = "deciding",
    [REQUEST_SETTLED] = "settled",
};
_Static_assert(ARRAY_SIZE(state_names) == REQUEST_STATE_MAX, "a name for every state");

static const char *const event_names[] = {
    [REQUEST_DECIDED] = "decided",
    [REQUEST_REPLIED] = "replied",
    [REQUEST_CONFIRMED] = "confirmed",
    [REQUEST_VOIDED] = "voided",
};
_Static_assert(ARRAY_SIZE(event_names) == REQUEST_EVENT_MAX, "a name for every event");

enum request_action request_table(enum request_state state, enum request_event event)
{
    return table[state][event];
}

const char *request_state_name(enum request_state state)
{
    return state_names[state];
}

const char *request_event_name(enum request_event event)
{
    return event_names[event];
}
