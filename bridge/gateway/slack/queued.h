/* Messages that people wrote while the agent was at work: OpenCode has them and reads them when the
 * turn ends. Each is shown as queued, with a button that does not wait for that. */
#pragma once

#include "base/json/json.h"

#include <stdbool.h>

struct slack;

#define ACTION_SEND_NOW "queued_send_now"

struct queued_message {
    const char *pod, *session_id, *message_id, *user, *text;
};
/* OpenCode took the message of somebody while its session was at work. */
void queued_add(struct slack *s, const struct queued_message *m);

/* The turn ended: OpenCode has read what was queued, unless somebody stopped it. What was to be
 * sent at once is sent. */
void queued_turn_ended(struct slack *s, const char *pod, const char *session_id, bool stopped);

/* Clicks on "Send now", "Stop" and "Open thread"; false when it is none of these. */
bool queued_action(struct slack *s, const cJSON *payload, const char *action_id);
