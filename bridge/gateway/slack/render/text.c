#include "bridge/gateway/slack/render/text.h"

#include "base/core/cleanup.h"
#include "base/core/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct range {
    uint32_t first, last;
};

static bool in_ranges(uint32_t cp, const struct range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (cp >= ranges[i].first && cp <= ranges[i].last)
            return true;
    return false;
}
#define IN_RANGES(cp, table) in_ranges(cp, table, sizeof(table) / sizeof((table)[0]))

/* Characters that can't be seen but change what is: a command could be shown as another one. */
static const struct range hidden[] = {
    { 0x80, 0x9f },     { 0xad, 0xad },     { 0x61c, 0x61c },     { 0x180e, 0x180e },
    { 0x200b, 0x200c }, { 0x200e, 0x200f }, { 0x2028, 0x202e },   { 0x2060, 0x206f },
    { 0xfeff, 0xfeff }, { 0xfff9, 0xfffb }, { 0xe0000, 0xe007f },
};

/* Characters that belong to the one before them. */
#define ZERO_WIDTH_JOINER 0x200d
static const struct range extending[] = {
    { 0x300, 0x36f },   { 0x483, 0x489 },   { 0x591, 0x5bd },     { 0x610, 0x61a },
    { 0x64b, 0x65f },   { 0x900, 0x903 },   { 0x93a, 0x94f },     { 0xe31, 0xe3a },
    { 0x1ab0, 0x1aff }, { 0x1dc0, 0x1dff }, { 0x200d, 0x200d },   { 0x20d0, 0x20ff },
    { 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f }, { 0x1f3fb, 0x1f3ff },
};

static uint32_t decode(const char *s, size_t n)
{
    const unsigned char *u = (const unsigned char *)s;
    switch (n) {
    case 1:
        return u[0];
    case 2:
        return (uint32_t)(u[0] & 0x1f) << 6 | (u[1] & 0x3f);
    case 3:
        return (uint32_t)(u[0] & 0x0f) << 12 | (uint32_t)(u[1] & 0x3f) << 6 | (u[2] & 0x3f);
    default:
        return (uint32_t)(u[0] & 0x07) << 18 | (uint32_t)(u[1] & 0x3f) << 12 |
               (uint32_t)(u[2] & 0x3f) << 6 | (u[3] & 0x3f);
    }
}

/* Slack finds its <!channel>, <@U…>, <#C…> in Markdown too. An entity would show as such in code
 * there; a word joiner behind the "<" is not seen. "<!DOCTYPE" and "<!--" stay as they are. */
static bool is_mention(const char *after)
{
    static const char *const words[] = { "!channel", "!here",  "!everyone", "!group",
                                         "!subteam", "!date^", "@U",        "@W",
                                         "@S",       "#C",     "#G",        "#D" };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strncmp(after, words[i], strlen(words[i])) == 0)
            return true;
    return false;
}

/* How one character of the source is written; returns how many characters that is. */
static size_t put_char(struct buf *out, const char *s, size_t n, uint32_t cp, unsigned flags)
{
    static const struct {
        char c;
        const char *entity;
    } entities[] = { { '&', "&amp;" }, { '<', "&lt;" }, { '>', "&gt;" } };
    if (flags & TEXT_ESCAPE)
        for (size_t i = 0; i < sizeof entities / sizeof entities[0]; i++)
            if (cp == (unsigned char)entities[i].c) {
                buf_puts(out, entities[i].entity);
                return strlen(entities[i].entity);
            }
    if (flags & TEXT_TAME && cp == '<' && is_mention(s + n)) {
        buf_puts(out, "<\xe2\x81\xa0"); /* U+2060 */
        return 2;
    }
    if (cp == '\n' || cp == '\t' || cp == '\r') {
        if (flags & TEXT_ONE_LINE || cp != '\r') {
            buf_putc(out, flags & TEXT_ONE_LINE ? ' ' : (char)cp);
            return 1;
        }
    }
    if (cp < 0x20 || cp == 0x7f) { /* U+2400…: the pictures of the control characters */
        char picture[3] = { (char)0xe2, (char)0x90, (char)(0x80 + (cp == 0x7f ? 0x21 : cp)) };
        buf_append(out, picture, sizeof picture);
        return 1;
    }
    if (IN_RANGES(cp, hidden)) {
        size_t before = out->len;
        buf_printf(out, "[U+%04X]", cp);
        return out->len - before;
    }
    buf_append(out, s, n);
    return 1;
}

static void cut_back(struct buf *out, size_t len)
{
    if (out->data && out->len > len) {
        out->len = len;
        out->data[len] = '\0';
    }
}

bool text_put(struct buf *out, const char *s, size_t points, unsigned flags)
{
    size_t len = strlen(s), count = 0, good = out->len;
    bool joined = false;
    for (size_t i = 0; i < len;) {
        size_t n = utf8_sequence(s + i, len - i);
        uint32_t cp = n ? decode(s + i, n) : 0xfffd;
        /* Up to here it could end, with room for the ellipsis. */
        if (count < points && !joined && !IN_RANGES(cp, extending))
            good = out->len;
        count +=
            n ? put_char(out, s + i, n, cp, flags) : put_char(out, "\xef\xbf\xbd", 3, cp, flags);
        if (count > points) {
            cut_back(out, good);
            if (points > 0)
                buf_puts(out, "\xe2\x80\xa6");
            return true;
        }
        joined = cp == ZERO_WIDTH_JOINER;
        i += n ? n : 1;
    }
    return false;
}

