/* What people do with buttons, lists and forms, handed to the part it belongs to. */
#pragma once

#include "base/json/json.h"

struct slack;

/* What the acknowledgement of an interactive envelope has to say: the fields of a form that are not
 * right. Looks at nothing but the payload. The caller owns it; NULL: nothing is wrong. */
cJSON *interact_check(const cJSON *payload);

/* The payload of an interactive envelope, not acknowledged yet: what decides something is stored,
 * what only opens a form is done. 0, or -errno: it must not be acknowledged. */
int interact(struct slack *s, const cJSON *payload);
