/* From bytes to whole requests: one step for each state a connection can be in. */
#include "base/server/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"

#define CHUNK_LINE_MAX 18 /* 16 hex digits and the line's end */

static void dispatch(struct server_conn *c)
{
    struct server_request *r = c->request;
    (void)uv_timer_stop(&c->timer);
    c->state = CONN_WAITING;
    if (server_wants_websocket(r) && c->server->o.ws.on_open)
        server_upgrade(c);
    else
        c->server->o.on_request(c->server->o.data, r);
}

static bool body_put(struct server_conn *c, size_t n)
{
    struct server_request *r = c->request;
    int error = buf_append(&r->body, c->in.data, n);
    if (error < 0) {
        conn_refuse(c, error == -EFBIG ? 413 : 503,
                    error == -EFBIG ? "the body is larger than allowed" : "out of memory");
        return false;
    }
    buf_consume(&c->in, n);
    return true;
}

static bool step_sized_body(struct server_conn *c)
{
    struct server_request *r = c->request;
    size_t n = r->body_left < c->in.len ? r->body_left : c->in.len;
    if (n && !body_put(c, n))
        return false;
    r->body_left -= n;
    if (r->body_left)
        return false;
    dispatch(c);
    return true;
}

/* A chunk's size line: hex digits only. Extensions are allowed by the RFC, used by nobody, and a
 * known way to smuggle. >0: the line's length; 0: not whole yet; -EBADMSG. */
static ssize_t chunk_size(const struct buf *in, size_t *ret)
{
    size_t digits = strspn(buf_str(in), "0123456789abcdefABCDEF");
    if (digits == in->len || (digits + 1 == in->len && in->data[digits] == '\r'))
        return in->len > CHUNK_LINE_MAX ? -EBADMSG : 0;
    if (digits == 0 || digits > 15 || strncmp(in->data + digits, "\r\n", 2) != 0)
        return -EBADMSG;
    *ret = strtoull(in->data, NULL, 16);
    return (ssize_t)digits + 2;
}

/* The two bytes after a chunk's data, and the end of an empty trailer. */
static ssize_t line_end(const struct buf *in)
{
    size_t n = in->len < 2 ? in->len : 2;
    if (memcmp("\r\n", buf_str(in), n) != 0)
        return -EBADMSG;
    return n == 2 ? 2 : 0;
}

static bool step_chunked_body(struct server_conn *c)
{
    struct server_request *r = c->request;
    ssize_t used;
    if (!c->in.len)
        return false;
    if (r->chunk == CHUNK_DATA) {
        size_t n = r->body_left < c->in.len ? r->body_left : c->in.len;
        if (!body_put(c, n))
            return false;
        r->body_left -= n;
        if (!r->body_left)
            r->chunk = CHUNK_DATA_END;
        return true;
    }
    used = r->chunk == CHUNK_SIZE ? chunk_size(&c->in, &r->body_left) : line_end(&c->in);
    if (used < 0)
        conn_refuse(c, 400, "the chunked body is malformed");
    if (used <= 0)
        return false;
    buf_consume(&c->in, (size_t)used);
    if (r->chunk == CHUNK_SIZE)
        r->chunk = r->body_left ? CHUNK_DATA : CHUNK_LAST;
    else if (r->chunk == CHUNK_DATA_END)
        r->chunk = CHUNK_SIZE;
    else
        dispatch(c);
    return true;
}

static struct server_request *request_new(struct server_conn *c, size_t head_len)
{
    _cleanup_free_ struct server_request *r = calloc(1, sizeof *r);
    _cleanup_free_ char *text = malloc(head_len + 1);
    if (!r || !text)
        return NULL;
    memcpy(text, c->in.data, head_len);
    text[head_len] = '\0';
    r->text = TAKE_PTR(text);
    r->conn = c;
    r->body = BUF_INIT_MAX(c->server->o.max_body);
    memcpy(r->peer, c->peer, sizeof r->peer);
    return TAKE_PTR(r);
}

static void begin_body(struct server_conn *c)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct server_request *r = c->request;
    c->state = CONN_BODY;
    if (!r->head.expects_continue || c->in.len)
        return;
    char *text = strdup(go_on);
    if (!text || conn_write(c, text, sizeof go_on - 1) < 0)
        conn_close(c);
}

static bool begin_request(struct server_conn *c, size_t head_len)
{
    const char *why = "out of memory";
    struct server_request *r = c->request = request_new(c, head_len);
    int status = r ? server_head_parse(&r->head, r->text, head_len, &why) : 503;
    if (status) {
        conn_refuse(c, status, why);
        return false;
    }
    buf_consume(&c->in, head_len);
    c->keep_alive = r->head.keep_alive;
    c->http11 = r->head.http11;
    if (r->head.content_length > 0 && (uint64_t)r->head.content_length > c->server->o.max_body) {
        conn_refuse(c, 413, "the body is larger than allowed");
        return false;
    }
    r->body_left = r->head.content_length > 0 ? (size_t)r->head.content_length : 0;
    if (r->body_left || r->head.chunked)
        begin_body(c);
    else
        dispatch(c);
    return true;
}

static bool step_head(struct server_conn *c)
{
    if (conn_unsent(c) > SERVER_UNSENT_MAX)
        return false; /* goes on when that is written */
    while (c->state != CONN_HEAD && c->in.len >= 2 && memcmp(c->in.data, "\r\n", 2) == 0)
        buf_consume(&c->in, 2); /* RFC 9112 §2.2 */
    /* A CR alone may be half of such a line end: the cut must not make a difference. */
    if (!c->in.len || (c->state != CONN_HEAD && c->in.len == 1 && c->in.data[0] == '\r'))
        return false;
    if (c->state == CONN_IDLE) /* a fresh connection's time runs from its start */
        conn_arm(c, c->server->o.request_timeout_ms);
    c->state = CONN_HEAD;
    ssize_t n = server_head_find(c->in.data, c->in.len, &c->scanned);
    if (n == -EFBIG)
        conn_refuse(c, 431, "the header fields are larger than allowed");
    else if (n < 0)
        conn_refuse(c, 400, "a line does not end in CR LF");
    if (n <= 0)
        return false;
    return begin_request(c, (size_t)n);
}

static bool step_body(struct server_conn *c)
{
    return c->request->head.chunked ? step_chunked_body(c) : step_sized_body(c);
}

static bool (*const steps[CONN_MAX])(struct server_conn *c) = {
    [CONN_FRESH] = step_head,
    [CONN_IDLE] = step_head,
    [CONN_HEAD] = step_head,
    [CONN_BODY] = step_body,
};

void conn_process(struct server_conn *c)
{
    if (c->processing)
        return;
    c->processing = true;
    while (steps[c->state] && steps[c->state](c))
        ;
    c->processing = false;
}
