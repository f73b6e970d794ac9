/* How fast Slack may be called: a token bucket for each method, one more for posting into each
 * channel, and what a 429's Retry-After forbids. Pure: time comes in as milliseconds of any
 * monotonic clock. Rates stay below Slack's documented tiers, so that 429 is an exception.
 *
 * A 429 blocks its method, and what is called all the same prolongs it: a second call that is on
 * its way by then would. So each method has one call on its way at a time. */
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
    SLACK_CONVERSATIONS,
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
/* A call that Slack does not answer within this holds back no other: a 429 comes at once. */
#define LIMIT_ALONE_MS 5000

struct limit_bucket {
    double tokens;
    uint64_t at_ms;
};
struct limiter {
    struct limit_bucket methods[SLACK_METHOD_MAX];
    uint64_t blocked_until_ms[SLACK_METHOD_MAX];
    struct limit_running {
        unsigned count;
        uint64_t since_ms; /* the last one left */
    } running[SLACK_METHOD_MAX];
    struct limit_channel {
        char id[24];
        struct limit_bucket bucket;
    } channels[LIMIT_CHANNELS_MAX]; /* the one unused for longest makes room */
};

void limiter_init(struct limiter *l, uint64_t now_ms);

/* Milliseconds until this call may leave; 0: now. `channel` may be "". */
uint64_t limiter_wait(struct limiter *l, enum slack_method m, const char *channel, uint64_t now_ms);
/* The same for a post into `channel` that may wait for what is more urgent: until another could
 * follow it at once. */
uint64_t limiter_wait_live(struct limiter *l, enum slack_method m, const char *channel,
                           uint64_t now_ms);
/* How many calls of that method could leave at once. */
unsigned limiter_spare(struct limiter *l, enum slack_method m, uint64_t now_ms);
/* It leaves now; limiter_done() is due for it. */
void limiter_take(struct limiter *l, enum slack_method m, const char *channel, uint64_t now_ms);
/* Its answer is there, or there will be none. */
void limiter_done(struct limiter *l, enum slack_method m);
/* Slack answered 429: the method rests for `ms`. Never shortens an earlier one. */
void limiter_block(struct limiter *l, enum slack_method m, uint64_t ms, uint64_t now_ms);
