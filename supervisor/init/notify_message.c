#include "supervisor/init/notify_message.h"

#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/parse.h"
#include "base/core/utf8.h"

/* A number that is the whole value; 0 when it is none or out of range. */
static uint64_t number(const char *at, size_t len, uint64_t max)
{
    char text[24];
    uint64_t n = 0;
    if (len >= sizeof text)
        return 0;
    memcpy(text, at, len);
    text[len] = '\0';
    return parse_u64(text, 1, max, &n) == 0 ? n : 0;
}

static bool is(const char *at, size_t len, const char *word)
{
    return strlen(word) == len && memcmp(at, word, len) == 0;
}

/* Whole characters only, no controls: it is shown on one line of a terminal. */
static void take_status(const char *at, size_t len, struct notify_message *m)
{
    size_t to = 0;
    for (size_t i = 0, n; i < len; i += n ? n : 1) {
        n = utf8_sequence(at + i, len - i);
        if (to + (n ? n : 1) >= sizeof m->status)
            break;
        bool plain = n > 1 || (n == 1 && (unsigned char)at[i] >= 0x20 && at[i] != 0x7f);
        if (plain)
            memcpy(m->status + to, at + i, n);
        else
            m->status[to] = '?';
        to += plain ? n : 1;
    }
    m->status[to] = '\0';
    m->has_status = true;
}

static void take_ready(const char *at, size_t len, struct notify_message *m)
{
    m->ready |= is(at, len, "1");
}

static void take_reloading(const char *at, size_t len, struct notify_message *m)
{
    m->reloading |= is(at, len, "1");
}

static void take_stopping(const char *at, size_t len, struct notify_message *m)
{
    m->stopping |= is(at, len, "1");
}

static void take_watchdog(const char *at, size_t len, struct notify_message *m)
{
    m->watchdog |= is(at, len, "1");
    m->trigger |= is(at, len, "trigger");
}

static void take_main_pid(const char *at, size_t len, struct notify_message *m)
{
    m->main_pid = (int32_t)number(at, len, INT32_MAX);
}

static void take_extend(const char *at, size_t len, struct notify_message *m)
{
    m->extend_us = number(at, len, UINT64_MAX / 2);
}

static void take_watchdog_us(const char *at, size_t len, struct notify_message *m)
{
    m->watchdog_us = number(at, len, UINT64_MAX / 2);
}

static const struct {
    const char *key;
    void (*take)(const char *at, size_t len, struct notify_message *m);
} keys[] = {
    { "READY", take_ready },       { "RELOADING", take_reloading },
    { "STOPPING", take_stopping }, { "STATUS", take_status },
    { "WATCHDOG", take_watchdog }, { "WATCHDOG_USEC", take_watchdog_us },
    { "MAINPID", take_main_pid },  { "EXTEND_TIMEOUT_USEC", take_extend },
};

void notify_parse(const char *text, size_t len, struct notify_message *ret)
{
    *ret = (struct notify_message){ 0 };
    const char *nul = memchr(text, '\0', len);
    const char *end = nul ? nul : text + len;
    for (const char *at = text, *next; at < end; at = next) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;
        const char *eq = memchr(at, '=', (size_t)(stop - at));
        next = stop + 1;
        for (size_t i = 0; eq && i < ARRAY_SIZE(keys); i++)
            if (is(at, (size_t)(eq - at), keys[i].key))
                keys[i].take(eq + 1, (size_t)(stop - eq - 1), ret);
    }
}
