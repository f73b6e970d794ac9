/* What the agent said and did of late, session by session, in memory and bounded: for a page that
 * is opened later. The least recently written session goes for a new one, the oldest entry of a
 * session for a new one. */
#pragma once

#include "base/core/jsonw.h"
#include "bridge/gateway/core/core.h"

#define TRANSCRIPT_SESSIONS_MAX 64
#define TRANSCRIPT_ENTRIES_MAX  200
#define TRANSCRIPT_BYTES_MAX    ((size_t)256 << 10) /* of texts, a session */
#define TRANSCRIPT_TEXT_MAX     ((size_t)64 << 10)  /* a longer text is cut */
#define TRANSCRIPT_OUTPUT_MAX   ((size_t)16 << 10)  /* of a longer output the middle is left out */

struct transcript_entry {
    uint64_t n; /* counts up within the process */
    enum activity_kind kind;
    char *role, *message_id, *id, *text, *status, *output;
    size_t bytes; /* of all of these */
    int64_t time_ms;
    bool cut;
    bool dirty;        /* changed since it was last told */
    uint64_t event_id; /* that told it last; 0: none */
    uint64_t told_ms;  /* monotonic */
};

struct transcript {
    char *pod, *session_id;
    struct transcript_entry *entries; /* oldest first */
    size_t count, cap, bytes;
    uint64_t touched;
    bool dirty; /* one of its entries is */
    bool whole; /* read from OpenCode, and heard without a gap since */
};

struct transcripts {
    struct transcript *sessions[TRANSCRIPT_SESSIONS_MAX];
    size_t count;
    uint64_t last_n, last_touch;
};

/* Adds an entry, or changes the one of the same id. Ids of OpenCode sort by time: what comes late
 * finds its place. 1 something changed, 0 nothing new, -ENOMEM. */
int transcripts_add(struct transcripts *t, const struct activity *a, int64_t now_ms);
/* The same of what was read from OpenCode: it is nothing that must be told to those who listen,
 * and never takes the place of something newer. */
int transcripts_add_read(struct transcripts *t, const struct activity *a, int64_t now_ms);
/* The transcript is what OpenCode has, as far as it is kept. 0 or -ENOMEM. */
int transcripts_set_whole(struct transcripts *t, const char *pod, const char *session_id);
/* Something may have been missed: they are to be read again. */
void transcripts_doubt(struct transcripts *t);
/* NULL: nothing was heard of it. */
struct transcript *transcripts_find(struct transcripts *t, const char *pod, const char *session_id);
void transcripts_release(struct transcripts *t);

/* One entry as an object; `in` is the transcript it belongs to, for "pod" and "session_id". */
void transcript_view(struct jsonw *w, const char *key, const struct transcript *in,
                     const struct transcript_entry *e);
