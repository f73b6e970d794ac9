#include "bridge/prepare/trust_config.h"

#include "base/core/file.h"
#include "base/core/log.h"
#include "bridge/prepare/names.h"
#include "bridge/prepare/trap.h"
#include "bridge/prepare/trust.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
    return r < 0 ? r : filelist_hash(l, known, e);
}

/* Nobody in the pod can change it: a mounted ConfigMap. A link to such a file counts only where the
 * link itself cannot be changed. */
static bool is_fixed(const char *file)
{
    _cleanup_free_ char *folder = strdup(file);
    struct stat st;
    if (!folder || access(file, W_OK) == 0 || errno != EROFS || lstat(file, &st) < 0)
        return false;
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    return !S_ISLNK(st.st_mode) || (access(folder, W_OK) < 0 && errno == EROFS);
}

/* Is all that differs the operator's? */
static bool only_fixed_changed(const struct settings *s, const struct trust *t)
{
    _cleanup_free_ char *global = path_join(s->config_home, "opencode");
    if (t->spoiled)
        return false;
    for (size_t i = 0; i < t->now.count; i++) {
        const struct filelist_entry *now = &t->now.entries[i];
        const struct filelist_entry *old = filelist_find(&t->accepted, now->path);
        if ((!old || strcmp(old->hash, now->hash) != 0) && !is_fixed(now->from))
            return false;
    }
    for (size_t i = 0; i < t->accepted.count; i++)
        if (!filelist_find(&t->now, t->accepted.entries[i].path) && (!global || !is_fixed(global)))
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

/* Trouble with a change leaves what was accepted in use; at the first start nothing was. */
static int take(struct trust *t, struct report *report, struct error *e)
{
    struct error why = ERROR_INIT;
    int r = trust_accept(t, NULL, &why);
    if (r < 0 && t->first)
        return error_set(e, r, "%s", why.message);
    if (r < 0)
        report_trust(report, TRUST_CONFIG, "OpenCode's configuration is not taken in: %s",
                     why.message);
    return 0;
}

int trust_config(const struct settings *s, struct report *report, char **ret, struct error *e)
{
    _cleanup_trust_ struct trust t = { 0 };
    char line[100];
    int r = trust_open(&t, TRUST_CONFIG, s, e);
    if (r < 0)
        return r;
    struct error why = ERROR_INIT;
    int listed = list_now(s, &t.now, &t.accepted, report, &why);
    if (listed < 0) {
        report_trust(report, TRUST_CONFIG,
                     "OpenCode's configuration cannot be compared with the accepted one: %s",
                     why.message);
    } else if (trust_unchanged(&t)) {
        trust_settled(&t);
    } else if (reason_to_take(s, &t)) {
        log_info("OpenCode's configuration is accepted: %s", reason_to_take(s, &t));
        r = take(&t, report, e);
    } else {
        trust_describe(&t, line, sizeof line);
        report_trust(report, TRUST_CONFIG,
                     "OpenCode's configuration changed since it was accepted (%s): codevctl trust "
                     "config",
                     line);
    }
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
    r = file_remove_tree(to);
    if (r == 0 && rename(next, to) < 0)
        r = -errno;
    return r < 0 ? error_set_errno(e, r, "cannot put %s in place", to) : 0;
}
