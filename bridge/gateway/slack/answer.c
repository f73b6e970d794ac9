#include "bridge/gateway/slack/answer.h"

#include "bridge/gateway/core/crash.h"
#include "bridge/gateway/slack/intake.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/render/permission.h"
#include "bridge/gateway/slack/render/question.h"
#include "bridge/gateway/slack/wish.h"

#include <errno.h>
#include <string.h>

/* ---------------------------------------------------------------- carrying out */

struct looking {
    const struct wish *w;
    bool pending;
    char *answers;
    const char *text; /* words in a thread, and what they pick */
    cJSON *picks;
};

static int read_answers(void *data, const struct request *r)
{
    struct looking *l = data;
    l->pending = r->state == REQUEST_PENDING;
    l->answers = question_answers(r, l->w->picks);
    return 0;
}

static void carry_out_answer(const struct wish *w, const char *pod, const char *id)
{
    struct looking l = { .w = w };
    int r = core_with_request(w->s->core, pod, id, read_answers, &l);
    _cleanup_free_ char *answers = l.answers;
    if (r == -ENOENT)
        wish_gone(w, pod, id);
    else if (r == 0 && !l.pending)
        wish_too_late(w, pod, id, OUTCOME_ANSWERED, answers);
    else if (!answers)
        wish_whisper(w, "Choose something first.");
    else
        wish_decide(w, pod, id, OUTCOME_ANSWERED, answers);
}

static void carry_out_dismiss(const struct wish *w, const char *pod, const char *id)
{
    wish_decide(w, pod, id, OUTCOME_REJECT, NULL);
}

static int open_form(void *data, const struct request *r)
{
    struct looking *l = data;
    l->pending = r->state == REQUEST_PENDING;
    if (!l->pending)
        return 0;
    _cleanup_free_ char *meta = wish_metadata(l->w);
    return wish_open(l->w, question_modal(r, meta ? meta : "{}", l->w->picks));
}

static void carry_out_form(const struct wish *w, const char *pod, const char *id)
{
    struct looking l = { .w = w };
    int r = core_with_request(w->s->core, pod, id, open_form, &l);
    if (r == -ENOENT)
        wish_gone(w, pod, id);
    else if (r == 0 && !l.pending)
        wish_too_late(w, pod, id, OUTCOME_NONE, NULL);
    else if (r < 0)
        wish_whisper(w, "The form could not be opened. Please try again.");
}

/* ---------------------------------------------------------------- clicks */

static void pick_ask(struct slack *s, struct wish_fields *f, cJSON *picks, wish_fn *fn)
{
    _cleanup_json_ cJSON *owned = picks;
    f->picks = owned;
    wish_ask(s, fn, f);
}

static const cJSON *action_of(const cJSON *payload)
{
    return cJSON_GetArrayItem(json_arr(payload, "actions"), 0);
}

static bool is_option(const char *action_id)
{
    size_t n = strlen(ACTION_OPTION);
    if (strncmp(action_id, ACTION_OPTION, n) != 0)
        return false;
    size_t digits = strspn(action_id + n, "0123456789");
    return digits > 0 && digits <= 3 && !action_id[n + digits];
}

bool answer_is_click(const char *action_id)
{
    static const char *const ids[] = { ACTION_PICK, ACTION_SUBMIT, ACTION_DISMISS };
    bool found = is_option(action_id);
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
        found = found || strcmp(ids[i], action_id) == 0;
    return found;
}

bool answer_opens_form(struct slack *s, const cJSON *payload, const char *action_id)
{
    if (strcmp(action_id, ACTION_FORM) != 0)
        return false;
    struct wish_fields f = wish_fields_of_action(payload);
    pick_ask(s, &f, question_picks_of_message(json_at(payload, "state.values")), carry_out_form);
    return true;
}

/* ---------------------------------------------------------------- stored, then worked off */

cJSON *answer_view_check(const cJSON *payload)
{
    return question_form_errors(json_at(payload, "view.state.values"));
}

static bool is_form(const cJSON *payload)
{
    return strcmp(json_str(payload, "type", ""), "view_submission") == 0;
}

/* The request that a list belongs to is in its block's id: its options say numbers only. */
static const char *picked_value(const cJSON *action)
{
    const char *block = json_str(action, "block_id", "");
    size_t n = strlen(PICK_BLOCK);
    return strncmp(block, PICK_BLOCK, n) == 0 ? block + n : "";
}

static struct wish_fields fields_of(const cJSON *payload, const cJSON *meta)
{
    if (is_form(payload))
        return wish_fields_of_view(payload, meta);
    struct wish_fields f = wish_fields_of_action(payload);
    if (strcmp(json_str(action_of(payload), "action_id", ""), ACTION_PICK) == 0)
        f.value = picked_value(action_of(payload));
    return f;
}

/* Ticking a box is no answer yet. */
static bool is_tick(const cJSON *payload)
{
    const cJSON *action = action_of(payload);
    return strcmp(json_str(action, "action_id", ""), ACTION_PICK) == 0 &&
           !json_obj(action, "selected_option");
}

/* Answered once, also when it is delivered again: a click has its trigger, a form its view. The
 * first of several answers to one request wins. */
