/* Brings a decision to OpenCode: sends it, and again with growing delays, until OpenCode confirmed
 * it (permission.replied, which settles the request elsewhere), or took it and lists the request no
 * more, or does not know the request. One delivery for each request that is DECIDING. */
#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "bridge/gateway/core/crash.h"
#include "bridge/gateway/core/flush.h"
#include "bridge/gateway/core/private.h"

#include <errno.h>
#include <string.h>

#define FIRST_DELAY_MS 250
#define MAX_DELAY_MS   10000
#define NO_WAY_MS      500  /* until looked again whether there is a way */
#define CONFIRM_MS     2000 /* the event should have come by then: ask for the list */
#define GRACE_MS       1000 /* after "not found": the confirmation may be on its way */

enum phase {
    PHASE_SEND,    /* the timer sends */
    PHASE_SENDING, /* waits for the answer */
    PHASE_CHECK,   /* the timer asks whether it is still listed */
    PHASE_CHECKING,
    PHASE_MISSING, /* OpenCode does not know it: the timer ends the wait for an event */
};

struct delivery {
    struct delivery *next;
    struct core *core;
    char *pod, *id;
    enum phase phase;
    unsigned failures; /* in a row */
    unsigned attempt;  /* changes after each answer, so that it is a new command */
    uv_timer_t timer;
    bool dead; /* out of the list; freed when nothing refers to it any more */
};

static void on_timer(uv_timer_t *timer);

static void delivery_closed(uv_handle_t *handle)
{
    struct delivery *d = handle->data;
    free(d->pod);
    free(d->id);
    free(d);
}

/* While an answer is awaited (SENDING, CHECKING) its callback still holds `d`. */
static void delivery_end(struct delivery *d)
{
    if (!d->dead) {
        for (struct delivery **p = &d->core->deliveries; *p; p = &(*p)->next)
            if (*p == d) {
                *p = d->next;
                break;
            }
        d->dead = true;
        (void)uv_timer_stop(&d->timer);
    }
    if (d->phase != PHASE_SENDING && d->phase != PHASE_CHECKING)
        uv_close((uv_handle_t *)&d->timer, delivery_closed);
}

static void later(struct delivery *d, enum phase phase, uint64_t ms)
{
    d->phase = phase;
    (void)uv_timer_start(&d->timer, on_timer, ms, 0);
}

static void retry(struct delivery *d)
{
    unsigned n = d->failures < 6 ? d->failures : 6;
    uint64_t ms = (uint64_t)FIRST_DELAY_MS << n;
    d->failures++;
    ms = ms > MAX_DELAY_MS ? MAX_DELAY_MS : ms;
    later(d, PHASE_SEND, ms - ms * (clock_mono_us() % 100) / 400); /* up to a quarter less */
}

/* ---------------------------------------------------------------- with the row at hand */

struct looked {
    struct delivery *d;
    int state, attempts, accepted;
    bool another; /* the process that is reached now never had it */
    int64_t created_ms;
    int sent; /* what ops->reply or ops->check returned */
    struct way *way;
    bool check;
};

static void replied(void *data, int error, const char *message, const char *session_id);
static void checked(void *data, int error, const char *message, const char *session_id);

static int send_row(void *data, const struct request_row *row)
{
    struct looked *l = data;
    struct delivery *d = l->d;
    l->state = row->state;
    l->attempts = row->attempts;
    l->accepted = row->accepted;
    if (row->state != REQUEST_DECIDING)
        return 0;
    l->way = way_for(d->core, d->pod, row->instance);
    if (!l->way)
        return 0;
    struct way_reply reply = {
        .kind = (enum request_kind)row->kind,
        .request_id = row->id,
        .session_id = row->session_id,
        .directory = row->directory,
        .outcome = (enum request_outcome)row->outcome,
        .reason = row->reason,
        .answers_json = row->answers,
        .attempt = d->attempt,
    };
    if (l->check) {
        d->phase = PHASE_CHECKING;
        l->sent = l->way->ops->check(l->way->data, &reply, checked, d);
        return 0;
    }
    /* Counted before it leaves: after a crash it is known that it may have arrived. */
    l->sent = store_request_attempted(d->core->store, d->pod, d->id, 1);
    if (l->sent < 0)
        return 0;
    crash_point("reply.sending");
    (void)flush_wait(d->core->flush, NULL, NULL); /* beside its way to OpenCode */
    d->phase = PHASE_SENDING;
    l->sent = l->way->ops->reply(l->way->data, &reply, replied, d);
    if (l->sent < 0) {
        (void)store_request_attempted(d->core->store, d->pod, d->id, -1);
    } else {
        log_info("request %s: the decision goes to OpenCode (%s)", d->id,
                 l->way->kind == WAY_BRIDGE ? "bridge" : "http");
        crash_point("reply.sent");
    }
    return 0;
}

