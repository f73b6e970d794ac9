/* Is the pod live, ready, started? A pure function over what PID 1 knows. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum verdict_kind { VERDICT_LIVE, VERDICT_READY, VERDICT_STARTUP, VERDICT_MAX };
extern const char *const verdict_names[VERDICT_MAX]; /* "live", "ready", "startup" */

struct verdict_service {
    const char *name;
    const char *state;  /* for the reason */
    const char *detail; /* for the reason; may be "" */
    bool gates_ready, gates_live;
    bool ready, gave_up;
    bool stale; /* its check has not been made for too long */
};

struct verdict_volume {
    const char *path;
    const char *message; /* the gravest finding */
    bool gates;          /* policy fail or degrade */
    bool known, ok;
};

struct verdict_input {
    bool booting, stopping, started_up;
    const struct verdict_service *services;
    size_t service_count;
    const struct verdict_volume *volumes;
    size_t volume_count;
};

struct verdict_check {
    char name[80];
    bool ok;
    char reason[440];
};

/* Fills at most `max` checks, in order; returns whether all hold. `*ret_count` says how many. */
bool verdict_judge(enum verdict_kind kind, const struct verdict_input *in,
                   struct verdict_check *ret, size_t max, size_t *ret_count);
