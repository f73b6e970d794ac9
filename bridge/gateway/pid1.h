/* The gateway and PID 1: our links are noted in its status, its news about volumes become notices.
 * Without a control socket it is quiet and looks again now and then. */
#pragma once

#include "base/core/error.h"

struct core;
struct pid1;

/* Before core_start(): registers with the core. 0, or -errno with `e`. */
int pid1_new(struct pid1 **ret, struct core *core, struct error *e);
/* Frees in the loop. NULL is fine. */
void pid1_free(struct pid1 *p);
