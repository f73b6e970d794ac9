#include "bridge/prepare/prepare.h"

#include "base/core/cleanup.h"
#include "base/core/file.h"

#include <errno.h>

/* npm ci empties node_modules by itself; npm install would trust what a killed one left. */
static int clear_modules(const char *plugin, struct error *e)
{
    _cleanup_free_ char *modules = path_join(plugin, "node_modules");
    int r = modules ? file_remove_tree(modules) : -ENOMEM;
    return r < 0 ? error_set_errno(e, r, "cannot remove the old node_modules") : 0;
}

static int run_install(struct prepare *p, struct error *e)
{
    /* --include=dev: the build needs them, whatever NODE_ENV or npmrc say. */
    static const char *const ci[] = { "ci", "--include=dev", NULL };
    static const char *const install[] = { "install", "--include=dev", "--no-package-lock", NULL };
    if (p->package.locked)
        return step_npm(p, "npm ci", ci, e);
    int r = clear_modules(p->settings->plugin_path, e);
    return r < 0 ? r : step_npm(p, "npm install", install, e);
}

int step_install(struct prepare *p, struct error *e)
{
    const char *plugin = p->settings->plugin_path;
    int r = step_current(p, STAMP_INSTALL, e);
    if (r != 0)
        return r < 0 ? r : 0;
    _cleanup_stamp_ struct stamp before = { 0 };
    r = stamp_take(plugin, STAMP_INSTALL, &before, e);
    if (r == 0)
        r = stamp_remove(plugin, STAMP_INSTALL, e);
    if (r == 0)
        r = run_install(p, e);
    return r < 0 ? r : step_stamp(p, STAMP_INSTALL, &before, e);
}
