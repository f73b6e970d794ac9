#include "bridge/gateway/slack/home.h"

#include "base/core/log.h"
#include "bridge/gateway/slack/blocks.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/text.h"
#include "bridge/gateway/slack/users.h"

#include <string.h>

static void on_published(void *data, const struct api_result *r)
{
    (void)data;
    if (!r->ok)
        log_warn("slack: %s", r->message);
}

static cJSON *home_view(const struct slack *s, const char *user)
{
    cJSON *view = cJSON_CreateObject();
    json_add_str(view, "type", "home");
    cJSON *blocks = cJSON_AddArrayToObject(view, "blocks");
    _cleanup_buf_ struct buf where = BUF_INIT;
    blocks_add_section(blocks,
                       "*OpenCode sessions, one thread each*\nWrite me a message (tab _Messages_), "
                       "mention me in a channel, or use `/opencode start TEXT`. Replies in the "
                       "thread go to the agent; `!stop` there ends what it is doing.");
    blocks_add_section(blocks, "*Permission requests*\nThey come with buttons in the session's "
                               "thread. `allow`, `always` and `deny REASON` as a reply do the "
                               "same. The first answer counts.");
    const char *channel = s->set->slack_channel;
    if (channel && *channel)
        buf_printf(&where, "Sessions that were started elsewhere are shown in <#%s>.", channel);
    if (users_may(s->users, user) == 0)
        buf_printf(&where, "%s%s", where.len ? "\n" : "", users_refusal(s->users));
    if (where.len)
        blocks_add_section(blocks, buf_str(&where));
    return view;
}

void home_opened(struct slack *s, const cJSON *event)
{
    const char *user = json_str(event, "user", "");
    if (!text_is_user_id(user) || strcmp(json_str(event, "tab", "home"), "home") != 0)
        return;
    cJSON *args = cJSON_CreateObject();
    json_add_str(args, "user_id", user);
    (void)cJSON_AddItemToObject(args, "view", home_view(s, user));
    if (api_call(s->api, SLACK_VIEWS_PUBLISH, args, 0, on_published, NULL) < 0)
        log_warn("slack: cannot publish the Home tab");
}
