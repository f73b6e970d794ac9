#include "bridge/gateway/slack/commands.h"

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/render/blocks.h"
#include "bridge/gateway/slack/render/text.h"
#include "bridge/gateway/slack/session_list.h"
#include "bridge/gateway/slack/start.h"
#include "bridge/gateway/slack/threads.h"
#include "bridge/gateway/slack/users.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

struct command {
    struct slack *s;
    const char *user, *channel, *response_url;
    const char *trigger; /* opens a form, for 3 s */
    const char *rest;    /* what follows the verb */
};

/* What only that person sees; blocks may stay empty. */
struct answer {
    struct buf text;
    cJSON *blocks;
};

typedef void verb_fn(const struct command *c, struct answer *a);

static verb_fn do_start, do_list, do_status, do_stop, do_resume, do_cleanup, do_help;

static const struct verb {
    const char *name, *usage;
    verb_fn *fn;
    const char *help;
} verbs[] = {
    { "start", "start [TEXT]", do_start, "opens a form for a new session" },
    { "list", "list [WORDS]", do_list, "shows the latest sessions, or those with these words" },
    { "status", "status [WORDS]", do_status,
      "shows what is connected and what waits for an answer; with words, one session" },
    { "stop", "stop [WORDS]", do_stop, "stops the session that is at work" },
    { "resume", "resume [WORDS]", do_resume,
      "finds a session's thread, or makes it: a reply there goes on with it, also days later" },
    { "cleanup", "cleanup", do_cleanup, "says what sessions leave behind, and whose that is" },
    { "help", "help", do_help, "shows this" },
};

static cJSON *message(struct answer *a)
{
    if (!a->text.len)
        return NULL;
    cJSON *m = cJSON_CreateObject();
    json_add_str(m, "response_type", "ephemeral");
    json_add_str(m, "text", buf_str(&a->text));
    if (cJSON_GetArraySize(a->blocks)) {
        cJSON *head = cJSON_CreateArray();
        blocks_add_section(head, buf_str(&a->text));
        (void)cJSON_InsertItemInArray(a->blocks, 0, cJSON_DetachItemFromArray(head, 0));
        cJSON_Delete(head);
        (void)cJSON_AddItemToObject(m, "blocks", a->blocks);
        a->blocks = NULL;
    }
    return m;
}

static void answer_release(struct answer *a)
{
    buf_release(&a->text);
    cJSON_Delete(a->blocks);
}
#define _cleanup_answer_ _cleanup_(answer_release)

/* ---------------------------------------------------------------- start */

static void do_start(const struct command *c, struct answer *a)
{
    const char *channel = c->s->set->slack_channel;
    if (!channel || !*channel) {
        buf_puts(&a->text, "`SLACK_CHANNEL_ID` is not set, so I don't know where the thread "
                           "belongs. Mention me in a message instead.");
        return;
    }
    if (start_open(c->s, c->trigger, c->response_url, c->rest) < 0)
        buf_puts(&a->text, ":warning: The form could not be opened. Please try again.");
}

/* ---------------------------------------------------------------- list, status */

static void put_words(struct buf *out, const char *words)
{
    buf_putc(out, '"');
    (void)text_put(out, words, 60, TEXT_ESCAPE | TEXT_ONE_LINE);
    buf_putc(out, '"');
}

/* Nothing was found; what to do instead. */
static void put_none(struct answer *a, const char *what, const char *words)
{
    buf_puts(&a->text, what);
    if (*words) {
        buf_puts(&a->text, " with ");
        put_words(&a->text, words);
        buf_puts(&a->text, ". `/opencode list` shows all.");
    } else {
        buf_puts(&a->text, ". `/opencode start TEXT` begins one.");
    }
}

static void do_list(const struct command *c, struct answer *a)
{
    struct list_filter f = { c->rest, false };
    if (list_add_sessions(c->s, a->blocks, &f, true))
        list_put_counts(c->s, &a->text);
    else
        put_none(a, "There is no session", c->rest);
}

static void put_link_state(const struct command *c, struct answer *a)
{
    struct link_state links = { 0 };
    core_links(c->s->core, &links);
    bool away = !links.opencode || strcmp(links.opencode, "none") == 0;
    buf_printf(&a->text, "%s OpenCode: %s", away ? ":red_circle:" : ":large_green_circle:",
               links.opencode ? links.opencode : "none");
    if (links.opencode_reason && *links.opencode_reason) {
        buf_puts(&a->text, " (");
        (void)text_put(&a->text, links.opencode_reason, 200, TEXT_ESCAPE | TEXT_ONE_LINE);
        buf_putc(&a->text, ')');
    }
    if (links.bridges)
        buf_printf(&a->text, ", %u bridge plugin%s connected", links.bridges,
                   links.bridges == 1 ? "" : "s");
    if (links.slack_reason && *links.slack_reason) {
        buf_puts(&a->text, "\n:warning: Slack: ");
        (void)text_put(&a->text, links.slack_reason, 200, TEXT_ESCAPE | TEXT_ONE_LINE);
    }
    if (links.store_reason && *links.store_reason) {
        buf_puts(&a->text, "\n:warning: Nothing can be stored: ");
        (void)text_put(&a->text, links.store_reason, 200, TEXT_ESCAPE | TEXT_ONE_LINE);
    }
}

