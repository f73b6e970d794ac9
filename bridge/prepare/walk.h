/* Lists a plugin's files with their metadata, sorted by path, for the stamps. */
#pragma once

#include "bridge/prepare/stamp.h"

/* Every regular file and symbolic link but those below node_modules, dist and .git at the top. */
int walk_sources(const char *plugin, struct stamp *ret, struct error *e);

/* Those that decide what npm installs. */
int walk_npm_files(const char *plugin, struct stamp *ret, struct error *e);

/* Appends a copy of `entry` (its path is copied too). 0, -ENOMEM, -E2BIG past 20,000. */
int walk_add(struct stamp *s, const struct filelist_entry *entry);
