/* People's decisions: buttons, the form for a reason, and words in a thread. Each is checked
 * against the allow-list; the first one wins; success is shown only when OpenCode confirmed it,
 * by requests.c. */
#pragma once

#include "base/json/json.h"

#include <stdbool.h>

struct slack;
struct intake_item;
struct thread_words; /* wish.h */

/* The payload of an interactive envelope, not acknowledged yet: a decision is stored. 0, or -errno:
 * it must not be acknowledged. */
int decide_block_actions(struct slack *s, const cJSON *payload);
int decide_view_submission(struct slack *s, const cJSON *payload);

/* Works off what these two stored. */
void decide_work(struct slack *s, struct intake_item *i);

/* "allow", "always", "deny [reason]" of somebody who may, in the thread of a session. True: it has
 * taken the item. False when the text is no decision, but a message for the agent. */
bool decide_by_text(const struct thread_words *t);
