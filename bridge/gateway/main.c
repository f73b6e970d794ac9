/* codev-gateway: wires the core, the connectors and the ways to OpenCode onto one loop. */
#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/http/http.h"
#include "base/server/server.h"
#include "bridge/gateway/core/crash.h"
#include "bridge/gateway/core/metrics.h"
#include "bridge/gateway/core/run.h"
#include "bridge/gateway/link/link.h"
#include "bridge/gateway/opencode/opencode.h"
#include "bridge/gateway/pid1.h"
#include "bridge/gateway/settings.h"
#include "bridge/gateway/slack/metrics.h"
#include "bridge/gateway/slack/slack.h"
#include "bridge/gateway/store/store.h"
#include "bridge/gateway/web/web.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#define STOP_MS         6000 /* for the connectors to say goodbye */
#define LAST_FRAMES_MS  150  /* for close frames and last answers to leave */
#define EXIT_BAD_CONFIG 78

struct gateway {
    uv_loop_t loop;
    struct gateway_settings settings;
    struct store *store;
    struct http_client *http;
    struct core *core;
    struct link *link;
    struct opencode *opencode;
    struct slack *slack;
    struct web *web;
    struct pid1 *pid1;
    struct server *server;
    uv_signal_t term, interrupt;
    uv_timer_t last;
    bool handles; /* the three above are open */
};

/* ---------------------------------------------------------------- requests */

static void on_request(void *data, struct server_request *r)
{
    struct gateway *g = data;
    if (strcmp(server_request_path(r), "/api/opencode/permission") == 0)
        link_permission_request(g->link, r);
    else
        web_request(g->web, r);
}

static int on_ws_open(void *data, struct server_ws *ws)
{
    struct gateway *g = data;
    return strcmp(server_ws_path(ws), "/ws/bridge") == 0 ? link_ws_open(g->link, ws) : 404;
}

static void on_ws_message(void *data, struct server_ws *ws, const char *msg, size_t len,
                          bool binary)
{
    link_ws_message(((struct gateway *)data)->link, ws, msg, len, binary);
}

static void on_ws_close(void *data, struct server_ws *ws)
{
    link_ws_close(((struct gateway *)data)->link, ws);
}

/* ---------------------------------------------------------------- end */

/* Everything that lives in the loop goes; the loop ends when it is empty. The connectors go before
 * the core, and what answers commands before the ways' owners. */
static void gateway_close(struct gateway *g)
{
    slack_connector_free(TAKE_PTR(g->slack));
    web_connector_free(TAKE_PTR(g->web));
    opencode_free(TAKE_PTR(g->opencode));
    link_free(TAKE_PTR(g->link));
    pid1_free(TAKE_PTR(g->pid1));
    if (g->server)
        server_free(TAKE_PTR(g->server));
    core_free(TAKE_PTR(g->core));
    if (g->http)
        http_client_free(TAKE_PTR(g->http));
    if (g->handles) {
        uv_close((uv_handle_t *)&g->term, NULL);
        uv_close((uv_handle_t *)&g->interrupt, NULL);
        uv_close((uv_handle_t *)&g->last, NULL);
        g->handles = false;
    }
}

static void on_last(uv_timer_t *timer)
{
    gateway_close(timer->data);
}

static void on_stopped(void *data)
{
    struct gateway *g = data;
    link_stopping(g->link);
    (void)uv_timer_start(&g->last, on_last, LAST_FRAMES_MS, 0);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct gateway *g = handle->data;
    static bool before;
    log_info("%s: stopping", signum == SIGINT ? "SIGINT" : "SIGTERM");
    core_stop(g->core, clock_mono_ms() + (before ? 0 : STOP_MS), on_stopped, g);
    before = true;
}

/* ---------------------------------------------------------------- start */

static int open_store(struct gateway *g, struct error *e)
{
    _cleanup_free_ char *note = NULL;
    int r = store_open(&g->store, g->settings.s.state_dir, &note, e);
    if (note)
        log_warn("%s", note);
    return r;
}

static int open_rooms(struct gateway *g, struct error *e)
{
    int r = http_client_new(&g->http, &g->loop, NULL);
    if (r < 0)
        return error_set_errno(e, r, "cannot start the HTTP client");
    r = core_new(&g->core, &g->loop, &g->settings.s, g->store, g->http,
                 g->settings.permission_deadline_ms);
    if (r < 0)
        return error_set_errno(e, r, "cannot start the core");
    r = link_new(&g->link, g->core, NULL, e);
    if (r == 0)
        r = opencode_new(&g->opencode, g->core, NULL, e);
    if (r == 0)
        r = pid1_new(&g->pid1, g->core, e);
    if (r == 0)
        r = slack_connector_new(&g->slack, g->core, e);
    if (r == 0)
        r = web_connector_new(&g->web, g->core, e);
    return r;
}

