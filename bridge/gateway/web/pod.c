/* The pod as PID 1 knows it: services, volumes, the plugin. */
#include <errno.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/uvcontrol/uvcontrol.h"
#include "bridge/gateway/web/internal.h"

/* What is passed on; the rest of its status is not for people of the web page. */
static const char *const top_members[] = {
    "version", "phase", "ready", "live", "uptime_ms", "config_error", NULL,
};
static const char *const service_members[] = {
    "name",          "type",      "state",        "reason",     "status",    "pid",
    "uptime_ms",     "restarts",  "ready",        "health",     "last_exit", "health_reason",
    "next_start_ms", "rss_bytes", "memory_bytes", "memory_max", "oom_kills", NULL,
};
static const char *const volume_members[] = {
    "path",       "policy",       "ok",          "level",   "findings", "bytes_total",
    "bytes_free", "inodes_total", "inodes_free", "fs_type", NULL,
};
static const char *const plugin_members[] = { "state", "path", "reason", "commit", "trust", NULL };

struct asking {
    struct call call;
    struct uvcontrol *control;
    bool answered;
};

static void copy_members(cJSON *to, const cJSON *from, const char *const *names)
{
    for (; *names; names++) {
        const cJSON *member = cJSON_GetObjectItemCaseSensitive(from, *names);
        if (member)
            (void)cJSON_AddItemToObject(to, *names, cJSON_Duplicate(member, true));
    }
}

static void copy_list(cJSON *to, const char *key, const cJSON *status, const char *const *names)
{
    cJSON *list = cJSON_AddArrayToObject(to, key);
    const cJSON *item;
    cJSON_ArrayForEach (item, json_arr(status, key)) {
        cJSON *copy = cJSON_CreateObject();
        copy_members(copy, item, names);
        if (!cJSON_AddItemToArray(list, copy))
            cJSON_Delete(copy);
    }
}

/* codev-prepare's note about the plugin is JSON in a text. */
static void add_plugin(cJSON *to, const cJSON *status)
{
    _cleanup_json_ cJSON *note = NULL;
    const cJSON *s;
    cJSON *plugin = cJSON_AddObjectToObject(to, "plugin");
    cJSON_ArrayForEach (s, json_arr(status, "services")) {
        const char *text = json_str(json_obj(s, "notes"), "plugin", "");
        if (strcmp(json_str(s, "name", ""), "prepare") == 0)
            (void)json_parse(&note, text, strlen(text), NULL);
    }
    copy_members(plugin, note, plugin_members);
}

static void answer_cjson(struct call *c, const cJSON *json)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    _cleanup_free_ char *text = json_print(json);
    if (text)
        buf_puts(&out, text);
    else
        out.failed = true;
    answer_json(c, 200, &out);
}

static void on_line(void *data, const char *line, size_t len)
{
    struct asking *a = data;
    _cleanup_json_ cJSON *status = NULL, *out = cJSON_CreateObject();
    if (a->answered || json_parse(&status, line, len, NULL) < 0 || json_obj(status, "error"))
        return;
    json_add_str(out, "pod", core_settings(a->call.web->core)->pod);
    copy_members(out, status, top_members);
    copy_list(out, "services", status, service_members);
    copy_list(out, "volumes", status, volume_members);
    add_plugin(out, status);
    server_request_on_gone(a->call.request, NULL, NULL);
    a->answered = true;
    answer_cjson(&a->call, out);
}

static void on_end(void *data, int error, const char *message)
{
    struct asking *a = data;
    if (!a->answered) {
        server_request_on_gone(a->call.request, NULL, NULL);
        answer_error(&a->call, 503, "no_supervisor",
                     error < 0 && *message ? message : "PID 1 does not tell about the pod");
    }
    free(a);
}

static void on_gone(void *data)
{
    struct asking *a = data;
    uvcontrol_cancel(a->control);
    free(a);
}

void pod_get(struct call *c)
{
    static const char *const words[] = { "status", NULL };
    struct asking *a = calloc(1, sizeof *a);
    if (!a) {
        answer_failure(c, -ENOMEM, "");
        return;
    }
    a->call = *c;
    a->call.who.login = NULL; /* it may end before */
    struct uvcontrol_options o = {
        .loop = core_loop(c->web->core),
        .words = words,
        .on_line = on_line,
        .on_end = on_end,
        .data = a,
    };
    if (uvcontrol_start(&a->control, &o) < 0) {
        free(a);
        answer_failure(c, -ENOMEM, "");
        return;
    }
    server_request_on_gone(c->request, on_gone, a);
}
