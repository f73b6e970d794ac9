/* The pod's logs, from PID 1: the last lines, and with ?follow=1 those that come (Server-Sent
 * Events). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/parse.h"
#include "base/uvcontrol/uvcontrol.h"
#include "bridge/gateway/web/internal.h"

#define LINES_DEFAULT "200"
#define LINES_MAX     2000
#define BYTES_MAX     ((size_t)4 << 20) /* of one answer */
#define STREAMS_MAX   8
#define SERVICE_MAX   64

struct log_stream {
    struct log_stream *prev, *next;
    struct call call;
    struct uvcontrol *control;
    uint64_t login;
    bool follow;
    struct buf lines; /* of a whole answer: objects with commas between */
    int status;       /* of a refusal, 0 none */
    char code[64], message[256];
};

static void unlink_stream(struct log_stream *s)
{
    struct web *w = s->call.web;
    if (s->prev)
        s->prev->next = s->next;
    else
        w->log_streams = s->next;
    if (s->next)
        s->next->prev = s->prev;
    w->log_stream_count--;
    buf_release(&s->lines);
    free(s);
}

/* ---------------------------------------------------------------- ends */

static void answer_lines(struct log_stream *s)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    if (s->status) {
        answer_error(&s->call, s->status, s->code, s->message);
        return;
    }
    buf_puts(&out, "{\"lines\":[");
    buf_append(&out, buf_str(&s->lines), s->lines.len);
    buf_puts(&out, "]}");
    out.failed = out.failed || s->lines.failed;
    answer_json(&s->call, 200, &out);
}

static void tell_problem(struct log_stream *s)
{
    _cleanup_buf_ struct buf frame = BUF_INIT, json = BUF_INIT;
    answer_put_error(&json, s->code, s->message);
    buf_printf(&frame, "event: problem\ndata: %s\n\n", buf_str(&json));
    if (!frame.failed)
        (void)server_stream_write(s->call.request, frame.data, frame.len);
}

/* Answers or ends the stream; PID 1 is not heard of any more. */
static void finish(struct log_stream *s)
{
    server_request_on_gone(s->call.request, NULL, NULL);
    if (s->follow) {
        if (s->status)
            tell_problem(s);
        server_stream_end(s->call.request);
    } else {
        answer_lines(s);
    }
    unlink_stream(s);
}

static void refuse(struct log_stream *s, int status, const char *code, const char *message)
{
    s->status = status;
    (void)snprintf(s->code, sizeof s->code, "%s", code);
    (void)snprintf(s->message, sizeof s->message, "%.*s", (int)sizeof s->message - 1, message);
}

static void on_end(void *data, int error, const char *message)
{
    struct log_stream *s = data;
    bool nothing = error == -EPROTO && !s->follow && s->lines.len == 0; /* it never said a word */
    if (error < 0 && !s->status && !nothing)
        refuse(s, 503, "no_supervisor", *message ? message : "PID 1 does not tell its logs");
    finish(s);
}

static void on_gone(void *data)
{
    struct log_stream *s = data;
    uvcontrol_cancel(s->control);
    unlink_stream(s);
}

static void end_now(struct log_stream *s)
{
    uvcontrol_cancel(s->control);
    if (!s->follow)
        refuse(s, 503, "stopping", "the gateway is stopping");
    finish(s);
}

void logs_end_all(struct web *w)
{
    while (w->log_streams)
        end_now(w->log_streams);
}

void logs_end_login(struct web *w, uint64_t login)
{
    for (struct log_stream *s = w->log_streams, *next; s; s = next) {
        next = s->next;
        if (s->login == login && s->follow)
            end_now(s);
    }
}

/* ---------------------------------------------------------------- lines */

/* PID 1's own refusals; everything else that it says is a log line. */
static bool take_refusal(struct log_stream *s, const char *line, size_t len)
{
    _cleanup_json_ cJSON *json = NULL;
    if (strncmp(line, "{\"error\":", 9) != 0 || json_parse(&json, line, len, NULL) < 0)
        return false;
    const char *code = json_str_at(json, "error.code", "refused");
    refuse(s, strcmp(code, "unknown_service") == 0 ? 404 : 503, code,
           json_str_at(json, "error.message", "PID 1 refuses it"));
    return true;
}

static void on_line(void *data, const char *line, size_t len)
{
    struct log_stream *s = data;
    if (s->status || take_refusal(s, line, len))
        return;
    if (!s->follow) {
        if (s->lines.len + len > BYTES_MAX)
            return;
        buf_puts(&s->lines, s->lines.len ? "," : "");
        buf_append(&s->lines, line, len);
        return;
    }
    _cleanup_buf_ struct buf frame = BUF_INIT;
    buf_puts(&frame, "event: line\ndata: ");
    buf_append(&frame, line, len);
    buf_puts(&frame, "\n\n");
    if (!frame.failed && server_stream_write(s->call.request, frame.data, frame.len) == 0)
        return;
    uvcontrol_cancel(s->control); /* it does not read */
    finish(s);
}

/* ---------------------------------------------------------------- asking */

static bool service_is_sane(const char *name)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t n = strlen(name);
    return strcmp(name, "*") == 0 || (n > 0 && n <= SERVICE_MAX && strspn(name, allowed) == n);
}

static int ask(struct log_stream *s, const char *service, const char *lines)
{
    const char *const words[] = { "logs", service, lines, s->follow ? "follow" : NULL, NULL };
    struct uvcontrol_options o = {
        .loop = core_loop(s->call.web->core),
        .words = words,
        .stream = s->follow,
        .on_line = on_line,
        .on_end = on_end,
        .data = s,
    };
    return uvcontrol_start(&s->control, &o);
}

static struct log_stream *stream_new(struct call *c, bool follow)
{
    struct web *w = c->web;
    struct log_stream *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->call = *c;
    s->login = c->who.login ? c->who.login->number : 0;
    s->call.who.login = NULL; /* it may end before */
    s->follow = follow;
    s->next = w->log_streams;
    if (s->next)
        s->next->prev = s;
    w->log_streams = s;
    w->log_stream_count++;
    return s;
}

static void begin(struct call *c, const char *service, const char *lines, bool follow)
{
    struct log_stream *s = stream_new(c, follow);
    if (!s || ask(s, service, lines) < 0) {
        if (s)
            unlink_stream(s);
        answer_failure(c, -ENOMEM, "");
        return;
    }
    if (follow && answer_stream_begin(c) < 0) {
        uvcontrol_cancel(s->control);
        unlink_stream(s);
        return;
    }
    server_request_on_gone(c->request, on_gone, s);
}

void logs_get(struct call *c)
{
    const char *service = server_request_query(c->request, "service"),
               *lines = server_request_query(c->request, "lines"),
               *follow = server_request_query(c->request, "follow");
    uint64_t n;
    service = service && *service ? service : "*";
    lines = lines && *lines ? lines : LINES_DEFAULT;
    if (!service_is_sane(service))
        answer_error(c, 422, "bad_field", "service: not the name of a service");
    else if (parse_u64(lines, 1, LINES_MAX, &n) < 0)
        answer_error(c, 422, "bad_field", "lines: must be a number from 1 to 2000");
    else if (c->web->stopping)
        answer_error(c, 503, "stopping", "the gateway is stopping");
    else if (c->web->log_stream_count >= STREAMS_MAX)
        answer_error_with(c, 503, "too_many_streams", "too many read the logs", "Retry-After: 30");
    else
        begin(c, service, lines,
              follow && strcmp(follow, "1") == 0 &&
                  server_request_method(c->request) != SERVER_HEAD);
}
