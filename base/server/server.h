/* HTTP/1.1 and WebSocket server on libuv. Used by the gateway and by codev-probes. Requests arrive
 * whole (body included, bounded); answers are whole or a stream of chunks. HTTP is read by our own
 * strict parser (head.h); accepted WebSocket upgrades go on in libwebsockets (base/ws). */
#pragma once

#include "base/core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct server;
struct server_request; /* one HTTP request that waits for its answer */
struct server_ws;      /* one WebSocket connection */

enum server_method {
    SERVER_GET,
    SERVER_HEAD,
    SERVER_POST,
    SERVER_PUT,
    SERVER_PATCH,
    SERVER_DELETE,
    SERVER_OPTIONS,
    SERVER_METHOD_OTHER,
    SERVER_METHOD_MAX,
};

/* Called with a whole request. The handler answers now or later with server_reply() or
 * server_stream_start(), exactly once; until then `r` stays valid, unless on_gone is called. */
typedef void server_request_fn(void *data, struct server_request *r);

/* WebSocket life. `on_open` sees the upgrade request through the server_ws_* getters and returns
 * 0 to accept or an HTTP status (401, 403, 404, 503) to refuse. A refused one gets no on_close. */
struct server_ws_ops {
    int (*on_open)(void *data, struct server_ws *ws);
    /* One whole message (fragments are joined). NUL-terminated. */
    void (*on_message)(void *data, struct server_ws *ws, const char *msg, size_t len, bool binary);
    void (*on_close)(void *data, struct server_ws *ws);
};

struct server_options {
    uv_loop_t *loop;
    const char *listen;          /* "0.0.0.0", "127.0.0.1", "::" */
    uint16_t port;               /* 0: any, see server_port() */
    size_t max_body;             /* bytes of a request body; more: 413. 0: 1 MiB */
    size_t max_message;          /* bytes of a WebSocket message; more: close code 1009. 0: 1 MiB */
    unsigned max_connections;    /* 0: 1024 */
    uint64_t request_timeout_ms; /* header and body must have arrived by then: 408. 0: 10 s */
    uint64_t stall_ms;   /* a client that reads nothing of an answer for so long is gone. 0: 30 s */
    uint64_t ws_ping_ms; /* PING every so often, gone after three unanswered. 0: 20 s */
    server_request_fn *on_request;
    const char *ws_path; /* for people; every upgrade request goes through ws.on_open */
    struct server_ws_ops ws;
    void *data;
};

/* Binds and listens. -EADDRINUSE and the like with `e`. */
int server_new(struct server **ret, const struct server_options *options, struct error *e);
uint16_t server_port(const struct server *s);
/* Stops accepting and closes all, from within calling on_gone of the requests that wait and
 * on_close of the WebSockets, and nothing after; frees in the loop: run the loop until it is done.
 */
void server_free(struct server *s);

/* ---- a request. Strings live as long as the request. ---- */
enum server_method server_request_method(const struct server_request *r);
const char *server_request_path(const struct server_request *r); /* decoded, without the query */
/* Decoded value of a query parameter, NULL if absent. */
const char *server_request_query(struct server_request *r, const char *name);
/* A header by lower-case name ("authorization", "host", "origin", "cookie", "accept",
 * "content-type", "last-event-id", "x-request-id", "traceparent", "sec-fetch-site"); NULL if
 * absent. */
const char *server_request_header(struct server_request *r, const char *name);
const char *server_request_body(const struct server_request *r, size_t *ret_len);
const char *server_request_peer(const struct server_request *r); /* numeric address */
/* Told when the client goes away before the answer (or during a stream); one that only ends its
 * sending side counts as gone. After it, `r` is gone. Without an on_gone, `r` stays valid and its
 * answer finds nobody. */
void server_request_on_gone(struct server_request *r, void (*fn)(void *data), void *data);

/* Answers and ends. `headers`: NULL-terminated "Name: value" lines beyond content-type and
 * content-length, may be NULL. Body is copied. HEAD gets no body. `r` is gone after. */
void server_reply(struct server_request *r, int status, const char *content_type,
                  const char *const *headers, const void *body, size_t len);

/* Begins a streamed answer (SSE). -errno on failure: the request is then answered 500 and gone. */
int server_stream_start(struct server_request *r, int status, const char *content_type,
                        const char *const *headers);
/* Queues bytes, copied. -ENOBUFS when more than `SERVER_STREAM_QUEUE_MAX` wait: the peer does not
 * read; the caller should end it. */
#define SERVER_STREAM_QUEUE_MAX ((size_t)1 << 20)
int server_stream_write(struct server_request *r, const void *data, size_t len);
/* Ends it when all is written. `r` is gone after; on_gone is not called. */
void server_stream_end(struct server_request *r);

/* ---- a WebSocket connection ---- */
const char *server_ws_path(struct server_ws *ws);
const char *server_ws_header(struct server_ws *ws, const char *name); /* of the upgrade request */
const char *server_ws_query(struct server_ws *ws, const char *name);  /* likewise, decoded */
const char *server_ws_peer(struct server_ws *ws);
void server_ws_set_data(struct server_ws *ws, void *data); /* for the user, NULL at first */
void *server_ws_data(struct server_ws *ws);
/* Queues one text message, copied. -ENOBUFS over 4 MiB waiting. */
int server_ws_send(struct server_ws *ws, const char *text, size_t len);
/* Sends what is queued, then a close frame. on_close follows. */
void server_ws_close(struct server_ws *ws, uint16_t code, const char *reason);
