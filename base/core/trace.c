#include "base/core/trace.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* version-trace-parent-flags */
#define AT_TRACE  3
#define AT_PARENT 36
#define AT_FLAGS  53
#define LENGTH    55

static bool is_hex(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
    return true;
}

static bool id_fits(const char *text, size_t len, size_t wanted)
{
    bool zero = true;
    for (size_t i = 0; i < len && zero; i++)
        zero = text[i] == '0';
    return len == wanted && !zero && is_hex(text, len);
}

bool trace_id_fits(const char *text, size_t len)
{
    return id_fits(text, len, TRACE_ID_SIZE - 1);
}

bool span_id_fits(const char *text, size_t len)
{
    return id_fits(text, len, SPAN_ID_SIZE - 1);
}

int trace_new(char ret[TRACE_ID_SIZE])
{
    unsigned char raw[(TRACE_ID_SIZE - 1) / 2];
    if (getrandom(raw, sizeof raw, 0) != (ssize_t)sizeof raw)
        return -errno;
    raw[0] |= 1; /* never all zero */
    for (size_t i = 0; i < sizeof raw; i++)
        (void)snprintf(ret + 2 * i, 3, "%02x", raw[i]);
    return 0;
}

static bool version_fits(const char *header, size_t len)
{
    if (!is_hex(header, 2) || strncmp(header, "ff", 2) == 0)
        return false;
    if (strncmp(header, "00", 2) == 0)
        return len == LENGTH;
    return len == LENGTH || header[LENGTH] == '-';
}

bool traceparent_parse(const char *header, struct traceparent *ret)
{
    size_t len = header ? strlen(header) : 0;
    if (len < LENGTH || !version_fits(header, len) || header[AT_TRACE - 1] != '-' ||
        header[AT_PARENT - 1] != '-' || header[AT_FLAGS - 1] != '-' ||
        !trace_id_fits(header + AT_TRACE, TRACE_ID_SIZE - 1) ||
        !span_id_fits(header + AT_PARENT, SPAN_ID_SIZE - 1) || !is_hex(header + AT_FLAGS, 2))
        return false;
    *ret = (struct traceparent){ .sampled = strchr("13579bdf", header[AT_FLAGS + 1]) != NULL };
    memcpy(ret->trace_id, header + AT_TRACE, TRACE_ID_SIZE - 1);
    memcpy(ret->parent_id, header + AT_PARENT, SPAN_ID_SIZE - 1);
    return true;
}
