/* Sessions: what OpenCode tells of them, and what people ask of them. */
#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "bridge/gateway/core/crash.h"
#include "bridge/gateway/core/private.h"
#include "bridge/gateway/core/summary.h"

#include <errno.h>
#include <string.h>

#define TITLE_MAX       512
#define TOUCH_EVERY_MS  1000
#define STATUS_TEXT_MAX 1000

static const char *const status_names[] = {
    [SESSION_IDLE] = "idle",   [SESSION_BUSY] = "busy", [SESSION_RETRY] = "retry",
    [SESSION_ERROR] = "error", [SESSION_GONE] = "gone",
};
_Static_assert(ARRAY_SIZE(status_names) == SESSION_STATUS_MAX, "a name for every status");
_Static_assert(STORE_SESSION_GONE == (int)SESSION_GONE, "the store forgets what is gone");

const char *session_status_name(enum session_status s)
{
    return status_names[s];
}

void session_view(struct core *core, const struct session_row *row, struct session *ret)
{
    *ret = (struct session){
        .pod = row->pod,
        .id = row->id,
        .directory = row->directory,
        .title = row->title,
        .agent = row->agent,
        .model = row->model,
        .created_by = *row->created_by ? row->created_by : "opencode",
        .status = (enum session_status)row->status,
        .status_text = row->status_text,
        .retry_at_ms = row->retry_at_ms,
        .created_ms = row->created_ms,
        .updated_ms = row->updated_ms,
        .cost = row->cost,
        .tokens = row->tokens,
    };
    if (!*row->parent_id) /* subagents' work is its own */
        (void)store_session_use(core->store, row->pod, row->id, &ret->cost, &ret->tokens);
}

static int copy_root(void *data, const struct session_row *row)
{
    char **root = data;
    *root = strdup(row->root_id);
    return *root ? 0 : -ENOMEM;
}

char *session_root(struct core *core, const char *pod, const char *session_id)
{
    char *root = NULL;
    int r = store_session_get(core->store, pod, session_id, copy_root, &root);
    return r == -ENOENT ? strdup(session_id) : root;
}

static int yes(void *data, const struct session_row *row)
{
    (void)data;
    (void)row;
    return 0;
}

bool core_knows_session(struct core *core, const char *pod, const char *session_id)
{
    return store_session_get(core->store, pod, session_id, yes, NULL) == 0;
}

/* ---------------------------------------------------------------- told by OpenCode */

/* A new session while somebody's start is under way is told later, with its author. */
static void hold_if_starting(struct core *core, const char *pod, const char *id)
{
    if (core->starting == 0 || core->n_held == CORE_STARTING_MAX)
        return;
    char *p = strdup(pod), *i = strdup(id);
    if (!p || !i) {
        free(p);
        free(i);
        return;
    }
    core->held_pod[core->n_held] = p;
    core->held_id[core->n_held++] = i;
}

static int insert_session(const struct feed *f, const struct session_row *row)
{
    int r = store_session_put(f->core->store, row);
    if (r < 0)
        return r;
    if (!*row->parent_id)
        hold_if_starting(f->core, row->pod, row->id);
    core_tell_session(f->core, row->pod, row->id);
    return 0;
}

int session_touch(const struct feed *f, const char *session_id, const char *root_id)
{
    if (core_knows_session(f->core, f->pod, session_id))
        return 0;
    int64_t now = clock_wall_ms();
    struct session_row row = {
        .pod = f->pod,
        .id = session_id,
        .parent_id = strcmp(session_id, root_id) == 0 ? "" : root_id,
        .root_id = root_id,
        .directory = f->directory,
        .status = SESSION_BUSY,
        .created_ms = now,
        .updated_ms = now,
        .instance = f->instance,
        .seq = f->seq,
    };
    return insert_session(f, &row);
}

struct merging {
    const struct feed *f;
    const struct feed_session *s;
    const char *root; /* of a parent that is new to us; NULL: as it is */
    bool changed;
};

static const char *pick(bool *changed, const char *old, const char *new)
{
    if (!new || !*new || strcmp(old, new) == 0)
        return old;
    *changed = true;
    return new;
}

