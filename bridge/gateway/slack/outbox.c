#include "bridge/gateway/slack/outbox.h"

#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/trace/derive.h"
#include "bridge/gateway/core/crash.h"
#include "bridge/gateway/core/flush.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/later.h"
#include "bridge/gateway/slack/outbox_item.h"
#include "bridge/gateway/slack/wire/timer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PICK_MAX      8
#define LANES_MAX     512
#define BACKOFF_MAX_S 30
#define SLOW_MS       30000 /* until people have set something right */
#define LIVE_RESERVE  5     /* calls of chat.update kept for decisions */
#define REST_MAX_MS   60000 /* longer ones are kept by the limits of the API */

struct outbox {
    struct slack *s;
    struct timer *timer;      /* when something is due */
    struct later *later;      /* after a kick */
    struct item *working;     /* being sent or looked for */
    uint64_t paused_until_ms; /* monotonic: Slack can't be reached, or the token is wrong */
    bool held, was_held;
    void (*flush_fn)(void *data);
    void *flush_data;
    uint64_t flush_deadline_ms;
};

static void pump(struct outbox *o);

static void on_timer(void *data)
{
    pump(data);
}

int outbox_new(struct outbox **ret, struct slack *s)
{
    struct outbox *o = calloc(1, sizeof *o);
    if (!o)
        return -ENOMEM;
    o->s = s;
    o->timer = timer_new(s->loop, on_timer, o);
    o->later = later_new(s->loop, on_timer, o);
    if (!o->timer || !o->later) {
        outbox_free(o);
        return -ENOMEM;
    }
    int r = store_outbox_doubt(s->store, CONNECTOR, slack_methods[SLACK_UPDATE].name);
    if (r < 0)
        log_error("slack: cannot read what is to be sent: %s", strerror(-r));
    *ret = o;
    return 0;
}

void outbox_free(struct outbox *o)
{
    if (!o)
        return;
    while (o->working) {
        struct item *i = o->working;
        o->working = i->next;
        item_free(i);
    }
    timer_free(o->timer);
    later_free(o->later);
    free(o);
}

/* Not before acknowledgements and decisions that were queued first have left: what follows takes
 * commits of its own, and a call of Slack's. */
void outbox_kick(struct outbox *o)
{
    later_start(o->later);
}

void outbox_hold(struct outbox *o, bool hold)
{
    o->held = hold;
    o->was_held = o->was_held || hold;
    if (!hold)
        outbox_kick(o);
}

int outbox_put(struct outbox *o, struct outgoing *m)
{
    _cleanup_free_ char *payload = item_payload(m, clock_wall_ms());
    m->args = NULL;
    if (!payload)
        return -ENOMEM;
    enum slack_method method = m->file     ? SLACK_UPLOAD
                               : m->update ? SLACK_UPDATE
                                           : SLACK_POST_MESSAGE;
    int r = store_outbox_put(o->s->store, CONNECTOR, m->lane, m->key, slack_methods[method].name,
                             payload, m->again);
    if (r < 0)
        log_error("slack: cannot store a message to send: %s", strerror(-r));
    outbox_kick(o);
    return r;
}

static int fate_of(void *data, const struct outbox_item *i)
{
    static const enum outbox_fate fates[] = {
        [OUTBOX_QUEUED] = FATE_QUEUED,
        [OUTBOX_SENDING] = FATE_SENDING,
        [OUTBOX_DONE] = FATE_DONE,
        [OUTBOX_FAILED] = FATE_FAILED,
    };
    *(enum outbox_fate *)data = fates[i->state];
    return 0;
}

enum outbox_fate outbox_fate(struct outbox *o, const char *key)
{
    enum outbox_fate fate = FATE_NONE;
    (void)store_outbox_find(o->s->store, CONNECTOR, key, fate_of, &fate);
    return fate;
}

/* ---------------------------------------------------------------- one item */

static void item_leave(struct item *i)
{
    struct item **at = &i->o->working;
    while (*at && *at != i)
        at = &(*at)->next;
    if (*at)
        *at = i->next;
    item_free(i);
}

