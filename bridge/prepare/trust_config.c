#include "bridge/prepare/trust_config.h"

#include "base/core/file.h"
#include "base/core/log.h"
#include "bridge/prepare/names.h"
#include "bridge/prepare/running.h"
#include "bridge/prepare/trap.h"
#include "bridge/prepare/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOON_READ ((uint64_t)2 << 20)

static bool in_plugin_folder(const char *path)
{
    return strncmp(path, "plugin/", 7) == 0 || strncmp(path, "plugins/", 8) == 0;
}

/* A link from the plugins' folder to our plugin: OpenCode is told of that one by us. */
static bool is_our_plugin(const struct filelist_entry *entry, void *arg)
{
    const struct settings *s = arg;
    return in_plugin_folder(entry->path) && *s->plugin_path &&
           names_leads_into(entry->from, s->plugin_path);
}

static bool has_config_file(const struct filelist *l)
{
    static const char *const names[] = { "config.json", "opencode.json", "opencode.jsonc" };
    for (size_t i = 0; i < l->count; i++)
        for (size_t k = 0; k < ARRAY_SIZE(names); k++)
            if (strcmp(l->entries[i].path, names[k]) == 0)
                return true;
    return false;
}

static bool has_code(const struct filelist *l)
{
    for (size_t i = 0; i < l->count; i++) {
        const char *path = l->entries[i].path;
        if (in_plugin_folder(path) || strncmp(path, "tool/", 5) == 0 ||
            strncmp(path, "tools/", 6) == 0)
            return true;
    }
    return false;
}

/* What the user's plugins import, where it is not too much. */
static int add_modules(struct filelist *l, const char *global, struct report *report,
                       struct error *e)
{
    _cleanup_free_ char *modules = path_join(global, "node_modules");
    size_t count = l->count;
    uint64_t bytes = l->bytes;
    int r = modules
                ? filelist_walk(l, modules, "node_modules/", FILELIST_FOLLOW | FILELIST_MODULES, e)
                : -ENOMEM;
    if (r != -E2BIG)
        return r;
    report_note(report, "%s: OpenCode gets none of it", e->message);
    for (; l->count > count; l->count--) {
        free(l->entries[l->count - 1].path);
        free(l->entries[l->count - 1].from);
    }
    l->bytes = bytes;
    return 0;
}

static int list_now(const struct settings *s, struct filelist *l, const struct filelist *known,
                    struct report *report, struct error *e)
{
    _cleanup_free_ char *global = path_join(s->config_home, "opencode");
    _cleanup_free_ char *volume = path_join(s->directory, ".opencode");
    const unsigned flags = FILELIST_CONFIG | FILELIST_FOLLOW;
    if (!global || !volume)
        return error_set_errno(e, -ENOMEM, "trust");
    int r = filelist_walk(l, global, "", flags, e);
    if (r == 0)
        r = filelist_walk(l, volume, "",
                          flags | (has_config_file(l) ? FILELIST_NO_CONFIG_FILES : 0U), e);
    filelist_drop(l, is_our_plugin, (void *)(uintptr_t)s);
    if (r == 0 && has_code(l))
        r = add_modules(l, global, report, e);
    if (r == 0 && *s->user_config)
        r = filelist_add(l, s->user_config, TRUST_CUSTOM, e);
    /* Times and inodes can be forged: they count only where reading all of it would be slow. */
    return r < 0 ? r : filelist_hash(l, l->bytes > SOON_READ ? known : NULL, e);
}

static bool is_read_only(const char *path)
{
    return access(path, W_OK) < 0 && errno == EROFS;
}

/* Is `file` mounted where it lies (a ConfigMap), so that nobody in the pod had a hand in it? Either
 * it is a plain file on a read-only volume, or it lies below a folder on one and leads nowhere out
 * of that folder. A link on the way there is anybody's, and might show any read-only file for
 * configuration, a mounted secret too. `root`: where the way begins. */
static bool is_fixed(const char *root, const char *file)
{
    char at[PATH_MAX], real[PATH_MAX], folder[PATH_MAX];
    struct stat st;
    size_t n = strlen(root);
    if (strncmp(file, root, n) != 0 || !realpath(file, real) || !is_read_only(real))
        return false;
    for (; file[n]; n += strcspn(file + n, "/")) {
        n += file[n] == '/';
        size_t end = n + strcspn(file + n, "/");
        if ((size_t)snprintf(at, sizeof at, "%.*s", (int)end, file) >= sizeof at ||
            lstat(at, &st) < 0 || S_ISLNK(st.st_mode))
            return false;
        if (S_ISREG(st.st_mode))
            return true;
        if (is_read_only(at) && realpath(at, folder)) {
            size_t len = strlen(folder);
            return strncmp(real, folder, len) == 0 && real[len] == '/';
        }
    }
    return false;
}

/* The way to a file of the user's begins in the home; to one elsewhere, at the root. */
static bool is_operators(const struct settings *s, const char *file)
{
    size_t n = strlen(s->home);
    bool at_home = strncmp(file, s->home, n) == 0 && file[n] == '/';
    return is_fixed(at_home ? s->home : "", file);
}

/* Is all that differs the operator's? What is gone is nobody's: who took it away cannot be seen. */
static bool only_fixed_changed(const struct settings *s, const struct trust *t)
{
    if (t->spoiled)
        return false;
    for (size_t i = 0; i < t->now.count; i++) {
        const struct filelist_entry *now = &t->now.entries[i];
        const struct filelist_entry *old = filelist_find(&t->accepted, now->path);
        if ((!old || strcmp(old->hash, now->hash) != 0) && !is_operators(s, now->from))
            return false;
    }
    for (size_t i = 0; i < t->accepted.count; i++)
        if (!filelist_find(&t->now, t->accepted.entries[i].path))
            return false;
    return true;
}