static int open_server(struct gateway *g, struct error *e)
{
    struct server_options o = {
        .loop = &g->loop,
        .listen = g->settings.s.listen,
        .port = g->settings.s.port,
        .on_request = on_request,
        .ws_path = "/ws/bridge",
        .ws = { .on_open = on_ws_open, .on_message = on_ws_message, .on_close = on_ws_close },
        .data = g,
    };
    return server_new(&g->server, &o, e);
}

static void open_signals(struct gateway *g)
{
    (void)uv_signal_init(&g->loop, &g->term);
    (void)uv_signal_init(&g->loop, &g->interrupt);
    (void)uv_timer_init(&g->loop, &g->last);
    g->term.data = g->interrupt.data = g->last.data = g;
    g->handles = true;
    (void)uv_signal_start(&g->term, on_signal, SIGTERM);
    (void)uv_signal_start(&g->interrupt, on_signal, SIGINT);
}

static int gateway_open(struct gateway *g, struct error *e)
{
    int r = open_store(g, e);
    if (r == 0)
        r = open_rooms(g, e);
    if (r == 0)
        r = open_server(g, e);
    if (r < 0)
        return r;
    open_signals(g);
    r = core_start(g->core);
    if (r < 0)
        return error_set_errno(e, r, "cannot read the gateway's state");
    log_info("codev-gateway %s: listening on %s port %u", CODEV_VERSION, g->settings.s.listen,
             (unsigned)server_port(g->server));
    return 0;
}

static int gateway_run(struct gateway *g)
{
    struct error e = ERROR_INIT;
    if (uv_loop_init(&g->loop) < 0)
        return EXIT_FAILURE;
    int r = gateway_open(g, &e);
    if (r < 0) {
        log_error("%s", e.message);
        gateway_close(g);
    }
    (void)uv_run(&g->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&g->loop);
    store_close(g->store);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* For docs/metrics.md. */
static void list_metrics(void)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    core_metrics_document(&out);
    slack_metrics_document(&out);
    (void)fputs(buf_str(&out), stdout);
}

static int options(int argc, char **argv)
{
    static const char help[] = "usage: codev-gateway [--help | --version]\n"
                               "Settings come from the environment; see codev-gateway(8).\n";
    if (argc == 1)
        return -1;
    static const struct {
        const char *name;
        void (*list)(void);
    } lists[] = { { "--crash-points", crash_list },
                  { "--routes", web_list_routes },
                  { "--metrics", list_metrics } };
    for (size_t i = 0; argc == 2 && i < ARRAY_SIZE(lists); i++) /* for tests and documents */
        if (strcmp(argv[1], lists[i].name) == 0) {
            lists[i].list();
            return EXIT_SUCCESS;
        }
    bool known = argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "--version") == 0);
    if (known && strcmp(argv[1], "--version") == 0)
        (void)printf("codev-gateway %s\n", CODEV_VERSION);
    else
        (void)fputs(help, known ? stdout : stderr);
    return known ? EXIT_SUCCESS : EXIT_BAD_CONFIG;
}

int main(int argc, char **argv)
{
    (void)prctl(PR_SET_DUMPABLE, 0); /* first of all: the secrets are in our environment */
    (void)mallopt(M_ARENA_MAX, 1);   /* each thread would keep a heap of its own */
    static struct gateway g;
    struct error e = ERROR_INIT;
    int status = options(argc, argv);
    if (status >= 0)
        return status;
    log_init("codev-gateway");
    (void)signal(SIGPIPE, SIG_IGN);
    int r = gateway_settings_read(&g.settings, &e);
    if (r == 0)
        r = crash_init(g.settings.s.listen);
    if (r < 0) {
        log_error("%s", e.code        ? e.message
                        : r == -EPERM ? "CODEV_CRASH_AT is for tests: refused below PID 1, and "
                                        "on any address but loopback"
                                      : "CODEV_CRASH_AT names no crash point");
        gateway_settings_release(&g.settings);
        return EXIT_BAD_CONFIG;
    }
    status = gateway_run(&g);
    gateway_settings_release(&g.settings);
    return status;
}
