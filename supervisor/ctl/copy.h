/* Copies a folder's sources to a new place, all or nothing. */
#pragma once

#include "base/core/error.h"

/* Copies regular files, links and folders from `from` to `to`, which must not exist; what is built
 * or installed (node_modules, dist, .git) is left out. The copy appears under its name only when it
 * is whole. 0 or -errno with `e` (-EEXIST: something is there). */
int copy_tree(const char *from, const char *to, struct error *e);
