/* What ways to OpenCode (the bridge link, the direct client) tell the core, and what the core asks
 * of them. A way stands for one OpenCode process of one pod. Everything fed may be fed again: the
 * core drops what it knows. Strings are copied. */
#pragma once

#include "bridge/gateway/core/core.h"

/* ---------------------------------------------------------------- what the core asks of a way */

struct way_reply {
    enum request_kind kind;
    const char *request_id, *session_id, *directory;
    enum request_outcome outcome; /* ONCE, ALWAYS, REJECT, ANSWERED */
    const char *reason;           /* "" if none */
    const char *answers_json;     /* questions */
    unsigned attempt;             /* of this decision: 0, 1, …; the same until an answer came */
};
struct way_start {
    const char *directory, *title, *prompt, *agent, *model; /* NULL: default; model "prov/model" */
    const char *key, *message_id;                           /* as in struct session_start */
    bool again;
};
struct way_message {
    const char *session_id, *directory, *text;
    const char *message_id; /* NULL: OpenCode chooses */
    bool again;             /* it may be there already: look first */
};

struct way_history {
    const char *session_id, *directory;
    core_activity_fn *each; /* called with `done`'s data, before it; `pod` is filled in */
};

/* Each returns 0 and calls `done` later, once, or a negative errno and does not. Errors through
 * `done`: -ENOENT OpenCode does not know it (any more), -ENOTCONN it surely never left,
 * -ETIMEDOUT and others: it may have been done. */
struct way_ops {
    int (*reply)(void *data, const struct way_reply *r, core_done_fn *done, void *done_data);
    /* Is the request still open? done: 0 it is, -ENOENT not. */
    int (*check)(void *data, const struct way_reply *r, core_done_fn *done, void *done_data);
    int (*start)(void *data, const struct way_start *s, core_done_fn *done, void *done_data);
    int (*message)(void *data, const struct way_message *m, core_done_fn *done, void *done_data);
    int (*abort)(void *data, const char *session_id, const char *directory, core_done_fn *done,
                 void *done_data);
    int (*history)(void *data, const struct way_history *h, core_done_fn *done, void *done_data);
    /* How many bridges of this pod there are now; NULL when it does not matter. */
    void (*bridges)(void *data, unsigned count);
};

enum way_kind {
    WAY_BRIDGE,
    WAY_HTTP, /* takes commands while no bridge of its pod is there */
    WAY_KIND_MAX,
};
struct way;
/* `ops` must outlive the way; strings are copied. */
int core_way_add(struct way **ret, struct core *core, enum way_kind kind, const char *pod,
                 const char *instance, const struct way_ops *ops, void *data);
/* Of a WAY_BRIDGE: the run of codev-prepare (a trace id) after which the plugin was loaded. Copied.
 */
void core_way_set_build(struct way *w, const char *prepare_id);
/* Commands under way must have been answered (-ENOTCONN) before. NULL is fine. */
void core_way_remove(struct way *w);
/* A WAY_HTTP tells whether it reaches OpenCode, and why not. */
void core_way_set_up(struct way *w, bool up, const char *reason);
/* A WAY_HTTP found that nothing listens there: the process that was there before is dead, and what
 * it asked or took until now is gone with it. */
void core_way_nobody(struct way *w);
/* Decisions that wait for their confirmation are sent at once. */
void core_way_kick(struct core *core, const char *pod);

/* ---------------------------------------------------------------- what a way tells the core */

/* Several feeds as one commit: nobody is told of any before all are stored. 0 or -errno; after a
 * failed commit nothing of it happened. They do not nest. */
int core_batch_begin(struct core *core);
int core_batch_commit(struct core *core);
void core_batch_rollback(struct core *core);

struct feed {
    struct core *core;
    const char *pod, *instance; /* instance "" when unknown */
    const char *directory;      /* "" when unknown */
    int64_t seq;                /* of the event, 0 when it has none */
};

struct feed_session {
    const char *id, *parent_id;        /* parent "" for a root */
    const char *title, *agent, *model; /* NULL: unchanged */
    int64_t created_ms, updated_ms;    /* 0: now */
    double cost;                       /* its own sums so far, without its subagents'; */
    int64_t tokens;                    /* below 0: unchanged */
    bool heard; /* something was said of it, which may come after its end: does not bring it back */
};
int core_feed_session(const struct feed *f, const struct feed_session *s);
int core_feed_session_gone(const struct feed *f, const char *session_id);
bool core_knows_session(struct core *core, const char *pod, const char *session_id);

struct feed_status {
    const char *session_id;
    const char *root_session_id; /* "" when unknown */
    enum session_status status;  /* IDLE: the turn ended, what is open in it is void */
    const char *text;            /* of an error or retry, "" if none */
    int64_t retry_at_ms;
};
int core_feed_status(const struct feed *f, const struct feed_status *s);

/* Adds one step's use, for who tells no sums: told again it is counted again. */
int core_feed_usage(const struct feed *f, const char *session_id, double cost, int64_t tokens);

struct feed_request {
    enum request_kind kind;
    const char *id, *session_id;
    const char *root_session_id; /* "" : found out by the known sessions */
    const char *permission;      /* "question" for questions */
    const char *detail_json;     /* an object as in struct request */
};
/* 1 new, 0 known, -errno (-EINVAL what cannot be one, -ENOBUFS too many are open). */
int core_feed_asked(const struct feed *f, const struct feed_request *r);

/* OpenCode's confirmation, whoever answered. */
int core_feed_replied(const struct feed *f, const char *request_id, enum request_outcome outcome);
/* The same of a question, with what was answered: [["label",…],…], NULL when not known. Answers
 * that are not those of our own decision were somebody else's, who was first. */
int core_feed_answered(const struct feed *f, const char *request_id, const char *answers_json);

/* What is true now in f->directory. A request that is open here, not listed, and known by this
 * instance with seq <= as_of_seq (or since before `before_ms` when events have no numbers), or by
 * an instance that is not connected any more, is gone. The same for busy sessions. */
struct feed_sync {
    int64_t as_of_seq;
    int64_t before_ms; /* wall clock; used when as_of_seq is below 0 */
    const char *const *open_ids;
    size_t n_open;
    const char *const *busy_ids;
    size_t n_busy;
    /* The sessions that OpenCode lists, which are all that changed since `listed_since_ms` (wall
     * clock). One of them that is known here and not listed is looked up: it may have been deleted
     * while nobody listened. */
    const char *const *listed_ids;
    size_t n_listed;
    int64_t listed_since_ms;
};
int core_feed_sync(const struct feed *f, const struct feed_sync *s);

void core_feed_activity(const struct feed *f, const struct activity *a);

/* The request was handed to a program that waits for it by HTTP and tells OpenCode itself. With no
 * way to that pod this settles it. */
int core_request_handed(struct core *core, const char *pod, const char *request_id);
/* An instance without replay went away: what it asked is gone, but for what `keep` (may be NULL)
 * wants kept. */
int core_feed_instance_lost(const struct feed *f, const char *reason,
                            bool (*keep)(void *data, const char *pod, const char *id), void *data);
