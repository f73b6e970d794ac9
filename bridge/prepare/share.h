/* The OpenCode configuration on the volume, $HOME/src/.opencode, made to count everywhere. OpenCode
 * reads that folder only for directories that lie beside it; linked from ~/.config/opencode it
 * counts for the repositories too.
 *
 * Not the folder is linked but single files and folders in it: linked as a whole, OpenCode would
 * load the plugins in it twice (tried on 1.18.33), and its npm would prune the plugin link. */
#pragma once

#include "bridge/prepare/report.h"

/* Links what is in `from` (the volume) into `to` (~/.config/opencode), only where the name is free
 * and OpenCode takes the same thing twice without harm; removes own links that lead nowhere. A
 * config file with relative paths in it is not linked, with a note: they would lead elsewhere. */
void share_config(const char *from, const char *to, struct report *report);
