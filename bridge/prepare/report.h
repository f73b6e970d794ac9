/* What came out: one state with its reason, and notes. Written to the log as it happens, kept for
 * `codevctl status` (the note `plugin` of the service `prepare`). */
#pragma once

#include "base/core/buf.h"
#include "base/core/error.h"
#include "base/core/trace.h"

#include "bridge/prepare/trust.h"

#include <stdint.h>

enum plugin_state { PLUGIN_READY, PLUGIN_MISSING, PLUGIN_FAILED, PLUGIN_DISABLED, PLUGIN_MAX };

#define REPORT_NOTES 6

struct report {
    enum plugin_state state;
    char reason[480];
    char commit[41];         /* "": unknown */
    char run[TRACE_ID_SIZE]; /* by which the log knows this run; "": none */
    uint64_t elapsed_ms;
    char trust[TRUST_KIND_MAX][320]; /* "": as accepted, or not asked for */
    char notes[REPORT_NOTES][320];
    unsigned note_count; /* also those that found no room */
};

/* A note: something a person should know though it stopped nothing. Logged as a warning. */
void report_note(struct report *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What is not in use because nobody accepted it. Logged as a warning. */
void report_trust(struct report *r, enum trust_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Sets state and reason. */
void report_state(struct report *r, enum plugin_state state, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The report as JSON, at most 5 KiB. */
void report_json(const struct report *r, const char *path, struct buf *out);

/* Hands the JSON to PID 1. Without a supervisor, nothing happens. */
void report_send(const char *json);
