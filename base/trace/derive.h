/* Trace ids that nobody has to hand on: from the id that OpenCode gave to a thing, the same in
 * every program and after every restart. The plugin does it too (bridge/plugin/src/trace.ts). */
#pragma once

#include "base/core/trace.h"

struct trace_ids {
    char trace_id[TRACE_ID_SIZE];
    char span_id[SPAN_ID_SIZE]; /* of the span at its root */
};
/* Of a permission request or question (per_…, que_…), or of the turn that a prompt (msg_…) began:
 * the first 16 and the next 8 bytes of the id's SHA-256. */
void trace_derive(const char *id, struct trace_ids *ret);
