/* The life of a request as a table; nothing else decides what follows what. */
#pragma once

#include "bridge/gateway/core/core.h"

enum request_event {
    REQUEST_DECIDED,   /* a person (or the deadline) decided */
    REQUEST_REPLIED,   /* OpenCode says how it was answered */
    REQUEST_CONFIRMED, /* OpenCode took our decision and has the request no more */
    REQUEST_VOIDED,    /* OpenCode has it no more, and not by our decision */
    REQUEST_EVENT_MAX,
};

enum request_action {
    REQUEST_IGNORE,        /* nothing changes */
    REQUEST_REFUSE,        /* somebody was first */
    REQUEST_TAKE_DECISION, /* → DECIDING */
    REQUEST_SETTLE_OURS,   /* → SETTLED with the decision that we have */
    REQUEST_SETTLE_THEIRS, /* → SETTLED as OpenCode says, unless that is our decision */
    REQUEST_SETTLE_GONE,   /* → SETTLED, gone */
    REQUEST_ACTION_MAX,
};

enum request_action request_table(enum request_state state, enum request_event event);
const char *request_state_name(enum request_state state); /* "pending", "deciding", "settled" */
const char *request_event_name(enum request_event event);