static int merge_row(void *data, const struct session_row *row)
{
    struct merging *m = data;
    const struct feed_session *s = m->s;
    struct session_row next = *row;
    char title[TITLE_MAX + 1];
    const char *new_title = NULL;
    if (s->title) {
        size_t n = text_cut(s->title, TITLE_MAX);
        memcpy(title, s->title, n);
        title[n] = '\0';
        new_title = title;
    }
    next.title = pick(&m->changed, row->title, new_title);
    next.agent = pick(&m->changed, row->agent, s->agent);
    next.model = pick(&m->changed, row->model, s->model);
    next.directory = pick(&m->changed, row->directory, m->f->directory);
    next.parent_id = pick(&m->changed, row->parent_id, s->parent_id);
    next.root_id = pick(&m->changed, row->root_id, m->root);
    /* Sums only grow: what is told again after a newer one is older. */
    if (s->cost > row->cost) {
        next.cost = s->cost;
        m->changed = true;
    }
    if (s->tokens > row->tokens) {
        next.tokens = s->tokens;
        m->changed = true;
    }
    if (row->status == SESSION_GONE && !s->heard) {
        next.status = SESSION_IDLE;
        m->changed = true;
    }
    if (s->updated_ms > row->updated_ms)
        next.updated_ms = s->updated_ms;
    if (!m->changed && next.updated_ms - row->updated_ms < TOUCH_EVERY_MS)
        return 0;
    return store_session_put(m->f->core->store, &next);
}

static int create_session(const struct feed *f, const struct feed_session *s, const char *root)
{
    int64_t now = clock_wall_ms();
    struct session_row row = {
        .pod = f->pod,
        .id = s->id,
        .parent_id = s->parent_id ? s->parent_id : "",
        .root_id = root,
        .directory = f->directory,
        .title = s->title,
        .agent = s->agent,
        .model = s->model,
        .status = SESSION_IDLE,
        .created_ms = s->created_ms > 0 ? s->created_ms : now,
        .updated_ms = s->updated_ms > 0 ? s->updated_ms : now,
        .cost = s->cost > 0 ? s->cost : 0,
        .tokens = s->tokens > 0 ? s->tokens : 0,
        .instance = f->instance,
        .seq = f->seq,
    };
    return insert_session(f, &row);
}

int core_feed_session(const struct feed *f, const struct feed_session *s)
{
    struct core *core = f->core;
    if (!s->id || !*s->id || strlen(s->id) > 256)
        return -EINVAL;
    bool child = s->parent_id && *s->parent_id;
    _cleanup_free_ char *root = child ? session_root(core, f->pod, s->parent_id) : strdup(s->id);
    _cleanup_free_ char *old_root = session_root(core, f->pod, s->id);
    if (!root || !old_root)
        return -ENOMEM;
    if (!core_knows_session(core, f->pod, s->id))
        return create_session(f, s, root);
    struct merging m = { .f = f, .s = s, .root = child ? root : NULL };
    int r = store_session_get(core->store, f->pod, s->id, merge_row, &m);
    if (r == 0 && child && strcmp(old_root, root) != 0)
        r = store_session_reroot(core->store, f->pod, old_root, root);
    if (r == 0 && m.changed) /* of a subagent: what its root took */
        core_tell_session(core, f->pod, child ? root : s->id);
    return r;
}

struct setting_status {
    const struct feed *f;
    const struct feed_status *s;
    bool changed;
};

static int status_row(void *data, const struct session_row *row)
{
    struct setting_status *t = data;
    const struct feed_status *s = t->s;
    struct session_row next = *row;
    char text[STATUS_TEXT_MAX + 1];
    const char *given = s->text ? s->text : "";
    size_t n = text_cut(given, STATUS_TEXT_MAX);
    memcpy(text, given, n);
    text[n] = '\0';
    /* The end of a turn comes after its error, often twice: what went wrong stays to be read. And
     * the turn of a session that was deleted fails after that: it is gone all the same, until
     * OpenCode lists it again. */
    bool keeps = (s->status == SESSION_IDLE && n == 0 &&
                  (row->status == SESSION_ERROR || row->status == SESSION_IDLE)) ||
                 row->status == SESSION_GONE;
    if (!keeps) {
        next.status = (int)s->status;
        next.status_text = text;
        next.retry_at_ms = s->retry_at_ms;
    }
    next.instance = t->f->instance;
    next.seq = t->f->seq;
    t->changed = next.status != row->status || next.retry_at_ms != row->retry_at_ms ||
                 strcmp(next.status_text, row->status_text) != 0;
    if (t->changed) {
        next.updated_ms = clock_wall_ms();
        _request_about_ struct request_about about;
        turn_about(&about, t->f->core, row->pod, row->id);
        log_info("session %s: %s → %s", row->id, status_names[row->status],
                 status_names[next.status]);
    }
    return store_session_put(t->f->core->store, &next);
}

