#include "supervisor/config/docs.h"

#include <string.h>

#include "base/core/cleanup.h"
#include "supervisor/config/option.h"

static const struct {
    const char *title, *mdoc, *prefix;
} scopes[] = {
    [SCOPE_TOP] = { "Settings", "SETTINGS", "" },
    [SCOPE_STORAGE] = { "`storage`: a list of volumes, each with", "VOLUMES", "storage[]." },
    [SCOPE_SERVICE] = { "`services`: a mapping of names to services, each with", "SERVICES",
                        "services.NAME." },
    [SCOPE_PROFILE] = { "`sandbox.profiles`: a mapping of names to sandbox profiles, each with",
                        "SANDBOX PROFILES", "sandbox.profiles.NAME." },
};
_Static_assert(ARRAY_SIZE(scopes) == SCOPE_MAX, "a title for every scope");

static const char *type_name(const struct setting *o)
{
    static const char *const names[] = {
        [OPTION_TEXT] = "text",
        [OPTION_PATH] = "path",
        [OPTION_FLAG] = "true, false",
        [OPTION_COUNT] = "number",
        [OPTION_DECIMAL] = "number",
        [OPTION_DURATION] = "duration",
        [OPTION_SIZE] = "size",
        [OPTION_CHOICE] = "",
        [OPTION_URL] = "URL",
        [OPTION_HOST] = "address",
        [OPTION_HOSTPORT] = "host:port",
        [OPTION_SIGNAL] = "signal",
        [OPTION_NAME] = "name",
        [OPTION_PAIRS] = "mapping",
        [OPTION_PLACE] = "path",
        [OPTION_PORT] = "port",
        [OPTION_SYSCALL] = "system call",
        [OPTION_CAPABILITY] = "capability",
    };
    _Static_assert(ARRAY_SIZE(names) == OPTION_TYPE_MAX, "a name for every type");
    return names[o->type];
}

static void put_type(struct buf *out, const struct setting *o)
{
    if (o->type != OPTION_CHOICE) {
        buf_printf(out, "%s%s", o->list ? "list of " : "", type_name(o));
        return;
    }
    for (const char *w = o->words; *w;) {
        size_t n = strcspn(w, "|");
        buf_printf(out, "%s%.*s", w == o->words ? "" : ", ", (int)n, w);
        w += n + (w[n] == '|');
    }
}

/* The default as Markdown. */
static void put_default(struct buf *out, const struct setting *o)
{
    if (o->shown)
        buf_puts(out, o->shown);
    else if (o->fallback && *o->fallback)
        buf_printf(out, "`%s`", o->fallback);
}

static void put_markdown_row(struct buf *out, const struct setting *o, const char *prefix)
{
    if (o->key)
        buf_printf(out, "| `%s%s` | ", prefix, o->key);
    else
        buf_puts(out, "| by the variable only | ");
    put_type(out, o);
    buf_puts(out, " | ");
    put_default(out, o);
    if (o->scope == SCOPE_TOP)
        buf_printf(out, o->variable ? " | `%s`%s" : " | ", o->variable, o->guarded ? "" : " °");
    buf_printf(out, " | %s |\n", o->help);
}

void config_docs_markdown(struct buf *out)
{
    for (int scope = 0; scope < SCOPE_MAX; scope++) {
        bool top = scope == SCOPE_TOP;
        buf_printf(out, "%s## %s\n\n", scope ? "\n" : "", scopes[scope].title);
        buf_printf(out, "| key | type | default |%s what it is |\n", top ? " variable |" : "");
        buf_printf(out, "|---|---|---|%s---|\n", top ? "---|" : "");
        for (int i = 0; i < OPT_MAX; i++)
            if ((int)option_table[i].scope == scope)
                put_markdown_row(out, &option_table[i], scopes[scope].prefix);
    }
}

/* Markdown's `word` becomes .Ql; a line that begins with a dot or a quote must not. */
static void put_mdoc_text(struct buf *out, const char *text)
{
    bool quoted = false;
    for (const char *p = text; *p; p++) {
        if (*p == '`') {
            buf_puts(out, quoted ? "\\(cq" : "\\(oq");
            quoted = !quoted;
        } else if (*p == '\\') {
            buf_puts(out, "\\e");
        } else if (strncmp(p, "\u2026", 3) == 0) {
            buf_puts(out, "...");
            p += 2;
        } else {
            buf_putc(out, *p);
            if (*p == '.' && p[1] == ' ') { /* a new sentence is a new line */
                buf_putc(out, '\n');
                p++;
            }
        }
    }
}

static void put_mdoc_row(struct buf *out, const struct setting *o)
{
    _cleanup_buf_ struct buf fallback = BUF_INIT;
    buf_printf(out, ".It Ic %s Pq ", o->key);
    put_type(out, o);
    buf_putc(out, '\n');
    put_mdoc_text(out, o->help);
    put_default(&fallback, o);
    if (fallback.len) {
        buf_puts(out, "\nDefault: ");
        put_mdoc_text(out, buf_str(&fallback));
        buf_putc(out, '.');
    }
    if (o->variable)
        buf_printf(out, "\nVariable:\n.Ev %s .", o->variable);
    buf_putc(out, '\n');
}

void config_docs_mdoc(struct buf *out)
{
    for (int scope = 0; scope < SCOPE_MAX; scope++) {
        buf_printf(out, ".Sh %s\n.Bl -tag -width Ds\n", scopes[scope].mdoc);
        for (int i = 0; i < OPT_MAX; i++)
            if ((int)option_table[i].scope == scope && option_table[i].key)
                put_mdoc_row(out, &option_table[i]);
        buf_puts(out, ".El\n");
    }
}
