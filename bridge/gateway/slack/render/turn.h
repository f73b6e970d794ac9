/* One stretch of the agent's work as its thread shows it: what it wrote and which tools it used, in
 * order, as the pages (messages) that they fill. Pure: activities in, messages out. It can be kept
 * as JSON and read again, so that a restart goes on with the same pages. */
#pragma once

#include "base/core/buf.h"
#include "base/json/json.h"
#include "bridge/gateway/core/core.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TURN_BYTES_MAX   ((size_t)1 << 20) /* of text; what is more is left to the web page */
#define TURN_ENTRIES_MAX 1000
#define TURN_PAGES_MAX   40 /* what is more becomes a file */

#define ACTION_STOP "session_stop"

enum turn_entry_kind { TURN_TEXT, TURN_TOOL, TURN_NOTE, TURN_BREAK };

struct turn_entry {
    enum turn_entry_kind kind;
    char *id, *text, *status;
    bool child; /* of a subagent */
};

struct turn {
    char *pod, *session;
    char *id;         /* of its first message in OpenCode; "" until there is one */
    char *last;       /* the newest message heard of; ids sort by time */
    char *since;      /* the newest of the turns before; "" when not known */
    int64_t begun_ms; /* wall clock */
    double cost;      /* of the session when it began */
    int64_t tokens;
    struct turn_entry *entries;
    size_t count, cap, bytes;
    bool full; /* something was left out */
    struct turn_diff {
        char *message;
        int64_t files, added, removed;
    } * diffs;
    size_t n_diffs;
    uint64_t *shown; /* of each page, what was sent last */
    size_t n_shown;
};

/* NULL when out of memory. */
struct turn *turn_new(const char *pod, const char *session, int64_t now_ms);
void turn_free(struct turn *t);
/* Begins anew for the same session; `last` stays. */
int turn_restart(struct turn *t, int64_t now_ms, double cost, int64_t tokens);

/* 1 it changed, 0 nothing new, -ENOMEM. Of a message of the turns before nothing is taken. */
int turn_add(struct turn *t, const struct activity *a);
/* The same of what is read anew from OpenCode, oldest first. Where nothing is known of the session,
 * the turn is what follows its last prompt. */
struct turn_history {
    bool unknown;  /* set by turn_history_begin() */
    bool prompted; /* what comes next belongs to a later prompt */
};
struct turn_history turn_history_begin(const struct turn *t);
int turn_add_history(struct turn *t, const struct activity *a, struct turn_history *h);
/* What follows is shown on a new page: below what was posted in between. */
int turn_break(struct turn *t);
bool turn_empty(const struct turn *t);

/* How it ended, for the last line. */
struct turn_end {
    enum session_status status;
    const char *text; /* "aborted", or what went wrong */
    int64_t now_ms;
    double cost; /* of the session now */
    int64_t tokens;
};
/* "Done in 1 min 12 s · 3 files +10 −2 · 5 tools · $0.03 · 4.2k tokens", mrkdwn. */
void turn_footer(struct buf *out, const struct turn *t, const struct turn_end *end);
/* The first line of the last text, for notifications; plain. */
const char *turn_last_text(const struct turn *t);

struct turn_page {
    cJSON *message; /* text and blocks */
    uint64_t hash;
    char *file; /* this text belongs to it as a file: it does not fit; malloc'ed or NULL */
};
struct turn_pages {
    struct turn_page *page;
    size_t count;
};
/* `stop` puts a button with that value below the last page, `end` (may be NULL) its footer. 0 or
 * -ENOMEM. */
int turn_render(const struct turn *t, const char *stop, const struct turn_end *end,
                struct turn_pages *ret);
void turn_pages_release(struct turn_pages *p);

/* malloc'ed; NULL when out of memory. */
char *turn_save(const struct turn *t);
/* Takes over what was saved; 0, -EINVAL, -ENOMEM. */
int turn_load(struct turn *t, const char *json);
