/* The form that starts a session, and what comes back in it. Pure. */
#pragma once

#include "base/core/buf.h"
#include "base/json/json.h"

#define MODAL_START "start_session"

/* `catalog_json` as core_catalog(); `typed` is raw; `metadata` comes back with the form. */
cJSON *start_modal(const char *catalog_json, const char *typed, const char *metadata);

/* What the form's acknowledgement says when something needed is missing, else NULL. */
cJSON *start_view_check(const cJSON *payload);

/* One field, from the state of the form; "" when it is empty. */
const char *start_value(const cJSON *values, const char *id);
/* The task for the agent: the description, then what else was said. */
void start_prompt(struct buf *out, const cJSON *values);
