#include "bridge/gateway/slack/stream.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "bridge/gateway/core/crash.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/outbox.h"
#include "bridge/gateway/slack/queued.h"
#include "bridge/gateway/slack/render/blocks.h"
#include "bridge/gateway/slack/render/permission.h"
#include "bridge/gateway/slack/render/text.h"
#include "bridge/gateway/slack/render/turn.h"
#include "bridge/gateway/slack/said.h"
#include "bridge/gateway/slack/threads.h"
#include "bridge/gateway/slack/wire/timer.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define LIVE_MAX   1000 /* sessions at work whose text is kept */
#define FIRST_MS   600  /* a first message with some words in it */
#define SPACING_MS 2500 /* between two changes of a message */
#define SHARE_MS                                                                                   \
    1800 /* chat.update serves the whole workspace: each session that is shown more, so much       \
            slower */
#define THREADLESS_MS                                                                              \
    10000                  /* until looked again whether it has a thread, unless one is asked for */
#define CLOSE_MS     1200  /* OpenCode tells what a turn changed and took just after its end */
#define EARLY_MS     60000 /* after the start: what happened while nobody listened is read */
#define MISSED_MS    3000  /* OpenCode is reached: what is at work is known by then */
#define READ_MS      1000  /* until a failed reading is tried again */
#define READ_TRIES   20
#define THREAD_LATER 1     /* of a callback: it has none yet */
#define LONG_MS      30000 /* a turn that took longer ends with a message: changes notify nobody */

struct live {
    struct live *next;
    struct stream *st;
    struct turn *turn;
    bool dirty, closing;
    bool threaded;             /* it had a thread when last looked */
    bool breaks;               /* what comes next goes on a new page */
    uint64_t due_ms, close_ms; /* monotonic */
    enum session_status status;
    char *status_text;
    /* What it wrote may have a hole: it is read from OpenCode before it is shown for good. */
    struct reading *reading; /* under way */
    unsigned tries;          /* left; 0: nothing to read */
    char *heard;             /* the newest message when it began */
};

/* Outlives what it is for: the answer may come when that is gone. */
struct reading {
    struct live *live; /* NULL: gone */
    struct turn_history history;
};

struct stream {
    struct slack *s;
    struct timer *timer;
    struct live *live; /* the one heard of last comes first */
    size_t count;
    int64_t begun_ms; /* wall clock */
    struct timer *missed_timer;
    struct expected *missed; /* what a former process left; looked at once */
};

/* A session with a turn that is not shown to its end. */
struct expected {
    struct expected *next;
    char *pod, *session;
};

static void on_timer(void *data);

/* ---------------------------------------------------------------- what is expected */

#define EXPECT_KEY "expect:" CONNECTOR ":"

static void expect_key(struct buf *out, const char *pod, const char *session)
{
    buf_printf(out, EXPECT_KEY "%s:%s", pod, session);
}

static struct live *live_find(struct stream *st, const char *pod, const char *session);

static int expected_put(struct stream *st, const char *pod, const char *session)
{
    _cleanup_buf_ struct buf key = BUF_INIT, value = BUF_INIT;
    expect_key(&key, pod, session);
    buf_printf(&value, "%s\n%s", pod, session);
    if (key.failed || value.failed)
        return -ENOMEM;
    int r = store_put(st->s->store, buf_str(&key), buf_str(&value));
    return r < 0 ? r : 0;
}

static void expected_done(struct stream *st, const char *pod, const char *session)
{
    _cleanup_buf_ struct buf key = BUF_INIT;
    expect_key(&key, pod, session);
    if (!key.failed)
        (void)store_put(st->s->store, buf_str(&key), NULL);
}

static void expected_free(struct expected *x)
{
    free(x->pod);
    free(x->session);
    free(x);
}

static int look_later(struct stream *st, const char *pod, size_t pod_len, const char *session)
{
    struct expected *x = calloc(1, sizeof *x);
    if (!x)
        return -ENOMEM;
    *x = (struct expected){ st->missed, strndup(pod, pod_len), strdup(session) };
    st->missed = x;
    return 0;
}

static int on_expected(void *data, const char *key, const char *value)
{
    const char *end = strchr(value, '\n');
    (void)key;
    if (end)
        (void)look_later(data, value, (size_t)(end - value), end + 1);
    return 0;
}

