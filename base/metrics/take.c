/* What another program says of itself, before it is said in our name. Stricter than a scraper: one
 * space where it would take several, no timestamps, no lines but samples, HELP and TYPE. */
#include "base/metrics/metrics.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct text {
    const char *at, *end;
};

static bool skip(struct text *t, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(t->end - t->at) < n || memcmp(t->at, word, n) != 0)
        return false;
    t->at += n;
    return true;
}

static bool is_name_byte(char c, bool first)
{
    return isalpha((unsigned char)c) || c == '_' || (!first && isdigit((unsigned char)c));
}

static bool take_name(struct text *t)
{
    const char *from = t->at;
    while (t->at < t->end && is_name_byte(*t->at, t->at == from))
        t->at++;
    return t->at > from;
}

/* `prefix` is letters and underscores, so a name that begins with it stays a name. */
static bool take_own_name(struct text *t, const char *prefix)
{
    struct text rest = *t;
    return skip(&rest, prefix) && take_name(t);
}

/* Only ASCII: those whose labels these are have no others. */
static bool take_quoted(struct text *t)
{
    if (!skip(t, "\""))
        return false;
    for (; t->at < t->end && *t->at != '"'; t->at++) {
        if ((unsigned char)*t->at < 0x20 || (unsigned char)*t->at > 0x7e)
            return false;
        if (*t->at == '\\' && (++t->at == t->end || !strchr("\\\"n", *t->at)))
            return false;
    }
    return skip(t, "\"");
}

static bool take_labels(struct text *t)
{
    if (!skip(t, "{"))
        return true;
    do {
        if (!take_name(t) || !skip(t, "=") || !take_quoted(t))
            return false;
    } while (skip(t, ","));
    return skip(t, "}");
}

static bool take_number(struct text *t)
{
    char digits[40], *end;
    size_t n = (size_t)(t->end - t->at);
    if (n == 0 || n >= sizeof digits || memchr(t->at, '\0', n))
        return false;
    memcpy(digits, t->at, n);
    digits[n] = '\0';
    if (strspn(digits, "0123456789+-.eE") != n)
        return false;
    (void)strtod(digits, &end);
    t->at = t->end;
    return *end == '\0';
}

static bool take_help(struct text *t)
{
    for (; t->at < t->end; t->at++)
        if ((unsigned char)*t->at < 0x20 || (unsigned char)*t->at > 0x7e || *t->at == '\\')
            return false;
    return true;
}

static bool take_type(struct text *t)
{
    return (skip(t, "gauge") || skip(t, "counter") || skip(t, "histogram")) && t->at == t->end;
}

static bool line_fits(struct text t, const char *prefix)
{
    if (skip(&t, "# HELP "))
        return take_own_name(&t, prefix) && skip(&t, " ") && take_help(&t);
    if (skip(&t, "# TYPE "))
        return take_own_name(&t, prefix) && skip(&t, " ") && take_type(&t);
    return take_own_name(&t, prefix) && take_labels(&t) && skip(&t, " ") && take_number(&t);
}

int metrics_take(struct buf *out, const char *text, size_t len, const char *prefix)
{
    const char *end = text + len;
    for (const char *at = text; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (!newline || !line_fits((struct text){ at, newline }, prefix))
            return -EBADMSG;
        at = newline + 1;
    }
    return buf_append(out, text, len);
}
