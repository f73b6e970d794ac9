/* OpenCode's own events and lists → the core. One row a type; what has none is ignored. */
#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "bridge/gateway/opencode/private.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define LISTED_MAX      4000
#define SESSIONS_LISTED 100 /* sync.c asks for so many */
#define RESYNC_MS       500
#define STORE_RETRY_MS  2000
#define DETAIL_MAX      ((size_t)512 << 10)

static struct feed feed_of(struct opencode *oc, const char *directory)
{
    return (struct feed){
        .core = oc->core,
        .pod = core_settings(oc->core)->pod,
        .instance = "",
        .directory = directory,
    };
}

/* What came could not be stored (a full disk): the stream does not repeat it, so what is true in
 * that directory is read again, until it can be. */
static void stored(struct opencode *oc, const char *directory, int r)
{
    if (r >= 0 || r == -EINVAL || r == -ENOENT || r == -ENOBUFS)
        return;
    log_debug("direct way: reading %s again: %s", directory, strerror(-r));
    oc_add_directory(oc, *directory ? directory : core_settings(oc->core)->opencode_directory,
                     true);
    sync_later(oc, STORE_RETRY_MS);
}

/* ---------------------------------------------------------------- sessions */

static int64_t sum_tokens(const cJSON *tokens)
{
    static const char *const paths[] = { "input", "output", "reasoning" };
    double total = 0;
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        total += json_num(tokens, paths[i], 0);
    total += json_num(json_obj(tokens, "cache"), "read", 0) +
             json_num(json_obj(tokens, "cache"), "write", 0);
    return total > 0 && total < 1e12 ? (int64_t)total : 0;
}

static void apply(struct opencode *oc, const char *directory, const cJSON *info, bool heard)
{
    const char *id = json_str(info, "id", "");
    struct feed f = feed_of(oc, json_str(info, "directory", directory));
    const cJSON *model = json_obj(info, "model"), *time = json_obj(info, "time");
    _cleanup_buf_ struct buf name = BUF_INIT_MAX(1024);
    if (json_str(model, "providerID", NULL) && json_str(model, "id", NULL))
        buf_printf(&name, "%s/%s", json_str(model, "providerID", ""), json_str(model, "id", ""));
    struct feed_session s = {
        .id = id,
        .parent_id = json_str(info, "parentID", ""),
        .title = json_str(info, "title", NULL),
        .agent = json_str(info, "agent", NULL),
        .model = name.len ? buf_str(&name) : NULL,
        .created_ms = json_int(time, "created", 0),
        .updated_ms = json_int(time, "updated", 0),
        .cost = json_num(info, "cost", -1),
        .tokens = json_obj(info, "tokens") ? sum_tokens(json_obj(info, "tokens")) : -1,
        .heard = heard,
    };
    int r = core_feed_session(&f, &s);
    if (r < 0)
        log_warn("session %s: %s", id, strerror(-r));
    stored(oc, f.directory, r);
}

void session_apply(struct opencode *oc, const char *directory, const cJSON *info)
{
    apply(oc, directory, info, false);
}

void session_heard(struct opencode *oc, const char *directory, const cJSON *info)
{
    apply(oc, directory, info, true);
}

static void on_created(struct opencode *oc, const char *directory, const cJSON *p)
{
    const cJSON *info = json_obj(p, "info");
    if (info)
        session_apply(oc, directory, info);
}

static void on_updated(struct opencode *oc, const char *directory, const cJSON *p)
{
    const cJSON *info = json_obj(p, "info");
    if (info)
        session_heard(oc, directory, info);
}

static const char *session_of(const cJSON *p)
{
    const char *id = json_str(p, "sessionID", "");
    return *id ? id : json_str_at(p, "info.id", "");
}

static void on_deleted(struct opencode *oc, const char *directory, const cJSON *p)
{
    struct feed f = feed_of(oc, directory);
    stored(oc, directory, core_feed_session_gone(&f, session_of(p)));
}

