/* HTTP client on libuv: libcurl's multi interface, driven by the caller's loop. TLS is always
 * verified. The only room that includes curl.h. */
#pragma once

#include "base/core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct http_client;  /* one per loop: connection pool, DNS, timers */
struct http_request; /* one exchange */

/* `ca_file` NULL: SSL_CERT_FILE and SSL_CERT_DIR of the environment, else the system's. 0 or
 * -errno. */
int http_client_new(struct http_client **ret, uv_loop_t *loop, const char *ca_file);
/* Cancels every request without calling back, then frees in the loop: run the loop once more
 * before closing it. */
void http_client_free(struct http_client *c);

struct http_response {
    int error;           /* 0, or negative errno: no answer (-ETIMEDOUT, -ECONNREFUSED, …) */
    const char *message; /* with error: what curl says, for people; else "" */
    int status;          /* 200, 404, … when error is 0 */
    const char *body;    /* NUL-terminated, never NULL; empty for a stream */
    size_t body_len;
    const char *content_type; /* never NULL */
    int64_t retry_after_s;    /* of a Retry-After header in seconds, -1: none */
    uint64_t elapsed_us;
    bool sent; /* the request may have reached the server (for "did it happen?" decisions) */
};

typedef void http_done_fn(void *data, const struct http_response *response);
/* A chunk of a streamed body. Called between start and done. */
typedef void http_chunk_fn(void *data, const char *chunk, size_t len);

struct http_options {
    const char *method; /* NULL: GET, or POST with a body */
    const char *url;
    const char *const *headers; /* NULL-terminated "Name: value", may be NULL */
    const void *body;           /* copied */
    size_t body_len;
    const char *content_type;    /* of the body; NULL: application/json; charset=utf-8 */
    const char *user, *password; /* HTTP Basic when both are given */
    const char *bearer;          /* Authorization: Bearer */
    uint64_t timeout_ms;         /* for the whole exchange; 0: none (streams) */
    uint64_t connect_timeout_ms; /* 0: 5000 */
    uint64_t idle_timeout_ms;    /* a stream silent for longer ends with -ETIMEDOUT; 0: none */
    size_t max_body;             /* 0: 8 MiB; more ends with -EFBIG */
    bool fresh_connection;       /* never reuse a pooled one (health probes) */
    bool once;                   /* a body that must not arrive twice: without this, curl silently
                                    sends it again when a pooled connection dies before an answer.
                                    With it that is an error with `sent` */
    http_chunk_fn *on_chunk;     /* given: a stream; body stays empty. Only for 2xx answers; the
                                    body of any other status is collected as usual */
    http_done_fn *on_done;       /* called exactly once, never from within http_start() */
    void *data;
};

/* Starts an exchange. Everything in `options` is copied. `*ret` (may be NULL) is valid until
 * on_done returns. 0 or -errno (then on_done is not called). */
int http_start(struct http_client *c, const struct http_options *options,
               struct http_request **ret);

/* Ends it without calling on_done. */
void http_cancel(struct http_request *r);

/* Percent-encodes for a query or a path segment (RFC 3986 unreserved stay). malloc'ed. */
char *http_escape(const char *s);

/* Server-sent events, WHATWG HTML §9.2: feed chunks, get whole events. Cut anywhere. */
struct sse_event {
    const char *event; /* "" when the field was absent */
    const char *data;  /* lines joined by \n */
    size_t data_len;
    const char *id; /* last seen id, "" if none */
};
typedef void sse_event_fn(void *data, const struct sse_event *event);
struct sse_parser;
int sse_parser_new(struct sse_parser **ret, size_t max_event, sse_event_fn *fn, void *data);
/* 0, -EFBIG for an event over max_event (that event is dropped, the rest goes on), -ENOMEM. */
int sse_parser_feed(struct sse_parser *p, const char *chunk, size_t len);
void sse_parser_free(struct sse_parser *p);
