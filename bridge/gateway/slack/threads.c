#include "bridge/gateway/slack/threads.h"

#include "base/core/clock.h"
#include "base/core/log.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/render/blocks.h"
#include "bridge/gateway/slack/render/permission.h"
#include "bridge/gateway/slack/render/text.h"
#include "bridge/gateway/slack/render/turn.h"
#include "bridge/gateway/slack/wire/timer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CHANGED_MAX     64   /* sessions whose card is to be brought up to date */
#define CARD_SPACING_MS 1500 /* changes within are one */
#define STOPPING_MAX    256

struct changed {
    char *pod, *id;
};

struct threads {
    struct slack *s;
    struct timer *timer;
    struct changed changed[CHANGED_MAX];
    size_t changed_count;
};

static void on_timer(void *data);

int threads_new(struct threads **ret, struct slack *s)
{
    struct threads *t = calloc(1, sizeof *t);
    if (!t)
        return -ENOMEM;
    t->s = s;
    t->timer = timer_new(s->loop, on_timer, t);
    if (!t->timer) {
        free(t);
        return -ENOMEM;
    }
    *ret = t;
    return 0;
}

void threads_free(struct threads *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->changed_count; i++) {
        free(t->changed[i].pod);
        free(t->changed[i].id);
    }
    timer_free(t->timer);
    free(t);
}

void threads_lane(struct buf *out, const char *pod, const char *session_id)
{
    buf_printf(out, "thread:%s:%s", pod, session_id);
}

/* ---------------------------------------------------------------- places */

struct found {
    char *pod, *id;
    char channel[40], ts[40];
    char *extra;
    bool is_session;
};

static int take_place(void *data, const struct store_place *p)
{
    struct found *f = data;
    f->pod = strdup(p->pod);
    f->id = strdup(p->id);
    f->extra = strdup(p->extra);
    (void)snprintf(f->channel, sizeof f->channel, "%s", p->channel);
    (void)snprintf(f->ts, sizeof f->ts, "%s", p->ts);
    f->is_session = strcmp(p->kind, "session") == 0;
    return f->pod && f->id && f->extra ? 0 : -ENOMEM;
}

static void found_release(struct found *f)
{
    free(f->pod);
    free(f->id);
    free(f->extra);
}

int threads_find(struct threads *t, const char *channel, const char *thread_ts, char **ret_pod,
                 char **ret_session)
{
    _cleanup_(found_release) struct found f = { 0 };
    int r = store_place_find(t->s->store, CONNECTOR, channel, thread_ts, take_place, &f);
    if (r < 0)
        return r;
    if (!f.is_session)
        return -ENOENT;
    *ret_pod = TAKE_PTR(f.pod);
    *ret_session = TAKE_PTR(f.id);
    return 0;
}

int threads_place(struct threads *t, const char *pod, const char *session_id, char channel[40],
                  char ts[40])
{
    _cleanup_(found_release) struct found f = { 0 };
    int r = store_place_get(t->s->store, CONNECTOR, "session", pod, session_id, take_place, &f);
    if (r < 0)
        return r;
    (void)snprintf(channel, 40, "%s", f.channel);
    (void)snprintf(ts, 40, "%s", f.ts);
    return 0;
}

/* ---------------------------------------------------------------- the card */

static void put_status(struct buf *out, const struct session *s, bool rests)
{
    static const char *const words[SESSION_STATUS_MAX] = {
        [SESSION_IDLE] = ":white_circle: ready",
        [SESSION_BUSY] = ":large_blue_circle: at work",
        [SESSION_RETRY] = ":large_yellow_circle: the model is away, trying again",
        [SESSION_ERROR] = ":red_circle: the last turn failed",
        [SESSION_GONE] = ":black_circle: gone from OpenCode",
    };
    buf_puts(out, words[(unsigned)s->status < SESSION_STATUS_MAX ? s->status : SESSION_IDLE]);
    if (*s->status_text && s->status != SESSION_IDLE && s->status != SESSION_BUSY) {
        buf_puts(out, ": ");
        (void)text_put(out, s->status_text, 300, TEXT_ESCAPE | TEXT_ONE_LINE);
    }
    text_put_next_try(out, s->status == SESSION_RETRY ? s->retry_at_ms : 0);
    if (rests)
        buf_puts(out, "; it waits for an answer on the web page");
}

/* While it is at work it can be stopped from here: commands do not work in threads. */
static void put_stop(cJSON *blocks, const struct session *s)
{
    _cleanup_buf_ struct buf value = BUF_INIT;
    if (s->status != SESSION_BUSY && s->status != SESSION_RETRY)
        return;
    permission_value(&value, s->pod, s->id);
    struct blocks_button stop = { .action_id = ACTION_STOP,
                                  .label = "Stop",
                                  .value = buf_str(&value) };
    blocks_add_buttons(blocks, "session", &stop, 1);
}

