/* What happened to sessions, for a program that reads the store beside the gateway (codev-state),
 * and the milestones that no other table tells of. Strings of a row that is handed to a callback
 * are valid during the call. */
#pragma once

#include "bridge/gateway/store/rows.h"

/* Opens the gateway's database in `dir` for reading only. In WAL mode neither waits for the other.
 * Keep it open for a look, not for good: the gateway may put another file in its place. -ENOENT:
 * there is none yet; -EPROTO: of another version than ours, so that the gateway has yet to bring it
 * there; -EUCLEAN: damaged; else -errno. All with `e`. */
int store_open_reader(struct store **ret, const char *dir, struct error *e);

/* Each root session, by pod and id in order, with a number that is another one once something of it
 * or of its subagents changed: their times tell nothing, they are OpenCode's. Return non-zero from
 * `fn` to end. */
int store_print_each(struct store *s,
                     int (*fn)(void *data, const char *pod, const char *id, uint64_t print),
                     void *data);
/* Root sessions with a request or a milestone that changed since that time, in no order. */
int store_changed_each(struct store *s, int64_t since_ms,
                       int (*fn)(void *data, const char *pod, const char *id), void *data);

/* The requests of a session and its subagents, oldest first; the newest `max` at most. */
int store_session_requests(struct store *s, const char *pod, const char *root_id, int max,
                           store_request_fn *fn, void *data);

struct milestone_row {
    const char *pod, *session_id; /* the root's */
    const char *kind;             /* "pr_created", … */
    const char *ref; /* tells it from others of its kind: a request's id, a URL; "" : only one */
    int64_t time_ms;
};
/* A milestone, once: 1 stored, 0 it was there already, -errno. In the transaction of what it tells
 * of. Those that sessions and requests tell by themselves (created, ended, answered) need none. */
int store_milestone_put(struct store *s, const struct milestone_row *m);
int store_milestone_each(struct store *s, const char *pod, const char *session_id,
                         int (*fn)(void *data, const struct milestone_row *m), void *data);
