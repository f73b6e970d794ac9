#include "bridge/gateway/slack/outbox_item.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define EVENT_TYPE  "codev_message"
#define LOOK_BACK_S 120 /* clocks of this machine and of Slack differ */

static void add_ref(cJSON *j, const char *name, const struct message_ref *ref)
{
    if (!ref->kind)
        return;
    cJSON *a = cJSON_AddArrayToObject(j, name);
    (void)cJSON_AddItemToArray(a, cJSON_CreateString(ref->kind));
    (void)cJSON_AddItemToArray(a, cJSON_CreateString(ref->pod));
    (void)cJSON_AddItemToArray(a, cJSON_CreateString(ref->id));
}

char *item_payload(struct outgoing *m, int64_t now_ms)
{
    _cleanup_json_ cJSON *j = cJSON_CreateObject();
    char uid[32];
    (void)snprintf(uid, sizeof uid, "#%" PRId64, now_ms);
    _cleanup_buf_ struct buf b = BUF_INIT;
    buf_printf(&b, "%s%s", m->key, uid);
    (void)cJSON_AddStringToObject(j, "uid", buf_str(&b));
    (void)cJSON_AddNumberToObject(j, "queued_ms", (double)now_ms);
    if (!cJSON_AddItemToObject(j, "args", m->args)) {
        cJSON_Delete(m->args);
        return NULL;
    }
    add_ref(j, "thread", &m->thread);
    add_ref(j, "place", &m->place);
    json_add_str(j, "extra", m->extra);
    json_add_str(j, "shown", m->shown);
    (void)cJSON_AddBoolToObject(j, "update", m->update);
    if (m->live)
        (void)cJSON_AddBoolToObject(j, "live", true);
    return json_print(j);
}

/* Rows are looked at often: not parsed for this. In a JSON string the quotes would be escaped. */
bool item_is_live(const struct outbox_item *row)
{
    return strstr(row->payload, ",\"live\":true");
}

char *item_payload_plain(const struct item *i)
{
    _cleanup_json_ cJSON *j = cJSON_Duplicate(i->payload, true);
    cJSON *args = cJSON_GetObjectItemCaseSensitive(j, "args");
    if (!cJSON_GetObjectItemCaseSensitive(args, "blocks"))
        return NULL;
    cJSON_DeleteItemFromObjectCaseSensitive(args, "blocks");
    if (i->update) /* else the old blocks would stay */
        (void)cJSON_AddArrayToObject(args, "blocks");
    return json_print(j);
}

static const char *element(const cJSON *array, int index)
{
    const cJSON *e = cJSON_GetArrayItem(array, index);
    return cJSON_IsString(e) ? e->valuestring : NULL;
}

static struct message_ref get_ref(const cJSON *payload, const char *name)
{
    const cJSON *a = json_arr(payload, name);
    struct message_ref r = { element(a, 0), element(a, 1), element(a, 2) };
    return r.kind && r.pod && r.id ? r : (struct message_ref){ NULL, NULL, NULL };
}

struct item *item_new(struct outbox *o, struct slack *s, const struct outbox_item *row)
{
    struct item *i = calloc(1, sizeof *i);
    if (!i)
        return NULL;
    i->o = o;
    i->s = s;
    i->id = row->id;
    i->method = slack_method_find(row->method);
    i->state = row->state;
    i->attempts = row->attempts;
    i->lane = strdup(row->lane);
    i->key = strdup(row->key);
    if (!i->lane || !i->key) {
        item_free(i);
        return NULL;
    }
    if (json_parse(&i->payload, row->payload, strlen(row->payload), NULL) < 0)
        i->payload = NULL;
    i->update = json_bool(i->payload, "update", false);
    i->live = item_is_live(row);
    i->place = get_ref(i->payload, "place");
    return i;
}

void item_free(struct item *i)
{
    if (!i)
        return;
    free(i->lane);
    free(i->key);
    cJSON_Delete(i->payload);
    cJSON_Delete(i->args);
    free(i);
}

struct where {
    char *channel, *ts;
    size_t size;
};

static int take_place(void *data, const struct store_place *p)
{
    const struct where *w = data;
    (void)snprintf(w->channel, w->size, "%s", p->channel);
    (void)snprintf(w->ts, w->size, "%s", p->ts);
    return 0;
}

/* The key of the item that posts what a reference names; threads.c and permission.c make them. */
static enum outbox_fate fate_of_post(const struct item *i)
{
    _cleanup_buf_ struct buf key = BUF_INIT;
    buf_printf(&key, "%s:%s:%s", i->place.kind, i->place.pod, i->place.id);
    return outbox_fate(i->o, buf_str(&key));
}

