/* OpenCode's files one level too high on the state volume (SPEC V4): moved by the boot helper
 * before anything else is written. */
#pragma once

#include "supervisor/plan/plan.h"
#include "supervisor/volumes/volumes.h"

#include <stdbool.h>
#include <stddef.h>

/* Are there files to be moved on this volume, as the plan wants it? Until boot_migrate() returned
 * true OpenCode must not start: it would make a database of its own in the new place, and throw
 * away the write-ahead log that may have been moved there before its database. */
bool boot_migrate_due(const char *home, const struct plan_volume *volume, const char *path,
                      const struct volume_report *report);

/* Changes `report` to what holds afterwards; `note` gets a line for the log, or stays as it is.
 * False: some files of a set may have moved and others not, or none has where all should. */
bool boot_migrate(const char *home, const struct plan_volume *volume,
                  const struct volume_spec *spec, const struct mount_table *mounts,
                  struct volume_report *report, char *note, size_t size);
