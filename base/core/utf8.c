#include "base/core/utf8.h"

static bool continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

size_t utf8_sequence(const char *s, size_t len)
{
    if (!len)
        return 0;
    unsigned char c = (unsigned char)s[0];
    if (c < 0x80)
        return 1;
    if (c >= 0xc2 && c <= 0xdf)
        return len >= 2 && continuation(s[1]) ? 2 : 0;
    if (c >= 0xe0 && c <= 0xef) {
        if (len < 3 || !continuation(s[1]) || !continuation(s[2]))
            return 0;
        unsigned char d = (unsigned char)s[1];
        if ((c == 0xe0 && d < 0xa0) || (c == 0xed && d > 0x9f))
            return 0;
        return 3;
    }
    if (c >= 0xf0 && c <= 0xf4) {
        if (len < 4 || !continuation(s[1]) || !continuation(s[2]) || !continuation(s[3]))
            return 0;
        unsigned char d = (unsigned char)s[1];
        if ((c == 0xf0 && d < 0x90) || (c == 0xf4 && d > 0x8f))
            return 0;
        return 4;
    }
    return 0;
}

bool utf8_valid(const char *s, size_t len)
{
    while (len) {
        size_t n = utf8_sequence(s, len);
        if (!n)
            return false;
        s += n;
        len -= n;
    }
    return true;
}

size_t utf8_count(const char *s, size_t len)
{
    size_t points = 0;
    for (size_t i = 0; i < len; points++) {
        size_t n = utf8_sequence(s + i, len - i);
        i += n ? n : 1;
    }
    return points;
}

size_t utf8_prefix(const char *s, size_t len, size_t points)
{
    size_t i = 0;
    while (i < len && points--) {
        size_t n = utf8_sequence(s + i, len - i);
        i += n ? n : 1;
    }
    return i;
}
