/* The stream has no replay: after each connect what is true is read, directory by directory. First
 * the open requests, then the status: a request that was answered in between is then not taken for
 * a ghost, and one that is listed while its session is idle is one (an abort leaves them). */
#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "bridge/gateway/opencode/private.h"

#include <errno.h>
#include <string.h>

#define RETRY_MS 5000

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
    int64_t before_ms;
    struct http_request *request;
    bool failed; /* one directory could not be read */
};

static void next_list(struct opencode *oc);

void sync_cancel(struct opencode *oc)
{
    struct sync *s = TAKE_PTR(oc->sync);
    if (!s)
        return;
    if (s->request)
        http_cancel(s->request);
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
        directory_read(oc);
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
