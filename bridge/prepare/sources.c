#include "bridge/prepare/sources.h"

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "bridge/prepare/trust_config.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static int add_file(struct sources *all, enum source_scope scope, const char *path,
                    const char *plugin)
{
    if (all->count == SOURCES_MAX)
        return 0;
    int r = source_read(&all->rows[all->count], path, plugin);
    if (r < 0)
        return r;
    all->scopes[all->count++] = scope;
    return 0;
}

static int add_files(struct sources *all, enum source_scope scope, const char *folder,
                     const char *const *names, const char *plugin)
{
    int r = 0;
    for (size_t i = 0; r == 0 && names[i]; i++) {
        _cleanup_free_ char *path = path_join(folder, names[i]);
        r = path ? add_file(all, scope, path, plugin) : -ENOMEM;
    }
    return r;
}

/* A folder in which OpenCode also looks for plugin files, and runs npm. */
static int add_folder(struct sources *all, enum source_scope scope, const char *folder,
                      const char *const *names, const char *plugin)
{
    struct stat st;
    if (stat(folder, &st) == 0 && S_ISDIR(st.st_mode) && all->folder_count < SOURCES_MAX) {
        all->folders[all->folder_count] = strdup(folder);
        if (!all->folders[all->folder_count++])
            return -ENOMEM;
        if (source_folder_names(folder, plugin))
            all->folder_names[scope] = true;
    }
    return add_files(all, scope, folder, names, plugin);
}

static const char *const global_names[] = { "config.json", "opencode.json", "opencode.jsonc",
                                            NULL };
static const char *const project_names[] = { "opencode.json", "opencode.jsonc", NULL };

/* From where OpenCode works up to the top of its git repository, or to the root. */
static int add_project(struct sources *all, const struct settings *s)
{
    _cleanup_free_ char *at = strdup(s->directory);
    for (int depth = 0; at && depth < 16; depth++) {
        _cleanup_free_ char *dot = path_join(at, ".opencode");
        _cleanup_free_ char *git = path_join(at, ".git");
        struct stat st;
        if (!dot || !git)
            return -ENOMEM;
        bool home = strcmp(at, s->home) == 0; /* ~/.opencode is its own scope */
        int r = add_files(all, SCOPE_PROJECT, at, project_names, s->plugin_path);
        if (r == 0 && !home)
            r = add_folder(all, SCOPE_PROJECT, dot, project_names, s->plugin_path);
        if (r < 0)
            return r;
        char *slash = strrchr(at, '/');
        if (stat(git, &st) == 0 || !slash || !at[1])
            return 0;
        slash[slash == at ? 1 : 0] = '\0';
    }
    return at ? 0 : -ENOMEM;
}

/* The user's OPENCODE_CONFIG; where there is an accepted copy, by that. */
static int add_custom(struct sources *all, const struct settings *s)
{
    if (!s->accepted)
        return add_file(all, SCOPE_CUSTOM, s->user_config, s->plugin_path);
    _cleanup_free_ char *path = path_join(s->accepted, TRUST_CUSTOM);
    _cleanup_free_ char *folder = strdup(s->user_config);
    _cleanup_free_ char *text = NULL;
    if (!path || !folder)
        return -ENOMEM;
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    if (all->count == SOURCES_MAX || file_read(path, (size_t)4 << 20, &text, NULL) < 0)
        return 0;
    int r = source_parse(&all->rows[all->count], s->user_config, slash ? folder : ".", text,
                         s->plugin_path);
    if (r == 0)
        all->scopes[all->count++] = SCOPE_CUSTOM;
    return r;
}

static int read_all(struct sources *all, const struct settings *s)
{
    _cleanup_free_ char *global =
        s->accepted ? strdup(s->accepted) : path_join(s->config_home, "opencode");
    _cleanup_free_ char *home = path_join(s->home, ".opencode");
    if (!global || !home)
        return -ENOMEM;
    int r = add_folder(all, SCOPE_GLOBAL, global, global_names, s->plugin_path);
    if (r == 0 && *s->user_config)
        r = add_custom(all, s);
    if (r == 0)
        r = add_project(all, s);
    if (r == 0)
        r = add_folder(all, SCOPE_HOME, home, project_names, s->plugin_path);
    if (r == 0 && *s->user_content && all->count < SOURCES_MAX) {
        r = source_parse(&all->rows[all->count], "OPENCODE_CONFIG_CONTENT", s->directory,
                         s->user_content, s->plugin_path);
        if (r == 0)
            all->scopes[all->count++] = SCOPE_INLINE;
    }
    if (r == 0)
        r = add_files(all, SCOPE_MANAGED, "/etc/opencode", project_names, s->plugin_path);
    return r;
}

int sources_read(struct sources *ret, const struct settings *s)
{
    *ret = (struct sources){ 0 };
    int r = read_all(ret, s);
    if (r < 0)
        sources_release(ret);
    return r;
}

void sources_release(struct sources *s)
{
    for (size_t i = 0; i < s->count; i++)
        source_release(&s->rows[i]);
    for (size_t i = 0; i < s->folder_count; i++)
        free(s->folders[i]);
    *s = (struct sources){ 0 };
}

const struct source *sources_bad(const struct sources *s, enum source_scope scope)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->scopes[i] == scope && s->rows[i].state == SOURCE_BAD)
            return &s->rows[i];
    return NULL;
}

enum source_names sources_naming(const struct sources *s, enum source_scope scope)
{
    enum source_names names = s->folder_names[scope] ? NAMES_OTHERWISE : NAMES_NOT;
    for (size_t i = 0; i < s->count; i++)
        if (s->scopes[i] == scope && s->rows[i].names > names)
            names = s->rows[i].names;
    return names;
}
