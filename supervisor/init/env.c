#include "supervisor/init/env.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/file.h"

static char **find(const struct env *e, const char *name, size_t len)
{
    for (size_t i = 0; i < e->count; i++)
        if (strncmp(e->vars[i], name, len) == 0 && e->vars[i][len] == '=')
            return &e->vars[i];
    return NULL;
}

static void put_owned(struct env *e, char *pair)
{
    if (!pair) {
        e->failed = true;
        return;
    }
    char **at = find(e, pair, strcspn(pair, "="));
    if (at) {
        free(*at);
        *at = pair;
        return;
    }
    char **vars = realloc(e->vars, (e->count + 2) * sizeof *vars);
    if (!vars) {
        free(pair);
        e->failed = true;
        return;
    }
    e->vars = vars;
    vars[e->count++] = pair;
    vars[e->count] = NULL;
}

void env_put(struct env *e, const char *pair)
{
    const char *eq = strchr(pair, '=');
    if (eq && eq != pair)
        put_owned(e, strdup(pair));
}

static char *join(const char *name, size_t name_len, const char *value, size_t value_len)
{
    char *pair = malloc(name_len + value_len + 2);
    if (!pair)
        return NULL;
    memcpy(pair, name, name_len);
    pair[name_len] = '=';
    memcpy(pair + name_len + 1, value, value_len);
    pair[name_len + 1 + value_len] = '\0';
    return pair;
}

void env_set(struct env *e, const char *name, const char *value)
{
    put_owned(e, join(name, strlen(name), value, strlen(value)));
}

void env_unset(struct env *e, const char *name)
{
    char **at = find(e, name, strlen(name));
    if (!at)
        return;
    free(*at);
    *at = e->vars[--e->count];
    e->vars[e->count] = NULL;
}

const char *env_get(const struct env *e, const char *name)
{
    char **at = find(e, name, strlen(name));
    return at ? *at + strlen(name) + 1 : NULL;
}

void env_release(struct env *e)
{
    for (size_t i = 0; i < e->count; i++)
        free(e->vars[i]);
    free(e->vars);
    *e = (struct env){ 0 };
}

bool env_name_valid(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return len > 0;
}

static void skip_blanks(const char **s, const char *end)
{
    while (*s < end && (**s == ' ' || **s == '\t'))
        (*s)++;
}

/* One line without its newline; false when it is neither a pair nor empty nor a comment. */
static bool put_line(struct env *e, const char *s, const char *end)
{
    static const char export[] = "export";
    size_t word = sizeof export - 1;
    while (end > s && (end[-1] == '\r' || end[-1] == ' ' || end[-1] == '\t'))
        end--;
    skip_blanks(&s, end);
    if (s == end || *s == '#')
        return true;
    if ((size_t)(end - s) > word && memcmp(s, export, word) == 0 &&
        (s[word] == ' ' || s[word] == '\t')) {
        s += word;
        skip_blanks(&s, end);
    }
    const char *eq = memchr(s, '=', (size_t)(end - s));
    if (!eq || !env_name_valid(s, (size_t)(eq - s)) || memchr(s, '\0', (size_t)(end - s)))
        return false;
    const char *value = eq + 1;
    if (end - value >= 2 && (*value == '"' || *value == '\'') && end[-1] == *value) {
        value++;
        end--;
    }
    put_owned(e, join(s, (size_t)(eq - s), value, (size_t)(end - value)));
    return true;
}

size_t env_put_lines(struct env *e, const char *text, size_t len)
{
    size_t bad = 0;
    const char *stop = text + len;
    while (text < stop) {
        const char *end = memchr(text, '\n', (size_t)(stop - text));
        if (!end)
            end = stop;
        if (!put_line(e, text, end))
            bad++;
        text = end + 1;
    }
    return bad;
}

int env_put_file(struct env *e, const char *path)
{
    _cleanup_free_ char *text = NULL;
    size_t len;
    int r = file_read(path, ENV_LINES_MAX, &text, &len);
    if (r < 0)
        return r;
    (void)env_put_lines(e, text, len);
    return e->failed ? -ENOMEM : 0;
}

void environ_wipe(const char *name)
{
    size_t len = strlen(name);
    if (!environ)
        return;
    for (char **at = environ; *at;) {
        if (strncmp(*at, name, len) != 0 || (*at)[len] != '=') {
            at++;
            continue;
        }
        explicit_bzero(*at, strlen(*at));
        for (char **next = at; (*next = next[1]); next++)
            continue;
    }
}
