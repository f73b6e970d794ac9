/* Client of Slack's Web API: bodies as each method wants them, errors told apart, limits kept. Two
 * ways in: api_call() queues, waits for the limits and retries what is harmless to repeat;
 * api_send() is one attempt at once, for the outbox, which keeps its own account. */
#pragma once

#include "base/json/json.h"
#include "bridge/gateway/slack/wire/errors.h"
#include "bridge/gateway/slack/wire/limit.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct http_client;
struct slack_counts;
struct api;

struct api_result {
    bool ok;
    enum slack_error_class class; /* when not ok; SERVER also for no answer at all */
    const char *code;             /* Slack's code, or "unreachable", "bad_answer"; "" when ok */
    const char *needed;           /* scope of missing_scope, else "" */
    const char *message;          /* for people, when not ok; holds no secret */
    uint64_t retry_after_ms;      /* of a 429, else 0 */
    bool maybe_done;              /* not ok, but the work may have been done */
    bool unreachable;             /* Slack could not be reached at all */
    const cJSON *body;            /* the answer; NULL when there was none */
};
/* Exactly once, never from within api_call() or api_send(). */
typedef void api_done_fn(void *data, const struct api_result *r);

struct api_settings {
    uv_loop_t *loop;
    struct http_client *http;
    const char *base; /* "https://slack.com/api/"; copied, as are the tokens */
    const char *bot_token, *app_token;
    struct slack_counts *counts; /* where answers are counted; NULL: nowhere */
};
int api_new(struct api **ret, const struct api_settings *set);
void api_free(struct api *a); /* pending calls end without a call back */

/* `args` (taken, also on failure; may be NULL) is an object. 0 or -errno, then `done` is not
 * called. `deadline_ms`: give up after so many milliseconds, 0 for the usual minute. At most 256
 * wait (-ENOBUFS). */
int api_call(struct api *a, enum slack_method m, cJSON *args, uint64_t deadline_ms,
             api_done_fn *done, void *data);
/* `args` is borrowed. */
int api_send(struct api *a, enum slack_method m, const cJSON *args, api_done_fn *done, void *data);
/* A file in a thread, in its three steps, once: `args` (borrowed) has "filename", "content",
 * "channel_id" and perhaps "thread_ts". `maybe_done` only for the last step. */
int api_upload(struct api *a, const cJSON *args, api_done_fn *done, void *data);
/* How many calls of that method could leave at once. */
/* limiter_wait_live() */
uint64_t api_wait_live_ms(struct api *a, enum slack_method m, const char *channel);
unsigned api_spare(struct api *a, enum slack_method m);
/* Milliseconds until api_send() of that method into that channel keeps the limits. */
uint64_t api_wait_ms(struct api *a, enum slack_method m, const char *channel);

/* Posts to a response_url of Slack's: answers a command or click where the app is no member.
 * `message` is taken. Failures are only logged. */
void api_respond(struct api *a, const char *response_url, cJSON *message);
