#include "bridge/gateway/core/core.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "bridge/gateway/core/crash.h"
#include "bridge/gateway/core/flush.h"
#include "bridge/gateway/core/private.h"

#include <errno.h>
#include <string.h>

#define SETTLED_RETOLD_MS ((int64_t)86400000)
#define HOUSE_MS          3600000 /* what is old leaves the store */

static void on_links_timer(uv_timer_t *timer)
{
    core_tell_links(timer->data);
}

static void on_house_timer(uv_timer_t *timer)
{
    store_forget(((struct core *)timer->data)->store);
}

static void on_deadline_timer(uv_timer_t *timer)
{
    requests_check_deadline(timer->data);
}

/* From within any write: told from the loop. */
static void on_store_failing(void *data)
{
    struct core *core = data;
    int failing = store_failing(core->store);
    if (failing)
        log_error("the gateway's state cannot be stored: %s", strerror(-failing));
    else
        log_info("the gateway's state can be stored again");
    (void)uv_timer_start(&core->links_timer, on_links_timer, 0, 0);
}

int core_new(struct core **ret, uv_loop_t *loop, const struct settings *settings,
             struct store *store, struct http_client *http, uint64_t deadline_ms)
{
    struct core *core = calloc(1, sizeof *core);
    if (!core)
        return -ENOMEM;
    *core = (struct core){
        .loop = loop,
        .settings = settings,
        .store = store,
        .http = http,
        .deadline_ms = deadline_ms,
        .watch_ms = CORE_WATCH_MS,
    };
    uv_timer_t *timers[] = { &core->deadline_timer, &core->stop_timer, &core->links_timer,
                             &core->house_timer, &core->presence_timer };
    if (flush_new(&core->flush, loop, store) < 0) {
        free(core);
        return -ENOMEM;
    }
    for (size_t i = 0; i < ARRAY_SIZE(timers); i++) {
        (void)uv_timer_init(loop, timers[i]);
        timers[i]->data = core;
        core->open_handles++;
    }
    counts_init(&core->counts);
    store_on_failing(store, on_store_failing, core);
    presence_init(core);
    *ret = core;
    return 0;
}

static void core_closed(uv_handle_t *handle)
{
    struct core *core = handle->data;
    if (--core->open_handles > 0)
        return;
    free(core->slack_state);
    free(core->slack_reason);
    free(core->opencode_reason);
    free(core->catalog);
    free(core->turns);
    for (size_t i = 0; i < core->n_held; i++) {
        free(core->held_pod[i]);
        free(core->held_id[i]);
    }
    free(core);
}

void core_free(struct core *core)
{
    if (!core)
        return;
    flush_free(TAKE_PTR(core->flush));
    delivery_free_all(core);
    watch_free_all(core);
    missing_free_all(core);
    interrupt_free_all(core);
    presence_release(core);
    while (core->ways)
        core_way_remove(core->ways);
    store_on_failing(core->store, NULL, NULL);
    uv_close((uv_handle_t *)&core->deadline_timer, core_closed);
    uv_close((uv_handle_t *)&core->stop_timer, core_closed);
    uv_close((uv_handle_t *)&core->links_timer, core_closed);
    uv_close((uv_handle_t *)&core->house_timer, core_closed);
    uv_close((uv_handle_t *)&core->presence_timer, core_closed);
}

bool is_among(const char *id, const char *const *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(ids[i], id) == 0)
            return true;
    return false;
}

/* ---------------------------------------------------------------- connectors */

int core_add_connector(struct core *core, const struct connector *c)
{
    if (core->started)
        return -EBUSY;
    if (core->n_connectors == CORE_CONNECTORS_MAX)
        return -ENOSPC;
    core->connectors[core->n_connectors++] = *c;
    return 0;
}

/* One thing to tell when the batch is stored. */
struct telling {
    struct telling *next;
    bool session; /* else a request */
    char *pod, *id;
};

static void telling_free(struct telling *t)
{
    free(t->pod);
    free(t->id);
    free(t);
}

