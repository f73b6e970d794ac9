/* A consistent copy of a SQLite database that others are writing to: the gateway's, OpenCode's. */
#pragma once

#include "base/core/error.h"

#include <stdbool.h>

/* Whether `path` begins as a SQLite database does. */
bool store_is_database(const char *path);

/* Copies the database at `from` to the new file `to` (mode 0600) as it is at one moment, by
 * SQLite's online backup: readers and, in WAL mode, writers go on. The copy is checked. 0, -EUCLEAN
 * for a damaged one, or -errno, with `e`. */
int store_copy(const char *from, const char *to, struct error *e);
