#include "bridge/gateway/slack/intake.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "bridge/gateway/core/crash.h"
#include "bridge/gateway/slack/answer.h"
#include "bridge/gateway/slack/decide.h"
#include "bridge/gateway/slack/inbound.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/later.h"
#include "bridge/gateway/slack/requests.h"
#include "bridge/gateway/slack/start.h"
#include "bridge/gateway/slack/wire/envelope.h"
#include "bridge/gateway/slack/wire/timer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ENVELOPE_KEY "envelope_id" /* in a payload: what the log knows it by */
#define AT_ONCE_MAX  64
#define SETTLE_MS    1500   /* what a former process sent may still be on its way into OpenCode */
#define PATIENCE_MS  900000 /* so long OpenCode may be away */
#define STORE_MS     5000   /* until a store that failed is tried again */
#define PAUSE_MS     1000
#define UNSETTLED_MS 60000 /* people wait for what is asked */
#define PAUSE_MAX    15000

static const struct {
    const char *kind;
    void (*work)(struct slack *s, struct intake_item *i);
} workers[] = {
    { "message", inbound_work },
    { "decision", decide_work },
    { "answer", answer_work },
    { "start", start_work },
};

struct intake {
    struct slack *s;
    struct timer *timer; /* when something is due */
    struct later *later;
    struct intake_item *working;
    size_t count;
    uint64_t stored, puts;
    int64_t last_before;      /* the newest that a former process received */
    struct resting *resting;  /* those that wait; by the monotonic clock, as all times below */
    uint64_t settled_ms;      /* what a former process sent has arrived by then */
    bool unsettled;           /* and whether it did is not known of all of it */
    uint64_t next_ms;         /* the soonest of those that wait; 0: none */
    uint64_t paused_until_ms; /* the store fails, or memory */
};

/* One that is tried again later. Not stored: after a restart all are tried at once. */
struct resting {
    int64_t id;
    uint64_t until_ms;
    struct resting *next;
};

static void on_timer(void *data)
{
    intake_work(data);
}

int intake_new(struct intake **ret, struct slack *s)
{
    struct intake *in = calloc(1, sizeof *in);
    if (!in)
        return -ENOMEM;
    in->s = s;
    in->timer = timer_new(s->loop, on_timer, in);
    in->later = later_new(s->loop, on_timer, in);
    if (!in->timer || !in->later) {
        intake_free(in);
        return -ENOMEM;
    }
    in->settled_ms = clock_mono_ms() + SETTLE_MS;
    int r = store_inbound_last(s->store, CONNECTOR, &in->last_before);
    if (r < 0) /* then all counts as left by a former process */
        in->last_before = INT64_MAX;
    in->unsettled = store_inbound_unsettled(s->store, CONNECTOR, in->last_before) > 0;
    if (in->last_before)
        timer_start(in->timer, 0);
    *ret = in;
    return 0;
}

static void item_free(struct intake_item *i)
{
    cJSON_Delete(i->payload);
    free(i->note);
    free(i);
}

/* The next is looked for after `ms`. */
static void item_leave(struct intake_item *i, uint64_t ms)
{
    struct intake *in = i->in;
    if (in) {
        struct intake_item **at = &in->working;
        while (*at && *at != i)
            at = &(*at)->next;
        if (*at)
            *at = i->next;
        in->count--;
        timer_start_earlier(in->timer, ms);
    }
    item_free(i);
}

void intake_free(struct intake *in)
{
    if (!in)
        return;
    for (struct intake_item *i = in->working, *next; i; i = next) {
        next = i->next;
        i->in = NULL;
        i->s = NULL;
    }
    while (in->resting) {
        struct resting *r = in->resting;
        in->resting = r->next;
        free(r);
    }
    timer_free(in->timer);
    later_free(in->later);
    free(in);
}

/* ---------------------------------------------------------------- in */

static void tell_full(struct intake *in, int error)
{
    _cleanup_buf_ struct buf why = BUF_INIT;
    buf_printf(&why,
               "what people do in Slack can't be stored (%s) and is not acknowledged: Slack "
               "delivers messages again, clicks have to be repeated",
               strerror(-error));
    slack_problem(in->s, PROBLEM_STORE, buf_str(&why));
}