static void send_now(struct delivery *d, bool check)
{
    struct looked l = { .d = d, .state = -1, .check = check };
    _request_about_ struct request_about about;
    request_about(&about, d->pod, d->id, NULL);
    int r = store_request_get(d->core->store, d->pod, d->id, send_row, &l);
    if (r == -ENOENT || (r == 0 && l.state != REQUEST_DECIDING)) {
        d->phase = PHASE_SEND;
        delivery_end(d);
    } else if (r < 0 || l.sent < 0) {
        retry(d);
    } else if (!l.way) {
        later(d, check ? PHASE_CHECK : PHASE_SEND, NO_WAY_MS);
    }
}

static int look_row(void *data, const struct request_row *row)
{
    struct looked *l = data;
    l->state = row->state;
    l->attempts = row->attempts;
    l->accepted = row->accepted;
    l->created_ms = row->created_ms;
    const struct way *w = way_for(l->d->core, row->pod, row->instance);
    l->another = w && way_is_another(w, row);
    return 0;
}

/* OpenCode does not have it any more and no event said how it ended. */
static void ended_unseen(struct delivery *d)
{
    struct looked l = { .d = d, .state = -1 };
    (void)store_request_get(d->core->store, d->pod, d->id, look_row, &l);
    if (l.state == REQUEST_DECIDING) {
        /* More than one attempt: an earlier one, whose answer was lost, took it. After a power cut
         * the count of them may be lost, too. */
        bool earlier =
            l.attempts > 1 || (d->core->another_machine && l.created_ms < d->core->begun_ms);
        if (l.another)
            (void)request_void(d->core, d->pod, d->id,
                               "OpenCode was restarted and no longer waits for it");
        else if (l.accepted || earlier)
            (void)request_confirm(d->core, d->pod, d->id);
        else
            (void)request_void(d->core, d->pod, d->id, "OpenCode no longer waits for it");
    }
    d->phase = PHASE_SEND;
    delivery_end(d);
}

static void on_timer(uv_timer_t *timer)
{
    struct delivery *d = timer->data;
    switch (d->phase) {
    case PHASE_SEND:
        send_now(d, false);
        return;
    case PHASE_CHECK:
        send_now(d, true);
        return;
    case PHASE_MISSING:
        ended_unseen(d);
        return;
    case PHASE_SENDING:
    case PHASE_CHECKING:
        return;
    }
}

/* ---------------------------------------------------------------- answers */

/* The delivery was ended while its answer was awaited. */
static bool is_dead(struct delivery *d)
{
    if (!d->dead)
        return false;
    d->phase = PHASE_SEND;
    delivery_end(d);
    return true;
}

static void replied(void *data, int error, const char *message, const char *session_id)
{
    (void)session_id;
    struct delivery *d = data;
    _request_about_ struct request_about about;
    request_about(&about, d->pod, d->id, NULL);
    if (error == 0)
        log_info("request %s: OpenCode took the decision", d->id);
    if (is_dead(d))
        return;
    if (error == 0 || error == -ENOENT)
        d->attempt++;
    if (error == 0) {
        (void)store_request_accepted(d->core->store, d->pod, d->id);
        d->failures = 0;
        later(d, PHASE_CHECK, CONFIRM_MS);
    } else if (error == -ENOENT) {
        later(d, PHASE_MISSING, GRACE_MS);
    } else {
        if (error == -ENOTCONN)
            (void)store_request_attempted(d->core->store, d->pod, d->id, -1);
        else if (error != -ETIMEDOUT && error != -ECONNRESET)
            d->attempt++;
        if (d->failures == 0)
            log_warn("the decision on %s did not reach OpenCode, trying again: %s", d->id, message);
        retry(d);
    }
}

static void checked(void *data, int error, const char *message, const char *session_id)
{
    (void)message;
    (void)session_id;
    struct delivery *d = data;
    if (is_dead(d))
        return;
    if (error == 0)
        retry(d); /* still listed: it did not take */
    else if (error == -ENOENT)
        ended_unseen(d);
    else
        later(d, PHASE_CHECK, CONFIRM_MS);
}

/* ---------------------------------------------------------------- from outside */

int delivery_start(struct core *core, const char *pod, const char *id)
{
    for (struct delivery *d = core->deliveries; d; d = d->next)
        if (strcmp(d->id, id) == 0 && strcmp(d->pod, pod) == 0)
            return 0;
    struct delivery *d = calloc(1, sizeof *d);
    if (!d)
        return -ENOMEM;
    *d = (struct delivery){ .core = core, .pod = strdup(pod), .id = strdup(id) };
    if (!d->pod || !d->id) {
        free(d->pod);
        free(d->id);
        free(d);
        return -ENOMEM;
    }
    (void)uv_timer_init(core->loop, &d->timer);
    d->timer.data = d;
    d->next = core->deliveries;
    core->deliveries = d;
    send_now(d, false);
    return 0;
}

void delivery_kick(struct core *core, const char *pod)
{
    for (struct delivery *d = core->deliveries; d; d = d->next)
        if (strcmp(d->pod, pod) == 0 && d->phase == PHASE_SEND) {
            d->failures = 0;
            (void)uv_timer_start(&d->timer, on_timer, 0, 0);
        }
}

void delivery_free_all(struct core *core)
{
    while (core->deliveries) {
        struct delivery *d = core->deliveries;
        d->phase = PHASE_SEND; /* the ways are gone: nobody answers any more */
        delivery_end(d);
    }
}
