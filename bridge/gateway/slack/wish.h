/* What somebody asked for by a button, a form or a word, kept while the allow-list is asked. */
#pragma once

#include "base/json/json.h"
#include "bridge/gateway/core/core.h"

struct slack;
struct intake_item;
struct wish;

/* Carried out for somebody who may; the wish, and what was stored of it, ends after it. `pod` and
 * `id` are what the value names. */
typedef void wish_fn(const struct wish *w, const char *pod, const char *id);

/* Strings are copied; NULL is "". */
struct wish_fields {
    const char *user, *channel, *thread_ts, *message_ts;
    const char *value;        /* of the button: permission_value() */
    const char *trigger;      /* opens a form */
    const char *response_url; /* answers in its place */
    const char *text;         /* a reason */
    const cJSON *picks;       /* of a question; copied */
    const void *verb;         /* static data of the one who asks */
    struct intake_item *item; /* as which it is stored; NULL: it can only be done at once */
};

struct wish {
    struct slack *s;
    wish_fn *fn;
    const void *verb;
    struct intake_item *item;
    char *user, *channel, *thread_ts, *message_ts, *value, *trigger, *response_url, *text;
    cJSON *picks;
    struct log_about *ids; /* by which the log knows it, or NULL */
};

/* Reads user, channel, message and trigger of a block_actions payload; the rest is "". */
struct wish_fields wish_fields_of_action(const cJSON *payload);

/* What a form needs to come back to the message that opened it, malloc'ed. */
char *wish_metadata(const struct wish *w);
/* The fields again, of the payload of its submission. `meta` must live as long as they do. */
struct wish_fields wish_fields_of_view(const cJSON *payload, const cJSON *meta);
/* The form's metadata; the caller owns it. NULL: none of ours. */
cJSON *wish_meta_of(const cJSON *payload);

/* Asks whether the person may, then calls `fn`, or explains and audits the refusal. Takes the item,
 * which ends when that is done; what a crash left is asked again. */
void wish_ask(struct slack *s, wish_fn *fn, const struct wish_fields *f);

/* Only for that person, where they are. */
void wish_whisper(const struct wish *w, const char *text);
struct actor wish_actor(const struct wish *w);

/* Opens a form with the wish's trigger. `view` is taken. 0 or -errno. */
int wish_open(const struct wish *w, cJSON *view);

/* The decision of a request: the first wins; whoever is late is told. */
void wish_decide(const struct wish *w, const char *pod, const char *id,
                 enum request_outcome outcome, const char *answers_json);
/* Somebody was first. Nothing is said when it was this very wish: done again after a crash, or
 * clicked twice. OUTCOME_NONE: it was to open a form. */
void wish_too_late(const struct wish *w, const char *pod, const char *id,
                   enum request_outcome outcome, const char *answers_json);
/* The gateway knows no such request: its message is made to say so. */
void wish_gone(const struct wish *w, const char *pod, const char *id);

/* What somebody wrote in the thread of a session. */
struct thread_words {
    struct intake_item *item;
    const char *pod, *session_id, *channel, *thread_ts, *user, *text;
    int64_t written_ms; /* if found later: what was asked after is not meant; else 0 */
};
/* Whether these words can be about that request: open, of that session, asked before. */
bool thread_words_meant(const struct thread_words *t, const struct request *r);