/* The prompt may have been found in OpenCode, where the former process had sent it, and its turn be
 * over: soon after the start what is expected is looked at, too. */
int stream_expect(struct stream *st, const char *pod, const char *session_id)
{
    if (live_find(st, pod, session_id)) /* heard of, and known as at work after a restart */
        return 0;
    if (clock_wall_ms() - st->begun_ms < EARLY_MS) {
        if (look_later(st, pod, strlen(pod), session_id) < 0)
            return -ENOMEM;
        timer_start(st->missed_timer, MISSED_MS);
    }
    return expected_put(st, pod, session_id);
}

static int end_if_over(void *data, const struct session *s);

/* A turn that began and ended while nobody listened is read from OpenCode. Nothing to do where it
 * goes on, or was heard of meanwhile; where its thread is still on its way, it is looked at again.
 */
static void on_missed_timer(void *data)
{
    struct stream *st = data;
    struct expected *all = TAKE_PTR(st->missed);
    while (all) {
        struct expected *x = all;
        all = x->next;
        if (x->pod && x->session &&
            core_with_session(st->s->core, x->pod, x->session, end_if_over, st) == THREAD_LATER) {
            x->next = st->missed;
            st->missed = x;
        } else {
            expected_free(x);
        }
    }
    stream_reached(st);
}

void stream_reached(struct stream *st)
{
    if (st->missed)
        timer_start(st->missed_timer, MISSED_MS);
}

int stream_new(struct stream **ret, struct slack *s)
{
    struct stream *st = calloc(1, sizeof *st);
    if (!st)
        return -ENOMEM;
    st->s = s;
    st->begun_ms = clock_wall_ms();
    st->timer = timer_new(s->loop, on_timer, st);
    st->missed_timer = timer_new(s->loop, on_missed_timer, st);
    if (!st->timer || !st->missed_timer) {
        stream_free(st);
        return -ENOMEM;
    }
    (void)store_each(s->store, EXPECT_KEY, on_expected, st);
    *ret = st;
    return 0;
}

static void live_free(struct live *l)
{
    if (l->reading)
        l->reading->live = NULL;
    turn_free(l->turn);
    free(l->status_text);
    free(l->heard);
    free(l);
}

void stream_free(struct stream *st)
{
    if (!st)
        return;
    while (st->live) {
        struct live *l = st->live;
        st->live = l->next;
        live_free(l);
    }
    while (st->missed) {
        struct expected *x = st->missed;
        st->missed = x->next;
        expected_free(x);
    }
    timer_free(st->timer);
    timer_free(st->missed_timer);
    free(st);
}

/* ---------------------------------------------------------------- what is kept */

static void record_key(struct buf *out, const char *pod, const char *session)
{
    buf_printf(out, "turn:%s:%s:%s", CONNECTOR, pod, session);
}

static void save(struct stream *st, const struct turn *t)
{
    _cleanup_buf_ struct buf key = BUF_INIT;
    _cleanup_free_ char *json = turn_save(t);
    record_key(&key, t->pod, t->session);
    int r = json ? store_put(st->s->store, buf_str(&key), json) : -ENOMEM;
    if (r < 0)
        log_warn("slack: cannot store what is shown of a turn: %s", strerror(-r));
}

/* True when a turn was under way. */
static bool load(struct stream *st, struct turn *t)
{
    _cleanup_buf_ struct buf key = BUF_INIT;
    _cleanup_free_ char *json = NULL;
    record_key(&key, t->pod, t->session);
    if (store_get(st->s->store, buf_str(&key), &json) < 0)
        return false;
    if (turn_load(t, json) < 0)
        log_warn("slack: what was stored of a turn can't be read");
    return !turn_empty(t);
}

/* ---------------------------------------------------------------- finding */

static struct live **live_at(struct stream *st, const char *pod, const char *session)
{
    struct live **at = &st->live;
    while (*at &&
           (strcmp((*at)->turn->session, session) != 0 || strcmp((*at)->turn->pod, pod) != 0))
        at = &(*at)->next;
    return at;
}

