#include "bridge/gateway/slack/inbound.h"

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "bridge/gateway/slack/answer.h"
#include "bridge/gateway/slack/decide.h"
#include "bridge/gateway/slack/home.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/text.h"
#include "bridge/gateway/slack/threads.h"
#include "bridge/gateway/slack/users.h"

#include <errno.h>
#include <string.h>

/* One message of a person, kept while the allow-list and OpenCode are asked. */
struct words {
    struct slack *s;
    char *user, *channel, *thread_ts; /* thread_ts: of the thread it is in or begins */
    char *text;                       /* plain, as it was meant */
    char *pod, *session;              /* of the thread; NULL: it starts a session */
};

static void words_free(void *data)
{
    struct words *w = data;
    if (!w)
        return;
    free(w->user);
    free(w->channel);
    free(w->thread_ts);
    free(w->text);
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
    slack_whisper(w->s, w->channel, w->thread_ts, w->user, text);
}

static void whisper_failure(const struct words *w, const char *what, int error, const char *message)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    buf_printf(&b, "%s: ", what);
    (void)text_put(&b, message && *message ? message : strerror(-error), 400,
                   TEXT_ESCAPE | TEXT_ONE_LINE);
    whisper(w, buf_str(&b));
}

/* ---------------------------------------------------------------- to a session */

static void on_message_done(void *data, int error, const char *message, const char *session_id)
{
    _cleanup_words_ struct words *w = data;
    (void)session_id;
    if (error)
        whisper_failure(w, ":warning: That did not reach the agent", error, message);
}

static void on_abort_done(void *data, int error, const char *message, const char *session_id)
{
    _cleanup_words_ struct words *w = data;
    (void)session_id;
    if (error)
        whisper_failure(w, ":warning: It could not be stopped", error, message);
    else
        whisper(w, "Stopped.");
}

static void to_session(struct words *words)
{
    _cleanup_words_ struct words *w = words;
    struct actor actor = { CONNECTOR, w->user, users_name(w->s->users, w->user) };
    if (decide_by_text(w->s, w->pod, w->session, w->channel, w->thread_ts, w->user, w->text))
        return;
    bool stop = strcmp(w->text, "!stop") == 0;
    if (!stop &&
        answer_by_text(w->s, w->pod, w->session, w->channel, w->thread_ts, w->user, w->text))
        return;
    int r = stop ? core_session_abort(w->s->core, w->pod, w->session, &actor, on_abort_done, w)
                 : core_session_message(w->s->core, w->pod, w->session, w->text, &actor,
                                        on_message_done, w);
    if (r < 0)
        whisper_failure(w, ":warning: That did not reach the agent", r, NULL);
    else
        (void)TAKE_PTR(w); /* the answer has it */
}

/* ---------------------------------------------------------------- a new session */

static void on_start_done(void *data, int error, const char *message, const char *session_id)
{
    _cleanup_words_ struct words *w = data;
    if (error || !session_id || !*session_id) {
        whisper_failure(w, ":warning: The session could not be started", error ? error : -EPROTO,
                        message);
        return;
    }
    _cleanup_free_ char *pod = threads_pod_of(w->s->threads, session_id);
    int r = pod ? threads_adopt(w->s->threads, pod, session_id, w->channel, w->thread_ts, w->text)
                : -ENOMEM;
    if (r < 0)
        log_error("slack: cannot store a session's thread: %s", strerror(-r));
}

static void start_session(struct words *words)
{
    _cleanup_words_ struct words *w = words;
    struct actor actor = { CONNECTOR, w->user, users_name(w->s->users, w->user) };
    struct session_start start = { .prompt = w->text, .actor = &actor };
    int r = core_session_start(w->s->core, &start, on_start_done, w);
    if (r < 0)
        whisper_failure(w, ":warning: The session could not be started", r, NULL);
    else
        (void)TAKE_PTR(w);
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
        whisper(w, w->session ? "Only text is passed on to the agent."
                              : "Tell me what to do, in the same message, and a session starts.");
    } else {
        struct actor actor = { CONNECTOR, w->user, users_name(w->s->users, w->user) };
        core_audit(w->s->core, &actor, "refused", w->session ? w->session : "new session",
                   "not among those who may write");
        whisper(w, users_refusal(w->s->users));
    }
    words_free(w);
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

/* The same message comes as `message` and as `app_mention`, and each perhaps again. */
static bool first_time(struct slack *s, const char *event_id, const struct message *m)
{
    _cleanup_buf_ struct buf event = BUF_INIT, ts = BUF_INIT;
    buf_printf(&event, "event:%s", event_id);
    buf_printf(&ts, "message:%s:%s", m->channel, m->ts);
    if (*event_id && store_inbox_first(s->store, CONNECTOR, buf_str(&event)) == 0)
        return false;
    return store_inbox_first(s->store, CONNECTOR, buf_str(&ts)) != 0;
}

static void hear(struct slack *s, const struct message *m, const char *event_id)
{
    _cleanup_words_ struct words *w = calloc(1, sizeof *w);
    if (!w)
        return;
    bool reply = *m->thread_ts && strcmp(m->thread_ts, m->ts) != 0;
    const char *root = reply ? m->thread_ts : m->ts;
    if (reply)
        (void)threads_find(s->threads, m->channel, root, &w->pod, &w->session);
    /* What is not for us is not even marked as seen: its other event may be. */
    if (!w->session && !m->mention && (!m->direct || reply))
        return;
    if (!first_time(s, event_id, m))
        return;
    _cleanup_buf_ struct buf text = BUF_INIT;
    text_from_slack(&text, m->text, s->bot_user);
    w->s = s;
    w->user = strdup(m->user);
    w->channel = strdup(m->channel);
    w->thread_ts = strdup(root);
    w->text = strdup(buf_str(&text));
    if (!w->user || !w->channel || !w->thread_ts || !w->text)
        return;
    struct words *all = TAKE_PTR(w);
    users_ask(s->users, all->user, on_may, words_free, all);
}

void inbound_event(struct slack *s, const cJSON *payload)
{
    const cJSON *event = json_obj(payload, "event"); /* absent in app_rate_limited */
    struct message m;
    if (event && message_read(s, event, &m))
        hear(s, &m, json_str(payload, "event_id", ""));
    else if (event && strcmp(json_str(event, "type", ""), "app_home_opened") == 0)
        home_opened(s, event);
    else
        log_debug("slack: event \"%.40s\" ignored", json_str(event, "type", ""));
}

void inbound_shortcut(struct slack *s, const cJSON *payload)
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
        return;
    users_learn(s->users, m.user, json_str_at(payload, "user.username", ""));
    hear(s, &m, "");
}
