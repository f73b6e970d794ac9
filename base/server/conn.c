/* One connection: accepting, reading from the socket, writing, its one timer, its end. What the
 * bytes mean is read.c's. */
#include "base/server/internal.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/core/cleanup.h"

struct conn_write {
    uv_write_t req;
    struct server_conn *conn;
    char *data;
};

static void on_timer(uv_timer_t *timer);

void conn_arm(struct server_conn *c, uint64_t ms)
{
    (void)uv_timer_start(&c->timer, on_timer, ms, 0);
}

static void on_conn_closed(uv_handle_t *h)
{
    struct server_conn *c = h->data;
    if (--c->open_handles)
        return;
    struct server *s = c->server;
    buf_release(&c->in);
    free(c);
    server_unref(s);
}

/* The client has gone, or is made to go: whoever waits for it is told. */
void conn_close(struct server_conn *c)
{
    if (c->state == CONN_CLOSING)
        return;
    struct server *s = c->server;
    struct server_request *r = c->request;
    bool handed_out = c->state == CONN_WAITING || c->state == CONN_STREAM;
    c->state = CONN_CLOSING;
    c->request = NULL;
    if (c->prev)
        c->prev->next = c->next;
    else
        s->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    s->conn_count--;
    uv_close((uv_handle_t *)&c->tcp, on_conn_closed);
    uv_close((uv_handle_t *)&c->timer, on_conn_closed);
    if (r && handed_out && !r->gone) {
        r->conn = NULL; /* the handler's answer will find nobody, and free it */
        return;
    }
    if (r && handed_out)
        r->gone(r->gone_data);
    server_request_free(r);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret)
{
    struct server_conn *c = h->data;
    (void)suggested;
    *ret = uv_buf_init(c->server->read_buffer, sizeof c->server->read_buffer);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct server_conn *c = stream->data;
    if (n == 0)
        return;
    /* A client that ends its side while it waits counts as gone, as with most servers. */
    if (n < 0) {
        conn_close(c);
        return;
    }
    if (c->state == CONN_LINGER)
        return;
    if (buf_append(&c->in, b->base, (size_t)n) < 0) {
        conn_close(c);
        return;
    }
    if (c->in.len + SERVER_READ_SIZE > SERVER_IN_MAX) {
        (void)uv_read_stop(stream); /* pipelined ahead of its answers: it has to wait */
        c->reading = false;
    }
    conn_process(c);
}

size_t conn_unsent(const struct server_conn *c)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)&c->tcp);
}

static void on_written(uv_write_t *req, int status)
{
    struct conn_write *w = (struct conn_write *)req;
    struct server_conn *c = w->conn;
    free(w->data);
    free(w);
    if (c->state == CONN_CLOSING)
        return;
    if (status < 0) {
        conn_close(c);
    } else if (c->state == CONN_IDLE && c->in.len) {
        conn_process(c);
    } else if (c->state == CONN_IDLE && !conn_unsent(c)) {
        conn_arm(c, SERVER_IDLE_MS);
    }
}

int conn_write(struct server_conn *c, char *data, size_t len)
{
    struct conn_write *w = malloc(sizeof *w);
    int r = w ? 0 : -ENOMEM;
    if (w) {
        *w = (struct conn_write){ .conn = c, .data = data };
        uv_buf_t b = uv_buf_init(data, (unsigned)len);
        r = uv_write(&w->req, (uv_stream_t *)&c->tcp, &b, 1, on_written);
        c->accepted += len;
    }
    if (r < 0) {
        free(data);
        free(w);
    }
    return r;
}

/* What the peer's side has acknowledged. What the kernel took is no measure: its buffer is
 * megabytes and opens to us only when a third of it is free, which takes a slow reader longer than
 * a stall. */
static size_t acknowledged(struct server_conn *c)
{
    uv_os_fd_t fd;
    int held = 0;
    if (uv_fileno((const uv_handle_t *)&c->tcp, &fd) < 0 || ioctl(fd, SIOCOUTQ, &held) < 0)
        held = 0;
    return c->accepted - conn_unsent(c) - (size_t)held;
}

static bool made_progress(struct server_conn *c)
{
    size_t sent = acknowledged(c);
    bool yes = sent != c->sent_seen;
    c->sent_seen = sent;
    c->stalls = yes ? 0 : c->stalls + 1;
    return c->stalls < SERVER_STALL_TICKS;
}

static uint64_t stall_tick(const struct server_conn *c)
{
    return c->server->o.stall_ms / SERVER_STALL_TICKS + 1;
}