static struct live *live_find(struct stream *st, const char *pod, const char *session)
{
    struct live **at = live_at(st, pod, session), *l = *at;
    if (l && l != st->live) {
        *at = l->next;
        l->next = st->live;
        st->live = l;
    }
    return l;
}

/* Its end is shown, or will not be. */
static void live_drop(struct stream *st, struct live *l)
{
    struct live **at = live_at(st, l->turn->pod, l->turn->session);
    if (*at != l)
        return;
    *at = l->next;
    st->count--;
    expected_done(st, l->turn->pod, l->turn->session);
    live_free(l);
}

static void wake(struct stream *st, uint64_t at_ms)
{
    uint64_t now = clock_mono_ms();
    timer_start_earlier(st->timer, at_ms > now ? at_ms - now : 0);
}

static struct live *live_new(struct stream *st, const struct session *s)
{
    if (st->count == LIVE_MAX)
        return NULL;
    struct live *l = calloc(1, sizeof *l);
    if (l)
        l->turn = turn_new(s->pod, s->id, clock_wall_ms());
    if (!l || !l->turn) {
        free(l);
        return NULL;
    }
    l->st = st;
    bool goes_on = load(st, l->turn);
    l->heard = strdup(l->turn->last);
    if (goes_on || s->updated_ms < st->begun_ms || clock_wall_ms() - st->begun_ms < EARLY_MS)
        l->tries = READ_TRIES;
    if (!goes_on && turn_restart(l->turn, clock_wall_ms(), s->cost, s->tokens) < 0) {
        live_free(l);
        return NULL;
    }
    l->next = st->live;
    st->live = l;
    st->count++;
    (void)expected_put(st, s->pod, s->id); /* until its end is shown */
    l->due_ms = clock_mono_ms() + FIRST_MS;
    if (l->tries)
        wake(st, l->due_ms);
    return l;
}

/* ---------------------------------------------------------------- reading */

static void on_each(void *data, const struct activity *a)
{
    struct reading *r = data;
    if (!r->live)
        return;
    const char *heard = r->live->heard;
    if (heard && *heard && strcmp(a->message_id, heard) > 0)
        said_activity(r->live->st->s, a);
    (void)turn_add_history(r->live->turn, a, &r->history);
}

static void on_read(void *data, int error, const char *message, const char *session_id)
{
    struct reading *r = data;
    struct live *l = r->live;
    if (error)
        log_debug("slack: what session %s wrote can't be read: %s", session_id, message);
    if (l) {
        l->reading = NULL;
        l->tries = error && error != -ENOENT && l->tries > 1 ? l->tries - 1 : 0;
        l->dirty = true;
        l->due_ms = clock_mono_ms() + (l->tries ? READ_MS : 0);
        wake(l->st, l->due_ms);
    }
    free(r);
}

static void read_history(struct stream *st, struct live *l)
{
    struct reading *r = calloc(1, sizeof *r);
    if (!r)
        return;
    *r = (struct reading){ l, turn_history_begin(l->turn) };
    l->reading = r;
    int e = core_session_history(st->s->core, l->turn->pod, l->turn->session, on_each, on_read, r);
    if (e < 0)
        on_read(r, e, strerror(-e), l->turn->session);
}

static bool at_work(const struct session *s)
{
    return s->status == SESSION_BUSY || s->status == SESSION_RETRY;
}

/* ---------------------------------------------------------------- sending */

static uint64_t spacing(const struct stream *st)
{
    uint64_t share = 0;
    for (const struct live *l = st->live; l; l = l->next)
        share += l->threaded ? SHARE_MS : 0;
    return share > SPACING_MS ? share : SPACING_MS;
}

static void page_id(struct buf *out, const struct turn *t, size_t n)
{
    if (*t->id)
        buf_printf(out, "%s.%zu", t->id, n);
    else
        buf_printf(out, "%s.%" PRId64 ".%zu", t->session, t->begun_ms, n);
}

/* A page that has not left yet is replaced; one that may have is changed where it is. `live`: there
 * will be another change, this one may wait for those that people wait for. */