static const char *reason_to_take(const struct settings *s, const struct trust *t)
{
    return t->first                   ? "found at the first start"
           : trust_asked_for(t)       ? "accepted with codevctl trust"
           : only_fixed_changed(s, t) ? "on a read-only volume"
                                      : NULL;
}

static void not_taken(struct report *report, const char *why)
{
    report_trust(report, TRUST_CONFIG, "OpenCode's configuration is not taken in: %s", why);
}

/* Trouble with a change leaves what was accepted in use; at the first start nothing was. */
static int take(struct trust *t, struct report *report, struct error *e)
{
    struct error why = ERROR_INIT;
    int r = trust_accept(t, NULL, &why);
    if (r < 0 && t->first)
        return error_set(e, r, "%s", why.message);
    if (r < 0)
        not_taken(report, why.message);
    return 0;
}

/* It differs, or nothing was accepted yet. */
static int look_at_change(const struct settings *s, struct trust *t, struct report *report,
                          struct error *e)
{
    char line[100];
    const char *why = reason_to_take(s, t);
    if (why && (t->first || !opencode_runs())) {
        log_info("OpenCode's configuration is accepted: %s", why);
        return take(t, report, e);
    }
    trust_describe(t, line, sizeof line);
    if (why)
        not_taken(report, "OpenCode runs, and would mix the two: it is taken in at the pod's next "
                          "start, or by codevctl trust config --now");
    else
        report_trust(report, TRUST_CONFIG,
                     "OpenCode's configuration changed since it was accepted (%s): codevctl trust "
                     "config",
                     line);
    return 0;
}

static void not_compared(struct report *report, const char *why)
{
    report_trust(report, TRUST_CONFIG,
                 "OpenCode's configuration cannot be compared with the accepted one: %s", why);
}

/* All of it, where times counted at first: what is shown and taken is what is there. */
static int list_anew(const struct settings *s, struct trust *t, struct report *report)
{
    struct error why = ERROR_INIT;
    if (t->now.bytes <= SOON_READ)
        return 0;
    filelist_release(&t->now);
    int r = list_now(s, &t->now, NULL, report, &why);
    if (r < 0)
        not_compared(report, why.message);
    return r;
}

int trust_config(const struct settings *s, struct report *report, char **ret, struct error *e)
{
    _cleanup_trust_ struct trust t = { 0 };
    int r = trust_open(&t, TRUST_CONFIG, s, e);
    if (r < 0)
        return r;
    struct error why = ERROR_INIT;
    int listed = list_now(s, &t.now, &t.accepted, report, &why);
    if (listed < 0)
        not_compared(report, why.message);
    else if (trust_unchanged(&t))
        trust_settled(&t);
    else if (list_anew(s, &t, report) == 0)
        r = look_at_change(s, &t, report, e);
    if (r == 0 && (*ret = trust_folder(&t)) == NULL)
        *ret = path_join(t.dir, "none"); /* an empty configuration */
    return r < 0 ? r : *ret ? 0 : error_set_errno(e, -ENOMEM, "trust");
}

/* --- what OpenCode reads --- */

static const struct source *source_of(const struct sources *all, const char *path)
{
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->rows[i].path, path) == 0)
            return &all->rows[i];
    return NULL;
}

/* Not copied: what OpenCode refuses, what is written anew, and the user's OPENCODE_CONFIG, which is
 * in opencode.json already. */
static bool not_copied(const struct filelist_entry *entry, void *arg)
{
    const struct source *s = source_of(arg, entry->from);
    return strcmp(entry->path, TRUST_CUSTOM) == 0 ||
           (s && (s->state == SOURCE_BAD || (s->json && s->names != NAMES_NOT)));
}

static int write_without(const struct settings *s, const struct sources *all, const char *to,
                         struct error *e)
{
    size_t n = strlen(s->accepted);
    for (size_t i = 0; i < all->count; i++) {
        const struct source *row = &all->rows[i];
        if (all->scopes[i] != SCOPE_GLOBAL || row->state == SOURCE_BAD || !row->json ||
            row->names == NAMES_NOT || strncmp(row->path, s->accepted, n) != 0)
            continue;
        _cleanup_free_ char *text = names_without(row, s->plugin_path);
        _cleanup_free_ char *path = path_join(to, row->path + n + 1);
        int r = text && path ? filelist_put(path, text, strlen(text)) : -ENOMEM;
        if (r < 0)
            return error_set_errno(e, r, "cannot write to %s", to);
    }
    return 0;
}

int trust_config_put(const struct settings *s, const struct sources *all, struct error *e)
{
    _cleanup_filelist_ struct filelist files = { 0 };
    _cleanup_free_ char *to = path_join(s->runtime_dir, "xdg-config/opencode");
    _cleanup_free_ char *next = path_join(s->runtime_dir, "xdg-config/opencode.next");
    if (!to || !next)
        return error_set_errno(e, -ENOMEM, "trust");
    int r = filelist_walk(&files, s->accepted, "", 0, e);
    filelist_drop(&files, not_copied, (void *)(uintptr_t)all);
    if (r == 0)
        r = filelist_copy(&files, next, false, e);
    if (r == 0)
        r = write_without(s, all, next, e);
    if (r == 0)
        r = trap_close(next, e);
    if (r < 0)
        return r;
    /* Never without one: OpenCode may be running. */
    if (renameat2(AT_FDCWD, next, AT_FDCWD, to, RENAME_EXCHANGE) == 0) {
        (void)file_remove_tree(next);
        return 0;
    }
    r = file_remove_tree(to);
    if (r == 0 && rename(next, to) < 0)
        r = -errno;
    return r < 0 ? error_set_errno(e, r, "cannot put %s in place", to) : 0;
}
