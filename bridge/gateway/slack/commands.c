#include "bridge/gateway/slack/commands.h"

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/start.h"
#include "bridge/gateway/slack/text.h"
#include "bridge/gateway/slack/users.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define LIST_MAX 10

struct command {
    struct slack *s;
    const char *user, *channel, *response_url;
    const char *trigger; /* opens a form, for 3 s */
    const char *rest;    /* what follows the verb */
};

typedef void verb_fn(const struct command *c, struct buf *answer);

static verb_fn do_start, do_list, do_status, do_stop, do_resume, do_cleanup, do_help;

static const struct {
    const char *name;
    verb_fn *fn;
    const char *help;
} verbs[] = {
    { "start", do_start, "`/opencode start [TEXT]` opens a form for a new session" },
    { "list", do_list, "`/opencode list` shows the latest sessions" },
    { "status", do_status, "`/opencode status` shows what is connected and what waits" },
    { "stop", do_stop, "`!stop` in a session's thread ends what it is doing" },
    { "resume", do_resume, "a reply in a session's thread goes on with it, also days later" },
    { "cleanup", do_cleanup, NULL },
    { "help", do_help, "`allow`, `always`, `deny REASON` in a thread do what the buttons do" },
};

static cJSON *message(const char *text)
{
    cJSON *m = cJSON_CreateObject();
    json_add_str(m, "response_type", "ephemeral");
    json_add_str(m, "text", text);
    return m;
}

/* ---------------------------------------------------------------- start */

static void do_start(const struct command *c, struct buf *answer)
{
    const char *channel = c->s->set->slack_channel;
    if (!channel || !*channel) {
        buf_puts(answer, "`SLACK_CHANNEL_ID` is not set, so I don't know where the thread "
                         "belongs. Mention me in a message instead.");
        return;
    }
    if (start_open(c->s, c->trigger, c->response_url, c->rest) < 0)
        buf_puts(answer, ":warning: The form could not be opened. Please try again.");
}

/* ---------------------------------------------------------------- the others */

struct listing {
    struct buf *out;
    size_t count;
};

static int list_session(void *data, const struct session *s)
{
    struct listing *l = data;
    buf_puts(l->out, "\xe2\x80\xa2 *");
    (void)text_put(l->out, *s->title ? s->title : s->id, 80, TEXT_ESCAPE | TEXT_ONE_LINE);
    buf_printf(l->out, "* \xc2\xb7 %s \xc2\xb7 ", session_status_name(s->status));
    (void)text_put(l->out, s->directory, 100, TEXT_ESCAPE | TEXT_ONE_LINE);
    buf_putc(l->out, '\n');
    return ++l->count == LIST_MAX;
}

static void do_list(const struct command *c, struct buf *answer)
{
    struct listing l = { .out = answer };
    (void)core_each_session(c->s->core, list_session, &l);
    if (!l.count)
        buf_puts(answer, "There are no sessions yet. `/opencode start TEXT` begins one.");
}

static int count_request(void *data, const struct request *r)
{
    *(unsigned *)data += r->state == REQUEST_PENDING;
    return 0;
}

static void do_status(const struct command *c, struct buf *answer)
{
    struct link_state links = { 0 };
    unsigned waiting = 0;
    core_links(c->s->core, &links);
    (void)core_each_request(c->s->core, true, count_request, &waiting);
    buf_printf(answer, "OpenCode: %s (", links.opencode ? links.opencode : "none");
    (void)text_put(answer,
                   links.opencode_reason && *links.opencode_reason ? links.opencode_reason : "fine",
                   200, TEXT_ESCAPE | TEXT_ONE_LINE);
    buf_printf(answer, ")\nBridge plugins connected: %u\nRequests that wait: %u", links.bridges,
               waiting);
}

static void do_stop(const struct command *c, struct buf *answer)
{
    (void)c;
    buf_puts(answer, "Commands can't be used in threads. Write `!stop` in the session's thread.");
}

static void do_resume(const struct command *c, struct buf *answer)
{
    (void)c;
    buf_puts(answer, "Just reply in the session's thread: it goes on from there.");
}

static void do_cleanup(const struct command *c, struct buf *answer)
{
    (void)c;
    buf_puts(answer, "There is nothing to clean up: these sessions use the pod's own folder.");
}

static void do_help(const struct command *c, struct buf *answer)
{
    (void)c;
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (verbs[i].help)
            buf_printf(answer, "\xe2\x80\xa2 %s\n", verbs[i].help);
    buf_puts(answer, "\xe2\x80\xa2 a mention or a direct message starts a session in its own "
                     "thread");
}