static void set_state(struct item *i, enum outbox_state state, const char *result,
                      int64_t not_before_ms)
{
    int r = store_outbox_set(i->o->s->store, i->id, state, result, not_before_ms);
    if (r < 0)
        log_error("slack: cannot store what became of a message: %s", strerror(-r));
}

static int64_t backoff_until(const struct item *i)
{
    int doublings = i->attempts < 1 ? 0 : i->attempts < 6 ? i->attempts - 1 : 5;
    int64_t s = (int64_t)1 << doublings;
    return clock_wall_ms() + (s < BACKOFF_MAX_S ? s : BACKOFF_MAX_S) * 1000;
}

/* Back to be tried later. `maybe_done`: it will be looked for first. */
static void item_later(struct item *i, bool maybe_done, int64_t not_before_ms)
{
    bool look = maybe_done && !i->update;
    set_state(i, look ? OUTBOX_SENDING : OUTBOX_QUEUED, "", not_before_ms);
    struct outbox *o = i->o;
    item_leave(i);
    outbox_kick(o);
}

static enum request_state state_of(const char *name)
{
    return strcmp(name, "settled") == 0    ? REQUEST_SETTLED
           : strcmp(name, "deciding") == 0 ? REQUEST_DECIDING
                                           : REQUEST_PENDING;
}

static void acknowledge(struct item *i)
{
    const char *shown = json_str(i->payload, "shown", "");
    if (*shown && i->place.id)
        core_request_shown(i->o->s->core, CONNECTOR, i->place.pod, i->place.id, state_of(shown));
}

static void say_shown(const struct item *i)
{
    const char *shown = json_str(i->payload, "shown", "");
    if (!*shown || !i->place.id)
        return;
    struct trace_ids ids;
    trace_derive(i->place.id, &ids);
    _log_about_ struct log_about about = {
        .id = { [LOG_TRACE_ID] = ids.trace_id,
                [LOG_SPAN_ID] = ids.span_id,
                [LOG_POD] = i->place.pod },
    };
    log_enter(&about);
    log_info("request %s: Slack shows it %s", i->place.id, shown);
}

/* Given up. A request whose last state can't be shown is not offered again for ever. */
static void item_failed(struct item *i, const char *why)
{
    struct outbox *o = i->o;
    log_warn("slack: a message was not delivered (%s): %s", i->key, why);
    set_state(i, OUTBOX_FAILED, why, 0);
    o->s->counts.failed++;
    if (strcmp(json_str(i->payload, "shown", ""), "settled") == 0)
        acknowledge(i);
    item_leave(i);
    outbox_kick(o);
}

static int put_extra(void *data, const struct store_place *p)
{
    struct item *i = data;
    struct store_place changed = *p;
    changed.extra = json_str(i->payload, "extra", "");
    return store_place_put(i->o->s->store, &changed);
}

/* Where the message is, together with the fact that it arrived. */
static int remember(struct item *i, const char *channel, const char *ts)
{
    struct store *store = i->o->s->store;
    const char *extra = json_str(i->payload, "extra", NULL);
    if (!i->place.kind)
        return 0;
    if (i->update)
        return extra ? store_place_get(store, CONNECTOR, i->place.kind, i->place.pod, i->place.id,
                                       put_extra, i)
                     : 0;
    return store_place_put(store, &(struct store_place){
                                      .connector = CONNECTOR,
                                      .kind = i->place.kind,
                                      .pod = i->place.pod,
                                      .id = i->place.id,
                                      .channel = channel,
                                      .ts = ts,
                                      .thread_ts = *i->thread_ts ? i->thread_ts : ts,
                                      .extra = extra ? extra : "",
                                  });
}

static void item_done(struct item *i, const char *channel, const char *ts)
{
    struct outbox *o = i->o;
    struct store *store = o->s->store;
    _cleanup_buf_ struct buf result = BUF_INIT;
    buf_printf(&result, "{\"channel\":\"%.32s\",\"ts\":\"%.32s\"}", channel, ts);
    bool begun = store_begin(store) == 0;
    int r = remember(i, channel, ts);
    if (r < 0 && r != -ENOENT)
        log_error("slack: cannot store where a message is: %s", strerror(-r));
    set_state(i, OUTBOX_DONE, buf_str(&result), 0);
    if (begun && (r = store_commit(store)) < 0)
        log_error("slack: cannot store that a message was delivered: %s", strerror(-r));
    crash_point("outbox.done");
    o->s->counts.delivered++;
    say_shown(i);
    acknowledge(i);
    slack_problem(o->s, PROBLEM_POST, NULL);
    item_leave(i);
    outbox_kick(o);
}

