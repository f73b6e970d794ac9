#include "bridge/gateway/slack/render/split.h"

#include "base/core/utf8.h"

#include <string.h>

size_t split_points(const char *text, size_t len)
{
    return utf8_count(text, len);
}

/* ---------------------------------------------------------------- lines */

static size_t line_len(const char *line)
{
    const char *end = strchr(line, '\n');
    return end ? (size_t)(end - line) + 1 : strlen(line);
}

static bool is_blank(const char *line, size_t len)
{
    while (len && strchr(" \t\r\n", line[len - 1]))
        len--;
    return len == 0;
}

/* A code fence as CommonMark has it: at most three spaces, then three or more of one mark. */
struct fence {
    char mark; /* 0: outside */
    size_t count;
};

static struct fence fence_of(const char *line, size_t len)
{
    size_t at = 0;
    while (at < len && at < 3 && line[at] == ' ')
        at++;
    char mark = at < len ? line[at] : 0;
    size_t count = 0;
    while (at + count < len && line[at + count] == mark)
        count++;
    bool is = (mark == '`' || mark == '~') && count >= 3;
    if (is && mark == '`' && memchr(line + at + count, '`', len - at - count))
        is = false; /* code within a line */
    return is ? (struct fence){ mark, count } : (struct fence){ 0, 0 };
}

static bool closes(const struct fence *open, const char *line, size_t len)
{
    struct fence f = fence_of(line, len);
    if (f.mark != open->mark || f.count < open->count)
        return false;
    const char *after = strchr(line, f.mark) + f.count;
    return is_blank(after, len - (size_t)(after - line));
}

/* ---------------------------------------------------------------- borders */

struct scan {
    const char *text;
    size_t target;    /* bytes that hold the wanted characters */
    size_t paragraph; /* the last border of each kind within the target; 0: none */
    size_t line;
    size_t fence; /* where the code block begins that is open at the end of the target */
    bool in_fence, fence_closed;
    size_t fence_end; /* behind that code block, or the end of the text */
};

static void border(struct scan *s, size_t at, bool paragraph)
{
    if (at == 0 || at > s->target)
        return;
    s->line = at;
    if (paragraph)
        s->paragraph = at;
}

/* Goes through the lines up to the target, and on to the end of a code block that reaches over. */
static void scan(struct scan *s)
{
    struct fence open = { 0, 0 };
    for (size_t at = 0, len = 0; s->text[at]; at += len) {
        const char *line = s->text + at;
        len = line_len(line);
        if (open.mark) {
            if (!closes(&open, line, len))
                continue;
            open.mark = 0;
            border(s, at + len, true);
            if (at + len > s->target) {
                s->in_fence = true;
                s->fence_closed = line[len - 1] == '\n'; /* else that line may not be all */
                s->fence_end = at + len;
                return;
            }
            continue;
        }
        if (at > s->target)
            return;
        struct fence f = fence_of(line, len);
        if (f.mark || line[0] == '#')
            border(s, at, true);
        if (f.mark) {
            open = f;
            s->fence = at;
            continue;
        }
        border(s, at + len, is_blank(line, len));
    }
    if (open.mark) {
        s->in_fence = true;
        s->fence_end = strlen(s->text);
    }
}

/* No border at all: one very long line. Between words, else between characters. */
static size_t within_line(const char *text, size_t target)
{
    for (size_t i = target; i > target / 2; i--)
        if (text[i - 1] == ' ')
            return i;
    while (target > 1 && ((unsigned char)text[target] & 0xc0) == 0x80)
        target--;
    return target;
}

static struct split_page code_page(const struct scan *s, const struct split_limits *limits)
{
    bool large = split_points(s->text, s->fence_end) > limits->most;
    return (struct split_page){ s->fence_end, !s->fence_closed, large };
}

struct split_page split_first(const char *text, const struct split_limits *limits)
{
    size_t len = strlen(text), target = utf8_prefix(text, len, limits->target);
    if (target >= len)
        return (struct split_page){ len, true, false };
    struct scan s = { .text = text, .target = target };
    scan(&s);
    if (s.in_fence && s.fence == 0)
        return code_page(&s, limits);
    if (s.in_fence && s.fence <= target && s.fence > 0 && s.fence >= s.paragraph)
        return (struct split_page){ s.fence, false, false };
    /* A page that is nearly empty is worse than a paragraph on two pages. */
    if (s.paragraph >= target / 3)
        return (struct split_page){ s.paragraph, false, false };
    if (s.line)
        return (struct split_page){ s.line, false, false };
    return (struct split_page){ within_line(text, target), false, false };
}
