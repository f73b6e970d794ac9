/* Judges the answer of `status`. */
#pragma once

#include "base/json/json.h"

#include <stdbool.h>

/* All is well: ready and live, every service up or done, every volume
 * right, the plugin ready or disabled, no link failed,
 * the sessions' states pushed or on their way. */
bool status_is_well(const cJSON *status);

bool service_is_well(const cJSON *service);
