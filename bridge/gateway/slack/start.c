#include "bridge/gateway/slack/start.h"

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "bridge/gateway/core/crash.h"
#include "bridge/gateway/core/flush.h"
#include "bridge/gateway/slack/intake.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/render/start_form.h"
#include "bridge/gateway/slack/render/text.h"
#include "bridge/gateway/slack/stream.h"
#include "bridge/gateway/slack/threads.h"
#include "bridge/gateway/slack/users.h"

#include <errno.h>
#include <string.h>

#define TRIGGER_MS 2500 /* a trigger_id lives for 3 s */

static void respond(struct slack *s, const char *response_url, const char *text)
{
    cJSON *m = cJSON_CreateObject();
    json_add_str(m, "response_type", "ephemeral");
    json_add_str(m, "text", text);
    api_respond(s->api, response_url, m);
}

/* ---------------------------------------------------------------- the form, stored */

int start_keep(struct slack *s, const cJSON *payload)
{
    static const char *const fields[] = { "title", "pod", "agent", "model" };
    const cJSON *values = json_at(payload, "view.state.values");
    const char *view = json_str_at(payload, "view.id", "");
    _cleanup_buf_ struct buf key = BUF_INIT, prompt = BUF_INIT;
    if (!*view) {
        log_warn("slack: a form without an id is ignored");
        return 0;
    }
    buf_printf(&key, "form:%s", view);
    start_prompt(&prompt, values);
    if (key.failed || prompt.failed)
        return -ENOMEM;
    cJSON *j = cJSON_CreateObject();
    json_add_str(j, "user", json_str_at(payload, "user.id", ""));
    json_add_str(j, "response_url", json_str_at(payload, "view.private_metadata", ""));
    json_add_str(j, "view", view);
    json_add_str(j, "prompt", buf_str(&prompt));
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        json_add_str(j, fields[i], start_value(values, fields[i]));
    const char *keys[] = { buf_str(&key), NULL };
    int r = intake_put(s->intake, "start", buf_str(&key), keys, j);
    return r < 0 ? r : 0;
}

/* ---------------------------------------------------------------- the session */

static const char *field(const struct intake_item *i, const char *name)
{
    return json_str(i->payload, name, "");
}

static void item_release(void *data)
{
    intake_drop(data);
}

/* The person knows how it ended, and it is over. */
static void end(struct intake_item *i, const char *text)
{
    respond(i->s, field(i, "response_url"), text);
    intake_done(i);
}

static void fail_or_later(struct intake_item *i, int error, const char *why)
{
    if (!intake_worth(i, error)) {
        _cleanup_buf_ struct buf b = BUF_INIT;
        buf_puts(&b, ":warning: The session could not be started: ");
        (void)text_put(&b, core_error_text(error, why), 400, TEXT_ESCAPE | TEXT_ONE_LINE);
        end(i, buf_str(&b));
        return;
    }
    if (error == -ENOTCONN && i->attempts == INTAKE_SAY_AT && !i->s->stopping)
        respond(i->s, field(i, "response_url"),
                ":hourglass_flowing_sand: OpenCode can't be reached just now. Your session starts "
                "when it is back.");
    intake_later(i, intake_pause(i));
}

/* Its thread is on its way in the same transaction in which the form is done. */
static int show(struct intake_item *i, const char *pod, const char *session_id)
{
    struct store *store = i->s->store;
    int r = store_begin(store);
    if (r < 0)
        return r;
    r = threads_ensure(i->s->threads, pod, session_id);
    if (r >= 0)
        r = stream_expect(i->s->stream, pod, session_id);
    if (r >= 0)
        r = store_inbound_done(store, i->id);
    if (r < 0) {
        store_rollback(store);
        return r;
    }
    return store_commit(store);
}

