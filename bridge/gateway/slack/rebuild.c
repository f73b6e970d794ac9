#include "bridge/gateway/slack/rebuild.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "bridge/gateway/slack/channels.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/outbox.h"
#include "bridge/gateway/slack/reader.h"
#include "bridge/gateway/slack/render/text.h"
#include "bridge/gateway/slack/requests.h"

#include <errno.h>
#include <string.h>

#define BACK_MS      (INT64_C(14) * 86400000) /* so far back */
#define CHANNELS_MAX 40                       /* beside our own: nothing is posted meanwhile */

struct rebuild {
    struct slack *s;
    struct reader *reader;
    struct channel_list list;
    char *kept; /* where the damaged file is */
    char since[40];
    unsigned threads;
    bool begun;
};

/* "KIND:POD:ID#TIME" of a message's metadata is cut in three; a pod's name may hold colons. False
 * when it is none of ours. */
static bool parse(char *copy, const char **ret_kind, const char **ret_pod, const char **ret_id)
{
    static const char *const kinds[] = { "session", "card", "request", "page" };
    char *time = strrchr(copy, '#'), *pod = strchr(copy, ':');
    if (!time || !pod)
        return false;
    *time = *pod++ = '\0';
    char *id = strrchr(pod, ':');
    if (!id || id == pod || !id[1])
        return false;
    *id++ = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (strcmp(kinds[i], copy) == 0) {
            *ret_kind = kinds[i];
            *ret_pod = pod;
            *ret_id = id;
            return true;
        }
    return false;
}

static int place(struct rebuild *b, const char *kind, const char *pod, const char *id,
                 const char *channel, const char *ts, const char *thread_ts)
{
    b->threads += strcmp(kind, "session") == 0;
    return store_place_put(b->s->store, &(struct store_place){
                                            .connector = CONNECTOR,
                                            .kind = kind,
                                            .pod = pod,
                                            .id = id,
                                            .channel = channel,
                                            .ts = ts,
                                            .thread_ts = thread_ts,
                                            .extra = "",
                                        });
}

/* What one message of ours shows. A session that a person's message began has its card in the
 * thread of that message. */
static int take_place(struct rebuild *b, const char *channel, const cJSON *message)
{
    _cleanup_free_ char *copy = strdup(json_str_at(message, "metadata.event_payload.id", ""));
    const char *ts = json_str(message, "ts", ""), *kind, *pod, *id;
    const char *thread_ts = json_str(message, "thread_ts", ts);
    if (!copy)
        return -ENOMEM;
    if (!parse(copy, &kind, &pod, &id))
        return 0;
    int r = place(b, kind, pod, id, channel, ts, thread_ts);
    if (r >= 0 && strcmp(kind, "card") == 0)
        r = place(b, "session", pod, id, channel, thread_ts, thread_ts);
    return r;
}

static bool we_replied(const struct slack *s, const cJSON *message)
{
    const cJSON *user;
    cJSON_ArrayForEach (user, json_arr(message, "reply_users"))
        if (cJSON_IsString(user) && s->bot_user && strcmp(user->valuestring, s->bot_user) == 0)
            return true;
    return false;
}

static bool is_ours(const struct slack *s, const cJSON *message)
{
    return s->bot_user && strcmp(json_str(message, "user", ""), s->bot_user) == 0;
}

static int on_message(void *data, const struct reader_target *t, const cJSON *message)
{
    struct rebuild *b = data;
    if (!*t->thread && we_replied(b->s, message)) {
        int r =
            reader_add(b->reader, &(struct reader_target){ .channel = t->channel,
                                                           .thread = json_str(message, "ts", ""),
                                                           .oldest = b->since,
                                                           .metadata = true });
        if (r < 0)
            return r;
    }
    return is_ours(b->s, message) ? take_place(b, t->channel, message) : 0;
}

/* Once: with the note the reason for it goes. */
static void say(struct rebuild *b, bool whole)
{
    struct store *store = b->s->store;
    _cleanup_buf_ struct buf text = BUF_INIT, key = BUF_INIT;
    buf_puts(&text, ":warning: My memory was damaged (the file is kept as ");
    (void)text_put(&text, b->kept, 300, TEXT_ESCAPE | TEXT_ONE_LINE);
    buf_printf(&text,
               "). I know again: what OpenCode has, and %u threads of the last two weeks%s. What "
               "was under way just then may be lost, and who decided what before is not known.",
               b->threads, whole ? "" : " (not all of them could be read)");
    buf_printf(&key, "notice:rebuilt:%s", b->kept);
    cJSON *args = cJSON_CreateObject();
    json_add_str(args, "text", buf_str(&text));
    if (store_begin(store) < 0) {
        cJSON_Delete(args);
        return;
    }
    int r = outbox_put(b->s->outbox,
                       &(struct outgoing){ .key = buf_str(&key), .lane = "notices", .args = args });
    if (r >= 0)
        r = store_put(store, STORE_REBUILD, NULL);
    if (r < 0)
        store_rollback(store);
    else
        (void)store_commit(store);
}

static void on_done(void *data, bool whole)
{
    struct rebuild *b = data;
    log_info("slack: %u threads were found again%s", b->threads, whole ? "" : ", not all");
    say(b, whole);
    outbox_hold(b->s->outbox, false);
    requests_offer(b->s);
}

static const struct reader_ops ops = { on_message, NULL, on_done };

static int add_channel(struct rebuild *b, const char *channel)
{
    return reader_add(b->reader,
                      &(struct reader_target){
                          .channel = channel, .thread = "", .oldest = b->since, .metadata = true });
}

static void on_channel(void *data, const char *channel)
{
    struct rebuild *b = data;
    if (strcmp(channel, b->s->set->slack_channel) != 0 && add_channel(b, channel) < 0)
        log_warn("slack: not enough memory to read channel %s", channel);
}

static void on_listed(void *data)
{
    struct rebuild *b = data;
    reader_start(b->reader);
}

int rebuild_new(struct rebuild **ret, struct slack *s)
{
    _cleanup_free_ char *kept = NULL;
    *ret = NULL;
    int r = store_get(s->store, STORE_REBUILD, &kept);
    if (r == -ENOENT || !s->set->slack_channel || !*s->set->slack_channel)
        return 0;
    struct rebuild *b = r < 0 ? NULL : calloc(1, sizeof *b);
    if (!b)
        return r < 0 ? r : -ENOMEM;
    b->s = s;
    b->kept = TAKE_PTR(kept);
    b->list = (struct channel_list){ .s = s, .each = on_channel, .done = on_listed, .data = b };
    text_ts_of_ms(b->since, clock_wall_ms() - BACK_MS);
    r = reader_new(&b->reader, s, &ops, b);
    if (r >= 0)
        r = add_channel(b, s->set->slack_channel);
    if (r < 0) {
        rebuild_free(b);
        return r;
    }
    outbox_hold(s->outbox, true);
    *ret = b;
    return 0;
}

void rebuild_free(struct rebuild *b)
{
    if (!b)
        return;
    reader_free(b->reader);
    free(b->kept);
    free(b);
}

void rebuild_ready(struct rebuild *b)
{
    if (!b || b->begun)
        return;
    b->begun = true;
    channel_list_read(&b->list, CHANNELS_MAX);
}
