/* One datagram of sd_notify(3): lines KEY=VALUE. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NOTIFY_STATUS_MAX 256

struct notify_message {
    bool ready, reloading, stopping; /* READY=1, RELOADING=1, STOPPING=1 */
    bool watchdog, trigger;          /* WATCHDOG=1, WATCHDOG=trigger */
    bool has_status;
    char status[NOTIFY_STATUS_MAX]; /* STATUS=, cut, fit for one line */
    int32_t main_pid;               /* MAINPID=; 0: not said */
    uint64_t extend_us;             /* EXTEND_TIMEOUT_USEC=; 0: not said */
    uint64_t watchdog_us;           /* WATCHDOG_USEC=; 0: not said */
};

/* What is unknown, malformed or not for us (FDSTORE, ERRNO, …) is passed over. A NUL ends it. */
void notify_parse(const char *text, size_t len, struct notify_message *ret);
