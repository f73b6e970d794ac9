/* The life of the Socket Mode connection as a table: what each event means in each state. Pure.
 * "Next" is a connection on its way, "current" the one that has said hello. A refresh opens the
 * next before the current closes, so that no envelope finds nobody. */
#pragma once

enum sock_state {
    SOCK_DOWN,       /* no connection; a timer runs */
    SOCK_ASKING,     /* apps.connections.open was asked */
    SOCK_JOINING,    /* next is connecting, hello is awaited */
    SOCK_UP,         /* current */
    SOCK_UP_WAITING, /* current is to be replaced; a timer runs */
    SOCK_UP_ASKING,  /* current, and asked for the next */
    SOCK_UP_JOINING, /* current and next */
    SOCK_STOPPED,
    SOCK_STATE_MAX,
};

enum sock_event {
    SOCK_TIMER,
    SOCK_URL,        /* apps.connections.open answered */
    SOCK_URL_FAILED, /* it did not */
    SOCK_HELLO,      /* next is usable */
    SOCK_NEXT_LOST,  /* next ended before its hello */
    SOCK_LOST,       /* current ended, or was silent for too long */
    SOCK_REFRESH,    /* disconnect: warning, refresh_requested; or its announced time is over */
    SOCK_DISABLED,   /* disconnect: link_disabled */
    SOCK_TOO_MANY,   /* disconnect: too_many_websockets */
    SOCK_STOP,
    SOCK_EVENT_MAX,
};

enum sock_action {
    SOCK_DO_NOTHING,
    SOCK_DO_ASK,     /* for a URL: each is good for one connection */
    SOCK_DO_JOIN,    /* open next with it */
    SOCK_DO_PROMOTE, /* next becomes current; the old one closes a little later */
    SOCK_DO_RETRY,   /* timer: back-off with jitter, at least Retry-After */
    SOCK_DO_REST,    /* close all; timer: minutes */
    SOCK_DO_STOP,    /* close all, no timer */
};

struct sock_move {
    enum sock_state to;
    enum sock_action action;
};

struct sock_move sock_table_move(enum sock_state state, enum sock_event event);

const char *sock_state_name(enum sock_state state);
