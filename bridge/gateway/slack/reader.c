#include "bridge/gateway/slack/reader.h"

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/wire/timer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PAGE         "200"
#define PAGES_MAX    10 /* of one channel or thread */
#define TRIES_MAX    6
#define TRY_AGAIN_MS 10000
#define CURSOR_MAX   512

struct target {
    struct reader_target t;
    char *channel, *thread, *oldest; /* t's */
    struct target *next;
};

struct reader {
    struct slack *s;
    const struct reader_ops *ops;
    void *data;
    struct timer *timer;
    struct target *first, **last; /* the first is being read */
    char cursor[CURSOR_MAX], newest[40];
    unsigned pages, tries;
    bool active, asking, given_up;
};

static void next_page(void *data);

int reader_new(struct reader **ret, struct slack *s, const struct reader_ops *ops, void *data)
{
    struct reader *r = calloc(1, sizeof *r);
    if (!r)
        return -ENOMEM;
    *r = (struct reader){ .s = s, .ops = ops, .data = data };
    r->last = &r->first;
    r->timer = timer_new(s->loop, next_page, r);
    if (!r->timer) {
        free(r);
        return -ENOMEM;
    }
    *ret = r;
    return 0;
}

static void target_free(struct target *t)
{
    if (!t)
        return;
    free(t->channel);
    free(t->thread);
    free(t->oldest);
    free(t);
}

static void target_free_ptr(struct target **t)
{
    target_free(*t);
}

static void pop(struct reader *r)
{
    struct target *t = r->first;
    r->first = t->next;
    if (!r->first)
        r->last = &r->first;
    target_free(t);
    r->cursor[0] = r->newest[0] = '\0';
    r->pages = r->tries = 0;
}

void reader_free(struct reader *r)
{
    if (!r)
        return;
    while (r->first)
        pop(r);
    timer_free(r->timer);
    free(r);
}

int reader_add(struct reader *r, const struct reader_target *given)
{
    _cleanup_(target_free_ptr) struct target *t = calloc(1, sizeof *t);
    if (!t)
        return -ENOMEM;
    t->channel = strdup(given->channel);
    t->thread = strdup(given->thread);
    t->oldest = strdup(given->oldest);
    if (!t->channel || !t->thread || !t->oldest)
        return -ENOMEM;
    t->t = (struct reader_target){ t->channel, t->thread, t->oldest, given->metadata };
    *r->last = t;
    r->last = &t->next;
    t = NULL;
    return 0;
}

bool reader_active(const struct reader *r)
{
    return r->active;
}

/* ---------------------------------------------------------------- pages */

static void next_target(struct reader *r, bool whole)
{
    if (whole && r->ops->target_done)
        r->ops->target_done(r->data, &r->first->t, r->newest);
    r->given_up = r->given_up || !whole;
    pop(r);
    timer_start(r->timer, 0);
}

static void try_again(struct reader *r, const char *why)
{
    if (++r->tries < TRIES_MAX) {
        timer_start(r->timer, TRY_AGAIN_MS);
        return;
    }
    log_warn("slack: cannot read what was written in %s: %s", r->first->t.channel, why);
    next_target(r, false);
}

static int give(struct reader *r, const cJSON *message)
{
    const char *ts = json_str(message, "ts", "");
    if (strcmp(ts, r->newest) > 0)
        (void)snprintf(r->newest, sizeof r->newest, "%s", ts);
    /* The first message of a thread comes always. */
    return strcmp(ts, r->first->t.oldest) > 0 ? r->ops->message(r->data, &r->first->t, message) : 0;
}

/* A channel is read from its newest message on, a thread from its oldest. */
static int take_page(struct reader *r, const cJSON *messages)
{
    int n = cJSON_GetArraySize(messages), e = 0;
    for (int i = 0; i < n && e == 0; i++)
        e = give(r, cJSON_GetArrayItem(messages, *r->first->t.thread ? i : n - 1 - i));
    return e;
}

static void on_page(void *data, const struct api_result *a)
{
    struct reader *r = data;
    r->asking = false;
    if (!a->ok) {
        if (a->class == SLACK_ERROR_SERVER || a->class == SLACK_ERROR_RATE ||
            a->class == SLACK_ERROR_TOKEN) {
            try_again(r, a->message);
            return;
        }
        log_warn("slack: cannot read what was written in %s: %s", r->first->t.channel, a->message);
        next_target(r, a->class == SLACK_ERROR_GONE);
        return;
    }
    int e = take_page(r, json_arr(a->body, "messages"));
    if (e < 0) {
        try_again(r, strerror(-e));
        return;
    }
    r->tries = 0;
    const char *cursor = json_str_at(a->body, "response_metadata.next_cursor", "");
    bool more = *cursor && strlen(cursor) < sizeof r->cursor;
    if (more && ++r->pages < PAGES_MAX) {
        (void)snprintf(r->cursor, sizeof r->cursor, "%s", cursor);
        next_page(r);
        return;
    }
    if (more)
        log_warn("slack: more was written in %s than is read after an absence",
                 r->first->t.channel);
    next_target(r, true);
}

static void next_page(void *data)
{
    struct reader *r = data;
    if (r->asking || r->s->stopping)
        return;
    if (!r->first) {
        bool whole = !r->given_up;
        r->active = r->given_up = false;
        r->ops->done(r->data, whole);
        return;
    }
    const struct reader_target *t = &r->first->t;
    cJSON *args = cJSON_CreateObject();
    json_add_str(args, "channel", t->channel);
    json_add_str(args, "oldest", t->oldest);
    json_add_str(args, "limit", PAGE);
    json_add_str(args, "ts", *t->thread ? t->thread : NULL);
    json_add_str(args, "cursor", *r->cursor ? r->cursor : NULL);
    json_add_str(args, "include_all_metadata", t->metadata ? "true" : NULL);
    int e = api_call(r->s->api, *t->thread ? SLACK_REPLIES : SLACK_HISTORY, args, 0, on_page, r);
    r->asking = e == 0;
    if (e < 0)
        try_again(r, strerror(-e));
}

void reader_start(struct reader *r)
{
    r->active = true;
    timer_start(r->timer, 0);
}
