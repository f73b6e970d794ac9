#include "bridge/gateway/slack/decide.h"

#include "bridge/gateway/core/crash.h"
#include "bridge/gateway/slack/intake.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/render/permission.h"
#include "bridge/gateway/slack/wish.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

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

/* ---------------------------------------------------------------- carrying out */

struct modal {
    const struct wish *w;
    bool pending;
};

static int open_modal(void *data, const struct request *r)
{
    struct modal *m = data;
    m->pending = r->state == REQUEST_PENDING;
    if (!m->pending)
        return 0;
    _cleanup_free_ char *meta = wish_metadata(m->w);
    return wish_open(m->w, permission_reason_modal(r, meta ? meta : "{}"));
}

static void ask_reason(const struct wish *w, const char *pod, const char *id)
{
    struct modal m = { .w = w };
    int r = core_with_request(w->s->core, pod, id, open_modal, &m);
    if (r == -ENOENT)
        wish_gone(w, pod, id);
    else if (r == 0 && !m.pending)
        wish_too_late(w, pod, id, OUTCOME_NONE, NULL);
    else if (r < 0)
        wish_whisper(w, "The form could not be opened. Write `deny` and the reason here instead.");
}

static void carry_out(const struct wish *w, const char *pod, const char *id)
{
    const struct verb *verb = w->verb;
    if (verb->asks_reason && !*w->text)
        ask_reason(w, pod, id);
    else
        wish_decide(w, pod, id, verb->outcome, NULL);
}

static const struct verb *verb_of_action(const char *action_id)
{
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (strcmp(verbs[i].action_id, action_id) == 0)
            return &verbs[i];
    return NULL;
}

static void put_fields(cJSON *j, const struct wish_fields *f)
{
    json_add_str(j, "user", f->user);
    json_add_str(j, "channel", f->channel);
    json_add_str(j, "thread_ts", f->thread_ts);
    json_add_str(j, "message_ts", f->message_ts);
    json_add_str(j, "value", f->value);
    json_add_str(j, "reason", f->text);
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
    wish_ask(s, carry_out,
             &(struct wish_fields){
                 .user = json_str(p, "user", ""),
                 .channel = json_str(p, "channel", ""),
                 .thread_ts = json_str(p, "thread_ts", ""),
                 .message_ts = json_str(p, "message_ts", ""),
                 .value = json_str(p, "value", ""),
                 .text = json_str(p, "reason", ""),
                 .verb = verb,
                 .item = i,
             });
}

int decide_block_actions(struct slack *s, const cJSON *payload)
{
    const cJSON *action = cJSON_GetArrayItem(json_arr(payload, "actions"), 0);
    const struct verb *verb = verb_of_action(json_str(action, "action_id", ""));
    if (!verb)
        return 0;
    struct wish_fields f = wish_fields_of_action(payload);
    f.verb = verb;
    if (verb->asks_reason) {
        wish_ask(s, carry_out, &f);
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
    _cleanup_json_ cJSON *meta = wish_meta_of(payload);
    if (!meta)
        return 0;
    struct wish_fields f = wish_fields_of_view(payload, meta);
    f.text = json_str(json_at(view, "state.values." REASON_BLOCK "." REASON_INPUT), "value", "");
    _cleanup_buf_ struct buf key = BUF_INIT;
    buf_printf(&key, "view:%s:%s", json_str(view, "id", ""), json_str(view, "hash", ""));
    return keep(s, verb_of_action(ACTION_DENY), buf_str(&key), &f);
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
    const struct thread_words *words;
    struct buf value;
    size_t count, questions;
};

static int count_waiting(void *data, const struct request *r)
{
    struct waiting *w = data;
    if (!thread_words_meant(w->words, r))
        return 0;
    w->questions += r->kind == REQUEST_QUESTION;
    if (r->kind == REQUEST_PERMISSION && w->count++ == 0)
        permission_value(&w->value, r->pod, r->id);
    return 0;
}

/* Which request the word was for is stored before it is carried out: after a crash nothing waits
 * any more, and the word would be taken for a message to the agent. */
#define NOTE "decide:"

static void decide_noted(const struct thread_words *t, const struct verb *verb, const char *reason)
{
    crash_point("inbound.noted");
    wish_ask(t->item->s, carry_out,
             &(struct wish_fields){
                 .user = t->user,
                 .channel = t->channel,
                 .thread_ts = t->thread_ts,
                 .value = t->item->note + strlen(NOTE),
                 .text = reason,
                 .verb = verb,
                 .item = t->item,
             });
}

bool decide_by_text(const struct thread_words *t)
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
    struct waiting waiting = { .words = t };
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
