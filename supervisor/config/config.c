#include "supervisor/config/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"

#define LINES_MAX ((size_t)64 << 10) /* of errors; a broken file of 1 MiB must not fill the log */

static const char *const source_names[] = {
    [SOURCE_NONE] = "none",         [SOURCE_DEFAULT] = "default",         [SOURCE_FILE] = "file",
    [SOURCE_ENV_FILE] = "env_file", [SOURCE_ENVIRONMENT] = "environment", [SOURCE_FLAG] = "flag",
};
_Static_assert(ARRAY_SIZE(source_names) == SOURCE_MAX, "a name for every source");

const char *source_name(enum source s)
{
    return source_names[s];
}

static void free_items(char **items)
{
    for (size_t i = 0; items && items[i]; i++)
        free(items[i]);
    free(items);
}

static void group_release(struct group *g)
{
    for (size_t i = 0; i < OPT_MAX; i++)
        free_items(g->values[i].items);
    free(g->name);
}

void config_group_free(struct group *g)
{
    group_release(g);
    free(g);
}

void config_release(struct config *c)
{
    group_release(&c->top);
    for (size_t i = 0; i < c->storage_count; i++)
        config_group_free(c->storage[i]);
    for (size_t i = 0; i < c->service_count; i++)
        config_group_free(c->services[i]);
    for (size_t i = 0; i < c->profile_count; i++)
        config_group_free(c->profiles[i]);
    env_file_release(&c->env_file);
    buf_release(&c->errors);
    buf_release(&c->warnings);
    free(c->file);
    free(c->own_folder);
    *c = (struct config){ 0 };
}

static struct group *group_new(struct config *c, enum option_scope scope, unsigned line,
                               const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static struct group *group_new(struct config *c, enum option_scope scope, unsigned line,
                               const char *fmt, ...)
{
    struct group *g = calloc(1, sizeof *g);
    _cleanup_buf_ struct buf name = BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    (void)buf_vprintf(&name, fmt, ap);
    va_end(ap);
    char *text = buf_take(&name);
    if (!g || !text) {
        free(g);
        free(text);
        c->failed = true;
        return NULL;
    }
    *g = (struct group){ .scope = scope, .name = text, .line = line, .builtin = -1 };
    return g;
}

struct group *config_add_service(struct config *c, const char *name, unsigned line)
{
    if (c->service_count == CONFIG_SERVICES_MAX) {
        config_error_at(c, line, "services", "more than %d services", CONFIG_SERVICES_MAX);
        return NULL;
    }
    struct group *g = group_new(c, SCOPE_SERVICE, line, "services.%s", name);
    if (g)
        c->services[c->service_count++] = g;
    return g;
}

struct group *config_add_profile(struct config *c, const char *name, unsigned line)
{
    if (c->profile_count == CONFIG_PROFILES_MAX) {
        config_error_at(c, line, "sandbox.profiles", "more than %d profiles", CONFIG_PROFILES_MAX);
        return NULL;
    }
    struct group *g = group_new(c, SCOPE_PROFILE, line, "sandbox.profiles.%s", name);
    if (g)
        c->profiles[c->profile_count++] = g;
    return g;
}

const char *profile_name(const struct group *g)
{
    return g->name + strlen("sandbox.profiles.");
}

struct group *config_profile(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->profile_count; i++)
        if (strcmp(profile_name(c->profiles[i]), name) == 0)
            return c->profiles[i];
    return NULL;
}

struct group *config_add_storage(struct config *c, unsigned line)
{
    if (c->storage_count == CONFIG_STORAGE_MAX) {
        config_error_at(c, line, "storage", "more than %d volumes", CONFIG_STORAGE_MAX);
        return NULL;
    }
    struct group *g = group_new(c, SCOPE_STORAGE, line, "storage[%zu]", c->storage_count);
    if (g)
        c->storage[c->storage_count++] = g;
    return g;
}

const char *service_name(const struct group *g)
{
    return g->name + strlen("services.");
}

struct group *config_service(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->service_count; i++)
        if (strcmp(service_name(c->services[i]), name) == 0)
            return c->services[i];
    return NULL;
}

