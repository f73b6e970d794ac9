#include "bridge/prepare/steer.h"

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "bridge/prepare/trap.h"
#include "bridge/prepare/trust_config.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

void steer_env(struct buf *env, const char *name, const char *value)
{
    if (!strchr(value, '\n'))
        buf_printf(env, "%s=%s\n", name, value);
}

static void dir_close(DIR **d)
{
    if (*d)
        (void)closedir(*d);
}

/* OpenCode makes <base>/opencode at its start, and exits when it can't. */
static bool can_have(const char *base)
{
    _cleanup_free_ char *path = path_join(base, "opencode");
    return path && file_mkdir_p(path, 0755) == 0;
}

static bool can_write(const char *base)
{
    _cleanup_free_ char *path = path_join(base, "opencode");
    return path && file_mkdir_p(path, 0755) == 0 && access(path, W_OK) == 0;
}

/* OpenCode puts a .gitignore into each config folder. It takes "permission denied" for an answer,
 * but a read-only file system (a mounted ConfigMap) makes it fail every request (tried on 1.18.33).
 */
static bool is_deadly(const char *folder)
{
    _cleanup_free_ char *ignore = path_join(folder, ".gitignore");
    return ignore && access(folder, F_OK) == 0 && access(ignore, F_OK) < 0 &&
           access(folder, W_OK) < 0 && errno == EROFS;
}

/* Is `path` a config file that OpenCode would refuse? */
static bool is_bad(const struct sources *all, const char *path)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->rows[i].state == SOURCE_BAD && strcmp(all->rows[i].path, path) == 0)
            return true;
    return false;
}

/* Links what is good in `from` into `to`: agents, commands, plugins and the other config files of
 * the user go on to count. */
static void link_entries(const struct sources *all, const char *from, const char *to)
{
    static const char *const not_those[] = { ".", "..", "node_modules", "package.json",
                                             "package-lock.json" };
    _cleanup_(dir_close) DIR *dir = opendir(from);
    for (struct dirent *d; dir && (d = readdir(dir));) {
        bool skip = false;
        for (size_t i = 0; i < ARRAY_SIZE(not_those); i++)
            if (strcmp(d->d_name, not_those[i]) == 0)
                skip = true;
        _cleanup_free_ char *target = path_join(from, d->d_name);
        _cleanup_free_ char *link = path_join(to, d->d_name);
        if (!skip && target && link && !is_bad(all, target) && symlink(target, link) < 0)
            log_warn("cannot link %s: %s, ignoring", link, strerror(errno));
    }
}

/* Makes <runtime>/<name>/opencode stand in for a folder that OpenCode can't use as it is. */
static int stand_in(const struct settings *s, const char *name, const char *variable,
                    struct buf *env, char **ret_folder, struct error *e)
{
    _cleanup_free_ char *base = path_join(s->runtime_dir, name);
    _cleanup_free_ char *folder = base ? path_join(base, "opencode") : NULL;
    int r = folder ? file_mkdir_p(folder, 0700) : -ENOMEM;
    if (r < 0)
        return error_set_errno(e, r, "cannot make %s/%s", s->runtime_dir, name);
    steer_env(env, variable, base);
    *ret_folder = TAKE_PTR(folder);
    return 0;
}

/* OpenCode reads the accepted copy, and what it starts has the configuration home that it had. */
static int steer_accepted(const struct settings *s, const struct sources *all, struct buf *env,
                          struct report *report, struct error *e)
{
    const struct source *bad = sources_bad(all, SCOPE_GLOBAL);
    _cleanup_free_ char *base = path_join(s->runtime_dir, "xdg-config");
    const char *xdg = getenv("XDG_CONFIG_HOME");
    int r = base ? file_mkdir_p(base, 0755) : -ENOMEM;
    if (r < 0)
        return error_set_errno(e, r, "cannot make %s/xdg-config", s->runtime_dir);
    if (bad)
        report_note(report, "%s; OpenCode starts without that file until it is mended",
                    bad->reason);
    steer_env(env, "XDG_CONFIG_HOME", base);
    steer_env(env, "CODEV_RESTORE_XDG_CONFIG_HOME",
              xdg && *xdg && strcmp(xdg, base) != 0 ? xdg : "");
    return trust_config_put(s, all, e);
}

static int steer_global(const struct settings *s, const struct sources *all, struct buf *env,
                        struct report *report, struct error *e)
{
    const struct source *bad = sources_bad(all, SCOPE_GLOBAL);
    _cleanup_free_ char *global = path_join(s->config_home, "opencode");
    _cleanup_free_ char *folder = NULL;
    if (!global)
        return error_set_errno(e, -ENOMEM, "opencode.env");
    if (s->accepted)
        return steer_accepted(s, all, env, report, e);
    bool have = can_have(s->config_home);
    if (bad)
        report_note(report, "%s; OpenCode starts without that file until it is mended",
                    bad->reason);
    else if (!have)
        report_note(report, "%s cannot be made; OpenCode uses an empty config folder", global);
    else if (!is_deadly(global))
        return 0;
    int r = stand_in(s, "xdg-config", "XDG_CONFIG_HOME", env, &folder, e);
    if (r == 0)
        r = file_remove_tree(folder);
    if (r == 0)
        r = file_mkdir_p(folder, 0700);
    if (r < 0)
        return error_set_errno(e, r, "cannot make an empty config folder");
    if (have)
        link_entries(all, global, folder);
    trap_disarm(folder, report);
    return 0;
}

static void steer_project(const struct settings *s, const struct sources *all, struct buf *env,
                          struct report *report)
{
    const struct source *bad = sources_bad(all, SCOPE_PROJECT);
    _cleanup_free_ char *folder = path_join(s->directory, ".opencode");
    if (s->no_project)
        ; /* it names programs and plugins, and rules, and the agent can write it */
    else if (bad)
        report_note(report, "%s; OpenCode works without project configs until it is mended",
                    bad->reason);
    else if (folder && is_deadly(folder))
        report_note(report,
                    "%s is read-only and has no .gitignore, which OpenCode wants to write; "
                    "it works without project configs",
                    folder);
    else
        return;
    steer_env(env, "OPENCODE_DISABLE_PROJECT_CONFIG", "1");
}

int steer_around(const struct settings *s, const struct sources *all, struct buf *env,
                 struct report *report, struct error *e)
{
    static const enum source_scope hopeless[] = { SCOPE_HOME, SCOPE_MANAGED };
    _cleanup_free_ char *cache = path_join(s->home, ".cache");
    _cleanup_free_ char *folder = NULL;
    int r = steer_global(s, all, env, report, e);
    if (r == 0 && cache && !getenv("XDG_CACHE_HOME") && !can_write(cache))
        r = stand_in(s, "xdg-cache", "XDG_CACHE_HOME", env, &folder, e);
    if (r < 0)
        return r;
    steer_project(s, all, env, report);
    const struct source *bad = sources_bad(all, SCOPE_INLINE);
    if (bad) {
        report_note(report, "%s; it is ignored", bad->reason);
        steer_env(env, "OPENCODE_CONFIG_CONTENT", "");
    }
    for (size_t i = 0; i < ARRAY_SIZE(hopeless); i++)
        if ((bad = sources_bad(all, hopeless[i])))
            report_note(report, "%s; OpenCode refuses requests until it is mended", bad->reason);
    return 0;
}