static void apply_status(struct opencode *oc, const char *directory, const char *id,
                         const cJSON *status)
{
    static const struct {
        const char *name;
        enum session_status status;
    } names[] = { { "idle", SESSION_IDLE }, { "busy", SESSION_BUSY }, { "retry", SESSION_RETRY } };
    struct feed f = feed_of(oc, directory);
    const char *type = json_str(status, "type", "");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(names[i].name, type) != 0)
            continue;
        struct feed_status s = {
            .session_id = id,
            .status = names[i].status,
            .text = names[i].status == SESSION_RETRY ? json_str(status, "message", "") : "",
            .retry_at_ms = names[i].status == SESSION_RETRY ? json_int(status, "next", 0) : 0,
        };
        stored(oc, directory, core_feed_status(&f, &s));
    }
}

static void on_status(struct opencode *oc, const char *directory, const cJSON *p)
{
    const cJSON *status = json_obj(p, "status");
    if (strcmp(json_str(status, "type", ""), "idle") == 0)
        parts_flush(oc);
    apply_status(oc, directory, session_of(p), status);
}

static void on_idle(struct opencode *oc, const char *directory, const cJSON *p)
{
    struct feed f = feed_of(oc, directory);
    struct feed_status s = { .session_id = session_of(p), .status = SESSION_IDLE };
    parts_flush(oc);
    stored(oc, directory, core_feed_status(&f, &s));
}

static void on_error(struct opencode *oc, const char *directory, const cJSON *p)
{
    struct feed f = feed_of(oc, directory);
    const char *id = session_of(p), *name = json_str_at(p, "error.name", "error"),
               *message = json_str_at(p, "error.data.message", name);
    bool aborted = strcmp(name, "MessageAbortedError") == 0;
    if (!*id) { /* no session: a plugin did not load */
        log_warn("OpenCode reports: %.300s", message);
        return;
    }
    struct feed_status s = {
        .session_id = id,
        .status = aborted ? SESSION_IDLE : SESSION_ERROR,
        .text = aborted ? "aborted" : message,
    };
    parts_flush(oc);
    stored(oc, directory, core_feed_status(&f, &s));
    if (aborted)
        return;
    struct activity a = {
        .session_id = id,
        .kind = ACTIVITY_ERROR,
        .role = "assistant",
        .message_id = "",
        .id = "",
        .text = message,
        .status = "error",
    };
    core_feed_activity(&f, &a);
}

/* What a prompt changed; told with the prompt each time that it grows. */
static void told_diff(struct opencode *oc, const char *directory, const cJSON *info)
{
    const cJSON *diffs = json_arr(json_obj(info, "summary"), "diffs"), *d;
    struct feed f = feed_of(oc, directory);
    int64_t files = cJSON_GetArraySize(diffs), added = 0, removed = 0;
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (files == 0)
        return;
    cJSON_ArrayForEach (d, diffs) {
        added += json_int(d, "additions", 0);
        removed += json_int(d, "deletions", 0);
    }
    buf_printf(&text, "{\"files\":%" PRId64 ",\"additions\":%" PRId64 ",\"deletions\":%" PRId64 "}",
               files, added, removed);
    struct activity a = {
        .session_id = json_str(info, "sessionID", ""),
        .kind = ACTIVITY_DIFF,
        .role = "user",
        .message_id = json_str(info, "id", ""),
        .id = "",
        .text = buf_str(&text),
        .status = "",
    };
    core_feed_activity(&f, &a);
}

static void on_message(struct opencode *oc, const char *directory, const cJSON *p)
{
    const cJSON *info = json_obj(p, "info");
    bool user = strcmp(json_str(info, "role", ""), "user") == 0;
    part_role(oc, json_str(info, "id", ""), user);
    if (user)
        told_diff(oc, directory, info);
}

static void on_part(struct opencode *oc, const char *directory, const cJSON *p)
{
    part_updated(oc, directory, p);
}

/* ---------------------------------------------------------------- requests */

