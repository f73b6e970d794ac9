/* /opencode start: its form opens at once, with what was typed after the command; agents and models
 * were read from OpenCode before (core_catalog()). */
#pragma once

#include "base/json/json.h"

struct slack;
struct intake_item;

/* Opens the form for somebody who may. 0 or -errno. */
int start_open(struct slack *s, const char *trigger, const char *response_url, const char *typed);
/* It was sent, and is not acknowledged yet: stored. 0, or -errno: it must not be acknowledged. */
int start_keep(struct slack *s, const cJSON *payload);
/* Works off what that stored: the session begins, its thread follows. */
void start_work(struct slack *s, struct intake_item *i);
