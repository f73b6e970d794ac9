/* Steers OpenCode around what would keep it from starting or from answering: broken configuration,
 * folders that it can't have. By environment variables only; nothing of the user's is changed. */
#pragma once

#include "base/core/buf.h"
#include "bridge/prepare/report.h"
#include "bridge/prepare/sources.h"

/* Appends lines to `env`, with a note for each. 0 or a negative errno with `e`. */
int steer_around(const struct settings *s, const struct sources *all, struct buf *env,
                 struct report *report, struct error *e);

/* Appends NAME=VALUE; a value with a newline can't be told and is left out. */
void steer_env(struct buf *env, const char *name, const char *value);
