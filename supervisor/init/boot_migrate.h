/* OpenCode's files one level too high on the state volume (SPEC V4): moved by the boot helper
 * before anything else is written. */
#pragma once

#include "supervisor/plan/plan.h"
#include "supervisor/volumes/volumes.h"

#include <stddef.h>

/* Changes `report` to what holds afterwards; `note` gets a line for the log, or stays as it is. */
void boot_migrate(const char *home, const struct plan_volume *volume,
                  const struct volume_spec *spec, const struct mount_table *mounts,
                  struct volume_report *report, char *note, size_t size);
