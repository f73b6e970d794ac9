/* Events of a bridge → the core. One row a type. */
#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/core/trace.h"
#include "bridge/gateway/core/crash.h"
#include "bridge/gateway/link/private.h"
#include "bridge/gateway/store/rows.h"

#include <errno.h>
#include <string.h>

#define ID_MAX          256
#define DIRECTORY_MAX   4096
#define TEXT_MAX        LINK_FRAME_MAX
#define LISTED_MAX      4000
#define SESSIONS_LISTED 100 /* of PROTOCOL.md §3, state.sync */
#define DETAIL_MAX      ((size_t)512 << 10)

static const char *const permission_keys[] = { "patterns", "metadata",  "always",
                                               "tool",     "truncated", NULL };
static const char *const question_keys[] = { "questions", "tool", NULL };

/* What is common to all events, checked. */
struct event {
    struct feed feed;
    const cJSON *frame;
    const char *session_id, *root_session_id, *trace_id; /* "" when absent */
    int protocol;
};

/* ---------------------------------------------------------------- sessions */

static int model_text(const cJSON *model, struct buf *out)
{
    const char *provider = json_str(model, "provider", NULL),
               *name = json_str(model, "model", NULL);
    if (!provider || !name)
        return 0;
    return buf_printf(out, "%s/%s", provider, name);
}

static int feed_session(const struct feed *f, const cJSON *s, bool heard)
{
    const char *id = frame_str(s, "id", ID_MAX), *parent = frame_opt(s, "parent_id", ID_MAX),
               *directory = frame_opt(s, "directory", DIRECTORY_MAX);
    _cleanup_buf_ struct buf model = BUF_INIT_MAX(1024);
    if (!id || !parent || !directory)
        return -EBADMSG;
    (void)model_text(json_obj(s, "model"), &model);
    struct feed own = *f;
    if (*directory)
        own.directory = directory;
    struct feed_session session = {
        .id = id,
        .parent_id = parent,
        .title = json_str(s, "title", NULL),
        .agent = json_str(s, "agent", NULL),
        .model = model.len ? buf_str(&model) : NULL,
        .created_ms = frame_int(s, "created_ms"),
        .updated_ms = frame_int(s, "updated_ms"),
        .cost = json_num(s, "cost", -1),
        .tokens = frame_int(s, "tokens"),
        .heard = heard,
    };
    return core_feed_session(&own, &session);
}

static int on_created(const struct event *e)
{
    const cJSON *s = json_obj(e->frame, "session");
    return s ? feed_session(&e->feed, s, false) : -EBADMSG;
}

static int on_updated(const struct event *e)
{
    const cJSON *s = json_obj(e->frame, "session");
    return s ? feed_session(&e->feed, s, true) : -EBADMSG;
}

static int on_deleted(const struct event *e)
{
    return core_feed_session_gone(&e->feed, e->session_id);
}

static int feed_active(const struct feed *f, const char *session_id, const char *root,
                       const cJSON *retry)
{
    int64_t next = frame_int(retry, "next_ms");
    struct feed_status s = {
        .session_id = session_id,
        .root_session_id = root,
        .status = retry ? SESSION_RETRY : SESSION_BUSY,
        .text = retry ? json_str(retry, "message", "") : "",
        .retry_at_ms = retry && next > 0 ? next : 0,
    };
    return core_feed_status(f, &s);
}

static int on_active(const struct event *e)
{
    return feed_active(&e->feed, e->session_id, e->root_session_id, json_obj(e->frame, "retry"));
}

static int on_idle(const struct event *e)
{
    struct feed_status s = {
        .session_id = e->session_id,
        .root_session_id = e->root_session_id,
        .status = SESSION_IDLE,
    };
    return core_feed_status(&e->feed, &s);
}

static int on_error(const struct event *e)
{
    const char *message = json_str(e->frame, "message", "");
    bool aborted = json_bool(e->frame, "aborted", false);
    if (!*message)
        message = json_str(e->frame, "name", "unknown error");
    if (!*e->session_id) {
        log_warn("OpenCode of pod %s reports: %.300s", e->feed.pod, message);
        return 0;
    }
    struct feed_status s = {
        .session_id = e->session_id,
        .root_session_id = e->root_session_id,
        .status = aborted ? SESSION_IDLE : SESSION_ERROR,
        .text = aborted ? "aborted" : message,
    };
    int r = core_feed_status(&e->feed, &s);
    if (r < 0 || aborted)
        return r;
    struct activity a = {
        .session_id = e->session_id,
        .kind = ACTIVITY_ERROR,
        .role = "assistant",
        .message_id = "",
        .id = "",
        .text = message,
        .status = "error",
    };
    core_feed_activity(&e->feed, &a);
    return 0;
}

