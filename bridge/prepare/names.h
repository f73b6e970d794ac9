/* Does a config name our plugin, and how? */
#pragma once

#include "bridge/prepare/source.h"

#define PLUGIN_NAME "@opencode/bridge-plugin"

/* Sets names and bare of a source whose json is there. */
void names_judge(struct source *s, const char *plugin);

/* The absolute path that a plugin entry means; NULL for an npm name. malloc'ed. */
char *names_path(const char *spec, const char *folder);
