#include "bridge/gateway/slack/sock.h"

#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/ws/ws.h"
#include "bridge/gateway/core/crash.h"
#include "bridge/gateway/core/flush.h"
#include "bridge/gateway/slack/commands.h"
#include "bridge/gateway/slack/inbound.h"
#include "bridge/gateway/slack/intake.h"
#include "bridge/gateway/slack/interact.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/wire/backoff.h"
#include "bridge/gateway/slack/wire/envelope.h"
#include "bridge/gateway/slack/wire/sock_table.h"
#include "bridge/gateway/slack/wire/timer.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#define SILENCE_MS      25000 /* Slack pings every 10 s */
#define HELLO_MS        15000 /* TCP, TLS, upgrade and hello together */
#define OLD_LINGER_MS   2000  /* what was on its way to the old connection is still acknowledged */
#define REST_MS         120000
#define TOKEN_MS        60000 /* a wrong token is tried again, slowly */
#define REFRESH_EARLY_S 90    /* before the announced end of a connection */
#define ASK_ONCE_MS     400   /* less than any retry takes: the table says when to ask again */

enum role { ROLE_NEXT, ROLE_CURRENT, ROLE_OLD };

struct conn {
    struct sock *sock;
    struct ws *ws;
    enum role role;
    uint64_t heard_ms;
    uint64_t came_us;    /* the envelope that is being read */
    struct timer *timer; /* hello, then silence; for an old one its end */
    uint64_t refresh_ms; /* monotonic: when it announced to end, less a little; 0: not said */
    struct conn *link;   /* of the list of all */
};

/* One that waits until what it is for is on the disk. */
struct late_ack {
    struct sock *sock;
    struct conn *conn; /* NULL: it has ended, so Slack delivers again */
    char *text;
    enum frame_kind kind;
    uint64_t came_us;
    bool stored;
    struct late_ack *next;
};

struct sock {
    struct slack *s;
    struct ws_client *client;
    enum sock_state state;
    struct timer *timer;
    struct conn *conns, *current, *next;
    struct late_ack *late;
    struct backoff backoff;
    uint64_t retry_min_ms; /* Retry-After, or that a token is wrong */
    bool asking;
    char *url;
};

static void event(struct sock *k, enum sock_event e);

/* ---------------------------------------------------------------- connections */

static void conn_drop(struct conn *c)
{
    struct sock *k = c->sock;
    struct conn **at = &k->conns;
    while (*at && *at != c)
        at = &(*at)->link;
    if (*at)
        *at = c->link;
    for (struct late_ack *l = k->late; l; l = l->next)
        if (l->conn == c)
            l->conn = NULL;
    if (k->current == c)
        k->current = NULL;
    if (k->next == c)
        k->next = NULL;
    timer_free(c->timer);
    free(c);
}

/* It ended or is given up: its part in the play tells what that means. */
static void conn_ended(struct conn *c, const char *why)
{
    struct sock *k = c->sock;
    enum role role = c->role;
    log_debug("slack: connection ended: %s", why);
    conn_drop(c);
    if (role == ROLE_CURRENT)
        event(k, SOCK_LOST);
    else if (role == ROLE_NEXT)
        event(k, SOCK_NEXT_LOST);
}

static void on_close(void *data, struct ws *ws, int code, const char *reason)
{
    (void)ws;
    (void)code;
    conn_ended(data, reason ? reason : "");
}

static void conn_abandon(struct conn *c, const char *why)
{
    ws_abandon(c->ws);
    conn_ended(c, why);
}

static void watch(struct conn *c)
{
    uint64_t now = clock_mono_ms(), wait = c->heard_ms + SILENCE_MS - now;
    if (c->refresh_ms && c->refresh_ms > now && c->refresh_ms - now < wait)
        wait = c->refresh_ms - now;
    timer_start(c->timer, wait);
}

static void on_conn_timer(void *data)
{
    struct conn *c = data;
    uint64_t now = clock_mono_ms();
    if (c->role == ROLE_OLD) {
        ws_close(c->ws, 1000);
        return;
    }
    if (c->role == ROLE_NEXT) {
        conn_abandon(c, "no hello in time");
        return;
    }
    if (now - c->heard_ms >= SILENCE_MS) {
        log_warn("slack: nothing heard for %d s, connecting anew", SILENCE_MS / 1000);
        conn_abandon(c, "silence");
        return;
    }
    struct sock *k = c->sock;
    bool refresh = c->refresh_ms && now >= c->refresh_ms;
    if (refresh)
        c->refresh_ms = 0;
    watch(c);
    if (refresh)
        event(k, SOCK_REFRESH);
}

static void heard(struct conn *c)
{
    c->heard_ms = clock_mono_ms(); /* the timer looks at it when it fires */
}

