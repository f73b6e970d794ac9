#include "base/core/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *e, int code, const char *fmt, ...)
{
    if (e) {
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(e->message, sizeof e->message, fmt, ap);
        va_end(ap);
        e->code = code;
    }
    return code;
}

int error_set_errno(struct error *e, int code, const char *fmt, ...)
{
    if (e) {
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(e->message, sizeof e->message, fmt, ap);
        va_end(ap);
        if (n >= 0 && (size_t)n < sizeof e->message)
            (void)snprintf(e->message + n, sizeof e->message - (size_t)n, ": %s", strerror(-code));
        e->code = code;
    }
    return code;
}
