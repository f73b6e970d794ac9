#include "supervisor/config/print.h"

#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/jsonw.h"
#include "base/core/parse.h"
#include "base/core/secrets.h"

#define MASK "********"

/* Whether a variable's name says that its value is nobody's business. */
static bool name_is_secret(const char *name, size_t len)
{
    static const char *const words[] = {
        "TOKEN", "SECRET", "PASSWORD", "PASSWD", "KEY", "WEBHOOK"
    };
    _cleanup_free_ char *copy = strndup(name, len);
    for (size_t i = 0; copy && i < ARRAY_SIZE(words); i++)
        if (strcasestr(copy, words[i]))
            return true;
    return !copy;
}

/* The value as it may be seen: no password of a URL, no secret of a variable. */
static void put_visible(struct buf *out, const struct setting *o, const char *item)
{
    if (o->type == OPTION_PAIRS) {
        size_t n = strcspn(item, "=");
        buf_append(out, item, n + (item[n] == '='));
        buf_puts(out, name_is_secret(item, n) ? MASK : item[n] ? item + n + 1 : "");
        return;
    }
    const char *sep = o->type == OPTION_URL ? strstr(item, "://") : NULL;
    const char *at = sep ? memchr(sep + 3, '@', strcspn(sep + 3, "/?#")) : NULL;
    if (at)
        buf_printf(out, "%.*s" MASK "%s", (int)(sep + 3 - item), item, at);
    else
        buf_puts(out, item);
}

/* Where exactly it came from: "codev.yaml:12", "environment CODEV_GATEWAY_PORT". */
static void put_place(struct buf *out, const struct config *c, enum option_id id,
                      const struct value *v)
{
    switch (v->source) {
    case SOURCE_FILE:
        buf_printf(out, "%s:%u", c->file, v->line);
        break;
    case SOURCE_ENV_FILE:
        buf_printf(out, "%s:%u", c->env_file.path, v->line);
        break;
    case SOURCE_ENVIRONMENT:
        buf_puts(out, option_table[id].variable);
        break;
    case SOURCE_NONE:
    case SOURCE_DEFAULT:
    case SOURCE_FLAG:
    case SOURCE_MAX:
        break;
    }
}

static void text_row(struct buf *out, const struct config *c, const struct group *g,
                     enum option_id id)
{
    const struct value *v = &g->values[id];
    const struct setting *o = &option_table[id];
    _cleanup_buf_ struct buf key = BUF_INIT, value = BUF_INIT, place = BUF_INIT;
    buf_printf(&key, "%s%s%s", g->name ? g->name : "", g->name ? "." : "", option_name(id));
    if (o->list || o->type == OPTION_PAIRS)
        buf_putc(&value, '[');
    for (size_t i = 0; i < v->count; i++) {
        buf_puts(&value, i ? ", " : "");
        put_visible(&value, o, v->items[i]);
    }
    if (o->list || o->type == OPTION_PAIRS)
        buf_putc(&value, ']');
    put_place(&place, c, id, v);
    buf_printf(out, "%-34s %-44s %s%s%s\n", buf_str(&key), value.len ? buf_str(&value) : "\"\"",
               source_name(v->source), place.len ? " " : "", buf_str(&place));
}

/* Whether it is what any service has when nothing is said about it. */
static bool is_plain_default(const struct config *c, const struct group *g, enum option_id id)
{
    const struct value *v = &g->values[id];
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (v->source != SOURCE_DEFAULT || !v->count)
        return !v->count;
    config_expand(c, g, option_table[id].fallback ? option_table[id].fallback : "", &text);
    return v->count == 1 && strcmp(v->items[0], buf_str(&text)) == 0;
}

/* Services have many options: for people those are left out that say nothing. */
static void text_group(struct buf *out, const struct config *c, const struct group *g)
{
    for (int i = 0; i < OPT_MAX; i++) {
        enum option_id id = (enum option_id)i;
        if (option_table[i].scope != g->scope || g->values[i].source == SOURCE_NONE)
            continue;
        if (g->scope != SCOPE_SERVICE || !is_plain_default(c, g, id))
            text_row(out, c, g, id);
    }
}

/* Where a secret comes from, as far as this process can see. */
static const char *secret_place(const struct config *c, const struct secret_spec *s,
                                struct buf *place)
{
    _cleanup_buf_ struct buf file = BUF_INIT;
    buf_printf(&file, "%s_FILE", s->name);
    const char *value = getenv(s->name), *path = getenv(buf_str(&file));
    const struct env_variable *v = env_file_get(&c->env_file, s->name);
    if (value && *value)
        return "environment";
    if (path && *path) {
        buf_puts(place, path);
        return "secret file";
    }
    if (v && !s->state_file && !s->per_boot) {
        buf_printf(place, "%s:%u", c->env_file.path, v->line);
        return "env_file";
    }
    if (s->state_file || s->per_boot)
        return "generated";
    return NULL;
}

