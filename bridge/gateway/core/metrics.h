/* What the gateway says of itself to Prometheus: the core's own metrics, then each connector's.
 * What is counted is counted since the process started; what is measured is read when somebody
 * asks. No label names a pod, a session or a person: those are as many as people make them. */
#pragma once

#include "bridge/gateway/core/core.h"

struct buf;

void core_metrics(struct core *core, struct buf *out);

/* All metrics of this room as lines of a Markdown table. */
void core_metrics_document(struct buf *out);
