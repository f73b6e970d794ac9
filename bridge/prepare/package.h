/* The plugin's package.json, as far as it concerns us. */
#pragma once

#include "base/core/cleanup.h"
#include "base/core/error.h"

#include <stdbool.h>

struct package {
    char *main;  /* what OpenCode loads, relative to the plugin folder */
    bool builds; /* has scripts.build */
    bool needs;  /* has dependencies at run time */
    bool locked; /* has a lock file beside it: npm ci */
};

/* -EBADMSG with the place when it is no valid package.json. */
int package_read(const char *plugin, struct package *ret, struct error *e);
void package_release(struct package *p);

/* Is `main` there, a file? */
bool package_main_exists(const char *plugin, const struct package *p);
