#include "bridge/gateway/slack/interact.h"

#include "bridge/gateway/slack/answer.h"
#include "bridge/gateway/slack/decide.h"
#include "bridge/gateway/slack/inbound.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/queued.h"
#include "bridge/gateway/slack/render/permission.h"
#include "bridge/gateway/slack/render/question.h"
#include "bridge/gateway/slack/render/start_form.h"
#include "bridge/gateway/slack/requests.h"
#include "bridge/gateway/slack/start.h"
#include "bridge/gateway/slack/users.h"

#include <errno.h>
#include <string.h>

static const struct view {
    const char *callback_id;
    cJSON *(*check)(const cJSON *payload); /* NULL: what Slack checks is enough */
    int (*submit)(struct slack *s, const cJSON *payload);
} views[] = {
    { MODAL_DENY, NULL, decide_view_submission },
    { MODAL_ANSWER, answer_view_check, answer_keep },
    { MODAL_START, start_view_check, start_keep },
};

/* What is done at once, and can be clicked again; each takes what is its own. */
static bool (*const at_once[])(struct slack *s, const cJSON *payload, const char *action_id) = {
    answer_opens_form,
    queued_action,
    requests_action,
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

/* What answers is stored; the buttons of permissions come last. */
static int on_action(struct slack *s, const cJSON *payload)
{
    const cJSON *action = cJSON_GetArrayItem(json_arr(payload, "actions"), 0);
    const char *id = json_str(action, "action_id", "");
    if (answer_is_click(id))
        return answer_keep(s, payload);
    for (size_t i = 0; i < ARRAY_SIZE(at_once); i++)
        if (at_once[i](s, payload, id))
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
