/* One WebSocket connection, whichever side opened it: what libwebsockets calls, the queue of
 * messages to send, joining of fragments, pings and the end. */
#include "base/ws/ws.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/ws/internal.h"

#define MAX_MESSAGE_DEFAULT ((size_t)4 << 20)
#define PING_DEFAULT_MS     10000
#define PINGS_UNANSWERED    3
#define LINGER_MS           1000
#define CODE_ABNORMAL       1006

static void on_timer(uv_timer_t *timer);

void ws_unref(struct ws *ws)
{
    if (--ws->refs)
        return;
    if (ws->addresses)
        uv_freeaddrinfo(ws->addresses);
    buf_release(&ws->in);
    free(ws->host);
    free(ws->path);
    free(ws);
}

static void on_timer_closed(uv_handle_t *h)
{
    ws_unref(h->data);
}

struct ws *ws_new(struct ws_client *c, const struct ws_options *o)
{
    struct ws *ws = calloc(1, sizeof *ws);
    if (!ws)
        return NULL;
    ws->client = c;
    ws->o = *o;
    ws->o.url = NULL;
    if (!ws->o.ping_ms)
        ws->o.ping_ms = PING_DEFAULT_MS;
    ws->in = BUF_INIT_MAX(o->max_message ? o->max_message : MAX_MESSAGE_DEFAULT);
    ws->out_end = &ws->out;
    ws->next = c->sockets;
    if (ws->next)
        ws->next->prev = ws;
    c->sockets = ws;
    (void)uv_timer_init(c->loop, &ws->timer);
    ws->timer.data = ws;
    ws->refs = 1;
    return ws;
}

static void drop_queue(struct ws *ws)
{
    while (ws->out) {
        struct ws_message *m = ws->out;
        ws->out = m->next;
        free(m);
    }
    ws->out_end = &ws->out;
    ws->queued = 0;
}

