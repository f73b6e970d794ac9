/* codev-probes as a whole: what its parts share. Each part is a file with its door here. */
#pragma once

#include "base/http/http.h"
#include "base/server/server.h"
#include "base/uvcontrol/uvcontrol.h"
#include "probes/checks.h"
#include "probes/verdict.h"

#define APP_WAITERS_MAX 16 /* /metrics requests that wait for one page */

struct app;

/* One question that PID 1 is asked again and again. */
struct app_question {
    struct app *app;
    enum probe probe;
    struct uvcontrol *call; /* NULL: none is on its way */
};

struct app {
    uv_loop_t *loop;
    struct http_client *http;
    struct server *server;
    const char *user, *password; /* OpenCode's; NULL: none */
    bool stopping;

    /* pid1.c */
    struct verdict verdicts[PROBE_MAX];
    struct app_question questions[PROBE_MAX];
    uv_timer_t poll_timer;
    struct uvcontrol *events;
    uv_timer_t events_timer; /* reconnects, then refreshes */
    uint64_t events_backoff_ms;
    unsigned refreshes;
    struct uvcontrol *state_call, *checks_call;
    uint64_t state_asked;

    /* runner.c */
    struct checks checks;
    uv_timer_t check_timer;
    struct run *runs;

    /* pages.c */
    struct uvcontrol *status_call;
    struct http_request *gateway_call;
    bool status_known;   /* `metrics` has what PID 1 told */
    struct buf metrics;  /* rendered */
    uint64_t metrics_ms; /* when; 0: never, or not yet whole */
    struct server_request *waiters[APP_WAITERS_MAX];
    size_t waiter_count;
};

/* pid1.c: keeps the verdicts, the service states and the table of checks up to date. */
void pid1_start(struct app *a);
void pid1_stop(struct app *a);
void pid1_report(struct app *a, const char *service, enum check_kind kind, bool ok,
                 const char *reason);

/* runner.c: runs the checks that are due. */
void runner_start(struct app *a);
void runner_kick(struct app *a);
/* Drops what runs, without a report. */
void runner_cancel(struct app *a);
void runner_stop(struct app *a);

/* pages.c: a server_request_fn. */
void pages_answer(void *app, struct server_request *r);
void pages_stop(struct app *a);

/* post.c: one POST with OpenCode's password, for pre_stop hooks. Exit status. */
int post_main(const char *url, uint64_t timeout_ms, const char *user, const char *password);
