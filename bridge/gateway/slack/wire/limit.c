#include "bridge/gateway/slack/wire/limit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Within any minute burst + per_minute calls may leave: below tier 3's 50 and tier 4's 100. */
const struct slack_method_row slack_methods[SLACK_METHOD_MAX] = {
    [SLACK_AUTH_TEST] = { "auth.test", true, false, 60, 5, false },
    [SLACK_CONNECTIONS_OPEN] = { "apps.connections.open", false, true, 30, 10, false },
    [SLACK_POST_MESSAGE] = { "chat.postMessage", true, false, 240, 40, true },
    [SLACK_UPDATE] = { "chat.update", true, false, 35, 14, false },
    [SLACK_POST_EPHEMERAL] = { "chat.postEphemeral", true, false, 70, 20, false },
    [SLACK_VIEWS_OPEN] = { "views.open", false, false, 70, 20, false },
    [SLACK_VIEWS_PUBLISH] = { "views.publish", false, false, 70, 20, false },
    [SLACK_REPLIES] = { "conversations.replies", false, false, 35, 10, false },
    [SLACK_HISTORY] = { "conversations.history", false, false, 35, 10, false },
    [SLACK_MEMBERS] = { "conversations.members", false, false, 70, 20, false },
    [SLACK_CHANNEL_INFO] = { "conversations.info", false, false, 35, 10, false },
    [SLACK_CONVERSATIONS] = { "users.conversations", false, false, 35, 10, false },
    [SLACK_UPLOAD_URL] = { "files.getUploadURLExternal", false, false, 70, 20, false },
    [SLACK_UPLOAD] = { "files.completeUploadExternal", true, false, 70, 20, true },
};

/* A session's first post and its request may follow each other at once; then one a second. */
static const double channel_per_minute = 60, channel_burst = 4;

enum slack_method slack_method_find(const char *name)
{
    unsigned m = 0;
    while (m < SLACK_METHOD_MAX && strcmp(slack_methods[m].name, name) != 0)
        m++;
    return (enum slack_method)m;
}

void limiter_init(struct limiter *l, uint64_t now_ms)
{
    memset(l, 0, sizeof *l);
    for (unsigned m = 0; m < SLACK_METHOD_MAX; m++)
        l->methods[m] = (struct limit_bucket){ slack_methods[m].burst, now_ms };
}

static void refill(struct limit_bucket *b, double per_minute, double burst, uint64_t now_ms)
{
    if (now_ms > b->at_ms) {
        b->tokens = fmin(burst, b->tokens + (double)(now_ms - b->at_ms) * per_minute / 60000.0);
        b->at_ms = now_ms;
    }
}

static uint64_t bucket_wait_for(const struct limit_bucket *b, double tokens, double per_minute)
{
    /* The small margin keeps rounding from asking for another millisecond without end. */
    return b->tokens >= tokens - 0.001
               ? 0
               : (uint64_t)ceil((tokens - b->tokens) * 60000.0 / per_minute);
}

static uint64_t bucket_wait(const struct limit_bucket *b, double per_minute)
{
    return bucket_wait_for(b, 1.0, per_minute);
}

static struct limit_channel *channel_of(struct limiter *l, const char *id, uint64_t now_ms)
{
    struct limit_channel *oldest = &l->channels[0];
    for (size_t i = 0; i < LIMIT_CHANNELS_MAX; i++) {
        struct limit_channel *c = &l->channels[i];
        if (strncmp(c->id, id, sizeof c->id - 1) == 0)
            return c;
        if (c->bucket.at_ms < oldest->bucket.at_ms || !*c->id)
            oldest = *oldest->id ? c : oldest;
    }
    (void)snprintf(oldest->id, sizeof oldest->id, "%s", id);
    oldest->bucket = (struct limit_bucket){ channel_burst, now_ms };
    return oldest;
}

static struct limit_bucket *channel_bucket(struct limiter *l, enum slack_method m,
                                           const char *channel, uint64_t now_ms)
{
    if (!slack_methods[m].posts || !*channel)
        return NULL;
    struct limit_bucket *b = &channel_of(l, channel, now_ms)->bucket;
    refill(b, channel_per_minute, channel_burst, now_ms);
    return b;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint64_t limiter_wait(struct limiter *l, enum slack_method m, const char *channel, uint64_t now_ms)
{
    struct limit_bucket *b = channel_bucket(l, m, channel, now_ms);
    uint64_t wait = b ? bucket_wait(b, channel_per_minute) : 0;
    refill(&l->methods[m], slack_methods[m].per_minute, slack_methods[m].burst, now_ms);
    wait = later(wait, bucket_wait(&l->methods[m], slack_methods[m].per_minute));
    if (l->blocked_until_ms[m] > now_ms)
        wait = later(wait, l->blocked_until_ms[m] - now_ms);
    const struct limit_running *running = &l->running[m];
    if (running->count && running->since_ms + LIMIT_ALONE_MS > now_ms)
        wait = later(wait, running->since_ms + LIMIT_ALONE_MS - now_ms);
    return wait;
}

uint64_t limiter_wait_live(struct limiter *l, enum slack_method m, const char *channel,
                           uint64_t now_ms)
{
    struct limit_bucket *b = channel_bucket(l, m, channel, now_ms);
    return later(limiter_wait(l, m, channel, now_ms),
                 b ? bucket_wait_for(b, 2.0, channel_per_minute) : 0);
}

unsigned limiter_spare(struct limiter *l, enum slack_method m, uint64_t now_ms)
{
    refill(&l->methods[m], slack_methods[m].per_minute, slack_methods[m].burst, now_ms);
    double tokens = l->methods[m].tokens;
    return l->blocked_until_ms[m] > now_ms || tokens < 0 ? 0 : (unsigned)tokens;
}

void limiter_take(struct limiter *l, enum slack_method m, const char *channel, uint64_t now_ms)
{
    struct limit_bucket *b = channel_bucket(l, m, channel, now_ms);
    if (b)
        b->tokens -= 1.0;
    refill(&l->methods[m], slack_methods[m].per_minute, slack_methods[m].burst, now_ms);
    l->methods[m].tokens -= 1.0;
    l->running[m].count++;
    l->running[m].since_ms = now_ms;
}

void limiter_done(struct limiter *l, enum slack_method m)
{
    if (l->running[m].count)
        l->running[m].count--;
}

void limiter_block(struct limiter *l, enum slack_method m, uint64_t ms, uint64_t now_ms)
{
    l->blocked_until_ms[m] = later(l->blocked_until_ms[m], now_ms + ms);
}