int intake_put(struct intake *in, const char *kind, const char *lane, const char *const *keys,
               cJSON *payload)
{
    _cleanup_json_ cJSON *owned = payload;
    if (log_id(LOG_ENVELOPE_ID))
        json_add_str(owned, ENVELOPE_KEY, log_id(LOG_ENVELOPE_ID));
    _cleanup_free_ char *text = json_print(owned);
    crash_point("inbound.received");
    in->puts++;
    int r = text ? store_inbound_put(in->s->store, CONNECTOR, keys, lane, kind, text) : -ENOMEM;
    if (r < 0) {
        log_error("slack: cannot store what somebody did: %s", strerror(-r));
        tell_full(in, r);
        return r;
    }
    slack_problem(in->s, PROBLEM_STORE, NULL);
    if (r == 1) {
        in->stored++;
        crash_point("inbound.stored");
    } else {
        log_debug("slack: \"%s\" was delivered again", keys[0]);
    }
    return r;
}

uint64_t intake_puts(const struct intake *in)
{
    return in->puts;
}

uint64_t intake_stored(const struct intake *in)
{
    return in->stored;
}

bool intake_waits(struct intake *in, const char *lane)
{
    return store_inbound_waits(in->s->store, CONNECTOR, lane) > 0;
}

/* ---------------------------------------------------------------- work */

static bool is_working(const struct intake *in, int64_t id)
{
    const struct intake_item *i = in->working;
    while (i && i->id != id)
        i = i->next;
    return i;
}

struct picking {
    struct intake *in;
    struct intake_item *picked[AT_ONCE_MAX];
    const char *kinds[AT_ONCE_MAX];
    size_t count;
    uint64_t now_ms;
};

/* When this one may be tried, 0: at once. Forgets a rest that is over. */
static uint64_t rests_until(struct intake *in, const struct inbound_item *row, uint64_t now_ms)
{
    for (struct resting **at = &in->resting, *r; (r = *at); at = &r->next)
        if (r->id == row->id) {
            if (r->until_ms > now_ms)
                return r->until_ms;
            *at = r->next;
            free(r);
            return 0;
        }
    bool before = row->id <= in->last_before && row->attempts > 0;
    return before && in->settled_ms > now_ms ? in->settled_ms : 0;
}

/* Without memory for it, it is tried at once. */
static void rest(struct intake *in, int64_t id, uint64_t ms)
{
    struct resting *r = malloc(sizeof *r);
    if (!r)
        return;
    *r = (struct resting){ id, clock_mono_ms() + ms, in->resting };
    in->resting = r;
}

static const char *known_kind(const char *kind)
{
    for (size_t i = 0; i < ARRAY_SIZE(workers); i++)
        if (strcmp(workers[i].kind, kind) == 0)
            return workers[i].kind;
    return "";
}

static struct intake_item *item_new(struct intake *in, const struct inbound_item *row)
{
    struct intake_item *i = calloc(1, sizeof *i);
    if (!i)
        return NULL;
    *i = (struct intake_item){
        .in = in,
        .s = in->s,
        .id = row->id,
        .received_ms = row->received_ms,
        .attempts = row->attempts,
        .again = row->attempts > 0 || row->id <= in->last_before,
        .note = strdup(row->note),
    };
    if (!i->note || json_parse(&i->payload, row->payload, strlen(row->payload), NULL) == -ENOMEM) {
        item_free(i);
        return NULL;
    }
    return i;
}

static int pick(void *data, const struct inbound_item *row)
{
    struct picking *p = data;
    struct intake *in = p->in;
    if (is_working(in, row->id))
        return 0;
    uint64_t until = rests_until(in, row, p->now_ms);
    if (until) {
        if (!in->next_ms || until < in->next_ms)
            in->next_ms = until;
        return 0;
    }
    struct intake_item *i = item_new(in, row);
    if (!i)
        return 1;
    p->kinds[p->count] = known_kind(row->kind);
    p->picked[p->count++] = i;
    i->next = in->working;
    in->working = i;
    return ++in->count >= AT_ONCE_MAX;
}

static void work_one(struct slack *s, const char *kind, struct intake_item *i)
{
    char envelope[ENVELOPE_ID_SIZE]; /* the item may end before the worker does */
    (void)snprintf(envelope, sizeof envelope, "%s", json_str(i->payload, ENVELOPE_KEY, ""));
    _log_about_ struct log_about about = {
        .id = { [LOG_ENVELOPE_ID] = *envelope ? envelope : NULL },
    };
    log_enter(&about);
    crash_point("inbound.working");
    for (size_t k = 0; k < ARRAY_SIZE(workers); k++)
        if (workers[k].kind == kind && i->payload) {
            workers[k].work(s, i);
            return;
        }
    log_error("slack: something stored can't be read, it is dropped");
    intake_done(i);
}

