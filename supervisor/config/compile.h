/* From a checked configuration to the plan that PID 1 runs. */
#pragma once

#include "base/core/error.h"
#include "supervisor/config/config.h"

#include <stddef.h>

/* `*ret` is malloc'ed. `c` must have been loaded without errors. 0, or -errno with `e`. */
int config_compile(const struct config *c, void **ret, size_t *ret_size, struct error *e);
