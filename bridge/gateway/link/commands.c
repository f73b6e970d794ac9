/* Commands to a bridge, and their answers. */
#include "base/core/buf.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "bridge/gateway/link/private.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define TITLE_MAX        900
#define HISTORY_MESSAGES 100

static void command_free(struct command *cmd)
{
    free(cmd->request_id);
    free(cmd);
}

static void command_finish(struct command *cmd, int error, const char *message,
                           const char *session_id)
{
    if (cmd->done)
        cmd->done(cmd->data, error, message, session_id);
    command_free(cmd);
}

/* ---------------------------------------------------------------- sending */

/* A command that may be asked again with the same id (`key`), or one of its own kind. */
static char *request_id(struct link *l, const char *key, unsigned attempt)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-";
    _cleanup_buf_ struct buf id = BUF_INIT;
    if (key && strspn(key, allowed) == strlen(key) && strlen(key) <= 100)
        buf_printf(&id, "%s:%u", key, attempt);
    else
        buf_printf(&id, "%s-%" PRIu64, l->boot, ++l->commands);
    return buf_take(&id);
}

/* Takes `frame` over. */
static int command_send(struct conn *c, cJSON *frame, const char *type, const char *answer,
                        char *id, core_done_fn *done, void *data)
{
    _cleanup_json_ cJSON *owned = frame;
    _cleanup_free_ char *owned_id = id;
    if (!owned || !owned_id)
        return -ENOMEM;
    if (c->state != CONN_LIVE)
        return -ENOTCONN;
    if (c->n_commands >= LINK_COMMANDS_MAX)
        return -EBUSY;
    struct command *cmd = calloc(1, sizeof *cmd);
    if (!cmd)
        return -ENOMEM;
    json_add_str(owned, "type", type);
    json_add_str(owned, "request_id", owned_id);
    int r = conn_send(c, TAKE_PTR(owned));
    if (r < 0) {
        free(cmd);
        return r;
    }
    *cmd = (struct command){
        .request_id = TAKE_PTR(owned_id),
        .answer = answer,
        .done = done,
        .data = data,
        .deadline_ms = clock_mono_ms() + c->link->options.command_ms,
        .next = c->commands,
    };
    c->commands = cmd;
    c->n_commands++;
    return 0;
}

static void add_path(cJSON *frame, const char *key, const char *path)
{
    if (path && path[0] == '/')
        json_add_str(frame, key, path);
}

static void add_text(cJSON *frame, const char *key, const char *text)
{
    if (text && *text)
        json_add_str(frame, key, text);
}

/* "provider/model", the model may hold more slashes. */
static void add_model(cJSON *frame, const char *text)
{
    const char *slash = text ? strchr(text, '/') : NULL;
    if (!slash || slash == text || !slash[1])
        return;
    char provider[257];
    size_t n = (size_t)(slash - text);
    if (n >= sizeof provider)
        return;
    memcpy(provider, text, n);
    provider[n] = '\0';
    cJSON *model = cJSON_AddObjectToObject(frame, "model");
    json_add_str(model, "provider", provider);
    json_add_str(model, "model", slash + 1);
}

static void add_once(cJSON *frame, const char *message_id, bool again)
{
    add_text(frame, "message_id", message_id);
    if (again)
        (void)cJSON_AddBoolToObject(frame, "again", true);
}

static const char *const reply_names[OUTCOME_MAX] = {
    [OUTCOME_ONCE] = "once",
    [OUTCOME_ALWAYS] = "always",
    [OUTCOME_REJECT] = "reject",
};

