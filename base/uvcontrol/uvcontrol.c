#include "base/uvcontrol/uvcontrol.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/buf.h"
#include "base/core/control.h"

#define TIMEOUT_DEFAULT_MS 5000
#define MAX_LINE_DEFAULT   ((size_t)1 << 20)

struct uvcontrol {
    uv_pipe_t pipe;
    uv_timer_t timer;
    uv_connect_t connect;
    uv_write_t write;
    uvcontrol_line_fn *on_line;
    uvcontrol_end_fn *on_end;
    void *data;
    struct buf request;
    struct buf line;
    bool stream;
    bool got_line;
    bool ended;
    int refs;  /* open handles */
    int error; /* of the start, told in the loop */
    char message[256];
    char chunk[4096];
};

static void on_closed(uv_handle_t *h)
{
    struct uvcontrol *c = h->data;
    if (--c->refs)
        return;
    buf_release(&c->request);
    buf_release(&c->line);
    free(c);
}

static void finish(struct uvcontrol *c)
{
    c->ended = true;
    uv_close((uv_handle_t *)&c->pipe, on_closed);
    uv_close((uv_handle_t *)&c->timer, on_closed);
}

static void end(struct uvcontrol *c, int error, const char *message)
{
    if (c->ended)
        return;
    finish(c); /* first: the callback may cancel what it is told of */
    if (c->on_end)
        c->on_end(c->data, error, message);
}

static void fail(struct uvcontrol *c, int error, const char *what)
{
    char text[160];
    (void)snprintf(text, sizeof text, "%s: %s", what, uv_strerror(error));
    end(c, error, text);
}

static void on_timer(uv_timer_t *timer)
{
    struct uvcontrol *c = timer->data;
    if (c->error)
        end(c, c->error, c->message);
    else
        end(c, -ETIMEDOUT, "PID 1 does not answer");
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret)
{
    struct uvcontrol *c = h->data;
    (void)suggested;
    *ret = uv_buf_init(c->chunk, sizeof c->chunk);
}

static void on_eof(struct uvcontrol *c)
{
    if (c->line.len)
        end(c, -EPROTO, "PID 1 broke off in the middle of a line");
    else if (!c->got_line)
        end(c, -EPROTO, "PID 1 closed the connection without an answer");
    else
        end(c, 0, "");
}

static void take_bytes(struct uvcontrol *c, const char *p, size_t n)
{
    while (n && !c->ended) {
        const char *newline = memchr(p, '\n', n);
        size_t part = newline ? (size_t)(newline - p) : n;
        int r = buf_append(&c->line, p, part);
        if (r < 0) {
            fail(c, r, "PID 1's answer is too long");
            return;
        }
        p += part + (newline != NULL);
        n -= part + (newline != NULL);
        if (!newline)
            return;
        c->got_line = true;
        if (c->on_line)
            c->on_line(c->data, buf_str(&c->line), c->line.len);
        buf_reset(&c->line);
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct uvcontrol *c = stream->data;
    if (n > 0)
        take_bytes(c, b->base, (size_t)n);
    else if (n == UV_EOF)
        on_eof(c);
    else if (n < 0)
        fail(c, (int)n, "cannot read PID 1's answer");
}

static void on_written(uv_write_t *write, int status)
{
    struct uvcontrol *c = write->data;
    if (c->ended)
        return;
    if (status < 0)
        fail(c, status, "cannot send to PID 1");
    else if (c->stream)
        (void)uv_timer_stop(&c->timer);
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct uvcontrol *c = connect->data;
    if (c->ended)
        return;
    uv_buf_t b = uv_buf_init(c->request.data, (unsigned)c->request.len);
    if (status == 0)
        status = uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read);
    if (status == 0)
        status = uv_write(&c->write, (uv_stream_t *)&c->pipe, &b, 1, on_written);
    if (status < 0)
        fail(c, status, "cannot connect to PID 1's control socket");
}

static void begin(struct uvcontrol *c)
{
    char dir[100], path[128];
    struct error e = ERROR_INIT;
    c->error = control_runtime_dir(dir, sizeof dir, &e);
    if (c->error < 0) {
        (void)snprintf(c->message, sizeof c->message, "%.255s", e.message);
        (void)uv_timer_start(&c->timer, on_timer, 0, 0);
        return;
    }
    (void)snprintf(path, sizeof path, "%s/control.sock", dir);
    uv_pipe_connect(&c->connect, &c->pipe, path, on_connected);
}

int uvcontrol_start(struct uvcontrol **ret, const struct uvcontrol_options *options)
{
    const struct uvcontrol_options *o = options;
    struct uvcontrol *c = calloc(1, sizeof *c);
    if (!c)
        return -ENOMEM;
    control_encode(&c->request, o->words);
    if (c->request.failed) {
        buf_release(&c->request);
        free(c);
        return -ENOMEM;
    }
    c->line = BUF_INIT_MAX(o->max_line ? o->max_line : MAX_LINE_DEFAULT);
    c->on_line = o->on_line;
    c->on_end = o->on_end;
    c->data = o->data;
    c->stream = o->stream;
    (void)uv_pipe_init(o->loop, &c->pipe, 0);
    (void)uv_timer_init(o->loop, &c->timer);
    c->refs = 2;
    c->pipe.data = c->timer.data = c->connect.data = c->write.data = c;
    (void)uv_timer_start(&c->timer, on_timer, o->timeout_ms ? o->timeout_ms : TIMEOUT_DEFAULT_MS,
                         0);
    begin(c);
    if (ret)
        *ret = c;
    return 0;
}

void uvcontrol_cancel(struct uvcontrol *c)
{
    if (c && !c->ended)
        finish(c);
}
