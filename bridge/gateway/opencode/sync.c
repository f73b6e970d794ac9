/* The stream has no replay: after each connect what is true is read, directory by directory. First
 * the open requests, then the status: a request that was answered in between is then not taken for
 * a ghost, and one that is listed while its session is idle is one (an abort leaves them). */
#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "bridge/gateway/opencode/private.h"

#include <errno.h>
#include <string.h>

#define RETRY_MS  5000
#define TURNS_MAX 64 /* sessions whose messages are read, of one directory */

static const struct {
    const char *name, *path;
    bool array; /* else an object */
} lists[] = {
    { "permissions", "/permission", true },
    { "questions", "/question", true },
    { "status", "/session/status", false },
    { "sessions", "/session?limit=100", true },
};

struct sync {
    size_t directory, list;
    cJSON *state;
    char *turns[TURNS_MAX]; /* sessions that are or were at work: what they wrote is read */
    size_t turn, n_turns;
    int64_t before_ms;
    struct http_request *request;
    bool failed; /* one directory could not be read */
};

static void next_list(struct opencode *oc);

static void forget_turns(struct sync *s)
{
    for (size_t i = 0; i < s->n_turns; i++)
        free(s->turns[i]);
    s->turn = s->n_turns = 0;
}

void sync_cancel(struct opencode *oc)
{
    struct sync *s = TAKE_PTR(oc->sync);
    if (!s)
        return;
    if (s->request)
        http_cancel(s->request);
    forget_turns(s);
    cJSON_Delete(s->state);
    free(s);
}

static void on_resync(uv_timer_t *timer)
{
    sync_start(timer->data);
}

void sync_later(struct opencode *oc, uint64_t ms)
{
    /* Never later than it was to be: events that fail one after the other would put it off. */
    if (uv_is_active((uv_handle_t *)&oc->resync_timer) &&
        uv_timer_get_due_in(&oc->resync_timer) <= ms)
        return;
    (void)uv_timer_start(&oc->resync_timer, on_resync, ms, 0);
}

static void finish(struct opencode *oc)
{
    bool failed = oc->sync->failed;
    sync_cancel(oc);
    oc->busy = false;
    if (failed)
        sync_later(oc, RETRY_MS);
    oc_ready(oc);
    queue_pump(oc);
}

static void next_directory(struct opencode *oc)
{
    struct sync *s = oc->sync;
    while (s->directory < oc->n_directories && !oc->stale[s->directory])
        s->directory++;
    if (s->directory == oc->n_directories) {
        finish(oc);
        return;
    }
    s->list = 0;
    forget_turns(s);
    s->before_ms = clock_wall_ms();
    cJSON_Delete(s->state);
    s->state = cJSON_CreateObject();
    next_list(oc);
}

static void directory_failed(struct opencode *oc, const char *why)
{
    struct sync *s = oc->sync;
    log_warn("cannot read what is open in %s, trying again: %s", oc->directories[s->directory],
             why);
    s->failed = true;
    s->directory++;
    next_directory(oc);
}

static void directory_read(struct opencode *oc)
{
    struct sync *s = oc->sync;
    oc->stale[s->directory] = false;
    (void)queue_state(oc, oc->directories[s->directory], TAKE_PTR(s->state), s->before_ms, true);
    s->directory++;
    next_directory(oc);
}

/* ---------------------------------------------------------------- what was written meanwhile */

static void add_turn(struct sync *s, const char *id)
{
    for (size_t i = 0; i < s->n_turns; i++)
        if (strcmp(s->turns[i], id) == 0)
            return;
    if (s->n_turns < TURNS_MAX && (s->turns[s->n_turns] = strdup(id)))
        s->n_turns++;
}

static int add_if_at_work(void *data, const struct session *session)
{
    struct opencode *oc = data;
    bool at_work = session->status == SESSION_BUSY || session->status == SESSION_RETRY;
    if (at_work && strcmp(session->pod, core_settings(oc->core)->pod) == 0 &&
        strcmp(session->directory, oc->directories[oc->sync->directory]) == 0)
        add_turn(oc->sync, session->id);
    return 0;
}

static void next_turn(struct opencode *oc);