static void put_page(struct stream *st, const struct turn *t, size_t n, cJSON *message, bool live)
{
    _cleanup_buf_ struct buf id = BUF_INIT, key = BUF_INIT, lane = BUF_INIT;
    page_id(&id, t, n);
    buf_printf(&key, "page:%s:%s", t->pod, buf_str(&id));
    buf_printf(&lane, "pages:%s:%s", t->pod, t->session);
    enum outbox_fate fate = outbox_fate(st->s->outbox, buf_str(&key));
    bool update = fate != FATE_NONE && fate != FATE_QUEUED;
    struct outgoing m = {
        .key = buf_str(&key),
        .lane = buf_str(&lane),
        .args = message,
        .thread = { "session", t->pod, t->session },
        .place = { "page", t->pod, buf_str(&id) },
        .live = live,
    };
    _cleanup_buf_ struct buf update_key = BUF_INIT;
    if (update) {
        buf_printf(&update_key, "update:%s", buf_str(&key));
        m.key = m.lane = buf_str(&update_key);
        m.thread = (struct message_ref){ NULL, NULL, NULL };
        m.update = m.again = true;
    }
    (void)outbox_put(st->s->outbox, &m);
}

static void put_file(struct stream *st, const struct turn *t, size_t n, const char *content)
{
    _cleanup_buf_ struct buf id = BUF_INIT, key = BUF_INIT;
    page_id(&id, t, n);
    buf_printf(&key, "file:%s:%s", t->pod, buf_str(&id));
    cJSON *args = cJSON_CreateObject();
    _cleanup_buf_ struct buf name = BUF_INIT;
    buf_printf(&name, "output-%s.md", buf_str(&id));
    json_add_str(args, "filename", buf_str(&name));
    json_add_str(args, "content", content);
    (void)outbox_put(st->s->outbox, &(struct outgoing){
                                        .key = buf_str(&key),
                                        .lane = buf_str(&key),
                                        .args = args,
                                        .thread = { "session", t->pod, t->session },
                                        .file = true,
                                    });
}

static bool note_shown(struct turn *t, size_t n, uint64_t hash)
{
    if (n < t->n_shown && t->shown[n] == hash)
        return false;
    if (n >= t->n_shown) {
        uint64_t *more = reallocarray(t->shown, n + 1, sizeof *more);
        if (!more)
            return false;
        t->shown = more;
        t->n_shown = n + 1;
    }
    t->shown[n] = hash;
    return true;
}

/* A page less than before: OpenCode took text back. */
static cJSON *empty_page(void)
{
    cJSON *m = cJSON_CreateObject();
    json_add_str(m, "text", "(moved up)");
    blocks_add_context(cJSON_AddArrayToObject(m, "blocks"), "(moved up)", NULL);
    return m;
}

/* The new pages and what changed, with the fact that they were given to the outbox, in one commit:
 * after a crash neither is missing nor doubled. */
static int send_pages(struct stream *st, struct turn *t, const struct turn_end *end)
{
    _cleanup_buf_ struct buf stop = BUF_INIT;
    struct turn_pages pages;
    permission_value(&stop, t->pod, t->session);
    int r = turn_render(t, buf_str(&stop), end, &pages);
    if (r < 0)
        return r;
    bool begun = store_begin(st->s->store) == 0;
    for (size_t n = 0; n < pages.count; n++) {
        struct turn_page *p = &pages.page[n];
        if (note_shown(t, n, p->hash))
            put_page(st, t, n, TAKE_PTR(p->message), !end);
        if (end && p->file)
            put_file(st, t, n, p->file);
    }
    for (size_t n = pages.count; end && n < t->n_shown; n++)
        if (note_shown(t, n, 0))
            put_page(st, t, n, empty_page(), false);
    save(st, t);
    if (begun)
        r = store_commit(st->s->store);
    turn_pages_release(&pages);
    return r;
}

static bool has_thread(struct stream *st, const struct turn *t)
{
    char channel[40], ts[40];
    return threads_place(st->s->threads, t->pod, t->session, channel, ts) == 0;
}

static void flush(struct stream *st, struct live *l)
{
    uint64_t now = clock_mono_ms();
    l->threaded = has_thread(st, l->turn);
    l->due_ms = now + (l->threaded ? spacing(st) : THREADLESS_MS);
    if (!l->threaded)
        return;
    l->dirty = false;
    if (send_pages(st, l->turn, NULL) < 0)
        l->dirty = true;
}

/* ---------------------------------------------------------------- the end of a turn */

