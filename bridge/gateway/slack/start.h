/* /opencode start: its form opens at once, with what was typed after the command; agents and models
 * were read from OpenCode before (core_catalog()). */
#pragma once

#include "base/json/json.h"

struct slack;

/* Opens the form for somebody who may. 0 or -errno. */
int start_open(struct slack *s, const char *trigger, const char *response_url, const char *typed);
/* It was sent: the session begins, its thread follows. */
void start_view_submission(struct slack *s, const cJSON *payload);
