#include "bridge/prepare/trust.h"

#include "base/core/buf.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "base/core/visible.h"
#include "base/git/git.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
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

/* --- what differs: for people, so nothing in it may move a cursor or forge a line --- */

#define LIST_MAX ((size_t)2 << 20)

static const char CHANGES[] = "it changes while it is read";

static int read_old(const struct trust *t, const struct filelist_entry *old, char **ret,
                    size_t *len)
{
    _cleanup_free_ char *folder = trust_folder(t);
    _cleanup_free_ char *path = old && folder ? path_join(folder, old->path) : NULL;
    struct stat st;
    if (!path)
        return 0;
    const struct filelist_entry entry = {
        .from = path,
        .link = lstat(path, &st) == 0 && S_ISLNK(st.st_mode),
    };
    int r = filelist_read(&entry, DIFF_FILE_MAX, ret, len);
    return r == -ENOENT ? 0 : r; /* such as a link that led out */
}

static bool is_text(const char *text, size_t len)
{
    return len == 0 || !memchr(text, '\0', len);
}

/* What is shown must be what the id is of: the agent may have changed it since. */
static int read_now(const struct filelist_entry *now, char **ret, size_t *len)
{
    char hash[sizeof now->hash] = "";
    int r = filelist_read(now, DIFF_FILE_MAX, ret, len);
    if (r == 0)
        r = gitrepo_hash(*ret, *len, hash);
    return r == 0 && strcmp(hash, now->hash) != 0 ? -EAGAIN : r;
}

/* Appends the difference; or says why it is not there. */
static const char *put_diff(struct buf *out, const struct trust *t,
                            const struct filelist_entry *old, const struct filelist_entry *now,
                            const char *name)
{
    _cleanup_free_ char *a = NULL;
    _cleanup_free_ char *b = NULL;
    _cleanup_buf_ struct buf diff = BUF_INIT_MAX(CHANGES_MAX);
    _cleanup_buf_ struct buf shown = BUF_INIT_MAX(CHANGES_MAX);
    size_t a_len = 0, b_len = 0;
    int r = read_old(t, old, &a, &a_len);
    if (r == 0 && now)
        r = read_now(now, &b, &b_len);
    if (r < 0)
        return r == -EFBIG ? "longer than 512 KiB" : r == -EAGAIN ? CHANGES : strerror(-r);
    if (!is_text(a, a_len) || !is_text(b, b_len))
        return "no text";
    (void)gitrepo_diff(name, a, a_len, b, b_len, &diff);
    visible_put(&shown, buf_str(&diff), diff.len, VISIBLE_LINES);
    if (diff.failed || shown.failed || buf_append(out, shown.data, shown.len) < 0) {
        out->failed = false; /* it is as it was, and the next one may fit */
        return "more than 1 MiB in all";
    }
    return NULL;
}

/* False: this cannot be shown as it was listed. */
static bool put_change(struct buf *list, struct buf *diff, const struct trust *t,
                       const struct filelist_entry *old, const struct filelist_entry *now)
{
    const struct filelist_entry *one = now ? now : old;
    _cleanup_buf_ struct buf name = BUF_INIT;
    if (!one)
        return true;
    visible_put(&name, one->path, strlen(one->path), 0);
    buf_printf(list, "%-8s %10llu bytes  %.12s  %s\n",
               !old  ? "added"
               : now ? "changed"
                     : "removed",
               (unsigned long long)one->size, one->hash, buf_str(&name));
    const char *why = put_diff(diff, t, old, now, buf_str(&name));
    if (why)
        buf_printf(list, "         ^ NOT SHOWN below: %s\n", why);
    return why != CHANGES;
}

/* A file whose difference is not shown is named as such; the list of files is whole, or nothing can
 * be accepted. */
static void write_changes(const struct trust *t, const struct buf *list, const struct buf *diff,
                          bool still)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    _cleanup_free_ char *path = place(t, "changes");
    if (list->failed)
        buf_puts(&out, "-\n(there are too many changed files to be listed: they cannot be "
                       "accepted; make it fewer)\n");
    else
        buf_printf(&out, "%s\n%s\n%s", still ? t->now.id : "-", buf_str(list), buf_str(diff));
    if (!path || out.failed || file_write_atomic(path, buf_str(&out), out.len, 0600) < 0)
        log_warn("cannot write down what changed in %s, ignoring", t->dir);
}

void trust_describe(const struct trust *t, char *line, size_t size)
{
    _cleanup_buf_ struct buf list = BUF_INIT_MAX(LIST_MAX);
    _cleanup_buf_ struct buf diff = BUF_INIT_MAX(CHANGES_MAX);
    unsigned added = 0, changed = 0, removed = 0;
    bool still = true;
    for (size_t i = 0; i < t->now.count; i++) {
        const struct filelist_entry *now = &t->now.entries[i];
        const struct filelist_entry *old = filelist_find(&t->accepted, now->path);
        if (old && strcmp(old->hash, now->hash) == 0)
            continue;
        *(old ? &changed : &added) += 1;
        still &= put_change(&list, &diff, t, old, now);
    }
    for (size_t i = 0; i < t->accepted.count; i++) {
        const struct filelist_entry *old = &t->accepted.entries[i];
        if (filelist_find(&t->now, old->path))
            continue;
        removed++;
        still &= put_change(&list, &diff, t, old, NULL);
    }
    (void)snprintf(line, size, "%u files changed, %u added, %u removed", changed, added, removed);
    write_changes(t, &list, &diff, still);
}
