/* One of the places where OpenCode reads configuration: what stands there, whether OpenCode can
 * use it, and whether it names our plugin. Never written to. */
#pragma once

#include "base/core/error.h"
#include "base/json/json.h"

#include <stdbool.h>

enum source_state {
    SOURCE_ABSENT,
    SOURCE_GOOD,
    SOURCE_UNCLEAR, /* has {env:…} or {file:…} outside of strings: only OpenCode can tell */
    SOURCE_BAD,     /* OpenCode would refuse it */
    SOURCE_MAX,
};

/* How a source names the plugin. */
enum source_names {
    NAMES_NOT,
    NAMES_SAME,      /* by the same absolute path as we do: OpenCode drops the copy */
    NAMES_OTHERWISE, /* by another path to it: a second entry would load it twice */
    NAMES_MAX,
};

struct source {
    char *path;   /* the file; "OPENCODE_CONFIG_CONTENT" for the inline one */
    char *folder; /* what relative paths in it are relative to */
    enum source_state state;
    enum source_names names;
    bool bare;        /* names the plugin by its unpublished npm name */
    cJSON *json;      /* NULL when empty, absent or bad */
    char reason[300]; /* when bad */
};

/* Reads a file. `plugin` is the plugin's absolute path. 0 or -ENOMEM. */
int source_read(struct source *ret, const char *path, const char *plugin);
/* The same for text that has no file. */
int source_parse(struct source *ret, const char *name, const char *folder, const char *text,
                 const char *plugin);
void source_release(struct source *s);

/* Does a file in `folder`/plugin or /plugins lead into the plugin? OpenCode loads those too. */
bool source_folder_names(const char *folder, const char *plugin);

/* file:// URL of an absolute path; malloc'ed. */
char *source_file_url(const char *path);
