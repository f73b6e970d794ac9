#include "probes/app.h"

#include "base/core/log.h"

static void on_done(void *data, const struct http_response *r)
{
    int *status = data;
    if (r->error)
        log_error("the request failed: %s", r->message);
    else if (r->status / 100 != 2)
        log_error("the server answered %d", r->status);
    else
        *status = 0;
}

int post_main(const char *url, uint64_t timeout_ms, const char *user, const char *password)
{
    uv_loop_t loop;
    struct http_client *http;
    int status = 1;
    const struct http_options o = {
        .method = "POST",
        .url = url,
        .user = user,
        .password = password,
        .timeout_ms = timeout_ms,
        .connect_timeout_ms = timeout_ms,
        .fresh_connection = true,
        .on_done = on_done,
        .data = &status,
    };
    if (uv_loop_init(&loop) < 0 || http_client_new(&http, &loop, NULL) < 0) {
        log_error("out of memory");
        return 1;
    }
    if (http_start(http, &o, NULL) < 0)
        log_error("'%s' is no URL for a request", url);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    http_client_free(http);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    return status;
}
