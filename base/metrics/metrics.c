#include "base/metrics/metrics.h"

#include <stdio.h>
#include <string.h>

#include "base/core/utf8.h"

static const char *const type_words[METRIC_TYPE_MAX] = {
    [METRIC_GAUGE] = "gauge",
    [METRIC_COUNTER] = "counter",
    [METRIC_HISTOGRAM] = "histogram",
};

void metric_head(struct buf *out, const struct metric *m)
{
    (void)buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name,
                     type_words[m->type]);
}

/* ---------------------------------------------------------------- samples */

static size_t label_count(const struct metric *m)
{
    size_t n = 0;
    while (n < METRIC_LABELS_MAX && m->labels[n])
        n++;
    return n;
}

static void put_value(struct buf *out, const char *value)
{
    const char *end = value + strlen(value);
    for (const char *p = value; p < end;) {
        size_t n = utf8_sequence(p, (size_t)(end - p));
        if (n == 0) /* a scraper refuses the whole page for one of them */
            (void)buf_puts(out, "\xef\xbf\xbd"); /* U+FFFD */
        else if (*p == '\n')
            (void)buf_puts(out, "\\n");
        else if (*p == '\\' || *p == '"')
            (void)buf_printf(out, "\\%c", *p);
        else
            (void)buf_append(out, p, n);
        p += n ? n : 1;
    }
}

/* `le` is a histogram's own label, NULL for none. */
static void put_sample(struct buf *out, const struct metric *m, const char *suffix,
                       const char *const *values, const char *le, double value)
{
    size_t labels = label_count(m);
    (void)buf_printf(out, "%s%s", m->name, suffix);
    for (size_t i = 0; i < labels; i++) {
        (void)buf_printf(out, "%s%s=\"", i ? "," : "{", m->labels[i]);
        put_value(out, values[i]);
        (void)buf_putc(out, '"');
    }
    if (le)
        (void)buf_printf(out, "%sle=\"%s\"", labels ? "," : "{", le);
    (void)buf_printf(out, "%s %.15g\n", labels || le ? "}" : "", value);
}

void metric_sample(struct buf *out, const struct metric *m, const char *const *values, double value)
{
    put_sample(out, m, "", values, NULL, value);
}

void metric_single(struct buf *out, const struct metric *m, double value)
{
    metric_head(out, m);
    metric_sample(out, m, NULL, value);
}

/* ---------------------------------------------------------------- histograms */

void metric_observe(struct metric_histogram *h, double value)
{
    size_t i = 0;
    if (!(value > 0))
        value = 0;
    while (i < h->count && value > h->bounds[i])
        i++;
    h->buckets[i]++;
    h->sum += value;
}

void metric_histogram(struct buf *out, const struct metric *m, const char *const *values,
                      const struct metric_histogram *h)
{
    uint64_t below = 0;
    for (size_t i = 0; i <= h->count; i++) {
        char le[32] = "+Inf";
        if (i < h->count)
            (void)snprintf(le, sizeof le, "%g", h->bounds[i]);
        below += h->buckets[i];
        put_sample(out, m, "_bucket", values, le, (double)below);
    }
    put_sample(out, m, "_sum", values, NULL, h->sum);
    put_sample(out, m, "_count", values, NULL, (double)below);
}

/* ---------------------------------------------------------------- documents */

void metrics_document(struct buf *out, const struct metric *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)buf_printf(out, "| `%s` | %s | ", rows[i].name, type_words[rows[i].type]);
        size_t labels = label_count(&rows[i]);
        for (size_t k = 0; k < labels; k++)
            (void)buf_printf(out, "%s`%s`", k ? ", " : "", rows[i].labels[k]);
        (void)buf_printf(out, " | %s |\n", rows[i].help);
    }
}
