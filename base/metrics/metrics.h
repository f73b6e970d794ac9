/* Prometheus text (version 0.0.4): a metric is a row of a table, and a sample names its row, so
 * that what is written and what is documented cannot differ. Counters begin at 0 with the process.
 */
#pragma once

#include "base/core/buf.h"

#include <stddef.h>
#include <stdint.h>

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

#define METRIC_LABELS_MAX  3
#define METRIC_BUCKETS_MAX 16

enum metric_type { METRIC_GAUGE, METRIC_COUNTER, METRIC_HISTOGRAM, METRIC_TYPE_MAX };

struct metric {
    const char *name; /* by Prometheus's conventions: base units, counters end in _total */
    enum metric_type type;
    const char *help;                      /* one line */
    const char *labels[METRIC_LABELS_MAX]; /* names, NULL behind the last */
};

/* HELP and TYPE: once, before the metric's samples. */
void metric_head(struct buf *out, const struct metric *m);

/* One sample. `values`: as many as the metric has labels, of any bytes; NULL when it has none. */
void metric_sample(struct buf *out, const struct metric *m, const char *const *values,
                   double value);
#define METRIC_VALUES(...) ((const char *const[]){ __VA_ARGS__ })

/* Head and the one sample of a metric without labels. */
void metric_single(struct buf *out, const struct metric *m, double value);

/* How many observations were at most `bounds[i]`: `bounds` grows, holds at most METRIC_BUCKETS_MAX
 * and outlives it. */
struct metric_histogram {
    const double *bounds;
    size_t count;
    uint64_t buckets[METRIC_BUCKETS_MAX + 1]; /* not cumulated; the last is for what is above all */
    double sum;
};
/* What is below 0 (a clock was set back) counts as 0. */
void metric_observe(struct metric_histogram *h, double value);
void metric_histogram(struct buf *out, const struct metric *m, const char *const *values,
                      const struct metric_histogram *h);

/* Appends the metrics page of another program to ours, if each line of it is one that a scraper
 * takes and each name begins with `prefix`: what it says may break no other's metrics. 0, or
 * -EBADMSG, -ENOMEM, -EFBIG, and nothing is appended. */
int metrics_take(struct buf *out, const char *text, size_t len, const char *prefix);

/* The rows as lines of a Markdown table: name, type, labels, meaning. For documents. */
void metrics_document(struct buf *out, const struct metric *rows, size_t count);