static void do_status(const struct command *c, struct answer *a)
{
    struct list_match m;
    struct list_filter f = { c->rest, false };
    if (*c->rest) {
        size_t n = list_find(c->s, &f, &m);
        if (n == 0)
            put_none(a, "There is no session", c->rest);
        else if (n == 1)
            list_put_details(c->s, &a->text, m.pod, m.id);
        else
            do_list(c, a);
        list_match_release(&m);
        return;
    }
    put_link_state(c, a);
    buf_putc(&a->text, '\n');
    list_put_counts(c->s, &a->text);
    _cleanup_buf_ struct buf waits = BUF_INIT;
    size_t n = list_put_requests(c->s, &waits, LIST_MAX);
    if (n)
        buf_printf(&a->text, "\n*Waiting for an answer: %zu*\n%s", n, buf_str(&waits));
    else
        buf_puts(&a->text, "\nNothing waits for an answer.");
    list_add_resting(c->s, a->blocks);
}

/* ---------------------------------------------------------------- stop, resume, cleanup */

struct stopping {
    struct slack *s;
    char *response_url;
};

static void on_stopped(void *data, int error, const char *why, const char *session_id)
{
    (void)session_id;
    struct stopping *st = data;
    _cleanup_answer_ struct answer a = { 0 };
    buf_puts(&a.text, error ? ":warning: It could not be stopped: " : "Stopped.");
    if (error)
        (void)text_put(&a.text, why, 400, TEXT_ESCAPE | TEXT_ONE_LINE);
    api_respond(st->s->api, st->response_url, message(&a));
    free(st->response_url);
    free(st);
}

static void stop_one(const struct command *c, struct answer *a, const struct list_match *m)
{
    struct actor actor = { CONNECTOR, c->user, users_name(c->s->users, c->user) };
    struct stopping *st = calloc(1, sizeof *st);
    char *url = strdup(c->response_url);
    int r = st && url ? 0 : -ENOMEM;
    if (r == 0) {
        *st = (struct stopping){ c->s, url };
        r = core_session_abort(c->s->core, m->pod, m->id, &actor, on_stopped, st);
    }
    if (r < 0) {
        free(st);
        free(url);
        buf_printf(&a->text, ":warning: It could not be stopped: %s", strerror(-r));
        return;
    }
    buf_puts(&a->text, "Stopping ");
    list_put_link(c->s, &a->text, m->pod, m->id, m->title);
}

static void do_stop(const struct command *c, struct answer *a)
{
    struct list_match m;
    struct list_filter f = { c->rest, true };
    size_t n = list_find(c->s, &f, &m);
    if (n == 0 && *c->rest) {
        put_none(a, "No session is at work", c->rest);
    } else if (n == 0) {
        buf_puts(&a->text, "No session is at work.");
    } else if (n == 1) {
        stop_one(c, a, &m);
    } else {
        buf_puts(&a->text, "Several are at work. Which one?");
        (void)list_add_sessions(c->s, a->blocks, &f, true);
    }
    list_match_release(&m);
}

static void resume_one(const struct command *c, struct answer *a, const struct list_match *m)
{
    char channel[40], ts[40];
    if (threads_place(c->s->threads, m->pod, m->id, channel, ts) == 0) {
        buf_puts(&a->text, "Reply in its thread, it goes on from there: ");
        list_put_link(c->s, &a->text, m->pod, m->id, m->title);
        return;
    }
    int r = threads_ensure(c->s->threads, m->pod, m->id);
    if (r == -ENOTCONN)
        buf_puts(&a->text, "It has no thread, and without `SLACK_CHANNEL_ID` I don't know where to "
                           "make one.");
    else if (r < 0)
        buf_printf(&a->text, ":warning: Its thread could not be made: %s", strerror(-r));
    else
        buf_printf(&a->text, "It gets a thread in <#%s> now. A reply there goes on with it.",
                   c->s->set->slack_channel);
}

static void do_resume(const struct command *c, struct answer *a)
{
    struct list_match m;
    struct list_filter f = { c->rest, false };
    size_t n = list_find(c->s, &f, &m);
    if (n == 0) {
        put_none(a, "There is no session", c->rest);
    } else if (n == 1) {
        resume_one(c, a, &m);
    } else {
        buf_puts(&a->text, "Which one? A reply in its thread goes on with it.");
        (void)list_add_sessions(c->s, a->blocks, &f, true);
    }
    list_match_release(&m);
}

