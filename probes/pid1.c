/* Everything that codev-probes asks PID 1 and hears from it. */
#include "probes/app.h"

#include <errno.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/json/json.h"

#define POLL_MS          250
#define CALL_TIMEOUT_MS  1000
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS   2000
#define REFRESH_FIRST_MS 1000 /* catches what changed while the subscription was on its way */
#define REFRESH_MS       30000

/* ---- verdicts ---- */

static void on_verdict(void *data, const char *line, size_t len)
{
    struct app_question *q = data;
    uint64_t now = clock_mono_ms();
    if (verdict_update(&q->app->verdicts[q->probe], line, len, now) < 0)
        log_debug("PID 1's answer to probe %s is none: %.200s", probe_word(q->probe), line);
    /* Once started up is started up for good: an answer to another question shows that it lives. */
    struct verdict *startup = &q->app->verdicts[PROBE_STARTUP];
    if (q->probe == PROBE_LIVE && startup->known && startup->ok)
        startup->at_ms = now;
}

static void on_verdict_end(void *data, int error, const char *message)
{
    struct app_question *q = data;
    q->call = NULL;
    if (error < 0)
        log_debug("probe %s: %s", probe_word(q->probe), message);
}

static void ask(struct app_question *q)
{
    const struct verdict *v = &q->app->verdicts[q->probe];
    if (q->call || (q->probe == PROBE_STARTUP && v->known && v->ok))
        return;
    const char *words[] = { "probe", probe_word(q->probe), NULL };
    const struct uvcontrol_options o = {
        .loop = q->app->loop,
        .words = words,
        .timeout_ms = CALL_TIMEOUT_MS,
        .on_line = on_verdict,
        .on_end = on_verdict_end,
        .data = q,
    };
    (void)uvcontrol_start(&q->call, &o);
}

/* The answer that is on its way was made before what we have just heard. */
static void ask_anew(struct app *a)
{
    for (size_t i = 0; i < PROBE_MAX; i++) {
        uvcontrol_cancel(a->questions[i].call);
        a->questions[i].call = NULL;
        ask(&a->questions[i]);
    }
}

static void on_poll(uv_timer_t *timer)
{
    struct app *a = timer->data;
    for (size_t i = 0; i < PROBE_MAX; i++)
        ask(&a->questions[i]);
}

/* ---- service states and the table of checks ---- */

static void on_state(void *data, const char *line, size_t len)
{
    struct app *a = data;
    _cleanup_json_ cJSON *j = NULL;
    if (json_parse(&j, line, len, NULL) < 0)
        return;
    const cJSON *s;
    cJSON_ArrayForEach (s, json_arr(j, "services"))
        checks_state(&a->checks, json_str(s, "name", ""), json_str(s, "state", ""), a->state_asked,
                     clock_mono_ms());
    runner_kick(a);
}

static void on_state_end(void *data, int error, const char *message)
{
    struct app *a = data;
    a->state_call = NULL;
    if (error < 0)
        log_debug("status: %s", message);
}

static void on_checks(void *data, const char *line, size_t len)
{
    struct app *a = data;
    int r = checks_load(&a->checks, line, len, clock_mono_ms());
    if (r < 0)
        log_warn("PID 1's table of checks cannot be used, keeping the old one: %.200s", line);
    if (r != 1)
        return;
    runner_cancel(a);
    runner_kick(a);
}

static void on_checks_end(void *data, int error, const char *message)
{
    struct app *a = data;
    a->checks_call = NULL;
    if (error < 0)
        log_debug("checks: %s", message);
}

static void call(struct app *a, struct uvcontrol **slot, const char *word, uvcontrol_line_fn *line,
                 uvcontrol_end_fn *end)
{
    const char *words[] = { word, NULL };
    const struct uvcontrol_options o = {
        .loop = a->loop,
        .words = words,
        .on_line = line,
        .on_end = end,
        .data = a,
    };
    uvcontrol_cancel(*slot);
    *slot = NULL;
    (void)uvcontrol_start(slot, &o);
}

static void refresh(struct app *a)
{
    a->state_asked = checks_now(&a->checks);
    call(a, &a->state_call, "status", on_state, on_state_end);
    call(a, &a->checks_call, "checks", on_checks, on_checks_end);
}

