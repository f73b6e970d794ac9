/* PID 1's `status` as Prometheus text. */
#pragma once

#include "base/core/buf.h"

#include <cjson/cJSON.h>

/* `status` NULL: PID 1 does not answer; what remains is the build and that nothing is ready. */
void metrics_render(const cJSON *status, struct buf *out);

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
