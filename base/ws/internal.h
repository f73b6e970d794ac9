/* Private to base/ws: what its files share. */
#pragma once

#include "base/core/buf.h"
#include "base/ws/ws.h"

#include <libwebsockets.h>

struct ws_client {
    struct lws_context *context;
    struct lws_vhost *vhost;
    uv_loop_t *loop;
    uv_timer_t reaper; /* runs the steps of the end */
    struct ws *sockets;
    struct ws *adopting; /* the one that ws_accept() is about to make */
    bool freed;
    bool destroyed; /* libwebsockets' first step is done */
};

enum ws_state {
    WS_RESOLVING,
    WS_CONNECTING,
    WS_OPEN,
    WS_CLOSING, /* ours: the queue, then the close frame, then the peer's */
    WS_DEAD,
};

struct ws_message {
    struct ws_message *next;
    size_t len;
    unsigned char bytes[]; /* LWS_PRE of room, then the text */
};

struct ws {
    struct ws_client *client;
    struct ws *prev, *next;
    struct lws *wsi;
    struct ws_options o; /* `url` is not kept */
    enum ws_state state;
    int refs; /* the timer, and a lookup that runs */
    bool in_callback;
    uv_timer_t timer; /* connect deadline, then pings, then the cut */
    uv_getaddrinfo_t lookup;
    struct addrinfo *addresses, *next_address;
    char *host, *path;
    uint16_t port;
    bool tls;
    struct buf in;
    bool in_binary;
    struct ws_message *out, **out_end;
    size_t queued;
    bool ping_due;
    unsigned unanswered;
    uint64_t cut_at; /* closing: loop time */
    bool close_sent;
    uint16_t close_code;
    char close_reason[124];
};

/* context.c */
int ws_context_new(struct ws_client **ret, uv_loop_t *loop, const char *ca_file, bool tls,
                   unsigned max, struct error *e);

/* socket.c */
extern const struct lws_protocols ws_protocols[];
struct ws *ws_new(struct ws_client *c, const struct ws_options *o);
void ws_unref(struct ws *ws);
/* The one end of every connection. `code` 0: nobody is told. */
void ws_end(struct ws *ws, int code, const char *reason);
void ws_watch(struct ws *ws, uint64_t ms);

/* client.c */
/* Tries the next address; ends `ws` when there is none. */
void ws_connect_next(struct ws *ws, const char *why);