int answer_keep(struct slack *s, const cJSON *payload)
{
    _cleanup_json_ cJSON *meta = is_form(payload) ? wish_meta_of(payload) : NULL;
    _cleanup_buf_ struct buf key = BUF_INIT, lane = BUF_INIT;
    struct wish_fields f = fields_of(payload, meta);
    if (!*f.value || is_tick(payload)) /* none of ours, or a box that waits for its button */
        return 0;
    const char *view = json_str_at(payload, "view.id", "");
    buf_printf(&key, "answer:%s:%s", f.user, *view ? view : json_str(payload, "trigger_id", ""));
    buf_printf(&lane, "request:%s", f.value);
    const char *keys[] = { buf_str(&key), NULL };
    cJSON *copy = cJSON_Duplicate(payload, true);
    cJSON_DeleteItemFromObject(copy, "token");
    cJSON_DeleteItemFromObject(cJSON_GetObjectItem(copy, "message"), "blocks");
    cJSON_DeleteItemFromObject(cJSON_GetObjectItem(copy, "view"), "blocks");
    int r = copy ? intake_put(s->intake, "answer", buf_str(&lane), keys, copy) : -ENOMEM;
    return r < 0 ? r : 0;
}

/* One of a list is chosen, or a box is ticked; boxes wait for their button. */
static cJSON *picks_of_list(const cJSON *action)
{
    _cleanup_json_ cJSON *values = cJSON_CreateObject();
    cJSON *b = cJSON_AddObjectToObject(values, json_str(action, "block_id", ""));
    cJSON *e = cJSON_AddObjectToObject(b, ACTION_PICK);
    (void)cJSON_AddItemToObject(e, "selected_option",
                                cJSON_Duplicate(json_obj(action, "selected_option"), true));
    return question_picks_of_message(values);
}

static cJSON *picks_of(const cJSON *payload)
{
    const cJSON *action = action_of(payload);
    const char *id = json_str(action, "action_id", "");
    if (is_form(payload))
        return question_picks_of_form(json_at(payload, "view.state.values"));
    if (is_option(id))
        return question_pick((int)strtol(id + strlen(ACTION_OPTION), NULL, 10));
    if (strcmp(id, ACTION_PICK) == 0)
        return picks_of_list(action);
    return question_picks_of_message(json_at(payload, "state.values"));
}

void answer_work(struct slack *s, struct intake_item *i)
{
    _cleanup_json_ cJSON *meta = is_form(i->payload) ? wish_meta_of(i->payload) : NULL;
    struct wish_fields f = fields_of(i->payload, meta);
    f.item = i;
    if (strcmp(json_str(action_of(i->payload), "action_id", ""), ACTION_DISMISS) == 0)
        wish_ask(s, carry_out_dismiss, &f);
    else
        pick_ask(s, &f, picks_of(i->payload), carry_out_answer);
}

/* ---------------------------------------------------------------- words in a thread */

struct waiting {
    const struct thread_words *words;
    struct buf value;
    int requests, questions;
};

static int look_at(void *data, const struct request *r)
{
    struct waiting *w = data;
    if (r->kind != REQUEST_QUESTION || !thread_words_meant(w->words, r) || w->requests++ > 0)
        return 0;
    permission_value(&w->value, r->pod, r->id);
    w->questions = question_count(r);
    return 0;
}

static int read_picks(void *data, const struct request *r)
{
    struct looking *l = data;
    l->picks = question_picks_of_text(r, l->text);
    return 0;
}

/* Which request the words are for is stored before they are carried out: after a crash it waits no
 * more, and they would be taken for a message to the agent. Without one they were refused. */
#define NOTE "answer:"

static void refuse_words(const struct thread_words *t, const char *why)
{
    slack_whisper(t->item->s, t->channel, t->thread_ts, t->user, why);
    intake_done(t->item);
}

static void answer_noted(const struct thread_words *t)
{
    crash_point("inbound.noted");
    const char *value = t->item->note + strlen(NOTE), *pod, *id;
    _cleanup_free_ char *copy = strdup(value);
    if (!copy) {
        intake_drop(t->item);
        return;
    }
    struct looking l = { .text = t->text };
    int r = permission_value_parse(copy, &pod, &id)
                ? core_with_request(t->item->s->core, pod, id, read_picks, &l)
                : -EINVAL;
    if (r == -EINVAL) {
        refuse_words(t, "The agent waits for answers to several questions, and this was not "
                        "passed on: please use their buttons.");
    } else if (r == 0 && !l.picks) {
        refuse_words(t, "The agent waits for one of the options above, and this is none of them.");
    } else {
        struct wish_fields f = { .user = t->user, .channel = t->channel };
        f.thread_ts = t->thread_ts;
        f.value = value;
        f.item = t->item;
        pick_ask(t->item->s, &f, l.picks, carry_out_answer);
    }
}

bool answer_by_text(const struct thread_words *t)
{
    struct intake_item *i = t->item;
    struct waiting w = { .words = t };
    if (strncmp(i->note, NOTE, strlen(NOTE)) == 0) {
        answer_noted(t);
        return true;
    }
    if (*i->note)
        return false;
    (void)core_each_request(i->s->core, true, look_at, &w);
    _cleanup_buf_ struct buf value = w.value, note = BUF_INIT;
    if (w.requests == 0)
        return false;
    buf_printf(&note, NOTE "%s", w.requests == 1 && w.questions == 1 ? buf_str(&value) : "");
    if (intake_attempt(i, buf_str(&note)) < 0)
        intake_drop(i);
    else
        answer_noted(t);
    return true;
}
