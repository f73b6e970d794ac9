#include "base/http/http.h"

#include <stdlib.h>
#include <string.h>

#include "base/core/buf.h"

char *http_escape(const char *s)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    struct buf out = BUF_INIT;
    for (; *s; s++) {
        if (strchr(plain, *s))
            (void)buf_putc(&out, *s);
        else
            (void)buf_printf(&out, "%%%02X", (unsigned char)*s);
    }
    return buf_take(&out);
}
