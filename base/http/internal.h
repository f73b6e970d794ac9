/* Private to base/http: what its files share. */
#pragma once

#include "base/core/buf.h"
#include "base/http/http.h"

#include <curl/curl.h>

struct http_request {
    struct http_client *client;
    struct http_request *prev, *next; /* in client->requests */
    CURL *easy;
    struct curl_slist *headers;
    struct buf body;
    char *out; /* what is sent, with `once`: curl can't go back in it, so it can't repeat it */
    size_t out_len, out_at;
    uv_timer_t *idle; /* NULL without idle_timeout_ms; frees itself when closed */
    uint64_t idle_timeout_ms;
    uint64_t last_byte_ms;
    http_chunk_fn *on_chunk;
    http_done_fn *on_done;
    void *data;
    size_t max_body;
    bool too_big;
    bool idled;     /* ended by the idle timer */
    bool waiting;   /* not yet given to curl */
    bool cancelled; /* waits until curl has returned */
    char error_text[CURL_ERROR_SIZE];
};

struct http_client {
    CURLM *multi;
    uv_loop_t *loop;
    uv_timer_t timer;
    char *ca_file, *ca_folder; /* NULL: the system's (trust.c) */
    bool ca_folder_only;       /* the system's folder, without its file */
    struct http_request *requests;
    unsigned busy; /* calls of ours on the stack: into curl, or into a user's callback */
    bool in_curl;  /* curl is on the stack, so no handle may be removed now */
    bool freed;    /* http_client_free() was called */
    bool closing;
};

/* Sets up `r->easy` by `o`. 0 or -errno. */
int http_request_setup(struct http_request *r, const struct http_options *o);
/* Takes it out of the client and frees it; curl must not be on the stack. */
void http_request_drop(struct http_request *r);
/* Fills `ret` from a finished transfer. Its strings belong to `r`. */
void http_request_result(struct http_request *r, CURLcode code, struct http_response *ret);

/* Decides once whose certificates count. 0, or -1 without memory. */
int http_trust_choose(struct http_client *c, const char *ca_file);
CURLcode http_trust_apply(const struct http_client *c, CURL *easy);

/* Around every entry into curl and every callback of a user: when the outermost ends, cancelled
 * requests are dropped and a freed client goes away. */
void http_client_enter(struct http_client *c);
void http_client_leave(struct http_client *c);
