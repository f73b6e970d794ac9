/* WebSocket upgrades: judged here like any request, asked of the owner, then handed to base/ws with
 * the connection's descriptor. */
#include "base/server/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/core/cleanup.h"
#include "base/server/internal.h"
#include "base/ws/accept.h"

#define KEY_LENGTH 24

bool server_wants_websocket(const struct server_request *r)
{
    const char *upgrade = server_head_field(&r->head, "upgrade");
    return r->head.method == SERVER_GET && r->head.http11 &&
           server_list_has(server_head_field(&r->head, "connection"), "upgrade") &&
           server_list_has(upgrade, "websocket");
}

static bool key_is_valid(const char *key)
{
    static const char base64[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    return key && strlen(key) == KEY_LENGTH && key[strspn(key, base64)] == '\0';
}

static void ws_release(struct server_ws *ws)
{
    struct server *s = ws->server;
    if (ws->prev)
        ws->prev->next = ws->next;
    else
        s->sockets = ws->next;
    if (ws->next)
        ws->next->prev = ws->prev;
    s->socket_count--;
    server_request_free(ws->request);
    buf_release(&ws->early);
    free(ws);
}

static void on_message(void *data, struct ws *socket, const char *msg, size_t len)
{
    struct server_ws *ws = data;
    (void)socket;
    if (ws->server->o.ws.on_message)
        ws->server->o.ws.on_message(ws->server->o.data, ws, msg, len, false);
}

static void on_binary(void *data, struct ws *socket, const char *msg, size_t len)
{
    struct server_ws *ws = data;
    (void)socket;
    if (ws->server->o.ws.on_message)
        ws->server->o.ws.on_message(ws->server->o.data, ws, msg, len, true);
}

static void on_close(void *data, struct ws *socket, int code, const char *reason)
{
    struct server_ws *ws = data;
    (void)socket;
    (void)code;
    (void)reason;
    ws->ws = NULL;
    if (ws->server->o.ws.on_close)
        ws->server->o.ws.on_close(ws->server->o.data, ws);
    ws_release(ws);
}

/* What on_open sent before there was a connection: each message behind its length. */
static void flush_early(struct server_ws *ws)
{
    size_t len;
    for (size_t at = 0; at < ws->early.len; at += sizeof len + len) {
        memcpy(&len, ws->early.data + at, sizeof len);
        (void)ws_send(ws->ws, ws->early.data + at + sizeof len, len);
    }
    buf_release(&ws->early);
    if (ws->close_early)
        ws_close_because(ws->ws, ws->close_early, NULL);
}

static void on_open(void *data, struct ws *socket)
{
    struct server_ws *ws = data;
    ws->ws = socket;
    flush_early(ws);
}

static struct server_ws *ws_begin(struct server_conn *c)
{
    struct server *s = c->server;
    struct server_ws *ws = calloc(1, sizeof *ws);
    if (!ws)
        return NULL;
    ws->server = s;
    ws->request = c->request;
    ws->early = BUF_INIT_MAX(WS_QUEUE_MAX);
    ws->next = s->sockets;
    if (ws->next)
        ws->next->prev = ws;
    s->sockets = ws;
    s->socket_count++;
    return ws;
}

/* Gives the descriptor and what was read past the head to base/ws; the HTTP connection ends. */
static int hand_over(struct server_conn *c, struct server_ws *ws)
{
    struct server *s = c->server;
    uv_os_fd_t fd;
    if (conn_unsent(c) || uv_fileno((const uv_handle_t *)&c->tcp, &fd) < 0)
        return -EBUSY;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return -errno;
    _cleanup_buf_ struct buf rest = c->in;
    c->in = BUF_INIT;
    c->request = NULL;
    c->state = CONN_IDLE;
    conn_close(c);
    const struct ws_accept_options o = {
        .fd = copy,
        .key = server_head_field(&ws->request->head, "sec-websocket-key"),
        .rest = rest.data,
        .rest_len = rest.len,
        .max_message = s->o.max_message,
        .ping_ms = s->o.ws_ping_ms,
        .ops = { .on_open = on_open,
                 .on_message = on_message,
                 .on_binary = on_binary,
                 .on_close = on_close },
        .data = ws,
    };
    if (ws_accept(s->ws, &o, &ws->ws) < 0)
        on_close(ws, NULL, 0, NULL); /* accepted by the owner, so it is told */
    return 0;
}

void server_upgrade(struct server_conn *c)
{
    static const char *const version[] = { "Sec-WebSocket-Version: 13", NULL };
    struct server_request *r = c->request;
    struct server *s = c->server;
    const char *asked = server_head_field(&r->head, "sec-websocket-version");
    if (!asked || strcmp(asked, "13") != 0 ||
        !key_is_valid(server_head_field(&r->head, "sec-websocket-key"))) {
        server_reply_error(r, 426, version, "WebSocket version 13 is spoken here");
        return;
    }
    struct server_ws *ws = ws_begin(c);
    int status = ws ? s->o.ws.on_open(s->o.data, ws) : 503;
    if (c->state == CONN_CLOSING || s->freed) /* the owner has ended the server */
        return;
    if (status == 0 && hand_over(c, ws) == 0)
        return;
    if (ws) {
        ws->request = NULL;
        if (status == 0 && s->o.ws.on_close)
            s->o.ws.on_close(s->o.data, ws);
        ws_release(ws);
    }
    server_reply_error(r, status ? status : 503, NULL, "the WebSocket is refused");
}

void server_ws_drop_all(struct server *s)
{
    while (s->sockets) {
        struct server_ws *ws = s->sockets;
        if (ws->ws)
            ws_abandon(ws->ws);
        on_close(ws, NULL, 0, NULL);
    }
}

const char *server_ws_path(struct server_ws *ws)
{
    return server_request_path(ws->request);
}

const char *server_ws_header(struct server_ws *ws, const char *name)
{
    return server_request_header(ws->request, name);
}

const char *server_ws_query(struct server_ws *ws, const char *name)
{
    return server_request_query(ws->request, name);
}

const char *server_ws_peer(struct server_ws *ws)
{
    return server_request_peer(ws->request);
}

void server_ws_set_data(struct server_ws *ws, void *data)
{
    ws->user = data;
}

void *server_ws_data(struct server_ws *ws)
{
    return ws->user;
}

int server_ws_send(struct server_ws *ws, const char *text, size_t len)
{
    if (ws->ws)
        return ws_send(ws->ws, text, len);
    int r = buf_append(&ws->early, &len, sizeof len);
    if (r == 0)
        r = buf_append(&ws->early, text, len);
    return r == -EFBIG ? -ENOBUFS : r;
}

void server_ws_close(struct server_ws *ws, uint16_t code, const char *reason)
{
    if (ws->ws)
        ws_close_because(ws->ws, code, reason);
    else
        ws->close_early = code;
}