int core_feed_status(const struct feed *f, const struct feed_status *s)
{
    struct core *core = f->core;
    struct setting_status t = { .f = f, .s = s };
    if (!*s->session_id || strlen(s->session_id) > 256)
        return -EINVAL;
    watch_status(core, f->pod, s->session_id);
    int r = session_touch(f, s->session_id,
                          s->root_session_id && *s->root_session_id ? s->root_session_id
                                                                    : s->session_id);
    if (r == 0)
        r = store_session_get(core->store, f->pod, s->session_id, status_row, &t);
    if (r < 0)
        return r;
    if (s->status != SESSION_BUSY && s->status != SESSION_RETRY)
        interrupt_status(core, f->pod, s->session_id);
    if (s->status == SESSION_IDLE)
        r = requests_void_session(core, f->pod, s->session_id,
                                  s->text && *s->text ? s->text : "the turn ended");
    if (t.changed)
        core_tell_session(core, f->pod, s->session_id);
    return r;
}

int core_feed_session_gone(const struct feed *f, const char *session_id)
{
    if (!core_knows_session(f->core, f->pod, session_id))
        return 0;
    struct feed_status s = {
        .session_id = session_id,
        .status = SESSION_GONE,
        .text = "deleted in OpenCode",
    };
    return core_feed_status(f, &s);
}

struct using
{
    struct core *core;
    double cost;
    int64_t tokens;
};

static int use_row(void *data, const struct session_row *row)
{
    struct using *u = data;
    struct session_row next = *row;
    next.cost += u->cost;
    next.tokens += u->tokens;
    return store_session_put(u->core->store, &next);
}

int core_feed_usage(const struct feed *f, const char *session_id, double cost, int64_t tokens)
{
    struct core *core = f->core;
    if (!(cost >= 0 && cost < 1e9) || tokens < 0 || tokens > INT64_C(1) << 40)
        return -EINVAL;
    struct using u = { core, cost, tokens };
    _cleanup_free_ char *root = session_root(core, f->pod, session_id);
    if (!root)
        return -ENOMEM;
    int r = store_session_get(core->store, f->pod, root, use_row, &u);
    if (r == 0)
        core_tell_session(core, f->pod, root);
    return r == -ENOENT ? 0 : r;
}

/* ---------------------------------------------------------------- what is true now */

struct syncing {
    const struct feed *f;
    const struct feed_sync *s;
};

static int idle_if_missing(void *data, const struct session_row *row)
{
    struct syncing *y = data;
    const struct feed *f = y->f;
    const struct feed_sync *s = y->s;
    if (strcmp(row->directory, f->directory) != 0)
        return 0;
    if (is_among(row->id, s->busy_ids, s->n_busy))
        return 0;
    bool same = strcmp(row->instance, f->instance) == 0;
    bool older = s->as_of_seq >= 0 ? row->seq <= s->as_of_seq : row->updated_ms < s->before_ms;
    if (same ? !older : way_connected(f->core, row->pod, row->instance))
        return 0;
    struct feed_status idle = {
        .session_id = row->id,
        .status = SESSION_IDLE,
        .text = same ? "" : "OpenCode was restarted",
    };
    return core_feed_status(f, &idle);
}

int core_feed_sync(const struct feed *f, const struct feed_sync *s)
{
    struct syncing y = { f, s };
    int r = requests_void_missing(f, s);
    if (r >= 0)
        r = store_session_each_status(f->core->store, f->pod, SESSION_BUSY, idle_if_missing, &y);
    if (r >= 0)
        r = store_session_each_status(f->core->store, f->pod, SESSION_RETRY, idle_if_missing, &y);
    return r >= 0 ? missing_look(f, s) : r;
}

/* ---------------------------------------------------------------- looking */

struct looking {
    struct core *core;
    int (*fn)(void *data, const struct session *s);
    void *data;
};

static int look_row(void *data, const struct session_row *row)
{
    struct looking *l = data;
    struct session view;
    session_view(l->core, row, &view);
    return l->fn(l->data, &view);
}

int core_each_session(struct core *core, int (*fn)(void *data, const struct session *s), void *data)
{
    struct looking l = { core, fn, data };
    return store_session_each(core->store, look_row, &l);
}

int core_with_session(struct core *core, const char *pod, const char *id,
                      int (*fn)(void *data, const struct session *s), void *data)
{
    struct looking l = { core, fn, data };
    return store_session_get(core->store, pod, id, look_row, &l);
}