/* False: there is no batch, tell it now. */
static bool telling_defer(struct core *core, bool session, const char *pod, const char *id)
{
    if (!core->batch)
        return false;
    for (struct telling *t = core->tellings; t; t = t->next)
        if (t->session == session && strcmp(t->id, id) == 0 && strcmp(t->pod, pod) == 0)
            return true;
    struct telling *t = calloc(1, sizeof *t);
    if (!t)
        return true; /* out of memory: it is told with its next change */
    *t = (struct telling){ .session = session, .pod = strdup(pod), .id = strdup(id) };
    if (!t->pod || !t->id) {
        telling_free(t);
        return true;
    }
    *core->tellings_end = t;
    core->tellings_end = &t->next;
    return true;
}

static int tell_request_row(void *data, const struct request_row *row)
{
    struct core *core = data;
    struct request view;
    request_view(row, &view);
    if (view.state == REQUEST_PENDING)
        crash_point("request.stored");
    if (view.state == REQUEST_SETTLED)
        crash_point("request.settled");
    for (size_t i = 0; i < core->n_connectors; i++)
        if (core->connectors[i].request_changed)
            core->connectors[i].request_changed(core->connectors[i].data, &view);
    return 0;
}

void core_tell_request(struct core *core, const char *pod, const char *id)
{
    if (core->started && !telling_defer(core, false, pod, id))
        (void)store_request_get(core->store, pod, id, tell_request_row, core);
}

static bool session_held(struct core *core, const char *pod, const char *id)
{
    for (size_t i = 0; i < core->n_held; i++)
        if (strcmp(core->held_id[i], id) == 0 && strcmp(core->held_pod[i], pod) == 0)
            return true;
    return false;
}

static int tell_session_row(void *data, const struct session_row *row)
{
    struct core *core = data;
    if (*row->parent_id)
        return 0; /* connectors know roots only */
    struct session view;
    session_view(core, row, &view);
    for (size_t i = 0; i < core->n_connectors; i++)
        if (core->connectors[i].session_changed)
            core->connectors[i].session_changed(core->connectors[i].data, &view);
    return 0;
}

void core_tell_session(struct core *core, const char *pod, const char *id)
{
    if (core->started && !session_held(core, pod, id) && !telling_defer(core, true, pod, id))
        (void)store_session_get(core->store, pod, id, tell_session_row, core);
}

int core_batch_begin(struct core *core)
{
    int r = store_begin(core->store);
    if (r < 0)
        return r;
    core->batch = true;
    core->tellings = NULL;
    core->tellings_end = &core->tellings;
    return 0;
}

static void batch_end(struct core *core, bool tell)
{
    struct telling *t = core->tellings;
    core->batch = false;
    core->tellings = NULL;
    while (t) {
        struct telling *next = t->next;
        if (tell && t->session)
            core_tell_session(core, t->pod, t->id);
        else if (tell)
            core_tell_request(core, t->pod, t->id);
        telling_free(t);
        t = next;
    }
}

int core_batch_commit(struct core *core)
{
    int r = store_commit(core->store);
    if (r < 0)
        core->open_requests = requests_count_open(core);
    batch_end(core, r == 0);
    return r;
}

void core_batch_rollback(struct core *core)
{
    store_rollback(core->store);
    core->open_requests = requests_count_open(core);
    batch_end(core, false);
}

void core_tell_links(struct core *core)
{
    for (size_t i = 0; core->started && i < core->n_connectors; i++)
        if (core->connectors[i].links_changed)
            core->connectors[i].links_changed(core->connectors[i].data);
}

void core_tell_focus(struct core *core)
{
    for (size_t i = 0; core->started && i < core->n_connectors; i++)
        if (core->connectors[i].focus_changed)
            core->connectors[i].focus_changed(core->connectors[i].data);
}

void core_pod_changed(struct core *core)
{
    for (size_t i = 0; core->started && i < core->n_connectors; i++)
        if (core->connectors[i].pod_changed)
            core->connectors[i].pod_changed(core->connectors[i].data);
}

void core_notice(struct core *core, const char *text)
{
    for (size_t i = 0; core->started && i < core->n_connectors; i++)
        if (core->connectors[i].notice)
            core->connectors[i].notice(core->connectors[i].data, text);
}

