#include "bridge/gateway/slack/inbound.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "bridge/gateway/core/crash.h"
#include "bridge/gateway/core/flush.h"
#include "bridge/gateway/slack/answer.h"
#include "bridge/gateway/slack/decide.h"
#include "bridge/gateway/slack/home.h"
#include "bridge/gateway/slack/intake.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/queued.h"
#include "bridge/gateway/slack/render/text.h"
#include "bridge/gateway/slack/stream.h"
#include "bridge/gateway/slack/threads.h"
#include "bridge/gateway/slack/users.h"
#include "bridge/gateway/slack/wish.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define STOP_MS 60000 /* a "!stop" older than this would end something else */

/* One message of a person, kept while the allow-list and OpenCode are asked. */
struct words {
    struct intake_item *item; /* NULL: it was ended */
    const char *user, *channel,
        *thread_ts;      /* of the item; thread_ts: the thread it is in or begins */
    const char *text;    /* plain, as it was meant */
    bool reply;          /* in a thread */
    int64_t written_ms;  /* when, if it was found later; else 0 */
    char *pod, *session; /* of the thread; NULL: it starts a session */
    bool behind;         /* the session was at work when it was sent */
    char id[PROMPT_ID_SIZE];
    bool tried; /* it may have left before, under this id */
    void (*send)(struct words *w);
};

static void words_free(void *data)
{
    struct words *w = data;
    if (!w)
        return;
    intake_drop(w->item);
    free(w->pod);
    free(w->session);
    free(w);
}

static void words_free_ptr(struct words **w)
{
    words_free(*w);
}
#define _cleanup_words_ _cleanup_(words_free_ptr)

static void whisper(const struct words *w, const char *text)
{
    slack_whisper(w->item->s, w->channel, w->thread_ts, w->user, text);
}

static struct actor actor_of(const struct words *w)
{
    return (struct actor){ CONNECTOR, w->user, users_name(w->item->s->users, w->user) };
}

/* The person knows how it ended, and it is over. */
static void end(struct words *w, const char *text)
{
    if (text)
        whisper(w, text);
    intake_done(TAKE_PTR(w->item));
}

static void fail(struct words *w, const char *what, int error, const char *message)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    buf_printf(&b, "%s: ", what);
    (void)text_put(&b, core_error_text(error, message), 400, TEXT_ESCAPE | TEXT_ONE_LINE);
    end(w, buf_str(&b));
}

/* OpenCode is away, or nobody knows whether it heard: once more, later. Said once. */
static void fail_or_later(struct words *w, const char *what, int error, const char *message)
{
    if (!intake_worth(w->item, error)) {
        fail(w, what, error, message);
        return;
    }
    if (error == -ENOTCONN && w->item->attempts == INTAKE_SAY_AT && !w->item->s->stopping)
        whisper(w, ":hourglass_flowing_sand: OpenCode can't be reached just now. Your message is "
                   "kept and goes on when it is back.");
    intake_retry(TAKE_PTR(w->item), error);
}

/* ---------------------------------------------------------------- to a session */

static void on_message_done(void *data, int error, const char *message, const char *session_id)
{
    _cleanup_words_ struct words *w = data;
    (void)session_id;
    if (!w->item->s) /* the gateway ends; the next start looks whether it arrived */
        return;
    crash_point("prompt.answered");
    if (error) {
        fail_or_later(w, ":warning: That did not reach the agent", error, message);
        return;
    }
    if (w->behind)
        queued_add(w->item->s,
                   &(struct queued_message){ w->pod, w->session, w->item->note, w->user, w->text });
    else
        stream_break(w->item->s->stream, w->pod, w->session);
    if (stream_expect(w->item->s->stream, w->pod, w->session) < 0)
        log_warn("slack: cannot store that session %s has a prompt", w->session);
    end(w, NULL);
}

static void on_abort_done(void *data, int error, const char *message, const char *session_id)
{
    _cleanup_words_ struct words *w = data;
    (void)session_id;
    if (!w->item->s)
        return;
    if (error)
        fail(w, ":warning: It could not be stopped", error, message);
    else
        end(w, "Stopped.");
}

