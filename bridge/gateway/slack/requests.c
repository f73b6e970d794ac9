#include "bridge/gateway/slack/requests.h"

#include "base/core/log.h"
#include "bridge/gateway/slack/home.h"
#include "bridge/gateway/slack/intake.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/outbox.h"
#include "bridge/gateway/slack/render/blocks.h"
#include "bridge/gateway/slack/render/permission.h"
#include "bridge/gateway/slack/render/question.h"
#include "bridge/gateway/slack/stream.h"
#include "bridge/gateway/slack/threads.h"
#include "bridge/gateway/slack/wish.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const char *const state_names[REQUEST_STATE_MAX] = {
    [REQUEST_PENDING] = "pending",
    [REQUEST_DECIDING] = "deciding",
    [REQUEST_SETTLED] = "settled",
};

struct shown {
    bool known; /* it has a message */
    bool up_to_date;
    const char *fingerprint;
};

static int compare(void *data, const struct store_place *p)
{
    struct shown *w = data;
    w->known = true;
    w->up_to_date = strcmp(p->extra, w->fingerprint) == 0;
    return 0;
}

/* What comes when nobody answers. */
static void add_default(struct slack *s, const struct request *r, cJSON *message)
{
    _cleanup_free_ char *answers = core_question_default(s->core, r);
    _cleanup_buf_ struct buf line = BUF_INIT;
    if (!answers)
        return;
    int64_t at_s = (r->created_ms + (int64_t)s->set->question_timeout_ms) / 1000;
    buf_printf(&line,
               ":alarm_clock: Without an answer until <!date^%" PRId64 "^{date_short_pretty} "
               "{time}|then> it is answered with what is recommended",
               at_s);
    question_put_answers(&line, answers);
    blocks_add_context(cJSON_GetObjectItemCaseSensitive(message, "blocks"), buf_str(&line), NULL);
}

static cJSON *message_of(struct slack *s, const struct request *r)
{
    cJSON *m = r->kind == REQUEST_QUESTION ? question_message(r) : permission_message(r);
    if (m)
        add_default(s, r, m);
    return m;
}

static void put_update(struct slack *s, const struct request *r, const char *fingerprint)
{
    _cleanup_buf_ struct buf key = BUF_INIT;
    buf_printf(&key, "update:request:%s:%s", r->pod, r->id);
    (void)outbox_put(s->outbox, &(struct outgoing){
                                    .key = buf_str(&key),
                                    .lane = buf_str(&key),
                                    .args = message_of(s, r),
                                    .place = { "request", r->pod, r->id },
                                    .extra = fingerprint,
                                    .shown = state_names[r->state],
                                    .update = true,
                                    .again = true,
                                });
}

/* What the message shows only in part. */
static void put_file(struct slack *s, const struct request *r, const char *lane)
{
    _cleanup_free_ char *whole =
        r->kind == REQUEST_QUESTION ? question_whole(r) : permission_whole(r);
    _cleanup_buf_ struct buf key = BUF_INIT, name = BUF_INIT;
    if (!whole || r->state != REQUEST_PENDING)
        return;
    buf_printf(&key, "file:request:%s:%s", r->pod, r->id);
    buf_printf(&name, "request-%s.txt", r->id);
    cJSON *args = cJSON_CreateObject();
    json_add_str(args, "filename", buf_str(&name));
    json_add_str(args, "content", whole);
    (void)outbox_put(s->outbox, &(struct outgoing){
                                    .key = buf_str(&key),
                                    .lane = lane,
                                    .args = args,
                                    .thread = { "session", r->pod, r->root_session_id },
                                    .file = true,
                                });
}

/* A settled one is not posted: the outbox drops it and says that it was shown. */
static void put_post(struct slack *s, const struct request *r, const char *key,
                     const char *fingerprint, bool again)
{
    int e =
        r->state == REQUEST_SETTLED ? 0 : threads_ensure(s->threads, r->pod, r->root_session_id);
    if (e == -ENOTCONN) {
        slack_problem(s, PROBLEM_NOTE,
                      "SLACK_CHANNEL_ID is not set: only sessions that were started in Slack are "
                      "shown there");
        return;
    }
    if (e < 0 && e != -ENOENT)
        log_warn("slack: no thread for a request, posting it in the channel: %s", strerror(-e));
    if (r->state != REQUEST_SETTLED)
        stream_break(s->stream, r->pod, r->root_session_id);
    _cleanup_buf_ struct buf lane = BUF_INIT;
    threads_lane(&lane, r->pod, r->root_session_id);
    (void)outbox_put(s->outbox, &(struct outgoing){
                                    .key = key,
                                    .lane = buf_str(&lane),
                                    .args = message_of(s, r),
                                    .thread = { "session", r->pod, r->root_session_id },
                                    .place = { "request", r->pod, r->id },
                                    .extra = fingerprint,
                                    .shown = state_names[r->state],
                                    .again = again,
                                });
    put_file(s, r, buf_str(&lane));
}

