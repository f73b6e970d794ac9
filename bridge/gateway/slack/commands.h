/* Slash commands: /opencode and /focus. */
#pragma once

#include "base/json/json.h"

struct slack;

/* Does what the command says and returns the payload of its acknowledgement, which the person
 * sees: a message only for them. The caller frees it. */
cJSON *commands_handle(struct slack *s, const cJSON *payload);
