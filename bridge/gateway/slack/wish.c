#include "bridge/gateway/slack/wish.h"

#include "base/core/log.h"
#include "base/trace/derive.h"
#include "bridge/gateway/slack/intake.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/render/permission.h"
#include "bridge/gateway/slack/requests.h"
#include "bridge/gateway/slack/users.h"

#include <errno.h>
#include <string.h>

#define TRIGGER_MS 2500 /* a trigger_id lives for 3 s */
#define SKEW_MS    1000 /* between Slack's clock and ours */

static void wish_free(void *data)
{
    struct wish *w = data;
    if (!w)
        return;
    intake_drop(w->item);
    char *all[] = { w->user,  w->channel, w->thread_ts,    w->message_ts,
                    w->value, w->trigger, w->response_url, w->text };
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        free(all[i]);
    free(w->ids);
    cJSON_Delete(w->picks);
    free(w);
}

static void wish_free_ptr(struct wish **w)
{
    wish_free(*w);
}
#define _cleanup_wish_ _cleanup_(wish_free_ptr)

/* Takes the item, also when it fails. */
static struct wish *wish_new(struct slack *s, wish_fn *fn, const struct wish_fields *f)
{
    _cleanup_wish_ struct wish *w = calloc(1, sizeof *w);
    if (!w) {
        intake_drop(f->item);
        return NULL;
    }
    w->item = f->item;
    w->s = s;
    w->fn = fn;
    w->verb = f->verb;
    const struct {
        char **to;
        const char *from;
    } copies[] = {
        { &w->user, f->user },
        { &w->channel, f->channel },
        { &w->thread_ts, f->thread_ts },
        { &w->message_ts, f->message_ts },
        { &w->value, f->value },
        { &w->trigger, f->trigger },
        { &w->response_url, f->response_url },
        { &w->text, f->text },
    };
    for (size_t i = 0; i < ARRAY_SIZE(copies); i++) {
        *copies[i].to = strdup(copies[i].from ? copies[i].from : "");
        if (!*copies[i].to)
            return NULL;
    }
    w->ids = log_keep();
    if (f->picks && !(w->picks = cJSON_Duplicate(f->picks, true)))
        return NULL;
    return TAKE_PTR(w);
}

/* ---------------------------------------------------------------- payloads */

struct wish_fields wish_fields_of_action(const cJSON *payload)
{
    const char *channel = json_str_at(payload, "channel.id", "");
    const char *thread_ts = json_str_at(payload, "container.thread_ts", "");
    const cJSON *action = cJSON_GetArrayItem(json_arr(payload, "actions"), 0);
    return (struct wish_fields){
        .user = json_str_at(payload, "user.id", ""),
        .channel = *channel ? channel : json_str_at(payload, "container.channel_id", ""),
        .thread_ts = *thread_ts ? thread_ts : json_str_at(payload, "message.thread_ts", ""),
        .message_ts = json_str_at(payload, "container.message_ts", ""),
        .value = json_str(action, "value", ""),
        .trigger = json_str(payload, "trigger_id", ""),
        .response_url = json_str(payload, "response_url", ""),
    };
}

static const char *const meta_keys[] = { "value", "channel", "thread_ts", "message_ts" };

char *wish_metadata(const struct wish *w)
{
    _cleanup_json_ cJSON *meta = cJSON_CreateObject();
    const char *const values[] = { w->value, w->channel, w->thread_ts, w->message_ts };
    for (size_t i = 0; i < ARRAY_SIZE(meta_keys); i++)
        json_add_str(meta, meta_keys[i], values[i]);
    return json_print(meta);
}

cJSON *wish_meta_of(const cJSON *payload)
{
    cJSON *meta = NULL;
    const char *text = json_str_at(payload, "view.private_metadata", "");
    return json_parse(&meta, text, strlen(text), NULL) < 0 ? NULL : meta;
}

struct wish_fields wish_fields_of_view(const cJSON *payload, const cJSON *meta)
{
    return (struct wish_fields){
        .user = json_str_at(payload, "user.id", ""),
        .value = json_str(meta, "value", ""),
        .channel = json_str(meta, "channel", ""),
        .thread_ts = json_str(meta, "thread_ts", ""),
        .message_ts = json_str(meta, "message_ts", ""),
    };
}

/* ---------------------------------------------------------------- asking */

void wish_whisper(const struct wish *w, const char *text)
{
    if (*w->channel)
        slack_whisper(w->s, w->channel, *w->thread_ts ? w->thread_ts : NULL, w->user, text);
}

struct actor wish_actor(const struct wish *w)
{
    return (struct actor){ CONNECTOR, w->user, users_name(w->s->users, w->user) };
}

