/* One session as its state file tells it: gathered from the store, written as YAML, and what a file
 * that was written before says about milestones. No secrets, and no texts of messages. */
#pragma once

#include "base/core/buf.h"
#include "base/core/error.h"
#include "bridge/gateway/store/history.h"

#include <stdbool.h>

struct doc_milestone {
    const char *kind, *ref;
    int64_t time_ms;
};

struct doc_request {
    const char *id, *kind, *permission, *outcome, *by, *connector; /* outcome "": it waits */
    int64_t time_ms;                                               /* asked, or settled */
};

struct doc {
    const char *pod, *id, *title, *directory, *status, *owner, *agent, *model;
    const char *channel, *thread; /* Slack's, "" when there is none */
    int64_t created_ms, updated_ms, tokens;
    double cost;
    struct doc_request *requests; /* oldest first */
    size_t request_count;
    struct doc_milestone *milestones; /* in the order in which they are committed */
    size_t milestone_count;
    char **owned; /* the strings of all of it */
    size_t owned_count;
};

/* Fills `ret`. -ENOENT: no such session, or it is a subagent's; -errno. */
int doc_load(struct doc *ret, struct store *s, const char *pod, const char *id);
void doc_release(struct doc *d);
#define _cleanup_doc_ _cleanup_(doc_release)

/* Appends it as YAML; with `with`, of the milestones only those for which it is true. 0 or -errno.
 */
int doc_write(const struct doc *d, const bool *with, struct buf *out);

/* Sets `ret[i]` for each milestone of `d` that the file's text tells of. One that cannot be read
 * tells of none. 0 or -ENOMEM. */
int doc_told(const struct doc *d, const char *text, size_t len, bool *ret);

/* "sessions/POD/ID/.session-state.yaml": what is no plain letter, digit, '-', '_' or '.' in the two
 * stands there as %XX, so that no name leads elsewhere. */
void doc_path(const char *pod, const char *id, struct buf *out);

/* The commit's message. */
void doc_message(const struct doc *d, const struct doc_milestone *m, struct buf *out);
