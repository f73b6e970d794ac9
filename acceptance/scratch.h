/* Scratch places and processes of the checks: a copy of the plugin on its own volume, a second
 * OpenCode with a home of its own. All of it is gone after. */
#pragma once

#include "acceptance/acceptance.h"

#include <stdbool.h>
#include <sys/types.h>

/* The scratch folder, beside the plugin's repository and so on its volume. NULL with `e`. */
const char *scratch_dir(struct accept *a, struct error *e);
void scratch_remove(struct accept *a);

/* Copies the plugin into the scratch folder without `leave_out` ("node_modules" or "dist"; NULL:
 * all). `*ret` is the copy's path, malloc'ed. */
int scratch_copy_plugin(struct accept *a, const char *name, const char *leave_out, char **ret,
                        struct error *e);

/* Runs codev-prepare on that copy, with a home in the scratch folder. 0, or -errno with its last
 * words. */
int scratch_prepare(struct accept *a, const char *plugin, uint64_t timeout_ms, struct error *e);

/* A second OpenCode on a free port of loopback, with its own empty home; with `plugin` (may be
 * NULL) as its one plugin, whose log goes to `*ret_log` (malloc'ed, NULL without plugin). 0 once it
 * is ready; then scratch_opencode_stop(). */
struct scratch_opencode {
    pid_t pid;
    uint16_t port;
    uint64_t ready_ms;
};
int scratch_opencode_start(struct accept *a, const char *plugin, struct scratch_opencode *ret,
                           char **ret_log, struct error *e);
void scratch_opencode_stop(struct scratch_opencode *o);