static void stop_session(struct words *words)
{
    _cleanup_words_ struct words *w = words;
    struct actor actor = actor_of(w);
    if (intake_age(w->item) > STOP_MS ||
        (w->written_ms && clock_wall_ms() - w->written_ms > STOP_MS)) {
        end(w, ":warning: It could not be stopped in time. Write `!stop` again if it is still "
               "needed.");
        return;
    }
    int r = core_session_abort(w->item->s->core, w->pod, w->session, &actor, on_abort_done, w);
    if (r < 0)
        fail(w, ":warning: It could not be stopped", r, NULL);
    else
        (void)TAKE_PTR(w); /* the answer has it */
}

static int is_at_work(void *data, const struct session *s)
{
    *(bool *)data = s->status == SESSION_BUSY || s->status == SESSION_RETRY;
    return 0;
}

/* The id is on the disk: after a power cut, too, it is known under which one to look for it. */
static void on_id_kept(void *data, int error)
{
    _cleanup_words_ struct words *w = data;
    if (!w->item->s)
        return;
    if (error) {
        log_error("slack: what is to be sent to the agent is not on the disk: %s",
                  strerror(-error));
        intake_later(TAKE_PTR(w->item), STOP_MS);
        return;
    }
    struct words *all = TAKE_PTR(w);
    all->send(all);
}

/* Its id is chosen and stored, then `send`. */
static void keep_id(struct words *words, void (*send)(struct words *w))
{
    _cleanup_words_ struct words *w = words;
    w->tried = w->item->attempts > 0;
    if (intake_prompt_id(w->item, w->id) < 0)
        return;
    w->send = send;
    struct words *all = TAKE_PTR(w);
    if (flush_wait(core_flush(all->item->s->core), on_id_kept, all) < 0)
        words_free(all); /* out of memory: it is taken up again */
}

static void send_prompt(struct words *w)
{
    struct actor actor = actor_of(w);
    struct session_prompt prompt = {
        .pod = w->pod,
        .session_id = w->session,
        .text = w->text,
        .actor = &actor,
        .message_id = w->id,
        .again = w->tried,
    };
    struct core *core = w->item->s->core;
    (void)core_with_session(core, w->pod, w->session, is_at_work, &w->behind);
    int r = core_session_prompt(core, &prompt, on_message_done, w); /* the answer has it */
    if (r < 0)
        on_message_done(w, r, NULL, NULL);
    else
        crash_point("prompt.sent");
}

/* Commands do not work in threads; these words alone do. */
static bool is_stop(const char *text)
{
    static const char *const words[] = { "!stop", "stop",  "stop!",
                                         "stop.", "/stop", "/opencode stop" };
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strcasecmp(words[i], text) == 0)
            return true;
    return false;
}

/* A decision, the answer to a question, an order to stop, or a message for the agent. */
static void to_session(struct words *w)
{
    const struct thread_words t = { w->item,      w->pod,  w->session, w->channel,
                                    w->thread_ts, w->user, w->text,    w->written_ms };
    if (decide_by_text(&t) || (!is_stop(w->text) && answer_by_text(&t))) {
        w->item = NULL; /* the decision has it */
        words_free(w);
    } else if (is_stop(w->text)) {
        stop_session(w);
    } else {
        keep_id(w, send_prompt);
    }
}

/* ---------------------------------------------------------------- a new session */

/* `done`: its prompt arrived, too. Else it is tried again, and the thread is known all the same:
 * what the session asks meanwhile belongs there. */
static int adopt(struct words *w, const char *pod, const char *session_id, bool done)
{
    struct store *store = w->item->s->store;
    int r = store_begin(store);
    if (r < 0)
        return r;
    r = threads_adopt(w->item->s->threads, pod, session_id, w->channel, w->thread_ts, w->text);
    if (r >= 0 && done)
        r = stream_expect(w->item->s->stream, pod, session_id);
    if (r >= 0 && done)
        r = store_inbound_done(store, w->item->id);
    if (r < 0) {
        store_rollback(store);
        return r;
    }
    return store_commit(store);
}

static void on_start_done(void *data, int error, const char *message, const char *session_id)
{
    _cleanup_words_ struct words *w = data;
    if (!w->item->s)
        return;
    bool made = session_id && *session_id;
    _cleanup_free_ char *pod = made ? threads_pod_of(w->item->s->threads, session_id) : NULL;
    if (error || !made) {
        if (pod && adopt(w, pod, session_id, false) < 0)
            log_warn("slack: cannot store the thread of session %s", session_id);
        fail_or_later(w, ":warning: The session could not be started", error ? error : -EIO,
                      message);
        return;
    }
    int r = pod ? adopt(w, pod, session_id, true) : -ENOMEM;
    if (r < 0 && intake_patient(w->item)) {
        log_error("slack: cannot store a session's thread: %s", strerror(-r));
        intake_later(TAKE_PTR(w->item), intake_pause(w->item));
        return;
    }
    crash_point("session.shown");
    if (r < 0)
        fail(w, ":warning: The session was started, but this thread does not belong to it", r,
             NULL);
    else
        end(w, NULL);
}