static void on_ping(void *data, struct ws *ws)
{
    (void)ws;
    heard(data);
}

/* ---------------------------------------------------------------- envelopes */

/* Counted by what it came as; what is not told apart is not counted. */
static bool envelope_of(enum frame_kind kind, enum slack_envelope *ret)
{
    if (kind != FRAME_EVENTS && kind != FRAME_INTERACTIVE && kind != FRAME_SLASH)
        return false;
    *ret = kind == FRAME_EVENTS        ? ENVELOPE_EVENTS
           : kind == FRAME_INTERACTIVE ? ENVELOPE_INTERACTIVE
                                       : ENVELOPE_SLASH;
    return true;
}

static void ack_send(struct conn *c, enum frame_kind kind, uint64_t came_us, const char *text)
{
    int r = text ? ws_send(c->ws, text, strlen(text)) : -ENOMEM;
    if (r < 0)
        log_error("slack: cannot acknowledge an envelope: %s", strerror(-r));
    enum slack_envelope e;
    struct slack_counts *counts = &c->sock->s->counts;
    if (r < 0 || !envelope_of(kind, &e))
        return;
    counts->acked[e]++;
    metric_observe(&counts->ack, (double)(clock_mono_us() - came_us) / 1e6);
}

static char *ack_text(const struct frame *f, const cJSON *payload)
{
    return envelope_ack_text(f->envelope_id, f->accepts_payload ? payload : NULL);
}

static void ack(struct conn *c, const struct frame *f, const cJSON *payload)
{
    if (!*f->envelope_id)
        return;
    _cleanup_free_ char *text = ack_text(f, payload);
    ack_send(c, f->kind, c->came_us, text);
}

static void late_free(struct late_ack *l)
{
    struct late_ack **at = &l->sock->late;
    while (*at && *at != l)
        at = &(*at)->next;
    if (*at)
        *at = l->next;
    free(l->text);
    free(l);
}

static void on_durable(void *data, int error)
{
    struct late_ack *l = data;
    if (error < 0)
        log_error("slack: what somebody did is not on the disk, it is not acknowledged: %s",
                  strerror(-error));
    else if (l->conn)
        ack_send(l->conn, l->kind, l->came_us, l->text);
    if (error == 0 && l->stored)
        crash_point("inbound.acked");
    late_free(l);
}

/* What Slack was told is stored it never delivers again: so it must survive a power cut, too. */
static void ack_when_durable(struct conn *c, const struct frame *f, bool stored)
{
    struct sock *k = c->sock;
    struct late_ack *l = calloc(1, sizeof *l);
    if (!l || !*f->envelope_id) {
        free(l);
        return;
    }
    *l = (struct late_ack){ k, c, ack_text(f, NULL), f->kind, c->came_us, stored, k->late };
    k->late = l;
    if (!l->text || flush_wait(core_flush(k->s->core), on_durable, l) < 0)
        late_free(l); /* not acknowledged: it comes again */
}

static void on_hello(struct conn *c, const struct frame *f)
{
    struct sock *k = c->sock;
    if (c->role != ROLE_NEXT)
        return;
    if (f->lifetime_s > REFRESH_EARLY_S * 2)
        c->refresh_ms = clock_mono_ms() + (uint64_t)(f->lifetime_s - REFRESH_EARLY_S) * 1000;
    if (f->connections > 1 && !k->current)
        log_warn("slack: %d connections of this app are open: another program uses the same "
                 "tokens and takes a share of all that people do",
                 f->connections);
    event(k, SOCK_HELLO);
}

/* There is no room for a second one just now; the first is kept. */
static void next_refused(struct conn *c)
{
    struct sock *k = c->sock;
    c->role = ROLE_OLD;
    k->next = NULL;
    k->retry_min_ms = REST_MS;
    timer_stop(c->timer);
    ws_close(c->ws, 1000);
    event(k, SOCK_NEXT_LOST);
}

static void on_disconnect(struct conn *c, const struct frame *f)
{
    static const enum sock_event events[] = {
        [DISCONNECT_REFRESH] = SOCK_REFRESH,
        [DISCONNECT_DISABLED] = SOCK_DISABLED,
        [DISCONNECT_TOO_MANY] = SOCK_TOO_MANY,
    };
    struct sock *k = c->sock;
    enum disconnect_kind kind = disconnect_kind_of(f->reason);
    log_info("slack: disconnect announced: %.40s", f->reason);
    if (kind == DISCONNECT_DISABLED)
        slack_problem(k->s, PROBLEM_SOCKET,
                      "link_disabled: Socket Mode was switched off; switch it on in the app's "
                      "settings");
    else if (kind == DISCONNECT_TOO_MANY)
        slack_problem(k->s, PROBLEM_SOCKET,
                      "too_many_websockets: more than 10 connections of this app are open; stop "
                      "the other programs that use its tokens");
    if (c->role == ROLE_NEXT && k->current && kind == DISCONNECT_TOO_MANY) {
        next_refused(c);
        return;
    }
    if (c->role == ROLE_CURRENT || kind != DISCONNECT_REFRESH)
        event(k, events[kind]);
}

