/* A fake PID 1 for tests: a control socket in a temporary folder whose answers the test gives. */
#pragma once

#include "tests/unit/net_helper.h"

#define FAKE_CLIENTS 64

struct fake_client {
    uv_pipe_t pipe;
    char line[5000];
    size_t len;
    bool answered;
};

struct fake_control {
    uv_loop_t *loop;
    uv_pipe_t listener;
    char folder[64], path[96];
    /* The answer to a request line: text to send, closing after it unless `*ret_stay`. NULL: none,
     * the connection stays open. */
    const char *(*answer)(const char *line, bool *ret_stay);
    struct fake_client *stream; /* the last that was left open after its answer */
    struct fake_client *open[FAKE_CLIENTS];
};

static struct fake_control fake;

static void fake_closed(uv_handle_t *h)
{
    free(h->data);
}

static void fake_close(struct fake_client *c)
{
    for (size_t i = 0; i < FAKE_CLIENTS; i++)
        if (fake.open[i] == c)
            fake.open[i] = NULL;
    if (fake.stream == c)
        fake.stream = NULL;
    if (!uv_is_closing((uv_handle_t *)&c->pipe))
        uv_close((uv_handle_t *)&c->pipe, fake_closed);
}

static void fake_send(struct fake_client *c, const char *text)
{
    size_t len = strlen(text);
    while (len) {
        uv_buf_t b = uv_buf_init((char *)(uintptr_t)text, (unsigned)len);
        int n = uv_try_write((uv_stream_t *)&c->pipe, &b, 1);
        if (n == UV_EAGAIN)
            continue;
        if (n < 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

static void fake_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret)
{
    struct fake_client *c = h->data;
    (void)suggested;
    *ret = uv_buf_init(c->line + c->len, (unsigned)(sizeof c->line - 1 - c->len));
}

static void fake_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct fake_client *c = s->data;
    (void)b;
    if (n < 0) {
        fake_close(c);
        return;
    }
    c->len += (size_t)n;
    c->line[c->len] = '\0';
    char *newline = strchr(c->line, '\n');
    if (!newline || c->answered)
        return;
    *newline = '\0';
    c->answered = true;
    bool stay = false;
    const char *text = fake.answer(c->line, &stay);
    if (text)
        fake_send(c, text);
    if (stay)
        fake.stream = c;
    if (text && !stay)
        fake_close(c);
}

static void fake_connection(uv_stream_t *listener, int status)
{
    ck_assert_int_eq(status, 0);
    struct fake_client *c = calloc(1, sizeof *c);
    ck_assert_ptr_nonnull(c);
    ck_assert_int_eq(uv_pipe_init(fake.loop, &c->pipe, 0), 0);
    c->pipe.data = c;
    ck_assert_int_eq(uv_accept(listener, (uv_stream_t *)&c->pipe), 0);
    for (size_t i = 0; i < FAKE_CLIENTS; i++)
        if (!fake.open[i]) {
            fake.open[i] = c;
            break;
        }
    ck_assert_int_eq(uv_read_start((uv_stream_t *)&c->pipe, fake_alloc, fake_read), 0);
}

static void fake_listen(void)
{
    (void)unlink(fake.path);
    ck_assert_int_eq(uv_pipe_init(fake.loop, &fake.listener, 0), 0);
    ck_assert_int_eq(uv_pipe_bind(&fake.listener, fake.path), 0);
    ck_assert_int_eq(uv_listen((uv_stream_t *)&fake.listener, 64, fake_connection), 0);
}

/* As when PID 1 were gone. */
static void fake_stop(void)
{
    uv_close((uv_handle_t *)&fake.listener, NULL);
    for (size_t i = 0; i < FAKE_CLIENTS; i++)
        if (fake.open[i])
            fake_close(fake.open[i]);
    (void)unlink(fake.path);
}

static void fake_start(uv_loop_t *loop, const char *(*answer)(const char *line, bool *ret_stay))
{
    const char *tmp = getenv("TMPDIR");
    fake.loop = loop;
    fake.answer = answer;
    (void)snprintf(fake.folder, sizeof fake.folder, "%.40s/codev-ctl-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(fake.folder));
    (void)snprintf(fake.path, sizeof fake.path, "%s/control.sock", fake.folder);
    ck_assert_int_eq(setenv("CODEV_RUNTIME_DIR", fake.folder, 1), 0);
    fake_listen();
}

static void fake_remove(void)
{
    (void)unlink(fake.path);
    (void)rmdir(fake.folder);
}
