/* All the places where OpenCode reads configuration, in the order in which it reads them. */
#pragma once

#include "bridge/prepare/settings.h"
#include "bridge/prepare/source.h"

enum source_scope {
    SCOPE_GLOBAL,  /* ~/.config/opencode: bad, and OpenCode exits */
    SCOPE_CUSTOM,  /* the user's OPENCODE_CONFIG */
    SCOPE_PROJECT, /* beside and above where OpenCode works: bad, and every request fails */
    SCOPE_HOME,    /* ~/.opencode */
    SCOPE_INLINE,  /* OPENCODE_CONFIG_CONTENT */
    SCOPE_MANAGED, /* /etc/opencode */
    SCOPE_MAX,
};

#define SOURCES_MAX 80

struct sources {
    struct source rows[SOURCES_MAX];
    enum source_scope scopes[SOURCES_MAX];
    size_t count;
    bool folder_names[SCOPE_MAX]; /* a plugin/ folder of that scope leads into the plugin */
    char *folders[SOURCES_MAX];   /* config folders that are there, for trap_disarm */
    size_t folder_count;
};

/* 0 or -ENOMEM. */
int sources_read(struct sources *ret, const struct settings *s);
void sources_release(struct sources *s);

/* The first bad one of a scope, or NULL. */
const struct source *sources_bad(const struct sources *s, enum source_scope scope);
/* The strongest way in which a scope's good sources and folders name the plugin. */
enum source_names sources_naming(const struct sources *s, enum source_scope scope);
