#include "base/ws/accept.h"

#include <errno.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/ws/internal.h"

/* libwebsockets gets to see a request of our making, with nothing of the peer's but the key: what
 * the peer wrote was judged before. */
static int write_request(struct buf *out, const struct ws_accept_options *o)
{
    (void)buf_printf(out,
                     "GET / HTTP/1.1\r\n"
                     "Host: codev\r\n"
                     "Upgrade: websocket\r\n"
                     "Connection: Upgrade\r\n"
                     "Sec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: %s\r\n"
                     "\r\n",
                     o->key);
    (void)buf_append(out, o->rest, o->rest_len);
    return out->failed ? -ENOMEM : 0;
}

int ws_accept(struct ws_client *c, const struct ws_accept_options *options, struct ws **ret)
{
    const struct ws_options o = {
        .max_message = options->max_message,
        .ping_ms = options->ping_ms,
        .ops = options->ops,
        .data = options->data,
    };
    _cleanup_buf_ struct buf request = BUF_INIT;
    struct ws *ws = c->freed ? NULL : ws_new(c, &o);
    int r = ws ? write_request(&request, options) : -ENOMEM;
    if (r < 0) {
        (void)close(options->fd);
        if (ws)
            ws_abandon(ws);
        return r;
    }
    ws->state = WS_CONNECTING;
    ws->o.ops.on_close = NULL; /* a failure is told by our result */
    ws_watch(ws, 10000);
    c->adopting = ws;
    (void)lws_adopt_socket_vhost_readbuf(c->vhost, options->fd, request.data, request.len);
    c->adopting = NULL;
    if (ws->state == WS_DEAD)
        return -ECONNABORTED;
    if (!ws->wsi) {
        ws_abandon(ws);
        return -ECONNABORTED;
    }
    ws->o.ops.on_close = options->ops.on_close;
    *ret = ws;
    return 0;
}