/* What was stored by this frame is acknowledged when it is on the disk; what needed no storing at
 * once. */
static void ack_heard(struct conn *c, const struct frame *f, uint64_t puts, uint64_t stored)
{
    const struct intake *in = c->sock->s->intake;
    if (intake_puts(in) == puts)
        ack(c, f, NULL);
    else
        ack_when_durable(c, f, intake_stored(in) != stored);
}

/* Stored first, then acknowledged, when it is on the disk: what can't be stored Slack shall deliver
 * again, or show as failed. It is done after this callback has returned to the loop. */
static void on_message(void *data, struct ws *ws, const char *msg, size_t len)
{
    (void)ws;
    struct conn *c = data;
    struct slack *s = c->sock->s;
    _cleanup_frame_ struct frame f;
    heard(c);
    c->came_us = clock_mono_us();
    uint64_t stored = intake_stored(s->intake), puts = intake_puts(s->intake);
    frame_parse(&f, msg, len);
    _log_about_ struct log_about about = {
        .id = { [LOG_ENVELOPE_ID] = *f.envelope_id ? f.envelope_id : NULL },
    };
    log_enter(&about);
    switch (f.kind) {
    case FRAME_HELLO:
        on_hello(c, &f);
        break;
    case FRAME_DISCONNECT:
        on_disconnect(c, &f);
        break;
    case FRAME_EVENTS:
        if (inbound_event(s, f.payload) == 0)
            ack_heard(c, &f, puts, stored);
        else
            s->counts.refused[ENVELOPE_EVENTS]++;
        break;
    case FRAME_INTERACTIVE: { /* a form that is not right stays open and is not carried out */
        _cleanup_json_ cJSON *wrong = interact_check(f.payload);
        if (wrong)
            ack(c, &f, wrong);
        else if (interact(s, f.payload) == 0)
            ack_heard(c, &f, puts, stored);
        else
            s->counts.refused[ENVELOPE_INTERACTIVE]++;
        break;
    }
    case FRAME_SLASH: { /* its ack carries the answer; it is found without waiting */
        _cleanup_json_ cJSON *answer = commands_handle(s, f.payload);
        ack(c, &f, answer);
        break;
    }
    case FRAME_UNKNOWN:
    case FRAME_KIND_MAX:
        ack(c, &f, NULL);
        log_debug("slack: a frame of %zu bytes that is not understood", len);
        break;
    }
    if (f.kind == FRAME_EVENTS || f.kind == FRAME_INTERACTIVE || f.kind == FRAME_SLASH)
        intake_soon(s->intake);
}

static void on_open(void *data, struct ws *ws)
{
    (void)ws;
    heard(data);
}

/* ---------------------------------------------------------------- actions */

static void on_url(void *data, const struct api_result *r);

static void do_ask(struct sock *k)
{
    k->retry_min_ms = 0;
    if (k->asking) /* the answer to an earlier question is as good */
        return;
    int r = api_call(k->s->api, SLACK_CONNECTIONS_OPEN, NULL, ASK_ONCE_MS, on_url, k);
    if (r < 0)
        event(k, SOCK_URL_FAILED);
    else
        k->asking = true;
}

static void on_url(void *data, const struct api_result *r)
{
    struct sock *k = data;
    k->asking = false;
    if (k->state != SOCK_ASKING && k->state != SOCK_UP_ASKING)
        return;
    const char *url = json_str(r->body, "url", "");
    if (r->ok && (strncmp(url, "wss://", 6) == 0 || strncmp(url, "ws://", 5) == 0)) {
        free(k->url);
        k->url = strdup(url);
        event(k, k->url ? SOCK_URL : SOCK_URL_FAILED);
        return;
    }
    k->retry_min_ms = r->retry_after_ms;
    log_debug("slack: no address for a connection: %s", r->ok ? "none was named" : r->message);
    if (!r->ok && (r->class == SLACK_ERROR_TOKEN || r->class == SLACK_ERROR_SETUP)) {
        slack_problem(k->s, PROBLEM_SOCKET, r->message);
        k->retry_min_ms = TOKEN_MS;
    } else {
        slack_problem(k->s, PROBLEM_NETWORK, r->ok ? "Slack named no address" : r->message);
    }
    event(k, SOCK_URL_FAILED);
}

