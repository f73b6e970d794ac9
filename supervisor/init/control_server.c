#include "supervisor/init/control_server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/jsonw.h"
#include "supervisor/init/supervisor.h"

static void drop(struct connection *c)
{
    loop_close(&c->server->sv->loop, &c->source);
    timer_clear(&c->deadline);
    buf_release(&c->in);
    buf_release(&c->out);
}

static void on_deadline(struct timer *t)
{
    drop(t->arg);
}

/* Log lines come from the rings as the peer reads, so that many who do not read cost little. False
 * when there is none for now. */
static bool refill(struct connection *c)
{
    struct logs *l = &c->server->sv->logs;
    bool all = strcmp(c->service, "*") == 0;
    const struct log_channel *only = all ? NULL : logs_find(l, c->service);
    if (c->mode != CONNECTION_TAIL && (c->mode != CONNECTION_LOGS || !c->behind))
        return false;
    bool more = (all || only) && logs_read(l, &c->reader, only, CONTROL_LOGS_CHUNK, &c->out);
    if (!more && c->mode == CONNECTION_TAIL)
        c->mode = CONNECTION_ANSWER;
    c->behind = more;
    return c->out.len > 0;
}

/* Writes what the peer takes; arms the deadline for the rest. */
static void flush(struct connection *c)
{
    struct loop *loop = &c->server->sv->loop;
    bool progress = false;
    while (c->out.len || refill(c)) {
        ssize_t n = send(c->source.fd, c->out.data, c->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) {
            drop(c);
            return;
        }
        buf_consume(&c->out, (size_t)n);
        progress = true;
    }
    if (!c->out.len && c->mode == CONNECTION_ANSWER) {
        drop(c);
        return;
    }
    if (!c->out.len) {
        timer_clear(&c->deadline);
        buf_release(&c->out);
    } else if (progress || !c->deadline.due_ms) {
        timer_set(loop, &c->deadline, CONTROL_DEADLINE_MS);
    }
    (void)loop_change(loop, &c->source, EPOLLIN | (c->out.len ? EPOLLOUT : 0));
}

void connection_send(struct connection *c, const char *data, size_t len)
{
    if (c->source.fd < 0)
        return;
    if (buf_append(&c->out, data, len) < 0)
        drop(c);
    else
        flush(c);
}

void connection_logs(struct connection *c)
{
    c->behind = true;
    flush(c);
}

/* What all of them have not read yet. */
static size_t waiting(const struct control_server *s)
{
    size_t sum = 0;
    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++)
        sum += s->connections[i].out.len;
    return sum;
}

void connection_answer(struct connection *c, const struct buf *json)
{
    c->mode = CONNECTION_ANSWER;
    if (json->failed || waiting(c->server) + json->len > CONTROL_OUT_MAX ||
        buf_append(&c->out, json->data, json->len) < 0 || buf_putc(&c->out, '\n') < 0)
        drop(c);
    else
        flush(c);
}

void connection_error(struct connection *c, const char *code, const char *fmt, ...)
{
    char text[512];
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct jsonw w = JSONW_INIT(&out);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    jsonw_object(&w, NULL);
    jsonw_object(&w, "error");
    jsonw_str(&w, "code", code);
    jsonw_str(&w, "message", text);
    jsonw_object_end(&w);
    jsonw_object_end(&w);
    connection_answer(c, &out);
}

/* The request's line has come, whole. It is taken out of the connection, which may be gone as soon
 * as it has its answer. */
static void take_line(struct connection *c, size_t len)
{
    c->in.data[len] = '\0';
    if (strlen(c->in.data) != len) {
        connection_error(c, "bad_request", "a request holds no NUL");
        return;
    }
    _cleanup_free_ char *line = buf_take(&c->in);
    timer_clear(&c->deadline);
    if (line)
        command_run(c->server->sv, c, line);
    else
        drop(c);
}

