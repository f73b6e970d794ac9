/* The listening socket and the life of a server. */
#include "base/server/server.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/server/internal.h"
#include "base/ws/accept.h"

#define BACKLOG 511

static void or_default(size_t *value, size_t fallback)
{
    if (!*value)
        *value = fallback;
}

static void set_defaults(struct server_options *o)
{
    or_default(&o->max_body, (size_t)1 << 20);
    or_default(&o->max_message, (size_t)1 << 20);
    if (!o->max_connections)
        o->max_connections = 1024;
    if (!o->request_timeout_ms)
        o->request_timeout_ms = 10000;
    if (!o->stall_ms)
        o->stall_ms = 30000;
    if (!o->ws_ping_ms)
        o->ws_ping_ms = 20000;
}

void server_unref(struct server *s)
{
    if (--s->open_handles == 0)
        free(s);
}

static void on_listener_closed(uv_handle_t *h)
{
    server_unref(h->data);
}

static void on_connection(uv_stream_t *listener, int status)
{
    if (status == 0)
        conn_accept(listener->data);
}

static int resolve(const struct server_options *o, struct sockaddr_storage *ret)
{
    const char *name = o->listen && *o->listen ? o->listen : "0.0.0.0";
    if (strcmp(name, "localhost") == 0)
        name = "127.0.0.1";
    if (strchr(name, ':'))
        return uv_ip6_addr(name, o->port, (struct sockaddr_in6 *)ret);
    return uv_ip4_addr(name, o->port, (struct sockaddr_in *)ret);
}

static uint16_t bound_port(const uv_tcp_t *tcp)
{
    struct sockaddr_storage addr = { 0 };
    int len = sizeof addr;
    if (uv_tcp_getsockname(tcp, (struct sockaddr *)&addr, &len) < 0)
        return 0;
    return ntohs(addr.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&addr)->sin6_port
                                            : ((const struct sockaddr_in *)&addr)->sin_port);
}

static int start_listening(struct server *s, struct error *e)
{
    struct sockaddr_storage addr = { 0 };
    int r = resolve(&s->o, &addr);
    if (r < 0)
        return error_set(e, -EINVAL, "'%s' is no address to listen on", s->o.listen);
    r = uv_tcp_bind(&s->listener, (const struct sockaddr *)&addr, 0);
    if (r == 0)
        r = uv_listen((uv_stream_t *)&s->listener, BACKLOG, on_connection);
    if (r < 0)
        return error_set_errno(e, r, "cannot listen on %s port %u",
                               s->o.listen && *s->o.listen ? s->o.listen : "0.0.0.0",
                               (unsigned)s->o.port);
    s->port = bound_port(&s->listener);
    return 0;
}

/* libuv writes without MSG_NOSIGNAL: a client that has gone would kill us. */
static void ignore_sigpipe(void)
{
    struct sigaction now;
    if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL) {
        now.sa_handler = SIG_IGN;
        (void)sigaction(SIGPIPE, &now, NULL);
    }
}

int server_new(struct server **ret, const struct server_options *options, struct error *e)
{
    struct server *s = calloc(1, sizeof *s);
    if (!s)
        return error_set_errno(e, -ENOMEM, "cannot make a server");
    s->o = *options;
    set_defaults(&s->o);
    ignore_sigpipe();
    int r = s->o.ws.on_open ? ws_acceptor_new(&s->ws, s->o.loop, s->o.max_connections, e) : 0;
    if (r < 0) {
        free(s);
        return r;
    }
    (void)uv_tcp_init(s->o.loop, &s->listener);
    s->listener.data = s;
    s->open_handles = 1;
    r = start_listening(s, e);
    if (r < 0) {
        server_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

uint16_t server_port(const struct server *s)
{
    return s->port;
}

void server_free(struct server *s)
{
    if (!s || s->freed)
        return;
    s->freed = true;
    while (s->conns)
        conn_close(s->conns);
    server_ws_drop_all(s);
    ws_client_free(s->ws);
    s->ws = NULL;
    uv_close((uv_handle_t *)&s->listener, on_listener_closed);
}