static void refuse(const struct wish *w, const char *id)
{
    struct actor actor = wish_actor(w);
    core_audit(w->s->core, &actor, "refused", id, "not among those who may decide");
    wish_whisper(w, users_refusal(w->s->users));
}

static void on_may(void *data, bool may)
{
    _cleanup_wish_ struct wish *w = data;
    _cleanup_free_ char *copy = strdup(w->value);
    const char *pod, *id;
    if (!copy)
        return;
    _log_about_ struct log_about kept = log_kept(w->ids);
    log_enter(&kept);
    if (permission_value_parse(copy, &pod, &id)) {
        struct trace_ids ids;
        trace_derive(id, &ids);
        _log_about_ struct log_about about = {
            .id = { [LOG_TRACE_ID] = ids.trace_id, [LOG_SPAN_ID] = ids.span_id, [LOG_POD] = pod },
        };
        log_enter(&about);
        log_info("request %s: %s in Slack %s", id, w->user, may ? "answers it" : "may not answer");
        if (may)
            w->fn(w, pod, id);
        else
            refuse(w, id);
    }
    if (w->item)
        intake_done(TAKE_PTR(w->item));
}

void wish_ask(struct slack *s, wish_fn *fn, const struct wish_fields *f)
{
    struct wish *w = wish_new(s, fn, f);
    if (w)
        users_ask(s->users, w->user, on_may, wish_free, w);
}

static void on_open(void *data, const struct api_result *r)
{
    (void)data;
    if (!r->ok)
        log_warn("slack: %s", r->message);
}

int wish_open(const struct wish *w, cJSON *view)
{
    cJSON *args = cJSON_CreateObject();
    json_add_str(args, "trigger_id", w->trigger);
    if (!cJSON_AddItemToObject(args, "view", view))
        cJSON_Delete(view);
    return api_call(w->s->api, SLACK_VIEWS_OPEN, args, TRIGGER_MS, on_open, NULL);
}

/* ---------------------------------------------------------------- deciding */

static int say_outcome(void *data, const struct request *r)
{
    struct buf *text = data;
    permission_outcome(text, r);
    return 0;
}

struct mine {
    const struct wish *w;
    enum request_outcome outcome;
    const char *answers;
    bool yes;
};

/* OpenCode words answers in its own way: after a crash who and how must do. */
static int is_mine(void *data, const struct request *r)
{
    struct mine *m = data;
    bool again = m->w->item && m->w->item->again;
    m->yes = strcmp(r->actor.connector, CONNECTOR) == 0 && strcmp(r->actor.id, m->w->user) == 0 &&
             r->outcome == m->outcome &&
             (again || !m->answers || strcmp(r->answers_json, m->answers) == 0);
    return 0;
}

void wish_too_late(const struct wish *w, const char *pod, const char *id,
                   enum request_outcome outcome, const char *answers_json)
{
    struct mine m = { .w = w, .outcome = outcome, .answers = answers_json };
    if (outcome != OUTCOME_NONE && core_with_request(w->s->core, pod, id, is_mine, &m) == 0 &&
        m.yes)
        return;
    _cleanup_buf_ struct buf text = BUF_INIT;
    buf_puts(&text, "Somebody was first: ");
    if (core_with_request(w->s->core, pod, id, say_outcome, &text) == 0)
        wish_whisper(w, buf_str(&text));
}

void wish_gone(const struct wish *w, const char *pod, const char *id)
{
    if (*w->message_ts)
        requests_gone(w->s, pod, id, w->channel, w->message_ts);
    wish_whisper(w, "This request is no longer waiting: OpenCode has it no more.");
}

void wish_decide(const struct wish *w, const char *pod, const char *id,
                 enum request_outcome outcome, const char *answers_json)
{
    struct actor actor = wish_actor(w);
    int r = core_decide(w->s->core, pod, id, outcome, w->text, answers_json, &actor);
    if (r == 1) {
        wish_too_late(w, pod, id, outcome, answers_json);
    } else if (r == -ENOENT) {
        wish_gone(w, pod, id);
    } else if (r < 0) {
        log_error("slack: a decision was not taken: %s", strerror(-r));
        wish_whisper(w, "That decision could not be taken just now. Please try again.");
    }
}

bool thread_words_meant(const struct thread_words *t, const struct request *r)
{
    return r->state == REQUEST_PENDING && strcmp(r->root_session_id, t->session_id) == 0 &&
           strcmp(r->pod, t->pod) == 0 &&
           (!t->written_ms || r->created_ms < t->written_ms + SKEW_MS);
}