static void on_started(void *data, int error, const char *why, const char *session_id)
{
    struct intake_item *i = data;
    _cleanup_buf_ struct buf b = BUF_INIT;
    if (!i->s) { /* the gateway ends; the next start looks what became of it */
        intake_drop(i);
        return;
    }
    if (error || !session_id || !*session_id) {
        fail_or_later(i, error ? error : -EIO, why);
        return;
    }
    _cleanup_free_ char *pod = threads_pod_of(i->s->threads, session_id);
    int r = pod ? show(i, pod, session_id) : -ENOMEM;
    if (r < 0 && intake_patient(i)) {
        log_error("slack: cannot store a session's thread: %s", strerror(-r));
        intake_later(i, intake_pause(i));
        return;
    }
    crash_point("session.shown");
    if (r < 0)
        buf_printf(&b, ":warning: The session was started, but has no thread: %s.", strerror(-r));
    else
        buf_printf(&b, "Started. It goes on in its thread in <#%s>.", i->s->set->slack_channel);
    end(i, buf_str(&b));
}

static void start_session(struct intake_item *i, const struct actor *actor)
{
    _cleanup_buf_ struct buf key = BUF_INIT;
    buf_printf(&key, "slack:form:%s", field(i, "view"));
    const char *pod = field(i, "pod"), *agent = field(i, "agent"), *model = field(i, "model");
    struct session_start start = {
        .pod = *pod ? pod : NULL,
        .title = field(i, "title"),
        .prompt = field(i, "prompt"),
        .agent = *agent ? agent : NULL,
        .model = *model ? model : NULL,
        .actor = actor,
        .key = buf_str(&key),
        .message_id = i->note,
        .again = i->attempts > 1,
    };
    int r = core_session_start(i->s->core, &start, on_started, i);
    if (r < 0)
        on_started(i, r, NULL, NULL);
    else
        crash_point("prompt.sent");
}

/* The prompt's id is on the disk: after a power cut, too, it is known under which one to look. */
static void on_id_kept(void *data, int error)
{
    struct intake_item *i = data;
    if (!i->s || error) {
        intake_drop(i);
        return;
    }
    const char *user = field(i, "user");
    struct actor actor = { CONNECTOR, user, users_name(i->s->users, user) };
    start_session(i, &actor);
}

static void on_may(void *data, bool may)
{
    struct intake_item *i = data;
    char id[PROMPT_ID_SIZE];
    if (may) {
        if (intake_prompt_id(i, id) < 0 || flush_wait(core_flush(i->s->core), on_id_kept, i) < 0)
            intake_drop(i);
        return;
    }
    const char *user = field(i, "user");
    struct actor actor = { CONNECTOR, user, users_name(i->s->users, user) };
    core_audit(i->s->core, &actor, "refused", "new session", "not among those who may");
    end(i, users_refusal(i->s->users));
}

void start_work(struct slack *s, struct intake_item *i)
{
    users_ask(s->users, field(i, "user"), on_may, item_release, i);
}

/* ---------------------------------------------------------------- opening it */

struct opening {
    struct slack *s;
    char *response_url;
};

static void on_open(void *data, const struct api_result *r)
{
    struct opening *o = data;
    if (!r->ok) {
        log_warn("slack: %s", r->message);
        respond(o->s, o->response_url,
                r->maybe_done
                    ? ":warning: Slack did not say whether the form opened. If you do not see it, "
                      "please try again, or mention me in a message with the task."
                    : ":warning: The form could not be opened in time. Please try again, or "
                      "mention me in a message with the task.");
    }
    free(o->response_url);
    free(o);
}

int start_open(struct slack *s, const char *trigger, const char *response_url, const char *typed)
{
    struct opening *o = calloc(1, sizeof *o);
    char *url = strdup(response_url);
    cJSON *args = cJSON_CreateObject();
    const char *pods[START_PODS_MAX];
    struct start_form form = {
        .catalog_json = core_catalog(s->core),
        .pods = pods,
        .n_pods = core_pods(s->core, pods, START_PODS_MAX),
        .typed = typed,
        .metadata = response_url,
    };
    json_add_str(args, "trigger_id", trigger);
    (void)cJSON_AddItemToObject(args, "view", start_modal(&form));
    int r = o && url ? 0 : -ENOMEM;
    if (r == 0) {
        *o = (struct opening){ s, url };
        r = api_call(s->api, SLACK_VIEWS_OPEN, args, TRIGGER_MS, on_open, o);
    } else {
        cJSON_Delete(args);
    }
    if (r < 0) {
        free(url);
        free(o);
    }
    return r;
}