/* Without them the texts are not whole, but requests and status count more: on all the same. */
static void on_turn(void *data, const struct http_response *r)
{
    struct opencode *oc = data;
    struct sync *s = oc->sync;
    cJSON *json = NULL;
    s->request = NULL;
    if (r->error == 0 && r->status == 200 && json_parse(&json, r->body, r->body_len, NULL) == 0 &&
        cJSON_IsArray(json)) {
        cJSON *all = cJSON_GetObjectItemCaseSensitive(s->state, "messages");
        if (!all)
            all = cJSON_AddArrayToObject(s->state, "messages");
        (void)cJSON_AddItemToArray(all, json);
    } else {
        cJSON_Delete(json);
    }
    s->turn++;
    next_turn(oc);
}

static void next_turn(struct opencode *oc)
{
    struct sync *s = oc->sync;
    if (s->turn == s->n_turns) {
        directory_read(oc);
        return;
    }
    _cleanup_buf_ struct buf path = BUF_INIT;
    _cleanup_free_ char *id = http_escape(s->turns[s->turn]);
    buf_printf(&path, "/session/%s/message?limit=50", id ? id : "");
    _cleanup_free_ char *url =
        id ? oc_url(oc, buf_str(&path), oc->directories[s->directory]) : NULL;
    struct http_options o = oc_request(oc, url, on_turn, oc);
    o.timeout_ms = OC_LIST_MS;
    if (!url || http_start(core_http(oc->core), &o, &s->request) < 0) {
        forget_turns(s);
        directory_read(oc);
    }
}

static void read_turns(struct opencode *oc)
{
    const cJSON *status;
    cJSON_ArrayForEach (status, json_obj(oc->sync->state, "status"))
        if (status->string)
            add_turn(oc->sync, status->string);
    (void)core_each_session(oc->core, add_if_at_work, oc);
    next_turn(oc);
}

static void on_list(void *data, const struct http_response *r)
{
    struct opencode *oc = data;
    struct sync *s = oc->sync;
    cJSON *json = NULL;
    s->request = NULL;
    if (r->error || r->status != 200) {
        directory_failed(oc, r->error ? r->message : "OpenCode refused it");
        return;
    }
    /* Unknown paths are answered 200 with the web page. */
    if (json_parse(&json, r->body, r->body_len, NULL) < 0 ||
        (lists[s->list].array ? !cJSON_IsArray(json) : !cJSON_IsObject(json))) {
        cJSON_Delete(json);
        directory_failed(oc, "its answer is no list");
        return;
    }
    cJSON_AddItemToObject(s->state, lists[s->list].name, json);
    if (++s->list == ARRAY_SIZE(lists))
        read_turns(oc);
    else
        next_list(oc);
}

static void next_list(struct opencode *oc)
{
    struct sync *s = oc->sync;
    _cleanup_free_ char *url = oc_url(oc, lists[s->list].path, oc->directories[s->directory]);
    int r = url && s->state ? 0 : -ENOMEM;
    if (r == 0) {
        struct http_options o = oc_request(oc, url, on_list, oc);
        o.timeout_ms = OC_LIST_MS;
        r = http_start(core_http(oc->core), &o, &s->request);
    }
    if (r < 0)
        directory_failed(oc, strerror(-r));
}

void sync_start(struct opencode *oc)
{
    if (oc->state != OC_STREAM)
        return;
    if (oc->sync) {
        sync_later(oc, RETRY_MS);
        return;
    }
    bool any = false;
    for (size_t i = 0; i < oc->n_directories; i++)
        any = any || oc->stale[i];
    if (!any &&
        !oc->busy) /* the first reading holds the queue also when there is nothing to read */
        return;
    oc->sync = calloc(1, sizeof *oc->sync);
    if (!oc->sync) {
        sync_later(oc, RETRY_MS);
        return;
    }
    if (oc->lookup) { /* the item at the head begins its lookup anew */
        http_cancel(TAKE_PTR(oc->lookup));
        free(TAKE_PTR(oc->lookup_id));
        free(TAKE_PTR(oc->lookup_directory));
    }
    oc->busy = true;
    next_directory(oc);
}
