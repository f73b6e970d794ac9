/* Stamps: which inputs a good install or build was made from, by content.
 *
 * A stamp lies in what it vouches for (node_modules/.codev-stamp, dist/.codev-stamp), is removed
 * before that is touched and written after it is whole: a killed step leaves no stamp. It lists
 * each input with its content hash and, as a shortcut, size, mtime and inode: where these are as
 * before, nothing is read. A file changed within a second before the list was made is always read,
 * since a change in the same clock tick would not show. */
#pragma once

#include "base/core/cleanup.h"
#include "base/core/error.h"
#include "bridge/prepare/filelist.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum stamp_kind {
    STAMP_INSTALL, /* package.json and what npm reads beside it */
    STAMP_BUILD,   /* every file of the plugin but node_modules, dist and .git */
    STAMP_KIND_MAX,
};

struct stamp {
    struct filelist_entry *entries; /* sorted by path */
    size_t count, room;
    uint64_t taken_ns; /* wall clock when the list was begun */
};

void stamp_release(struct stamp *s);
#define _cleanup_stamp_ _cleanup_(stamp_release)

enum { STAMP_STALE, STAMP_CURRENT, STAMP_SLOW };

/* STAMP_CURRENT: made from what is there now. STAMP_SLOW: so it is, but files had to be read to
 * see that; `refresh` puts the stamp's shortcut right (under the lock only: writing a stamp that
 * another pod has just removed would vouch for its half install). STAMP_STALE: not, or no stamp.
 * A negative errno with `e`. */
int stamp_check(const char *plugin, enum stamp_kind kind, bool refresh, struct error *e);

/* Lists and hashes the inputs. At most 20,000 files, 32 levels, 64 MiB a file. */
int stamp_take(const char *plugin, enum stamp_kind kind, struct stamp *ret, struct error *e);

/* After the step: files that the step itself made are inputs of the next one as they are now; a
 * file changed meanwhile keeps its old hash, so that the next check finds it changed. */
int stamp_take_after(const char *plugin, enum stamp_kind kind, const struct stamp *before,
                     struct stamp *ret, struct error *e);

int stamp_write(const char *plugin, enum stamp_kind kind, const struct stamp *s, struct error *e);
int stamp_remove(const char *plugin, enum stamp_kind kind, struct error *e);