static void read_request(struct connection *c)
{
    char chunk[4096];
    ssize_t n = recv(c->source.fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || buf_append(&c->in, chunk, (size_t)n) < 0) {
        drop(c);
        return;
    }
    const char *end = memchr(c->in.data, '\n', c->in.len);
    size_t len = end ? (size_t)(end - c->in.data) : c->in.len;
    bool annotate = c->in.len >= 9 && memcmp(c->in.data, "annotate ", 9) == 0;
    if (len > (annotate ? CONTROL_ANNOTATE_MAX : CONTROL_LINE_MAX))
        connection_error(c, "too_long", "a request has at most %d bytes", CONTROL_LINE_MAX);
    else if (end)
        take_line(c, len);
}

/* A peer that has had its line has nothing more to say; end of file means it is gone. */
static void read_rest(struct connection *c)
{
    char chunk[1024];
    ssize_t n = recv(c->source.fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (n == 0 && (c->mode == CONNECTION_ANSWER || c->mode == CONNECTION_TAIL))
        (void)loop_change(&c->server->sv->loop, &c->source,
                          EPOLLOUT); /* half closed: still reads */
    else if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        drop(c);
}

static void on_connection(struct source *s, uint32_t events)
{
    struct connection *c = s->arg;
    if (events & EPOLLERR) {
        drop(c);
        return;
    }
    if (events & EPOLLOUT)
        flush(c);
    if (c->source.fd < 0 || !(events & (EPOLLIN | EPOLLHUP)))
        return;
    if (c->mode == CONNECTION_REQUEST)
        read_request(c);
    else if (events & EPOLLIN)
        read_rest(c);
    else
        drop(c);
}

/* Who may use nothing is turned away at once, and takes no place from others. */
static bool peer_allowed(struct control_server *c, int fd, struct service **ret_service)
{
    switch (peer_find(c->sv, fd, ret_service)) {
    case PEER_OUTSIDE:
        return true;
    case PEER_SERVICE:
        return peer_may_anything(*ret_service);
    case PEER_UNKNOWN:
    default:
        return false;
    }
}

static struct connection *free_slot(struct control_server *s)
{
    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++)
        if (s->connections[i].source.fd < 0)
            return &s->connections[i];
    return NULL;
}

static void welcome(struct control_server *s, int fd)
{
    struct service *service = NULL;
    bool allowed = peer_allowed(s, fd, &service);
    struct connection *c = free_slot(s);
    if (!c || !allowed) {
        static const char busy[] =
            "{\"error\":{\"code\":\"busy\",\"message\":\"too many connections\"}}\n";
        static const char denied[] =
            "{\"error\":{\"code\":\"not_allowed\",\"message\":\"this process may not "
            "use the control socket\"}}\n";
        const char *text = allowed ? busy : denied;
        char asked[256]; /* closed with bytes unread, its end would be a reset without our words */
        (void)send(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)!recv(fd, asked, sizeof asked, MSG_DONTWAIT);
        (void)close(fd);
        return;
    }
    c->source.fd = fd;
    c->mode = CONNECTION_REQUEST;
    c->behind = false;
    (void)snprintf(c->peer, sizeof c->peer, "%s", service ? service->name : "");
    c->in = BUF_INIT_MAX(CONTROL_ANNOTATE_MAX + 8192);
    c->out = BUF_INIT_MAX(CONTROL_OUT_MAX);
    if (loop_add(&s->sv->loop, &c->source, EPOLLIN) < 0) {
        drop(c);
        return;
    }
    timer_set(&s->sv->loop, &c->deadline, CONTROL_DEADLINE_MS);
}

/* No descriptor is left: give the reserve up to take the connection off the queue, else epoll
 * would tell of it for ever. */
