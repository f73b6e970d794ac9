/* Is OpenCode running, so that the agent may be at work while we look at its files? By PID 1's
 * status; false without a supervisor, true when it does not say. Waits up to a minute for one that
 * is being stopped. */
#pragma once

#include <stdbool.h>

bool opencode_runs(void);
