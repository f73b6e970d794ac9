/* Runs npm as a child, bounded: its own process group, killed as a whole at the deadline and when
 * we die; an environment without secrets; its output as our log lines. */
#pragma once

#include "base/core/error.h"

#include <stdint.h>

struct closed;
struct confine;
struct npm_job {
    const char *program;      /* NULL: npm */
    const char *plugin;       /* its working folder */
    const char *const *args;  /* behind "npm", NULL-terminated */
    const char *what;         /* for messages: "npm ci" */
    uint64_t deadline_ms;     /* clock_mono_ms() */
    const char *cache_folder; /* npm's cache when the home is not writable; may be NULL */
    const struct confine *sandbox;
    const struct closed *closed; /* its npm and its environment; NULL: npm of PATH */
    int close_in_child;          /* a descriptor that must not outlive us in npm (the lock); -1 */
};

/* 0, or -ETIMEDOUT, -ENOENT (no npm), -ECHILD (it failed) with `e` saying why in one line. */
int npm_run(const struct npm_job *job, struct error *e);