/* `asked_for`: somebody wants it here, wherever people are told. */
static void changed(struct slack *s, const struct request *r, bool asked_for)
{
    if ((unsigned)r->state >= REQUEST_STATE_MAX)
        return;
    _cleanup_buf_ struct buf key = BUF_INIT, fingerprint = BUF_INIT;
    buf_printf(&key, "request:%s:%s", r->pod, r->id);
    permission_fingerprint(&fingerprint, r);
    struct shown shown = { .fingerprint = buf_str(&fingerprint) };
    (void)store_place_get(s->store, CONNECTOR, "request", r->pod, r->id, compare, &shown);
    bool settled = r->state == REQUEST_SETTLED;
    if (shown.known) {
        /* A settled one that is offered again was shown, but the core did not hear of it. */
        if (!shown.up_to_date || settled)
            put_update(s, r, buf_str(&fingerprint));
        return;
    }
    if (!settled && intake_unsettled(s->intake)) /* its thread may be there, and not known yet */
        return;
    switch (outbox_fate(s->outbox, buf_str(&key))) {
    case FATE_NONE:
        /* Its card says what it waits for. */
        threads_touch(s->threads, r->pod, r->root_session_id);
        if (!asked_for && core_request_rests(s->core, r))
            break;
        put_post(s, r, buf_str(&key), buf_str(&fingerprint), false);
        break;
    case FATE_QUEUED:
        put_post(s, r, buf_str(&key), buf_str(&fingerprint), false);
        break;
    case FATE_SENDING:
        put_update(s, r, buf_str(&fingerprint));
        break;
    case FATE_DONE:   /* somebody deleted the message */
    case FATE_FAILED: /* Slack refused it for good */
        if (settled)
            put_post(s, r, buf_str(&key), buf_str(&fingerprint), true);
        break;
    }
}

void requests_changed(struct slack *s, const struct request *r)
{
    changed(s, r, false);
}

static int bring(void *data, const struct request *r)
{
    struct slack *s = data;
    core_request_taken(s->core, r->pod, r->id);
    changed(s, r, true);
    return 0;
}

bool requests_known(struct slack *s, const struct request *r)
{
    _cleanup_buf_ struct buf key = BUF_INIT;
    buf_printf(&key, "request:%s:%s", r->pod, r->id);
    return outbox_fate(s->outbox, buf_str(&key)) != FATE_NONE;
}

/* The Home tab has no channel to whisper in: it is shown anew. */
static void bring_for(const struct wish *w, const char *pod, const char *id)
{
    (void)core_with_request(w->s->core, pod, id, bring, w->s);
    wish_whisper(w, "It comes to its session's thread now.");
    if (!*w->channel)
        home_show(w->s, w->user);
}

bool requests_action(struct slack *s, const cJSON *payload, const char *action_id)
{
    const cJSON *action = cJSON_GetArrayItem(json_arr(payload, "actions"), 0);
    if (strcmp(action_id, ACTION_BRING) != 0)
        return false;
    struct wish_fields f = wish_fields_of_action(payload);
    f.value = json_str(action, "value", "");
    wish_ask(s, bring_for, &f);
    return true;
}

static int offer(void *data, const struct request *r)
{
    requests_changed(data, r);
    return 0;
}

void requests_offer(struct slack *s)
{
    (void)core_each_request(s->core, true, offer, s);
}

void requests_gone(struct slack *s, const char *pod, const char *request_id, const char *channel,
                   const char *ts)
{
    struct shown shown = { .fingerprint = "gone" };
    int e = store_place_get(s->store, CONNECTOR, "request", pod, request_id, compare, &shown);
    if (e == -ENOENT)
        e = store_place_put(s->store, &(struct store_place){
                                          .connector = CONNECTOR,
                                          .kind = "request",
                                          .pod = pod,
                                          .id = request_id,
                                          .channel = channel,
                                          .ts = ts,
                                          .thread_ts = ts,
                                          .extra = "",
                                      });
    if (e < 0 || shown.up_to_date)
        return;
    cJSON *m = cJSON_CreateObject();
    json_add_str(m, "text", "This request is no longer waiting.");
    blocks_add_section(cJSON_AddArrayToObject(m, "blocks"),
                       ":heavy_minus_sign: This request is no longer waiting: OpenCode has it no "
                       "more.");
    _cleanup_buf_ struct buf key = BUF_INIT;
    buf_printf(&key, "update:request:%s:%s", pod, request_id);
    (void)outbox_put(s->outbox, &(struct outgoing){
                                    .key = buf_str(&key),
                                    .lane = buf_str(&key),
                                    .args = m,
                                    .place = { "request", pod, request_id },
                                    .extra = "gone",
                                    .update = true,
                                    .again = true,
                                });
}
