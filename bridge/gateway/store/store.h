/* The gateway's durable state: one SQLite database in the state folder (in memory when there is
 * none). The only room that includes sqlite3.h. Calls are short transactions on the caller's
 * thread. A corrupt file is kept aside as gateway.db.corrupt-<time> and a new one begun. */
#pragma once

#include "base/core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

/* `dir` "" or NULL: in memory. 0, or -errno with `e`. `*ret_note` (may be NULL) is malloc'ed text
 * when something is worth saying (kept aside, in memory), else NULL. */
int store_open(struct store **ret, const char *dir, char **ret_note, struct error *e);
void store_close(struct store *s);
/* What is old goes: sent messages after 7 days, settled requests, their places, subagents' and gone
 * sessions after 90, the audit log after 400, the keys of what was received after a day. Done by
 * store_open() too. */
void store_forget(struct store *s);

/* The write-ahead log: fdatasync(2) of it brings all that was committed onto the disk, which a
 * commit does not. -1: kept in memory. Stays open, and is the store's. */
int store_log_fd(const struct store *s);

/* 0, or why the last write failed (-ENOSPC, …). `fn` is told when that begins and ends, from within
 * the call that saw it. */
int store_failing(const struct store *s);
void store_on_failing(struct store *s, void (*fn)(void *data), void *data);

/* Groups several calls into one commit; they nest. 0 or -errno. */
int store_begin(struct store *s);
int store_commit(struct store *s);
void store_rollback(struct store *s);

/* Small facts by key. `*ret` malloc'ed, -ENOENT. */
int store_get(struct store *s, const char *key, char **ret);
int store_put(struct store *s, const char *key, const char *value); /* NULL value: removes */

/* Each whose key begins so. Return non-zero to end; nothing may be stored from within. */
int store_each(struct store *s, const char *prefix,
               int (*fn)(void *data, const char *key, const char *value), void *data);

/* The key that says that all was lost, and where the damaged file is kept; for whoever can read
 * something back, and removes it then. */
#define STORE_REBUILD "rebuild"

/* ---- prompts: who wrote a message that left through the gateway ---- */

/* 0 or -errno. */
int store_prompt_put(struct store *s, const char *pod, const char *message_id,
                     const char *connector, const char *name);
/* Returns what `fn` returned, -ENOENT, -errno. */
int store_prompt_get(struct store *s, const char *pod, const char *message_id,
                     int (*fn)(void *data, const char *connector, const char *name), void *data);

/* ---- outbox: what a connector has to send, exactly once, in order within `lane` ---- */

enum outbox_state {
    OUTBOX_QUEUED,
    OUTBOX_SENDING, /* may have been sent: after a restart look before sending again */
    OUTBOX_DONE,
    OUTBOX_FAILED, /* refused for good */
};
struct outbox_item {
    int64_t id;
    const char *connector; /* "slack" */
    const char *lane;      /* order is kept within it: a channel or thread */
    const char *key;       /* unique per connector: the same key again replaces a queued payload */
    const char *method;    /* "chat.postMessage" */
    const char *payload;   /* JSON */
    enum outbox_state state;
    int attempts;
    int64_t not_before_ms; /* wall clock; 0: at once */
    const char *result;    /* JSON of the answer, when done; else "" */
};
/* Queues it, or replaces the payload of the one with this key that is still queued ("newest text
 * wins"); a key whose item is SENDING or DONE gets a new item only if `again`. 0 or -errno. */
int store_outbox_put(struct store *s, const char *connector, const char *lane, const char *key,
                     const char *method, const char *payload, bool again);
/* Oldest first, states QUEUED and SENDING. Return non-zero to end. */
int store_outbox_each(struct store *s, const char *connector,
                      int (*fn)(void *data, const struct outbox_item *i), void *data);
int store_outbox_set(struct store *s, int64_t id, enum outbox_state state, const char *result,
                     int64_t not_before_ms);
/* A power cut may have taken the last marks: what was queued in the last minute before the end and
 * is no update counts as perhaps sent. At start. */
int store_outbox_doubt(struct store *s, const char *connector, const char *update);
/* The newest item of that key, any state; -ENOENT. */
int store_outbox_find(struct store *s, const char *connector, const char *key,
                      int (*fn)(void *data, const struct outbox_item *i), void *data);

/* ---- inbound: what a connector received and has not done yet, in order within `lane` ---- */

struct inbound_item {
    int64_t id;
    const char *lane, *kind;
    const char *payload; /* JSON */
    const char *note;    /* written before the item leaves: what to look for after a crash */
    int attempts;        /* it may have been carried out that often */
    int64_t received_ms;
};
/* Stores it together with the keys that tell it from all others (`keys` ends with NULL), in one
 * transaction. 1 stored; 0 one of the keys was seen within a day, nothing is stored; -errno,
 * nothing is stored. */
int store_inbound_put(struct store *s, const char *connector, const char *const *keys,
                      const char *lane, const char *kind, const char *payload);
/* The oldest of each lane, oldest first. Return non-zero to end. */
int store_inbound_each(struct store *s, const char *connector,
                       int (*fn)(void *data, const struct inbound_item *i), void *data);
/* 1 something of that lane waits, 0 nothing, -errno. */
int store_inbound_waits(struct store *s, const char *connector, const char *lane);
/* Before it leaves: one more attempt, under `note`. 0 or -errno. */
int store_inbound_attempt(struct store *s, int64_t id, const char *note);
/* What it left under counts no more: it surely never did. */
int store_inbound_note(struct store *s, int64_t id, const char *note);
int store_inbound_done(struct store *s, int64_t id);
/* 1 something up to that id may have been carried out and is not done yet, 0 nothing, -errno. */
int store_inbound_unsettled(struct store *s, const char *connector, int64_t last);
/* The newest id that there is, 0 when there is none. */
int store_inbound_last(struct store *s, const char *connector, int64_t *ret);

/* ---- how far what people write in a channel or thread was read ---- */
struct store_seen {
    const char *channel, *thread; /* thread "": the channel's own messages */
    const char *first, *last;     /* ts, Slack's; they sort as text */
};
/* `last` only ever grows; `first` is the first that was put. */
int store_seen_put(struct store *s, const char *connector, const char *channel, const char *thread,
                   const char *ts);
/* `fn` NULL: only whether there is one. -ENOENT. */
int store_seen_get(struct store *s, const char *connector, const char *channel, const char *thread,
                   int (*fn)(void *data, const struct store_seen *seen), void *data);
int store_seen_each_channel(struct store *s, const char *connector,
                            int (*fn)(void *data, const struct store_seen *seen), void *data);

/* ---- connector threads: where a session or a request is shown ---- */
struct store_place {
    const char *connector, *kind; /* "session", "request" */
    const char *pod, *id;
    const char *channel, *ts, *thread_ts;
    const char *extra; /* JSON of the connector's own */
};
int store_place_put(struct store *s, const struct store_place *p);
int store_place_get(struct store *s, const char *connector, const char *kind, const char *pod,
                    const char *id, int (*fn)(void *data, const struct store_place *p),
                    void *data); /* -ENOENT */
int store_place_find(struct store *s, const char *connector, const char *channel, const char *ts,
                     int (*fn)(void *data, const struct store_place *p), void *data);
/* The threads of sessions that are not gone and were active since then, the latest first. */
int store_place_each_thread(struct store *s, const char *connector, int64_t since_ms, int max,
                            int (*fn)(void *data, const struct store_place *p), void *data);
int store_place_delete(struct store *s, const char *connector, const char *kind, const char *pod,
                       const char *id);
