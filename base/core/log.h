/* Log lines of the services (not of PID 1, which has its own). One JSON object a line on stderr,
 * {"level":…,"msg":…} and the ids of what it is about, which PID 1 lifts into its own line
 * (docs/logs.md); plain text when stderr is a terminal. errno is preserved. Never pass a secret. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_MAX };

/* `program` is put before text lines and must outlive all calls. Level from CODEV_LOG_LEVEL
 * (debug, info, warn, error), default info. */
void log_init(const char *program);

void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)

/* ---- what lines are about ---- */

/* The ids that a line may carry, as fields of its JSON object. */
enum log_field {
    LOG_TRACE_ID,        /* of one request of the agent, one turn, one run of prepare */
    LOG_SPAN_ID,         /* within that trace */
    LOG_CALLER_TRACE_ID, /* the trace of whoever had this done by the API */
    LOG_REQUEST_ID,      /* X-Request-Id of the HTTP request that caused it */
    LOG_ENVELOPE_ID,     /* Slack's, of what somebody did there */
    LOG_SESSION,         /* OpenCode's session id, ses_… */
    LOG_POD,             /* the codev pod that it belongs to: a hub serves several */
    LOG_FIELD_MAX,
};
const char *log_field_name(enum log_field f);
/* May `text` stand in that field? Trace and span ids by their own form; the others have 1 to 256
 * printable ASCII characters, no blank, quote or backslash. */
bool log_field_fits(enum log_field f, const char *text, size_t len);

/* While one of these is entered, every line carries its ids; what it leaves out (NULL) it has from
 * the one around it. Values that do not fit are left out. They must outlive it:
 *
 *     _log_about_ struct log_about about = { .id = { [LOG_TRACE_ID] = trace } };
 *     log_enter(&about);
 */
struct log_about {
    const char *id[LOG_FIELD_MAX];
    const struct log_about *outer; /* set by log_enter() */
};
void log_enter(struct log_about *about);
void log_leave(struct log_about *about); /* the one entered last */
#define _log_about_ __attribute__((cleanup(log_leave)))
/* What lines have in that field now; NULL: nothing. A span is that of the trace around it. */
const char *log_id(enum log_field f);

/* A copy of all that is entered now, for what goes on later: malloc'ed, NULL when there is nothing
 * or no memory. free() it. */
struct log_about *log_keep(void);
/* To be entered then; `kept` (may be NULL) must outlive it. */
struct log_about log_kept(const struct log_about *kept);