/* `rests`: a request waits on the web page, and not here. */
static cJSON *card_message(const struct session *s, bool rests)
{
    _cleanup_buf_ struct buf head = BUF_INIT, text = BUF_INIT, where = BUF_INIT;
    cJSON *m = cJSON_CreateObject();
    (void)text_put(&text, *s->title ? s->title : "OpenCode session", 200,
                   TEXT_ESCAPE | TEXT_ONE_LINE);
    json_add_str(m, "text", buf_str(&text));
    buf_printf(&head, ":speech_balloon: *%s*\n", buf_str(&text));
    put_status(&head, s, rests);
    buf_printf(&where, "%s \xc2\xb7 %s%s%s", s->directory, s->pod, *s->model ? " \xc2\xb7 " : "",
               s->model);
    cJSON *blocks = cJSON_AddArrayToObject(m, "blocks");
    blocks_add_section(blocks, buf_str(&head));
    blocks_add_context(blocks, NULL, buf_str(&where));
    put_stop(blocks, s);
    return m;
}

static void card_extra(struct buf *out, const struct session *s, bool rests)
{
    _cleanup_json_ cJSON *j = cJSON_CreateObject();
    _cleanup_buf_ struct buf seen = BUF_INIT;
    buf_printf(&seen, "%d/%s/%s/%" PRId64 "%s", (int)s->status, s->title, s->status_text,
               s->retry_at_ms, rests ? "/rests" : "");
    json_add_str(j, "seen", buf_str(&seen));
    (void)cJSON_AddBoolToObject(j, "adopted", false);
    _cleanup_free_ char *text = json_print(j);
    buf_puts(out, text ? text : "{}");
}

struct card {
    struct threads *t;
    const char *kind; /* "session": the thread's first message; "card": a reply in it */
};

static int put_card(void *data, const struct session *s)
{
    struct card *c = data;
    _cleanup_buf_ struct buf key = BUF_INIT, lane = BUF_INIT, extra = BUF_INIT;
    bool reply = strcmp(c->kind, "card") == 0;
    buf_printf(&key, "%s:%s:%s", c->kind, s->pod, s->id);
    threads_lane(&lane, s->pod, s->id);
    bool rests = core_session_rests(c->t->s->core, s->pod, s->id);
    card_extra(&extra, s, rests);
    /* It was posted, yet it has no place: somebody deleted it. Then there is a new one. */
    bool again = outbox_fate(c->t->s->outbox, buf_str(&key)) == FATE_DONE;
    return outbox_put(c->t->s->outbox, &(struct outgoing){
                                           .again = again,
                                           .key = buf_str(&key),
                                           .lane = buf_str(&lane),
                                           .args = card_message(s, rests),
                                           .thread = { reply ? "session" : NULL, s->pod, s->id },
                                           .place = { c->kind, s->pod, s->id },
                                           .extra = buf_str(&extra),
                                       });
}

struct pod_of {
    const char *session_id;
    char *pod;
};

static int match_session(void *data, const struct session *s)
{
    struct pod_of *p = data;
    if (strcmp(s->id, p->session_id) != 0)
        return 0;
    p->pod = strdup(s->pod);
    return 1;
}

char *threads_pod_of(struct threads *t, const char *session_id)
{
    struct pod_of p = { .session_id = session_id };
    int r = core_each_session(t->s->core, match_session, &p);
    return r == 1 ? p.pod : strdup(t->s->set->pod);
}

int threads_ensure(struct threads *t, const char *pod, const char *session_id)
{
    char channel[40], ts[40];
    if (threads_place(t, pod, session_id, channel, ts) == 0)
        return 0;
    if (!t->s->set->slack_channel || !*t->s->set->slack_channel)
        return -ENOTCONN;
    struct card c = { t, "session" };
    return core_with_session(t->s->core, pod, session_id, put_card, &c);
}

int threads_adopt(struct threads *t, const char *pod, const char *session_id, const char *channel,
                  const char *ts, const char *text)
{
    _cleanup_json_ cJSON *extra = cJSON_CreateObject();
    (void)cJSON_AddBoolToObject(extra, "adopted", true);
    _cleanup_free_ char *extra_text = json_print(extra);
    int r = store_place_put(t->s->store, &(struct store_place){
                                             .connector = CONNECTOR,
                                             .kind = "session",
                                             .pod = pod,
                                             .id = session_id,
                                             .channel = channel,
                                             .ts = ts,
                                             .thread_ts = ts,
                                             .extra = extra_text ? extra_text : "{}",
                                         });
    if (r < 0)
        return r;
    struct card c = { t, "card" };
    r = core_with_session(t->s->core, pod, session_id, put_card, &c);
    if (r != -ENOENT)
        return r;
    /* The core hears of it later; the card follows then. */
    const struct session s = { .pod = pod,
                               .id = session_id,
                               .directory = "",
                               .title = text,
                               .agent = "",
                               .model = "",
                               .created_by = "",
                               .status_text = "" };
    return put_card(&c, &s);
}

/* ---------------------------------------------------------------- changes */

