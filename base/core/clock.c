#include "base/core/clock.h"

#include <string.h>
#include <time.h>

static int64_t now_us(clockid_t id)
{
    struct timespec ts;
    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

uint64_t clock_mono_us(void)
{
    return (uint64_t)now_us(CLOCK_MONOTONIC);
}

uint64_t clock_mono_ms(void)
{
    return clock_mono_us() / 1000;
}

int64_t clock_wall_ms(void)
{
    return now_us(CLOCK_REALTIME) / 1000;
}

/* Lines of a log come many in a second. */
static const char *second_text(time_t s)
{
    static _Thread_local time_t last = -1;
    static _Thread_local char text[24];
    struct tm tm;
    if (s == last && *text)
        return text;
    last = s;
    if (!gmtime_r(&s, &tm) || !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm))
        text[0] = '\0';
    return text;
}

void clock_rfc3339_at(char out[CLOCK_RFC3339_SIZE], int64_t wall_us)
{
    unsigned us = (unsigned)(wall_us % 1000000) % 1000000;
    size_t n = strnlen(second_text((time_t)(wall_us / 1000000)), 19);
    memcpy(out, second_text((time_t)(wall_us / 1000000)), n);
    out[n++] = '.';
    for (unsigned power = 100000; power; power /= 10)
        out[n++] = (char)('0' + us / power % 10);
    out[n++] = 'Z';
    out[n] = '\0';
}

void clock_rfc3339(char out[CLOCK_RFC3339_SIZE])
{
    clock_rfc3339_at(out, now_us(CLOCK_REALTIME));
}