static bool shed(struct control_server *s)
{
    if (s->reserve_fd < 0)
        return false;
    (void)close(s->reserve_fd);
    int fd = accept4(s->listener.fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        (void)close(fd);
    s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd >= 0;
}

static void on_listener(struct source *source, uint32_t events)
{
    struct control_server *s = source->arg;
    (void)events;
    for (int i = 0; i < CONTROL_CONNECTIONS; i++) {
        int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            welcome(s, fd);
        else if (errno == EMFILE || errno == ENFILE) {
            if (!shed(s))
                return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

void control_init(struct control_server *c, struct supervisor *sv)
{
    *c = (struct control_server){
        .sv = sv,
        .listener = { .fd = -1, .fn = on_listener, .arg = c },
        .reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC),
    };
    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++) {
        struct connection *n = &c->connections[i];
        n->server = c;
        n->source = (struct source){ .fd = -1, .fn = on_connection, .arg = n };
        n->deadline = (struct timer){ .fn = on_deadline, .arg = n };
    }
}

int control_open_socket(struct control_server *c, const char *dir)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int n = snprintf(addr.sun_path, sizeof addr.sun_path, "%s/control.sock", dir);
    if (n < 0 || (size_t)n >= sizeof addr.sun_path)
        return -ENAMETOOLONG;
    _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    (void)unlink(addr.sun_path); /* of an earlier life; the folder is ours alone */
    mode_t old = umask(0177);
    int r = bind(fd, (const struct sockaddr *)&addr, sizeof addr) < 0 ? -errno : 0;
    (void)umask(old);
    if (r == 0 && listen(fd, CONTROL_CONNECTIONS) < 0)
        r = -errno;
    if (r < 0)
        return r;
    c->listener.fd = TAKE_FD(fd);
    r = loop_add(&c->sv->loop, &c->listener, EPOLLIN);
    if (r < 0)
        loop_close(&c->sv->loop, &c->listener);
    return r;
}

void control_adopt(struct control_server *c, int listener)
{
    c->listener.fd = listener;
    if (listener < 0)
        return;
    (void)fcntl(listener, F_SETFD, FD_CLOEXEC);
    if (loop_add(&c->sv->loop, &c->listener, EPOLLIN) < 0)
        loop_close(&c->sv->loop, &c->listener);
}

void control_close(struct control_server *c)
{
    loop_close(&c->sv->loop, &c->listener);
    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++)
        drop(&c->connections[i]);
    if (c->reserve_fd >= 0)
        (void)close(c->reserve_fd);
    c->reserve_fd = -1;
}

static void send_line(struct connection *c, const char *data, size_t len)
{
    if (c->out.len + len > CONTROL_EVENTS_MAX && c->out.len)
        drop(c); /* it does not read */
    else
        connection_send(c, data, len);
}

void control_event(struct control_server *c, const struct buf *json)
{
    _cleanup_buf_ struct buf line = BUF_INIT;
    if (json->failed || buf_append(&line, json->data, json->len) < 0 || buf_putc(&line, '\n') < 0)
        return;
    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++) {
        struct connection *n = &c->connections[i];
        if (n->source.fd >= 0 && n->mode == CONNECTION_EVENTS)
            send_line(n, line.data, line.len);
    }
}

/* One who reads as fast as lines come gets them from here, the others from the rings. */
static void follow(struct connection *c, const char *line, size_t len)
{
    if (c->behind)
        return;
    if (c->out.len) {
        c->behind = true;
        return;
    }
    c->reader.seq = c->server->sv->logs.seq + 1;
    connection_send(c, line, len);
}

void control_log_line(void *server, const struct log_channel *channel, const char *line, size_t len)
{
    struct control_server *c = server;
    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++) {
        struct connection *n = &c->connections[i];
        if (n->source.fd >= 0 && n->mode == CONNECTION_LOGS &&
            (strcmp(n->service, "*") == 0 || strcmp(n->service, channel->name) == 0))
            follow(n, line, len);
    }
}

void control_reload_done(struct control_server *c, const struct buf *json)
{
    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++) {
        struct connection *n = &c->connections[i];
        if (n->source.fd >= 0 && n->mode == CONNECTION_RELOAD)
            connection_answer(n, json);
    }
}
