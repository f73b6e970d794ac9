#include "bridge/gateway/slack/interact.h"

#include "bridge/gateway/slack/answer.h"
#include "bridge/gateway/slack/decide.h"
#include "bridge/gateway/slack/inbound.h"
#include "bridge/gateway/slack/intake.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/permission.h"
#include "bridge/gateway/slack/question.h"
#include "bridge/gateway/slack/queued.h"
#include "bridge/gateway/slack/start.h"
#include "bridge/gateway/slack/start_form.h"
#include "bridge/gateway/slack/users.h"

#include <errno.h>
#include <string.h>

static int keep_answer(struct slack *s, const cJSON *payload);

static int submit_start(struct slack *s, const cJSON *payload)
{
    start_view_submission(s, payload);
    return 0;
}

static const struct view {
    const char *callback_id;
    cJSON *(*check)(const cJSON *payload); /* NULL: what Slack checks is enough */
    int (*submit)(struct slack *s, const cJSON *payload);
} views[] = {
    { MODAL_DENY, NULL, decide_view_submission },
    { MODAL_ANSWER, answer_view_check, keep_answer },
    { MODAL_START, start_view_check, submit_start },
};

/* Each takes what is its own; the buttons of permissions come last. */
static bool (*const actions[])(struct slack *s, const cJSON *payload, const char *action_id) = {
    answer_action,
    queued_action,
};

static const struct view *view_of(const cJSON *payload)
{
    if (strcmp(json_str(payload, "type", ""), "view_submission") != 0)
        return NULL;
    const char *id = json_str_at(payload, "view.callback_id", "");
    for (size_t i = 0; i < ARRAY_SIZE(views); i++)
        if (strcmp(views[i].callback_id, id) == 0)
            return &views[i];
    return NULL;
}

cJSON *interact_check(const cJSON *payload)
{
    const struct view *v = view_of(payload);
    return v && v->check ? v->check(payload) : NULL;
}

/* Answered once, also when it is delivered again: a click has its trigger, a form its view. */
static int keep_answer(struct slack *s, const cJSON *payload)
{
    _cleanup_buf_ struct buf key = BUF_INIT;
    buf_printf(&key, "answer:%s:%s:%s", json_str_at(payload, "user.id", ""),
               json_str(payload, "trigger_id", ""), json_str_at(payload, "view.id", ""));
    const char *keys[] = { buf_str(&key), NULL };
    cJSON *copy = cJSON_Duplicate(payload, true);
    cJSON_DeleteItemFromObject(copy, "token");
    int r = copy ? intake_put(s->intake, "answer", buf_str(&key), keys, copy) : -ENOMEM;
    return r < 0 ? r : 0;
}

void interact_work(struct slack *s, struct intake_item *i)
{
    const cJSON *action = cJSON_GetArrayItem(json_arr(i->payload, "actions"), 0);
    if (view_of(i->payload))
        answer_view_submission(s, i->payload);
    else
        (void)answer_action(s, i->payload, json_str(action, "action_id", ""));
    intake_done(i);
}

static bool is_answer(const char *action_id)
{
    static const char *const ids[] = { ACTION_PICK, ACTION_SUBMIT, ACTION_DISMISS };
    bool found = strncmp(action_id, ACTION_OPTION, strlen(ACTION_OPTION)) == 0;
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
        found = found || strcmp(ids[i], action_id) == 0;
    return found;
}

static int on_action(struct slack *s, const cJSON *payload)
{
    const cJSON *action = cJSON_GetArrayItem(json_arr(payload, "actions"), 0);
    const char *id = json_str(action, "action_id", "");
    if (is_answer(id))
        return keep_answer(s, payload);
    for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
        if (actions[i](s, payload, id))
            return 0;
    return decide_block_actions(s, payload);
}

int interact(struct slack *s, const cJSON *payload)
{
    const char *type = json_str(payload, "type", "");
    const char *name = json_str_at(payload, "user.username", "");
    const struct view *v = view_of(payload);
    users_learn(s->users, json_str_at(payload, "user.id", ""),
                *name ? name : json_str_at(payload, "user.name", ""));
    if (v)
        return v->submit(s, payload);
    if (strcmp(type, "block_actions") == 0)
        return on_action(s, payload);
    return strcmp(type, "message_action") == 0 ? inbound_shortcut(s, payload) : 0;
}
