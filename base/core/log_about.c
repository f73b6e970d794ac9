/* The ids of log lines: their forms, and what is entered now. */
#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/core/trace.h"

#include <stdlib.h>
#include <string.h>

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
        size_t len = strlen(id) + 1;
        kept->id[f] = memcpy(at, id, len);
        at += len;
    }
    return kept;
}

struct log_about log_kept(const struct log_about *kept)
{
    return kept ? *kept : (struct log_about){ 0 };
}
