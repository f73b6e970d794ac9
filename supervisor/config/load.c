/* Brings the sources together, the stronger over the weaker. */
#include "supervisor/config/config.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "supervisor/config/profiles.h"

static const char *variable(const char *name)
{
    const char *text = name ? getenv(name) : NULL;
    return text && *text ? text : NULL; /* manifests set variables to "" to mean: not set */
}

/* A list in a variable is separated by commas. */
static int put_text(struct config *c, enum option_id id, const char *text, enum source source,
                    unsigned line)
{
    const char *one[] = { text };
    if (!option_table[id].list)
        return config_put(c, &c->top, id, one, 1, source, line);
    _cleanup_free_ char *copy = strdup(text);
    _cleanup_free_ const char **items = calloc(strlen(text) + 1, sizeof *items);
    if (!copy || !items)
        return -ENOMEM;
    size_t count = 0;
    char *save = NULL;
    for (char *item = strtok_r(copy, ", \t", &save); item; item = strtok_r(NULL, ", \t", &save))
        items[count++] = item;
    return config_put(c, &c->top, id, items, count, source, line);
}

static int find_own_folder(struct config *c)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    c->own_folder = strdup(n > 0 ? dirname(path) : "");
    return c->own_folder ? 0 : -ENOMEM;
}

static int read_environment(struct config *c)
{
    for (int i = 0; i < OPT_MAX; i++) {
        const char *text = variable(option_table[i].variable);
        int r = text ? put_text(c, (enum option_id)i, text, SOURCE_ENVIRONMENT, 0) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_flags(struct config *c, const struct config_flags *flags)
{
    for (size_t i = 0; i < flags->set_count; i++) {
        size_t len = strcspn(flags->set[i], "=");
        enum option_id id = option_find(SCOPE_TOP, flags->set[i], len);
        if (id == OPT_MAX || flags->set[i][len] != '=') {
            buf_printf(&c->errors,
                       "--set %.60s: expected KEY=VALUE with a known key, such as "
                       "--set log.format=text\n",
                       flags->set[i]);
            continue;
        }
        int r = put_text(c, id, flags->set[i] + len + 1, SOURCE_FLAG, 0);
        if (r < 0)
            return r;
    }
    return 0;
}

static int fill_default(struct config *c, struct group *g, enum option_id id)
{
    const struct setting *o = &option_table[id];
    if (g->values[id].source != SOURCE_NONE || !o->fallback)
        return 0;
    if (o->list || o->type == OPTION_PAIRS)
        return value_set(g, id, NULL, 0, SOURCE_DEFAULT, 0);
    _cleanup_buf_ struct buf text = BUF_INIT;
    config_expand(c, g, o->fallback, &text);
    if (text.failed)
        return -ENOMEM;
    const char *items[] = { buf_str(&text) };
    return value_set(g, id, items, 1, SOURCE_DEFAULT, 0);
}

static int fill_defaults(struct config *c, struct group *g)
{
    for (int i = 0; i < OPT_MAX; i++) {
        int r = option_table[i].scope == g->scope ? fill_default(c, g, (enum option_id)i) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

/* The run user's home, unless the runtime made it "/", as it does for a uid without a name. */
static int fill_home(struct config *c)
{
    if (c->top.values[OPT_HOME].source != SOURCE_NONE)
        return 0;
    const char *home = variable("HOME");
    const char *items[] = { home && home[0] == '/' && home[1] ? home : "/home/coder" };
    return value_set(&c->top, OPT_HOME, items, 1, SOURCE_DEFAULT, 0);
}

/* Paths are compared with mount points: no slash at the end. */
static void trim_path(struct group *g, enum option_id id)
{
    char *text = g->values[id].count ? g->values[id].items[0] : NULL;
    for (size_t n = text ? strlen(text) : 0; n > 1 && text[n - 1] == '/'; n--)
        text[n - 1] = '\0';
}

static int apply_env_file(struct config *c)
{
    for (int i = 0; i < OPT_MAX; i++) {
        const struct setting *o = &option_table[i];
        const struct env_variable *v = o->variable ? env_file_get(&c->env_file, o->variable) : NULL;
        if (!v || !*v->value)
            continue;
        if (o->guarded) {
            buf_printf(
                &c->warnings,
                "%s:%u: %s is not taken from here, because the agent can write this file: set "
                "it in the pod's environment or the config file\n",
                c->env_file.path, v->line, o->variable);
            continue;
        }
        int r = put_text(c, (enum option_id)i, v->value, SOURCE_ENV_FILE, v->line);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_env_file(struct config *c)
{
    const char *path = value_text(&c->top, OPT_ENV_FILE);
    if (!*path)
        return 0;
    _cleanup_free_ char *text = NULL;
    size_t len = 0;
    int r = file_read(path, ENV_FILE_MAX, &text, &len);
    if (r == -ENOENT && c->top.values[OPT_ENV_FILE].source == SOURCE_DEFAULT)
        return 0;
    if (r < 0) {
        /* A warning only: it lies on a volume, and a bad volume must not keep the pod down. */
        buf_printf(&c->warnings, "%s: cannot read the env file: %s\n", path, strerror(-r));
        return r == -ENOMEM ? r : 0;
    }
    r = env_file_parse(&c->env_file, path, text, len, &c->warnings);
    return r < 0 ? r : apply_env_file(c);
}

static int add_default_storage(struct config *c)
{
    if (c->storage_given)
        return 0;
    struct group *g = config_add_storage(c, 0);
    _cleanup_buf_ struct buf path = BUF_INIT;
    config_expand(c, &c->top, "$HOME/.local", &path);
    const char *items[] = { buf_str(&path) };
    if (!g || path.failed)
        return -ENOMEM;
    return value_set(g, OPT_STORAGE_PATH, items, 1, SOURCE_DEFAULT, 0);
}

static int fill_all(struct config *c)
{
    int r = fill_defaults(c, &c->top);
    if (r == 0)
        r = add_default_storage(c);
    for (size_t i = 0; r == 0 && i < c->storage_count; i++) {
        r = fill_defaults(c, c->storage[i]);
        trim_path(c->storage[i], OPT_STORAGE_PATH);
    }
    config_drop_builtins(c);
    if (r == 0)
        r = config_fill_builtins(c);
    if (r == 0)
        r = profiles_fill(c);
    for (size_t i = 0; r == 0 && i < c->service_count; i++)
        r = fill_defaults(c, c->services[i]);
    for (size_t i = 0; r == 0 && i < c->profile_count; i++)
        r = fill_defaults(c, c->profiles[i]);
    return r;
}

static int load(struct config *c, const struct config_flags *flags)
{
    const char *file = flags->file ? flags->file : variable("CODEV_CONFIG");
    c->file = strdup(file ? file : CONFIG_FILE_DEFAULT);
    c->in_pod = variable("KUBERNETES_SERVICE_HOST") != NULL;
    c->top = (struct group){ .scope = SCOPE_TOP, .builtin = -1 };
    int r = c->file ? find_own_folder(c) : -ENOMEM;
    if (r == 0)
        r = config_add_builtins(c);
    if (r == 0)
        r = profiles_add_builtins(c);
    if (r == 0)
        r = config_read_file(c);
    if (r == 0)
        r = read_environment(c);
    if (r == 0)
        r = read_flags(c, flags);
    if (r == 0)
        r = fill_home(c);
    trim_path(&c->top, OPT_HOME);
    if (r == 0)
        r = fill_default(c, &c->top, OPT_ENV_FILE);
    if (r == 0)
        r = read_env_file(c);
    if (r == 0)
        r = fill_all(c);
    if (r == 0)
        config_check(c);
    return r;
}

int config_load(struct config *c, const struct config_flags *flags)
{
    *c = (struct config){ 0 };
    int r = load(c, flags);
    if (r < 0 || c->failed)
        return -ENOMEM;
    return c->errors.len || c->errors.failed ? -EINVAL : 0;
}
