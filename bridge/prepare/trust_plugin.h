/* The plugin by its accepted copy (trust.h): what stands in for install, build and use where
 * OpenCode has a sandbox. */
#pragma once

#include "bridge/prepare/prepare.h"

/* The plugin is at its place. True when there is one to use: then p->entry is its copy. */
bool trust_plugin(struct prepare *p);

/* There is none: one that appears later must be accepted. */
void trust_plugin_absent(struct prepare *p);
