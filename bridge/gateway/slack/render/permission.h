/* What a permission request looks like in Slack, in each of its states. Pure: a request in, a
 * message out. */
#pragma once

#include "base/core/buf.h"
#include "base/json/json.h"
#include "bridge/gateway/core/core.h"

#define ACTION_ONCE   "allow_once"
#define ACTION_ALWAYS "allow_always"
#define ACTION_DENY   "deny"
#define ACTION_REASON "deny_reason"
#define MODAL_DENY    "deny_with_reason"
#define REASON_BLOCK  "reason"
#define REASON_INPUT  "text"
#define REASON_MAX    1000

/* {"text":…,"blocks":[…]}: with buttons while it waits; who decides, then who decided what and
 * when; or that it is gone. NULL when out of memory. */
cJSON *permission_message(const struct request *r);

/* What it asks for, whole, malloc'ed, when the message shows only its beginning and end; else
 * NULL. */
char *permission_whole(const struct request *r);

/* What of the request is to be seen: when it is the same, the message need not change. */
void permission_fingerprint(struct buf *out, const struct request *r);

/* The value of its buttons, opaque to Slack: which request. */
void permission_value(struct buf *out, const char *pod, const char *request_id);
/* `copy` (a copy of the value) is cut in two; false when it is none of ours. */
bool permission_value_parse(char *copy, const char **ret_pod, const char **ret_id);

/* The form that asks for a reason; `metadata` comes back with it. */
cJSON *permission_reason_modal(const struct request *r, const char *metadata);

/* "Allowed once by <@U1>", "Answered in OpenCode: Red": for people, mrkdwn. */
void permission_outcome(struct buf *out, const struct request *r);

/* Lines of a request's message: where it comes from; who decides or decided. */
void permission_add_where(cJSON *blocks, const struct request *r);
void permission_add_outcome(cJSON *blocks, const struct request *r);