static void mark_changed(struct threads *t, const char *pod, const char *id)
{
    for (size_t i = 0; i < t->changed_count; i++)
        if (strcmp(t->changed[i].id, id) == 0 && strcmp(t->changed[i].pod, pod) == 0)
            return;
    if (t->changed_count == CHANGED_MAX)
        return; /* its card is brought up to date with its next change */
    struct changed c = { strdup(pod), strdup(id) };
    if (!c.pod || !c.id) {
        free(c.pod);
        free(c.id);
        return;
    }
    t->changed[t->changed_count++] = c;
    timer_start_earlier(t->timer, CARD_SPACING_MS);
}

static int update_card(void *data, const struct session *s)
{
    struct threads *t = data;
    _cleanup_(found_release) struct found f = { 0 };
    const char *kind = "card";
    if (store_place_get(t->s->store, CONNECTOR, kind, s->pod, s->id, take_place, &f) < 0) {
        kind = "session";
        if (store_place_get(t->s->store, CONNECTOR, kind, s->pod, s->id, take_place, &f) < 0)
            return 0;
    }
    _cleanup_json_ cJSON *old = NULL;
    if (json_parse(&old, f.extra, strlen(f.extra), NULL) == 0 && json_bool(old, "adopted", false))
        return 0; /* the first message is a person's, and the card is not there yet */
    _cleanup_buf_ struct buf key = BUF_INIT, extra = BUF_INIT;
    bool rests = core_session_rests(t->s->core, s->pod, s->id);
    card_extra(&extra, s, rests);
    if (strcmp(buf_str(&extra), f.extra) == 0)
        return 0;
    buf_printf(&key, "update:%s:%s:%s", kind, s->pod, s->id);
    return outbox_put(t->s->outbox, &(struct outgoing){
                                        .key = buf_str(&key),
                                        .lane = buf_str(&key),
                                        .args = card_message(s, rests),
                                        .place = { kind, s->pod, s->id },
                                        .extra = buf_str(&extra),
                                        .update = true,
                                        .again = true,
                                    });
}

static void on_timer(void *data)
{
    struct threads *t = data;
    for (size_t i = 0; i < t->changed_count; i++) {
        (void)core_with_session(t->s->core, t->changed[i].pod, t->changed[i].id, update_card, t);
        free(t->changed[i].pod);
        free(t->changed[i].id);
    }
    t->changed_count = 0;
}

static bool has_thread(struct threads *t, const char *pod, const char *id)
{
    char channel[40], ts[40];
    return threads_place(t, pod, id, channel, ts) == 0;
}

/* ---------------------------------------------------------------- what the core tells */

void threads_session_changed(struct threads *t, const struct session *s)
{
    if (!has_thread(t, s->pod, s->id))
        return;
    mark_changed(t, s->pod, s->id);
}

void threads_touch(struct threads *t, const char *pod, const char *session_id)
{
    if (has_thread(t, pod, session_id))
        mark_changed(t, pod, session_id);
}

/* ---------------------------------------------------------------- the pod stops */

struct stopping {
    struct threads *t;
    int64_t now_ms;
    struct changed at[STOPPING_MAX];
    size_t count;
};

static void stopping_add(struct stopping *p, const char *pod, const char *id)
{
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->at[i].id, id) == 0 && strcmp(p->at[i].pod, pod) == 0)
            return;
    if (p->count == STOPPING_MAX || !has_thread(p->t, pod, id))
        return;
    struct changed c = { strdup(pod), strdup(id) };
    p->at[p->count++] = c;
}

static int stopping_session(void *data, const struct session *s)
{
    if (s->status == SESSION_BUSY || s->status == SESSION_RETRY)
        stopping_add(data, s->pod, s->id);
    return 0;
}

static int stopping_request(void *data, const struct request *r)
{
    stopping_add(data, r->pod, r->root_session_id);
    return 0;
}

static void say_stopping(struct stopping *p, const struct changed *c)
{
    if (!c->pod || !c->id)
        return;
    _cleanup_buf_ struct buf key = BUF_INIT, lane = BUF_INIT;
    buf_printf(&key, "stopping:%s:%s:%" PRId64, c->pod, c->id, p->now_ms);
    threads_lane(&lane, c->pod, c->id);
    cJSON *m = cJSON_CreateObject();
    json_add_str(m, "text",
                 ":arrows_counterclockwise: The pod is restarting. What was under way "
                 "here ends; the session itself is kept.");
    (void)outbox_put(p->t->s->outbox, &(struct outgoing){
                                          .key = buf_str(&key),
                                          .lane = buf_str(&lane),
                                          .args = m,
                                          .thread = { "session", c->pod, c->id },
                                      });
}

void threads_say_stopping(struct threads *t)
{
    struct stopping *p = calloc(1, sizeof *p);
    if (!p)
        return;
    p->t = t;
    p->now_ms = clock_wall_ms();
    (void)core_each_session(t->s->core, stopping_session, p);
    (void)core_each_request(t->s->core, true, stopping_request, p);
    for (size_t i = 0; i < p->count; i++) {
        say_stopping(p, &p->at[i]);
        free(p->at[i].pod);
        free(p->at[i].id);
    }
    free(p);
}
