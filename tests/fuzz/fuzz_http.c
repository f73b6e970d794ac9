/* rooms: base/server base/core */
/* The room's file itself: a connection without a socket. */
#include "base/server/read.c"

#include "base/core/utf8.h"
#include "tests/fuzz/fuzz.h"

#define BODY_MAX 512

static struct buf *seen; /* what came out, as text */

static void end_request(struct server_conn *c, bool keep)
{
    server_request_free(c->request);
    c->request = NULL;
    c->state = keep ? CONN_IDLE : CONN_LINGER;
}

void conn_refuse(struct server_conn *c, int status, const char *why)
{
    REQUIRE(status >= 400 && status < 600 && *why);
    buf_printf(seen, "refused %d\n", status);
    end_request(c, false);
}

int conn_write(struct server_conn *c, char *data, size_t len)
{
    (void)c;
    (void)len;
    free(data);
    return 0;
}

void conn_close(struct server_conn *c)
{
    c->state = CONN_CLOSING;
}

void conn_arm(struct server_conn *c, uint64_t ms)
{
    (void)c;
    (void)ms;
}

size_t conn_unsent(const struct server_conn *c)
{
    (void)c;
    return 0;
}

bool server_wants_websocket(const struct server_request *r)
{
    (void)r;
    return false;
}

void server_upgrade(struct server_conn *c)
{
    (void)c;
}

static void check_path(const struct server_head *h)
{
    const char *p = h->path;
    REQUIRE(utf8_valid(p, strlen(p)));
    if (strcmp(p, "*") == 0) {
        REQUIRE(h->method == SERVER_OPTIONS);
        return;
    }
    REQUIRE(*p == '/' && !strstr(p, "//") && !strstr(p, "/./") && !strstr(p, "/../"));
    size_t n = strlen(p);
    REQUIRE(n < 2 || strcmp(p + n - 2, "/.") != 0);
    REQUIRE(n < 3 || strcmp(p + n - 3, "/..") != 0);
}

static void check_head(const struct server_head *h)
{
    REQUIRE(h->method < SERVER_METHOD_OTHER && h->field_count <= SERVER_FIELDS_MAX);
    REQUIRE(!h->chunked || h->content_length == -1);
    REQUIRE(!h->http11 || server_head_field(h, "host"));
    REQUIRE(!h->chunked || h->http11);
    check_path(h);
    for (size_t i = 0; i < h->field_count; i++) {
        const char *name = h->fields[i].name, *value = h->fields[i].value;
        REQUIRE(*name && !strpbrk(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ \t\r\n:"));
        REQUIRE(!strpbrk(value, "\r\n") && *value != ' ' && *value != '\t');
    }
}

static void on_request(void *data, struct server_request *r)
{
    struct server_conn *c = r->conn;
    (void)data;
    check_head(&r->head);
    REQUIRE(r->body.len <= BODY_MAX);
    if (!r->head.chunked)
        REQUIRE((int64_t)r->body.len == (r->head.content_length < 0 ? 0 : r->head.content_length));
    buf_printf(seen, "%d %s %s", (int)r->head.method, r->head.path,
               r->head.query ? r->head.query : "-");
    for (size_t i = 0; i < r->head.field_count; i++)
        buf_printf(seen, "\n%s: %s", r->head.fields[i].name, r->head.fields[i].value);
    buf_printf(seen, "\n%zu ", r->body.len);
    buf_append(seen, buf_str(&r->body), r->body.len);
    buf_putc(seen, '\n');
    (void)server_request_query(r, "q");
    end_request(c, c->keep_alive);
}

/* Feeds it in pieces of `step` bytes, 0: of all sizes. */
static void run(const char *text, size_t len, size_t step, struct buf *out)
{
    static struct server server;
    server.o.max_body = BODY_MAX;
    server.o.on_request = on_request;
    struct server_conn c = { .server = &server, .in = BUF_INIT_MAX(SERVER_IN_MAX) };
    seen = out;
    for (size_t at = 0, n, i = 0; at < len && c.state < CONN_LINGER; at += n, i++) {
        n = step ? step : i % 7 + 1;
        n = n < len - at ? n : len - at;
        REQUIRE(buf_append(&c.in, text + at, n) == 0);
        conn_process(&c);
        REQUIRE(!c.processing && c.scanned <= c.in.len);
    }
    buf_printf(out, "end %d", (int)c.state);
    server_request_free(c.request);
    buf_release(&c.in);
}

/* Wherever the stream is cut, the requests are the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > SERVER_HEAD_MAX + 4096)
        return 0;
    _cleanup_buf_ struct buf whole = BUF_INIT;
    run((const char *)data, size, size, &whole);
    for (size_t step = 0; step < 2; step++) {
        _cleanup_buf_ struct buf cut = BUF_INIT;
        run((const char *)data, size, step, &cut);
        if (getenv("FUZZ_VERBOSE"))
            (void)fprintf(stderr, "whole: %s\nin pieces: %s\n", buf_str(&whole), buf_str(&cut));
        REQUIRE(cut.len == whole.len && memcmp(cut.data, whole.data, cut.len) == 0);
    }
    return 0;
}
