/* Is OpenCode running, so that the agent may be at work while we look at its files? By PID 1's
 * status; false without a supervisor, true when it does not say. */
#pragma once

#include <stdbool.h>

bool opencode_runs(void);
