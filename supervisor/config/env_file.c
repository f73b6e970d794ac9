#include "supervisor/config/env_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/utf8.h"

void env_file_release(struct env_file *f)
{
    for (size_t i = 0; i < f->count; i++) {
        free(f->rows[i].name);
        explicit_bzero(f->rows[i].value, strlen(f->rows[i].value));
        free(f->rows[i].value);
    }
    free(f->rows);
    free(f->path);
    *f = (struct env_file){ 0 };
}

const struct env_variable *env_file_get(const struct env_file *f, const char *name)
{
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->rows[i].name, name) == 0)
            return &f->rows[i];
    return NULL;
}

/* One line, read left to right. The first thing that only a shell could do ends it. */
struct scan {
    const char *p;
    struct buf *out;
    const char *problem;
};

static bool stop(struct scan *s, const char *problem)
{
    s->problem = problem;
    return false;
}

/* A `$` or backtick outside single quotes. */
static bool scan_dollar(struct scan *s)
{
    if (*s->p == '`' || (s->p[0] == '$' && s->p[1] == '('))
        return stop(s, "command substitution is not executed");
    if (isalnum((unsigned char)s->p[1]) || strchr("_{@*#?-!$", s->p[1] ? s->p[1] : ' '))
        return stop(s, "variables are not expanded: write the value out, or in single quotes");
    buf_putc(s->out, *s->p++);
    return true;
}

static bool scan_single(struct scan *s)
{
    const char *end = strchr(++s->p, '\'');
    if (!end)
        return stop(s, "the closing ' is missing (a value must end on its line)");
    buf_append(s->out, s->p, (size_t)(end - s->p));
    s->p = end + 1;
    return true;
}

static bool scan_double(struct scan *s)
{
    for (s->p++; *s->p != '"';) {
        if (!*s->p)
            return stop(s, "the closing \" is missing (a value must end on its line)");
        if (*s->p == '\\' && s->p[1] && strchr("$`\"\\", s->p[1])) {
            buf_putc(s->out, s->p[1]);
            s->p += 2;
        } else if (*s->p == '$' || *s->p == '`') {
            if (!scan_dollar(s))
                return false;
        } else {
            buf_putc(s->out, *s->p++);
        }
    }
    s->p++;
    return true;
}

static bool scan_plain(struct scan *s)
{
    if (*s->p == '\\') {
        if (!s->p[1])
            return stop(s, "a line cannot be continued");
        buf_putc(s->out, s->p[1]);
        s->p += 2;
        return true;
    }
    if (*s->p == '$' || *s->p == '`')
        return scan_dollar(s);
    if (strchr(";&|<>()", *s->p))
        return stop(s, "only K=V is read here, no commands");
    buf_putc(s->out, *s->p++);
    return true;
}

static bool scan_value(struct scan *s)
{
    while (*s->p && !isspace((unsigned char)*s->p)) {
        bool fine = *s->p == '\'' ? scan_single(s) : *s->p == '"' ? scan_double(s) : scan_plain(s);
        if (!fine)
            return false;
    }
    s->p += strspn(s->p, " \t");
    if (*s->p == '#' || !*s->p)
        return true;
    return stop(s, *s->p == ';' ? "only K=V is read here, no commands"
                                : "something stands behind the value: quote it");
}

/* The name before '=', after an optional `export`. 0: none. */
static size_t scan_name(struct scan *s)
{
    if (strncmp(s->p, "export", 6) == 0 && (s->p[6] == ' ' || s->p[6] == '\t'))
        s->p += 6 + strspn(s->p + 6, " \t");
    size_t n = 0;
    while (isalnum((unsigned char)s->p[n]) || s->p[n] == '_')
        n++;
    if (!n || isdigit((unsigned char)s->p[0]) || s->p[n] != '=')
        return 0;
    return n;
}

static int keep(struct env_file *f, const char *name, size_t len, struct buf *value, unsigned line)
{
    _cleanup_free_ char *n = strndup(name, len);
    _cleanup_free_ char *v = buf_take(value);
    if (!n || !v)
        return -ENOMEM;
    for (size_t i = 0; i < f->count; i++) {
        if (strcmp(f->rows[i].name, n) != 0)
            continue;
        free(f->rows[i].value);
        f->rows[i].value = TAKE_PTR(v);
        f->rows[i].line = line;
        return 0;
    }
    struct env_variable *rows = realloc(f->rows, (f->count + 1) * sizeof *rows);
    if (!rows)
        return -ENOMEM;
    f->rows = rows;
    rows[f->count++] =
        (struct env_variable){ .name = TAKE_PTR(n), .value = TAKE_PTR(v), .line = line };
    return 0;
}

/* 0, -ENOMEM; `*problem` says why the line is skipped. */
static int parse_line(struct env_file *f, const char *line, unsigned number, const char **problem)
{
    _cleanup_buf_ struct buf value = BUF_INIT_MAX(ENV_FILE_MAX);
    struct scan s = { .p = line + strspn(line, " \t"), .out = &value };
    if (!*s.p || *s.p == '#')
        return 0;
    size_t n = scan_name(&s);
    if (!n) {
        *problem = "expected K=V or export K=V";
        return 0;
    }
    const char *name = s.p;
    s.p += n + 1;
    if (!scan_value(&s)) {
        *problem = s.problem;
        return 0;
    }
    if (f->count >= ENV_FILE_VARIABLES) {
        *problem = "too many variables";
        return 0;
    }
    return value.failed ? -ENOMEM : keep(f, name, n, &value, number);
}

int env_file_parse(struct env_file *f, const char *path, const char *text, size_t len,
                   struct buf *warnings)
{
    f->path = strdup(path);
    _cleanup_free_ char *copy = strndup(text, len);
    if (!f->path || !copy)
        return -ENOMEM;
    if (strlen(copy) < len || !utf8_valid(text, len)) {
        buf_printf(warnings, "%s:1: not a text file in UTF-8: skipped\n", path);
        return 0;
    }
    unsigned number = 0;
    char *next = copy;
    for (char *line; (line = strsep(&next, "\n"));) {
        const char *problem = NULL;
        size_t n = strlen(line);
        if (n && line[n - 1] == '\r')
            line[n - 1] = '\0';
        int r = parse_line(f, line, ++number, &problem);
        if (r < 0)
            return r;
        if (problem) /* never the line itself: it may hold a secret */
            buf_printf(warnings, "%s:%u: %s: this line is skipped\n", path, number, problem);
    }
    explicit_bzero(copy, len);
    return 0;
}
