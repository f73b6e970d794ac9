#include "bridge/prepare/report.h"

#include "base/core/cleanup.h"
#include "base/core/control.h"
#include "base/core/jsonw.h"
#include "base/core/log.h"
#include "base/core/visible.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A word of a request is percent-encoded: at worst three times its bytes, of 16384 allowed. */
#define REPORT_MAX ((size_t)5 << 10)
#define SEND_MS    2000

static const char *const state_names[] = {
    [PLUGIN_READY] = "ready",
    [PLUGIN_MISSING] = "missing",
    [PLUGIN_FAILED] = "failed",
    [PLUGIN_DISABLED] = "disabled",
};
_Static_assert(ARRAY_SIZE(state_names) == PLUGIN_MAX, "a name for every state");

/* Names of files and what programs said may be anybody's words; people read them on a terminal. */
__attribute__((format(printf, 3, 0))) static void put_text(char *out, size_t size, const char *fmt,
                                                           va_list ap)
{
    char text[2048];
    _cleanup_buf_ struct buf seen = BUF_INIT;
    (void)vsnprintf(text, sizeof text, fmt, ap);
    visible_put(&seen, text, strlen(text), 0);
    (void)snprintf(out, size, "%s", buf_str(&seen));
}

void report_note(struct report *r, const char *fmt, ...)
{
    char text[sizeof r->notes[0]];
    va_list ap;
    va_start(ap, fmt);
    put_text(text, sizeof text, fmt, ap);
    va_end(ap);
    log_warn("⚠️ %s", text);
    if (r->note_count < REPORT_NOTES)
        (void)snprintf(r->notes[r->note_count], sizeof r->notes[0], "%s", text);
    r->note_count++;
}

void report_trust(struct report *r, enum trust_kind kind, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    put_text(r->trust[kind], sizeof r->trust[kind], fmt, ap);
    va_end(ap);
    log_warn("⚠️ %s", r->trust[kind]);
}

void report_state(struct report *r, enum plugin_state state, const char *fmt, ...)
{
    r->state = state;
    va_list ap;
    va_start(ap, fmt);
    put_text(r->reason, sizeof r->reason, fmt, ap);
    va_end(ap);
}

static void write_json(const struct report *r, const char *path, unsigned notes, struct buf *out)
{
    struct jsonw w = JSONW_INIT(out);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "state", state_names[r->state]);
    jsonw_str(&w, "path", path);
    jsonw_str(&w, "reason", r->reason);
    jsonw_str(&w, "commit", r->commit);
    jsonw_str(&w, "prepare_id", r->run);
    jsonw_uint(&w, "elapsed_ms", r->elapsed_ms);
    jsonw_object(&w, "trust");
    for (int i = 0; i < TRUST_KIND_MAX; i++)
        if (*r->trust[i])
            jsonw_str(&w, trust_names[i], r->trust[i]);
    jsonw_object_end(&w);
    jsonw_array(&w, "notes");
    for (unsigned i = 0; i < notes; i++)
        jsonw_str(&w, NULL, r->notes[i]);
    jsonw_array_end(&w);
    jsonw_object_end(&w);
}

void report_json(const struct report *r, const char *path, struct buf *out)
{
    unsigned notes = r->note_count < REPORT_NOTES ? r->note_count : REPORT_NOTES;
    do {
        buf_reset(out);
        write_json(r, path, notes, out);
    } while (out->len > REPORT_MAX && notes-- > 0);
}

void report_send(const char *json)
{
    const char *const words[] = { "annotate", "prepare", "plugin", json, NULL };
    struct error e = ERROR_INIT;
    _cleanup_buf_ struct buf answer = BUF_INIT_MAX((size_t)64 << 10);
    int r = control_call(words, SEND_MS, &answer, &e);
    if (r < 0)
        log_debug("no supervisor to report to: %s", e.message);
    else if (buf_str(&answer)[0] != '{' || strstr(buf_str(&answer), "\"error\""))
        log_warn("PID 1 refused the report: %s", buf_str(&answer));
}
