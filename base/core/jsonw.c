#include "base/core/jsonw.h"

#include "base/core/utf8.h"

#include <stdint.h>
#include <string.h>

#define EACH_BYTE 0x0101010101010101u
#define TOP_BITS  (0x80 * EACH_BYTE)

static uint64_t zero_bytes(uint64_t w)
{
    return (w - EACH_BYTE) & ~w & TOP_BITS;
}

/* Eight bytes at once: is none of them a control, '"', '\\', or beyond ASCII? May say no too often,
 * never yes. */
static bool plain_word(const char *s)
{
    uint64_t w;
    memcpy(&w, s, sizeof w);
    uint64_t control = (w - 0x20 * EACH_BYTE) & ~w;
    return !(((w | control) & TOP_BITS) | zero_bytes(w ^ ('"' * EACH_BYTE)) |
             zero_bytes(w ^ ('\\' * EACH_BYTE)));
}

/* The bytes at the beginning that stand for themselves. */
static size_t plain_bytes(const char *s, size_t len)
{
    size_t i = 0;
    while (i + sizeof(uint64_t) <= len && plain_word(s + i))
        i += sizeof(uint64_t);
    while (i < len) {
        unsigned char c = (unsigned char)s[i];
        size_t n = c < 0x80 ? 1 : utf8_sequence(s + i, len - i);
        if (c < 0x20 || c == '"' || c == '\\' || !n)
            break;
        i += n;
    }
    return i;
}

static void put_escaped(struct buf *out, unsigned char c)
{
    static const char from[] = "\"\\\n\t\r", to[] = "\"\\ntr";
    const char *known = c ? strchr(from, c) : NULL;
    if (known) {
        buf_putc(out, '\\');
        buf_putc(out, to[known - from]);
    } else if (c < 0x20) {
        buf_printf(out, "\\u%04x", c);
    } else {
        buf_puts(out, "\xef\xbf\xbd"); /* no UTF-8 */
    }
}

void jsonw_quote(struct buf *out, const char *s, size_t len)
{
    buf_putc(out, '"');
    for (size_t i = 0; i < len; i++) {
        size_t n = plain_bytes(s + i, len - i);
        buf_append(out, s + i, n);
        i += n;
        if (i < len)
            put_escaped(out, (unsigned char)s[i]);
    }
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

/* By itself: every line of a log has some. */
static void put_number(struct buf *out, bool negative, uint64_t value)
{
    char text[24], *at = text + sizeof text;
    do
        *--at = (char)('0' + value % 10);
    while (value /= 10);
    if (negative)
        *--at = '-';
    buf_append(out, at, (size_t)(text + sizeof text - at));
}

void jsonw_int(struct jsonw *w, const char *key, int64_t value)
{
    begin(w, key);
    put_number(w->out, value < 0, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void jsonw_uint(struct jsonw *w, const char *key, uint64_t value)
{
    begin(w, key);
    put_number(w->out, false, value);
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
