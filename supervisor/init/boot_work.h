/* The part of the boot that touches file systems, and so may hang: done by a helper. */
#pragma once

#include <stdint.h>

#include "supervisor/volumes/volumes.h"

enum boot_record {
    BOOT_VOLUME,    /* struct boot_volume */
    BOOT_STATE_DIR, /* its path */
    BOOT_SECRET,    /* "NAME=VALUE" */
    BOOT_NOTE,      /* a line for the log: what was given up on */
    BOOT_JUDGED,    /* empty: all that services wait for was told */
    BOOT_HOLD,      /* why OpenCode must not start yet; "": it may */
    BOOT_RECORD_MAX,
};

struct boot_volume {
    uint32_t index;
    struct volume_report report;
};

struct supervisor;
/* For helper_start(): verifies the volumes, finds the state folder, loads or makes its secrets,
 * tells BOOT_JUDGED, and writes the boot ledger; where a volume is bad, the ledger comes first,
 * since its policy may end the boot there. */
void boot_work(int fd, void *supervisor);

/* Makes those secrets that are generated and not there, in memory: when no state folder could be
 * had. */
void boot_generate_secrets(struct supervisor *sv);