/* Only the first generation, whose sessions bring no sums: what the direct way counted meanwhile
 * would be counted again. */
static int on_usage(const struct event *e)
{
    const cJSON *t = json_obj(e->frame, "tokens");
    int64_t total = 0;
    static const char *const kinds[] = { "input", "output", "reasoning", "cache_read",
                                         "cache_write" };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        int64_t n = frame_int(t, kinds[i]);
        total += n > 0 ? n : 0;
    }
    double cost = json_num(e->frame, "cost", 0);
    if (e->protocol > 0)
        return cost >= 0 ? 0 : -EBADMSG;
    int r = core_feed_usage(&e->feed, e->session_id, cost, total);
    return r == -EINVAL ? -EBADMSG : r;
}

/* ---------------------------------------------------------------- activity */

static int on_part(const struct event *e)
{
    const char *content = frame_opt(e->frame, "content", TEXT_MAX),
               *part = frame_str(e->frame, "part_id", ID_MAX),
               *message = frame_opt(e->frame, "message_id", ID_MAX);
    if (!content || !part || !message)
        return -EBADMSG;
    if (strcmp(json_str(e->frame, "kind", "text"), "text") != 0)
        return 0; /* what the model thinks is not shown */
    struct activity a = {
        .session_id = e->session_id,
        .kind = ACTIVITY_TEXT,
        .role = json_str(e->frame, "role", "assistant"),
        .message_id = message,
        .id = part,
        .text = content,
        .status = json_bool(e->frame, "final", false) ? "completed" : "running",
    };
    core_feed_activity(&e->feed, &a);
    return 0;
}

static int on_tool(const struct event *e)
{
    const char *tool = frame_str(e->frame, "tool", ID_MAX),
               *title = frame_opt(e->frame, "title", TEXT_MAX);
    _cleanup_buf_ struct buf line = BUF_INIT_MAX(2048);
    if (!tool || !title)
        return -EBADMSG;
    buf_printf(&line, "%s: %.1000s", tool, title);
    struct activity a = {
        .session_id = e->session_id,
        .kind = ACTIVITY_TOOL,
        .role = "assistant",
        .message_id = json_str(e->frame, "message_id", ""),
        .id = json_str(e->frame, "part_id", json_str(e->frame, "call_id", "")),
        .text = *title ? buf_str(&line) : tool,
        .status = json_str(e->frame, "status", "running"),
        .output = json_str(e->frame, "output", json_str(e->frame, "error", NULL)),
    };
    core_feed_activity(&e->feed, &a);
    return 0;
}

static int on_changed(const struct event *e)
{
    const char *message = frame_str(e->frame, "message_id", ID_MAX);
    static const char *const keys[] = { "files", "additions", "deletions" };
    _cleanup_json_ cJSON *sums = cJSON_CreateObject();
    if (!message)
        return -EBADMSG;
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        int64_t n = frame_int(e->frame, keys[i]);
        (void)cJSON_AddNumberToObject(sums, keys[i], n > 0 ? (double)n : 0);
    }
    _cleanup_free_ char *text = json_print(sums);
    struct activity a = {
        .session_id = e->session_id,
        .kind = ACTIVITY_DIFF,
        .role = "user",
        .message_id = message,
        .id = "",
        .text = text ? text : "{}",
        .status = "",
    };
    core_feed_activity(&e->feed, &a);
    return 0;
}

static int on_milestone(const struct event *e)
{
    struct activity a = {
        .session_id = e->session_id,
        .kind = ACTIVITY_MILESTONE,
        .role = "assistant",
        .message_id = "",
        .id = "",
        .text = json_str(e->frame, "text", ""),
        .status = "completed",
    };
    core_feed_activity(&e->feed, &a);
    return 0;
}

/* ---------------------------------------------------------------- requests */

static int feed_asked(const struct feed *f, enum request_kind kind, const cJSON *what,
                      const char *session_id, const char *root)
{
    const char *id = frame_str(what, "id", ID_MAX);
    _cleanup_free_ char *detail =
        what ? frame_detail(what, kind == REQUEST_PERMISSION ? permission_keys : question_keys)
             : NULL;
    if (!id || !session_id || !root)
        return -EBADMSG;
    if (!detail)
        return -ENOMEM;
    static const char too_long[] = "{\"truncated\":true}";
    struct feed_request r = {
        .kind = kind,
        .id = id,
        .session_id = session_id,
        .root_session_id = root,
        .permission = kind == REQUEST_QUESTION ? "question" : json_str(what, "permission", "tool"),
        .detail_json = strlen(detail) > DETAIL_MAX ? too_long : detail,
    };
    int n = core_feed_asked(f, &r);
    if (n == -ENOBUFS) {
        log_warn("pod %s has too many open requests, %s is left out", f->pod, id);
        return 0;
    }
    return n == -EINVAL ? -EBADMSG : n < 0 ? n : 0;
}

