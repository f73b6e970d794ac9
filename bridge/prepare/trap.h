/* OpenCode's offline dependency trap (facts found on 1.18.33): for each config folder it installs
 * @opencode-ai/plugin by npm, and once any external plugin is configured every first request of a
 * directory waits for that: 70 to 90 s when the registry can't be reached. It takes a folder for
 * installed when node_modules is there and package-lock.json names every dependency. */
#pragma once

#include "bridge/prepare/report.h"

/* Disarms the trap in one config folder, if there is one and nothing in it is the user's business:
 * his own package.json or lock stays as it is, and where he has plugins or tools of his own (which
 * may import @opencode-ai/plugin) OpenCode's install is left to do its work; a lock that we put
 * there before is taken away again. Then only the shorter retries in opencode.env help. */
void trap_disarm(const char *folder, struct report *report);

/* Disarms it for good in a folder of ours that nobody installs anything in, and puts the .gitignore
 * there that OpenCode would write. 0 or a negative errno with `e`. */
int trap_close(const char *folder, struct error *e);
