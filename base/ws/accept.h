/* The server side of WebSocket: takes over a socket whose upgrade request has been read and
 * approved by somebody else (base/server). What comes is the same `struct ws` as a client's. */
#pragma once

#include "base/ws/ws.h"

/* A client that can't connect, only take over: it needs no TLS. At most `max` at once. */
int ws_acceptor_new(struct ws_client **ret, uv_loop_t *loop, unsigned max, struct error *e);

struct ws_accept_options {
    int fd;           /* taken over in any case */
    const char *key;  /* of Sec-WebSocket-Key: 24 characters of base64 */
    const void *rest; /* what was already read after the request's head */
    size_t rest_len;
    size_t max_message; /* as in struct ws_options */
    uint64_t ping_ms;
    struct ws_ops ops;
    void *data;
};

/* Sends the 101 answer and goes on from there. on_open may be called from within, on_close may not.
 * -errno: it has failed and no callback comes. */
int ws_accept(struct ws_client *c, const struct ws_accept_options *options, struct ws **ret);
