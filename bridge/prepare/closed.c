#include "bridge/prepare/closed.h"

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "bridge/prepare/npm_env.h"
#include "bridge/prepare/reach.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

/* Programs by which npm's own first line, or a build, finds its way: all must be out of reach. */
static const char *const programs[] = { "node", "npm" };

/* `name` in `path`, resolved, out of the agent's reach; NULL. */
static char *find_program(const struct reach *r, const char *path, const char *name)
{
    _cleanup_free_ char *copy = strdup(path);
    char *rest = copy;
    for (char *dir; rest && (dir = strsep(&rest, ":"));) {
        _cleanup_free_ char *file = path_join(dir, name);
        if (file && access(file, X_OK) == 0)
            return reach_covers(r, file) ? NULL : TAKE_PTR(file);
    }
    return NULL;
}

static int find_npm(struct closed *c, const struct reach *r, struct error *e)
{
    const char *path = getenv("PATH");
    c->path = reach_filter(r, path ? path : "");
    if (!c->path)
        return error_set_errno(e, -ENOMEM, "npm");
    for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
        free(c->npm);
        c->npm = find_program(r, c->path, programs[i]);
        if (!c->npm)
            return error_set(e, -ENOENT,
                             "there is no %s that is closed to the agent: put it into the image, "
                             "in a folder of PATH that the agent cannot write to (PATH is %s)",
                             programs[i], path ? path : "not set");
    }
    return 0;
}

/* npm looks for programs and modules in the node_modules of every folder above, too. */
static int check_above(const struct closed *c, const struct reach *r, struct error *e)
{
    char at[PATH_MAX];
    if (!realpath(c->folder, at))
        return error_set_errno(e, -errno, "cannot look at %s", c->folder);
    for (char *slash; (slash = strrchr(at, '/'));) {
        *slash = '\0';
        _cleanup_free_ char *modules = path_join(at, "node_modules");
        if (modules && access(modules, F_OK) == 0 && reach_covers(r, modules))
            return error_set(e, -EPERM,
                             "%s, which the agent can write to, would be a part of the build: "
                             "remove it",
                             modules);
    }
    return 0;
}

/* --- the environment --- */

/* Settings that name a file of the agent's are its settings. */
static bool may_pass(const struct reach *r, const char *entry)
{
    static const char *const ours[] = {
        "PATH=", "HOME=", "TMPDIR=", "XDG_", "npm_config_cache=", "NPM_CONFIG_CACHE="
    };
    for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
        if (strncmp(entry, ours[i], strlen(ours[i])) == 0)
            return false;
    const char *value = entry + strcspn(entry, "=");
    return npm_env_allows(entry) && (strncmp(value, "=/", 2) != 0 || !reach_covers(r, value + 1));
}

static int put(char **env, size_t *count, const char *name, const char *folder, const char *value)
{
    if (asprintf(&env[*count], "%s%s%s%s", name, folder, *folder && *value ? "/" : "", value) < 0) {
        env[*count] = NULL;
        return -ENOMEM;
    }
    ++*count;
    return 0;
}

/* The npmrc of the user, where it is a mounted one: a registry, a certificate. */
static int put_userconfig(const struct reach *r, const struct settings *s, char **env,
                          size_t *count)
{
    _cleanup_free_ char *own = path_join(s->home, ".npmrc");
    for (size_t i = 0; i < *count; i++)
        if (strncasecmp(env[i], "npm_config_userconfig=", 22) == 0)
            return 0;
    bool usable = own && access(own, R_OK) == 0 && !reach_covers(r, own);
    return put(env, count, "npm_config_userconfig=", "", usable ? own : "/dev/null");
}

static int fill_env(struct closed *c, const struct reach *r, const struct settings *s)
{
    size_t room = 0, n = 0;
    while (environ[room])
        room++;
    c->env = calloc(room + 8, sizeof *c->env);
    if (!c->env)
        return -ENOMEM;
    for (size_t i = 0; environ[i]; i++)
        if (may_pass(r, environ[i]) && put(c->env, &n, "", "", environ[i]) < 0)
            return -ENOMEM;
    int rc = put(c->env, &n, "CI=1", "", "");
    if (rc == 0)
        rc = put(c->env, &n, "PATH=", "", c->path);
    if (rc == 0)
        rc = put(c->env, &n, "HOME=", c->folder, "home");
    if (rc == 0)
        rc = put(c->env, &n, "TMPDIR=", c->folder, "tmp");
    if (rc == 0)
        rc = put(c->env, &n, "npm_config_cache=", c->folder, "cache");
    return rc < 0 ? rc : put_userconfig(r, s, c->env, &n);
}

/* --- the folder --- */

static int make_folders(struct closed *c, const struct settings *s, struct error *e)
{
    static const char *const names[] = { "home", "tmp", "cache" };
    c->folder = strdup(s->build_dir);
    c->plugin = c->folder ? path_join(c->folder, "plugin") : NULL;
    int r = c->plugin ? file_remove_tree(c->folder) : -ENOMEM;
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(names); i++) {
        _cleanup_free_ char *path = path_join(c->folder, names[i]);
        r = path ? file_mkdir_p(path, 0700) : -ENOMEM;
    }
    return r < 0 ? error_set_errno(e, r, "cannot make %s", s->build_dir) : 0;
}

int closed_open(struct closed *ret, const struct settings *s, struct error *e)
{
    struct closed c = { 0 };
    int r = make_folders(&c, s, e);
    if (r < 0) {
        closed_release(&c);
        return r;
    }
    *ret = c;
    return 0;
}

int closed_npm(struct closed *c, const struct settings *s, struct error *e)
{
    _cleanup_reach_ struct reach reach = { 0 };
    int r = reach_read(&reach, s, e);
    if (r == 0)
        r = find_npm(c, &reach, e);
    if (r == 0)
        r = check_above(c, &reach, e);
    if (r == 0 && fill_env(c, &reach, s) < 0)
        r = error_set_errno(e, -ENOMEM, "npm");
    return r;
}

void closed_release(struct closed *c)
{
    if (c->folder)
        (void)file_remove_tree(c->folder);
    free(c->folder);
    free(c->plugin);
    free(c->path);
    free(c->npm);
    npm_env_free(&c->env);
    *c = (struct closed){ 0 };
}
