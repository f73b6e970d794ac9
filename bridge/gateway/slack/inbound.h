/* What people write: a reply in a session's thread is a message to the agent (or a decision, or
 * !stop); a mention or a direct message starts a session. */
#pragma once

#include "base/json/json.h"

struct slack;

/* The payload of an events_api envelope that was acknowledged already. Delivered twice, done
 * once. */
void inbound_event(struct slack *s, const cJSON *payload);

/* The message shortcut "Send to session". */
void inbound_shortcut(struct slack *s, const cJSON *payload);