/* Slack refuses the blocks themselves: better plain text than nothing. */
static void item_without_blocks(struct item *i, const char *why)
{
    _cleanup_free_ char *payload = item_payload_plain(i);
    if (!payload) {
        item_failed(i, why);
        return;
    }
    log_error("slack: a message's blocks were refused, sending its text only (%s): %s", i->key,
              why);
    set_state(i, OUTBOX_QUEUED, "", 0);
    (void)store_outbox_put(i->o->s->store, CONNECTOR, i->lane, i->key,
                           slack_methods[i->method].name, payload, false);
    struct outbox *o = i->o;
    item_leave(i);
    outbox_kick(o);
}

static void pause_all(struct outbox *o, int64_t ms)
{
    uint64_t until = clock_mono_ms() + (ms > 0 ? (uint64_t)ms : 0);
    if (until > o->paused_until_ms)
        o->paused_until_ms = until;
}

static void item_refused(struct item *i, const struct api_result *r)
{
    struct outbox *o = i->o;
    int64_t now = clock_wall_ms();
    switch (r->class) {
    case SLACK_ERROR_TOKEN:
        slack_problem(o->s, PROBLEM_BOT, r->message);
        pause_all(o, SLOW_MS);
        item_later(i, false, 0);
        break;
    case SLACK_ERROR_SETUP:
        slack_problem(o->s, PROBLEM_POST, r->message);
        if (i->method == SLACK_UPLOAD) { /* messages count more than what is beside them */
            item_failed(i, r->message);
            break;
        }
        item_later(i, false, now + SLOW_MS);
        break;
    case SLACK_ERROR_RATE:
        item_later(i, false, now + (int64_t)r->retry_after_ms);
        break;
    case SLACK_ERROR_SERVER: {
        int64_t until = backoff_until(i);
        if (r->unreachable)
            pause_all(o, until - now);
        log_warn("slack: %s; trying again", r->message);
        item_later(i, r->maybe_done, until);
        break;
    }
    case SLACK_ERROR_CONTENT:
        item_without_blocks(i, r->message);
        break;
    case SLACK_ERROR_GONE:
    case SLACK_ERROR_OTHER:
    case SLACK_ERROR_CLASS_MAX:
        if (i->update && strcmp(r->code, "message_not_found") == 0)
            (void)store_place_delete(o->s->store, CONNECTOR, i->place.kind, i->place.pod,
                                     i->place.id);
        item_failed(i, r->message);
        break;
    }
}

static void on_sent(void *data, const struct api_result *r)
{
    struct item *i = data;
    crash_point("outbox.sent");
    if (r->ok)
        item_done(i, json_str(r->body, "channel", i->channel), json_str(r->body, "ts", i->ts));
    else
        item_refused(i, r);
}

static void item_send(struct item *i)
{
    struct outbox *o = i->o;
    int r = store_outbox_set(o->s->store, i->id, OUTBOX_SENDING, "", 0);
    if (r < 0) { /* sent without that mark it could be sent twice */
        log_error("slack: cannot store that a message is being sent: %s", strerror(-r));
        pause_all(o, 5000);
        item_leave(i);
        return;
    }
    i->attempts++;
    crash_point("outbox.sending");
    /* Beside the way to Slack, which is longer: nobody waits for it. */
    (void)flush_wait(core_flush(o->s->core), NULL, NULL);
    r = i->method == SLACK_UPLOAD ? api_upload(o->s->api, i->args, on_sent, i)
                                  : api_send(o->s->api, i->method, i->args, on_sent, i);
    if (r < 0)
        item_later(i, false, backoff_until(i));
}

/* ---------------------------------------------------------------- was it sent? */