static char *detail_of(enum request_kind kind, const cJSON *p)
{
    static const char *const keys[REQUEST_KIND_MAX][5] = {
        [REQUEST_PERMISSION] = { "patterns", "metadata", "always", "tool", NULL },
        [REQUEST_QUESTION] = { "questions", "tool", NULL },
    };
    _cleanup_json_ cJSON *detail = cJSON_CreateObject();
    for (size_t i = 0; detail && keys[kind][i]; i++) {
        const cJSON *j = cJSON_GetObjectItemCaseSensitive(p, keys[kind][i]);
        cJSON *copy = j ? cJSON_Duplicate(j, true) : NULL;
        if (copy && !cJSON_AddItemToObject(detail, keys[kind][i], copy))
            cJSON_Delete(copy);
    }
    char *text = detail ? json_print(detail) : NULL;
    if (text && strlen(text) > DETAIL_MAX) {
        free(text);
        text = strdup("{\"truncated\":true}");
    }
    return text;
}

static void asked(struct opencode *oc, const char *directory, enum request_kind kind,
                  const cJSON *p)
{
    struct feed f = feed_of(oc, directory);
    _cleanup_free_ char *detail = detail_of(kind, p);
    if (!detail)
        return;
    struct feed_request r = {
        .kind = kind,
        .id = json_str(p, "id", ""),
        .session_id = json_str(p, "sessionID", ""),
        .root_session_id = "",
        .permission = kind == REQUEST_QUESTION ? "question" : json_str(p, "permission", "tool"),
        .detail_json = detail,
    };
    int n = core_feed_asked(&f, &r);
    if (n < 0)
        log_warn("request %s could not be taken: %s", r.id, strerror(-n));
    stored(oc, directory, n);
}

static void on_permission(struct opencode *oc, const char *directory, const cJSON *p)
{
    asked(oc, directory, REQUEST_PERMISSION, p);
}

static void on_question(struct opencode *oc, const char *directory, const cJSON *p)
{
    asked(oc, directory, REQUEST_QUESTION, p);
}

static void replied(struct opencode *oc, const char *directory, const cJSON *p,
                    enum request_outcome outcome)
{
    struct feed f = feed_of(oc, directory);
    stored(oc, directory, core_feed_replied(&f, json_str(p, "requestID", ""), outcome));
}

static void on_permission_replied(struct opencode *oc, const char *directory, const cJSON *p)
{
    static const struct {
        const char *reply;
        enum request_outcome outcome;
    } names[] = {
        { "once", OUTCOME_ONCE },
        { "always", OUTCOME_ALWAYS },
        { "reject", OUTCOME_REJECT },
    };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(names[i].reply, json_str(p, "reply", "")) == 0)
            replied(oc, directory, p, names[i].outcome);
}

static void on_question_replied(struct opencode *oc, const char *directory, const cJSON *p)
{
    struct feed f = feed_of(oc, directory);
    _cleanup_free_ char *answers = json_print(json_arr(p, "answers"));
    stored(oc, directory, core_feed_answered(&f, json_str(p, "requestID", ""), answers));
}

static void on_question_rejected(struct opencode *oc, const char *directory, const cJSON *p)
{
    replied(oc, directory, p, OUTCOME_REJECT);
}

/* What waited in a directory is gone with its instance, and no event says so. */
static void on_disposed(struct opencode *oc, const char *directory, const cJSON *p)
{
    const char *dir = json_str(p, "directory", directory);
    for (size_t i = 0; i < oc->n_directories; i++)
        if (!*dir || strcmp(oc->directories[i], dir) == 0)
            oc->stale[i] = true;
    sync_later(oc, RESYNC_MS);
}

/* ---------------------------------------------------------------- the table */

static const struct event_type {
    const char *type;
    void (*apply)(struct opencode *oc, const char *directory, const cJSON *properties);
    bool needs_session; /* that it names, to be known before */
} types[] = {
    { "session.created", on_created, false },
    { "session.updated", on_updated, false },
    { "session.deleted", on_deleted, false },
    { "session.status", on_status, true },
    { "session.idle", on_idle, true },
    { "session.error", on_error, true },
    { "message.updated", on_message, false },
    { "message.part.updated", on_part, false },
    { "message.part.delta", part_delta, false },
    { "permission.asked", on_permission, true },
    { "permission.replied", on_permission_replied, false },
    { "question.asked", on_question, true },
    { "question.replied", on_question_replied, false },
    { "question.rejected", on_question_rejected, false },
    { "server.instance.disposed", on_disposed, false },
    { "global.disposed", on_disposed, false },
};