static int bridge_reply(void *data, const struct way_reply *r, core_done_fn *done, void *done_data)
{
    struct conn *c = data;
    cJSON *frame = cJSON_CreateObject();
    char *id = request_id(c->link, r->request_id, r->attempt);
    add_path(frame, "directory", r->directory);
    if (r->kind == REQUEST_PERMISSION) {
        json_add_str(frame, "permission_id", r->request_id);
        json_add_str(frame, "reply", reply_names[r->outcome]);
        if (r->outcome == OUTCOME_REJECT)
            add_text(frame, "message", r->reason);
        return command_send(c, frame, "permission.reply", "permission.reply.result", id, done,
                            done_data);
    }
    json_add_str(frame, "question_id", r->request_id);
    if (r->outcome == OUTCOME_REJECT)
        return command_send(c, frame, "question.reject", "question.reject.result", id, done,
                            done_data);
    cJSON *answers = NULL;
    (void)json_parse(&answers, r->answers_json, strlen(r->answers_json), NULL);
    cJSON_AddItemToObject(frame, "answers", answers ? answers : cJSON_CreateArray());
    return command_send(c, frame, "question.reply", "question.reply.result", id, done, done_data);
}

/* The lists come as an event before the answer, and settle what is gone: what is open after it is
 * open indeed. */
static int bridge_check(void *data, const struct way_reply *r, core_done_fn *done, void *done_data)
{
    struct conn *c = data;
    cJSON *frame = cJSON_CreateObject();
    add_path(frame, "directory", r->directory);
    return command_send(c, frame, "state.sync", "state.sync.result", request_id(c->link, NULL, 0),
                        done, done_data);
}

static int bridge_start(void *data, const struct way_start *s, core_done_fn *done, void *done_data)
{
    struct conn *c = data;
    cJSON *frame = cJSON_CreateObject();
    add_path(frame, "workspace", s->directory);
    add_text(frame, "task", s->prompt);
    if (s->title && strlen(s->title) <= TITLE_MAX)
        add_text(frame, "title", s->title);
    add_text(frame, "agent", s->agent);
    add_model(frame, s->model);
    add_text(frame, "key", s->key);
    add_once(frame, s->message_id, s->again);
    return command_send(c, frame, "session.create", "session.created", request_id(c->link, NULL, 0),
                        done, done_data);
}

static int bridge_message(void *data, const struct way_message *m, core_done_fn *done,
                          void *done_data)
{
    struct conn *c = data;
    cJSON *frame = cJSON_CreateObject();
    add_path(frame, "directory", m->directory);
    json_add_str(frame, "session_id", m->session_id);
    json_add_str(frame, "text", m->text);
    add_once(frame, m->message_id, m->again);
    return command_send(c, frame, "session.message", "session.message.result",
                        request_id(c->link, NULL, 0), done, done_data);
}

static int bridge_abort(void *data, const char *session_id, const char *directory,
                        core_done_fn *done, void *done_data)
{
    struct conn *c = data;
    cJSON *frame = cJSON_CreateObject();
    add_path(frame, "directory", directory);
    json_add_str(frame, "session_id", session_id);
    return command_send(c, frame, "session.abort", "session.abort.result",
                        request_id(c->link, NULL, 0), done, done_data);
}

static int bridge_history(void *data, const struct way_history *h, core_done_fn *done,
                          void *done_data)
{
    struct conn *c = data;
    cJSON *frame = cJSON_CreateObject();
    add_path(frame, "directory", h->directory);
    json_add_str(frame, "session_id", h->session_id);
    (void)cJSON_AddNumberToObject(frame, "limit", HISTORY_MESSAGES);
    int r = command_send(c, frame, "session.messages", "session.messages.result",
                         request_id(c->link, NULL, 0), done, done_data);
    if (r == 0)
        c->commands->each = h->each;
    return r;
}

const struct way_ops bridge_ops = {
    .reply = bridge_reply,
    .check = bridge_check,
    .start = bridge_start,
    .message = bridge_message,
    .abort = bridge_abort,
    .history = bridge_history,
};

void command_ping(struct conn *c)
{
    (void)command_send(c, cJSON_CreateObject(), "ping", "pong", request_id(c->link, NULL, 0), NULL,
                       NULL);
}

