/* Private to base/server: what its files share. */
#pragma once

#include "base/core/buf.h"
#include "base/server/head.h"
#include "base/server/server.h"

#include <netinet/in.h>

struct ws;
struct ws_client;

#define SERVER_READ_SIZE   ((size_t)16 << 10)
#define SERVER_IN_MAX      (SERVER_HEAD_MAX + 2 * SERVER_READ_SIZE)
#define SERVER_UNSENT_MAX  ((size_t)256 << 10) /* of answers, before the next request is begun */
#define SERVER_IDLE_MS     75000               /* a kept-alive connection without a request */
#define SERVER_LINGER_MS   2000                /* for the peer to close, when all is said */
#define SERVER_STALL_TICKS 15 /* how often a stalled peer is looked at within its time */
#define SERVER_QUERY_MAX   64

enum conn_state {
    CONN_FRESH,   /* accepted, not a byte yet */
    CONN_IDLE,    /* between two requests */
    CONN_HEAD,    /* part of a head has come */
    CONN_BODY,    /* the head is whole, the body is not */
    CONN_WAITING, /* the handler has the request */
    CONN_STREAM,  /* the handler streams its answer */
    CONN_LINGER,  /* all is said; the peer may close */
    CONN_CLOSING, /* its handles are being closed */
    CONN_MAX,
};

enum chunk_state { CHUNK_SIZE, CHUNK_DATA, CHUNK_DATA_END, CHUNK_LAST };

struct server_param {
    const char *name, *value;
};

struct server_request {
    struct server_conn *conn; /* NULL: the client has gone and nobody asked to be told */
    struct server_head head;
    char *text; /* the head's bytes, which `head` points into */
    struct buf body;
    size_t body_left; /* of a Content-Length, or of the running chunk */
    enum chunk_state chunk;
    char *query; /* a decoded copy, made when first asked for */
    struct server_param params[SERVER_QUERY_MAX];
    size_t param_count;
    void (*gone)(void *data);
    void *gone_data;
    bool chunked; /* the stream is sent in chunks */
    char peer[INET6_ADDRSTRLEN];
};

struct server_conn {
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_shutdown_t shutdown;
    struct server *server;
    struct server_conn *prev, *next;
    struct server_request *request; /* in BODY, WAITING and STREAM */
    struct buf in;
    size_t scanned;  /* bytes of `in` that hold no end of a head */
    size_t accepted; /* bytes ever given to uv_write() */
    size_t sent_seen;
    unsigned stalls;
    enum conn_state state;
    bool keep_alive; /* after the present answer */
    bool http11;     /* the present request */
    bool reading;
    bool processing;
    bool kicked; /* the timer means: go on with what is in `in` */
    int open_handles;
    char peer[INET6_ADDRSTRLEN];
};

struct server {
    struct server_options o;
    uv_tcp_t listener;
    struct server_conn *conns;
    unsigned conn_count;
    struct ws_client *ws; /* NULL: no WebSockets here */
    struct server_ws *sockets;
    unsigned socket_count;
    bool freed;
    uint16_t port;
    int open_handles;
    char read_buffer[SERVER_READ_SIZE];
};

struct server_ws {
    struct server *server; /* NULL: closed, only on_close is left to do */
    struct server_ws *prev, *next;
    struct server_request *request; /* of the upgrade */
    struct ws *ws;                  /* NULL until on_open has accepted */
    struct buf early;               /* sent from within on_open: lines of length + text */
    void *user;
    uint16_t close_early; /* server_ws_close() within on_open */
};

/* conn.c */
void conn_accept(struct server *s);
void conn_close(struct server_conn *c);
/* Queues bytes; takes `data` over (malloc'ed). */
int conn_write(struct server_conn *c, char *data, size_t len);
size_t conn_unsent(const struct server_conn *c);
/* The answer to the present request is written: on to the next, or to the end. */
void conn_answered(struct server_conn *c);
void conn_arm(struct server_conn *c, uint64_t ms);
void conn_watch_stall(struct server_conn *c);
void server_unref(struct server *s);

/* read.c */
void conn_process(struct server_conn *c);

/* reply.c */
/* Answers {"error":{"code","message"}}; the code follows from the status. */
void server_reply_error(struct server_request *r, int status, const char *const *headers,
                        const char *message);
/* Refuses the present request, or what should have become one, and closes. */
void conn_refuse(struct server_conn *c, int status, const char *why);
const char *server_reason(int status);

/* request.c */
void server_request_free(struct server_request *r);

/* websocket.c */
bool server_wants_websocket(const struct server_request *r);
/* Takes the connection's request and descriptor over, or answers it. */
void server_upgrade(struct server_conn *c);
void server_ws_drop_all(struct server *s);