static void look(struct item *i, const char *cursor);

static void on_look(void *data, const struct api_result *r)
{
    struct item *i = data;
    if (!r->ok && r->class == SLACK_ERROR_SETUP) {
        log_warn("slack: cannot look whether a message arrived, sending it again: %s", r->message);
        item_later(i, false, 0);
        return;
    }
    if (!r->ok && r->class == SLACK_ERROR_GONE) { /* its thread is gone, and it with it */
        item_later(i, false, 0);
        return;
    }
    if (!r->ok) {
        item_later(i, true, backoff_until(i));
        return;
    }
    const char *ts = item_found(i, json_arr(r->body, "messages"));
    const char *cursor = json_str_at(r->body, "response_metadata.next_cursor", "");
    if (ts) {
        log_info("slack: a message had arrived although its answer was lost (%s)", i->key);
        item_done(i, i->channel, ts);
    } else if (*cursor) {
        look(i, cursor);
    } else {
        item_later(i, false, 0);
    }
}

static void look(struct item *i, const char *cursor)
{
    enum slack_method m;
    cJSON *args = item_look_args(i, cursor, &m);
    int r = api_call(i->o->s->api, m, args, 0, on_look, i);
    if (r < 0)
        item_later(i, true, backoff_until(i));
}

/* ---------------------------------------------------------------- choosing */

struct pump {
    struct outbox *o;
    int64_t now_ms;
    int64_t next_ms; /* milliseconds until something is due; INT64_MAX: nothing */
    struct item *picked[PICK_MAX];
    size_t count;
    uint64_t lanes[LANES_MAX];
    size_t lanes_count;
};

static uint64_t hash(const char *s)
{
    uint64_t h = 14695981039346656037ULL; /* FNV-1a; a clash only makes a lane wait */
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 1099511628211ULL;
    return h;
}

static bool lane_taken(struct pump *p, const char *lane)
{
    uint64_t h = hash(lane);
    for (size_t k = 0; k < p->lanes_count; k++)
        if (p->lanes[k] == h)
            return true;
    p->lanes[p->lanes_count++] = h;
    return false;
}

static bool is_working(const struct outbox *o, int64_t id)
{
    for (const struct item *i = o->working; i; i = i->next)
        if (i->id == id)
            return true;
    return false;
}

static void due_in(struct pump *p, int64_t ms)
{
    if (ms < p->next_ms)
        p->next_ms = ms;
}

/* The first of each lane, if it is due. The store must not change while it is walked. */
static int pick(void *data, const struct outbox_item *row)
{
    struct pump *p = data;
    if (p->count == PICK_MAX || p->lanes_count == LANES_MAX) {
        due_in(p, 50);
        return 1;
    }
    if (lane_taken(p, row->lane) || is_working(p->o, row->id))
        return 0;
    int64_t rests_ms = row->not_before_ms - p->now_ms;
    if (rests_ms > 0 && rests_ms <= REST_MAX_MS) { /* more: the clock was set back */
        due_in(p, rests_ms);
        return 0;
    }
    /* A method that rests (429) must not fill all the places: the others go on. What is only on
     * its way to something else leaves room for what people wait for. */
    enum slack_method m = slack_method_find(row->method);
    uint64_t rests = m < SLACK_METHOD_MAX ? api_wait_ms(p->o->s->api, m, "") : 0;
    if (m == SLACK_UPDATE && item_is_live(row) && api_spare(p->o->s->api, m) < LIVE_RESERVE) {
        due_in(p, 1000);
        return 0;
    }
    if (rests > 0 && row->state == OUTBOX_QUEUED) {
        due_in(p, (int64_t)rests);
        return 0;
    }
    struct item *i = item_new(p->o, p->o->s, row);
    if (i)
        p->picked[p->count++] = i;
    return 0;
}

static int same_place(void *data, const struct store_place *p)
{
    struct item *i = data;
    (void)snprintf(i->channel, sizeof i->channel, "%s", p->channel);
    (void)snprintf(i->ts, sizeof i->ts, "%s", p->ts);
    return 0;
}

