#include "bridge/gateway/slack/inbound.h"

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "bridge/gateway/core/crash.h"
#include "bridge/gateway/slack/answer.h"
#include "bridge/gateway/slack/decide.h"
#include "bridge/gateway/slack/home.h"
#include "bridge/gateway/slack/intake.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/queued.h"
#include "bridge/gateway/slack/stream.h"
#include "bridge/gateway/slack/text.h"
#include "bridge/gateway/slack/threads.h"
#include "bridge/gateway/slack/users.h"

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
    char *pod, *session; /* of the thread; NULL: it starts a session */
    bool behind;         /* the session was at work when it was sent */
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
    (void)text_put(&b, message && *message ? message : strerror(-error), 400,
                   TEXT_ESCAPE | TEXT_ONE_LINE);
    end(w, buf_str(&b));
}

/* OpenCode is away, or nobody knows whether it heard: once more, later. Said once. */
static void fail_or_later(struct words *w, const char *what, int error, const char *message)
{
    if (!intake_worth(w->item, error)) {
        fail(w, what, error, message);
        return;
    }
    if (error == -ENOTCONN && w->item->attempts <= 1 && !w->item->s->stopping)
        whisper(w, ":hourglass_flowing_sand: OpenCode can't be reached just now. Your message is "
                   "kept and goes on when it is back.");
    intake_later(TAKE_PTR(w->item), intake_pause(w->item));
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
    if (intake_age(w->item) > STOP_MS) {
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

/* The id of the prompt is stored before it leaves: after a crash it is known what to look for. */
static int note_attempt(struct words *w, char id[PROMPT_ID_SIZE])
{
    if (strncmp(w->item->note, "msg_", 4) == 0)
        (void)snprintf(id, PROMPT_ID_SIZE, "%s", w->item->note);
    else
        core_prompt_id(id);
    int r = intake_attempt(w->item, id);
    crash_point("prompt.sending");
    return r;
}

static int is_at_work(void *data, const struct session *s)
{
    *(bool *)data = s->status == SESSION_BUSY || s->status == SESSION_RETRY;
    return 0;
}

static void send_prompt(struct words *words)
{
    _cleanup_words_ struct words *w = words;
    struct actor actor = actor_of(w);
    char id[PROMPT_ID_SIZE];
    struct session_prompt prompt = {
        .pod = w->pod,
        .session_id = w->session,
        .text = w->text,
        .actor = &actor,
        .message_id = id,
        .again = w->item->attempts > 0,
    };
    struct core *core = w->item->s->core;
    if (note_attempt(w, id) < 0)
        return;
    (void)core_with_session(core, w->pod, w->session, is_at_work, &w->behind);
    struct words *all = TAKE_PTR(w); /* the answer has it */
    int r = core_session_prompt(core, &prompt, on_message_done, all);
    if (r < 0)
        on_message_done(all, r, NULL, NULL);
    else
        crash_point("prompt.sent");
}

struct waiting {
    const struct words *w;
    bool question;
};

static int is_question(void *data, const struct request *r)
{
    struct waiting *q = data;
    q->question = r->state == REQUEST_PENDING && r->kind == REQUEST_QUESTION &&
                  strcmp(r->root_session_id, q->w->session) == 0 && strcmp(r->pod, q->w->pod) == 0;
    return q->question;
}

/* The agent asked, and this is the answer. Noted before: after a crash the question waits no more,
 * and the answer would be taken for a message. */
static bool to_question(struct words *w)
{
    static const char note[] = "answer";
    struct intake_item *i = w->item;
    struct waiting q = { .w = w };
    bool noted = strcmp(i->note, note) == 0;
    (void)core_each_request(i->s->core, true, is_question, &q);
    if ((!q.question && !noted) || strncmp(i->note, "msg_", 4) == 0)
        return false;
    if (!noted && intake_attempt(i, note) < 0)
        return true;
    (void)answer_by_text(i->s, w->pod, w->session, w->channel, w->thread_ts, w->user, w->text);
    end(w, NULL);
    return true;
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

static void to_session(struct words *w)
{
    if (decide_by_text(&(struct decide_text){ w->item, w->pod, w->session, w->channel, w->thread_ts,
                                              w->user, w->text })) {
        w->item = NULL; /* the decision has it */
        words_free(w);
    } else if (is_stop(w->text)) {
        stop_session(w);
    } else if (to_question(w)) {
        words_free(w);
    } else {
        send_prompt(w);
    }
}

/* ---------------------------------------------------------------- a new session */

static int adopt(struct words *w, const char *pod, const char *session_id)
{
    struct store *store = w->item->s->store;
    int r = store_begin(store);
    if (r < 0)
        return r;
    r = threads_adopt(w->item->s->threads, pod, session_id, w->channel, w->thread_ts, w->text);
    if (r >= 0)
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
    if (error || !session_id || !*session_id) {
        fail_or_later(w, ":warning: The session could not be started", error ? error : -EIO,
                      message);
        return;
    }
    _cleanup_free_ char *pod = threads_pod_of(w->item->s->threads, session_id);
    int r = pod ? adopt(w, pod, session_id) : -ENOMEM;
    if (r < 0) {
        log_error("slack: cannot store a session's thread: %s", strerror(-r));
        intake_later(TAKE_PTR(w->item), intake_pause(w->item));
        return;
    }
    end(w, NULL);
}

static void start_session(struct words *words)
{
    _cleanup_words_ struct words *w = words;
    _cleanup_buf_ struct buf key = BUF_INIT;
    struct actor actor = actor_of(w);
    char id[PROMPT_ID_SIZE];
    buf_printf(&key, "slack:%s:%s", w->channel, w->thread_ts);
    struct session_start start = {
        .prompt = w->text,
        .actor = &actor,
        .key = buf_str(&key),
        .message_id = id,
        .again = w->item->attempts > 0,
    };
    struct core *core = w->item->s->core;
    if (note_attempt(w, id) < 0)
        return;
    struct words *all = TAKE_PTR(w);
    int r = core_session_start(core, &start, on_start_done, all);
    if (r < 0)
        on_start_done(all, r, NULL, NULL);
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
            start_session(w);
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
    };
    if (w->reply)
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

static bool message_read(const struct slack *s, const cJSON *event, struct message *m)
{
    const char *type = json_str(event, "type", "");
    bool mention = strcmp(type, "app_mention") == 0;
    if ((!mention && strcmp(type, "message") != 0) || !from_a_person(s, event))
        return false;
    *m = (struct message){
        .user = json_str(event, "user", ""),
        .channel = json_str(event, "channel", ""),
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
    buf_printf(&ts, "message:%s:%s", m->channel, m->ts);
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
    return r < 0 ? r : 0;
}

int inbound_event(struct slack *s, const cJSON *payload)
{
    const cJSON *event = json_obj(payload, "event"); /* absent in app_rate_limited */
    struct message m;
    if (event && message_read(s, event, &m))
        return hear(s, &m, json_str(payload, "event_id", ""));
    if (event && strcmp(json_str(event, "type", ""), "app_home_opened") == 0)
        home_opened(s, event);
    else
        log_debug("slack: event \"%.40s\" ignored", json_str(event, "type", ""));
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
    };
    if (strcmp(json_str(payload, "callback_id", ""), "send_to_session") != 0 || !*m.channel ||
        !*m.ts)
        return 0;
    users_learn(s->users, m.user, json_str_at(payload, "user.username", ""));
    return hear(s, &m, "");
}