static const struct event_type *type_of(const cJSON *event)
{
    const char *name = json_str(event, "type", "");
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (strcmp(types[i].type, name) == 0)
            return &types[i];
    return NULL;
}

const char *event_session_needed(const cJSON *event)
{
    const struct event_type *type = type_of(event);
    const char *id = session_of(json_obj(event, "properties"));
    return type && type->needs_session && *id ? id : NULL;
}

void event_apply(struct opencode *oc, const char *directory, const cJSON *event)
{
    const struct event_type *type = type_of(event);
    const cJSON *properties = json_obj(event, "properties");
    if (!type || !properties)
        return;
    oc_add_directory(oc, directory, false);
    type->apply(oc, directory, properties);
}

/* ---------------------------------------------------------------- what was read */

static bool is_busy(const cJSON *status, const char *session_id)
{
    const char *type = json_str(json_obj(status, session_id), "type", "idle");
    return strcmp(type, "idle") != 0;
}

static const char *const request_lists[REQUEST_KIND_MAX] = {
    [REQUEST_PERMISSION] = "permissions",
    [REQUEST_QUESTION] = "questions",
};

const char *state_session_needed(struct opencode *oc, const cJSON *state)
{
    const char *pod = core_settings(oc->core)->pod;
    for (size_t i = 0; i < ARRAY_SIZE(request_lists); i++) {
        const cJSON *item;
        cJSON_ArrayForEach (item, json_arr(state, request_lists[i])) {
            const char *id = json_str(item, "sessionID", "");
            if (*id && !core_knows_session(oc->core, pod, id))
                return id;
        }
    }
    return NULL;
}

void state_apply(struct opencode *oc, const char *directory, const cJSON *state)
{
    const cJSON *item, *status = json_obj(state, "status");
    cJSON_ArrayForEach (item, json_arr(state, "sessions"))
        session_apply(oc, directory, item);
    cJSON_ArrayForEach (item, status)
        if (item->string)
            apply_status(oc, directory, item->string, item);
    for (size_t i = 0; i < ARRAY_SIZE(request_lists); i++)
        cJSON_ArrayForEach (item, json_arr(state, request_lists[i]))
            if (is_busy(status, json_str(item, "sessionID", "")))
                asked(oc, directory, (enum request_kind)i, item);
}

void missing_apply(struct opencode *oc, const char *directory, const cJSON *state,
                   int64_t before_ms)
{
    struct feed f = feed_of(oc, directory);
    _cleanup_free_ const char **open = calloc(LISTED_MAX, sizeof *open);
    _cleanup_free_ const char **busy = calloc(LISTED_MAX, sizeof *busy);
    _cleanup_free_ const char **listed = calloc(SESSIONS_LISTED, sizeof *listed);
    struct feed_sync sync = { .as_of_seq = -1, .before_ms = before_ms };
    const cJSON *item, *status = json_obj(state, "status");
    if (!open || !busy || !listed)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(request_lists); i++)
        cJSON_ArrayForEach (item, json_arr(state, request_lists[i]))
            if (sync.n_open < LISTED_MAX && is_busy(status, json_str(item, "sessionID", "")))
                open[sync.n_open++] = json_str(item, "id", "");
    cJSON_ArrayForEach (item, status)
        if (item->string && sync.n_busy < LISTED_MAX)
            busy[sync.n_busy++] = item->string;
    cJSON_ArrayForEach (item, json_arr(state, "sessions")) {
        int64_t updated_ms = json_int(json_obj(item, "time"), "updated", 0);
        if (sync.n_listed == SESSIONS_LISTED)
            break;
        listed[sync.n_listed++] = json_str(item, "id", "");
        if (sync.n_listed == SESSIONS_LISTED) /* there may be more; the last changed come first */
            sync.listed_since_ms = updated_ms;
    }
    sync.open_ids = open;
    sync.busy_ids = busy;
    sync.listed_ids = listed;
    int r = core_feed_sync(&f, &sync);
    if (r < 0)
        log_warn("what is gone in %s could not be stored: %s", directory, strerror(-r));
    stored(oc, directory, r);
}
