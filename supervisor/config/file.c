/* The config file: from YAML nodes to values. */
#include "supervisor/config/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/yaml/yaml.h"

/* The name of a key for messages: "services.ttyd.ready.http". */
static void put_name(struct buf *out, const struct group *g, const char *prefix, const char *key)
{
    if (g->name && *g->name)
        buf_printf(out, "%s.", g->name);
    buf_printf(out, "%s%s", prefix, key);
}

static int unknown_key(struct config *c, const struct group *g, const char *prefix,
                       const struct ynode *n)
{
    _cleanup_buf_ struct buf name = BUF_INIT;
    put_name(&name, g, prefix, n->key);
    size_t len = 0;
    const char *similar = option_similar(g->scope, prefix, n->key, &len);
    if (similar)
        config_error_at(c, n->line, buf_str(&name), "unknown key (did you mean '%.*s'?)", (int)len,
                        similar);
    else
        config_error_at(c, n->line, buf_str(&name), "unknown key");
    return 0;
}

static void wrong_kind(struct config *c, const struct group *g, const char *prefix,
                       const struct ynode *n, const char *expected)
{
    _cleanup_buf_ struct buf name = BUF_INIT;
    put_name(&name, g, prefix, n->key ? n->key : "");
    config_error_at(c, n->line, buf_str(&name), "expected %s, not %s", expected,
                    ynode_kind_name(n->kind));
}

static bool is_variable(const char *name)
{
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    return n && !name[n] && !(name[0] >= '0' && name[0] <= '9');
}

static int read_pairs(struct config *c, struct group *g, enum option_id id, const struct ynode *n)
{
    _cleanup_free_ const char **items = calloc(n->count + 1, sizeof *items);
    _cleanup_free_ size_t *at = calloc(n->count + 1, sizeof *at);
    _cleanup_buf_ struct buf text = BUF_INIT;
    size_t count = 0;
    if (!items || !at)
        return -ENOMEM;
    for (const struct ynode *v = n->first; v; v = v->next) {
        if (v->kind != YNODE_SCALAR) {
            wrong_kind(c, g, "env.", v, "a value");
            continue;
        }
        if (!is_variable(v->key))
            config_error_at(c, v->line, g->name, "env: '%.60s' is no name of a variable", v->key);
        at[count++] = text.len;
        buf_printf(&text, "%s=%s%c", v->key, ynode_is_null(v) ? "" : v->text, '\0');
    }
    if (text.failed)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        items[i] = text.data + at[i];
    return config_put(c, g, id, items, count, SOURCE_FILE, n->line);
}

static int read_list(struct config *c, struct group *g, enum option_id id, const char *prefix,
                     const struct ynode *n)
{
    _cleanup_free_ const char **items = calloc(n->count + 1, sizeof *items);
    size_t count = 0;
    if (!items)
        return -ENOMEM;
    for (const struct ynode *v = n->first; v; v = v->next) {
        if (v->kind != YNODE_SCALAR) {
            _cleanup_buf_ struct buf name = BUF_INIT;
            put_name(&name, g, prefix, n->key);
            config_error_at(c, v->line, buf_str(&name),
                            "expected a list of plain values, not %s in it",
                            ynode_kind_name(v->kind));
            return 0;
        }
        items[count++] = v->text;
    }
    return config_put(c, g, id, items, count, SOURCE_FILE, n->line);
}

static int read_option(struct config *c, struct group *g, enum option_id id, const char *prefix,
                       const struct ynode *n)
{
    const struct setting *o = &option_table[id];
    if (ynode_is_null(n))
        return 0;
    if (o->type == OPTION_PAIRS) {
        if (n->kind == YNODE_MAPPING)
            return read_pairs(c, g, id, n);
        wrong_kind(c, g, prefix, n, "a mapping of variables to values");
        return 0;
    }
    if (o->list && n->kind == YNODE_SEQUENCE)
        return read_list(c, g, id, prefix, n);
    if (n->kind != YNODE_SCALAR) {
        wrong_kind(c, g, prefix, n, o->list ? "a list" : "one value");
        return 0;
    }
    if (o->list && o->type == OPTION_TEXT && strpbrk(n->text, " \t")) {
        _cleanup_buf_ struct buf name = BUF_INIT;
        put_name(&name, g, prefix, n->key);
        config_error_at(c, n->line, buf_str(&name),
                        "expected a list such as [program, argument]: there is no shell");
        /* It is taken all the same, or else it would be called missing as well. */
    }
    const char *items[] = { n->text };
    return config_put(c, g, id, items, !o->list || *n->text, SOURCE_FILE, n->line);
}

/* The keys of `mapping`, which stands under `prefix` ("" or "log."). */
static int read_keys(struct config *c, struct group *g, const char *prefix,
                     const struct ynode *mapping);

static int read_key(struct config *c, struct group *g, const char *prefix, const struct ynode *n)
{
    _cleanup_buf_ struct buf key = BUF_INIT;
    buf_printf(&key, "%s%s", prefix, n->key);
    if (key.failed)
        return -ENOMEM;
    bool dotted = strchr(n->key, '.') != NULL; /* "log.format:" at the top is not YAML's nesting */
    enum option_id id = dotted ? OPT_MAX : option_find(g->scope, buf_str(&key), key.len);
    if (id < OPT_MAX)
        return read_option(c, g, id, prefix, n);
    if (dotted || !option_is_prefix(g->scope, buf_str(&key), key.len))
        return unknown_key(c, g, prefix, n);
    if (ynode_is_null(n))
        return 0;
    if (n->kind != YNODE_MAPPING) {
        wrong_kind(c, g, prefix, n, "a mapping");
        return 0;
    }
    buf_putc(&key, '.');
    return key.failed ? -ENOMEM : read_keys(c, g, buf_str(&key), n);
}

