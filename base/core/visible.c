#include "base/core/visible.h"

#include "base/core/cleanup.h"
#include "base/core/utf8.h"

#include <stdbool.h>
#include <stdint.h>

/* Code points that are not seen, or that change how others are seen (Unicode's Cf, Zl, Zp). */
static const struct {
    uint32_t from, to;
} hidden[] = {
    { 0x80, 0x9f },     { 0xad, 0xad },     { 0x34f, 0x34f },   { 0x61c, 0x61c },
    { 0x115f, 0x1160 }, { 0x17b4, 0x17b5 }, { 0x180b, 0x180f }, { 0x200b, 0x200f },
    { 0x2028, 0x202e }, { 0x2060, 0x206f }, { 0x3164, 0x3164 }, { 0xfe00, 0xfe0f },
    { 0xfeff, 0xfeff }, { 0xffa0, 0xffa0 }, { 0xfff0, 0xfffb }, { 0xe0000, 0xe0fff },
};

static bool is_hidden(uint32_t point)
{
    for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
        if (point >= hidden[i].from && point <= hidden[i].to)
            return true;
    return false;
}

static uint32_t decode(const char *s, size_t n)
{
    static const uint8_t first[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
    uint32_t point = (unsigned char)s[0] & first[n];
    for (size_t i = 1; i < n; i++)
        point = point << 6 | ((unsigned char)s[i] & 0x3f);
    return point;
}

void visible_put(struct buf *out, const char *text, size_t len, unsigned flags)
{
    for (size_t i = 0; i < len;) {
        size_t n = utf8_sequence(text + i, len - i);
        uint32_t point = n ? decode(text + i, n) : 0;
        bool stays = (flags & VISIBLE_LINES) && (text[i] == '\n' || text[i] == '\t');
        if (!n || (n == 1 && (point < ' ' || point == 0x7f) && !stays))
            buf_printf(out, "\\x%02x", (unsigned char)text[i]);
        else if (n > 1 && is_hidden(point))
            buf_printf(out, "\\u{%x}", point);
        else
            (void)buf_append(out, text + i, n);
        i += n ? n : 1;
    }
}
