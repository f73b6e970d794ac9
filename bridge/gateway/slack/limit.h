/* How fast Slack may be called: a token bucket for each method, one more for posting into each
 * channel, and what a 429's Retry-After forbids. Pure: time comes in as milliseconds of any
 * monotonic clock. Rates stay below Slack's documented tiers, so that 429 is an exception. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum slack_method {
    SLACK_AUTH_TEST,
    SLACK_CONNECTIONS_OPEN,
    SLACK_POST_MESSAGE,
    SLACK_UPDATE,
    SLACK_POST_EPHEMERAL,
    SLACK_VIEWS_OPEN,
    SLACK_VIEWS_PUBLISH,
    SLACK_REPLIES,
    SLACK_HISTORY,
    SLACK_MEMBERS,
    SLACK_CHANNEL_INFO,
    SLACK_UPLOAD_URL,
    SLACK_UPLOAD, /* completes it */
    SLACK_METHOD_MAX,
};

struct slack_method_row {
    const char *name;
    bool json;      /* reads a JSON body; the others take a form, nested values as JSON strings */
    bool app_token; /* else the bot token */
    double per_minute;
    double burst;
    bool posts; /* counts against the channel's posting rate: 1 a second, short bursts */
};
extern const struct slack_method_row slack_methods[SLACK_METHOD_MAX];

/* SLACK_METHOD_MAX when there is none of that name. */
enum slack_method slack_method_find(const char *name);

#define LIMIT_CHANNELS_MAX 64

struct limit_bucket {
    double tokens;
    uint64_t at_ms;
};
struct limiter {
    struct limit_bucket methods[SLACK_METHOD_MAX];
    uint64_t blocked_until_ms[SLACK_METHOD_MAX];
    struct limit_channel {
        char id[24];
        struct limit_bucket bucket;
    } channels[LIMIT_CHANNELS_MAX]; /* the one unused for longest makes room */
};

void limiter_init(struct limiter *l, uint64_t now_ms);

/* Milliseconds until this call may leave; 0: now. `channel` may be "". */
uint64_t limiter_wait(struct limiter *l, enum slack_method m, const char *channel, uint64_t now_ms);
/* How many calls of that method could leave at once. */
unsigned limiter_spare(struct limiter *l, enum slack_method m, uint64_t now_ms);
/* It leaves now. */
void limiter_take(struct limiter *l, enum slack_method m, const char *channel, uint64_t now_ms);
/* Slack answered 429: the method rests for `ms`. Never shortens an earlier one. */
void limiter_block(struct limiter *l, enum slack_method m, uint64_t ms, uint64_t now_ms);
