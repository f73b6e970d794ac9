#include "base/core/log.h"

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/core/jsonw.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const level_names[] = {
    [LOG_LEVEL_DEBUG] = "debug",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_ERROR] = "error",
};
_Static_assert(ARRAY_SIZE(level_names) == LOG_LEVEL_MAX, "a name for every level");

static void put_ids(struct jsonw *w)
{
    for (int f = 0; f < LOG_FIELD_MAX; f++) {
        const char *id = log_id((enum log_field)f);
        if (id)
            jsonw_str(w, log_field_name((enum log_field)f), id);
    }
}

static const char *log_program = "codev";
static enum log_level log_least = LOG_LEVEL_INFO;
static bool log_text;

void log_init(const char *program)
{
    log_program = program;
    log_text = isatty(STDERR_FILENO) == 1;
    const char *least = getenv("CODEV_LOG_LEVEL");
    for (size_t i = 0; least && i < ARRAY_SIZE(level_names); i++)
        if (strcmp(least, level_names[i]) == 0)
            log_least = (enum log_level)i;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    if (level < log_least)
        return;
    int saved = errno;
    char text[8192];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    _cleanup_buf_ struct buf line = BUF_INIT;
    if (log_text) {
        buf_printf(&line, "%s: %s%s", log_program,
                   level >= LOG_LEVEL_WARN ? level_names[level] : "",
                   level >= LOG_LEVEL_WARN ? ": " : "");
        buf_append(&line, text, len);
    } else {
        struct jsonw w = JSONW_INIT(&line);
        jsonw_object(&w, NULL);
        jsonw_str(&w, "level", level_names[level]);
        jsonw_strn(&w, "msg", text, len);
        put_ids(&w);
        jsonw_object_end(&w);
    }
    buf_putc(&line, '\n');
    (void)fd_write_all(STDERR_FILENO, buf_str(&line), line.len);
    errno = saved;
}