bool text_put_middle(struct buf *out, const char *s, size_t points)
{
    _cleanup_buf_ struct buf whole = BUF_INIT;
    (void)text_put(&whole, s, SIZE_MAX, 0);
    size_t total = utf8_count(buf_str(&whole), whole.len);
    if (total <= points) {
        buf_append(out, buf_str(&whole), whole.len);
        return false;
    }
    size_t note = points < 120 ? points : 60; /* what the line in the middle may take */
    size_t tail = (points - note) / 3, head = points - note - tail;
    size_t head_end = utf8_prefix(buf_str(&whole), whole.len, head);
    size_t tail_start = utf8_prefix(buf_str(&whole), whole.len, total - tail);
    buf_append(out, buf_str(&whole), head_end);
    if (points < 120)
        buf_puts(out, points ? "\xe2\x80\xa6" : "");
    else
        buf_printf(out, "\n\xe2\x80\xa6 %zu characters left out \xe2\x80\xa6\n",
                   total - head - tail);
    buf_append(out, buf_str(&whole) + tail_start, whole.len - tail_start);
    return true;
}

bool text_is_user_id(const char *s)
{
    if (*s != 'U' && *s != 'W')
        return false;
    size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
    return s[n] == '\0' && n >= 2 && n <= 32;
}

static void put_decoded(struct buf *out, const char *s, size_t len)
{
    static const struct {
        const char *entity;
        char c;
    } entities[] = { { "&amp;", '&' }, { "&lt;", '<' }, { "&gt;", '>' } };
    for (size_t i = 0; i < len;) {
        size_t n = 0;
        for (size_t k = 0; k < sizeof entities / sizeof entities[0] && !n; k++) {
            size_t l = strlen(entities[k].entity);
            if (len - i >= l && memcmp(s + i, entities[k].entity, l) == 0) {
                buf_putc(out, entities[k].c);
                n = l;
            }
        }
        if (!n) {
            buf_putc(out, s[i]);
            n = 1;
        }
        i += n;
    }
}

/* What stands between < and >: a mention, a channel, a link, each perhaps with |label. */
static void put_control(struct buf *out, const char *s, size_t len, const char *bot_user)
{
    const char *bar = memchr(s, '|', len);
    size_t target = bar ? (size_t)(bar - s) : len;
    const char *label = bar ? bar + 1 : NULL;
    size_t label_len = bar ? len - target - 1 : 0;
    if (s[0] == '@') {
        if (bot_user && target - 1 == strlen(bot_user) && memcmp(s + 1, bot_user, target - 1) == 0)
            return;
        buf_putc(out, '@');
        put_decoded(out, label ? label : s + 1, label ? label_len : target - 1);
    } else if (s[0] == '#') {
        buf_putc(out, '#');
        put_decoded(out, label ? label : s + 1, label ? label_len : target - 1);
    } else if (s[0] == '!') {
        put_decoded(out, label ? label : s + 1, label ? label_len : target - 1);
    } else if (label && (strncmp(s, "mailto:", 7) == 0 || strncmp(s, "tel:", 4) == 0)) {
        put_decoded(out, label, label_len);
    } else {
        put_decoded(out, s, target);
    }
}

void text_from_slack(struct buf *out, const char *text, const char *bot_user)
{
    _cleanup_buf_ struct buf whole = BUF_INIT;
    const char *s = text;
    while (*s) {
        const char *open = strchr(s, '<');
        const char *close = open ? strchr(open, '>') : NULL;
        if (!close || close == open + 1) {
            put_decoded(&whole, s, strlen(s));
            break;
        }
        put_decoded(&whole, s, (size_t)(open - s));
        put_control(&whole, open + 1, (size_t)(close - open - 1), bot_user);
        s = close + 1;
    }
    const char *start = buf_str(&whole);
    size_t len = whole.len;
    while (len && strchr(" \t\r\n", start[0])) {
        start++;
        len--;
    }
    while (len && strchr(" \t\r\n", start[len - 1]))
        len--;
    buf_append(out, start, len);
}

int64_t text_ms_of_ts(const char *ts)
{
    size_t whole = strspn(ts, "0123456789");
    size_t digits = ts[whole] == '.' ? strspn(ts + whole + 1, "0123456789") : 0;
    if (whole == 0 || whole > 12 || (ts[whole] && (digits < 3 || digits > 9)))
        return 0;
    int64_t ms = strtoll(ts, NULL, 10) * 1000;
    const char *d = ts + whole + 1;
    return digits ? ms + (d[0] - '0') * 100 + (d[1] - '0') * 10 + (d[2] - '0') : ms;
}

void text_ts_of_ms(char ret[40], int64_t ms)
{
    (void)snprintf(ret, 40, "%" PRId64 ".%03d000", ms / 1000, (int)(ms % 1000));
}

void text_put_next_try(struct buf *out, int64_t at_ms)
{
    if (at_ms > 0)
        buf_printf(out, "; next at <!date^%" PRId64 "^{time_secs}|soon>", at_ms / 1000);
}
