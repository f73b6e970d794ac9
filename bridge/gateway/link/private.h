/* Inside the link room. */
#pragma once

#include "base/json/json.h"
#include "bridge/gateway/core/feed.h"
#include "bridge/gateway/link/link.h"

#define LINK_TICK_MS         1000
#define LINK_ACK_MS          50
#define LINK_FRAME_MAX       ((size_t)1 << 20)
#define LINK_COMMANDS_MAX    64 /* under way on one link: the plugin takes no more */
#define LINK_WAITERS_MAX     512
#define LINK_CONNECTIONS_MAX 64

enum link_close {
    LINK_CLOSE_STOPPING = 1001,
    LINK_CLOSE_BROKEN = 1011, /* what was told could not be stored */
    LINK_CLOSE_BAD_FRAME = 4400,
    LINK_CLOSE_PROTOCOL = 4406,
    LINK_CLOSE_REPLACED = 4409,
};

enum conn_state {
    CONN_NEW, /* waits for the first frame */
    CONN_LIVE,
    CONN_CLOSING,
};

struct command {
    struct command *next;
    char *request_id;
    const char *answer; /* type of the good answer */
    core_done_fn *done;
    core_activity_fn *each; /* of a history; else NULL */
    void *data;
    uint64_t deadline_ms;
    bool fire; /* nobody waits: ping */
};

struct conn {
    struct conn *next;
    struct link *link;
    struct server_ws *ws;
    enum conn_state state;
    int protocol;         /* 0 or 1 */
    char *pod, *instance; /* NULL while new */
    struct way *way;
    int64_t seen;   /* highest seq that was taken */
    int64_t stored; /* highest seq in the store */
    int64_t acked;
    uint64_t sent_ms, heard_ms;
    struct command *commands;
    unsigned n_commands;
};

struct waiter;

struct link {
    struct core *core;
    struct link_options options;
    struct conn *conns;
    unsigned n_conns;
    struct waiter *waiters;
    unsigned n_waiters;
    uint64_t commands; /* for request ids */
    char boot[17];     /* makes request ids of this process its own */
    bool stopping;
    uv_timer_t tick, ack, answers;
    unsigned open_handles;
};

/* ---- link.c ---- */
int conn_send(struct conn *c, cJSON *frame); /* takes the frame over; 0 or -errno */
/* Sends `error` and closes. */
void conn_fail(struct conn *c, const char *code, uint16_t close, const char *message);
/* "default" and nothing mean this gateway's own pod, if it has one. */
const char *link_pod(struct link *l, const char *pod);

/* ---- frames.c ---- */
/* A string of 1 to `max` bytes; NULL when it is absent or does not fit. */
const char *frame_str(const cJSON *frame, const char *key, size_t max);
/* "" when absent, NULL when it is there and does not fit. */
const char *frame_opt(const cJSON *frame, const char *key, size_t max);
/* A whole number in [0, 2^53]; -1 when absent or anything else. */
int64_t frame_int(const cJSON *frame, const char *key);
/* A copy of `from` as a detail_json of the core: the members named by `keys`. malloc'ed. */
char *frame_detail(const cJSON *from, const char *const *keys);

/* ---- events.c ---- */
/* 1 taken, 0 dropped (seen, or of a type that is not known), -EBADMSG a bad frame, other -errno:
 * it could not be stored. */
int event_take(struct conn *c, const cJSON *frame, const char *type);

/* ---- commands.c ---- */
extern const struct way_ops bridge_ops;
/* An answer came; unknown ones are dropped. */
void command_answer(struct conn *c, const cJSON *frame, const char *type, const char *request_id);
void command_ping(struct conn *c);
/* What a lost OpenCode left open elsewhere: loads those directories. */
void command_sync(struct conn *c, const char *directory);
void commands_expire(struct conn *c, uint64_t now);
void commands_fail_all(struct conn *c, int error, const char *message);

/* ---- permission.c ---- */
/* Requests that are decided: answers their callers. */
void waiters_request_changed(void *data, const struct request *r);
void waiters_answer(struct link *l);
void waiters_wake(struct link *l); /* link.c: waiters_answer() soon, from the loop */
void waiters_expire(struct link *l, uint64_t now);
void waiters_end(struct link *l);
bool waiters_has(struct link *l, const char *pod, const char *id);
