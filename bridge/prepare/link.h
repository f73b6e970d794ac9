/* The plugin link, ~/.config/opencode/node_modules/@opencode/bridge-plugin. OpenCode itself does
 * not look there; people and the acceptance do. */
#pragma once

#include "base/core/error.h"

#include <stdbool.h>
#include <stddef.h>

/* Is the link there and does it name `target`? */
bool link_is(const char *link, const char *target);

/* Makes it so, by rename of a new link, with the folders above it. What stands in its place and is
 * no link is moved aside to `<link>.replaced-by-codev-<n>`; `moved` then names that, else "".
 * -EEXIST when a hundred such names are taken. */
int link_put(const char *link, const char *target, char *moved, size_t moved_size, struct error *e);
