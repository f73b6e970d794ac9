/* Inside the core room. */
#pragma once

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/metrics/metrics.h"
#include "base/trace/derive.h"
#include "bridge/gateway/core/feed.h"
#include "bridge/gateway/core/run.h"
#include "bridge/gateway/store/rows.h"
#include "bridge/gateway/store/store.h"

#define CORE_CONNECTORS_MAX    8
#define CORE_OPEN_REQUESTS_MAX 4000
#define CORE_STARTING_MAX      16
#define CORE_TURNS             512 /* sessions whose turns have their trace in the log */
#define CORE_ORIGINS_MAX       256
#define CORE_WATCH_MS          15000 /* OpenCode turns busy after at most 1.4 s */

struct way {
    struct way *next;
    struct core *core;
    enum way_kind kind;
    char *pod, *instance;
    const struct way_ops *ops;
    void *data;
    bool up;
    char build[TRACE_ID_SIZE]; /* "" when it is not known */
    int64_t none_ms; /* WAY_HTTP, wall clock: nothing listened there; what answers is younger */
};

/* Since the process started (metrics.c). */
struct core_counts {
    int64_t started_ms; /* wall clock */
    uint64_t bridge_connections, bridge_losses;
    uint64_t asked[REQUEST_KIND_MAX];
    uint64_t settled[REQUEST_KIND_MAX][OUTCOME_MAX], expired[REQUEST_KIND_MAX];
    struct metric_histogram decision[REQUEST_KIND_MAX];
};

/* A prompt that left of late; session and text by their hashes. */
struct origin {
    uint64_t session, text, time_ms;
    char connector[16], name[128]; /* connector "": free */
};

struct delivery;
struct telling;
struct watch;
struct turn;
struct resting;
struct interrupt;
struct missing;

struct core {
    uv_loop_t *loop;
    const struct settings *settings;
    struct store *store;
    struct http_client *http;
    struct flush *flush;
    bool another_machine; /* than the last time: a power cut may have taken the last marks */
    int64_t begun_ms;     /* wall clock */
    uint64_t deadline_ms;

    struct connector connectors[CORE_CONNECTORS_MAX];
    bool connector_stopped[CORE_CONNECTORS_MAX];
    size_t n_connectors;
    char *slack_state, *slack_reason, *opencode_reason, *catalog;

    struct way *ways;
    struct delivery *deliveries;
    struct watch *watches;
    struct interrupt *interrupts;
    struct missing *missing; /* the first is being looked up, if `missing_asked` */
    bool missing_asked;
    uint64_t watch_ms;
    struct turn *turns; /* NULL until there is one */
    unsigned open_requests;
    struct core_counts counts;

    /* While somebody's session_start is under way, new sessions are not told yet, so that they
     * first appear with the person who began them. */
    unsigned starting;
    char *held_pod[CORE_STARTING_MAX], *held_id[CORE_STARTING_MAX];
    size_t n_held;

    /* In a batch: who is told what, once it is stored. */
    bool batch;
    struct telling *tellings, **tellings_end;

    struct origin origins[CORE_ORIGINS_MAX];
    size_t next_origin;

    int64_t web_active_ms, web_stored_ms; /* wall clock; 0: never */
    struct resting *resting;

    uv_timer_t deadline_timer, stop_timer, links_timer, house_timer, presence_timer;
    unsigned open_handles;
    bool started, stopping;
    void (*stop_done)(void *data);
    void *stop_data;
};

bool is_among(const char *id, const char *const *ids, size_t n); /* (core.c) */

/* ---- connectors (core.c) ---- */
void core_tell_request(struct core *core, const char *pod, const char *id);
void core_tell_session(struct core *core, const char *pod, const char *id);
void core_tell_links(struct core *core);
void core_tell_focus(struct core *core);

/* ---- counting (metrics.c) ---- */
void counts_init(struct core_counts *c);
/* `row` was in the state `from` before. */
void counts_moved(struct core_counts *c, int from, const struct request_row *row);

