#include "bridge/gateway/slack/start.h"

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/start_form.h"
#include "bridge/gateway/slack/text.h"
#include "bridge/gateway/slack/threads.h"
#include "bridge/gateway/slack/users.h"

#include <errno.h>
#include <string.h>

#define TRIGGER_MS 2500 /* a trigger_id lives for 3 s */

struct start {
    struct slack *s;
    char *user, *response_url, *title, *prompt, *agent, *model;
};

static void start_free(void *data)
{
    struct start *st = data;
    if (!st)
        return;
    free(st->user);
    free(st->response_url);
    free(st->title);
    free(st->prompt);
    free(st->agent);
    free(st->model);
    free(st);
}

static void start_free_ptr(struct start **st)
{
    start_free(*st);
}
#define _cleanup_start_ _cleanup_(start_free_ptr)

static void respond(struct slack *s, const char *response_url, const char *text)
{
    cJSON *m = cJSON_CreateObject();
    json_add_str(m, "response_type", "ephemeral");
    json_add_str(m, "text", text);
    api_respond(s->api, response_url, m);
}

static void on_started(void *data, int error, const char *why, const char *session_id)
{
    _cleanup_start_ struct start *st = data;
    _cleanup_buf_ struct buf b = BUF_INIT;
    if (error || !session_id || !*session_id) {
        buf_puts(&b, ":warning: The session could not be started: ");
        (void)text_put(&b, why && *why ? why : strerror(error ? -error : EPROTO), 400,
                       TEXT_ESCAPE | TEXT_ONE_LINE);
        respond(st->s, st->response_url, buf_str(&b));
        return;
    }
    _cleanup_free_ char *pod = threads_pod_of(st->s->threads, session_id);
    int r = pod ? threads_ensure(st->s->threads, pod, session_id) : -ENOMEM;
    if (r < 0)
        log_warn("slack: no thread for a session that was started here: %s", strerror(-r));
    buf_printf(&b, "Started. It goes on in its thread in <#%s>.", st->s->set->slack_channel);
    respond(st->s, st->response_url, buf_str(&b));
}

static void on_may(void *data, bool may)
{
    _cleanup_start_ struct start *st = data;
    struct actor actor = { CONNECTOR, st->user, users_name(st->s->users, st->user) };
    if (!may) {
        core_audit(st->s->core, &actor, "refused", "new session", "not among those who may");
        respond(st->s, st->response_url, users_refusal(st->s->users));
        return;
    }
    struct session_start start = {
        .title = st->title,
        .prompt = st->prompt,
        .agent = *st->agent ? st->agent : NULL,
        .model = *st->model ? st->model : NULL,
        .actor = &actor,
    };
    int r = core_session_start(st->s->core, &start, on_started, st);
    if (r < 0)
        respond(st->s, st->response_url, ":warning: The session could not be started.");
    else
        (void)TAKE_PTR(st);
}

void start_view_submission(struct slack *s, const cJSON *payload)
{
    _cleanup_start_ struct start *st = calloc(1, sizeof *st);
    _cleanup_buf_ struct buf prompt = BUF_INIT;
    const cJSON *values = json_at(payload, "view.state.values");
    if (!st)
        return;
    start_prompt(&prompt, values);
    st->s = s;
    st->user = strdup(json_str_at(payload, "user.id", ""));
    st->response_url = strdup(json_str_at(payload, "view.private_metadata", ""));
    st->title = strdup(start_value(values, "title"));
    st->agent = strdup(start_value(values, "agent"));
    st->model = strdup(start_value(values, "model"));
    st->prompt = buf_take(&prompt);
    if (!st->user || !st->response_url || !st->title || !st->agent || !st->model || !st->prompt)
        return;
    struct start *all = TAKE_PTR(st);
    users_ask(s->users, all->user, on_may, start_free, all);
}

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
                ":warning: The form could not be opened in time. Please try again, or mention me "
                "in a message with the task.");
    }
    free(o->response_url);
    free(o);
}

int start_open(struct slack *s, const char *trigger, const char *response_url, const char *typed)
{
    struct opening *o = calloc(1, sizeof *o);
    char *url = strdup(response_url);
    cJSON *args = cJSON_CreateObject();
    json_add_str(args, "trigger_id", trigger);
    (void)cJSON_AddItemToObject(args, "view",
                                start_modal(core_catalog(s->core), typed, response_url));
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
