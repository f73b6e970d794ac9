/* What people write: a reply in a session's thread is a message to the agent (or a decision, or
 * !stop); a mention or a direct message starts a session. */
#pragma once

#include "base/json/json.h"

struct slack;
struct intake_item;

/* The payload of an events_api envelope, not acknowledged yet: stored when it is meant for us.
 * Delivered twice, stored once. 0, or -errno: it must not be acknowledged. */
int inbound_event(struct slack *s, const cJSON *payload);

/* The message shortcut "Send to session"; the same. */
int inbound_shortcut(struct slack *s, const cJSON *payload);

/* A message found in a channel or thread, perhaps long after it was written: as its event. */
int inbound_past(struct slack *s, const char *channel, const cJSON *message);

/* Works off what these stored. */
void inbound_work(struct slack *s, struct intake_item *i);