bool intake_unsettled(const struct intake *in)
{
    return in->unsettled;
}

static void settle(struct intake *in, uint64_t now_ms)
{
    uint64_t end_ms = in->settled_ms + UNSETTLED_MS;
    if (!in->unsettled)
        return;
    if (now_ms < end_ms && store_inbound_unsettled(in->s->store, CONNECTOR, in->last_before) > 0) {
        timer_start_earlier(in->timer, end_ms - now_ms);
        return;
    }
    in->unsettled = false;
    requests_offer(in->s);
}

void intake_wake(struct intake *in)
{
    for (struct resting *r = in->resting; r; r = r->next)
        r->until_ms = 0;
    timer_start(in->timer, 0);
}

void intake_soon(struct intake *in)
{
    later_start(in->later);
}

void intake_work(struct intake *in)
{
    struct picking p = { .in = in, .now_ms = clock_mono_ms() };
    if (in->s->stopping || in->count >= AT_ONCE_MAX)
        return;
    in->next_ms = 0;
    if (in->paused_until_ms > p.now_ms)
        in->next_ms = in->paused_until_ms;
    else if (store_inbound_each(in->s->store, CONNECTOR, pick, &p) < 0)
        in->next_ms = p.now_ms + STORE_MS;
    for (size_t k = 0; k < p.count; k++)
        work_one(in->s, p.kinds[k], p.picked[k]);
    settle(in, p.now_ms);
    if (in->next_ms)
        timer_start_earlier(in->timer, in->next_ms > p.now_ms ? in->next_ms - p.now_ms : 0);
}

/* ---------------------------------------------------------------- ends */

/* If its end can't be stored it is done again, as after a crash. */
void intake_done(struct intake_item *i)
{
    int r = i->in ? store_inbound_done(i->s->store, i->id) : 0;
    if (r < 0) {
        log_error("slack: cannot store that something is done: %s", strerror(-r));
        intake_later(i, STORE_MS);
        return;
    }
    crash_point("inbound.done");
    item_leave(i, 0);
}

void intake_later(struct intake_item *i, uint64_t ms)
{
    if (i->in)
        rest(i->in, i->id, ms);
    item_leave(i, ms);
}

void intake_drop(struct intake_item *i)
{
    if (i && i->in)
        i->in->paused_until_ms = clock_mono_ms() + PAUSE_MS;
    if (i)
        item_leave(i, PAUSE_MS);
}

int intake_attempt(struct intake_item *i, const char *note)
{
    char *copy = strdup(note);
    int r = copy && i->in ? store_inbound_attempt(i->s->store, i->id, note) : -ENOMEM;
    if (r < 0) {
        log_error("slack: cannot store what is about to be sent: %s", strerror(-r));
        free(copy);
        return r;
    }
    free(i->note);
    i->note = copy;
    i->attempts++;
    return 0;
}

int intake_prompt_id(struct intake_item *i, char id[PROMPT_ID_SIZE])
{
    bool known = strncmp(i->note, "msg_", 4) == 0;
    if (known)
        (void)snprintf(id, PROMPT_ID_SIZE, "%s", i->note);
    else
        core_prompt_id(id);
    int r = intake_attempt(i, id);
    i->fresh_id = !known;
    crash_point("prompt.sending");
    return r;
}

void intake_retry(struct intake_item *i, int error)
{
    if (i->in && error == -ENOTCONN && i->fresh_id)
        (void)store_inbound_note(i->s->store, i->id, "");
    intake_later(i, intake_pause(i));
}

int64_t intake_age(const struct intake_item *i)
{
    int64_t age = clock_wall_ms() - i->received_ms;
    return age > 0 ? age : 0;
}

bool intake_worth(const struct intake_item *i, int error)
{
    static const int passing[] = { -ENOTCONN, -ETIMEDOUT, -ECONNRESET, -EREMOTEIO,
                                   -EBUSY,    -ENOMEM,    -EPROTO };
    for (size_t k = 0; k < ARRAY_SIZE(passing); k++)
        if (passing[k] == error)
            return intake_age(i) < PATIENCE_MS;
    return false;
}

bool intake_patient(const struct intake_item *i)
{
    return intake_age(i) < PATIENCE_MS || store_failing(i->s->store);
}

uint64_t intake_pause(const struct intake_item *i)
{
    uint64_t ms = PAUSE_MS * (uint64_t)(i->attempts + 1);
    return ms < PAUSE_MAX ? ms : PAUSE_MAX;
}
