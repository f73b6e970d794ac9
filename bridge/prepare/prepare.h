/* The plugin's way from nothing to loaded, step by step; each step is a file of its own. All that
 * can go wrong in them ends in the report: OpenCode then starts without the plugin. */
#pragma once

#include "base/core/error.h"
#include "bridge/prepare/package.h"
#include "bridge/prepare/report.h"
#include "bridge/prepare/settings.h"
#include "bridge/prepare/stamp.h"

#include <stdbool.h>
#include <stdint.h>

struct closed;
struct prepare {
    const struct settings *settings;
    const struct closed *closed; /* where and by what is built; NULL: in place, by npm of PATH */
    struct report *report;
    struct package package;
    uint64_t deadline_ms;   /* of everything together, clock_mono_ms() */
    int lock;               /* -1 until a step needs it */
    bool cloned, forwarded; /* by us, in this run */
    char *entry;            /* what OpenCode is to load; NULL: the plugin at its place */
};

enum found {
    FOUND_PLUGIN,
    FOUND_NO_CHECKOUT, /* nothing there, or an empty folder: may be cloned */
    FOUND_NO_PLUGIN,   /* a checkout without a plugin in it */
    FOUND_WRONG,       /* something else stands there; the error says what */
};

/* Where is the plugin? Only its one place counts. */
enum found step_find(const struct prepare *p, struct error *e);

/* Each: 0, or a negative errno with `e`. */
int step_lock(struct prepare *p, struct error *e);    /* once; later calls do nothing */
int step_clone(struct prepare *p, struct error *e);   /* nothing when another was quicker */
int step_update(struct prepare *p);                   /* trouble is a note only */
int step_install(struct prepare *p, struct error *e); /* npm ci / npm install, if needed */
int step_build(struct prepare *p, struct error *e);   /* npm run build, if needed */

/* Is what `kind` vouches for made from what is there? Positive: yes. 0: no, and the lock is held.
 */
int step_current(struct prepare *p, enum stamp_kind kind, struct error *e);

/* Writes the stamp, after all that it vouches for is on disk. */
int step_stamp(struct prepare *p, enum stamp_kind kind, const struct stamp *before,
               struct error *e);

/* Runs npm in the plugin folder, under the lock. `words` is a NULL-terminated argument list. */
int step_npm(struct prepare *p, const char *what, const char *const *words, struct error *e);

/* All of it: fills the report. A negative errno only for trouble of our own (memory). */
int prepare_run(const struct settings *s, struct report *report, struct error *e);
