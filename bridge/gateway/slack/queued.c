#include "bridge/gateway/slack/queued.h"

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/outbox.h"
#include "bridge/gateway/slack/render/blocks.h"
#include "bridge/gateway/slack/render/permission.h"
#include "bridge/gateway/slack/render/text.h"
#include "bridge/gateway/slack/render/turn.h"
#include "bridge/gateway/slack/session_list.h"
#include "bridge/gateway/slack/stream.h"
#include "bridge/gateway/slack/threads.h"
#include "bridge/gateway/slack/users.h"
#include "bridge/gateway/slack/wish.h"

#include <errno.h>
#include <string.h>

#define QUEUED_MAX 50 /* of one session */

/* ---------------------------------------------------------------- what is kept */

static void record_key(struct buf *out, const char *pod, const char *session)
{
    buf_printf(out, "queued:%s:%s:%s", CONNECTOR, pod, session);
}

static cJSON *load(struct slack *s, const char *pod, const char *session)
{
    _cleanup_buf_ struct buf key = BUF_INIT;
    _cleanup_free_ char *text = NULL;
    cJSON *list = NULL;
    record_key(&key, pod, session);
    if (store_get(s->store, buf_str(&key), &text) < 0 ||
        json_parse(&list, text, strlen(text), NULL) < 0 || !cJSON_IsArray(list)) {
        cJSON_Delete(list);
        return cJSON_CreateArray();
    }
    return list;
}

static void save(struct slack *s, const char *pod, const char *session, const cJSON *list)
{
    _cleanup_buf_ struct buf key = BUF_INIT;
    _cleanup_free_ char *text = cJSON_GetArraySize(list) ? json_print(list) : NULL;
    record_key(&key, pod, session);
    int r = store_put(s->store, buf_str(&key), text);
    if (r < 0)
        log_warn("slack: cannot store what is queued: %s", strerror(-r));
}

/* ---------------------------------------------------------------- how it looks */

/* value: "pod session" as of a request; the message's id is in the block. */
static cJSON *notice(const char *line, const char *pod, const char *session, const char *id)
{
    _cleanup_buf_ struct buf value = BUF_INIT;
    cJSON *m = cJSON_CreateObject(), *blocks = cJSON_AddArrayToObject(m, "blocks");
    json_add_str(m, "text", line);
    blocks_add_context(blocks, line, NULL);
    if (id) {
        struct blocks_button b = { .action_id = ACTION_SEND_NOW, .label = "Send now" };
        permission_value(&value, pod, session);
        b.value = buf_str(&value);
        blocks_add_buttons(blocks, id, &b, 1);
    }
    return m;
}

static void put_notice(struct slack *s, const struct queued_message *m)
{
    static const char queued[] = ":hourglass_flowing_sand: Queued: the agent is at work and reads "
                                 "this when the turn ends. _Send now_ stops the turn.";
    static const char stops[] = ":arrow_up: This stops the turn: the agent reads it at once.";
    bool now = s->set->interrupts;
    _cleanup_buf_ struct buf key = BUF_INIT, lane = BUF_INIT;
    buf_printf(&key, "queued:%s:%s", m->pod, m->message_id);
    threads_lane(&lane, m->pod, m->session_id);
    (void)outbox_put(s->outbox, &(struct outgoing){
                                    .key = buf_str(&key),
                                    .lane = buf_str(&lane),
                                    .args = notice(now ? stops : queued, m->pod, m->session_id,
                                                   now ? NULL : m->message_id),
                                    .thread = { "session", m->pod, m->session_id },
                                    .place = { "queued", m->pod, m->message_id },
                                });
}

static void change_notice(struct slack *s, const char *pod, const char *session, const char *id,
                          const char *line, bool button)
{
    _cleanup_buf_ struct buf key = BUF_INIT;
    buf_printf(&key, "update:queued:%s:%s", pod, id);
    (void)outbox_put(s->outbox, &(struct outgoing){
                                    .key = buf_str(&key),
                                    .lane = buf_str(&key),
                                    .args = notice(line, pod, session, button ? id : NULL),
                                    .place = { "queued", pod, id },
                                    .update = true,
                                    .again = true,
                                });
}

