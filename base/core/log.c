#include "base/core/log.h"

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/core/jsonw.h"
#include "base/core/trace.h"

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

#define TOKEN_MAX 256

static bool token_fits(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\')
            return false;
    return len > 0 && len <= TOKEN_MAX;
}

static const struct {
    const char *name;
    bool (*fits)(const char *text, size_t len);
} fields[] = {
    [LOG_TRACE_ID] = { "trace_id", trace_id_fits },
    [LOG_SPAN_ID] = { "span_id", span_id_fits },
    [LOG_CALLER_TRACE_ID] = { "caller_trace_id", trace_id_fits },
    [LOG_REQUEST_ID] = { "request_id", token_fits },
    [LOG_ENVELOPE_ID] = { "envelope_id", token_fits },
    [LOG_SESSION] = { "session", token_fits },
    [LOG_POD] = { "pod", token_fits },
};
_Static_assert(ARRAY_SIZE(fields) == LOG_FIELD_MAX, "a name for every field");

const char *log_field_name(enum log_field f)
{
    return fields[f].name;
}

bool log_field_fits(enum log_field f, const char *text, size_t len)
{
    return fields[f].fits(text, len);
}

static _Thread_local const struct log_about *about_now;

void log_enter(struct log_about *about)
{
    about->outer = about_now;
    about_now = about;
}

void log_leave(struct log_about *about)
{
    about_now = about->outer;
}

/* The innermost that names it. */
static const struct log_about *about_with(enum log_field f)
{
    const struct log_about *a = about_now;
    while (a && !a->id[f])
        a = a->outer;
    return a;
}

const char *log_id(enum log_field f)
{
    const struct log_about *a = about_with(f == LOG_SPAN_ID ? LOG_TRACE_ID : f);
    const char *id = a ? a->id[f] : NULL;
    return id && log_field_fits(f, id, strlen(id)) ? id : NULL;
}

struct log_about *log_keep(void)
{
    size_t size = 0;
    for (int f = 0; f < LOG_FIELD_MAX; f++)
        size += log_id((enum log_field)f) ? strlen(log_id((enum log_field)f)) + 1 : 0;
    struct log_about *kept = size ? calloc(1, sizeof *kept + size) : NULL;
    if (!kept)
        return NULL;
    char *at = (char *)(kept + 1);
    for (int f = 0; f < LOG_FIELD_MAX; f++) {
        const char *id = log_id((enum log_field)f);
        if (!id)
            continue;
        kept->id[f] = strcpy(at, id);
        at += strlen(id) + 1;
    }
    return kept;
}

struct log_about log_kept(const struct log_about *kept)
{
    return kept ? *kept : (struct log_about){ 0 };
}

static void put_ids(struct jsonw *w)
{
    for (int f = 0; about_now && f < LOG_FIELD_MAX; f++) {
        const char *id = log_id((enum log_field)f);
        if (id)
            jsonw_str(w, fields[f].name, id);
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
