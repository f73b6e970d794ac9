/* The plugin by its accepted copy. */
#include "bridge/prepare/trust_plugin.h"

#include "base/core/file.h"
#include "base/core/log.h"
#include "base/git/git.h"
#include "bridge/prepare/closed.h"
#include "bridge/prepare/running.h"
#include "bridge/prepare/trust.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What a person is shown. Where nothing is built, dist is written by hand like all else. */
static unsigned flags_of(const char *plugin)
{
    struct package package = { 0 };
    bool plain = package_read(plugin, &package, NULL) == 0 && !package.builds;
    package_release(&package);
    return FILELIST_SOURCES | (plain ? FILELIST_DIST : 0U);
}

static int list_now(const char *plugin, struct filelist *l, const struct filelist *known,
                    struct error *e)
{
    filelist_release(l);
    int r = filelist_walk(l, plugin, "", flags_of(plugin), e);
    return r < 0 ? r : filelist_hash(l, known, e);
}

/* All that OpenCode may load: the sources too, where package.json names one of them. */
static int list_bundle(const char *plugin, const struct package *package, struct filelist *l,
                       struct error *e)
{
    _cleanup_free_ char *dist = path_join(plugin, "dist");
    _cleanup_free_ char *modules = path_join(plugin, "node_modules");
    if (!dist || !modules)
        return error_set_errno(e, -ENOMEM, "trust");
    int r = filelist_walk(l, plugin, "", FILELIST_SOURCES, e);
    if (r == 0)
        r = filelist_walk(l, dist, "dist/", 0, e);
    if (r == 0 && package->needs)
        r = filelist_walk(l, modules, "node_modules/", FILELIST_FOLLOW | FILELIST_MODULES, e);
    return r < 0 ? r : filelist_hash(l, NULL, e);
}

/* --- whose change is it? --- */

static bool is_fetched(const struct prepare *p, const struct filelist *now)
{
    const struct settings *s = p->settings;
    size_t n = strlen(s->repo_path);
    if (!p->forwarded || !*s->url || strncmp(s->plugin_path, s->repo_path, n) != 0)
        return false;
    _cleanup_free_ struct gitrepo_file *files = calloc(now->count + 1, sizeof *files);
    for (size_t i = 0; files && i < now->count; i++)
        files[i] = (struct gitrepo_file){ now->entries[i].path, now->entries[i].hash };
    return files && gitrepo_fetched_holds(s->repo_path, s->branch, s->plugin_path + n + 1, files,
                                          now->count);
}

static char *shipped_folder(void)
{
    const char *set = getenv("CODEV_PLUGIN_SOURCE");
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (set && *set)
        return strdup(set);
    if (n < 0)
        return NULL;
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    return path_join(self, "../share/codev/plugin");
}

static bool is_shipped(const struct filelist *now)
{
    _cleanup_free_ char *folder = shipped_folder();
    _cleanup_filelist_ struct filelist shipped = { 0 };
    return folder && access(folder, R_OK) == 0 && list_now(folder, &shipped, NULL, NULL) == 0 &&
           shipped.count > 0 && strcmp(shipped.id, now->id) == 0;
}

static const char *reason_to_take(const struct prepare *p, const struct trust *t)
{
    return t->first                 ? "found at the first start"
           : p->cloned              ? "cloned from plugin.url"
           : is_fetched(p, &t->now) ? "fetched from plugin.url"
           : trust_asked_for(t)     ? "accepted with codevctl trust"
           : is_shipped(&t->now)    ? "comes with codev-init"
                                    : NULL;
}

/* --- taking a change in --- */

/* Is all of `now` in it, as it was listed? */
static int check_bundle(const struct filelist *now, const struct filelist *bundle, struct error *e)
{
    for (size_t i = 0; i < now->count; i++) {
        const struct filelist_entry *at = filelist_find(bundle, now->entries[i].path);
        if (!at || strcmp(at->hash, now->entries[i].hash) != 0)
            return error_set(e, -EAGAIN, "%s changes while it is read", now->entries[i].path);
    }
    return 0;
}

/* `p` works on the folder that is taken in: the plugin's place, or a copy of what was accepted. */
static int build_and_keep(struct prepare *p, struct trust *t, struct error *e)
{
    const char *plugin = p->settings->plugin_path;
    _cleanup_filelist_ struct filelist bundle = { 0 };
    int r = step_install(p, e);
    if (r == 0)
        r = step_build(p, e);
    if (r == 0 && t->first)
        r = list_now(plugin, &t->now, NULL, e); /* a build may have made files */
    if (r == 0)
        r = list_bundle(plugin, &p->package, &bundle, e);
    if (r == 0)
        r = check_bundle(&t->now, &bundle, e);
    return r < 0 ? r : trust_accept(t, &bundle, e);
}

static int take_copy(struct prepare *p, struct trust *t, struct closed *c, struct error *e)
{
    struct settings settings = *p->settings;
    for (size_t i = 0; i < t->now.count; i++)
        if (filelist_leads_out(&t->now.entries[i]))
            return error_set(e, -ELOOP, "%s is a link that leads out of the plugin's folder",
                             t->now.entries[i].path);
    int r = filelist_copy(&t->now, c->plugin, false, e);
    if (r < 0)
        return r;
    settings.plugin_path = c->plugin;
    struct prepare copy = {
        .settings = &settings,
        .closed = c,
        .report = p->report,
        .deadline_ms = p->deadline_ms,
        .lock = p->lock,
    };
    r = package_read(c->plugin, &copy.package, e);
    if (r == 0 && (copy.package.builds || copy.package.needs)) {
        r = closed_npm(c, p->settings, e);
        if (r == 0)
            r = build_and_keep(&copy, t, e);
    } else if (r == 0) {
        r = trust_accept(t, NULL, e);
    }
    p->lock = copy.lock;
    package_release(&copy.package);
    return r;
}

