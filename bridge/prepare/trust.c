#include "bridge/prepare/trust.h"

#include "base/core/buf.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "base/git/git.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DIFF_FILE_MAX ((size_t)512 << 10)
#define CHANGES_MAX   ((size_t)1 << 20)

const char *const trust_names[TRUST_KIND_MAX] = {
    [TRUST_PLUGIN] = "plugin",
    [TRUST_CONFIG] = "config",
};

void trust_release(struct trust *t)
{
    filelist_release(&t->accepted);
    filelist_release(&t->now);
}

/* DIR/NAME.SUFFIX */
static char *place(const struct trust *t, const char *suffix)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s.%s", t->dir, trust_names[t->kind], suffix) < 0)
        return NULL;
    return path;
}

int trust_open(struct trust *t, enum trust_kind kind, const struct settings *s, struct error *e)
{
    *t = (struct trust){ .kind = kind, .dir = s->trust_dir };
    _cleanup_free_ char *record = place(t, "accepted");
    int r = record ? file_mkdir_p(t->dir, 0700) : -ENOMEM;
    if (r < 0)
        return error_set_errno(e, r, "cannot make %s", t->dir);
    r = filelist_load(record, &t->accepted);
    t->first = r == -ENOENT;
    t->spoiled = r < 0 && !t->first;
    if (t->spoiled)
        log_warn("⚠️ the record %s of what was accepted cannot be read (%s): asking anew",
                 record, strerror(-r));
    _cleanup_free_ char *folder = trust_folder(t);
    if (*t->accepted.folder && (!folder || access(folder, R_OK) < 0)) {
        log_warn("⚠️ the accepted copy %s is gone: asking anew", folder ? folder : "");
        t->accepted.folder[0] = '\0';
    }
    return 0;
}

bool trust_unchanged(const struct trust *t)
{
    return !t->first && !t->spoiled && strcmp(t->now.id, t->accepted.id) == 0 &&
           (*t->accepted.folder || t->now.count == 0);
}

bool trust_asked_for(const struct trust *t)
{
    _cleanup_free_ char *path = place(t, "asked");
    _cleanup_free_ char *text = NULL;
    if (!path || !*t->now.id || file_read(path, 100, &text, NULL) < 0)
        return false;
    text[strcspn(text, "\r\n")] = '\0';
    return strcmp(text, t->now.id) == 0;
}

char *trust_folder(const struct trust *t)
{
    return *t->accepted.folder ? path_join(t->dir, t->accepted.folder) : NULL;
}

/* Removes copies that no record names. */
static void sweep(const struct trust *t)
{
    DIR *dir = opendir(t->dir);
    size_t n = strlen(trust_names[t->kind]);
    for (struct dirent *d; dir && (d = readdir(dir));) {
        if (strncmp(d->d_name, trust_names[t->kind], n) != 0 || d->d_name[n] != '-' ||
            strcmp(d->d_name, t->accepted.folder) == 0)
            continue;
        _cleanup_free_ char *path = path_join(t->dir, d->d_name);
        if (path)
            (void)file_remove_tree(path);
    }
    if (dir)
        (void)closedir(dir);
}

static int record(struct trust *t, const char *folder, struct error *e)
{
    _cleanup_free_ char *path = place(t, "accepted");
    (void)snprintf(t->now.folder, sizeof t->now.folder, "%s", folder);
    int r = path ? filelist_save(path, &t->now, e) : error_set_errno(e, -ENOMEM, "trust");
    if (r < 0)
        return r;
    filelist_release(&t->accepted);
    t->accepted = t->now;
    t->now = (struct filelist){ 0 };
    t->first = false;
    sweep(t);
    trust_settled(t);
    return 0;
}

void trust_settled(const struct trust *t)
{
    _cleanup_free_ char *asked = place(t, "asked");
    _cleanup_free_ char *changes = place(t, "changes");
    if (asked && changes) {
        (void)unlink(asked);
        (void)unlink(changes);
    }
}

int trust_accept(struct trust *t, const struct filelist *files, struct error *e)
{
    char name[sizeof t->now.folder];
    files = files ? files : &t->now;
    (void)snprintf(name, sizeof name, "%s-%.20s", trust_names[t->kind], files->id);
    _cleanup_free_ char *to = path_join(t->dir, name);
    int r = to ? filelist_copy(files, to, true, e) : error_set_errno(e, -ENOMEM, "trust");
    return r < 0 ? r : record(t, name, e);
}

int trust_record_none(struct trust *t, struct error *e)
{
    return record(t, "", e);
}

/* --- what differs --- */

static void put_diff(struct buf *out, const struct trust *t, const struct filelist_entry *old,
                     const struct filelist_entry *now)
{
    _cleanup_free_ char *folder = trust_folder(t);
    _cleanup_free_ char *path = old && folder ? path_join(folder, old->path) : NULL;
    _cleanup_free_ char *a = NULL;
    _cleanup_free_ char *b = NULL;
    size_t a_len = 0, b_len = 0;
    if ((path && file_read(path, DIFF_FILE_MAX, &a, &a_len) < 0) ||
        (now && file_read(now->from, DIFF_FILE_MAX, &b, &b_len) < 0))
        return;
    (void)gitrepo_diff((now ? now : old)->path, a, a_len, b, b_len, out);
}

static void put_change(struct buf *out, struct buf *diff, const struct trust *t,
                       const struct filelist_entry *old, const struct filelist_entry *now)
{
    const struct filelist_entry *one = now ? now : old;
    buf_printf(out, "%-8s %10llu bytes  %.12s  %s\n",
               !old  ? "added"
               : now ? "changed"
                     : "removed",
               (unsigned long long)one->size, one->hash, one->path);
    put_diff(diff, t, old, now);
}

void trust_describe(const struct trust *t, char *line, size_t size)
{
    _cleanup_buf_ struct buf out = BUF_INIT_MAX(CHANGES_MAX);
    _cleanup_buf_ struct buf diff = BUF_INIT_MAX(CHANGES_MAX);
    _cleanup_free_ char *path = place(t, "changes");
    unsigned added = 0, changed = 0, removed = 0;
    buf_printf(&out, "%s\n", t->now.id);
    for (size_t i = 0; i < t->now.count; i++) {
        const struct filelist_entry *now = &t->now.entries[i];
        const struct filelist_entry *old = filelist_find(&t->accepted, now->path);
        if (old && strcmp(old->hash, now->hash) == 0)
            continue;
        *(old ? &changed : &added) += 1;
        put_change(&out, &diff, t, old, now);
    }
    for (size_t i = 0; i < t->accepted.count; i++) {
        const struct filelist_entry *old = &t->accepted.entries[i];
        if (filelist_find(&t->now, old->path))
            continue;
        removed++;
        put_change(&out, &diff, t, old, NULL);
    }
    (void)snprintf(line, size, "%u files changed, %u added, %u removed", changed, added, removed);
    if (diff.failed)
        buf_puts(&diff, "(the differences are too long to be shown)\n");
    buf_printf(&out, "\n%s", buf_str(&diff));
    if (!path || file_write_atomic(path, buf_str(&out), out.len, 0600) < 0)
        log_warn("cannot write down what changed in %s, ignoring", t->dir);
}
