/* PID 1's `status` as Prometheus text, and the gateway's own page behind it. */
#pragma once

#include "base/core/buf.h"

#include <cjson/cJSON.h>

/* `status` NULL: PID 1 does not answer; what remains is the build and that nothing is ready. */
void metrics_render(const cJSON *status, struct buf *out);

/* What the gateway answered; NULL: nothing of use. What is not clean is left out as a whole: where
 * the gateway is away, the agent's programs can listen in its place. */
void metrics_gateway(struct buf *out, const char *page, size_t len);

/* All metrics of this program as lines of a Markdown table. */
void metrics_list(struct buf *out);
