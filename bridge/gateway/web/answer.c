/* Answers and the headers that all of them carry. */
#include <stdio.h>
#include <string.h>

#include "base/core/jsonw.h"
#include "bridge/gateway/web/assets.h"
#include "bridge/gateway/web/internal.h"

#define HEADERS_MAX 16

static const char *const security_headers[] = {
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options: nosniff",
    "Referrer-Policy: no-referrer",
    "Cross-Origin-Opener-Policy: same-origin",
    "Cross-Origin-Resource-Policy: same-origin",
};

struct headers {
    const char *lines[HEADERS_MAX];
    size_t count;
    char request_id[REQUEST_ID_MAX + 32];
};

static void headers_add(struct headers *h, const char *line)
{
    if (line && h->count < HEADERS_MAX - 1)
        h->lines[h->count++] = line;
}

static void headers_init(struct headers *h, const struct call *c, const char *cache_control)
{
    *h = (struct headers){ 0 };
    for (size_t i = 0; i < ARRAY_SIZE(security_headers); i++)
        headers_add(h, security_headers[i]);
    headers_add(h, cache_control);
    if (*c->request_id) {
        (void)snprintf(h->request_id, sizeof h->request_id, "X-Request-Id: %s", c->request_id);
        headers_add(h, h->request_id);
    }
}

/* Who changes something is told in the log; looking is not. */
static void say_answered(const struct call *c, int status)
{
    bool changes = server_request_method(c->request) == SERVER_POST;
    bool known = c->match.id < ROUTE_MAX;
    _log_about_ struct log_about about = call_about(c);
    log_enter(&about);
    log_line(changes && known ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "%s %s: %d",
             changes ? "POST" : "GET", known ? route_table[c->match.id].pattern : "nowhere",
             status);
}

void answer_json_with(struct call *c, int status, const struct buf *json, const char *extra)
{
    struct headers h;
    headers_init(&h, c, "Cache-Control: no-store");
    headers_add(&h, extra);
    say_answered(c, json->failed ? 500 : status);
    if (json->failed) {
        static const char sorry[] =
            "{\"error\":{\"code\":\"no_memory\",\"message\":\"out of memory\"}}";
        server_reply(c->request, 500, "application/json", h.lines, sorry, sizeof sorry - 1);
        return;
    }
    server_reply(c->request, status, "application/json", h.lines, buf_str(json), json->len);
}

void answer_json(struct call *c, int status, const struct buf *json)
{
    answer_json_with(c, status, json, NULL);
}

void answer_put_error(struct buf *out, const char *code, const char *message)
{
    struct jsonw w = JSONW_INIT(out);
    jsonw_object(&w, NULL);
    jsonw_object(&w, "error");
    jsonw_str(&w, "code", code);
    jsonw_str(&w, "message", message);
    jsonw_object_end(&w);
    jsonw_object_end(&w);
}

void answer_error_with(struct call *c, int status, const char *code, const char *message,
                       const char *extra)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    answer_put_error(&out, code, message);
    answer_json_with(c, status, &out, extra);
}

void answer_error(struct call *c, int status, const char *code, const char *message)
{
    answer_error_with(c, status, code, message, NULL);
}

void answer_refused(struct call *c, int status)
{
    char line[96] = "";
    if (status == 401)
        (void)snprintf(line, sizeof line, "WWW-Authenticate: Bearer realm=\"codev\"");
    if (status == 429)
        (void)snprintf(line, sizeof line, "Retry-After: %u", c->who.retry_after_s);
    answer_error_with(c, status, c->who.code, c->who.message, *line ? line : NULL);
}

void answer_text(struct call *c, const char *type, const struct buf *text)
{
    struct headers h;
    headers_init(&h, c, "Cache-Control: no-store");
    server_reply(c->request, 200, type, h.lines, buf_str(text), text->len);
}

/* If-None-Match is a list of tags, perhaps weak ones, or "*". */
static bool tag_listed(const char *list, const char *tag)
{
    return list && (strcmp(list, "*") == 0 || strstr(list, tag));
}

void answer_asset(struct call *c, const struct asset *a)
{
    struct headers h;
    char etag[64], tag[40];
    asset_tag(a, tag, sizeof tag);
    (void)snprintf(etag, sizeof etag, "ETag: %s", tag);
    headers_init(&h, c, "Cache-Control: no-cache");
    headers_add(&h, etag);
    if (tag_listed(server_request_header(c->request, "if-none-match"), tag))
        server_reply(c->request, 304, NULL, h.lines, "", 0);
    else
        server_reply(c->request, 200, a->type, h.lines, a->data, asset_len(a));
}

void answer_stream(struct call *c)
{
    struct web *w = c->web;
    struct headers h;
    headers_init(&h, c, "Cache-Control: no-store");
    headers_add(&h, "X-Accel-Buffering: no");
    const char *last = server_request_header(c->request, "last-event-id");
    if (!last)
        last = server_request_query(c->request, "last_event_id");
    if (server_request_method(c->request) == SERVER_HEAD)
        server_reply(c->request, 200, "text/event-stream; charset=utf-8", h.lines, "", 0);
    else
        (void)events_stream(&w->events, c->request, h.lines, last,
                            c->who.login ? c->who.login->number : 0);
    web_beat(w);
}

int answer_stream_begin(struct call *c)
{
    struct headers h;
    headers_init(&h, c, "Cache-Control: no-store");
    headers_add(&h, "X-Accel-Buffering: no");
    return server_stream_start(c->request, 200, "text/event-stream; charset=utf-8", h.lines);
}