static void start_session(struct words *w)
{
    _cleanup_buf_ struct buf key = BUF_INIT;
    struct actor actor = actor_of(w);
    buf_printf(&key, "slack:%s:%s", w->channel, w->thread_ts);
    struct session_start start = {
        .prompt = w->text,
        .actor = &actor,
        .key = buf_str(&key),
        .message_id = w->id,
        .again = w->tried,
    };
    int r = core_session_start(w->item->s->core, &start, on_start_done, w);
    if (r < 0)
        on_start_done(w, r, NULL, NULL);
    else
        crash_point("prompt.sent");
}

static void on_may(void *data, bool may)
{
    struct words *w = data;
    if (may && *w->text) {
        if (w->session)
            to_session(w);
        else
            keep_id(w, start_session);
        return;
    }
    if (may) {
        end(w, w->session ? "Only text is passed on to the agent."
                          : "Tell me what to do, in the same message, and a session starts.");
    } else {
        struct actor actor = actor_of(w);
        core_audit(w->item->s->core, &actor, "refused", w->session ? w->session : "new session",
                   "not among those who may write");
        end(w, users_refusal(w->item->s->users));
    }
    words_free(w);
}

/* A reply finds its session now: the message that began it was worked off before. */
void inbound_work(struct slack *s, struct intake_item *i)
{
    struct words *w = calloc(1, sizeof *w);
    if (!w) {
        intake_drop(i);
        return;
    }
    *w = (struct words){
        .item = i,
        .user = json_str(i->payload, "user", ""),
        .channel = json_str(i->payload, "channel", ""),
        .thread_ts = json_str(i->payload, "thread_ts", ""),
        .text = json_str(i->payload, "text", ""),
        .reply = json_bool(i->payload, "reply", false),
        .written_ms = json_int(i->payload, "written_ms", 0),
    };
    (void)threads_find(s->threads, w->channel, w->thread_ts, &w->pod, &w->session);
    if (w->reply && !w->session && !json_bool(i->payload, "mention", false)) {
        end(w, "There is no session in this thread: the one that was to begin here did not.");
        words_free(w);
        return;
    }
    users_ask(s->users, w->user, on_may, words_free, w);
}

/* ---------------------------------------------------------------- events */

struct message {
    const char *user, *channel, *ts, *thread_ts, *text;
    bool mention, direct;
    int64_t written_ms;   /* if it was found later; else 0 */
    const char *shortcut; /* which use of it; else NULL. A message may be sent more than once, by
                           * others than who wrote it */
};

static bool from_a_person(const struct slack *s, const cJSON *event)
{
    static const char *const subtypes[] = { "", "file_share", "thread_broadcast" };
    const char *subtype = json_str(event, "subtype", "");
    const char *user = json_str(event, "user", "");
    bool known = false;
    for (size_t i = 0; i < ARRAY_SIZE(subtypes); i++)
        known = known || strcmp(subtype, subtypes[i]) == 0;
    return known && text_is_user_id(user) && !*json_str(event, "bot_id", "") &&
           (!s->bot_user || strcmp(user, s->bot_user) != 0);
}

static bool mentions(const struct slack *s, const char *text)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    if (!s->bot_user)
        return false;
    buf_printf(&b, "<@%s", s->bot_user);
    const char *at = strstr(text, buf_str(&b));
    return at && strchr(">|", at[b.len]) && at[b.len];
}

/* `channel` "": as the event says. */
static bool message_read(const struct slack *s, const cJSON *event, const char *channel,
                         struct message *m)
{
    const char *type = json_str(event, "type", "");
    bool mention = strcmp(type, "app_mention") == 0;
    if ((!mention && strcmp(type, "message") != 0) || !from_a_person(s, event))
        return false;
    *m = (struct message){
        .user = json_str(event, "user", ""),
        .channel = *channel ? channel : json_str(event, "channel", ""),
        .ts = json_str(event, "ts", ""),
        .thread_ts = json_str(event, "thread_ts", ""),
        .text = json_str(event, "text", ""),
    };
    m->mention = mention || mentions(s, m->text);
    m->direct = *m->channel == 'D';
    return *m->channel && *m->ts;
}

