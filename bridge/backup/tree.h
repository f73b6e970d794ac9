/* A folder copied while others write in it. */
#pragma once

#include "base/core/error.h"

#include <stddef.h>

struct tree_count {
    size_t files, databases, left_out;
};

/* Copies what is below `from` into the existing, empty folder `to`: databases by SQLite's online
 * backup, other files as they are read, links as links. What vanishes on the way is not missed;
 * sockets and the like are left out. 0 or -errno with `e`. */
int tree_copy(const char *from, const char *to, struct tree_count *count, struct error *e);

/* Whether `path` is a folder with nothing in it but what a new file system brings. */
int tree_is_empty(const char *path);
