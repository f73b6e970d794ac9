/* What a change of the plugin's sources leads to while the pod runs (SPEC P6). All is done by PID
 * 1's other services: codev-prepare is run again, which builds in its sandbox and asks for trust;
 * then OpenCode is restarted. */
#pragma once

#include "bridge/prepare/settings.h"

#include <stdbool.h>
#include <stdint.h>

struct reload_state {
    int fd;       /* inotify on the sources; -1: none */
    bool changed; /* something was written; looked at once it is quiet */
    uint64_t quiet_ms, first_ms;
    bool pending;  /* OpenCode is to be restarted once nobody is at work */
    unsigned idle; /* looks in a row that found nobody */
    uint64_t looked_ms;
};

/* Watches the sources; again after each change, for folders that are new. */
void reload_watch(struct reload_state *r, const struct settings *s);
/* The inotify descriptor is readable. */
void reload_read(struct reload_state *r);
/* Whatever is due; returns how many ms may be waited for the next call, -1: for ever. */
int reload_step(struct reload_state *r, const struct settings *s);
