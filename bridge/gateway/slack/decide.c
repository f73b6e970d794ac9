#include "bridge/gateway/slack/decide.h"

#include "base/core/log.h"
#include "bridge/gateway/slack/intake.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/permission.h"
#include "bridge/gateway/slack/requests.h"
#include "bridge/gateway/slack/text.h"
#include "bridge/gateway/slack/users.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define TRIGGER_MS 2500 /* a trigger_id lives for 3 s */

static const struct verb {
    const char *action_id, *word;
    enum request_outcome outcome;
    bool asks_reason; /* opens the form instead */
} verbs[] = {
    { ACTION_ONCE, "allow", OUTCOME_ONCE, false },
    { ACTION_ALWAYS, "always", OUTCOME_ALWAYS, false },
    { ACTION_DENY, "deny", OUTCOME_REJECT, false },
    { ACTION_REASON, NULL, OUTCOME_REJECT, true },
};

/* Somebody's wish, kept while the allow-list is asked. */
struct wish {
    struct slack *s;
    struct intake_item *item; /* NULL for what opens the form: it can only be done at once */
    const struct verb *verb;
    char *user, *channel, *thread_ts, *message_ts, *value, *trigger, *reason;
};

static void wish_free(void *data)
{
    struct wish *w = data;
    if (!w)
        return;
    intake_drop(w->item);
    free(w->user);
    free(w->channel);
    free(w->thread_ts);
    free(w->message_ts);
    free(w->value);
    free(w->trigger);
    free(w->reason);
    free(w);
}

static void wish_free_ptr(struct wish **w)
{
    wish_free(*w);
}
#define _cleanup_wish_ _cleanup_(wish_free_ptr)

struct wish_fields {
    const char *user, *channel, *thread_ts, *message_ts, *value, *trigger, *reason;
};

/* Takes `item`, also when it fails. */
static struct wish *wish_new(struct slack *s, const struct verb *verb, struct intake_item *item,
                             const struct wish_fields *f)
{
    _cleanup_wish_ struct wish *w = calloc(1, sizeof *w);
    if (!w) {
        intake_drop(item);
        return NULL;
    }
    w->s = s;
    w->verb = verb;
    w->item = item;
    w->user = strdup(f->user);
    w->channel = strdup(f->channel);
    w->thread_ts = strdup(f->thread_ts);
    w->message_ts = strdup(f->message_ts);
    w->value = strdup(f->value);
    w->trigger = strdup(f->trigger);
    w->reason = strdup(f->reason);
    bool whole = w->user && w->channel && w->thread_ts && w->message_ts && w->value && w->trigger &&
                 w->reason;
    return whole ? TAKE_PTR(w) : NULL;
}

static void whisper(const struct wish *w, const char *text)
{
    if (*w->channel)
        slack_whisper(w->s, w->channel, *w->thread_ts ? w->thread_ts : NULL, w->user, text);
}

static struct actor actor_of(const struct wish *w)
{
    return (struct actor){ CONNECTOR, w->user, users_name(w->s->users, w->user) };
}

static int say_outcome(void *data, const struct request *r)
{
    struct buf *text = data;
    permission_outcome(text, r);
    return 0;
}

struct mine {
    const struct wish *w;
    bool yes;
};

static int is_mine(void *data, const struct request *r)
{
    struct mine *m = data;
    m->yes = strcmp(r->actor.connector, CONNECTOR) == 0 && strcmp(r->actor.id, m->w->user) == 0 &&
             r->outcome == m->w->verb->outcome;
    return 0;
}

/* It was taken before a crash, and is only done again. */
static bool taken_before(const struct wish *w, const char *pod, const char *id)
{
    struct mine m = { .w = w };
    return w->item && w->item->again && core_with_request(w->s->core, pod, id, is_mine, &m) == 0 &&
           m.yes;
}

static void tell_too_late(const struct wish *w, const char *pod, const char *id)
{
    if (taken_before(w, pod, id))
        return;
    _cleanup_buf_ struct buf text = BUF_INIT;
    buf_puts(&text, "Somebody was first: ");
    if (core_with_request(w->s->core, pod, id, say_outcome, &text) == 0)
        whisper(w, buf_str(&text));
}

static void carry_out(const struct wish *w, const char *pod, const char *id)
{
    struct actor actor = actor_of(w);
    int r = core_decide(w->s->core, pod, id, w->verb->outcome, w->reason, NULL, &actor);
    if (r == 0)
        return;
    if (r == 1) {
        tell_too_late(w, pod, id);
    } else if (r == -ENOENT) {
        if (*w->message_ts)
            requests_gone(w->s, pod, id, w->channel, w->message_ts);
        whisper(w, "This request is no longer waiting: OpenCode has it no more.");
    } else {
        log_error("slack: a decision was not taken: %s", strerror(-r));
        whisper(w, "That decision could not be taken just now. Please try again.");
    }
}

/* ---------------------------------------------------------------- the form for a reason */

static void on_modal(void *data, const struct api_result *r)
{
    (void)data;
    if (!r->ok)
        log_warn("slack: %s", r->message);
}

