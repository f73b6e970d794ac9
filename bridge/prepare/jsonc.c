#include "bridge/prepare/jsonc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void jsonc_place(const char *text, size_t at, char *out, size_t size)
{
    unsigned line = 1, column = 1;
    for (size_t i = 0; i < at && text[i]; i++) {
        column++;
        if (text[i] == '\n') {
            line++;
            column = 1;
        }
    }
    (void)snprintf(out, size, "line %u, column %u", line, column);
}

/* Past the string that begins at `i`; to the end when it has none (the parser will say so). */
static size_t skip_string(const char *text, size_t len, size_t i)
{
    for (i++; i < len && text[i] != '"' && text[i] != '\n'; i++)
        if (text[i] == '\\')
            i++;
    return i < len ? i + 1 : len;
}

/* The end of the comment that begins at `i`; `len + 1` when a block comment has none. */
static size_t comment_end(const char *text, size_t len, size_t i)
{
    if (text[i + 1] == '/') {
        while (i < len && text[i] != '\n')
            i++;
        return i;
    }
    for (i += 2; i + 1 < len; i++)
        if (text[i] == '*' && text[i + 1] == '/')
            return i + 2;
    return len + 1;
}

static int strip_comments(char *text, size_t len, struct error *e)
{
    for (size_t i = 0; i < len;) {
        if (text[i] == '"') {
            i = skip_string(text, len, i);
        } else if (text[i] == '/' && i + 1 < len && (text[i + 1] == '/' || text[i + 1] == '*')) {
            size_t end = comment_end(text, len, i);
            if (end > len) {
                char place[48];
                jsonc_place(text, i, place, sizeof place);
                return error_set(e, -EBADMSG, "%s: a comment without an end", place);
            }
            for (; i < end; i++)
                if (text[i] != '\n')
                    text[i] = ' ';
        } else {
            i++;
        }
    }
    return 0;
}

int jsonc_strip(char *text, size_t len, struct error *e)
{
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        memset(text, ' ', 3);
    int r = strip_comments(text, len, e);
    if (r < 0)
        return r;
    for (size_t i = 0; i < len;) {
        if (text[i] == '"') {
            i = skip_string(text, len, i);
            continue;
        }
        if (text[i] == ',') {
            size_t next = i + 1;
            while (next < len && strchr(" \t\r\n", text[next]) && text[next])
                next++;
            if (next < len && (text[next] == '}' || text[next] == ']'))
                text[i] = ' ';
        }
        i++;
    }
    return 0;
}
