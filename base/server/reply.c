/* Answers: whole, streamed, and refusals. */
#include "base/server/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/core/cleanup.h"
#include "base/core/jsonw.h"
#include "base/server/internal.h"

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    { 200, "OK" },
    { 201, "Created" },
    { 202, "Accepted" },
    { 204, "No Content" },
    { 302, "Found" },
    { 303, "See Other" },
    { 304, "Not Modified" },
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 406, "Not Acceptable" },
    { 408, "Request Timeout" },
    { 409, "Conflict" },
    { 410, "Gone" },
    { 413, "Content Too Large" },
    { 415, "Unsupported Media Type" },
    { 417, "Expectation Failed" },
    { 422, "Unprocessable Content" },
    { 426, "Upgrade Required" },
    { 429, "Too Many Requests" },
    { 431, "Request Header Fields Too Large" },
    { 500, "Internal Server Error" },
    { 501, "Not Implemented" },
    { 502, "Bad Gateway" },
    { 503, "Service Unavailable" },
    { 504, "Gateway Timeout" },
    { 505, "HTTP Version Not Supported" },
};

const char *server_reason(int status)
{
    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

static void put_date(struct buf *out)
{
    char text[40];
    time_t now = time(NULL);
    struct tm tm;
    if (gmtime_r(&now, &tm) && strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm))
        (void)buf_printf(out, "Date: %s\r\n", text);
}

/* A line end in a value would let whoever controls it write headers of his own. */
static void put_field(struct buf *out, const char *name, const char *value)
{
    if (value && !strpbrk(value, "\r\n"))
        (void)buf_printf(out, "%s%s\r\n", name, value);
}

static void put_head(struct buf *out, const struct server_conn *c, int status, const char *type,
                     const char *const *headers)
{
    (void)buf_printf(out, "HTTP/1.1 %d %s\r\n", status, server_reason(status));
    put_date(out);
    put_field(out, "Content-Type: ", type);
    for (size_t i = 0; headers && headers[i]; i++)
        put_field(out, "", headers[i]);
    if (!c->keep_alive)
        (void)buf_puts(out, "Connection: close\r\n");
    else if (!c->http11)
        (void)buf_puts(out, "Connection: keep-alive\r\n");
}

static bool status_has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

static void send_whole(struct server_conn *c, int status, const char *type,
                       const char *const *headers, const void *body, size_t len, bool head_only)
{
    struct buf out = BUF_INIT;
    put_head(&out, c, status, type, headers);
    if (status_has_body(status))
        (void)buf_printf(&out, "Content-Length: %zu\r\n", len);
    (void)buf_puts(&out, "\r\n");
    if (!head_only && status_has_body(status))
        (void)buf_append(&out, body, len);
    size_t total = out.len;
    char *data = buf_take(&out);
    if (!data || conn_write(c, data, total) < 0)
        conn_close(c);
    else
        conn_answered(c);
}

void server_reply(struct server_request *r, int status, const char *content_type,
                  const char *const *headers, const void *body, size_t len)
{
    struct server_conn *c = r->conn;
    if (c) {
        c->request = NULL; /* from here on nobody is told of its end */
        c->state = CONN_IDLE;
        send_whole(c, status, content_type, headers, body, len, r->head.method == SERVER_HEAD);
    }
    server_request_free(r);
}

/* {"error":{"code":…,"message":…}}, as all that the gateway says. */
static void put_error(struct buf *out, int status, const char *message)
{
    static const struct {
        int status;
        const char *code;
    } codes[] = {
        { 400, "bad_request" }, { 401, "unauthorized" }, { 403, "forbidden" },
        { 404, "not_found" },   { 405, "bad_method" },   { 408, "timeout" },
        { 413, "too_big" },     { 426, "bad_version" },  { 431, "too_big" },
        { 503, "busy" },
    };
    const char *code = status < 500 ? "refused" : "failed";
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
        if (codes[i].status == status)
            code = codes[i].code;
    struct jsonw w = JSONW_INIT(out);
    jsonw_object(&w, NULL);
    jsonw_object(&w, "error");
    jsonw_str(&w, "code", code);
    jsonw_str(&w, "message", message);
    jsonw_object_end(&w);
    jsonw_object_end(&w);
    (void)buf_putc(out, '\n');
}

void server_reply_error(struct server_request *r, int status, const char *const *headers,
                        const char *message)
{
    _cleanup_buf_ struct buf body = BUF_INIT;
    put_error(&body, status, message);
    server_reply(r, status, "application/json", headers, buf_str(&body), body.len);
}

void conn_refuse(struct server_conn *c, int status, const char *why)
{
    static const char *const allow[] = { "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
                                         NULL };
    struct server_request *r = c->request;
    _cleanup_buf_ struct buf body = BUF_INIT;
    put_error(&body, status, why);
    c->request = NULL;
    c->keep_alive = false;
    c->state = CONN_IDLE;
    send_whole(c, status, "application/json", status == 405 ? allow : NULL, buf_str(&body),
               body.len, r && r->head.method == SERVER_HEAD);
    server_request_free(r);
}

int server_stream_start(struct server_request *r, int status, const char *content_type,
                        const char *const *headers)
{
    struct server_conn *c = r->conn;
    if (!c)
        return 0; /* gone without anybody to tell: writes go nowhere */
    struct buf out = BUF_INIT;
    r->chunked = r->head.http11;
    if (!r->chunked)
        c->keep_alive = false; /* the end of the connection is the end of the answer */
    put_head(&out, c, status, content_type, headers);
    (void)buf_puts(&out, r->chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
    size_t total = out.len;
    char *data = buf_take(&out);
    int error = data ? conn_write(c, data, total) : -ENOMEM;
    if (error < 0) {
        server_reply_error(r, 500, NULL, "the answer cannot be begun");
        return error;
    }
    c->state = CONN_STREAM;
    return 0;
}

int server_stream_write(struct server_request *r, const void *data, size_t len)
{
    struct server_conn *c = r->conn;
    if (!c)
        return -EPIPE;
    if (len == 0 || r->head.method == SERVER_HEAD)
        return 0; /* an empty chunk would end the stream */
    if (conn_unsent(c) + len > SERVER_STREAM_QUEUE_MAX)
        return -ENOBUFS;
    struct buf out = BUF_INIT;
    if (r->chunked)
        (void)buf_printf(&out, "%zx\r\n", len);
    (void)buf_append(&out, data, len);
    if (r->chunked)
        (void)buf_puts(&out, "\r\n");
    size_t total = out.len;
    char *bytes = buf_take(&out);
    int error = bytes ? conn_write(c, bytes, total) : -ENOMEM;
    conn_watch_stall(c);
    return error;
}

void server_stream_end(struct server_request *r)
{
    static const char last[] = "0\r\n\r\n";
    struct server_conn *c = r->conn;
    if (c) {
        bool with_end = r->chunked && r->head.method != SERVER_HEAD;
        char *bytes = with_end ? strdup(last) : NULL;
        c->request = NULL;
        c->state = CONN_IDLE;
        if (with_end && (!bytes || conn_write(c, bytes, sizeof last - 1) < 0))
            conn_close(c);
        else
            conn_answered(c);
    }
    server_request_free(r);
}
