#include "base/opencode/api.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/core/clock.h"
#include "base/core/control.h"
#include "base/http/http.h"

struct api {
    uv_loop_t loop;
    struct http_client *http;
    char *url, *user, *password;
};

struct exchange {
    bool done;
    int status;
    char *body;
    size_t len;
    bool html;
    char message[160];
};

int api_new(struct api **ret, const char *url, const char *user, const char *password)
{
    struct api *api = calloc(1, sizeof *api);
    if (!api)
        return -ENOMEM;
    (void)uv_loop_init(&api->loop);
    api->url = strdup(url);
    api->user = strdup(user);
    api->password = password ? strdup(password) : NULL;
    int r = http_client_new(&api->http, &api->loop, NULL);
    if (r < 0 || !api->url || !api->user) {
        api_free(api);
        return r < 0 ? r : -ENOMEM;
    }
    *ret = api;
    return 0;
}

void api_free(struct api *api)
{
    if (!api)
        return;
    http_client_free(api->http);
    (void)uv_run(&api->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&api->loop);
    free(api->url);
    free(api->user);
    free(api->password);
    free(api);
}

static void exchange_done(void *data, const struct http_response *response)
{
    struct exchange *x = data;
    x->done = true;
    x->status = response->error ? response->error : response->status;
    x->html = strncmp(response->content_type, "text/html", 9) == 0;
    x->body = strndup(response->body, response->body_len);
    x->len = x->body ? response->body_len : 0;
    (void)snprintf(x->message, sizeof x->message, "%s", response->message);
}

int api_call(struct api *api, const char *method, const char *path, const cJSON *body,
             uint64_t timeout_ms, cJSON **ret, struct error *e)
{
    char url[1024];
    if ((size_t)snprintf(url, sizeof url, "%s%s", api->url, path) >= sizeof url)
        return error_set(e, -ENAMETOOLONG, "the address is too long: %.80s…", path);
    _cleanup_free_ char *text = body ? json_print(body) : NULL;
    struct exchange x = { 0 };
    struct http_options options = {
        .method = method,
        .url = url,
        .body = text,
        .body_len = text ? strlen(text) : 0,
        .user = api->password ? api->user : NULL,
        .password = api->password,
        .timeout_ms = timeout_ms,
        .fresh_connection = true,
        .on_done = exchange_done,
        .data = &x,
    };
    int r = http_start(api->http, &options, NULL);
    if (r < 0)
        return error_set_errno(e, r, "cannot ask OpenCode");
    while (!x.done)
        (void)uv_run(&api->loop, UV_RUN_ONCE);
    _cleanup_free_ char *answer = x.body;
    if (x.status < 0)
        return error_set(e, x.status, "%s %s: %s", method, path, x.message);
    if (x.html) /* unknown paths answer 200 with the web page */
        return error_set(e, -EPROTO, "%s %s: OpenCode does not know this path", method, path);
    if (ret) {
        *ret = NULL;
        if (x.len && x.status < 300 && json_parse(ret, answer, x.len, e) < 0)
            return -EPROTO;
    }
    return x.status;
}

int api_wait_ready(struct api *api, const char *directory, uint64_t timeout_ms, struct error *e)
{
    uint64_t deadline = clock_mono_ms() + timeout_ms;
    _cleanup_free_ char *escaped = directory ? http_escape(directory) : NULL;
    char path[700];
    (void)snprintf(path, sizeof path, "/session/status?directory=%s", escaped ? escaped : "");
    struct error last = ERROR_INIT;
    for (bool healthy = false;;) {
        /* Short tries on fresh connections: the port accepts before its handler is attached, and
         * swallows what comes early. */
        uint64_t try_ms = healthy ? 10000 : 500;
        int status =
            api_call(api, "GET", healthy ? path : "/global/health", NULL, try_ms, NULL, &last);
        if (status == 200 && (healthy || !directory))
            return 0;
        if (status == 200) {
            healthy = true;
            continue;
        }
        if (clock_mono_ms() >= deadline)
            return error_set(e, -ETIMEDOUT, "OpenCode at %s was not ready within %u s%s%s",
                             api->url, (unsigned)(timeout_ms / 1000), last.message[0] ? ": " : "",
                             last.message);
        (void)nanosleep(&(struct timespec){ .tv_nsec = 100 * 1000000 }, NULL);
    }
}

int pid1_call(const char *const *words, cJSON **ret, struct error *e)
{
    _cleanup_buf_ struct buf answer = BUF_INIT;
    int r = control_call(words, 5000, &answer, e);
    if (r < 0)
        return r;
    _cleanup_json_ cJSON *json = NULL;
    r = json_parse(&json, answer.data, answer.len, e);
    if (r < 0)
        return r;
    const char *message = json_str_at(json, "error.message", NULL);
    if (message)
        return error_set(e, -EPROTO, "PID 1: %s", message);
    if (ret)
        *ret = TAKE_PTR(json);
    return 0;
}

char *api_find_url(void)
{
    _cleanup_json_ cJSON *checks = NULL;
    const char *set = getenv("CODEV_OPENCODE_URL");
    if (set && *set)
        return strdup(set);
    if (pid1_call((const char *[]){ "checks", NULL }, &checks, NULL) == 0) {
        const cJSON *c;
        cJSON_ArrayForEach (c, json_arr(checks, "checks")) {
            const cJSON *target = cJSON_GetArrayItem(json_arr(c, "target"), 0);
            if (strcmp(json_str(c, "service", ""), "opencode") != 0 || !cJSON_IsString(target))
                continue;
            const char *host = strstr(target->valuestring, "//");
            const char *path = host ? strchr(host + 2, '/') : NULL;
            if (path)
                return strndup(target->valuestring, (size_t)(path - target->valuestring));
        }
    }
    return strdup("http://127.0.0.1:8080");
}

char *api_find_password(void)
{
    _cleanup_json_ cJSON *secret = NULL;
    if (pid1_call((const char *[]){ "secret", "OPENCODE_SERVER_PASSWORD", NULL }, &secret, NULL) <
        0)
        return NULL;
    const char *value = json_str(secret, "value", NULL);
    return value ? strdup(value) : NULL;
}