void config_print_text(const struct config *c, struct buf *out)
{
    buf_printf(out, "config file: %s%s\n\n", c->file, c->file_present ? "" : " (not there)");
    text_group(out, c, &c->top);
    for (size_t i = 0; i < c->storage_count; i++)
        text_group(out, c, c->storage[i]);
    for (size_t i = 0; i < c->service_count; i++) {
        buf_putc(out, '\n');
        text_group(out, c, c->services[i]);
    }
    buf_puts(out, "\nsecrets:\n");
    for (const struct secret_spec *s = secret_table; s->name; s++) {
        _cleanup_buf_ struct buf place = BUF_INIT;
        const char *source = secret_place(c, s, &place);
        buf_printf(out, "%-34s %-44s %s%s%s\n", s->name, source ? MASK : "",
                   source ? source : "not set", place.len ? " " : "", buf_str(&place));
    }
}

static void json_item(struct jsonw *w, const char *key, const struct setting *o, const char *item)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    uint64_t n;
    put_visible(&text, o, item);
    if (o->type == OPTION_FLAG)
        jsonw_bool(w, key, option_number(o, item));
    else if (o->type == OPTION_COUNT && parse_u64(item, 0, UINT64_MAX, &n) == 0)
        jsonw_uint(w, key, n);
    else
        jsonw_strn(w, key, buf_str(&text), text.len);
}

static void json_row(struct jsonw *w, const struct config *c, const struct group *g,
                     enum option_id id)
{
    const struct value *v = &g->values[id];
    const struct setting *o = &option_table[id];
    _cleanup_buf_ struct buf place = BUF_INIT;
    jsonw_object(w, option_name(id));
    if (o->list || o->type == OPTION_PAIRS) {
        jsonw_array(w, "value");
        for (size_t i = 0; i < v->count; i++)
            json_item(w, NULL, o, v->items[i]);
        jsonw_array_end(w);
    } else {
        json_item(w, "value", o, value_text(g, id));
    }
    jsonw_str(w, "source", source_name(v->source));
    put_place(&place, c, id, v);
    if (place.len)
        jsonw_str(w, "from", buf_str(&place));
    jsonw_object_end(w);
}

static void json_group(struct jsonw *w, const struct config *c, const struct group *g,
                       const char *key)
{
    jsonw_object(w, key);
    for (int i = 0; i < OPT_MAX; i++)
        if (option_table[i].scope == g->scope && g->values[i].source != SOURCE_NONE)
            json_row(w, c, g, (enum option_id)i);
    jsonw_object_end(w);
}

static void json_secrets(struct jsonw *w, const struct config *c)
{
    jsonw_object(w, "secrets");
    for (const struct secret_spec *s = secret_table; s->name; s++) {
        _cleanup_buf_ struct buf place = BUF_INIT;
        const char *source = secret_place(c, s, &place);
        jsonw_object(w, s->name);
        jsonw_bool(w, "set", source != NULL);
        if (source)
            jsonw_str(w, "source", source);
        if (place.len)
            jsonw_str(w, "from", buf_str(&place));
        jsonw_object_end(w);
    }
    jsonw_object_end(w);
}

void config_print_json(const struct config *c, struct buf *out)
{
    struct jsonw w = JSONW_INIT(out);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "config_file", c->file);
    jsonw_bool(&w, "config_file_present", c->file_present);
    json_group(&w, c, &c->top, "options");
    jsonw_array(&w, "storage");
    for (size_t i = 0; i < c->storage_count; i++)
        json_group(&w, c, c->storage[i], NULL);
    jsonw_array_end(&w);
    jsonw_object(&w, "services");
    for (size_t i = 0; i < c->service_count; i++)
        json_group(&w, c, c->services[i], c->services[i]->name + strlen("services."));
    jsonw_object_end(&w);
    json_secrets(&w, c);
    jsonw_object(&w, "env_file");
    jsonw_str(&w, "path", value_text(&c->top, OPT_ENV_FILE));
    jsonw_array(&w, "variables");
    for (size_t i = 0; i < c->env_file.count; i++)
        jsonw_str(&w, NULL, c->env_file.rows[i].name);
    jsonw_array_end(&w);
    jsonw_object_end(&w);
    jsonw_object_end(&w);
    buf_putc(out, '\n');
}