/* ---------------------------------------------------------------- in and out */

static int status_of(void *data, const struct session *s)
{
    *(enum session_status *)data = s->status;
    return 0;
}

static bool is_busy(struct slack *s, const char *pod, const char *session)
{
    enum session_status status = SESSION_IDLE;
    (void)core_with_session(s->core, pod, session, status_of, &status);
    return status == SESSION_BUSY || status == SESSION_RETRY;
}

static void on_abort(void *data, int error, const char *message, const char *session_id)
{
    (void)data;
    if (error)
        log_warn("slack: session %s could not be stopped: %s", session_id, message);
}

/* gateway.busy: interrupt. The turn may be over by now: then it has read the message. */
static void interrupt_for(struct slack *s, const struct queued_message *m)
{
    struct actor actor = { CONNECTOR, m->user, users_name(s->users, m->user) };
    int r = is_busy(s, m->pod, m->session_id)
                ? core_session_abort(s->core, m->pod, m->session_id, &actor, on_abort, NULL)
                : -ESRCH;
    if (r == -ESRCH)
        queued_turn_ended(s, m->pod, m->session_id, false);
    else if (r < 0)
        log_warn("slack: session %s could not be stopped: %s", m->session_id, strerror(-r));
}

void queued_add(struct slack *s, const struct queued_message *m)
{
    _cleanup_json_ cJSON *list = load(s, m->pod, m->session_id);
    const cJSON *old;
    cJSON_ArrayForEach (old, list) {
        if (strcmp(json_str(old, "id", ""), m->message_id) == 0)
            return;
    }
    if (cJSON_GetArraySize(list) >= QUEUED_MAX)
        cJSON_DeleteItemFromArray(list, 0);
    cJSON *j = cJSON_CreateObject();
    json_add_str(j, "id", m->message_id);
    json_add_str(j, "user", m->user);
    json_add_str(j, "text", m->text);
    if (s->set->interrupts)
        (void)cJSON_AddBoolToObject(j, "now", true);
    if (!cJSON_AddItemToArray(list, j))
        cJSON_Delete(j);
    bool begun = store_begin(s->store) == 0;
    save(s, m->pod, m->session_id, list);
    put_notice(s, m);
    if (begun)
        (void)store_commit(s->store);
    stream_break(s->stream, m->pod, m->session_id);
    if (s->set->interrupts)
        interrupt_for(s, m);
}

static void on_sent(void *data, int error, const char *message, const char *session_id)
{
    (void)data;
    if (error)
        log_warn("slack: a queued message of session %s was not sent: %s", session_id, message);
}

/* It is in OpenCode already, under this id; asking for it again makes the agent read it. */
static void send_again(struct slack *s, const char *pod, const char *session, const cJSON *j)
{
    struct actor actor = { CONNECTOR, json_str(j, "by", json_str(j, "user", "")), "" };
    struct session_prompt p = {
        .pod = pod,
        .session_id = session,
        .text = json_str(j, "text", ""),
        .actor = &actor,
        .message_id = json_str(j, "id", ""),
    };
    int r = core_session_prompt(s->core, &p, on_sent, NULL);
    if (r < 0)
        log_warn("slack: a queued message was not sent: %s", strerror(-r));
}

static void say_sent(struct slack *s, const char *pod, const char *session, const cJSON *j)
{
    _cleanup_buf_ struct buf line = BUF_INIT;
    const char *by = json_str(j, "by", "");
    buf_puts(&line, ":arrow_up: Sent at once");
    if (text_is_user_id(by))
        buf_printf(&line, " by <@%s>", by);
    change_notice(s, pod, session, json_str(j, "id", ""), buf_str(&line), false);
}