const char *value_text(const struct group *g, enum option_id id)
{
    return g->values[id].count ? g->values[id].items[0] : "";
}

bool value_is_set(const struct group *g, enum option_id id)
{
    return g->values[id].count > 0 && *g->values[id].items[0];
}

uint64_t value_number(const struct group *g, enum option_id id)
{
    return option_number(&option_table[id], value_text(g, id));
}

int value_set(struct group *g, enum option_id id, const char *const *items, size_t count,
              enum source source, unsigned line)
{
    char **copy = calloc(count + 1, sizeof *copy);
    if (!copy)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        copy[i] = strdup(items[i]);
        if (!copy[i]) {
            free_items(copy);
            return -ENOMEM;
        }
    }
    free_items(g->values[id].items);
    g->values[id] = (struct value){ .items = copy, .count = count, .source = source, .line = line };
    return 0;
}

static void put_line(struct config *c, const char *file, unsigned line, const char *key,
                     const char *fmt, va_list ap) __attribute__((format(printf, 5, 0)));
static void put_line(struct config *c, const char *file, unsigned line, const char *key,
                     const char *fmt, va_list ap)
{
    struct buf *out = &c->errors;
    if (!out->max)
        out->max = LINES_MAX;
    size_t before = out->len;
    if (file)
        buf_printf(out, "%s:%u: ", file, line);
    if (*key)
        buf_printf(out, "%s: ", key);
    (void)buf_vprintf(out, fmt, ap);
    (void)buf_putc(out, '\n');
    for (size_t i = before; i + 1 < out->len; i++) /* one line, whatever stood in the value */
        if ((unsigned char)out->data[i] < ' ')
            out->data[i] = ' ';
}

void config_error_at(struct config *c, unsigned line, const char *key, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    put_line(c, c->file, line, key, fmt, ap);
    va_end(ap);
}

void config_error(struct config *c, const struct group *g, enum option_id id, const char *fmt, ...)
{
    _cleanup_buf_ struct buf key = BUF_INIT;
    const struct value *v = id < OPT_MAX ? &g->values[id] : NULL;
    enum source source = v ? v->source : g->line ? SOURCE_FILE : SOURCE_DEFAULT;
    unsigned line = v && v->source == SOURCE_FILE ? v->line : g->line;
    const char *file = source == SOURCE_FILE ? c->file : NULL;
    if (g->name && *g->name)
        buf_printf(&key, "%s%s", g->name, v ? "." : "");
    if (v && source > SOURCE_FILE && source < SOURCE_FLAG && option_table[id].variable)
        buf_puts(&key, option_table[id].variable);
    else if (v)
        buf_puts(&key, option_name(id));
    if (source == SOURCE_ENV_FILE) {
        file = c->env_file.path;
        line = v->line;
    }
    va_list ap;
    va_start(ap, fmt);
    put_line(c, file, line, buf_str(&key), fmt, ap);
    va_end(ap);
}

static void check_items(struct config *c, const struct group *g, enum option_id id)
{
    const struct setting *o = &option_table[id];
    const struct value *v = &g->values[id];
    for (size_t i = 0; i < v->count; i++) {
        _cleanup_buf_ struct buf expected = BUF_INIT;
        if (option_check(o, v->items[i], &expected) == 0)
            continue;
        if (o->type == OPTION_URL) /* it may carry a password */
            config_error(c, g, id, "expected %s", buf_str(&expected));
        else
            config_error(c, g, id, "expected %s, not '%.100s'", buf_str(&expected), v->items[i]);
    }
}

int config_put(struct config *c, struct group *g, enum option_id id, const char *const *items,
               size_t count, enum source source, unsigned line)
{
    struct value before = g->values[id];
    g->values[id] = (struct value){ 0 };
    int r = value_set(g, id, items, count, source, line);
    if (r == 0)
        check_items(c, g, id); /* also one that does not win: it is wrong all the same */
    if (r < 0 || before.source > source) {
        free_items(g->values[id].items);
        g->values[id] = before;
    } else {
        free_items(before.items);
    }
    return r;
}
