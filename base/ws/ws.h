/* WebSocket client on libuv, by libwebsockets: Slack's Socket Mode. TLS verified always. The only
 * room that includes libwebsockets.h; the server side is base/ws/accept.h. */
#pragma once

#include "base/core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct ws_client; /* one per loop */
struct ws;        /* one connection */

/* `ca_file` NULL: the system's certificates, else that file's and no others. Proxies that the
 * environment names are not used. */
int ws_client_new(struct ws_client **ret, uv_loop_t *loop, const char *ca_file, struct error *e);
/* Closes all without callbacks; frees in the loop: run the loop until it is done. */
void ws_client_free(struct ws_client *c);

struct ws_ops {
    void (*on_open)(void *data, struct ws *ws);
    /* One whole text message, fragments joined, NUL-terminated. */
    void (*on_message)(void *data, struct ws *ws, const char *msg, size_t len);
    /* A whole binary message. NULL: one closes the connection with 1003. */
    void (*on_binary)(void *data, struct ws *ws, const char *msg, size_t len);
    /* A sign of life without a message: the peer has answered a ping of ours. (The peer's own pings
     * are answered by libwebsockets, which tells nobody.) May be NULL. */
    void (*on_ping)(void *data, struct ws *ws);
    /* Exactly once, also when it could never be opened. `reason` for people. `ws` is gone after.
     * Not called after ws_abandon(). */
    void (*on_close)(void *data, struct ws *ws, int code, const char *reason);
};

struct ws_options {
    const char *url;             /* ws:// or wss:// */
    uint64_t connect_timeout_ms; /* TCP, TLS and upgrade together; 0: 10 s */
    size_t max_message;          /* 0: 4 MiB; more closes with 1009 */
    uint64_t ping_ms; /* our own pings; three unanswered ones end it with 1006. 0: 10 s */
    struct ws_ops ops;
    void *data;
};

/* Begins to connect. -EINVAL for a malformed URL, -ENOMEM; what happens later comes by on_close. */
int ws_open(struct ws_client *c, const struct ws_options *options, struct ws **ret,
            struct error *e);
/* Queues one text message, copied; before on_open too. -ENOBUFS over WS_QUEUE_MAX waiting,
 * -ENOTCONN once it is closing, -ENOMEM. */
#define WS_QUEUE_MAX ((size_t)4 << 20)
int ws_send(struct ws *ws, const char *text, size_t len);
/* Sends what is queued, then the close frame; the TCP connection is cut 1 s later at the latest
 * (Slack does not close it by itself). on_close follows. */
void ws_close(struct ws *ws, uint16_t code);
void ws_close_because(struct ws *ws, uint16_t code, const char *reason);
/* Drops it at once, without callbacks. */
void ws_abandon(struct ws *ws);
