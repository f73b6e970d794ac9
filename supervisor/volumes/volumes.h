/* Judges the persistent volumes: is the right thing mounted at the right place, does it work, is
 * there room. Everything here may block on a dead file system: call it from a process that may
 * hang, never from PID 1's loop. */
#pragma once

#include "base/core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum finding_level { FINDING_OK, FINDING_WARN, FINDING_BAD, FINDING_LEVEL_MAX };

/* One row per kind of finding; names are stable, for programs. */
enum finding_code {
    FINDING_FINE,
    FINDING_NOT_MOUNTED, /* no mount point of its own */
    FINDING_OLD_PLACE,   /* a volume is mounted at the old .local/share/opencode instead */
    FINDING_SHADOWED,    /* another mount lies over it, or a second volume below it */
    FINDING_WRONG_FS,    /* overlay, or another file system of the image */
    FINDING_READ_ONLY,
    FINDING_NOT_WRITABLE, /* for the user that runs */
    FINDING_IO_ERROR,     /* write, fsync, rename, read back or unlink failed */
    FINDING_LOW_SPACE,
    FINDING_LOW_INODES,
    FINDING_MISSING,       /* the folder is not there */
    FINDING_NO_ANSWER,     /* the check hung; set by the caller */
    FINDING_BAD_MOUNTINFO, /* /proc/self/mountinfo could not be read or understood */
    FINDING_OLD_LAYOUT,    /* OpenCode's files lie one level too high, and are not moved */
    FINDING_MIGRATE_ERROR, /* moving them failed half-way; set by the caller */
    FINDING_CODE_MAX,
};
const char *finding_code_name(enum finding_code code); /* "not_mounted", … */

struct finding {
    enum finding_level level;
    enum finding_code code;
    char message[400]; /* one line: what is wrong and what to change in the manifest */
};

#define VOLUME_FINDINGS_MAX 8
struct volume_report {
    struct finding findings[VOLUME_FINDINGS_MAX]; /* the gravest first; at least one */
    size_t count;
    uint64_t bytes_total, bytes_free; /* 0 when unknown; free: for an ordinary user */
    uint64_t inodes_total, inodes_free;
    char fs_type[32], source[128], options[256];
    dev_t device;
};

struct volume_spec {
    const char *path; /* absolute */
    uint64_t min_free, min_inodes;
};

/* One line of /proc/self/mountinfo, proc(5), with octal escapes resolved. Pointers go into the
 * table's own memory. */
struct mount_entry {
    int id, parent;
    unsigned dev_major, dev_minor;
    const char *root, *mount_point, *mount_options, *fs_type, *source, *super_options;
};
struct mount_table {
    struct mount_entry *entries;
    size_t count;
    char *text;
};
/* Parses the text of a mountinfo file. 0, -ENOMEM, or -EBADMSG naming the line. */
int mount_table_parse(struct mount_table *ret, const char *text, size_t len, struct error *e);
int mount_table_read(struct mount_table *ret, struct error *e); /* /proc/self/mountinfo */
void mount_table_release(struct mount_table *t);
/* The entry whose mount point is exactly `path`: the last one, which is on top. NULL: none. */
const struct mount_entry *mount_table_at(const struct mount_table *t, const char *path);
/* The entry that `path` lies on. NULL only for an empty table. */
const struct mount_entry *mount_table_covering(const struct mount_table *t, const char *path);

/* The whole first judgement (SPEC V1): mount table, then a write, fsync, rename, read-back and
 * unlink in the volume, then space. Never fails: what goes wrong is a finding. `mounts` may be
 * NULL when it could not be read (`mounts_error` then says why). */
void volume_verify(const struct volume_spec *spec, const struct mount_table *mounts,
                   const char *mounts_error, struct volume_report *ret);

/* The repeated judgement (SPEC V3): the same, but it writes only where nothing is wrong so far. */
void volume_watch(const struct volume_spec *spec, const struct mount_table *mounts,
                  const char *mounts_error, struct volume_report *ret);

/* What shows that OpenCode's files lie at the root of `volume`, one level too high, as on a volume
 * that was once mounted at .local/share/opencode: the name of one of them, or NULL. */
const char *volume_old_layout(const char *volume);

/* Moves them into share/opencode (SPEC V4) by rename, never over anything, and leaves a note there
 * (codev-moved.txt). Killed anywhere, the next call goes on. 0 also when there is nothing to do;
 * -EEXIST when a file is in both places (nothing is moved then); else -errno, with `e`.
 * `*ret_moved`: how many were moved by this call. */
int volume_migrate(const char *volume, unsigned *ret_moved, struct error *e);

/* The boot ledger (SPEC V5): appends one line of JSON to DIR/boots.jsonl and fsyncs; keeps the
 * newest LEDGER_LINES_MAX lines. `line` without newline. 0 or -errno. */
#define LEDGER_LINES_MAX 500
int ledger_append(const char *dir, const char *line, struct error *e);
