/* The core's rows in the store: sessions, requests, who has shown what, the audit log, how far each
 * bridge was read. Enumerations are plain ints here; they belong to core.h. Strings of a row that
 * is handed to a callback are valid during the call. */
#pragma once

#include "bridge/gateway/store/store.h"

#define STORE_SESSION_GONE 4 /* enum session_status, which the core checks */

struct session_row {
    const char *pod, *id;            /* together the key */
    const char *parent_id, *root_id; /* "" and its own id: it has no parent */
    const char *directory, *title, *agent, *model, *created_by;
    int status;
    const char *status_text;
    int64_t retry_at_ms, created_ms, updated_ms;
    double cost;
    int64_t tokens;
    const char *instance; /* of the OpenCode process that last told its status, and */
    int64_t seq;          /* its event's sequence number, 0 when it has none */
};
/* Inserts or replaces the row. 0 or -errno. */
int store_session_put(struct store *s, const struct session_row *row);
/* Returns what `fn` returned, -ENOENT, -errno. */
int store_session_get(struct store *s, const char *pod, const char *id,
                      int (*fn)(void *data, const struct session_row *row), void *data);
/* Those without a parent, last changed first. */
int store_session_each(struct store *s, int (*fn)(void *data, const struct session_row *row),
                       void *data);
/* All of a pod, children too, whose status is `status`. */
int store_session_each_status(struct store *s, const char *pod, int status,
                              int (*fn)(void *data, const struct session_row *row), void *data);
/* What a root session and all below it took. 0 or -errno. */
int store_session_use(struct store *s, const char *pod, const char *root_id, double *ret_cost,
                      int64_t *ret_tokens);
/* After a session got its parent: its requests and children move below the new root. */
int store_session_reroot(struct store *s, const char *pod, const char *old_root,
                         const char *new_root);

struct request_row {
    const char *pod, *id; /* together the key */
    const char *instance; /* of the OpenCode process that asked, "" when unknown */
    int kind;
    const char *session_id, *root_session_id, *directory, *permission, *summary, *detail;
    int64_t created_ms;
    int state, outcome;
    const char *reason, *answers; /* answers: JSON or "" */
    const char *actor_connector, *actor_id, *actor_name;
    int64_t decided_ms, settled_ms;
    int attempts;              /* the decision may have reached OpenCode that often */
    int accepted;              /* OpenCode said 200 to it */
    int64_t seq;               /* of the event that told of it, 0 when it had none */
    const char *session_title; /* of the root; read only */
};
typedef int store_request_fn(void *data, const struct request_row *row);

/* 1 inserted, 0 there was one of that key, -errno. */
int store_request_insert(struct store *s, const struct request_row *row);
int store_request_get(struct store *s, const char *pod, const char *id, store_request_fn *fn,
                      void *data);
/* Newest first; only those whose state is at most `max_state`. */
int store_request_each(struct store *s, int max_state, store_request_fn *fn, void *data);
/* Oldest first: what `connector` has not acknowledged, settled ones only since `settled_since_ms`.
 */
int store_request_each_unshown(struct store *s, const char *connector, int settled_state,
                               int64_t settled_since_ms, store_request_fn *fn, void *data);

/* Writes state, outcome, reason, answers, actor and times if the state is still `from`: 1 done, 0
 * somebody was first, -errno. */
int store_request_move(struct store *s, int from, const struct request_row *row);
/* Adds `by` (1, or -1 to take it back) to the attempts. */
int store_request_attempted(struct store *s, const char *pod, const char *id, int by);
int store_request_accepted(struct store *s, const char *pod, const char *id);

/* How much waits, and since when (wall clock); of the outbox only how much. */
struct store_waiting {
    int64_t count, oldest_ms;
};
int store_request_waiting(struct store *s, int kind, int state, struct store_waiting *ret);
int store_outbox_waiting(struct store *s, const char *connector, struct store_waiting *ret);
int store_inbound_waiting(struct store *s, const char *connector, struct store_waiting *ret);
/* Sessions without a parent by their status: `counts` has room for 0 to `max` - 1. */
int store_session_counts(struct store *s, int64_t *counts, int max);

int store_shown_put(struct store *s, const char *connector, const char *pod, const char *id,
                    int state);

/* With the ids that log lines have now (base/core/log.h). */
int store_audit(struct store *s, const char *connector, const char *actor_id,
                const char *actor_name, const char *what, const char *object, const char *detail);

/* The last sequence number whose effect is stored; 0 when none. */
int store_bridge_seq(struct store *s, const char *pod, const char *instance, int64_t *ret);
int store_bridge_seq_put(struct store *s, const char *pod, const char *instance, int64_t seq);