void core_feed_activity(const struct feed *f, const struct activity *a)
{
    struct core *core = f->core;
    _cleanup_free_ char *root = session_root(core, f->pod, a->session_id);
    struct activity told = *a;
    told.pod = f->pod;
    told.child = root && strcmp(root, a->session_id) != 0;
    if (root)
        told.session_id = root;
    if (a->kind == ACTIVITY_TEXT && strcmp(a->role, "user") == 0)
        turn_begins(core, f->pod, a->session_id, a->message_id);
    for (size_t i = 0; core->started && i < core->n_connectors; i++)
        if (core->connectors[i].activity)
            core->connectors[i].activity(core->connectors[i].data, &told);
}

/* ---------------------------------------------------------------- start */

struct retelling {
    struct core *core;
    const struct connector *connector;
};

static int retell_row(void *data, const struct request_row *row)
{
    struct retelling *t = data;
    struct request view;
    request_view(row, &view);
    t->connector->request_changed(t->connector->data, &view);
    return 0;
}

static int redeliver_row(void *data, const struct request_row *row)
{
    return row->state == REQUEST_DECIDING ? delivery_start(data, row->pod, row->id) : 0;
}

struct flush *core_flush(struct core *core)
{
    return core->flush;
}

/* A machine that was switched off has another boot id afterwards; as has another one. */
static void look_at_machine(struct core *core)
{
    _cleanup_free_ char *now = NULL, *before = NULL;
    core->begun_ms = clock_wall_ms();
    if (file_read("/proc/sys/kernel/random/boot_id", 64, &now, NULL) < 0)
        return;
    core->another_machine =
        store_get(core->store, "machine", &before) == 0 && strcmp(before, now) != 0;
    if (core->another_machine || !before)
        (void)store_put(core->store, "machine", now);
}

int core_start(struct core *core)
{
    look_at_machine(core);
    core->started = true;
    core->open_requests = requests_count_open(core);
    for (size_t i = 0; i < core->n_connectors; i++) {
        struct retelling t = { .core = core, .connector = &core->connectors[i] };
        if (!t.connector->request_changed)
            continue;
        int r = store_request_each_unshown(core->store, t.connector->name, REQUEST_SETTLED,
                                           clock_wall_ms() - SETTLED_RETOLD_MS, retell_row, &t);
        if (r < 0)
            return r;
    }
    int r = store_request_each(core->store, REQUEST_DECIDING, redeliver_row, core);
    if (r < 0)
        return r;
    uint64_t denied = core->deadline_ms, answered = core->settings->question_timeout_ms;
    uint64_t soonest = !denied || (answered && answered < denied) ? answered : denied;
    if (soonest > 0)
        (void)uv_timer_start(&core->deadline_timer, on_deadline_timer, 0,
                             soonest < 10000 ? soonest / 10 + 1 : 1000);
    (void)uv_timer_start(&core->house_timer, on_house_timer, HOUSE_MS, HOUSE_MS);
    uv_unref((uv_handle_t *)&core->house_timer); /* it alone keeps nothing alive */
    core_tell_links(core);
    return 0;
}

void core_request_shown(struct core *core, const char *connector, const char *pod,
                        const char *request_id, enum request_state state)
{
    int r = store_shown_put(core->store, connector, pod, request_id, (int)state);
    _request_about_ struct request_about about;
    request_about(&about, pod, request_id, NULL);
    if (r < 0)
        log_warn("cannot store that %s shows %s: %s", connector, request_id, strerror(-r));
    crash_point("request.shown");
}

/* ---------------------------------------------------------------- stop */

static void stop_finish(struct core *core)
{
    void (*done)(void *data) = core->stop_done;
    core->stop_done = NULL;
    core->started = false; /* connectors may be freed now: nothing is told any more */
    (void)uv_timer_stop(&core->stop_timer);
    if (done)
        done(core->stop_data);
}

static void on_stop_timer(uv_timer_t *timer)
{
    stop_finish(timer->data);
}