static cJSON *stored(const struct message *m, const char *root, bool reply, const char *text)
{
    cJSON *j = cJSON_CreateObject();
    json_add_str(j, "user", m->user);
    json_add_str(j, "channel", m->channel);
    json_add_str(j, "thread_ts", root);
    json_add_str(j, "text", text);
    (void)cJSON_AddBoolToObject(j, "reply", reply);
    (void)cJSON_AddBoolToObject(j, "mention", m->mention);
    if (m->written_ms)
        (void)cJSON_AddNumberToObject(j, "written_ms", (double)m->written_ms);
    return j;
}

/* The same message comes as `message` and as `app_mention`, and each perhaps again, in a new
 * envelope: the keys tell. What is not for us is not stored at all: its other event may be. A reply
 * may come before the session that its thread is to have. */
static int hear(struct slack *s, const struct message *m, const char *event_id)
{
    bool reply = *m->thread_ts && strcmp(m->thread_ts, m->ts) != 0;
    const char *root = reply ? m->thread_ts : m->ts;
    _cleanup_free_ char *pod = NULL, *session = NULL;
    _cleanup_buf_ struct buf event = BUF_INIT, ts = BUF_INIT, lane = BUF_INIT, text = BUF_INIT;
    buf_printf(&event, "event:%s", event_id);
    buf_printf(&ts, "%s:%s:%s", m->shortcut ? "shortcut" : "message", m->channel, m->ts);
    if (m->shortcut)
        buf_printf(&ts, ":%s", m->shortcut);
    buf_printf(&lane, "thread:%s:%s", m->channel, root);
    if (reply)
        (void)threads_find(s->threads, m->channel, root, &pod, &session);
    bool ours = session || m->mention || (m->direct && !reply) ||
                (reply && intake_waits(s->intake, buf_str(&lane)));
    if (!ours)
        return 0;
    text_from_slack(&text, m->text, s->bot_user);
    if (event.failed || ts.failed || lane.failed || text.failed)
        return -ENOMEM;
    const char *keys[] = { buf_str(&ts), *event_id ? buf_str(&event) : NULL, NULL };
    int r = intake_put(s->intake, "message", buf_str(&lane), keys,
                       stored(m, root, reply, buf_str(&text)));
    if (r >= 0)
        (void)store_seen_put(s->store, CONNECTOR, m->channel, reply ? root : "", m->ts);
    return r < 0 ? r : 0;
}

int inbound_past(struct slack *s, const char *channel, const cJSON *message)
{
    struct message m;
    if (!message_read(s, message, channel, &m))
        return 0;
    m.written_ms = text_ms_of_ts(m.ts);
    return hear(s, &m, "");
}

int inbound_event(struct slack *s, const cJSON *payload)
{
    const cJSON *event = json_obj(payload, "event"); /* absent in app_rate_limited */
    struct message m;
    if (event && message_read(s, event, "", &m))
        return hear(s, &m, json_str(payload, "event_id", ""));
    const char *type = json_str(event, "type", "");
    bool joined = strcmp(type, "member_joined_channel") == 0;
    if (strcmp(type, "app_home_opened") == 0)
        home_opened(s, event);
    else if (joined || strcmp(type, "member_left_channel") == 0)
        users_moved(s->users, json_str(event, "channel", ""), json_str(event, "user", ""), joined);
    else
        log_debug("slack: event \"%.40s\" ignored", type);
    return 0;
}

int inbound_shortcut(struct slack *s, const cJSON *payload)
{
    const cJSON *message = json_obj(payload, "message");
    struct message m = {
        .user = json_str_at(payload, "user.id", ""),
        .channel = json_str_at(payload, "channel.id", ""),
        .ts = json_str(message, "ts", ""),
        .thread_ts = json_str(message, "thread_ts", ""),
        .text = json_str(message, "text", ""),
        .mention = true, /* outside of a session's thread it starts one */
        .shortcut = json_str(payload, "action_ts", json_str(payload, "trigger_id", "")),
    };
    if (strcmp(json_str(payload, "callback_id", ""), "send_to_session") != 0 || !*m.channel ||
        !*m.ts)
        return 0;
    users_learn(s->users, m.user, json_str_at(payload, "user.username", ""));
    return hear(s, &m, "");
}