static void opencode(struct command *c, const char *text, struct buf *answer)
{
    size_t n = strcspn(text, " \t\n");
    c->rest = text + n + strspn(text + n, " \t\n");
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (strlen(verbs[i].name) == n && strncasecmp(verbs[i].name, text, n) == 0) {
            verbs[i].fn(c, answer);
            return;
        }
    do_help(c, answer);
}

/* Where somebody wants to be told of things. */
static void do_focus(const struct command *c, const char *text, struct buf *answer)
{
    static const struct {
        const char *mode, *meaning;
    } modes[] = {
        { "slack", "you are told in Slack" },
        { "web", "you are told on the web page" },
        { "auto", "you are told on the web page while you use it, else in Slack" },
    };
    _cleanup_buf_ struct buf key = BUF_INIT;
    _cleanup_free_ char *stored = NULL;
    buf_printf(&key, "focus:%s:%s", CONNECTOR, c->user);
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
        if (strcasecmp(modes[i].mode, text) == 0) {
            int r = store_put(c->s->store, buf_str(&key), modes[i].mode);
            if (r < 0)
                buf_puts(answer, ":warning: That could not be stored.");
            else
                buf_printf(answer, "Focus: *%s*, %s.", modes[i].mode, modes[i].meaning);
            return;
        }
    if (store_get(c->s->store, buf_str(&key), &stored) < 0)
        stored = NULL;
    buf_printf(answer, "Focus: *%s*. Change it with `/focus slack`, `/focus web` or `/focus auto`.",
               stored ? stored : "auto");
}

static void carry_out(struct command *c, const char *name, const char *text, struct buf *answer)
{
    if (strcmp(name, "/opencode") == 0)
        opencode(c, text, answer);
    else if (strcmp(name, "/focus") == 0)
        do_focus(c, text, answer);
}

static void refuse(struct slack *s, const char *user, const char *name, struct buf *answer)
{
    struct actor actor = { CONNECTOR, user, users_name(s->users, user) };
    core_audit(s->core, &actor, "refused", name, "not among those who may");
    buf_puts(answer, users_refusal(s->users));
}

/* A command that waits for the members of the channel to be read. */
struct later {
    struct slack *s;
    char *user, *channel, *response_url, *trigger, *name, *text;
};

static void later_free(void *data)
{
    struct later *l = data;
    if (!l)
        return;
    free(l->user);
    free(l->channel);
    free(l->response_url);
    free(l->trigger);
    free(l->name);
    free(l->text);
    free(l);
}

static void later_free_ptr(struct later **l)
{
    later_free(*l);
}

static void on_may(void *data, bool may)
{
    _cleanup_(later_free_ptr) struct later *l = data;
    _cleanup_buf_ struct buf answer = BUF_INIT;
    struct command c = { l->s, l->user, l->channel, l->response_url, l->trigger, "" };
    if (may)
        carry_out(&c, l->name, l->text, &answer);
    else
        refuse(l->s, l->user, l->name, &answer);
    if (answer.len)
        api_respond(l->s->api, l->response_url, message(buf_str(&answer)));
}

static void ask_first(const struct command *c, const char *name, const char *text)
{
    _cleanup_(later_free_ptr) struct later *l = calloc(1, sizeof *l);
    if (!l)
        return;
    l->s = c->s;
    l->user = strdup(c->user);
    l->channel = strdup(c->channel);
    l->response_url = strdup(c->response_url);
    l->trigger = strdup(c->trigger);
    l->name = strdup(name);
    l->text = strdup(text);
    if (!l->user || !l->channel || !l->response_url || !l->trigger || !l->name || !l->text)
        return;
    struct later *all = TAKE_PTR(l);
    users_ask(c->s->users, c->user, on_may, later_free, all);
}

cJSON *commands_handle(struct slack *s, const cJSON *payload)
{
    struct command c = {
        .s = s,
        .user = json_str(payload, "user_id", ""),
        .channel = json_str(payload, "channel_id", ""),
        .response_url = json_str(payload, "response_url", ""),
        .trigger = json_str(payload, "trigger_id", ""),
        .rest = "",
    };
    const char *name = json_str(payload, "command", "");
    _cleanup_buf_ struct buf answer = BUF_INIT, words = BUF_INIT;
    users_learn(s->users, c.user, json_str(payload, "user_name", ""));
    text_from_slack(&words, json_str(payload, "text", ""), s->bot_user);
    int may = users_may(s->users, c.user);
    if (may == 1)
        carry_out(&c, name, buf_str(&words), &answer);
    else if (may == 0)
        refuse(s, c.user, name, &answer);
    else
        ask_first(&c, name, buf_str(&words));
    return answer.len ? message(buf_str(&answer)) : NULL;
}