static int on_permission(const struct event *e)
{
    return feed_asked(&e->feed, REQUEST_PERMISSION, json_obj(e->frame, "permission"), e->session_id,
                      e->root_session_id);
}

static int on_question(const struct event *e)
{
    return feed_asked(&e->feed, REQUEST_QUESTION, json_obj(e->frame, "question"), e->session_id,
                      e->root_session_id);
}

static const struct {
    const char *reply;
    enum request_outcome outcome;
} replies[] = {
    { "once", OUTCOME_ONCE },
    { "always", OUTCOME_ALWAYS },
    { "reject", OUTCOME_REJECT },
};

static int on_permission_replied(const struct event *e)
{
    const char *id = frame_str(e->frame, "permission_id", ID_MAX),
               *reply = json_str(e->frame, "reply", "");
    for (size_t i = 0; id && i < ARRAY_SIZE(replies); i++)
        if (strcmp(replies[i].reply, reply) == 0)
            return core_feed_replied(&e->feed, id, replies[i].outcome);
    return -EBADMSG;
}

static int on_question_replied(const struct event *e)
{
    const char *id = frame_str(e->frame, "question_id", ID_MAX);
    if (!id)
        return -EBADMSG;
    if (json_bool(e->frame, "rejected", false))
        return core_feed_replied(&e->feed, id, OUTCOME_REJECT);
    _cleanup_free_ char *answers = json_print(json_arr(e->frame, "answers"));
    return core_feed_answered(&e->feed, id, answers);
}

/* ---------------------------------------------------------------- state.sync */

static int sync_sessions(const struct feed *f, const cJSON *list, const char **ids,
                         struct feed_sync *sync)
{
    const cJSON *s;
    cJSON_ArrayForEach (s, list) {
        int r = feed_session(f, s, false);
        if (r < 0)
            return r;
        if (sync->n_listed == SESSIONS_LISTED)
            continue;
        ids[sync->n_listed++] = json_str(s, "id", "");
        if (sync->n_listed == SESSIONS_LISTED) /* there may be more; the last changed come first */
            sync->listed_since_ms = frame_int(s, "updated_ms");
    }
    return 0;
}

static int sync_requests(const struct feed *f, enum request_kind kind, const cJSON *list,
                         const char **ids, size_t *n)
{
    const cJSON *item;
    cJSON_ArrayForEach (item, list) {
        const cJSON *what = json_obj(item, kind == REQUEST_PERMISSION ? "permission" : "question");
        const char *session = frame_str(item, "session_id", ID_MAX),
                   *root = frame_opt(item, "root_session_id", ID_MAX),
                   *id = frame_str(what, "id", ID_MAX);
        if (!id || *n == LISTED_MAX)
            return -EBADMSG;
        int r = feed_asked(f, kind, what, session, root);
        if (r < 0)
            return r;
        ids[(*n)++] = id;
    }
    return 0;
}

static int sync_busy(const struct feed *f, const cJSON *list, const char **ids, size_t *n)
{
    const cJSON *item;
    cJSON_ArrayForEach (item, list) {
        const char *id = frame_str(item, "session_id", ID_MAX),
                   *root = frame_opt(item, "root_session_id", ID_MAX);
        if (!id || !root || *n == LISTED_MAX)
            return -EBADMSG;
        int r = feed_active(f, id, root, json_obj(item, "retry"));
        if (r < 0)
            return r;
        ids[(*n)++] = id;
    }
    return 0;
}

