/* The direct way to the pod's own OpenCode: its HTTP API (v1 paths) and its /global/event stream.
 * Takes commands whenever no bridge plugin is connected; feeds events only then, and begins a while
 * after the last bridge went, so that exactly one of the two feeds. */
#pragma once

#include "base/core/error.h"

#include <stdint.h>

struct core;
struct opencode;

struct opencode_options {
    uint64_t grace_ms;     /* without a bridge for so long before the stream is opened; 0: 3 s */
    uint64_t retry_min_ms; /* 0: 500 */
    uint64_t retry_max_ms; /* 0: 3 s */
    uint64_t again_min_ms; /* what is open is read again so long after a connect; 0: 500 */
    uint64_t again_max_ms; /* and then at doubled distances up to this one; 0: 30 s */
};

/* Reads its settings from core_settings(); without an OpenCode of its own (a hub) `*ret` is NULL.
 * `options` may be NULL. 0, or -errno with `e`. */
int opencode_new(struct opencode **ret, struct core *core, const struct opencode_options *options,
                 struct error *e);

/* Cancels everything; orders under way are answered. Frees in the loop. NULL is fine. */
void opencode_free(struct opencode *oc);