static void put_note(struct stream *st, const struct turn *t, const char *kind, const char *text)
{
    _cleanup_buf_ struct buf key = BUF_INIT, lane = BUF_INIT;
    buf_printf(&key, "%s:%s:%s:%" PRId64, kind, t->pod, t->session, t->begun_ms);
    threads_lane(&lane, t->pod, t->session);
    cJSON *m = cJSON_CreateObject();
    json_add_str(m, "text", text);
    (void)outbox_put(st->s->outbox, &(struct outgoing){
                                        .key = buf_str(&key),
                                        .lane = buf_str(&lane),
                                        .args = m,
                                        .thread = { "session", t->pod, t->session },
                                    });
}

/* Who began it here is named: for them it is worth a notification. */
static void put_author(struct buf *out, const char *created_by)
{
    const char *user = strchr(created_by, ':');
    if (user && strncmp(created_by, CONNECTOR ":", strlen(CONNECTOR) + 1) == 0 &&
        text_is_user_id(user + 1))
        buf_printf(out, "<@%s> ", user + 1);
}

struct closing {
    struct stream *st;
    struct turn *turn;
    struct turn_end end;
    bool posted; /* some of it was to be seen before */
};

/* Told wherever people are, also where the session had no thread before. */
static int tell_failed(void *data, const struct session *s)
{
    struct closing *c = data;
    _cleanup_buf_ struct buf note = BUF_INIT;
    buf_puts(&note, ":x: ");
    put_author(&note, s->created_by);
    buf_puts(&note, "The turn failed: ");
    (void)text_put(&note, c->end.text, 600, TEXT_ESCAPE | TEXT_ONE_LINE);
    buf_puts(&note, "\nA reply here tries again.");
    put_note(c->st, c->turn, "failed", buf_str(&note));
    return 0;
}

static int close_turn(void *data, const struct session *s)
{
    struct closing *c = data;
    struct turn *t = c->turn;
    _cleanup_buf_ struct buf note = BUF_INIT;
    c->end.cost = s->cost;
    c->end.tokens = s->tokens;
    int r = send_pages(c->st, t, &c->end);
    if (r < 0)
        return r;
    if (c->end.status == SESSION_ERROR)
        return tell_failed(data, s);
    if (c->posted && c->end.now_ms - t->begun_ms >= LONG_MS && *turn_last_text(t) &&
        strcmp(c->end.text, "aborted") != 0 &&
        core_session_told(c->st->s->core, t->pod, t->session) != TOLD_WEB) {
        put_author(&note, s->created_by);
        buf_puts(&note, ":white_check_mark: Done: ");
        (void)text_put(&note, turn_last_text(t), 150, TEXT_ESCAPE | TEXT_ONE_LINE);
    }
    if (note.len)
        put_note(c->st, t, "done", buf_str(&note));
    return 0;
}

static void finish(struct stream *st, struct live *l)
{
    struct turn *t = l->turn;
    crash_point("turn.over");
    struct closing c = {
        .st = st,
        .turn = t,
        .end = { .status = l->status,
                 .text = l->status_text ? l->status_text : "",
                 .now_ms = clock_wall_ms() - CLOSE_MS },
        .posted = t->n_shown > 0,
    };
    if (!has_thread(st, t) && l->status == SESSION_ERROR) {
        if (threads_ensure(st->s->threads, t->pod, t->session) == 0)
            (void)core_with_session(st->s->core, t->pod, t->session, tell_failed, &c);
    } else if (has_thread(st, t)) {
        int r = core_with_session(st->s->core, t->pod, t->session, close_turn, &c);
        if (r < 0 && r != -ENOENT) {
            l->close_ms = clock_mono_ms() + SPACING_MS;
            return;
        }
        crash_point("turn.shown");
        queued_turn_ended(st->s, t->pod, t->session, strcmp(c.end.text, "aborted") == 0);
        if (turn_restart(t, c.end.now_ms, 0, 0) == 0)
            save(st, t); /* only which message was the last */
    }
    live_drop(st, l);
}