void ws_end(struct ws *ws, int code, const char *reason)
{
    if (ws->state == WS_DEAD)
        return;
    struct lws *wsi = ws->wsi;
    ws->state = WS_DEAD;
    ws->wsi = NULL;
    if (ws->prev)
        ws->prev->next = ws->next;
    else
        ws->client->sockets = ws->next;
    if (ws->next)
        ws->next->prev = ws->prev;
    if (wsi) {
        lws_set_opaque_user_data(wsi, NULL);
        if (!ws->in_callback) /* else the callback's result closes it */
            lws_set_timeout(wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
    }
    drop_queue(ws);
    if (code && ws->o.ops.on_close)
        ws->o.ops.on_close(ws->o.data, ws, code, reason);
    uv_close((uv_handle_t *)&ws->timer, on_timer_closed);
}

void ws_abandon(struct ws *ws)
{
    ws_end(ws, 0, NULL);
}

void ws_watch(struct ws *ws, uint64_t ms)
{
    (void)uv_timer_start(&ws->timer, on_timer, ms, 0);
}

/* The close frame goes from here, not from the writeable callback: libwebsockets takes a failing
 * result there for a broken socket and sends nothing. */
static void send_close(struct ws *ws)
{
    ws->close_sent = true;
    lws_close_reason(ws->wsi, (enum lws_close_status)ws->close_code,
                     (unsigned char *)ws->close_reason, strlen(ws->close_reason));
    lws_set_timeout(ws->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
}

static void go_on_closing(struct ws *ws)
{
    uint64_t now = uv_now(ws->client->loop);
    if (now >= ws->cut_at) {
        ws_end(ws, ws->close_code, *ws->close_reason ? ws->close_reason : "closed");
        return;
    }
    ws_watch(ws, ws->cut_at - now);
    if (!ws->close_sent && !ws->out)
        send_close(ws);
}

static void on_timer(uv_timer_t *timer)
{
    struct ws *ws = timer->data;
    if (ws->state == WS_RESOLVING || ws->state == WS_CONNECTING) {
        ws_end(ws, CODE_ABNORMAL, "it could not be opened in time");
    } else if (ws->state == WS_CLOSING) {
        go_on_closing(ws);
    } else if (ws->unanswered >= PINGS_UNANSWERED) {
        ws_end(ws, CODE_ABNORMAL, "the peer does not answer pings");
    } else {
        ws->unanswered++;
        ws->ping_due = true;
        lws_callback_on_writable(ws->wsi);
        ws_watch(ws, ws->o.ping_ms);
    }
}

int ws_send(struct ws *ws, const char *text, size_t len)
{
    if (ws->state == WS_CLOSING || ws->state == WS_DEAD)
        return -ENOTCONN;
    if (len > WS_QUEUE_MAX || ws->queued + len > WS_QUEUE_MAX)
        return -ENOBUFS;
    struct ws_message *m = malloc(sizeof *m + LWS_PRE + len);
    if (!m)
        return -ENOMEM;
    m->next = NULL;
    m->len = len;
    memcpy(m->bytes + LWS_PRE, text, len);
    *ws->out_end = m;
    ws->out_end = &m->next;
    ws->queued += len;
    if (ws->state == WS_OPEN)
        lws_callback_on_writable(ws->wsi);
    return 0;
}

static void begin_closing(struct ws *ws, uint16_t code, const char *reason)
{
    ws->state = WS_CLOSING;
    ws->close_code = code;
    (void)snprintf(ws->close_reason, sizeof ws->close_reason, "%s", reason);
    ws->cut_at = uv_now(ws->client->loop) + LINGER_MS;
    ws_watch(ws, LINGER_MS);
}

void ws_close_because(struct ws *ws, uint16_t code, const char *reason)
{
    if (ws->state == WS_CLOSING || ws->state == WS_DEAD)
        return;
    bool open = ws->state == WS_OPEN;
    begin_closing(ws, code, reason ? reason : "");
    if (!open)
        ws->cut_at = 0; /* there is nothing to wait for */
    if (!open || !ws->out)
        ws_watch(ws, 0);
}

void ws_close(struct ws *ws, uint16_t code)
{
    ws_close_because(ws, code, NULL);
}

/* ---- what libwebsockets calls; a negative result makes it close the connection ---- */

static int refuse(struct ws *ws, enum lws_close_status code, const char *why)
{
    begin_closing(ws, (uint16_t)code, why);
    ws->close_sent = true;
    lws_close_reason(ws->wsi, code, (unsigned char *)ws->close_reason, strlen(ws->close_reason));
    return -1;
}

static int opened(struct ws *ws, void *in, size_t len)
{
    (void)in;
    (void)len;
    if (ws->state == WS_CLOSING)
        return -1;
    ws->state = WS_OPEN;
    ws_watch(ws, ws->o.ping_ms);
    if (ws->o.ops.on_open)
        ws->o.ops.on_open(ws->o.data, ws);
    if (ws->wsi && ws->out)
        lws_callback_on_writable(ws->wsi);
    return 0;
}

static int received(struct ws *ws, void *in, size_t len)
{
    if (ws->state != WS_OPEN)
        return 0;
    if (lws_is_first_fragment(ws->wsi))
        ws->in_binary = lws_frame_is_binary(ws->wsi) != 0;
    if (ws->in_binary && !ws->o.ops.on_binary)
        return refuse(ws, LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE, "only text is spoken here");
    int r = buf_append(&ws->in, in, len);
    if (r == -EFBIG)
        return refuse(ws, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, "the message is too large");
    if (r < 0)
        return refuse(ws, LWS_CLOSE_STATUS_UNEXPECTED_CONDITION, "out of memory");
    if (!lws_is_final_fragment(ws->wsi) || lws_remaining_packet_payload(ws->wsi))
        return 0;
    /* The handler may end it, and with it `in`'s owner: the message is held here. */
    _cleanup_buf_ struct buf message = ws->in;
    ws->in = BUF_INIT_MAX(message.max);
    if (ws->in_binary)
        ws->o.ops.on_binary(ws->o.data, ws, buf_str(&message), message.len);
    else if (ws->o.ops.on_message)
        ws->o.ops.on_message(ws->o.data, ws, buf_str(&message), message.len);
    return 0;
}

static int ponged(struct ws *ws, void *in, size_t len)
{
    (void)in;
    (void)len;
    ws->unanswered = 0;
    if (ws->state == WS_OPEN && ws->o.ops.on_ping)
        ws->o.ops.on_ping(ws->o.data, ws);
    return 0;
}

static int send_ping(struct ws *ws)
{
    /* Not empty: libwebsockets 4.1 does not tell of an empty pong that a client has masked. */
    static const char payload[] = "codev";
    unsigned char ping[LWS_PRE + sizeof payload];
    memcpy(ping + LWS_PRE, payload, sizeof payload);
    ws->ping_due = false;
    return lws_write(ws->wsi, ping + LWS_PRE, sizeof payload - 1, LWS_WRITE_PING) < 0 ? -1 : 0;
}

static int send_message(struct ws *ws)
{
    struct ws_message *m = ws->out;
    int n = lws_write(ws->wsi, m->bytes + LWS_PRE, m->len, LWS_WRITE_TEXT);
    ws->out = m->next;
    if (!ws->out)
        ws->out_end = &ws->out;
    ws->queued -= m->len;
    bool sent = n >= 0 && (size_t)n >= m->len; /* it keeps what the socket did not take */
    free(m);
    return sent ? 0 : -1;
}

/* One write for each call, as libwebsockets wants it. */
static int writable(struct ws *ws, void *in, size_t len)
{
    (void)in;
    (void)len;
    int r = 0;
    if (ws->ping_due)
        r = send_ping(ws);
    else if (ws->out)
        r = send_message(ws);
    if (r == 0 && (ws->out || ws->ping_due))
        lws_callback_on_writable(ws->wsi);
    else if (ws->state == WS_CLOSING && !ws->close_sent)
        ws_watch(ws, 0);
    return r;
}

static int peer_closes(struct ws *ws, void *in, size_t len)
{
    const unsigned char *p = in;
    begin_closing(ws, len >= 2 ? (uint16_t)(p[0] << 8 | p[1]) : LWS_CLOSE_STATUS_NO_STATUS, "");
    if (len > 2)
        (void)snprintf(ws->close_reason, sizeof ws->close_reason, "%.*s", (int)(len - 2),
                       (const char *)in + 2);
    ws->close_sent = true; /* libwebsockets answers it */
    return 0;
}

static int closed(struct ws *ws, void *in, size_t len)
{
    (void)in;
    (void)len;
    bool agreed = ws->state == WS_CLOSING;
    ws->wsi = NULL; /* it is on its way out by itself */
    ws_end(ws, agreed ? ws->close_code : CODE_ABNORMAL,
           !agreed             ? "the connection was cut"
           : *ws->close_reason ? ws->close_reason
                               : "closed");
    return 0;
}

static int not_connected(struct ws *ws, void *in, size_t len)
{
    char why[200];
    unsigned status = lws_http_client_http_response(ws->wsi);
    (void)snprintf(why, sizeof why, "%.*s", in ? (int)len : 0, in ? (const char *)in : "");
    if (status)
        (void)snprintf(why, sizeof why, "%.*s (HTTP %u)", in ? (int)len : 0,
                       in ? (const char *)in : "", status);
    ws->wsi = NULL;
    ws_connect_next(ws, *why ? why : "the server does not answer");
    return 0;
}

static const struct {
    enum lws_callback_reasons reason;
    int (*fn)(struct ws *ws, void *in, size_t len);
} events[] = {
    { LWS_CALLBACK_ESTABLISHED, opened },
    { LWS_CALLBACK_CLIENT_ESTABLISHED, opened },
    { LWS_CALLBACK_RECEIVE, received },
    { LWS_CALLBACK_CLIENT_RECEIVE, received },
    { LWS_CALLBACK_RECEIVE_PONG, ponged },
    { LWS_CALLBACK_CLIENT_RECEIVE_PONG, ponged },
    { LWS_CALLBACK_SERVER_WRITEABLE, writable },
    { LWS_CALLBACK_CLIENT_WRITEABLE, writable },
    { LWS_CALLBACK_WS_PEER_INITIATED_CLOSE, peer_closes },
    { LWS_CALLBACK_CLIENT_CONNECTION_ERROR, not_connected },
    { LWS_CALLBACK_CLOSED, closed },
    { LWS_CALLBACK_CLIENT_CLOSED, closed },
    { LWS_CALLBACK_CLOSED_HTTP, closed },
    { LWS_CALLBACK_CLOSED_CLIENT_HTTP, closed },
    { LWS_CALLBACK_WSI_DESTROY, closed },
};

static struct ws *find_socket(struct lws *wsi)
{
    struct ws *ws = lws_get_opaque_user_data(wsi);
    struct ws_client *c = lws_context_user(lws_get_context(wsi));
    if (!ws && c && c->adopting && !c->adopting->wsi) {
        ws = c->adopting;
        ws->wsi = wsi;
        lws_set_opaque_user_data(wsi, ws);
    }
    return ws;
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len)
{
    (void)user;
    for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
        if (events[i].reason != reason)
            continue;
        struct ws *ws = find_socket(wsi);
        if (!ws || ws->state == WS_DEAD)
            return ws || reason == LWS_CALLBACK_RECEIVE || reason == LWS_CALLBACK_CLIENT_RECEIVE
                       ? -1
                       : 0;
        if (!ws->wsi)
            ws->wsi = wsi;
        ws->in_callback = true;
        int r = events[i].fn(ws, in, len);
        ws->in_callback = false;
        return ws->state == WS_DEAD ? -1 : r;
    }
    return 0;
}

const struct lws_protocols ws_protocols[] = {
    { .name = "codev", .callback = callback },
    { 0 },
};
