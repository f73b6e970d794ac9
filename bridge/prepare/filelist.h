/* A list of files with their contents' hashes: what a person accepted, and what is there now. */
#pragma once

#include "base/core/cleanup.h"
#include "base/core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One file; of a stamp, too (stamp.h), which knows no `from` and no `link`. */
struct filelist_entry {
    char *path; /* relative */
    char *from; /* where the file lies; NULL in a list that was loaded */
    bool link;  /* listed as one: what counts is what it leads to, by name */
    uint64_t ino, size, mtime_ns;
    char hash[41]; /* as git's blob id; "": not yet known */
};

struct filelist {
    struct filelist_entry *entries; /* sorted by path after filelist_hash */
    size_t count, room;
    uint64_t bytes, taken_ns;
    char id[41];     /* of all paths and contents; by filelist_hash */
    char folder[64]; /* of a record: the accepted copy beside it; "": nothing was there */
};

void filelist_release(struct filelist *l);
#define _cleanup_filelist_ _cleanup_(filelist_release)

enum filelist_flags {
    FILELIST_FOLLOW = 1 << 0,  /* links count as what they lead to; else they are listed as links */
    FILELIST_SOURCES = 1 << 1, /* not node_modules, dist, .git at the top */
    FILELIST_CONFIG = 1 << 2,  /* not what OpenCode's npm makes at the top */
    FILELIST_MODULES = 1 << 3, /* a node_modules: not the link to our plugin */
    FILELIST_NO_CONFIG_FILES = 1 << 4, /* not opencode.json and its kind at the top */
    FILELIST_DIST = 1 << 5,            /* with FILELIST_SOURCES: dist is a source, too */
};

/* At most that much in one list; -E2BIG beyond. */
#define FILELIST_FILES ((size_t)4000)
#define FILELIST_BYTES ((uint64_t)32 << 20)

/* Adds every file below `root`, as PREFIX/path (prefix "" or with a slash at its end). A path that
 * is in the list already stays as it is. 0 also when there is no `root`. */
int filelist_walk(struct filelist *l, const char *root, const char *prefix, unsigned flags,
                  struct error *e);
/* Adds one file under that name; nothing when it is not there. */
int filelist_add(struct filelist *l, const char *file, const char *path, struct error *e);

/* Sorts, fills in hashes (from `known`, NULL or hashed, for files whose size, mtime and inode are
 * as before) and id. Files of symbolic links: see FILELIST_FOLLOW. */
int filelist_hash(struct filelist *l, const struct filelist *known, struct error *e);

/* A record on disk. -ENOENT: there is none. -EBADMSG, -EFBIG…: there is one, but it is spoiled or
 * cannot be read. */
int filelist_load(const char *path, struct filelist *ret);
int filelist_save(const char *path, const struct filelist *l, struct error *e);

/* What its hash is of: the contents; of a link that is listed as one, a line that says so and its
 * target. -EFBIG over `max`. */
int filelist_read(const struct filelist_entry *entry, size_t max, char **ret, size_t *len);

/* Does this link lead out of the folder whose list it is in? */
bool filelist_leads_out(const struct filelist_entry *entry);

/* Copies the files to the new folder `to` by way of `to`.new, so that `to` is whole or not there.
 * A file that no longer has its hash: -EAGAIN. Links that lead out are left out. `durable`: on disk
 * before it has its name. */
int filelist_copy(const struct filelist *l, const char *to, bool durable, struct error *e);

/* Writes a new file without a sync: for folders that are made anew at each start. */
int filelist_put(const char *path, const char *text, size_t len);

/* Drops entries for which `drop` says so. */
void filelist_drop(struct filelist *l, bool (*drop)(const struct filelist_entry *entry, void *arg),
                   void *arg);

const struct filelist_entry *filelist_find(const struct filelist *l, const char *path);

/* --- of entries that are sorted by path, whosever they are --- */

const struct filelist_entry *filelist_search(const struct filelist_entry *entries, size_t count,
                                             const char *path);
/* The same paths with the same contents. */
bool filelist_same(const struct filelist_entry *a, size_t a_count, const struct filelist_entry *b,
                   size_t b_count);
/* Is the file still as `old` (or NULL) of a list begun at `taken_ns` has it, so that it need not be
 * read? A change within a second before that would not show: it is read then. */
bool filelist_untouched(const struct filelist_entry *now, const struct filelist_entry *old,
                        uint64_t taken_ns);
