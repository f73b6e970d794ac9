#include "bridge/gateway/slack/interact.h"

#include "bridge/gateway/slack/answer.h"
#include "bridge/gateway/slack/decide.h"
#include "bridge/gateway/slack/inbound.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/permission.h"
#include "bridge/gateway/slack/question.h"
#include "bridge/gateway/slack/start.h"
#include "bridge/gateway/slack/start_form.h"
#include "bridge/gateway/slack/users.h"

#include <string.h>

static const struct view {
    const char *callback_id;
    cJSON *(*check)(const cJSON *payload); /* NULL: what Slack checks is enough */
    void (*submit)(struct slack *s, const cJSON *payload);
} views[] = {
    { MODAL_DENY, NULL, decide_view_submission },
    { MODAL_ANSWER, answer_view_check, answer_view_submission },
    { MODAL_START, start_view_check, start_view_submission },
};

/* Each takes what is its own; the buttons of permissions come last. */
static bool (*const actions[])(struct slack *s, const cJSON *payload, const char *action_id) = {
    answer_action,
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

static void on_action(struct slack *s, const cJSON *payload)
{
    const cJSON *action = cJSON_GetArrayItem(json_arr(payload, "actions"), 0);
    const char *id = json_str(action, "action_id", "");
    bool known = false;
    for (size_t i = 0; i < ARRAY_SIZE(actions) && !known; i++)
        known = actions[i](s, payload, id);
    if (!known)
        decide_block_actions(s, payload);
}

void interact(struct slack *s, const cJSON *payload)
{
    const char *type = json_str(payload, "type", "");
    const char *name = json_str_at(payload, "user.username", "");
    const struct view *v = view_of(payload);
    users_learn(s->users, json_str_at(payload, "user.id", ""),
                *name ? name : json_str_at(payload, "user.name", ""));
    if (v)
        v->submit(s, payload);
    else if (strcmp(type, "block_actions") == 0)
        on_action(s, payload);
    else if (strcmp(type, "message_action") == 0)
        inbound_shortcut(s, payload);
}
