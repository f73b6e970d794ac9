/* A libwebsockets context on the caller's libuv loop: how it begins, logs and ends. */
#include "base/ws/ws.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/ws/accept.h"
#include "base/ws/internal.h"

#define CLIENT_FDS 64

/* Adoption with bytes already read makes libwebsockets 4.1 tell its own debugging at error level.
 */
static bool muted_line(const char *line)
{
    static const char *const noise[] = { "adopt_socket_readbuf", "adopt skt" };
    for (size_t i = 0; i < ARRAY_SIZE(noise); i++)
        if (strstr(line, noise[i]))
            return true;
    return false;
}

static void emit(int level, const char *line)
{
    int len = (int)strcspn(line, "\n");
    if (muted_line(line))
        return;
    log_line(level == LLL_ERR ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG, "libwebsockets: %.*s", len, line);
}

/* The vhost would take a proxy from the environment, for loopback too. */
static struct lws_context *create_without_proxy(const struct lws_context_creation_info *info)
{
    const char *set = getenv("http_proxy");
    _cleanup_free_ char *proxy = set ? strdup(set) : NULL;
    (void)unsetenv("http_proxy");
    struct lws_context *context = lws_create_context(info);
    if (proxy)
        (void)setenv("http_proxy", proxy, 1);
    return context;
}

static void on_reaper_closed(uv_handle_t *h)
{
    free(h->data);
}

static void find_handle(uv_handle_t *h, void *data)
{
    void **search = data;
    if (h->data == search[0])
        search[1] = h;
}

/* libwebsockets closes its own handles in the loop and tells nobody when it is done: its last ones
 * are an idle and a timer handle that point to the context. */
static bool has_handles(struct ws_client *c)
{
    void *search[2] = { c->context, NULL };
    uv_walk(c->loop, find_handle, search);
    return search[1] != NULL;
}

/* The end takes two steps: the first asks for all to be closed, the second, after the loop has
 * closed it, frees. Neither may run with libwebsockets on the stack. */
static void on_reap(uv_timer_t *timer)
{
    struct ws_client *c = timer->data;
    if (!c->destroyed) {
        c->destroyed = true;
        lws_context_destroy(c->context);
    }
    if (has_handles(c)) {
        (void)uv_timer_start(timer, on_reap, 1, 0);
        return;
    }
    lws_context_destroy(c->context);
    uv_close((uv_handle_t *)timer, on_reaper_closed);
}

int ws_context_new(struct ws_client **ret, uv_loop_t *loop, const char *ca_file, bool tls,
                   unsigned max, struct error *e)
{
    void *loops[] = { loop };
    if (ca_file && access(ca_file, R_OK) < 0)
        return error_set_errno(e, -errno, "cannot read the certificates in %s", ca_file);
    struct ws_client *c = calloc(1, sizeof *c);
    if (!c)
        return error_set_errno(e, -ENOMEM, "cannot make a WebSocket context");
    c->loop = loop;
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = ws_protocols,
        .foreign_loops = loops,
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_VALIDATE_UTF8 |
                   LWS_SERVER_OPTION_UV_NO_SIGSEGV_SIGFPE_SPIN,
        .client_ssl_ca_filepath = ca_file,
        .user = c,
        .vhost_name = "codev",
        /* Its tables have this size: by the process's limit they would be megabytes. */
        .fd_limit_per_thread = max + 8,
    };
    if (tls)
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    if (ca_file)
        info.options |= LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
    lws_set_log_level(LLL_ERR | LLL_WARN, emit);
    c->context = create_without_proxy(&info);
    c->vhost = c->context ? lws_get_vhost_by_name(c->context, "codev") : NULL;
    if (!c->vhost) {
        free(c);
        return error_set(e, -ENOSYS,
                         "libwebsockets cannot start on libuv (is "
                         "libwebsockets-evlib-uv installed?)");
    }
    (void)uv_timer_init(loop, &c->reaper);
    c->reaper.data = c;
    *ret = c;
    return 0;
}

int ws_client_new(struct ws_client **ret, uv_loop_t *loop, const char *ca_file, struct error *e)
{
    return ws_context_new(ret, loop, ca_file, true, CLIENT_FDS, e);
}

int ws_acceptor_new(struct ws_client **ret, uv_loop_t *loop, unsigned max, struct error *e)
{
    return ws_context_new(ret, loop, NULL, false, max, e);
}

void ws_client_free(struct ws_client *c)
{
    if (!c || c->freed)
        return;
    c->freed = true;
    while (c->sockets)
        ws_abandon(c->sockets);
    (void)uv_timer_start(&c->reaper, on_reap, 0, 0);
}