struct modal {
    const struct wish *w;
    bool pending;
};

static int open_modal(void *data, const struct request *r)
{
    struct modal *m = data;
    const struct wish *w = m->w;
    m->pending = r->state == REQUEST_PENDING;
    if (!m->pending)
        return 0;
    _cleanup_json_ cJSON *meta = cJSON_CreateObject();
    json_add_str(meta, "value", w->value);
    json_add_str(meta, "channel", w->channel);
    json_add_str(meta, "thread_ts", w->thread_ts);
    json_add_str(meta, "message_ts", w->message_ts);
    _cleanup_free_ char *text = json_print(meta);
    cJSON *args = cJSON_CreateObject();
    json_add_str(args, "trigger_id", w->trigger);
    (void)cJSON_AddItemToObject(args, "view", permission_reason_modal(r, text ? text : "{}"));
    return api_call(w->s->api, SLACK_VIEWS_OPEN, args, TRIGGER_MS, on_modal, NULL);
}

static void ask_reason(const struct wish *w, const char *pod, const char *id)
{
    struct modal m = { .w = w };
    int r = core_with_request(w->s->core, pod, id, open_modal, &m);
    if (r == -ENOENT) {
        requests_gone(w->s, pod, id, w->channel, w->message_ts);
        whisper(w, "This request is no longer waiting: OpenCode has it no more.");
    } else if (r == 0 && !m.pending) {
        tell_too_late(w, pod, id);
    } else if (r < 0) {
        whisper(w, "The form could not be opened. Write `deny` and the reason here instead.");
    }
}

/* ---------------------------------------------------------------- from wish to decision */

static void finish(struct wish *w)
{
    if (w->item)
        intake_done(TAKE_PTR(w->item));
}

static void on_may(void *data, bool may)
{
    _cleanup_wish_ struct wish *w = data;
    _cleanup_free_ char *copy = strdup(w->value);
    const char *pod, *id;
    if (!copy)
        return;
    if (!permission_value_parse(copy, &pod, &id)) {
        finish(w);
        return;
    }
    if (!may) {
        struct actor actor = actor_of(w);
        core_audit(w->s->core, &actor, "refused", id, "not among those who may decide");
        whisper(w, users_refusal(w->s->users));
    } else if (w->verb->asks_reason && !*w->reason) {
        ask_reason(w, pod, id);
    } else {
        carry_out(w, pod, id);
    }
    finish(w);
}

static void ask(struct wish *w)
{
    if (w)
        users_ask(w->s->users, w->user, on_may, wish_free, w);
}

static const struct verb *verb_of_action(const char *action_id)
{
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (strcmp(verbs[i].action_id, action_id) == 0)
            return &verbs[i];
    return NULL;
}

static void learn(struct slack *s, const cJSON *payload)
{
    const char *name = json_str_at(payload, "user.username", "");
    users_learn(s->users, json_str_at(payload, "user.id", ""),
                *name ? name : json_str_at(payload, "user.name", ""));
}

static void put_fields(cJSON *j, const struct wish_fields *f)
{
    json_add_str(j, "user", f->user);
    json_add_str(j, "channel", f->channel);
    json_add_str(j, "thread_ts", f->thread_ts);
    json_add_str(j, "message_ts", f->message_ts);
    json_add_str(j, "value", f->value);
    json_add_str(j, "reason", f->reason);
}

/* Decisions on one request are taken in the order in which they came. */
static int keep(struct slack *s, const struct verb *verb, const char *key,
                const struct wish_fields *f)
{
    _cleanup_buf_ struct buf lane = BUF_INIT;
    cJSON *j = cJSON_CreateObject();
    buf_printf(&lane, "request:%s", f->value);
    json_add_str(j, "verb", verb->action_id);
    put_fields(j, f);
    const char *keys[] = { key, NULL };
    int r = intake_put(s->intake, "decision", buf_str(&lane), keys, j);
    return r < 0 ? r : 0;
}

void decide_work(struct slack *s, struct intake_item *i)
{
    const cJSON *p = i->payload;
    const struct verb *verb = verb_of_action(json_str(p, "verb", ""));
    if (!verb) {
        intake_done(i);
        return;
    }
    ask(wish_new(s, verb, i,
                 &(struct wish_fields){
                     .user = json_str(p, "user", ""),
                     .channel = json_str(p, "channel", ""),
                     .thread_ts = json_str(p, "thread_ts", ""),
                     .message_ts = json_str(p, "message_ts", ""),
                     .value = json_str(p, "value", ""),
                     .trigger = "",
                     .reason = json_str(p, "reason", ""),
                 }));
}