void command_sync(struct conn *c, const char *directory)
{
    cJSON *frame = cJSON_CreateObject();
    add_path(frame, "directory", directory);
    (void)command_send(c, frame, "state.sync", "state.sync.result", request_id(c->link, NULL, 0),
                       NULL, NULL);
}

/* ---------------------------------------------------------------- answers */

/* The codes of PROTOCOL.md §4. An answer that says "timeout" is an answer: asked again it needs a
 * new id, so it is not -ETIMEDOUT, which says that none came. */
static const struct {
    const char *code;
    int error;
} codes[] = {
    { "not_found", -ENOENT }, { "bad_request", -EINVAL }, { "unknown_command", -EOPNOTSUPP },
    { "refused", -EPERM },    { "failed", -EREMOTEIO },   { "timeout", -EREMOTEIO },
    { "busy", -EBUSY },
};

static int code_error(const char *code)
{
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
        if (strcmp(codes[i].code, code) == 0)
            return codes[i].error;
    return -EPROTO;
}

/* False: it is nothing to show. */
static bool part_of_history(struct activity *a, const cJSON *part)
{
    const char *kind = json_str(part, "kind", "");
    a->kind = strcmp(kind, "tool") == 0 ? ACTIVITY_TOOL : ACTIVITY_TEXT;
    a->id = json_str(part, "id", "");
    a->text = json_str(part, "text", "");
    a->status = json_str(part, "status", "completed");
    a->output = a->kind == ACTIVITY_TOOL ? json_str(part, "output", NULL) : NULL;
    return *a->id && *a->text && strcmp(kind, "reasoning") != 0 &&
           strcmp(a->status, "pending") != 0;
}

static void tell_history(struct conn *c, const struct command *cmd, const cJSON *frame)
{
    const cJSON *m, *part;
    cJSON_ArrayForEach (m, json_arr(frame, "messages")) {
        cJSON_ArrayForEach (part, json_arr(m, "parts")) {
            struct activity a = {
                .pod = c->pod,
                .session_id = json_str(frame, "session_id", ""),
                .role = strcmp(json_str(m, "role", ""), "user") == 0 ? "user" : "assistant",
                .message_id = json_str(m, "id", ""),
            };
            if (part_of_history(&a, part))
                cmd->each(cmd->data, &a);
        }
    }
}

void command_answer(struct conn *c, const cJSON *frame, const char *type, const char *id)
{
    for (struct command **p = &c->commands; *p; p = &(*p)->next) {
        struct command *cmd = *p;
        if (strcmp(cmd->request_id, id) != 0)
            continue;
        *p = cmd->next;
        c->n_commands--;
        const char *session = json_str(frame, "session_id", "");
        if (strcmp(type, "error") == 0)
            command_finish(cmd, code_error(json_str(frame, "code", "")),
                           json_str(frame, "message", "the bridge refused it"), session);
        else if (strcmp(type, cmd->answer) == 0) {
            if (cmd->each)
                tell_history(c, cmd, frame);
            command_finish(cmd, 0, "", session);
        } else
            command_finish(cmd, -EPROTO, "the bridge answered something else", session);
        return;
    }
    log_debug("bridge %s/%s: an answer that nobody waits for", c->pod, c->instance);
}

void commands_expire(struct conn *c, uint64_t now)
{
    struct command *expired = NULL;
    for (struct command **p = &c->commands; *p;) {
        struct command *cmd = *p;
        if (cmd->deadline_ms > now) {
            p = &cmd->next;
            continue;
        }
        *p = cmd->next;
        c->n_commands--;
        cmd->next = expired;
        expired = cmd;
    }
    while (expired) {
        struct command *cmd = expired;
        expired = cmd->next;
        command_finish(cmd, -ETIMEDOUT, "the bridge did not answer in time", "");
    }
}

void commands_fail_all(struct conn *c, int error, const char *message)
{
    while (c->commands) {
        struct command *cmd = c->commands;
        c->commands = cmd->next;
        c->n_commands--;
        command_finish(cmd, error, message, "");
    }
}
