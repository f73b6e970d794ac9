/* The built-in services: what runs when there is no config file. In the file each can be changed
 * by its name, key by key. */
#pragma once

#include "supervisor/config/config.h"
#include "supervisor/plan/plan.h"

#include <stdint.h>

/* What the config file cannot change. */
struct builtin {
    const char *name;
    const char *env_from;
    uint32_t stop_order; /* lower stops earlier */
    uint32_t gates_ready, gates_live;
    uint32_t secret_readers; /* enum secret_for */
    const char *handed;      /* a profile that it gets as a file; NULL: none */
    bool handed_inside;      /* only where OpenCode has a sandbox */
    bool handed_alone;       /* without OpenCode's beside it */
    const char *when;        /* there is such a service only if this expands to something */
    bool agent_side; /* gets the env file's variables; the others only what cannot harm them */
};

#define STOP_ORDER_FIRST 0
#define STOP_ORDER_USER  5
#define STOP_ORDER_AGENT 10
#define STOP_ORDER_LAST  1000

/* The row of a group, or what holds for a service of the user's own. */
const struct builtin *builtin_of(const struct group *g);

/* The variables of docs/control.md that this service gets, one after the other as "K=V" with names
 * to expand; NULL ends. `*i` starts at 0. */
const char *builtin_variable(const struct group *g, size_t *i);