int decide_block_actions(struct slack *s, const cJSON *payload)
{
    const cJSON *action = cJSON_GetArrayItem(json_arr(payload, "actions"), 0);
    const struct verb *verb = verb_of_action(json_str(action, "action_id", ""));
    if (!verb)
        return 0;
    learn(s, payload);
    const char *thread_ts = json_str_at(payload, "container.thread_ts", "");
    const char *channel = json_str_at(payload, "channel.id", "");
    struct wish_fields f = {
        .user = json_str_at(payload, "user.id", ""),
        .channel = *channel ? channel : json_str_at(payload, "container.channel_id", ""),
        .thread_ts = *thread_ts ? thread_ts : json_str_at(payload, "message.thread_ts", ""),
        .message_ts = json_str_at(payload, "container.message_ts", ""),
        .value = json_str(action, "value", ""),
        .trigger = json_str(payload, "trigger_id", ""),
        .reason = "",
    };
    if (verb->asks_reason) {
        ask(wish_new(s, verb, NULL, &f));
        return 0;
    }
    _cleanup_buf_ struct buf key = BUF_INIT;
    buf_printf(&key, "click:%s:%s:%s:%s", f.user, f.message_ts, json_str(action, "action_ts", ""),
               f.trigger);
    return keep(s, verb, buf_str(&key), &f);
}

int decide_view_submission(struct slack *s, const cJSON *payload)
{
    const cJSON *view = json_obj(payload, "view");
    if (strcmp(json_str(view, "callback_id", ""), MODAL_DENY) != 0)
        return 0;
    learn(s, payload);
    _cleanup_json_ cJSON *meta = NULL;
    const char *text = json_str(view, "private_metadata", "");
    if (json_parse(&meta, text, strlen(text), NULL) < 0)
        return 0;
    const cJSON *input = json_at(view, "state.values." REASON_BLOCK "." REASON_INPUT);
    _cleanup_buf_ struct buf key = BUF_INIT;
    buf_printf(&key, "view:%s:%s", json_str(view, "id", ""), json_str(view, "hash", ""));
    return keep(s, verb_of_action(ACTION_DENY), buf_str(&key),
                &(struct wish_fields){
                    .user = json_str_at(payload, "user.id", ""),
                    .channel = json_str(meta, "channel", ""),
                    .thread_ts = json_str(meta, "thread_ts", ""),
                    .message_ts = json_str(meta, "message_ts", ""),
                    .value = json_str(meta, "value", ""),
                    .trigger = "",
                    .reason = json_str(input, "value", ""),
                });
}

/* ---------------------------------------------------------------- words in a thread */

static const struct verb *verb_of_text(const char *text, const char **ret_rest)
{
    size_t n = strcspn(text, " \t\n:,");
    const char *rest = text + n + strspn(text + n, " \t\n:,");
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        const char *word = verbs[i].word;
        if (!word || strlen(word) != n || strncasecmp(word, text, n) != 0)
            continue;
        if (*rest && verbs[i].outcome != OUTCOME_REJECT)
            return NULL; /* "allow me to explain" is for the agent */
        *ret_rest = rest;
        return &verbs[i];
    }
    return NULL;
}

struct waiting {
    const char *pod, *session_id;
    struct buf value;
    size_t count, questions;
};

static int count_waiting(void *data, const struct request *r)
{
    struct waiting *w = data;
    if (r->state != REQUEST_PENDING || strcmp(r->root_session_id, w->session_id) != 0 ||
        strcmp(r->pod, w->pod) != 0)
        return 0;
    w->questions += r->kind == REQUEST_QUESTION;
    if (r->kind == REQUEST_PERMISSION && w->count++ == 0)
        permission_value(&w->value, r->pod, r->id);
    return 0;
}

/* Which request the word was for is stored before it is carried out: after a crash nothing waits
 * any more, and the word would be taken for a message to the agent. */
#define NOTE "decide:"

static void decide_noted(const struct decide_text *t, const struct verb *verb, const char *reason)
{
    const char *value = t->item->note + strlen(NOTE);
    ask(wish_new(
        t->item->s, verb, t->item,
        &(struct wish_fields){ t->user, t->channel, t->thread_ts, "", value, "", reason }));
}

bool decide_by_text(const struct decide_text *t)
{
    struct slack *s = t->item->s;
    const char *rest = "";
    const struct verb *verb = verb_of_text(t->text, &rest);
    if (!verb)
        return false;
    if (strncmp(t->item->note, NOTE, strlen(NOTE)) == 0) {
        decide_noted(t, verb, rest);
        return true;
    }
    struct waiting waiting = { .pod = t->pod, .session_id = t->session_id };
    (void)core_each_request(s->core, true, count_waiting, &waiting);
    _cleanup_buf_ struct buf value = waiting.value;
    if (*t->item->note || (waiting.count == 0 && (*rest || waiting.questions)))
        return false;
    if (waiting.count == 1) {
        _cleanup_buf_ struct buf note = BUF_INIT;
        buf_printf(&note, NOTE "%s", buf_str(&value));
        if (intake_attempt(t->item, buf_str(&note)) < 0)
            intake_drop(t->item);
        else
            decide_noted(t, verb, rest);
        return true;
    }
    slack_whisper(s, t->channel, t->thread_ts, t->user,
                  waiting.count ? "Several requests wait here: please use their buttons."
                                : "Nothing waits for a decision in this thread.");
    intake_done(t->item);
    return true;
}
