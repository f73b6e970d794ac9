#include "bridge/gateway/slack/wire/sock_table.h"

#include <stdbool.h>
#include <stddef.h>

struct cell {
    bool listed; /* an event that is not listed changes nothing */
    struct sock_move move;
};

#define GO(to, action)                                                                             \
    {                                                                                              \
        true,                                                                                      \
        {                                                                                          \
            to, action                                                                             \
        }                                                                                          \
    }
#define ENDS                                                                                       \
    [SOCK_DISABLED] = GO(SOCK_DOWN, SOCK_DO_REST), [SOCK_TOO_MANY] = GO(SOCK_DOWN, SOCK_DO_REST),  \
    [SOCK_STOP] = GO(SOCK_STOPPED, SOCK_DO_STOP)

static const struct cell table[SOCK_STATE_MAX][SOCK_EVENT_MAX] = {
    [SOCK_DOWN] = {
        [SOCK_TIMER] = GO(SOCK_ASKING, SOCK_DO_ASK),
        [SOCK_STOP] = GO(SOCK_STOPPED, SOCK_DO_STOP),
    },
    [SOCK_ASKING] = {
        [SOCK_URL] = GO(SOCK_JOINING, SOCK_DO_JOIN),
        [SOCK_URL_FAILED] = GO(SOCK_DOWN, SOCK_DO_RETRY),
        ENDS,
    },
    [SOCK_JOINING] = {
        [SOCK_HELLO] = GO(SOCK_UP, SOCK_DO_PROMOTE),
        [SOCK_NEXT_LOST] = GO(SOCK_DOWN, SOCK_DO_RETRY),
        ENDS,
    },
    [SOCK_UP] = {
        [SOCK_LOST] = GO(SOCK_DOWN, SOCK_DO_RETRY),
        [SOCK_REFRESH] = GO(SOCK_UP_ASKING, SOCK_DO_ASK),
        ENDS,
    },
    [SOCK_UP_WAITING] = {
        [SOCK_TIMER] = GO(SOCK_UP_ASKING, SOCK_DO_ASK),
        [SOCK_LOST] = GO(SOCK_DOWN, SOCK_DO_NOTHING), /* the timer runs already */
        ENDS,
    },
    [SOCK_UP_ASKING] = {
        [SOCK_URL] = GO(SOCK_UP_JOINING, SOCK_DO_JOIN),
        [SOCK_URL_FAILED] = GO(SOCK_UP_WAITING, SOCK_DO_RETRY),
        [SOCK_LOST] = GO(SOCK_ASKING, SOCK_DO_NOTHING),
        ENDS,
    },
    [SOCK_UP_JOINING] = {
        [SOCK_HELLO] = GO(SOCK_UP, SOCK_DO_PROMOTE),
        [SOCK_NEXT_LOST] = GO(SOCK_UP_WAITING, SOCK_DO_RETRY),
        [SOCK_LOST] = GO(SOCK_JOINING, SOCK_DO_NOTHING),
        ENDS,
    },
};

struct sock_move sock_table_move(enum sock_state state, enum sock_event event)
{
    if ((unsigned)state >= SOCK_STATE_MAX || (unsigned)event >= SOCK_EVENT_MAX ||
        !table[state][event].listed)
        return (struct sock_move){ state, SOCK_DO_NOTHING };
    return table[state][event].move;
}

const char *sock_state_name(enum sock_state state)
{
    static const char *const names[SOCK_STATE_MAX] = {
        [SOCK_DOWN] = "down",
        [SOCK_ASKING] = "asking",
        [SOCK_JOINING] = "joining",
        [SOCK_UP] = "up",
        [SOCK_UP_WAITING] = "up, waiting for the next",
        [SOCK_UP_ASKING] = "up, asking for the next",
        [SOCK_UP_JOINING] = "up, joining the next",
        [SOCK_STOPPED] = "stopped",
    };
    return (unsigned)state < SOCK_STATE_MAX ? names[state] : "?";
}
