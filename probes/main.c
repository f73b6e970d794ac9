/* codev-probes: probe and metrics server, and the active health checks of services. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/core/parse.h"
#include "base/core/secrets.h"
#include "probes/app.h"
#include "probes/metrics.h"

#define POST_TIMEOUT_MS 5000

static const char usage[] =
    "usage: codev-probes\n"
    "       codev-probes --post URL [--timeout MS]\n"
    "\n"
    "Answers liveness, readiness and startup probes and metrics, and runs the active health\n"
    "checks that PID 1 asks for. Settings: CODEV_PROBES_LISTEN (0.0.0.0), CODEV_PROBES_PORT\n"
    "(8081), CODEV_RUNTIME_DIR.\n"
    "\n"
    "  --post URL     send one POST with OpenCode's password; exit status 0 for an answer 2xx\n"
    "  --timeout MS   how long --post may take (5000)\n"
    "  --metrics      list the metrics of this program\n"
    "  --help         this text\n"
    "  --version      the version\n";

struct settings {
    const char *post;
    uint64_t timeout_ms;
    const char *listen;
    uint16_t port;
};

enum flag { FLAG_POST = 1, FLAG_TIMEOUT, FLAG_METRICS, FLAG_HELP, FLAG_VERSION };

/* For docs/metrics.md. */
static int list_metrics(void)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    metrics_list(&out);
    return fputs(buf_str(&out), stdout) < 0 || out.failed;
}

/* <0: go on; else the exit status. */
static int read_options(struct settings *s, int argc, char **argv)
{
    static const struct option options[] = {
        { "post", required_argument, NULL, FLAG_POST },
        { "timeout", required_argument, NULL, FLAG_TIMEOUT },
        { "metrics", no_argument, NULL, FLAG_METRICS },
        { "help", no_argument, NULL, FLAG_HELP },
        { "version", no_argument, NULL, FLAG_VERSION },
        { 0 },
    };
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (o) {
        case FLAG_POST:
            s->post = optarg;
            break;
        case FLAG_TIMEOUT:
            if (parse_u64(optarg, 1, 3600000, &s->timeout_ms) < 0) {
                (void)fprintf(stderr, "codev-probes: --timeout takes milliseconds, not '%s'\n",
                              optarg);
                return 2;
            }
            break;
        case FLAG_METRICS:
            return list_metrics();
        case FLAG_HELP:
            (void)fputs(usage, stdout);
            return 0;
        case FLAG_VERSION:
            (void)puts("codev-probes " CODEV_VERSION);
            return 0;
        default:
            (void)fputs("try 'codev-probes --help'\n", stderr);
            return 2;
        }
    }
    if (optind == argc)
        return -1;
    (void)fprintf(stderr, "codev-probes: '%s' is one argument too many\n", argv[optind]);
    return 2;
}

static int read_environment(struct settings *s)
{
    const char *listen = getenv("CODEV_PROBES_LISTEN"), *port = getenv("CODEV_PROBES_PORT");
    uint64_t n = 8081;
    if (port && *port && parse_u64(port, 0, 65535, &n) < 0) {
        log_error("CODEV_PROBES_PORT=%s is no port", port);
        return -EINVAL;
    }
    s->listen = listen && *listen ? listen : "0.0.0.0";
    s->port = (uint16_t)n;
    return 0;
}

static void stop(struct app *a)
{
    if (a->stopping)
        return;
    a->stopping = true;
    server_free(a->server);
    pages_stop(a);
    runner_stop(a);
    pid1_stop(a);
    http_client_free(a->http);
}

static void on_signal(uv_signal_t *signal, int number)
{
    uv_signal_t *signals = signal->data;
    struct app *a = signals->loop->data;
    (void)number;
    uv_close((uv_handle_t *)&signals[0], NULL);
    uv_close((uv_handle_t *)&signals[1], NULL);
    stop(a);
}

static void watch_signals(uv_loop_t *loop, uv_signal_t signals[2])
{
    static const int numbers[2] = { SIGTERM, SIGINT };
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        (void)uv_signal_init(loop, &signals[i]);
        signals[i].data = signals;
        (void)uv_signal_start_oneshot(&signals[i], on_signal, numbers[i]);
    }
}

static int serve(const struct settings *s, const char *user, const char *password)
{
    static struct app app;
    static uv_signal_t signals[2];
    struct app *a = &app;
    uv_loop_t *loop = uv_default_loop();
    struct error e = ERROR_INIT;
    a->loop = loop;
    a->user = user;
    a->password = password;
    loop->data = a;
    const struct server_options o = {
        .loop = loop,
        .listen = s->listen,
        .port = s->port,
        .max_body = 1024,
        .max_connections = 256,
        .on_request = pages_answer,
        .data = a,
    };
    if (http_client_new(&a->http, loop, NULL) < 0) {
        log_error("cannot make an HTTP client");
        return 1;
    }
    if (server_new(&a->server, &o, &e) < 0) {
        log_error("%s", e.message);
        return 1;
    }
    watch_signals(loop, signals);
    runner_start(a);
    pid1_start(a);
    log_info("answering probes on %s port %u", s->listen, (unsigned)server_port(a->server));
    (void)uv_run(loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(loop);
    return 0;
}

int main(int argc, char **argv)
{
    struct settings s = { .timeout_ms = POST_TIMEOUT_MS };
    _cleanup_(secrets_release) struct secrets secrets = { 0 };
    struct error e = ERROR_INIT;
    log_init("codev-probes");
    int status = read_options(&s, argc, argv);
    if (status >= 0)
        return status;
    /* Whoever could read this memory could answer the agent's permission requests. */
    (void)prctl(PR_SET_DUMPABLE, 0);
    if (secrets_take(SECRET_FOR_PROBES, &secrets, &e) < 0) {
        log_error("%s", e.message);
        return 1;
    }
    const char *user = getenv("OPENCODE_SERVER_USERNAME");
    const char *password = secrets_get(&secrets, "OPENCODE_SERVER_PASSWORD");
    user = user && *user ? user : "opencode";
    if (s.post)
        return post_main(s.post, s.timeout_ms, user, password);
    if (read_environment(&s) < 0)
        return 1;
    return serve(&s, user, password);
}
