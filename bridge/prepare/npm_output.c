#include "bridge/prepare/npm_output.h"

#include "base/core/file.h"
#include "base/core/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINES_MAX 2000

void npm_output_begin(struct npm_output *o, int fd)
{
    *o = (struct npm_output){ .fd = fd };
    (void)fd_set_nonblock(fd, true);
}

/* npm says "npm error code X", "npm error path …" and then the reason; "npm error A complete log"
 * and the like tell nothing. */
static bool is_npm_reason(const char *text)
{
    static const char *const dull[] = { "code ",  "path ",    "A complete log",
                                        "errno ", "syscall ", "command " };
    for (size_t i = 0; i < sizeof dull / sizeof *dull; i++)
        if (strncmp(text, dull[i], strlen(dull[i])) == 0)
            return false;
    return *text != '\0';
}

static void end_line(struct npm_output *o)
{
    o->line[o->len] = '\0';
    o->len = 0;
    char *text = o->line;
    if (!text[strspn(text, " \t")])
        return;
    const char *own = strncmp(text, "npm error ", 10) == 0 ? text + 10
                      : strncmp(text, "npm ERR! ", 9) == 0 ? text + 9
                                                           : NULL;
    if (own && !*o->error && is_npm_reason(own))
        (void)snprintf(o->error, sizeof o->error, "%.*s", (int)sizeof o->error - 1, own);
    if (!own && strncmp(text, "npm ", 4) != 0 && text[0] != '>')
        (void)snprintf(o->last, sizeof o->last, "%.*s", (int)sizeof o->last - 1, text);
    if (o->lines < LINES_MAX)
        log_info("npm: %s", text);
    else if (o->lines == LINES_MAX)
        log_info("npm: more than %d lines, the rest is dropped", LINES_MAX);
    if (o->lines <= LINES_MAX)
        o->lines++;
}

static void add(struct npm_output *o, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = data[i];
        if (c == '\n' || c == '\r')
            end_line(o);
        else if (o->len < sizeof o->line - 1) /* the rest of an overlong line is dropped */
            o->line[o->len++] = (unsigned char)c < ' ' && c != '\t' ? '?' : c;
    }
}

void npm_output_read(struct npm_output *o)
{
    char data[8192];
    /* Bounded, so that a flood does not keep us from looking at the clock. */
    for (int i = 0; i < 64 && o->fd >= 0; i++) {
        ssize_t n = read(o->fd, data, sizeof data);
        if (n > 0)
            add(o, data, (size_t)n);
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
            o->fd = -1;
        else if (errno == EAGAIN)
            return;
    }
}

void npm_output_end(struct npm_output *o)
{
    npm_output_read(o);
    if (o->len)
        end_line(o);
}

const char *npm_output_reason(const struct npm_output *err, const struct npm_output *out)
{
    if (*err->last)
        return err->last;
    if (*err->error)
        return err->error;
    return out->last;
}