static int read_storage(struct config *c, const struct ynode *n)
{
    if (ynode_is_null(n))
        return 0;
    if (n->kind != YNODE_SEQUENCE) {
        wrong_kind(c, &c->top, "", n, "a list");
        return 0;
    }
    c->storage_given = true;
    for (const struct ynode *v = n->first; v; v = v->next) {
        struct group *g = config_add_storage(c, v->line);
        if (!g)
            return c->failed ? -ENOMEM : 0;
        if (v->kind != YNODE_MAPPING) {
            config_error_at(c, v->line, g->name,
                            "expected a mapping such as {path: /home/coder/.local}");
            continue;
        }
        int r = read_keys(c, g, "", v);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_service(struct config *c, const struct ynode *n)
{
    _cleanup_buf_ struct buf expected = BUF_INIT;
    const struct setting *named = &option_table[OPT_AFTER];
    if (option_check(named, n->key, &expected) < 0) {
        config_error_at(c, n->line, "services", "'%.60s': expected %s", n->key, buf_str(&expected));
        return 0;
    }
    struct group *g = config_service(c, n->key);
    if (!g)
        g = config_add_service(c, n->key, n->line);
    if (!g)
        return c->failed ? -ENOMEM : 0;
    g->line = n->line;
    if (ynode_is_null(n))
        return 0;
    if (n->kind != YNODE_MAPPING) {
        config_error_at(c, n->line, g->name, "expected a mapping, not %s",
                        ynode_kind_name(n->kind));
        return 0;
    }
    return read_keys(c, g, "", n);
}

static int read_services(struct config *c, const struct ynode *n)
{
    if (ynode_is_null(n))
        return 0;
    if (n->kind != YNODE_MAPPING) {
        wrong_kind(c, &c->top, "", n, "a mapping of names to services");
        return 0;
    }
    for (const struct ynode *v = n->first; v; v = v->next) {
        int r = read_service(c, v);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_profile(struct config *c, const struct ynode *n)
{
    _cleanup_buf_ struct buf expected = BUF_INIT;
    if (option_check(&option_table[OPT_SANDBOX], n->key, &expected) < 0 ||
        strcmp(n->key, "none") == 0) {
        config_error_at(c, n->line, "sandbox.profiles", "'%.60s': expected %s", n->key,
                        expected.len ? buf_str(&expected) : "another name");
        return 0;
    }
    struct group *g = config_profile(c, n->key);
    if (!g)
        g = config_add_profile(c, n->key, n->line);
    if (!g)
        return c->failed ? -ENOMEM : 0;
    g->line = n->line;
    if (ynode_is_null(n))
        return 0;
    if (n->kind == YNODE_MAPPING)
        return read_keys(c, g, "", n);
    config_error_at(c, n->line, g->name, "expected a mapping, not %s", ynode_kind_name(n->kind));
    return 0;
}

static int read_profiles(struct config *c, const struct ynode *n)
{
    if (ynode_is_null(n))
        return 0;
    if (n->kind != YNODE_MAPPING) {
        wrong_kind(c, &c->top, "sandbox.", n, "a mapping of names to profiles");
        return 0;
    }
    for (const struct ynode *v = n->first; v; v = v->next) {
        int r = read_profile(c, v);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_keys(struct config *c, struct group *g, const char *prefix,
                     const struct ynode *mapping)
{
    for (const struct ynode *n = mapping->first; n; n = n->next) {
        bool top = g->scope == SCOPE_TOP && !*prefix;
        bool sandbox = g->scope == SCOPE_TOP && strcmp(prefix, "sandbox.") == 0;
        int r;
        if (top && strcmp(n->key, "storage") == 0)
            r = read_storage(c, n);
        else if (top && strcmp(n->key, "services") == 0)
            r = read_services(c, n);
        else if (sandbox && strcmp(n->key, "profiles") == 0)
            r = read_profiles(c, n);
        else
            r = read_key(c, g, prefix, n);
        if (r < 0)
            return r;
    }
    return 0;
}

/* "12: what" from the YAML room becomes "FILE:12: what". */
static void yaml_error(struct config *c, const struct error *e)
{
    char *end = NULL;
    unsigned long line = strtoul(e->message, &end, 10);
    if (end && strncmp(end, ": ", 2) == 0)
        config_error_at(c, (unsigned)line, "", "%s", end + 2);
    else
        config_error_at(c, 1, "", "%s", e->message);
}

int config_read_file(struct config *c)
{
    _cleanup_free_ char *text = NULL;
    size_t len = 0;
    int r = file_read(c->file, CONFIG_FILE_MAX, &text, &len);
    if (r == -ENOENT && strcmp(c->file, CONFIG_FILE_DEFAULT) == 0)
        return 0;
    if (r < 0) {
        config_error_at(c, 1, "", "cannot read the config file: %s", strerror(-r));
        return r == -ENOMEM ? r : 0;
    }
    c->file_present = true;
    _cleanup_ynode_ struct ynode *root = NULL;
    struct error e = ERROR_INIT;
    r = ynode_parse(&root, text, len, &e);
    if (r < 0) {
        yaml_error(c, &e);
        return r == -ENOMEM ? r : 0;
    }
    if (!root)
        return 0;
    if (root->kind != YNODE_MAPPING) {
        config_error_at(c, root->line, "", "expected a mapping of settings, not %s",
                        ynode_kind_name(root->kind));
        return 0;
    }
    return read_keys(c, &c->top, "", root);
}
