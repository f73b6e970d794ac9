/* What the connector counted, for Prometheus. */
#pragma once

struct buf;

/* A connector's `metrics`. */
void slack_metrics(void *slack, struct buf *out);
/* All metrics of this room as lines of a Markdown table. */
void slack_metrics_document(struct buf *out);
