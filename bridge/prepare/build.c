#include "bridge/prepare/prepare.h"

#include <errno.h>

static int check_main(struct prepare *p, struct error *e)
{
    if (package_main_exists(p->settings->plugin_path, &p->package))
        return 0;
    return error_set(e, -ENOENT, "%s is not there%s: package.json names it as \"main\"",
                     p->package.main, p->package.builds ? " after the build" : "");
}

int step_build(struct prepare *p, struct error *e)
{
    static const char *const build[] = { "run", "build", NULL };
    const char *plugin = p->settings->plugin_path;
    if (!p->package.builds)
        return check_main(p, e);
    int r = step_current(p, STAMP_BUILD, e);
    if (r < 0 || (r > 0 && package_main_exists(plugin, &p->package)))
        return r < 0 ? r : 0;
    r = step_lock(p, e);
    _cleanup_stamp_ struct stamp before = { 0 };
    if (r == 0)
        r = stamp_take(plugin, STAMP_BUILD, &before, e);
    if (r == 0)
        r = stamp_remove(plugin, STAMP_BUILD, e);
    if (r == 0)
        r = step_npm(p, "npm run build", build, e);
    if (r == 0)
        r = check_main(p, e);
    return r < 0 ? r : step_stamp(p, STAMP_BUILD, &before, e);
}
