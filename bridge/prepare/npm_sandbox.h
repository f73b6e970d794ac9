/* The sandbox that npm and what it runs are put into (SPEC P8): the profile `build`, handed over by
 * PID 1 as the file that CODEV_SANDBOX_BUILD names. */
#pragma once

#include "base/core/error.h"
#include "supervisor/sandbox/sandbox.h"

#include <stdbool.h>

struct npm_sandbox {
    bool on;
    struct sandbox sandbox;
    struct sandbox_kernel kernel;
    void *block;
};

/* Reads it. 0 also without a supervisor, then it is off. */
int npm_sandbox_read(struct npm_sandbox *ret, struct error *e);
void npm_sandbox_release(struct npm_sandbox *n);

/* In the child, in npm's working folder, just before exec; takes names out of `env` too. False:
 * npm must not be run; the reason is on stderr. */
bool npm_sandbox_enter(const struct npm_sandbox *n, char **env);
