#include "bridge/gateway/slack/answer.h"

#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/permission.h"
#include "bridge/gateway/slack/question.h"
#include "bridge/gateway/slack/wish.h"

#include <errno.h>
#include <string.h>

/* ---------------------------------------------------------------- carrying out */

struct looking {
    const struct wish *w;
    bool pending;
    char *answers;
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
        wish_too_late(w, pod, id);
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
        wish_too_late(w, pod, id);
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

/* One of a list is chosen, or a box is ticked; boxes wait for their button. */
static void on_pick(struct slack *s, struct wish_fields *f, const cJSON *action)
{
    const char *block = json_str(action, "block_id", "");
    const cJSON *option = json_obj(action, "selected_option");
    size_t n = strlen(PICK_BLOCK);
    if (!option || strncmp(block, PICK_BLOCK, n) != 0)
        return;
    _cleanup_json_ cJSON *values = cJSON_CreateObject();
    cJSON *b = cJSON_AddObjectToObject(values, block), *e = cJSON_AddObjectToObject(b, ACTION_PICK);
    (void)cJSON_AddItemToObject(e, "selected_option", cJSON_Duplicate(option, true));
    f->value = block + n;
    pick_ask(s, f, question_picks_of_message(values), carry_out_answer);
}

static bool on_option(struct slack *s, struct wish_fields *f, const char *action_id)
{
    size_t n = strlen(ACTION_OPTION), digits = strspn(action_id + n, "0123456789");
    if (digits == 0 || digits > 3 || action_id[n + digits])
        return false;
    pick_ask(s, f, question_pick((int)strtol(action_id + n, NULL, 10)), carry_out_answer);
    return true;
}

bool answer_action(struct slack *s, const cJSON *payload, const char *action_id)
{
    struct wish_fields f = wish_fields_of_action(payload);
    const cJSON *values = json_at(payload, "state.values");
    if (strncmp(action_id, ACTION_OPTION, strlen(ACTION_OPTION)) == 0)
        return on_option(s, &f, action_id);
    if (strcmp(action_id, ACTION_PICK) == 0)
        on_pick(s, &f, cJSON_GetArrayItem(json_arr(payload, "actions"), 0));
    else if (strcmp(action_id, ACTION_SUBMIT) == 0)
        pick_ask(s, &f, question_picks_of_message(values), carry_out_answer);
    else if (strcmp(action_id, ACTION_FORM) == 0)
        pick_ask(s, &f, question_picks_of_message(values), carry_out_form);
    else if (strcmp(action_id, ACTION_DISMISS) == 0)
        wish_ask(s, carry_out_dismiss, &f);
    else
        return false;
    return true;
}

/* ---------------------------------------------------------------- the form */

cJSON *answer_view_check(const cJSON *payload)
{
    return question_form_errors(json_at(payload, "view.state.values"));
}

void answer_view_submission(struct slack *s, const cJSON *payload)
{
    _cleanup_json_ cJSON *meta = wish_meta_of(payload);
    struct wish_fields f = wish_fields_of_view(payload, meta);
    pick_ask(s, &f, question_picks_of_form(json_at(payload, "view.state.values")),
             carry_out_answer);
}

/* ---------------------------------------------------------------- words in a thread */

struct waiting {
    const char *pod, *session_id, *text;
    struct buf value;
    cJSON *picks;
    int requests, questions;
};

static int look_at(void *data, const struct request *r)
{
    struct waiting *w = data;
    if (r->state != REQUEST_PENDING || r->kind != REQUEST_QUESTION ||
        strcmp(r->root_session_id, w->session_id) != 0 || strcmp(r->pod, w->pod) != 0)
        return 0;
    if (w->requests++ > 0)
        return 0;
    permission_value(&w->value, r->pod, r->id);
    w->questions = question_count(r);
    w->picks = question_picks_of_text(r, w->text);
    return 0;
}

bool answer_by_text(struct slack *s, const char *pod, const char *session_id, const char *channel,
                    const char *thread_ts, const char *user, const char *text)
{
    struct waiting w = { .pod = pod, .session_id = session_id, .text = text };
    (void)core_each_request(s->core, true, look_at, &w);
    _cleanup_buf_ struct buf value = w.value;
    _cleanup_json_ cJSON *picks = w.picks;
    if (w.requests == 0)
        return false;
    if (w.requests > 1 || w.questions != 1) {
        slack_whisper(s, channel, thread_ts, user,
                      "The agent waits for answers to several questions, and this was not passed "
                      "on: please use their buttons.");
    } else if (!picks) {
        slack_whisper(s, channel, thread_ts, user,
                      "The agent waits for one of the options above, and this is none of them.");
    } else {
        wish_ask(s, carry_out_answer,
                 &(struct wish_fields){
                     .user = user,
                     .channel = channel,
                     .thread_ts = thread_ts,
                     .value = buf_str(&value),
                     .picks = picks,
                 });
    }
    return true;
}
