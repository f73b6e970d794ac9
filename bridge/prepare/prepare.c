#include "bridge/prepare/prepare.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "base/git/git.h"
#include "bridge/prepare/config.h"
#include "bridge/prepare/link.h"
#include "bridge/prepare/trust_plugin.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static void prepare_release(struct prepare *p)
{
    package_release(&p->package);
    free(p->entry);
    if (p->lock >= 0)
        (void)close(p->lock);
}

static void report_missing(struct prepare *p, enum found found)
{
    const struct settings *s = p->settings;
    if (found == FOUND_NO_PLUGIN)
        report_state(p->report, PLUGIN_MISSING,
                     "no plugin at %s, though %s is there; `codevctl plugin install` puts the one "
                     "that comes with codev-init there",
                     s->plugin_path, s->repo_path);
    else
        report_state(p->report, PLUGIN_MISSING,
                     "no plugin at %s and plugin.url is not set; `codevctl plugin install` puts "
                     "the one that comes with codev-init there",
                     s->plugin_path);
}

static void report_failed(struct prepare *p, const char *doing, const struct error *e)
{
    report_state(p->report, PLUGIN_FAILED, "%s%s%s", doing, *doing ? ": " : "", e->message);
}

/* Clones where nothing is. False when there is no plugin in the end; the report says why. */
static bool find_or_clone(struct prepare *p)
{
    const struct settings *s = p->settings;
    struct error e = ERROR_INIT;
    if (gitrepo_clone_leftover(s->repo_path) && step_lock(p, &e) == 0 &&
        gitrepo_clone_cleanup(s->repo_path, &e) == 0)
        log_info("removed a half clone that an interrupted start had left");
    enum found found = step_find(p, &e);
    if (found == FOUND_NO_CHECKOUT && *s->url) {
        if (step_clone(p, &e) < 0) {
            report_failed(p, "", &e);
            return false;
        }
        found = step_find(p, &e);
    }
    if (found == FOUND_WRONG)
        report_failed(p, "", &e);
    else if (found != FOUND_PLUGIN)
        report_missing(p, found);
    return found == FOUND_PLUGIN;
}

static bool make_usable(struct prepare *p)
{
    const struct settings *s = p->settings;
    struct error e = ERROR_INIT;
    if (!find_or_clone(p)) {
        trust_plugin_absent(p);
        return false;
    }
    log_info("✅ Found plugin at: %s", s->plugin_path);
    if (s->update)
        (void)step_update(p);
    log_info("🔧 Setting up OpenCode bridge plugin...");
    if (*s->trust_dir)
        return trust_plugin(p);
    if (package_read(s->plugin_path, &p->package, &e) < 0 || step_install(p, &e) < 0 ||
        step_build(p, &e) < 0) {
        report_failed(p, "", &e);
        return false;
    }
    return true;
}

static void put_link(struct prepare *p)
{
    const struct settings *s = p->settings;
    char moved[1024];
    struct error e = ERROR_INIT;
    if (link_put(s->link_path, s->plugin_path, moved, sizeof moved, &e) < 0)
        report_note(p->report, "the plugin link is not there: %s", e.message);
    if (*moved)
        report_note(p->report, "%s was no link: moved to %s", s->link_path, moved);
}

int prepare_run(const struct settings *s, struct report *report, struct error *e)
{
    _cleanup_(prepare_release) struct prepare p = {
        .settings = s,
        .report = report,
        .deadline_ms = clock_mono_ms() + s->timeout_ms,
        .lock = -1,
    };
    struct error why = ERROR_INIT;
    log_info("🔌 Checking for OpenCode bridge plugin...");
    bool usable = false;
    /* OpenCode's working folder: without it, it could not be started at all. */
    int made = file_mkdir_p(s->directory, 0755);
    if (made < 0)
        report_note(report, "OpenCode's working folder %s cannot be made: %s: mount a volume there",
                    s->directory, strerror(-made));
    if (!*s->plugin_path)
        report_state(report, PLUGIN_DISABLED, "plugin.path is empty");
    else
        usable = make_usable(&p);
    if (usable)
        put_link(&p);
    int r = config_write(s, !usable ? NULL : p.entry ? p.entry : s->plugin_path, report, &why);
    if (r == -ENOMEM)
        return error_set(e, r, "%s", why.message);
    if (r < 0)
        report_failed(&p, "OpenCode cannot be told about the plugin", &why);
    else if (usable)
        report_state(report, PLUGIN_READY, "%s", "");
    (void)gitrepo_head(s->repo_path, report->commit);
    if (report->state == PLUGIN_READY)
        log_info("✅ Bridge plugin configured and ready");
    else
        log_warn("⚠️ %s: OpenCode starts without the bridge plugin", report->reason);
    return 0;
}