static void do_join(struct sock *k)
{
    _cleanup_free_ char *url = TAKE_PTR(k->url);
    struct conn *c = calloc(1, sizeof *c);
    struct error e = ERROR_INIT;
    int r = -ENOMEM;
    if (c)
        c->timer = timer_new(k->s->loop, on_conn_timer, c);
    if (c && c->timer) {
        c->sock = k;
        c->heard_ms = clock_mono_ms();
        r = ws_open(k->client,
                    &(struct ws_options){
                        .url = url,
                        .ops = { .on_open = on_open,
                                 .on_message = on_message,
                                 .on_ping = on_ping,
                                 .on_close = on_close },
                        .data = c,
                    },
                    &c->ws, &e);
    }
    if (r < 0) {
        log_warn("slack: cannot connect: %s", *e.message ? e.message : strerror(-r));
        if (c)
            timer_free(c->timer);
        free(c);
        event(k, SOCK_NEXT_LOST);
        return;
    }
    c->link = k->conns;
    k->conns = k->next = c;
    timer_start(c->timer, HELLO_MS);
}

static void do_promote(struct sock *k)
{
    struct conn *old = k->current;
    if (old) {
        old->role = ROLE_OLD;
        timer_start(old->timer, OLD_LINGER_MS);
    }
    k->current = k->next;
    k->next = NULL;
    k->current->role = ROLE_CURRENT;
    backoff_up(&k->backoff, clock_mono_ms(), old != NULL);
    k->s->counts.connections++;
    watch(k->current);
    log_info("slack: connected%s", old ? " anew, without a gap" : "");
    slack_problem(k->s, PROBLEM_SOCKET, NULL);
    slack_problem(k->s, PROBLEM_NETWORK, NULL);
}

static uint64_t random_below(uint64_t n)
{
    uint64_t v = 0;
    if (getrandom(&v, sizeof v, GRND_NONBLOCK) != (ssize_t)sizeof v)
        v = clock_mono_us();
    return n ? v % n : 0;
}

static void do_retry(struct sock *k)
{
    uint64_t jitter;
    uint64_t wait =
        backoff_wait(&k->backoff, clock_mono_ms(), k->current != NULL, k->retry_min_ms, &jitter);
    wait += random_below(jitter);
    timer_start(k->timer, wait);
    log_debug("slack: connecting again in %" PRIu64 " ms", wait);
}

/* Each closes by itself, politely; none of their ends means anything any more. */
static void close_all(struct sock *k)
{
    k->current = k->next = NULL;
    for (struct conn *c = k->conns; c; c = c->link) {
        timer_stop(c->timer);
        c->role = ROLE_OLD;
        ws_close(c->ws, 1000);
    }
}

static void do_rest(struct sock *k)
{
    close_all(k);
    timer_start(k->timer, REST_MS + random_below(REST_MS / 2));
}

static void do_stop(struct sock *k)
{
    timer_stop(k->timer);
    close_all(k);
}

static void event(struct sock *k, enum sock_event e)
{
    static void (*const actions[])(struct sock *) = {
        [SOCK_DO_NOTHING] = NULL,       [SOCK_DO_ASK] = do_ask,     [SOCK_DO_JOIN] = do_join,
        [SOCK_DO_PROMOTE] = do_promote, [SOCK_DO_RETRY] = do_retry, [SOCK_DO_REST] = do_rest,
        [SOCK_DO_STOP] = do_stop,
    };
    struct sock_move m = sock_table_move(k->state, e);
    if (m.to != k->state)
        log_debug("slack: connection %s \xe2\x86\x92 %s", sock_state_name(k->state),
                  sock_state_name(m.to));
    k->state = m.to;
    if (actions[m.action])
        actions[m.action](k);
    slack_connected(k->s, k->current != NULL);
}

static void on_timer(void *data)
{
    event(data, SOCK_TIMER);
}

/* ---------------------------------------------------------------- door */

int sock_new(struct sock **ret, struct slack *s, struct error *e)
{
    struct sock *k = calloc(1, sizeof *k);
    if (!k)
        return error_set_errno(e, -ENOMEM, "slack");
    k->s = s;
    k->timer = timer_new(s->loop, on_timer, k);
    int r = k->timer ? ws_client_new(&k->client, s->loop, NULL, e)
                     : error_set_errno(e, -ENOMEM, "slack");
    if (r < 0) {
        timer_free(k->timer);
        free(k);
        return r;
    }
    *ret = k;
    return 0;
}

void sock_start(struct sock *k)
{
    timer_start(k->timer, 0);
}

void sock_stop(struct sock *k)
{
    event(k, SOCK_STOP);
}

void sock_free(struct sock *k)
{
    if (!k)
        return;
    while (k->conns)
        conn_drop(k->conns);
    while (k->late) {
        flush_forget(core_flush(k->s->core), k->late);
        late_free(k->late);
    }
    ws_client_free(k->client);
    timer_free(k->timer);
    free(k->url);
    free(k);
}
