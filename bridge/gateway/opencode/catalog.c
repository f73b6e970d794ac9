/* Agents and models of our own OpenCode, read beforehand and again now and then, also while a
 * bridge feeds: a form that offers them must open at once. */
#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "bridge/gateway/opencode/private.h"

#include <string.h>

#define FIRST_MS 500
#define AGAIN_MS 5000 /* it did not answer */
#define FRESH_MS 60000

struct catalog {
    struct opencode *oc;
    uv_timer_t timer;
    struct http_request *request;
    cJSON *agents;
};

static void on_timer(uv_timer_t *timer);

static void later(struct catalog *c, uint64_t ms)
{
    cJSON_Delete(TAKE_PTR(c->agents));
    (void)uv_timer_start(&c->timer, on_timer, ms, 0);
}

static void add_named(cJSON *list, const char *id, const char *name, const char *more_key,
                      const char *more)
{
    cJSON *j = cJSON_CreateObject();
    json_add_str(j, "id", id);
    json_add_str(j, "name", *name ? name : id);
    json_add_str(j, more_key, more);
    (void)cJSON_AddItemToArray(list, j);
}

/* Those that a person may talk to. */
static cJSON *agents_of(const cJSON *answer)
{
    cJSON *list = cJSON_CreateArray();
    const cJSON *a;
    cJSON_ArrayForEach (a, answer) {
        const char *name = json_str(a, "name", "");
        if (*name && strcmp(json_str(a, "mode", ""), "subagent") != 0 &&
            !json_bool(a, "hidden", false))
            add_named(list, name, name, "description", json_str(a, "description", ""));
    }
    return list;
}

static cJSON *models_of(const cJSON *answer)
{
    cJSON *list = cJSON_CreateArray();
    const cJSON *p, *m;
    cJSON_ArrayForEach (p, json_arr(answer, "providers")) {
        cJSON_ArrayForEach (m, json_obj(p, "models")) {
            _cleanup_buf_ struct buf id = BUF_INIT;
            buf_printf(&id, "%s/%s", json_str(p, "id", ""), json_str(m, "id", m->string));
            add_named(list, buf_str(&id), json_str(m, "name", ""), "group",
                      json_str(p, "name", json_str(p, "id", "")));
        }
    }
    return list;
}

static int ask(struct catalog *c, const char *path, http_done_fn *done)
{
    const char *dir = core_settings(c->oc->core)->opencode_directory;
    _cleanup_free_ char *url = oc_url(c->oc, path, dir ? dir : "");
    if (!url)
        return -1;
    struct http_options o = oc_request(c->oc, url, done, c);
    o.timeout_ms = OC_LIST_MS;
    return http_start(core_http(c->oc->core), &o, &c->request);
}

static cJSON *answer_of(struct catalog *c, const struct http_response *r)
{
    cJSON *j = NULL;
    c->request = NULL;
    if (r->error || r->status != 200 || json_parse(&j, r->body, r->body_len, NULL) < 0)
        return NULL;
    return j;
}

static void on_models(void *data, const struct http_response *r)
{
    struct catalog *c = data;
    _cleanup_json_ cJSON *answer = answer_of(c, r), *all = cJSON_CreateObject();
    if (!json_arr(answer, "providers")) {
        later(c, AGAIN_MS);
        return;
    }
    (void)cJSON_AddItemToObject(all, "agents", TAKE_PTR(c->agents));
    (void)cJSON_AddItemToObject(all, "models", models_of(answer));
    _cleanup_free_ char *text = json_print(all);
    core_set_catalog(c->oc->core, text);
    later(c, FRESH_MS);
}

static void on_agents(void *data, const struct http_response *r)
{
    struct catalog *c = data;
    _cleanup_json_ cJSON *answer = answer_of(c, r);
    if (!cJSON_IsArray(answer)) {
        later(c, AGAIN_MS);
        return;
    }
    c->agents = agents_of(answer);
    if (ask(c, "/config/providers", on_models) < 0)
        later(c, AGAIN_MS);
}

static void on_timer(uv_timer_t *timer)
{
    struct catalog *c = timer->data;
    if (ask(c, "/agent", on_agents) < 0)
        later(c, AGAIN_MS);
}

int catalog_new(struct catalog **ret, struct opencode *oc)
{
    struct catalog *c = calloc(1, sizeof *c);
    if (!c)
        return -1;
    c->oc = oc;
    (void)uv_timer_init(core_loop(oc->core), &c->timer);
    c->timer.data = c;
    later(c, FIRST_MS);
    *ret = c;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void catalog_free(struct catalog *c)
{
    if (!c)
        return;
    if (c->request)
        http_cancel(c->request);
    cJSON_Delete(c->agents);
    uv_close((uv_handle_t *)&c->timer, on_closed);
}
