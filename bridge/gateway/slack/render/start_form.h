/* The form that starts a session, and what comes back in it. Pure. */
#pragma once

#include "base/core/buf.h"
#include "base/json/json.h"

#define MODAL_START "start_session"

#define START_PODS_MAX 100 /* options of a list */

struct start_form {
    const char *catalog_json; /* as core_catalog() */
    const char *const *pods;  /* asked for when there are several; the first is the default */
    size_t n_pods;            /* at most START_PODS_MAX */
    const char *typed;        /* raw */
    const char *metadata;     /* comes back with the form */
};
cJSON *start_modal(const struct start_form *f);

/* What the form's acknowledgement says when something needed is missing, else NULL. */
cJSON *start_view_check(const cJSON *payload);

/* One field, from the state of the form; "" when it is empty. */
const char *start_value(const cJSON *values, const char *id);
/* The task for the agent: the description, then what else was said. */
void start_prompt(struct buf *out, const cJSON *values);