/* Its message was found again after the state was lost. */
static bool is_there(struct item *i)
{
    return i->o->was_held && !i->update && i->state == OUTBOX_QUEUED && i->place.kind &&
           store_place_get(i->o->s->store, CONNECTOR, i->place.kind, i->place.pod, i->place.id,
                           same_place, i) == 0;
}

/* It was settled before anybody saw it: not shown at all. */
static void item_drop(struct item *i)
{
    set_state(i, OUTBOX_FAILED, "settled before it was sent", 0);
    core_request_shown(i->o->s->core, CONNECTOR, i->place.pod, i->place.id, REQUEST_SETTLED);
    struct outbox *o = i->o;
    item_leave(i);
    outbox_kick(o);
}

static void item_begin(struct pump *p, struct item *i)
{
    struct outbox *o = p->o;
    i->next = o->working;
    o->working = i;
    enum item_verdict v = item_resolve(i);
    if (is_there(i)) {
        item_done(i, i->channel, i->ts);
    } else if (v == ITEM_BROKEN) {
        item_failed(i, "the message it belongs to is not there");
    } else if (v == ITEM_WAIT) { /* for a message that is on its way: its end kicks */
        item_leave(i);
    } else if (i->state == OUTBOX_SENDING && !i->update) {
        look(i, "");
    } else if (v == ITEM_DROP) {
        item_drop(i);
    } else {
        uint64_t wait =
            (i->live ? api_wait_live_ms : api_wait_ms)(o->s->api, i->method, i->channel);
        if (wait == 0) {
            item_send(i);
        } else {
            due_in(p, (int64_t)wait);
            item_leave(i);
        }
    }
}

static void flush_check(struct outbox *o, const struct pump *p)
{
    if (!o->flush_fn || o->working)
        return;
    uint64_t now = clock_mono_ms();
    if (now < o->flush_deadline_ms && p->next_ms < (int64_t)(o->flush_deadline_ms - now))
        return;
    void (*fn)(void *) = o->flush_fn;
    o->flush_fn = NULL;
    fn(o->flush_data);
}

static void pump(struct outbox *o)
{
    struct pump *p = calloc(1, sizeof *p);
    if (!p) {
        timer_start(o->timer, 1000);
        return;
    }
    *p = (struct pump){ .o = o, .now_ms = clock_wall_ms(), .next_ms = INT64_MAX };
    uint64_t mono = clock_mono_ms();
    if (o->held) {
        ; /* its end kicks */
    } else if (o->paused_until_ms > mono) {
        due_in(p, (int64_t)(o->paused_until_ms - mono));
    } else {
        int r = store_outbox_each(o->s->store, CONNECTOR, pick, p);
        if (r < 0) {
            log_error("slack: cannot read the messages to send: %s", strerror(-r));
            due_in(p, 5000);
        }
        for (size_t k = 0; k < p->count; k++)
            item_begin(p, p->picked[k]);
    }
    if (p->next_ms != INT64_MAX)
        timer_start_earlier(o->timer, (uint64_t)p->next_ms);
    flush_check(o, p);
    free(p);
}

void outbox_flush(struct outbox *o, uint64_t deadline_ms, void (*fn)(void *data), void *data)
{
    o->flush_fn = fn;
    o->flush_data = data;
    o->flush_deadline_ms = deadline_ms;
    outbox_kick(o);
}

struct drop {
    const char *prefix;
    int64_t ids[PICK_MAX];
    size_t count;
};

static int pick_prefix(void *data, const struct outbox_item *row)
{
    struct drop *d = data;
    if (strncmp(row->key, d->prefix, strlen(d->prefix)) == 0)
        d->ids[d->count++] = row->id;
    return d->count == PICK_MAX;
}

void outbox_drop(struct outbox *o, const char *key_prefix)
{
    struct drop d;
    do {
        d = (struct drop){ .prefix = key_prefix };
        if (store_outbox_each(o->s->store, CONNECTOR, pick_prefix, &d) < 0)
            return;
        for (size_t k = 0; k < d.count; k++)
            if (store_outbox_set(o->s->store, d.ids[k], OUTBOX_FAILED, "too late", 0) < 0)
                return;
    } while (d.count == PICK_MAX);
}