/* ---- ways (ways.c) ---- */
/* The best way for what `instance` ("" any) asked: its own bridge, another bridge of the pod, the
 * direct one; NULL when there is none. */
struct way *way_for(struct core *core, const char *pod, const char *instance);
unsigned way_bridges(struct core *core, const char *pod); /* pod NULL: of all pods */
bool way_connected(struct core *core, const char *pod, const char *instance);
const char *way_default_pod(struct core *core); /* NULL: none */
/* The process behind `w` is surely not the one that asked: what that one took died with it. */
bool way_is_another(const struct way *w, const struct request_row *row);
/* The direct way of a pod; NULL: it has none. */
const struct way *way_direct(const struct core *core, const char *pod);

/* ---- sessions (sessions.c) ---- */
/* Copies the root's id of a session (the session itself when it is not known). NULL: no memory. */
char *session_root(struct core *core, const char *pod, const char *session_id);
/* Makes a row for a session that is only known by its id. */
int session_touch(const struct feed *f, const char *session_id, const char *root_id);
void session_view(struct core *core, const struct session_row *row, struct session *ret);

/* ---- requests (requests.c) ---- */
void request_view(const struct request_row *row, struct request *ret);
/* Every open request of that session (not of its children) is void. */
int requests_void_session(struct core *core, const char *pod, const char *session_id,
                          const char *reason);
int requests_void_missing(const struct feed *f, const struct feed_sync *s);
/* OpenCode took the decision and has the request no more: the decision stands. */
int request_confirm(struct core *core, const char *pod, const char *id);
int request_void(struct core *core, const char *pod, const char *id, const char *reason);
void requests_check_deadline(struct core *core);
unsigned requests_count_open(struct core *core);

/* ---- where people are told (focus.c) ---- */
void presence_init(struct core *core);
void presence_release(struct core *core);
/* What rests and is due now is told. */
void presence_changed(struct core *core);

/* ---- who wrote what (origin.c) ---- */
/* Before it leaves. `message_id` NULL: OpenCode chooses. */
void origin_note(struct core *core, const char *pod, const char *session_id, const char *text,
                 const char *message_id, const struct actor *actor);

/* ---- delivery of decisions (delivery.c) ---- */
int delivery_start(struct core *core, const char *pod, const char *id);
void delivery_kick(struct core *core, const char *pod);
void delivery_free_all(struct core *core);

/* ---- what log lines are about (about.c) ---- */
/* Lines are about this request until the end of the block; `pod` and `session_id` may be NULL. What
 * is given must outlive the block. */
struct request_about {
    struct log_about about;
    struct trace_ids ids;
};
#define _request_about_ _cleanup_(request_about_leave)
void request_about(struct request_about *a, const char *pod, const char *id,
                   const char *session_id);
void request_about_leave(struct request_about *a);
/* The same of the turn that this session works on; of its session alone when that is not known. */
void turn_about(struct request_about *a, struct core *core, const char *pod,
                const char *session_id);
/* A prompt was heard: what the session does now is about it. */
void turn_begins(struct core *core, const char *pod, const char *session_id,
                 const char *message_id);

/* ---- messages that stop a turn (interrupt.c) ---- */
/* 1 it stops the session's turn first and leaves then, 0 nothing is to be stopped, -errno. */
int interrupt_begin(struct core *core, const struct session_prompt *p, core_done_fn *done,
                    void *data);
/* The session's turn is over. */
void interrupt_status(struct core *core, const char *pod, const char *session_id);
void interrupt_free_all(struct core *core);

/* ---- prompts that were accepted (watch.c) ---- */
/* ---- sessions that are not listed any more (missing.c) ---- */
int missing_look(const struct feed *f, const struct feed_sync *s);
void missing_free_all(struct core *core);

void watch_begin(struct core *core, const char *pod, const char *session_id);
/* A status came: the prompt is being worked on, or failed. */
void watch_status(struct core *core, const char *pod, const char *session_id);
void watch_free_all(struct core *core);