static bool all_stopped(const struct core *core)
{
    for (size_t i = 0; i < core->n_connectors; i++)
        if (core->connectors[i].stopping && !core->connector_stopped[i])
            return false;
    return true;
}

void core_connector_stopped(struct core *core, const char *name)
{
    for (size_t i = 0; i < core->n_connectors; i++)
        if (strcmp(core->connectors[i].name, name) == 0)
            core->connector_stopped[i] = true;
    /* By the timer, so that nobody is freed below the caller. */
    if (core->stopping && core->stop_done && all_stopped(core))
        (void)uv_timer_start(&core->stop_timer, on_stop_timer, 0, 0);
}

void core_stop(struct core *core, uint64_t deadline_ms, void (*done)(void *data), void *data)
{
    uint64_t now = clock_mono_ms();
    if (core->stopping) { /* once more: it shall go faster */
        if (core->stop_done)
            (void)uv_timer_start(&core->stop_timer, on_stop_timer,
                                 deadline_ms > now ? deadline_ms - now : 0, 0);
        return;
    }
    core->stopping = true;
    core->stop_done = done;
    core->stop_data = data;
    (void)uv_timer_start(&core->stop_timer, on_stop_timer,
                         deadline_ms > now ? deadline_ms - now : 0, 0);
    for (size_t i = 0; i < core->n_connectors; i++)
        if (core->connectors[i].stopping)
            core->connectors[i].stopping(core->connectors[i].data, deadline_ms);
    if (core->stop_done && all_stopped(core))
        (void)uv_timer_start(&core->stop_timer, on_stop_timer, 0, 0);
}

/* ---------------------------------------------------------------- what is shared */

void core_audit(struct core *core, const struct actor *actor, const char *what, const char *object,
                const char *detail)
{
    int r =
        store_audit(core->store, actor->connector, actor->id, actor->name, what, object, detail);
    if (r < 0)
        log_error("cannot write the audit log (%s %s): %s", what, object, strerror(-r));
}

void core_links(struct core *core, struct link_state *ret)
{
    unsigned own = way_bridges(core, core->settings->pod), all = way_bridges(core, NULL);
    int failing = store_failing(core->store);
    bool http = false;
    for (struct way *w = core->ways; w; w = w->next)
        http = http || (w->kind == WAY_HTTP && w->up);
    const struct way *loaded = way_for(core, core->settings->pod, "");
    const char *way = own > 0 || (all > 0 && !http) ? "bridge" : http ? "http" : "none";
    *ret = (struct link_state){
        .slack = core->slack_state ? core->slack_state : "off",
        .slack_reason = core->slack_reason ? core->slack_reason : "",
        .bridges = all,
        .opencode = way,
        .opencode_reason =
            strcmp(way, "none") == 0 && core->opencode_reason ? core->opencode_reason : "",
        .build = loaded ? loaded->build : "",
        .store_reason = failing ? strerror(-failing) : "",
    };
}

void core_set_slack_state(struct core *core, const char *state, const char *reason)
{
    const char *old_state = core->slack_state ? core->slack_state : "off",
               *old_reason = core->slack_reason ? core->slack_reason : "";
    if (!reason)
        reason = "";
    if (strcmp(old_state, state) == 0 && strcmp(old_reason, reason) == 0)
        return;
    char *s = strdup(state), *why = strdup(reason);
    if (!s || !why) {
        free(s);
        free(why);
        return;
    }
    free(core->slack_state);
    free(core->slack_reason);
    core->slack_state = s;
    core->slack_reason = why;
    core_tell_links(core);
}

const char *core_catalog(struct core *core)
{
    return core->catalog ? core->catalog : "";
}

void core_set_catalog(struct core *core, const char *json)
{
    char *copy = json ? strdup(json) : NULL;
    if (!copy)
        return;
    free(core->catalog);
    core->catalog = copy;
}

struct store *core_store(struct core *core)
{
    return core->store;
}

struct http_client *core_http(struct core *core)
{
    return core->http;
}

uv_loop_t *core_loop(struct core *core)
{
    return core->loop;
}

const struct settings *core_settings(struct core *core)
{
    return core->settings;
}