/* What nobody accepted yet is taken as it lies there. All else is built from a copy of what was
 * listed and judged, where the agent has no hand in it. */
static int take(struct prepare *p, struct trust *t, struct error *e)
{
    _cleanup_(closed_release) struct closed c = { 0 };
    package_release(&p->package);
    int r = package_read(p->settings->plugin_path, &p->package, e);
    if (r < 0)
        return r;
    if (t->first)
        return build_and_keep(p, t, e);
    r = closed_open(&c, p->settings, e);
    return r < 0 ? r : take_copy(p, t, &c, e);
}

/* --- what OpenCode reads --- */

static bool not_loaded(const struct filelist_entry *entry, void *arg)
{
    const struct package *package = arg;
    return strncmp(package->main, "dist/", 5) == 0 && strcmp(entry->path, "package.json") != 0 &&
           strncmp(entry->path, "dist/", 5) != 0 && strncmp(entry->path, "node_modules/", 13) != 0;
}

/* A copy in the runtime folder, whose name says which one it is: OpenCode may be running on another
 * one still. */
static int put_copy(struct prepare *p, const struct trust *t, struct error *e)
{
    _cleanup_free_ char *folder = trust_folder(t);
    _cleanup_free_ char *parent = NULL;
    _cleanup_free_ char *to = NULL;
    if (!folder)
        return error_set(e, -ENOENT, "no plugin was accepted yet");
    if (asprintf(&parent, "%s/xdg-config/codev/%s", p->settings->runtime_dir, t->accepted.folder) <
        0) {
        parent = NULL;
        return error_set_errno(e, -ENOMEM, "trust");
    }
    to = path_join(parent, "bridge-plugin");
    package_release(&p->package);
    int r = to ? package_read(folder, &p->package, e) : -ENOMEM;
    if (r == 0 && !package_main_exists(folder, &p->package))
        r = error_set(e, -ENOENT, "the accepted plugin has no %s", p->package.main);
    if (r == 0 && access(to, F_OK) < 0) {
        _cleanup_filelist_ struct filelist files = { 0 };
        r = file_mkdir_p(parent, 0755);
        if (r < 0)
            return error_set_errno(e, r, "cannot make %s", parent);
        r = filelist_walk(&files, folder, "", 0, e);
        filelist_drop(&files, not_loaded, &p->package);
        if (r == 0)
            r = filelist_copy(&files, to, false, e);
    }
    if (r == 0)
        p->entry = TAKE_PTR(to);
    return r;
}

static void not_accepted(struct prepare *p, const struct trust *t, const char *why)
{
    char line[100];
    trust_describe(t, line, sizeof line);
    if (why)
        report_trust(p->report, TRUST_PLUGIN, "the plugin's change (%s) is not taken in: %s", line,
                     why);
    else
        report_trust(p->report, TRUST_PLUGIN,
                     "the plugin changed since it was accepted (%s): codevctl trust plugin", line);
}

static void look_at_change(struct prepare *p, struct trust *t)
{
    struct error e = ERROR_INIT;
    /* Anew, all of it: inode, size and mtime, by which a hash is reused, can be forged. */
    if (list_now(p->settings->plugin_path, &t->now, NULL, &e) < 0) {
        report_trust(p->report, TRUST_PLUGIN, "the plugin is not taken in: %s", e.message);
        return;
    }
    const char *why = reason_to_take(p, t);
    if (!why) {
        not_accepted(p, t, NULL);
    } else if (!t->first && opencode_runs()) {
        not_accepted(p, t,
                     "OpenCode runs: it is taken in at the pod's next start, or by codevctl "
                     "trust plugin --now");
    } else if (take(p, t, &e) < 0) {
        if (t->now.count && *t->now.id)
            not_accepted(p, t, e.message);
        else
            report_trust(p->report, TRUST_PLUGIN, "the plugin is not taken in: %s", e.message);
    } else {
        log_info("the plugin is accepted: %s", why);
    }
}

bool trust_plugin(struct prepare *p)
{
    const struct settings *s = p->settings;
    struct error e = ERROR_INIT;
    _cleanup_trust_ struct trust t = { 0 };
    if (trust_open(&t, TRUST_PLUGIN, s, &e) < 0) {
        report_state(p->report, PLUGIN_FAILED, "%s", e.message);
        return false;
    }
    int r = list_now(s->plugin_path, &t.now, &t.accepted, &e);
    if (r < 0) {
        report_trust(p->report, TRUST_PLUGIN,
                     "the plugin cannot be compared with the accepted one: %s", e.message);
    } else if (trust_unchanged(&t)) {
        trust_settled(&t);
    } else {
        look_at_change(p, &t);
    }
    e = (struct error)ERROR_INIT;
    if (put_copy(p, &t, &e) == 0)
        return true;
    report_state(p->report, PLUGIN_FAILED, "%s",
                 *p->report->trust[TRUST_PLUGIN] ? p->report->trust[TRUST_PLUGIN] : e.message);
    return false;
}

void trust_plugin_absent(struct prepare *p)
{
    struct error e = ERROR_INIT;
    _cleanup_trust_ struct trust t = { 0 };
    if (!*p->settings->trust_dir)
        return;
    int r = trust_open(&t, TRUST_PLUGIN, p->settings, &e);
    if (r == 0 && t.first) {
        r = filelist_hash(&t.now, NULL, &e);
        if (r == 0)
            r = trust_record_none(&t, &e);
    }
    if (r < 0)
        report_note(p->report, "%s", e.message);
}
