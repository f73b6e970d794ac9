/* A small module of ours that OpenCode loads as a plugin, where it reads accepted copies: from then
 * on no code from elsewhere is loaded into its process. OpenCode 1.18.33 has a second loader, which
 * reads a project's plugins at the first turn whatever OPENCODE_DISABLE_PROJECT_CONFIG says, and it
 * installs packages from npm into a cache that the agent can write to. */
#pragma once

#include "base/core/error.h"

/* Writes it into `folder` (the runtime folder's xdg-config, closed to the agent for writing), whose
 * modules alone it lets through. `*ret_path` is malloc'ed. 0 or -errno. */
int guard_write(const char *folder, char **ret_path, struct error *e);
