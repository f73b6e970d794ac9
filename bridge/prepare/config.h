/* Tells OpenCode about the plugin, and steers it around configuration that would stop it. Writes
 * two files in the runtime folder, opencode.json and opencode.env; the user's files are only read.
 */
#pragma once

#include "bridge/prepare/report.h"
#include "bridge/prepare/settings.h"

#include <stdbool.h>

/* `entry`: the folder from which OpenCode is to load the plugin; NULL: none. 0, or a negative errno
 * with `e` when OpenCode can't be told. */
int config_write(const struct settings *s, const char *entry, struct report *report,
                 struct error *e);