void conn_watch_stall(struct server_conn *c)
{
    if (conn_unsent(c) && !uv_is_active((const uv_handle_t *)&c->timer)) {
        c->stalls = 0;
        conn_arm(c, stall_tick(c));
    }
}

static void on_kicked(struct server_conn *c)
{
    c->kicked = false;
    conn_arm(c, SERVER_IDLE_MS);
    conn_process(c);
}

static void on_timer(uv_timer_t *timer)
{
    struct server_conn *c = timer->data;
    bool unsent = conn_unsent(c) > 0;
    if (c->kicked) {
        on_kicked(c);
        return;
    }
    if (c->state == CONN_HEAD || c->state == CONN_BODY) {
        conn_refuse(c, 408, "the request took too long to arrive");
        return;
    }
    if (unsent && made_progress(c)) {
        conn_arm(c, stall_tick(c));
        return;
    }
    if (unsent || (c->state != CONN_STREAM && c->state != CONN_WAITING))
        conn_close(c);
}

static void read_on(struct server_conn *c)
{
    if (!c->reading && uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) == 0)
        c->reading = true;
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    struct server_conn *c = req->data;
    if (status < 0 && c->state != CONN_CLOSING)
        conn_close(c);
}

/* Says that we are done and leaves the last word to the peer: closing at once with unread bytes
 * would reset the connection and might destroy our answer on its way. */
static void linger(struct server_conn *c)
{
    c->state = CONN_LINGER;
    c->stalls = 0;
    buf_release(&c->in);
    c->shutdown.data = c;
    if (uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, on_shutdown) < 0) {
        conn_close(c);
        return;
    }
    if (!c->reading)
        (void)uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    conn_arm(c, conn_unsent(c) ? stall_tick(c) : SERVER_LINGER_MS);
}

void conn_answered(struct server_conn *c)
{
    if (!c->keep_alive) {
        linger(c);
        return;
    }
    c->state = CONN_IDLE;
    read_on(c);
    if (c->in.cap > SERVER_READ_SIZE && !c->in.len)
        buf_release(&c->in);
    /* The next request is not begun from within the handler of this one. */
    c->kicked = c->in.len > 0 && !c->processing;
    c->stalls = 0;
    uint64_t wait = c->kicked ? 0 : conn_unsent(c) ? stall_tick(c) : SERVER_IDLE_MS;
    conn_arm(c, wait);
}

static void learn_peer(struct server_conn *c)
{
    struct sockaddr_storage addr;
    int len = sizeof addr;
    if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&addr, &len) < 0)
        return;
    if (addr.ss_family == AF_INET)
        (void)uv_ip4_name((const struct sockaddr_in *)&addr, c->peer, sizeof c->peer);
    else if (addr.ss_family == AF_INET6)
        (void)uv_ip6_name((const struct sockaddr_in6 *)&addr, c->peer, sizeof c->peer);
    if (strncmp(c->peer, "::ffff:", 7) == 0 && strchr(c->peer, '.'))
        memmove(c->peer, c->peer + 7, strlen(c->peer + 7) + 1);
}

static void on_dropped(uv_handle_t *h)
{
    free(h);
}

/* Takes one connection off the queue only to close it: nothing can be allotted to it. */
static void accept_and_drop(struct server *s)
{
    uv_tcp_t *tcp = malloc(sizeof *tcp);
    if (!tcp)
        return;
    (void)uv_tcp_init(s->o.loop, tcp);
    (void)uv_accept((uv_stream_t *)&s->listener, (uv_stream_t *)tcp);
    uv_close((uv_handle_t *)tcp, on_dropped);
}

void conn_accept(struct server *s)
{
    struct server_conn *c = NULL;
    if (s->conn_count + s->socket_count < s->o.max_connections)
        c = calloc(1, sizeof *c);
    if (!c) {
        accept_and_drop(s);
        return;
    }
    c->server = s;
    c->in = BUF_INIT_MAX(SERVER_IN_MAX);
    (void)uv_tcp_init(s->o.loop, &c->tcp);
    (void)uv_timer_init(s->o.loop, &c->timer);
    c->tcp.data = c->timer.data = c;
    c->open_handles = 2;
    c->next = s->conns;
    if (c->next)
        c->next->prev = c;
    s->conns = c;
    s->conn_count++;
    s->open_handles++;
    if (uv_accept((uv_stream_t *)&s->listener, (uv_stream_t *)&c->tcp) < 0 ||
        uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) < 0) {
        conn_close(c);
        return;
    }
    c->reading = true;
    (void)uv_tcp_nodelay(&c->tcp, 1);
    learn_peer(c);
    conn_arm(c, s->o.request_timeout_ms);
}
