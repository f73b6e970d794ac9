#include "bridge/gateway/slack/channels.h"

#include "base/core/log.h"
#include "bridge/gateway/slack/internal.h"

#include <string.h>

static void read_page(struct channel_list *l, const char *cursor);

static void take(struct channel_list *l, const cJSON *channel)
{
    const char *id = json_str(channel, "id", "");
    if (!*id || l->left == 0)
        return;
    l->left--;
    l->each(l->data, id);
}

static void on_page(void *data, const struct api_result *r)
{
    struct channel_list *l = data;
    const cJSON *channel;
    if (!r->ok) {
        log_warn("slack: cannot read which channels there are: %s", r->message);
        l->done(l->data);
        return;
    }
    cJSON_ArrayForEach (channel, json_arr(r->body, "channels"))
        take(l, channel);
    const char *cursor = json_str_at(r->body, "response_metadata.next_cursor", "");
    if (*cursor && l->left)
        read_page(l, cursor);
    else
        l->done(l->data);
}

static void read_page(struct channel_list *l, const char *cursor)
{
    cJSON *args = cJSON_CreateObject();
    json_add_str(args, "types", "public_channel,private_channel,im");
    json_add_str(args, "exclude_archived", "true");
    json_add_str(args, "limit", "200");
    json_add_str(args, "cursor", *cursor ? cursor : NULL);
    int r = api_call(l->s->api, SLACK_CONVERSATIONS, args, 0, on_page, l);
    if (r < 0) {
        log_warn("slack: cannot read which channels there are: %s", strerror(-r));
        l->done(l->data);
    }
}

void channel_list_read(struct channel_list *l, unsigned max)
{
    l->left = max;
    read_page(l, "");
}
