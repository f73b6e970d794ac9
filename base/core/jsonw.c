#include "base/core/jsonw.h"

#include "base/core/utf8.h"

#include <inttypes.h>
#include <string.h>

void jsonw_quote(struct buf *out, const char *s, size_t len)
{
    buf_putc(out, '"');
    size_t plain = 0; /* bytes before i that still have to be copied */
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)s[i];
        size_t n = utf8_sequence(s + i, len - i);
        if (c >= 0x20 && c != '"' && c != '\\' && n) {
            i += n;
            plain += n;
            continue;
        }
        buf_append(out, s + i - plain, plain);
        plain = 0;
        if (!n)
            buf_puts(out, "\xef\xbf\xbd");
        else if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c == '\n')
            buf_puts(out, "\\n");
        else if (c == '\t')
            buf_puts(out, "\\t");
        else if (c == '\r')
            buf_puts(out, "\\r");
        else
            buf_printf(out, "\\u%04x", c);
        i++;
    }
    buf_append(out, s + len - plain, plain);
    buf_putc(out, '"');
}

static void begin(struct jsonw *w, const char *key)
{
    if (w->comma)
        buf_putc(w->out, ',');
    w->comma = true;
    if (key) {
        jsonw_quote(w->out, key, strlen(key));
        buf_putc(w->out, ':');
    }
}

static void open_with(struct jsonw *w, const char *key, char c)
{
    begin(w, key);
    buf_putc(w->out, c);
    w->comma = false;
}

static void close_with(struct jsonw *w, char c)
{
    buf_putc(w->out, c);
    w->comma = true;
}

void jsonw_object(struct jsonw *w, const char *key)
{
    open_with(w, key, '{');
}

void jsonw_object_end(struct jsonw *w)
{
    close_with(w, '}');
}

void jsonw_array(struct jsonw *w, const char *key)
{
    open_with(w, key, '[');
}

void jsonw_array_end(struct jsonw *w)
{
    close_with(w, ']');
}

void jsonw_strn(struct jsonw *w, const char *key, const char *value, size_t len)
{
    begin(w, key);
    jsonw_quote(w->out, value, len);
}

void jsonw_str(struct jsonw *w, const char *key, const char *value)
{
    if (value)
        jsonw_strn(w, key, value, strlen(value));
    else
        jsonw_null(w, key);
}

void jsonw_int(struct jsonw *w, const char *key, int64_t value)
{
    begin(w, key);
    buf_printf(w->out, "%" PRId64, value);
}

void jsonw_uint(struct jsonw *w, const char *key, uint64_t value)
{
    begin(w, key);
    buf_printf(w->out, "%" PRIu64, value);
}

void jsonw_bool(struct jsonw *w, const char *key, bool value)
{
    begin(w, key);
    buf_puts(w->out, value ? "true" : "false");
}

void jsonw_null(struct jsonw *w, const char *key)
{
    begin(w, key);
    buf_puts(w->out, "null");
}

void jsonw_raw(struct jsonw *w, const char *key, const char *json, size_t len)
{
    begin(w, key);
    buf_append(w->out, json, len);
}
