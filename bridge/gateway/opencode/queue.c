/* Everything that OpenCode tells is applied in order. An item waits while a session that it names
 * has to be looked up (whose child it is), and all behind it waits too. */
#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "bridge/gateway/opencode/private.h"

#include <errno.h>
#include <string.h>

#define LOOKUPS_MAX 256 /* for one item (a list of requests, each with parents), then without */

static void item_free(struct item *item)
{
    cJSON_Delete(item->json);
    free(item->directory);
    free(item);
}

static struct item *item_new(enum item_kind kind, const char *directory, cJSON *json, size_t size)
{
    struct item *item = calloc(1, sizeof *item);
    char *copy = strdup(directory);
    if (!item || !copy || !json) {
        cJSON_Delete(json);
        free(item);
        free(copy);
        return NULL;
    }
    *item = (struct item){ .kind = kind, .directory = copy, .json = json, .size = size };
    return item;
}

static void append(struct opencode *oc, struct item *item)
{
    *oc->tail = item;
    oc->tail = &item->next;
    oc->queued += item->size;
}

static void prepend(struct opencode *oc, struct item *item)
{
    item->next = oc->head;
    oc->head = item;
    if (oc->tail == &oc->head)
        oc->tail = &item->next;
    oc->queued += item->size;
}

int queue_event(struct opencode *oc, const char *directory, cJSON *event, size_t size)
{
    struct item *item = item_new(ITEM_EVENT, directory, event, size);
    if (!item)
        return -ENOMEM;
    append(oc, item);
    queue_pump(oc);
    return 0;
}

int queue_state(struct opencode *oc, const char *directory, cJSON *state, int64_t before_ms,
                bool complete)
{
    cJSON *copy = complete ? cJSON_Duplicate(state, true) : NULL;
    struct item *read = item_new(ITEM_STATE, directory, state, 0);
    struct item *missing = complete ? item_new(ITEM_MISSING, directory, copy, 0) : NULL;
    if (read)
        prepend(oc, read);
    if (missing) {
        missing->before_ms = before_ms;
        append(oc, missing);
    }
    return read && (missing || !complete) ? 0 : -ENOMEM;
}

void queue_clear(struct opencode *oc)
{
    while (oc->head) {
        struct item *item = oc->head;
        oc->head = item->next;
        item_free(item);
    }
    oc->tail = &oc->head;
    oc->queued = 0;
    oc->looked_up = 0;
    free(TAKE_PTR(oc->lookup_id));
    free(TAKE_PTR(oc->lookup_directory));
}

/* ---------------------------------------------------------------- lookups */

/* A session that was deleted while its request waits is its own root; it must not keep the others
 * of its list from being looked up. */
static void unknown_root(struct opencode *oc, const char *directory, const char *id)
{
    _cleanup_json_ cJSON *info = cJSON_CreateObject();
    json_add_str(info, "id", id);
    session_heard(oc, directory, info);
}

static void on_looked_up(void *data, const struct http_response *r)
{
    struct opencode *oc = data;
    _cleanup_json_ cJSON *json = NULL;
    _cleanup_free_ char *id = TAKE_PTR(oc->lookup_id), *dir = TAKE_PTR(oc->lookup_directory);
    oc->lookup = NULL;
    oc->busy = false;
    if (r->error == 0 && r->status == 200)
        (void)json_parse(&json, r->body, r->body_len, NULL);
    if (json && strcmp(json_str(json, "id", ""), id) == 0)
        session_apply(oc, dir, json);
    else if (r->error == 0 && r->status == 404)
        unknown_root(oc, dir, id);
    else
        oc->looked_up = LOOKUPS_MAX; /* OpenCode does not answer: on without */
    queue_pump(oc);
}

/* True: the queue waits for it. */
static bool lookup(struct opencode *oc, const char *directory, const char *id)
{
    _cleanup_buf_ struct buf path = BUF_INIT;
    _cleanup_free_ char *escaped = http_escape(id);
    if (!escaped)
        return false;
    buf_printf(&path, "/session/%s", escaped);
    _cleanup_free_ char *url = oc_url(oc, buf_str(&path), directory);
    oc->lookup_id = strdup(id);
    oc->lookup_directory = strdup(directory);
    if (!url || !oc->lookup_id || !oc->lookup_directory)
        return false;
    struct http_options o = oc_request(oc, url, on_looked_up, oc);
    if (http_start(core_http(oc->core), &o, &oc->lookup) < 0)
        return false;
    oc->looked_up++;
    oc->busy = true;
    return true;
}

static const char *session_needed(struct opencode *oc, const struct item *item)
{
    if (item->kind == ITEM_MISSING || oc->looked_up >= LOOKUPS_MAX)
        return NULL;
    if (item->kind == ITEM_STATE)
        return state_session_needed(oc, item->json);
    const char *id = event_session_needed(item->json);
    return id && !core_knows_session(oc->core, core_settings(oc->core)->pod, id) ? id : NULL;
}

static void apply(struct opencode *oc, const struct item *item)
{
    switch (item->kind) {
    case ITEM_EVENT:
        event_apply(oc, item->directory, item->json);
        return;
    case ITEM_STATE:
        state_apply(oc, item->directory, item->json);
        return;
    case ITEM_MISSING:
        missing_apply(oc, item->directory, item->json, item->before_ms);
        return;
    }
}

void queue_pump(struct opencode *oc)
{
    while (!oc->busy && oc->head) {
        struct item *item = oc->head;
        const char *id = session_needed(oc, item);
        if (id && lookup(oc, item->directory, id))
            return;
        oc->looked_up = 0;
        oc->head = item->next;
        if (!oc->head)
            oc->tail = &oc->head;
        oc->queued -= item->size;
        apply(oc, item);
        item_free(item);
    }
}
