/* Keeps the plugin link where it belongs while OpenCode runs: its own npm may prune it. */
#pragma once

#include "bridge/prepare/settings.h"

/* Returns only on trouble of its own: a negative errno with `e`. */
int watch_link(const struct settings *s, struct error *e);
