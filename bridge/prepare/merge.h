/* Our own OpenCode config file: the plugin's entry, on top of what the user's OPENCODE_CONFIG says
 * (that variable can name one file only). */
#pragma once

#include "bridge/prepare/source.h"

/* The text, malloc'ed; NULL when out of memory. `custom` may be NULL or have no json; its relative
 * plugin paths and {file:…} become absolute, as the copy lies elsewhere. `plugin` NULL: no entry.
 * `guard`: another one, a file, or NULL.
 * `instructions`: a file that OpenCode is to read besides, or NULL. */
char *merge_config(const struct source *custom, const char *plugin, const char *guard,
                   const char *instructions);
