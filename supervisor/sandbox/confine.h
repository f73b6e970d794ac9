/* The sandboxes that programs of ours are put into: npm and what it runs (SPEC P8) into the profile
 * `build`, OpenCode asked for its version into its own. PID 1 hands profiles over as the files that
 * CODEV_SANDBOX_<NAME> name. */
#pragma once

#include "base/core/error.h"
#include "supervisor/sandbox/sandbox.h"

#include <stdbool.h>

struct confine {
    bool on;
    struct sandbox sandbox;
    struct sandbox_kernel kernel;
    void *block;
};

/* Reads the profile of that name ("none": off). 0 also without a supervisor, then it is off. */
int confine_read(struct confine *ret, const char *name, struct error *e);
void confine_release(struct confine *n);

/* In the child, in the program's working folder, just before exec; takes names out of `env` too.
 * False: the program must not be run; the reason is on stderr. */
bool confine_enter(const struct confine *n, char **env);
