/* People's answers to the agent's questions: buttons, boxes, the form, and words in a thread.
 * Checked against the allow-list; the first one wins; success is shown when OpenCode confirmed it,
 * by requests.c. */
#pragma once

#include "base/json/json.h"

#include <stdbool.h>

struct slack;

/* A click, of a payload that was acknowledged already; false when it is none of these. */
bool answer_action(struct slack *s, const cJSON *payload, const char *action_id);

/* What the form's acknowledgement says when something is left open, else NULL. */
cJSON *answer_view_check(const cJSON *payload);
void answer_view_submission(struct slack *s, const cJSON *payload);

/* A reply of somebody who may, in a thread where a question waits, is its answer. False when
 * nothing of the kind waits there: a message for the agent. */
bool answer_by_text(struct slack *s, const char *pod, const char *session_id, const char *channel,
                    const char *thread_ts, const char *user, const char *text);
