#include "base/core/clock.h"

#include <stdio.h>
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

void clock_rfc3339_at(char out[CLOCK_RFC3339_SIZE], int64_t wall_us)
{
    time_t s = (time_t)(wall_us / 1000000);
    unsigned us = (unsigned)(wall_us % 1000000) % 1000000;
    struct tm tm;
    char text[24];
    if (!gmtime_r(&s, &tm) || !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm))
        text[0] = '\0';
    (void)snprintf(out, CLOCK_RFC3339_SIZE, "%.19s.%06uZ", text, us);
}

void clock_rfc3339(char out[CLOCK_RFC3339_SIZE])
{
    clock_rfc3339_at(out, now_us(CLOCK_REALTIME));
}