static void do_cleanup(const struct command *c, struct answer *a)
{
    (void)c;
    buf_puts(&a->text, "There is nothing to clean up: these sessions work in the pod's own folder, "
                       "and what they changed there is yours. `/opencode stop` ends what runs.");
}

/* ---------------------------------------------------------------- help */

static void put_help(struct buf *out)
{
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        buf_printf(out, "\xe2\x80\xa2 `/opencode %s` %s\n", verbs[i].usage, verbs[i].help);
    buf_puts(out, "\xe2\x80\xa2 `/focus slack|web|auto` chooses where you are told of things\n"
                  "Slack allows no commands in threads. There, write `stop`, `allow`, `always`, "
                  "`deny REASON`, the answer to a question, or anything else for the agent. A "
                  "mention or a direct message begins a session in its own thread.");
}

static void do_help(const struct command *c, struct answer *a)
{
    (void)c;
    put_help(&a->text);
}

static void opencode(struct command *c, const char *text, struct answer *a)
{
    size_t n = strcspn(text, " \t\n");
    c->rest = text + n + strspn(text + n, " \t\n");
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (strlen(verbs[i].name) == n && strncasecmp(verbs[i].name, text, n) == 0) {
            verbs[i].fn(c, a);
            return;
        }
    if (n) {
        buf_puts(&a->text, "I don't know ");
        put_words(&a->text, text);
        buf_puts(&a->text, ". To begin a session with it, put `start` before it.\n");
    }
    put_help(&a->text);
}

static void put_minutes(struct buf *out, int64_t ms)
{
    if (ms < 120000)
        buf_printf(out, "%" PRId64 " s", (ms + 999) / 1000);
    else
        buf_printf(out, "%" PRId64 " min", (ms + 30000) / 60000);
}

/* Where somebody is told of things, as it is now. */
static void put_focus(const struct command *c, const struct actor *actor, struct buf *answer)
{
    struct focus_state f;
    core_focus(c->s->core, actor, &f);
    buf_printf(answer, "Focus: *%s*. ", core_focus_name(f.focus));
    if (f.told == TOLD_SLACK) {
        buf_puts(answer, "You are told here in Slack");
        buf_puts(answer, f.focus == FOCUS_AUTO ? ": nobody is at the web page." : ".");
        return;
    }
    buf_puts(answer, "You are told on the web page");
    if (f.focus == FOCUS_AUTO)
        buf_printf(answer,
                   ": somebody is there (as far as I know until "
                   "<!date^%" PRId64 "^{time}|some minutes from now>)",
                   f.active_until_ms / 1000);
    buf_puts(answer, ". What nobody answers there within ");
    put_minutes(answer, (int64_t)c->s->set->web_hold_ms);
    buf_puts(answer, " comes here, too; what fails is told here in any case, and the tab _Home_ "
                     "lists what waits.");
}

static void do_focus(const struct command *c, const char *text, struct buf *answer)
{
    struct actor actor = { CONNECTOR, c->user, users_name(c->s->users, c->user) };
    enum focus f = core_focus_find(text);
    if (f != FOCUS_MAX && core_set_focus(c->s->core, &actor, f) < 0) {
        buf_puts(answer, ":warning: That could not be stored.");
        return;
    }
    put_focus(c, &actor, answer);
    if (f == FOCUS_MAX)
        buf_puts(answer, "\nChange it with `/focus slack`, `/focus web` or `/focus auto`.");
}

static void carry_out(struct command *c, const char *name, const char *text, struct answer *a)
{
    if (strcmp(name, "/opencode") == 0)
        opencode(c, text, a);
    else if (strcmp(name, "/focus") == 0)
        do_focus(c, text, &a->text);
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
    _cleanup_answer_ struct answer answer = { .blocks = cJSON_CreateArray() };
    struct command c = { l->s, l->user, l->channel, l->response_url, l->trigger, "" };
    if (may)
        carry_out(&c, l->name, l->text, &answer);
    else
        refuse(l->s, l->user, l->name, &answer.text);
    cJSON *m = message(&answer);
    if (m)
        api_respond(l->s->api, l->response_url, m);
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
    _cleanup_answer_ struct answer answer = { .blocks = cJSON_CreateArray() };
    _cleanup_buf_ struct buf words = BUF_INIT;
    users_learn(s->users, c.user, json_str(payload, "user_name", ""));
    text_from_slack(&words, json_str(payload, "text", ""), s->bot_user);
    int may = users_may(s->users, c.user);
    if (may == 1)
        carry_out(&c, name, buf_str(&words), &answer);
    else if (may == 0)
        refuse(s, c.user, name, &answer.text);
    else
        ask_first(&c, name, buf_str(&words));
    return message(&answer);
}