void queued_turn_ended(struct slack *s, const char *pod, const char *session_id, bool stopped)
{
    _cleanup_json_ cJSON *list = load(s, pod, session_id), *kept = cJSON_CreateArray();
    const cJSON *j, *now = NULL;
    if (cJSON_GetArraySize(list) == 0)
        return;
    cJSON_ArrayForEach (j, list)
        if (json_bool(j, "now", false))
            now = j;
    cJSON_ArrayForEach (j, list) {
        const char *id = json_str(j, "id", "");
        if (!stopped || (now && j != now)) {
            change_notice(s, pod, session_id, id, ":white_check_mark: Read by the agent", false);
        } else if (!now) {
            change_notice(
                s, pod, session_id, id,
                ":hourglass_flowing_sand: Not read yet: the turn was stopped. _Send now_, "
                "or write anything: the agent then reads this too.",
                true);
            (void)cJSON_AddItemToArray(kept, cJSON_Duplicate(j, true));
        }
    }
    save(s, pod, session_id, kept);
    if (now) {
        say_sent(s, pod, session_id, now);
        if (stopped)
            send_again(s, pod, session_id, now);
    }
}

/* ---------------------------------------------------------------- buttons */

static void whisper_failed(const struct wish *w, int r)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    buf_printf(&b, ":warning: It could not be stopped: %s", strerror(-r));
    wish_whisper(w, buf_str(&b));
}

static void stop_session(const struct wish *w, const char *pod, const char *session)
{
    struct actor actor = wish_actor(w);
    if (!is_busy(w->s, pod, session)) {
        wish_whisper(w, "Nothing is running here.");
        return;
    }
    int r = core_session_abort(w->s->core, pod, session, &actor, on_abort, NULL);
    if (r < 0)
        whisper_failed(w, r);
}

/* Which message: its id is the block's. */
static void send_now(const struct wish *w, const char *pod, const char *session)
{
    struct actor actor = wish_actor(w);
    _cleanup_json_ cJSON *list = load(w->s, pod, session);
    cJSON *j, *mine = NULL;
    cJSON_ArrayForEach (j, list)
        if (strcmp(json_str(j, "id", ""), w->text) == 0)
            mine = j;
    if (!mine) {
        wish_whisper(w, "The agent has read this already.");
        return;
    }
    cJSON_DeleteItemFromObjectCaseSensitive(mine, "now");
    cJSON_DeleteItemFromObjectCaseSensitive(mine, "by");
    (void)cJSON_AddBoolToObject(mine, "now", true);
    json_add_str(mine, "by", w->user);
    save(w->s, pod, session, list);
    if (!is_busy(w->s, pod, session)) {
        queued_turn_ended(w->s, pod, session, true);
        return;
    }
    int r = core_session_abort(w->s->core, pod, session, &actor, on_abort, NULL);
    if (r < 0)
        whisper_failed(w, r);
}

static void resume(const struct wish *w, const char *pod, const char *session)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    int r = threads_ensure(w->s->threads, pod, session);
    if (r < 0)
        buf_printf(&b, ":warning: Its thread could not be made: %s",
                   r == -ENOTCONN ? "SLACK_CHANNEL_ID is not set" : strerror(-r));
    else
        buf_printf(&b, "Its thread is in <#%s>. A reply there goes on with it.",
                   w->s->set->slack_channel);
    wish_whisper(w, buf_str(&b));
}

bool queued_action(struct slack *s, const cJSON *payload, const char *action_id)
{
    static const struct {
        const char *id;
        wish_fn *fn;
    } table[] = { { ACTION_STOP, stop_session },
                  { ACTION_SEND_NOW, send_now },
                  { ACTION_RESUME, resume } };
    const cJSON *action = cJSON_GetArrayItem(json_arr(payload, "actions"), 0);
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (strcmp(table[i].id, action_id) != 0)
            continue;
        struct wish_fields f = wish_fields_of_action(payload);
        f.value = json_str(action, "value", "");
        f.text = json_str(action, "block_id", "");
        wish_ask(s, table[i].fn, &f);
        return true;
    }
    return false;
}
