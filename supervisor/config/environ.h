/* Which variables of the env file go where. The file lies on the volume that the agent works on: it
 * may shape the agent's own environment, but not those of the processes that guard it. */
#pragma once

#include "base/core/buf.h"
#include "supervisor/config/builtin.h"
#include "supervisor/config/config.h"

#include <stdbool.h>

/* Whether PID 1 takes this variable of the env file as a secret: one that somebody else gave us,
 * and none of those that guard the agent (these are generated, or set on the pod). */
bool env_file_secret(const char *name);

/* Whether a service with row `b` gets it as it is. */
bool env_file_passes(const struct builtin *b, const char *name);

/* A warning for each variable that is kept from those who would have it otherwise. */
void env_file_warn(const struct config *c, struct buf *warnings);
