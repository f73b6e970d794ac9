/* Shows the effective configuration, with the source of each value and secrets masked. */
#pragma once

#include "base/core/buf.h"
#include "supervisor/config/config.h"

void config_print_text(const struct config *c, struct buf *out);
void config_print_json(const struct config *c, struct buf *out);
