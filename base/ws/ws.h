/* WebSocket client on libuv, by libwebsockets: Slack's Socket Mode. TLS verified always. */
#pragma once

#include "base/core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct ws_client; /* one per loop */
struct ws;        /* one connection */

int ws_client_new(struct ws_client **ret, uv_loop_t *loop, const char *ca_file, struct error *e);
/* Closes all without callbacks; frees in the loop: run the loop until it is done. */
void ws_client_free(struct ws_client *c);

struct ws_ops {
    void (*on_open)(void *data, struct ws *ws);
    /* One whole text message, fragments joined, NUL-terminated. */
    void (*on_message)(void *data, struct ws *ws, const char *msg, size_t len);
    /* A ping of the server arrived (the pong is sent by itself): a sign of life. May be NULL. */
    void (*on_ping)(void *data, struct ws *ws);
    /* Exactly once, also when it could never be opened. `reason` for people. `ws` is gone after.
     * Not called after ws_abandon(). */
    void (*on_close)(void *data, struct ws *ws, int code, const char *reason);
};

struct ws_options {
    const char *url;             /* ws:// or wss:// */
    uint64_t connect_timeout_ms; /* TCP, TLS and upgrade together; 0: 10 s */
    size_t max_message;          /* 0: 4 MiB; more closes with 1009 */
    struct ws_ops ops;
    void *data;
};

int ws_open(struct ws_client *c, const struct ws_options *options, struct ws **ret,
            struct error *e);
/* Queues one text message, copied. */
int ws_send(struct ws *ws, const char *text, size_t len);
/* Sends what is queued, then the close frame; the TCP connection is cut 1 s later at the latest
 * (Slack does not close it by itself). on_close follows. */
void ws_close(struct ws *ws, uint16_t code);
/* Drops it at once, without callbacks. */
void ws_abandon(struct ws *ws);
