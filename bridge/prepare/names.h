/* Does a config name our plugin, and how? */
#pragma once

#include "bridge/prepare/source.h"

#define PLUGIN_NAME "@opencode/bridge-plugin"

/* Sets names and bare of a source whose json is there. */
void names_judge(struct source *s, const char *plugin);

/* Does `path`, links followed, lie in the plugin folder, or is it that? */
bool names_leads_into(const char *path, const char *plugin);

/* The good source's text without its entries that name our plugin, for a copy of it beside which
 * the plugin is named once more. malloc'ed; NULL when out of memory. */
char *names_without(const struct source *s, const char *plugin);

/* The absolute path that a plugin entry means; NULL for an npm name. malloc'ed. */
char *names_path(const char *spec, const char *folder);