static void on_refresh(uv_timer_t *timer)
{
    refresh(timer->data);
    (void)uv_timer_start(timer, on_refresh, REFRESH_MS, 0);
}

/* ---- events ---- */

static void on_event(void *data, const char *line, size_t len)
{
    struct app *a = data;
    _cleanup_json_ cJSON *j = NULL;
    if (json_parse(&j, line, len, NULL) < 0)
        return;
    const char *event = json_str(j, "event", "");
    a->events_backoff_ms = 0;
    if (strcmp(event, "service") == 0) {
        checks_state(&a->checks, json_str(j, "service", ""), json_str(j, "to", ""), CHECK_NEVER,
                     clock_mono_ms());
        runner_kick(a);
    } else if (strcmp(event, "ready") == 0) {
        if (!json_bool(j, "ok", false))
            verdict_fail(&a->verdicts[PROBE_READY], json_str(j, "check", "?"),
                         json_str(j, "reason", ""), clock_mono_ms());
        ask_anew(a);
    } else if (strcmp(event, "reloaded") == 0) {
        refresh(a);
    }
}

static void subscribe(struct app *a);

static void on_reconnect(uv_timer_t *timer)
{
    subscribe(timer->data);
}

static void on_events_end(void *data, int error, const char *message)
{
    struct app *a = data;
    a->events = NULL;
    /* Known only from here on; the verdicts get stale by themselves. */
    checks_forget(&a->checks);
    runner_cancel(a);
    uint64_t wait = a->events_backoff_ms ? a->events_backoff_ms * 2 : BACKOFF_FIRST_MS;
    a->events_backoff_ms = wait > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : wait;
    if (a->events_backoff_ms == BACKOFF_FIRST_MS)
        log_info("PID 1's events ended, subscribing again%s%s", error ? ": " : "", message);
    (void)uv_timer_start(&a->events_timer, on_reconnect, a->events_backoff_ms, 0);
}

static void subscribe(struct app *a)
{
    static const char *const words[] = { "events", NULL };
    const struct uvcontrol_options o = {
        .loop = a->loop,
        .words = words,
        .stream = 1,
        .on_line = on_event,
        .on_end = on_events_end,
        .data = a,
    };
    if (uvcontrol_start(&a->events, &o) < 0) {
        (void)uv_timer_start(&a->events_timer, on_reconnect, BACKOFF_MAX_MS, 0);
        return;
    }
    refresh(a);
    (void)uv_timer_start(&a->events_timer, on_refresh, REFRESH_FIRST_MS, 0);
}

/* ---- reports ---- */

static void on_report(void *data, const char *line, size_t len)
{
    (void)data;
    if (len > 8 && strncmp(line, "{\"error\"", 8) == 0)
        log_debug("PID 1 does not take a report: %.200s", line);
}

void pid1_report(struct app *a, const char *service, enum check_kind kind, bool ok,
                 const char *reason)
{
    const char *words[] = { "report",           service, check_kind_word(kind),
                            ok ? "ok" : "fail", reason,  NULL };
    const struct uvcontrol_options o = {
        .loop = a->loop,
        .words = words,
        .timeout_ms = CALL_TIMEOUT_MS,
        .on_line = on_report,
    };
    (void)uvcontrol_start(NULL, &o);
}

/* ---- life ---- */

void pid1_start(struct app *a)
{
    for (size_t i = 0; i < PROBE_MAX; i++)
        a->questions[i] = (struct app_question){ .app = a, .probe = (enum probe)i };
    (void)uv_timer_init(a->loop, &a->poll_timer);
    (void)uv_timer_init(a->loop, &a->events_timer);
    a->poll_timer.data = a->events_timer.data = a;
    (void)uv_timer_start(&a->poll_timer, on_poll, 0, POLL_MS);
    subscribe(a);
}

void pid1_stop(struct app *a)
{
    for (size_t i = 0; i < PROBE_MAX; i++) {
        uvcontrol_cancel(a->questions[i].call);
        verdict_release(&a->verdicts[i]);
    }
    uvcontrol_cancel(a->events);
    uvcontrol_cancel(a->state_call);
    uvcontrol_cancel(a->checks_call);
    uv_close((uv_handle_t *)&a->poll_timer, NULL);
    uv_close((uv_handle_t *)&a->events_timer, NULL);
}
