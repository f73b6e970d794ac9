/* Sessions and what waits in them, as lists for people: commands' answers and the Home tab. */
#pragma once

#include "base/core/buf.h"
#include "base/json/json.h"
#include "bridge/gateway/core/core.h"

#include <stdbool.h>
#include <stddef.h>

struct slack;

#define ACTION_RESUME "session_resume"
#define LIST_MAX      10

/* Which sessions: those that all these words are in (title, id, pod, directory, status), and that
 * are at work if `busy`. */
struct list_filter {
    const char *words;
    bool busy;
};
/* One that was found; strings are copies. */
struct list_match {
    char *pod, *id, *title;
};
/* How many match; the first of them in `ret`, which list_match_release() frees. */
size_t list_find(struct slack *s, const struct list_filter *f, struct list_match *ret);
void list_match_release(struct list_match *m);

/* A block for each of the first LIST_MAX, latest first, with a button: Stop for one that is at
 * work, Open thread for one that has none. Returns how many match. */
size_t list_add_sessions(struct slack *s, cJSON *blocks, const struct list_filter *f, bool buttons);
/* A line for each open request, with a link to its message. Returns how many there are. */
size_t list_put_requests(struct slack *s, struct buf *out, size_t max);
/* A block for each that waits on the web page, with a button that brings it here. */
void list_add_resting(struct slack *s, cJSON *blocks);
/* All that is known of one session, mrkdwn. */
void list_put_details(struct slack *s, struct buf *out, const char *pod, const char *id);

/* "<link|title>" to its thread; without a thread the title alone. */
void list_put_link(struct slack *s, struct buf *out, const char *pod, const char *id,
                   const char *title);
/* "4 sessions, 1 at work". */
void list_put_counts(struct slack *s, struct buf *out);
