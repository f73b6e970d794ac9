#include "bridge/prepare/stamp.h"

#include "base/core/buf.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "base/core/parse.h"
#include "base/git/git.h"
#include "bridge/prepare/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STAMP_HEAD     "codev-stamp 1 "
#define STAMP_MAX      ((size_t)16 << 20)
#define FILE_MAX_BYTES ((size_t)64 << 20)

static const char *const stamp_files[] = {
    [STAMP_INSTALL] = "node_modules/.codev-stamp",
    [STAMP_BUILD] = "dist/.codev-stamp",
};
_Static_assert(ARRAY_SIZE(stamp_files) == STAMP_KIND_MAX, "a file for every kind");

void stamp_release(struct stamp *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->entries[i].path);
    free(s->entries);
    *s = (struct stamp){ 0 };
}

static const struct filelist_entry *find(const struct stamp *s, const char *path)
{
    return filelist_search(s->entries, s->count, path);
}

/* One record: HASH INODE SIZE MTIME PATH, ended by a NUL. Changes `line`. */
static int parse_entry(char *line, struct stamp *s)
{
    struct filelist_entry entry = { 0 };
    char *rest = line, *hash = strsep(&rest, " "), *ino = strsep(&rest, " ");
    char *size = strsep(&rest, " "), *mtime = strsep(&rest, " ");
    if (!rest || !*rest || strlen(hash) != sizeof entry.hash - 1 ||
        parse_u64(ino, 0, UINT64_MAX, &entry.ino) < 0 ||
        parse_u64(size, 0, UINT64_MAX, &entry.size) < 0 ||
        parse_u64(mtime, 0, UINT64_MAX, &entry.mtime_ns) < 0)
        return -EBADMSG;
    if (s->count && strcmp(s->entries[s->count - 1].path, rest) >= 0)
        return -EBADMSG;
    memcpy(entry.hash, hash, sizeof entry.hash);
    entry.path = rest;
    return walk_add(s, &entry);
}

static int parse_stamp(char *text, size_t len, struct stamp *s)
{
    char *line = text, *end = text + len;
    size_t head = strlen(STAMP_HEAD);
    if (len <= head || strncmp(text, STAMP_HEAD, head) != 0 || end[-1] != '\0')
        return -EBADMSG;
    if (parse_u64(text + head, 0, UINT64_MAX, &s->taken_ns) < 0)
        return -EBADMSG;
    for (line += strlen(line) + 1; line < end;) {
        size_t n = strlen(line) + 1;
        int r = parse_entry(line, s);
        if (r < 0)
            return r;
        line += n;
    }
    return 0;
}

/* A stamp that can't be read is no stamp. */
static int stamp_load(const char *plugin, enum stamp_kind kind, struct stamp *ret)
{
    _cleanup_free_ char *path = path_join(plugin, stamp_files[kind]);
    _cleanup_free_ char *text = NULL;
    size_t len = 0;
    if (!path)
        return -ENOMEM;
    if (file_read(path, STAMP_MAX, &text, &len) < 0)
        return -ENOENT;
    _cleanup_stamp_ struct stamp s = { 0 };
    int r = parse_stamp(text, len, &s);
    if (r < 0)
        return r;
    *ret = s;
    s = (struct stamp){ 0 };
    return 0;
}

static int hash_file(const char *plugin, struct filelist_entry *entry, struct error *e)
{
    _cleanup_free_ char *path = path_join(plugin, entry->path);
    _cleanup_free_ char *data = NULL;
    size_t len = 0;
    char target[4096];
    if (!path)
        return error_set_errno(e, -ENOMEM, "stamp");
    ssize_t n = readlink(path, target, sizeof target);
    if (n >= 0)
        return gitrepo_hash(target, (size_t)n, entry->hash);
    int r = file_read(path, FILE_MAX_BYTES, &data, &len);
    if (r < 0)
        return error_set_errno(e, r, "cannot read %s", path);
    r = gitrepo_hash(data, len, entry->hash);
    return r < 0 ? error_set_errno(e, r, "cannot hash %s", path) : 0;
}

