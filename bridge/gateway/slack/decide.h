/* People's decisions: buttons, the form for a reason, and words in a thread. Each is checked
 * against the allow-list; the first one wins; success is shown only when OpenCode confirmed it,
 * by requests.c. */
#pragma once

#include "base/json/json.h"

#include <stdbool.h>

struct slack;

/* The payload of an interactive envelope that was acknowledged already. */
void decide_block_actions(struct slack *s, const cJSON *payload);
void decide_view_submission(struct slack *s, const cJSON *payload);

/* "allow", "always", "deny [reason]" of somebody who may, in the thread of a session. False when
 * the text is no decision, but a message for the agent. */
bool decide_by_text(struct slack *s, const char *pod, const char *session_id, const char *channel,
                    const char *thread_ts, const char *user, const char *text);