static int on_sync(const struct event *e)
{
    const struct feed *f = &e->feed;
    _cleanup_free_ const char **open = calloc(LISTED_MAX, sizeof *open);
    _cleanup_free_ const char **busy = calloc(LISTED_MAX, sizeof *busy);
    _cleanup_free_ const char **listed = calloc(SESSIONS_LISTED, sizeof *listed);
    struct feed_sync sync = { .as_of_seq = frame_int(e->frame, "as_of_seq") };
    if (sync.as_of_seq < 0)
        return -EBADMSG;
    if (!open || !busy || !listed)
        return -ENOMEM;
    sync.open_ids = open;
    sync.busy_ids = busy;
    sync.listed_ids = listed;
    int r = sync_sessions(f, json_arr(e->frame, "sessions"), listed, &sync);
    if (r == 0)
        r = sync_requests(f, REQUEST_PERMISSION, json_arr(e->frame, "permissions"), open,
                          &sync.n_open);
    if (r == 0)
        r = sync_requests(f, REQUEST_QUESTION, json_arr(e->frame, "questions"), open, &sync.n_open);
    if (r == 0)
        r = sync_busy(f, json_arr(e->frame, "busy"), busy, &sync.n_busy);
    if (r < 0 || !json_bool(e->frame, "complete", false))
        return r;
    return core_feed_sync(f, &sync);
}

/* ---------------------------------------------------------------- the table */

static const struct event_type {
    const char *type;
    int (*take)(const struct event *e);
    bool session; /* must name one */
    bool stored;  /* its effect and its number belong into one commit */
} types[] = {
    { "session.created", on_created, true, true },
    { "session.updated", on_updated, true, true },
    { "session.deleted", on_deleted, true, true },
    { "session.active", on_active, true, true },
    { "session.idle", on_idle, true, true },
    { "session.error", on_error, false, true },
    { "message.part.streamed", on_part, true, false },
    { "tool.executed", on_tool, true, false },
    { "agent.milestone", on_milestone, true, false },
    { "prompt.changed", on_changed, true, false },
    { "permission.asked", on_permission, true, true },
    { "permission.replied", on_permission_replied, true, true },
    { "question.asked", on_question, true, true },
    { "question.replied", on_question_replied, true, true },
    { "usage", on_usage, true, true },
    { "state.sync", on_sync, false, true },
};

static int event_read(struct conn *c, const cJSON *frame, struct event *ret)
{
    const struct settings *own = core_settings(c->link->core);
    const char *session = frame_opt(frame, "session_id", ID_MAX),
               *root = frame_opt(frame, "root_session_id", ID_MAX),
               *directory = frame_opt(frame, "directory", DIRECTORY_MAX);
    int64_t seq = frame_int(frame, "seq");
    const char *trace = frame_opt(frame, "trace_id", ID_MAX);
    if (!trace || (*trace && !trace_id_fits(trace, strlen(trace))))
        return -EBADMSG;
    if (!session || !root || !directory || (c->protocol == 1 && seq < 1))
        return -EBADMSG;
    if (!*directory && strcmp(c->pod, own->pod) == 0)
        directory = own->opencode_directory;
    *ret = (struct event){
        .feed = { .core = c->link->core,
                  .pod = c->pod,
                  .instance = c->instance,
                  .directory = directory,
                  .seq = c->protocol == 1 ? seq : 0 },
        .frame = frame,
        .session_id = session,
        .root_session_id = root,
        .trace_id = trace,
        .protocol = c->protocol,
    };
    return 0;
}

/* Effect and number in one commit, so that after any crash it is done once. */
static int take_stored(struct conn *c, const struct event_type *type, const struct event *e)
{
    struct core *core = c->link->core;
    int r = core_batch_begin(core);
    if (r < 0)
        return r;
    r = type->take(e);
    if (r >= 0 && e->feed.seq > 0)
        r = store_bridge_seq_put(core_store(core), c->pod, c->instance, e->feed.seq);
    if (r < 0) {
        core_batch_rollback(core);
        return r;
    }
    r = core_batch_commit(core);
    if (r < 0)
        return r;
    crash_point("link.effect");
    if (e->feed.seq > 0)
        c->stored = e->feed.seq;
    return 0;
}

int event_take(struct conn *c, const cJSON *frame, const char *name)
{
    const struct event_type *type = NULL;
    struct event e;
    int r = event_read(c, frame, &e);
    if (r < 0)
        return r;
    if (e.feed.seq > 0 && e.feed.seq <= c->seen)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (strcmp(types[i].type, name) == 0)
            type = &types[i];
    if (type && type->session && !*e.session_id)
        return -EBADMSG;
    _log_about_ struct log_about about = {
        .id = { [LOG_TRACE_ID] = *e.trace_id ? e.trace_id : NULL,
                [LOG_SESSION] = *e.session_id ? e.session_id : NULL,
                [LOG_POD] = c->pod },
    };
    log_enter(&about);
    if (type)
        r = type->stored ? take_stored(c, type, &e) : type->take(&e);
    if (r < 0)
        return r == -EINVAL ? -EBADMSG : r;
    if (e.feed.seq > 0)
        c->seen = e.feed.seq;
    return type ? 1 : 0;
}