/* Fills in the hashes: from `known` where the shortcut holds, else by reading. */
static int fill(const char *plugin, struct stamp *s, const struct stamp *known, bool *ret_read,
                struct error *e)
{
    for (size_t i = 0; i < s->count; i++) {
        struct filelist_entry *entry = &s->entries[i];
        const struct filelist_entry *old = known ? find(known, entry->path) : NULL;
        if (filelist_untouched(entry, old, known ? known->taken_ns : 0)) {
            memcpy(entry->hash, old->hash, sizeof entry->hash);
            continue;
        }
        *ret_read = true;
        int r = hash_file(plugin, entry, e);
        if (r < 0)
            return r;
    }
    return 0;
}

static int scan(const char *plugin, enum stamp_kind kind, struct stamp *ret, struct error *e)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    ret->taken_ns = (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
    return kind == STAMP_INSTALL ? walk_npm_files(plugin, ret, e) : walk_sources(plugin, ret, e);
}

int stamp_check(const char *plugin, enum stamp_kind kind, bool refresh, struct error *e)
{
    _cleanup_stamp_ struct stamp old = { 0 };
    _cleanup_stamp_ struct stamp now = { 0 };
    int r = stamp_load(plugin, kind, &old);
    if (r < 0)
        return r == -ENOMEM ? error_set_errno(e, r, "stamp") : STAMP_STALE;
    bool read = false;
    r = scan(plugin, kind, &now, e);
    if (r == 0 && now.count != old.count)
        return STAMP_STALE;
    if (r == 0)
        r = fill(plugin, &now, &old, &read, e);
    if (r < 0)
        return r;
    if (!filelist_same(old.entries, old.count, now.entries, now.count))
        return STAMP_STALE;
    if (read && refresh && stamp_write(plugin, kind, &now, NULL) < 0)
        log_debug("cannot refresh %s, ignoring", stamp_files[kind]);
    return read ? STAMP_SLOW : STAMP_CURRENT;
}

int stamp_take(const char *plugin, enum stamp_kind kind, struct stamp *ret, struct error *e)
{
    _cleanup_stamp_ struct stamp s = { 0 };
    bool read = false;
    int r = scan(plugin, kind, &s, e);
    if (r == 0)
        r = fill(plugin, &s, NULL, &read, e);
    if (r < 0)
        return r;
    *ret = s;
    s = (struct stamp){ 0 };
    return 0;
}

int stamp_take_after(const char *plugin, enum stamp_kind kind, const struct stamp *before,
                     struct stamp *ret, struct error *e)
{
    _cleanup_stamp_ struct stamp s = { 0 };
    int r = stamp_take(plugin, kind, &s, e);
    if (r < 0)
        return r;
    for (size_t i = 0; i < s.count; i++) {
        struct filelist_entry *entry = &s.entries[i];
        const struct filelist_entry *old = find(before, entry->path);
        if (!old || strcmp(old->hash, entry->hash) == 0)
            continue;
        memcpy(entry->hash, old->hash, sizeof entry->hash);
        entry->ino = entry->size = entry->mtime_ns = 0;
    }
    *ret = s;
    s = (struct stamp){ 0 };
    return 0;
}

int stamp_write(const char *plugin, enum stamp_kind kind, const struct stamp *s, struct error *e)
{
    _cleanup_free_ char *path = path_join(plugin, stamp_files[kind]);
    _cleanup_buf_ struct buf out = BUF_INIT;
    buf_printf(&out, STAMP_HEAD "%llu", (unsigned long long)s->taken_ns);
    buf_putc(&out, '\0');
    for (size_t i = 0; i < s->count; i++) {
        const struct filelist_entry *entry = &s->entries[i];
        buf_printf(&out, "%s %llu %llu %llu %s", entry->hash, (unsigned long long)entry->ino,
                   (unsigned long long)entry->size, (unsigned long long)entry->mtime_ns,
                   entry->path);
        buf_putc(&out, '\0');
    }
    if (!path || out.failed)
        return error_set_errno(e, -ENOMEM, "stamp");
    int r = file_write_atomic(path, out.data, out.len, 0644);
    return r < 0 ? error_set_errno(e, r, "cannot write %s", path) : 0;
}

int stamp_remove(const char *plugin, enum stamp_kind kind, struct error *e)
{
    _cleanup_free_ char *path = path_join(plugin, stamp_files[kind]);
    if (!path)
        return error_set_errno(e, -ENOMEM, "stamp");
    if (unlink(path) < 0 && errno != ENOENT && errno != ENOTDIR)
        return error_set_errno(e, -errno, "cannot remove %s", path);
    return 0;
}
