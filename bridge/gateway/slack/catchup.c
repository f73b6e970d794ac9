#include "bridge/gateway/slack/catchup.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "bridge/gateway/slack/channels.h"
#include "bridge/gateway/slack/inbound.h"
#include "bridge/gateway/slack/intake.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/reader.h"
#include "bridge/gateway/slack/render/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ABSENT_MS   10000 /* a connection that is back sooner has lost nothing: Slack repeats */
#define THREADS_MAX 200
#define UNSEEN_MAX  100 /* channels in which nobody has ever meant us */
#define DAYS        14  /* a session that rested for longer is not looked at */
#define DAY_MS      INT64_C(86400000)
/* What was read with gaps (events come in any order) is read again, as long as the keys of what was
 * taken in are kept. */
#define OVERLAP_MS INT64_C(600000)
#define KEYS_MS    (20 * DAY_MS / 24)
#define SINCE      "slack:since" /* what is older was there before catching up was */

struct catchup {
    struct slack *s;
    struct reader *reader;
    struct channel_list list;
    bool wanted, was_up, listing;
    uint64_t lost_ms;
    char since[40];
};

static int on_message(void *data, const struct reader_target *t, const cJSON *message)
{
    struct catchup *c = data;
    return inbound_past(c->s, t->channel, message);
}

static void on_target_done(void *data, const struct reader_target *t, const char *newest)
{
    struct catchup *c = data;
    if (*newest)
        (void)store_seen_put(c->s->store, CONNECTOR, t->channel, t->thread, newest);
}

static void on_done(void *data, bool whole)
{
    struct catchup *c = data;
    log_debug("slack: read what was written in between%s", whole ? "" : ", not all of it");
    c->wanted = !whole;
    intake_work(c->s->intake);
}

static const struct reader_ops ops = { on_message, on_target_done, on_done };

static void on_channel(void *data, const char *channel);
static void on_listed(void *data);

int catchup_new(struct catchup **ret, struct slack *s)
{
    struct catchup *c = calloc(1, sizeof *c);
    if (!c)
        return -ENOMEM;
    c->s = s;
    c->wanted = true;
    c->list = (struct channel_list){ .s = s, .each = on_channel, .done = on_listed, .data = c };
    int r = reader_new(&c->reader, s, &ops, c);
    if (r < 0) {
        free(c);
        return r;
    }
    *ret = c;
    return 0;
}

void catchup_free(struct catchup *c)
{
    if (!c)
        return;
    reader_free(c->reader);
    free(c);
}

/* ---------------------------------------------------------------- where to begin */

static void since(struct catchup *c)
{
    _cleanup_free_ char *known = NULL;
    if (store_get(c->s->store, SINCE, &known) == 0) {
        (void)snprintf(c->since, sizeof c->since, "%s", known);
        return;
    }
    text_ts_of_ms(c->since, clock_wall_ms());
    (void)store_put(c->s->store, SINCE, c->since);
}

static const char *later(const char *a, const char *b)
{
    return strcmp(a, b) > 0 ? a : b;
}

static void add(struct catchup *c, const char *channel, const char *thread,
                const struct store_seen *seen)
{
    char back[40];
    int64_t last = text_ms_of_ts(seen->last);
    bool keys = clock_wall_ms() - last < KEYS_MS;
    text_ts_of_ms(back, keys ? last - OVERLAP_MS : last);
    if (!keys)
        (void)snprintf(back, sizeof back, "%s", seen->last);
    if (reader_add(c->reader, &(struct reader_target){
                                  .channel = channel,
                                  .thread = thread,
                                  .oldest = later(back, later(seen->first, c->since)),
                              }) < 0)
        log_warn("slack: not enough memory to read what was written in %s", channel);
}

static int add_channel(void *data, const struct store_seen *seen)
{
    struct catchup *c = data;
    add(c, seen->channel, "", seen);
    return 0;
}

struct thread {
    struct catchup *c;
    const struct store_place *place;
};

static int add_seen_thread(void *data, const struct store_seen *seen)
{
    const struct thread *t = data;
    add(t->c, t->place->channel, t->place->ts, seen);
    return 0;
}

static int add_thread(void *data, const struct store_place *p)
{
    struct thread t = { data, p };
    const struct store_seen none = { .first = p->ts, .last = p->ts };
    if (store_seen_get(t.c->s->store, CONNECTOR, p->channel, p->ts, add_seen_thread, &t) < 0)
        add(t.c, p->channel, p->ts, &none);
    return 0;
}

/* A mention there, or a first direct message, may have been missed. */
static void on_channel(void *data, const char *channel)
{
    struct catchup *c = data;
    const struct store_seen none = { .first = c->since, .last = c->since };
    if (store_seen_get(c->s->store, CONNECTOR, channel, "", NULL, NULL) == -ENOENT)
        add(c, channel, "", &none);
}

static void on_listed(void *data)
{
    struct catchup *c = data;
    c->listing = false;
    reader_start(c->reader);
}

/* What is known comes first, then what may be new. */
static void begin(struct catchup *c)
{
    struct slack *s = c->s;
    const char *channel = s->set->slack_channel;
    if (!c->wanted || !c->was_up || !s->bot_user || c->listing || reader_active(c->reader))
        return;
    since(c);
    if (channel && *channel &&
        store_seen_get(s->store, CONNECTOR, channel, "", NULL, NULL) == -ENOENT)
        (void)store_seen_put(s->store, CONNECTOR, channel, "", c->since);
    int r = store_seen_each_channel(s->store, CONNECTOR, add_channel, c);
    if (r >= 0)
        r = store_place_each_thread(s->store, CONNECTOR, clock_wall_ms() - DAYS * DAY_MS,
                                    THREADS_MAX, add_thread, c);
    if (r < 0)
        log_warn("slack: cannot read which threads there are: %s", strerror(-r));
    c->listing = true;
    channel_list_read(&c->list, UNSEEN_MAX);
}

void catchup_link(struct catchup *c, bool up)
{
    uint64_t now = clock_mono_ms();
    if (!c) /* the connector goes */
        return;
    if (!up && c->was_up)
        c->lost_ms = now;
    if (up && c->lost_ms && now - c->lost_ms > ABSENT_MS)
        c->wanted = true;
    c->was_up = up;
    begin(c);
}

void catchup_ready(struct catchup *c)
{
    begin(c);
}
