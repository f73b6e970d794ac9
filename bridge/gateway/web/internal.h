/* What the files of the web connector share. */
#pragma once

#include "base/core/buf.h"
#include "base/core/log.h"
#include "base/core/trace.h"
#include "base/server/server.h"
#include "bridge/gateway/core/core.h"
#include "bridge/gateway/web/access.h"
#include "bridge/gateway/web/body.h"
#include "bridge/gateway/web/events.h"
#include "bridge/gateway/web/transcript.h"
#include "bridge/gateway/web/web.h"

#define REQUEST_ID_MAX 64
#define SHOWN_MAX      256

struct pending;
struct log_stream;

struct web {
    struct core *core;
    struct access_rules rules;
    char *allowed_hosts;
    struct logins logins;
    struct limiter limiter;
    struct events events;
    struct transcripts transcripts;
    uv_timer_t flush, beat;
    struct buf metrics;  /* as it was told last */
    uint64_t metrics_ms; /* when; 0: never */
    struct pending *pending;
    struct log_stream *log_streams;
    unsigned log_stream_count;
    struct {
        char *pod, *id;
    } shown[SHOWN_MAX]; /* settled requests to acknowledge, from the loop */
    size_t shown_count;
    bool stopping, closing;
    int open_handles;
};

/* One HTTP request while its handler runs. */
struct call {
    struct web *web;
    struct server_request *request;
    struct route_match match;
    struct access_result who;
    bool secure; /* the browser speaks TLS to a proxy in front */
    char request_id[REQUEST_ID_MAX + 1];
    struct traceparent caller; /* trace_id "" when it gave none */
};

typedef void call_handler_fn(struct call *c);

/* ---- answers (answer.c): each ends the call ---- */
void answer_json(struct call *c, int status, const struct buf *json);
/* With one more header line, e.g. "Retry-After: 5"; `extra` may be NULL. */
void answer_json_with(struct call *c, int status, const struct buf *json, const char *extra);
void answer_error(struct call *c, int status, const char *code, const char *message);
void answer_error_with(struct call *c, int status, const char *code, const char *message,
                       const char *extra);
/* By c->who, which access_check() filled. */
void answer_refused(struct call *c, int status);
void answer_text(struct call *c, const char *type, const struct buf *text);
struct asset;
void answer_asset(struct call *c, const struct asset *a);
void answer_stream(struct call *c);
/* A sign of life every 15 s to who listens, from now on while anybody does. */
void web_beat(struct web *w);
/* Begins a stream of events. -errno: it was answered. */
int answer_stream_begin(struct call *c);
void answer_put_error(struct buf *out, const char *code, const char *message);

/* ---- handlers ---- */
void page_serve(struct call *c); /* state.c */
void health_get(struct call *c);
void metrics_get(struct call *c);
void sessions_get(struct call *c);
void catalog_get(struct call *c);
void session_get(struct call *c);
void requests_get(struct call *c);
void events_get(struct call *c);
void pod_get(struct call *c);    /* pod.c */
void logs_get(struct call *c);   /* logs.c */
void login_post(struct call *c); /* logins.c */
void logout_post(struct call *c);
void session_start_post(struct call *c); /* orders.c */
void session_message_post(struct call *c);
void session_abort_post(struct call *c);
void decision_post(struct call *c);
void focus_get(struct call *c); /* focus.c */
void focus_post(struct call *c);

/* ---- shared by handlers (call.c) ---- */
/* The body as a JSON object; NULL: answered already. */
cJSON *call_body(struct call *c);
void call_actor(const struct call *c, struct actor *ret);
/* What lines about this call carry; valid as long as `c`. */
struct log_about call_about(const struct call *c);
/* The pod that the request is about: ?pod=, else one that has this session or request, else our
 * own. Copies; NULL: no memory. */
char *call_pod_of_session(struct call *c);
char *call_pod_of_request(struct call *c);
/* The pod that has this session; NULL: none, or no memory. */
char *call_find_pod(struct core *core, const char *session_id);

/* ---- pending.c: calls whose answer comes later ---- */
/* The core holds one until its end, which it tells once; the client or the whole connector may go
 * before. */
struct pending {
    struct pending *prev, *next;
    struct call call; /* call.web NULL: answered already */
    char *pod;        /* NULL: the core chooses */
    int status;       /* of a good answer */
    void (*answer)(struct pending *p, int error, const char *message, const char *session_id);
};
/* NULL: no memory. */
struct pending *pending_new(struct call *c, const char *pod, int status);
core_done_fn pending_done;
/* `error` is what the core returned at once: below 0 it will not call back. */
void pending_started(struct pending *p, int error);
void answer_failure(struct call *c, int error, const char *message);
/* Answers all that wait for OpenCode; their ends find nobody. */
void pending_answer_all(struct web *w);

/* ---- logs.c ---- */
void logs_end_login(struct web *w, uint64_t login);
void logs_end_all(struct web *w);
