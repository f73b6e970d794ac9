/* People's answers to the agent's questions: buttons, boxes, the form, and words in a thread.
 * Checked against the allow-list; the first one wins; success is shown when OpenCode confirmed it,
 * by requests.c. */
#pragma once

#include "base/json/json.h"

#include <stdbool.h>

struct slack;
struct intake_item;
struct thread_words; /* wish.h */

/* Whether a click answers: those are stored before they are acknowledged. */
bool answer_is_click(const char *action_id);
/* A click, or the form, not acknowledged yet: stored. 0, or -errno: it must not be acknowledged. */
int answer_keep(struct slack *s, const cJSON *payload);
/* Works off what that stored. */
void answer_work(struct slack *s, struct intake_item *i);

/* A click that only opens the form; false when it is none of these. */
bool answer_opens_form(struct slack *s, const cJSON *payload, const char *action_id);

/* What the form's acknowledgement says when something is left open, else NULL. */
cJSON *answer_view_check(const cJSON *payload);

/* A reply of somebody who may, in a thread where a question waits, is its answer. True: it has
 * taken the item. False when nothing of the kind waits there: a message for the agent. */
bool answer_by_text(const struct thread_words *t);
