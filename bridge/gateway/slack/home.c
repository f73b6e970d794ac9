#include "bridge/gateway/slack/home.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/render/blocks.h"
#include "bridge/gateway/slack/render/text.h"
#include "bridge/gateway/slack/session_list.h"
#include "bridge/gateway/slack/users.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WAITING_MAX 15

static void on_published(void *data, const struct api_result *r)
{
    (void)data;
    if (!r->ok)
        log_warn("slack: %s", r->message);
}

static void add_waiting(struct slack *s, cJSON *blocks)
{
    _cleanup_buf_ struct buf lines = BUF_INIT, text = BUF_INIT;
    size_t n = list_put_requests(s, &lines, WAITING_MAX);
    if (n)
        buf_printf(&text, "*Waiting for an answer: %zu*\n%s", n, buf_str(&lines));
    else
        buf_puts(&text, "*Nothing waits for an answer.*");
    blocks_add_section(blocks, buf_str(&text));
    list_add_resting(s, blocks);
}

/* Links alone: the buttons are in the threads, where everybody sees who pressed them. */
static void add_sessions(struct slack *s, cJSON *blocks)
{
    _cleanup_buf_ struct buf head = BUF_INIT, when = BUF_INIT;
    static const struct list_filter all = { "", false };
    buf_puts(&head, "*Sessions*: ");
    list_put_counts(s, &head);
    blocks_add_section(blocks, buf_str(&head));
    (void)list_add_sessions(s, blocks, &all, false);
    int64_t now_s = clock_wall_ms() / 1000;
    buf_printf(&when, "As of <!date^%" PRId64 "^{time_secs}|now>; open this tab again for newer.",
               now_s);
    blocks_add_context(blocks, buf_str(&when), NULL);
}

static void add_help(const struct slack *s, cJSON *blocks)
{
    _cleanup_buf_ struct buf where = BUF_INIT;
    blocks_add_section(blocks,
                       "*One thread for each session*\nWrite me a message (tab _Messages_), "
                       "mention me in a channel, or use `/opencode start TEXT`. Replies in the "
                       "thread go to the agent; `stop` there ends what it is doing. Requests come "
                       "with buttons in the thread; `allow`, `always` and `deny REASON` as a reply "
                       "do the same. The first answer counts. `/opencode help` shows more.");
    const char *channel = s->set->slack_channel;
    if (channel && *channel)
        buf_printf(&where, "Sessions that were started elsewhere are shown in <#%s>.", channel);
    if (where.len)
        blocks_add_context(blocks, buf_str(&where), NULL);
}

struct visitor {
    struct slack *s;
    char user[40];
};

/* Titles and commands are for those alone who may. */
static void on_may(void *data, bool may)
{
    _cleanup_free_ struct visitor *v = data;
    struct slack *s = v->s;
    cJSON *view = cJSON_CreateObject(), *args = cJSON_CreateObject();
    json_add_str(view, "type", "home");
    cJSON *blocks = cJSON_AddArrayToObject(view, "blocks");
    if (may) {
        add_waiting(s, blocks);
        add_sessions(s, blocks);
        add_help(s, blocks);
    } else {
        add_help(s, blocks);
        blocks_add_section(blocks, users_refusal(s->users));
    }
    json_add_str(args, "user_id", v->user);
    (void)cJSON_AddItemToObject(args, "view", view);
    if (api_call(s->api, SLACK_VIEWS_PUBLISH, args, 0, on_published, NULL) < 0)
        log_warn("slack: cannot publish the Home tab");
}

void home_opened(struct slack *s, const cJSON *event)
{
    if (strcmp(json_str(event, "tab", "home"), "home") == 0)
        home_show(s, json_str(event, "user", ""));
}

void home_show(struct slack *s, const char *user)
{
    if (!text_is_user_id(user))
        return;
    struct visitor *v = calloc(1, sizeof *v);
    if (!v)
        return;
    v->s = s;
    (void)snprintf(v->user, sizeof v->user, "%s", user);
    users_ask(s->users, user, on_may, free, v);
}