static void on_timer(void *data)
{
    struct stream *st = data;
    uint64_t now = clock_mono_ms(), next = UINT64_MAX;
    for (struct live *l = st->live, *after; l; l = after) {
        after = l->next;
        if (l->tries && !l->reading && l->due_ms <= now)
            read_history(st, l);
        if (l->tries && l->closing && l->close_ms <= now)
            l->close_ms = now + READ_MS / 4; /* not before it is known what to show */
        if (l->closing && l->close_ms <= now) {
            finish(st, l);
            continue;
        }
        if (!l->closing && l->dirty && l->due_ms <= now)
            flush(st, l);
        uint64_t at = l->closing ? l->close_ms : l->dirty || l->tries ? l->due_ms : UINT64_MAX;
        next = at < next ? at : next;
    }
    if (next != UINT64_MAX)
        wake(st, next > now ? next : now + 100);
}

/* ---------------------------------------------------------------- what the core tells */

struct opening {
    struct stream *st;
    struct live *live;
};

/* A turn begins with its session at work; what is told later belongs to one that is over. */
static int open_if_at_work(void *data, const struct session *s)
{
    struct opening *o = data;
    if (at_work(s))
        o->live = live_new(o->st, s);
    return 0;
}

static struct live *live_for(struct stream *st, const char *pod, const char *session)
{
    struct opening o = { st, live_find(st, pod, session) };
    if (!o.live)
        (void)core_with_session(st->s->core, pod, session, open_if_at_work, &o);
    return o.live;
}

void stream_activity(struct stream *st, const struct activity *a)
{
    struct live *l = live_for(st, a->pod, a->session_id);
    if (!l)
        return;
    if (l->breaks && a->kind != ACTIVITY_DIFF && turn_break(l->turn) >= 0)
        l->breaks = false;
    int r = turn_add(l->turn, a);
    if (r < 0)
        log_warn("slack: cannot keep what the agent wrote: %s", strerror(-r));
    if (r <= 0 || l->closing)
        return;
    if (!l->dirty) {
        uint64_t soon = clock_mono_ms() + FIRST_MS;
        l->due_ms = l->due_ms > soon ? l->due_ms : soon;
    }
    l->dirty = true;
    wake(st, l->due_ms);
}

static void begin_close(struct stream *st, struct live *l, const struct session *s)
{
    if (!l->closing)
        l->close_ms = clock_mono_ms() + CLOSE_MS;
    l->closing = true;
    l->status = s->status;
    free(l->status_text);
    l->status_text = strdup(s->status_text);
    wake(st, l->close_ms);
}

/* What the gateway did not hear of is told soon after its start. */
static bool was_away(struct stream *st, const struct session *s)
{
    char channel[40], ts[40];
    return clock_wall_ms() - st->begun_ms < EARLY_MS &&
           threads_place(st->s->threads, s->pod, s->id, channel, ts) == 0;
}

static int end_if_over(void *data, const struct session *s)
{
    struct stream *st = data;
    struct live *l = NULL;
    char channel[40], ts[40];
    if (at_work(s) || live_find(st, s->pod, s->id))
        return 0;
    if (threads_place(st->s->threads, s->pod, s->id, channel, ts) == 0)
        l = live_new(st, s);
    else if (clock_wall_ms() - st->begun_ms < EARLY_MS)
        return THREAD_LATER;
    if (l)
        begin_close(st, l, s);
    else
        expected_done(st, s->pod, s->id);
    return 0;
}

void stream_session_changed(struct stream *st, const struct session *s)
{
    struct live *l = live_find(st, s->pod, s->id);
    if (at_work(s)) {
        if (l)
            l->closing = false; /* it goes on: what was queued comes next */
        else
            (void)live_new(st, s);
        return;
    }
    if (!l && was_away(st, s)) /* it ended then */
        l = live_new(st, s);
    if (l)
        begin_close(st, l, s);
}

void stream_break(struct stream *st, const char *pod, const char *session_id)
{
    struct live *l = live_find(st, pod, session_id);
    if (!l)
        return;
    if (l->turn->n_shown > 0)
        l->breaks = true;
    if (!l->threaded && l->dirty) { /* its thread is on its way */
        l->due_ms = clock_mono_ms() + FIRST_MS;
        wake(st, l->due_ms);
    }
}

void stream_flush(struct stream *st)
{
    for (struct live *l = st->live; l; l = l->next)
        if (l->dirty)
            flush(st, l);
}
