#include "bridge/prepare/source.h"

#include "base/core/file.h"
#include "bridge/prepare/jsonc.h"
#include "bridge/prepare/names.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_MAX ((size_t)4 << 20)

/* Types of the top-level keys in OpenCode's schema (GET /doc, Config): a wrong one makes it exit.
 * Keys that are not here are ignored by OpenCode, or too free to judge. */
enum { T_STRING = 1 << 0, T_BOOL = 1 << 1, T_NUMBER = 1 << 2, T_ARRAY = 1 << 3, T_OBJECT = 1 << 4 };
static const struct {
    const char *key;
    int types;
} key_types[] = {
    { "$schema", T_STRING },
    { "shell", T_STRING },
    { "logLevel", T_STRING },
    { "server", T_OBJECT },
    { "command", T_OBJECT },
    { "skills", T_OBJECT },
    { "watcher", T_OBJECT },
    { "snapshot", T_BOOL },
    { "plugin", T_ARRAY },
    { "share", T_STRING },
    { "autoshare", T_BOOL },
    { "autoupdate", T_BOOL | T_STRING },
    { "disabled_providers", T_ARRAY },
    { "enabled_providers", T_ARRAY },
    { "model", T_STRING },
    { "small_model", T_STRING },
    { "default_agent", T_STRING },
    { "username", T_STRING },
    { "mode", T_OBJECT },
    { "agent", T_OBJECT },
    { "provider", T_OBJECT },
    { "mcp", T_OBJECT },
    { "formatter", T_BOOL | T_OBJECT },
    { "lsp", T_BOOL | T_OBJECT },
    { "instructions", T_ARRAY },
    { "layout", T_STRING },
    { "permission", T_STRING | T_OBJECT },
    { "tools", T_OBJECT },
    { "enterprise", T_OBJECT },
    { "compaction", T_OBJECT },
    { "experimental", T_OBJECT },
};

static int type_of(const cJSON *j)
{
    return cJSON_IsString(j)   ? T_STRING
           : cJSON_IsBool(j)   ? T_BOOL
           : cJSON_IsNumber(j) ? T_NUMBER
           : cJSON_IsArray(j)  ? T_ARRAY
           : cJSON_IsObject(j) ? T_OBJECT
                               : 0;
}

__attribute__((format(printf, 2, 3))) static void bad(struct source *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(s->reason, sizeof s->reason, fmt, ap);
    va_end(ap);
    s->state = SOURCE_BAD;
    cJSON_Delete(s->json);
    s->json = NULL;
}

static void check_types(struct source *s)
{
    if (!cJSON_IsObject(s->json)) {
        bad(s, "%s is not a JSON object", s->path);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(key_types); i++) {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(s->json, key_types[i].key);
        if (value && !(type_of(value) & key_types[i].types)) {
            bad(s, "%s: \"%s\" has the wrong type", s->path, key_types[i].key);
            return;
        }
    }
}

/* A {file:…} that leads nowhere makes OpenCode refuse the whole config. `text` has no comments. */
static bool files_exist(struct source *s, const char *text)
{
    for (const char *at = text; (at = strstr(at, "{file:")); at++) {
        size_t n = strcspn(at + 6, "}");
        _cleanup_free_ char *name = strndup(at + 6, n);
        _cleanup_free_ char *path = NULL;
        const char *home = getenv("HOME");
        if (!name || !at[6 + n])
            continue;
        if (name[0] == '~' && name[1] == '/')
            path = path_join(home ? home : "/", name + 2);
        else
            path = name[0] == '/' ? strdup(name) : path_join(s->folder, name);
        if (path && access(path, R_OK) < 0) {
            bad(s, "%s: {file:%.100s} cannot be read", s->path, name);
            return false;
        }
    }
    return true;
}

static void parse_failed(struct source *s, const char *text, const struct error *why)
{
    /* {env:X} and {file:X} are replaced in the text before it is parsed: outside of strings, only
     * OpenCode, which has the variables, can tell. */
    if (strstr(text, "{file:") || strstr(text, "{env:")) {
        s->state = SOURCE_UNCLEAR;
        return;
    }
    const char *byte = strstr(why->message, "at byte ");
    char place[48];
    jsonc_place(text, byte ? (size_t)strtoul(byte + 8, NULL, 10) : strlen(text), place,
                sizeof place);
    bad(s, "%s is not valid JSON (%s)", s->path, byte ? place : why->message);
}

/* Changes `text`. */
static int source_text(struct source *s, char *text, const char *plugin)
{
    struct error why = ERROR_INIT;
    size_t len = strlen(text);
    s->state = SOURCE_GOOD;
    if (len == 0)
        return 0;
    if (jsonc_strip(text, len, &why) < 0) {
        bad(s, "%s: %s", s->path, why.message);
        return 0;
    }
    int r = json_parse(&s->json, text, len, &why);
    if (r == -ENOMEM)
        return r;
    if (r < 0)
        parse_failed(s, text, &why);
    if (s->json && files_exist(s, text))
        check_types(s);
    if (s->json)
        names_judge(s, plugin);
    return 0;
}

static int source_begin(struct source *s, const char *path, const char *folder)
{
    *s = (struct source){ .path = strdup(path), .folder = strdup(folder) };
    return s->path && s->folder ? 0 : -ENOMEM;
}

int source_parse(struct source *ret, const char *name, const char *folder, const char *text,
                 const char *plugin)
{
    struct source s;
    _cleanup_free_ char *copy = strdup(text);
    int r = source_begin(&s, name, folder);
    if (r == 0)
        r = copy ? source_text(&s, copy, plugin) : -ENOMEM;
    if (r < 0)
        source_release(&s);
    else
        *ret = s;
    return r;
}

int source_read(struct source *ret, const char *path, const char *plugin)
{
    _cleanup_free_ char *folder = strdup(path);
    _cleanup_free_ char *text = NULL;
    if (!folder)
        return -ENOMEM;
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    struct source s;
    int r = source_begin(&s, path, slash ? folder : ".");
    if (r == 0) {
        r = file_read(path, CONFIG_MAX, &text, NULL);
        if (r == 0) {
            r = source_text(&s, text, plugin);
        } else if (r == -ENOENT || r == -ENOTDIR) {
            r = 0;
        } else if (r != -ENOMEM) {
            bad(&s, "%s cannot be read: %s", path, strerror(-r));
            r = 0;
        }
    }
    if (r < 0)
        source_release(&s);
    else
        *ret = s;
    return r;
}

void source_release(struct source *s)
{
    cJSON_Delete(s->json);
    free(s->path);
    free(s->folder);
    *s = (struct source){ 0 };
}