static enum item_verdict resolve_update(struct item *i)
{
    struct where w = { i->channel, i->ts, sizeof i->ts };
    int r = i->place.kind ? store_place_get(i->s->store, CONNECTOR, i->place.kind, i->place.pod,
                                            i->place.id, take_place, &w)
                          : -ENOENT;
    if (r == -ENOENT) {
        enum outbox_fate fate = i->place.kind ? fate_of_post(i) : FATE_NONE;
        return fate == FATE_QUEUED || fate == FATE_SENDING ? ITEM_WAIT : ITEM_BROKEN;
    }
    return r < 0 ? ITEM_WAIT : ITEM_READY;
}

static int is_settled(void *data, const struct request *r)
{
    *(bool *)data = r->state == REQUEST_SETTLED;
    return 0;
}

static enum item_verdict resolve_post(struct item *i)
{
    struct message_ref thread = get_ref(i->payload, "thread");
    struct where w = { i->channel, i->thread_ts, sizeof i->thread_ts };
    if (thread.kind) /* no place: its root could not be posted; then outside of a thread */
        (void)store_place_get(i->s->store, CONNECTOR, thread.kind, thread.pod, thread.id,
                              take_place, &w);
    const char *channel = i->s->set->slack_channel;
    if (!*i->channel)
        (void)snprintf(i->channel, sizeof i->channel, "%s", channel ? channel : "");
    if (!*i->channel)
        return ITEM_BROKEN;
    if (!i->place.kind || strcmp(i->place.kind, "request") != 0)
        return ITEM_READY;
    bool settled = false;
    int r = core_with_request(i->s->core, i->place.pod, i->place.id, is_settled, &settled);
    return settled || r == -ENOENT ? ITEM_DROP : ITEM_READY;
}

enum item_verdict item_resolve(struct item *i)
{
    const cJSON *args = json_obj(i->payload, "args");
    if (!args || i->method >= SLACK_METHOD_MAX)
        return ITEM_BROKEN;
    enum item_verdict v = i->update ? resolve_update(i) : resolve_post(i);
    i->args = cJSON_Duplicate(args, true);
    if (!i->args)
        return v == ITEM_READY ? ITEM_WAIT : v;
    json_add_str(i->args, i->method == SLACK_UPLOAD ? "channel_id" : "channel", i->channel);
    if (i->update) {
        json_add_str(i->args, "ts", i->ts);
        return v;
    }
    if (*i->thread_ts)
        json_add_str(i->args, "thread_ts", i->thread_ts);
    if (i->method == SLACK_UPLOAD) /* found by its name */
        return v;
    cJSON *meta = cJSON_AddObjectToObject(i->args, "metadata");
    (void)cJSON_AddStringToObject(meta, "event_type", EVENT_TYPE);
    cJSON *payload = cJSON_AddObjectToObject(meta, "event_payload");
    (void)cJSON_AddStringToObject(payload, "id", json_str(i->payload, "uid", ""));
    (void)cJSON_AddBoolToObject(i->args, "unfurl_links", false);
    (void)cJSON_AddBoolToObject(i->args, "unfurl_media", false);
    return v;
}

cJSON *item_look_args(const struct item *i, const char *cursor, enum slack_method *ret)
{
    cJSON *args = cJSON_CreateObject();
    char oldest[32];
    int64_t queued_s = json_int(i->payload, "queued_ms", 0) / 1000;
    (void)snprintf(oldest, sizeof oldest, "%" PRId64 ".000000",
                   queued_s > LOOK_BACK_S ? queued_s - LOOK_BACK_S : 0);
    json_add_str(args, "channel", i->channel);
    if (*i->thread_ts)
        json_add_str(args, "ts", i->thread_ts);
    json_add_str(args, "oldest", oldest);
    json_add_str(args, "limit", "200");
    json_add_str(args, "include_all_metadata", "true");
    if (*cursor)
        json_add_str(args, "cursor", cursor);
    *ret = *i->thread_ts ? SLACK_REPLIES : SLACK_HISTORY;
    return args;
}

const char *item_found(const struct item *i, const cJSON *messages)
{
    const char *uid = json_str(i->payload, "uid", "");
    const char *name =
        i->method == SLACK_UPLOAD ? json_str_at(i->payload, "args.filename", "") : "";
    const cJSON *m;
    cJSON_ArrayForEach (m, messages) {
        const char *id = json_str_at(m, "metadata.event_payload.id", "");
        const char *ts = json_str(m, "ts", NULL);
        const cJSON *file = cJSON_GetArrayItem(json_arr(m, "files"), 0);
        if (*uid && ts && strcmp(id, uid) == 0)
            return ts;
        if (*name && ts && strcmp(json_str(file, "name", ""), name) == 0)
            return ts;
    }
    return NULL;
}
