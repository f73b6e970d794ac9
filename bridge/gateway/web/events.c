#include "bridge/gateway/web/events.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/parse.h"

struct events_stream {
    struct events_stream *prev, *next;
    struct events *events;
    struct server_request *request;
    uint64_t login;
};

void events_init(struct events *ev, uint64_t first_id)
{
    *ev = (struct events){ .first = first_id, .next = first_id };
}

static struct event *slot(struct events *ev, uint64_t id)
{
    return &ev->ring[id % EVENTS_RING_MAX];
}

static void forget(struct events *ev, struct event *e)
{
    ev->bytes -= e->len;
    free(e->frame);
    *e = (struct event){ 0 };
}

void events_release(struct events *ev)
{
    for (uint64_t id = ev->first; id < ev->next; id++)
        forget(ev, slot(ev, id));
    ev->first = ev->next;
}

/* ---------------------------------------------------------------- streams */

static void stream_unlink(struct events_stream *s)
{
    if (s->prev)
        s->prev->next = s->next;
    else
        s->events->streams = s->next;
    if (s->next)
        s->next->prev = s->prev;
    s->events->stream_count--;
    free(s);
}

static void stream_gone(void *data)
{
    stream_unlink(data);
}

static void stream_end(struct events_stream *s)
{
    struct server_request *r = s->request;
    server_request_on_gone(r, NULL, NULL);
    stream_unlink(s);
    server_stream_end(r);
}

static void send_all(struct events *ev, const char *frame, size_t len)
{
    for (struct events_stream *s = ev->streams, *next; s; s = next) {
        next = s->next;
        if (server_stream_write(s->request, frame, len) < 0)
            stream_end(s); /* it does not read; it may resume when it does */
    }
}

void events_end_all(struct events *ev)
{
    while (ev->streams)
        stream_end(ev->streams);
}

void events_end_login(struct events *ev, uint64_t login)
{
    for (struct events_stream *s = ev->streams, *next; s; s = next) {
        next = s->next;
        if (s->login == login)
            stream_end(s);
    }
}

bool events_full(const struct events *ev)
{
    return ev->stream_count >= EVENTS_STREAMS_MAX;
}

/* ---------------------------------------------------------------- ring */

static void make_room(struct events *ev, size_t len)
{
    while (ev->first < ev->next &&
           (ev->next - ev->first >= EVENTS_RING_MAX || ev->bytes + len > EVENTS_BYTES_MAX))
        forget(ev, slot(ev, ev->first++));
}

uint64_t events_emit(struct events *ev, const char *type, const char *json, size_t len)
{
    _cleanup_buf_ struct buf frame = BUF_INIT;
    uint64_t id = ev->next;
    buf_printf(&frame, "id: %" PRIu64 "\nevent: %s\ndata: ", id, type);
    buf_append(&frame, json, len);
    buf_puts(&frame, "\n\n");
    if (frame.failed)
        return 0;
    make_room(ev, frame.len);
    ev->next++;
    send_all(ev, frame.data, frame.len);
    struct event *e = slot(ev, id);
    e->len = frame.len;
    e->frame = buf_take(&frame);
    ev->bytes += e->len;
    return id;
}

void events_supersede(struct events *ev, uint64_t id)
{
    if (id >= ev->first && id < ev->next)
        forget(ev, slot(ev, id));
}

void events_tell(struct events *ev, const char *type, const char *json)
{
    _cleanup_buf_ struct buf frame = BUF_INIT;
    buf_printf(&frame, "event: %s\ndata: %s\n\n", type, json);
    if (!frame.failed)
        send_all(ev, frame.data, frame.len);
}

enum events_resume events_resume_from(const struct events *ev, const char *last_id,
                                      uint64_t *ret_from)
{
    uint64_t seen;
    *ret_from = ev->next;
    if (!last_id || !*last_id)
        return EVENTS_FRESH;
    if (parse_u64(last_id, 0, UINT64_MAX - 1, &seen) < 0 || seen + 1 < ev->first ||
        seen + 1 > ev->next)
        return EVENTS_RESET;
    *ret_from = seen + 1;
    return EVENTS_RESUMED;
}

/* The id tells where a fresh reader stands; one that resumes learns it with what it missed. */
static int send_start(struct events *ev, struct server_request *r, const char *last_id)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    uint64_t from;
    enum events_resume how = events_resume_from(ev, last_id, &from);
    if (how == EVENTS_RESUMED)
        buf_puts(&out, "retry: 1000\nevent: ready\ndata: {\"resumed\":true}\n\n");
    else
        buf_printf(&out, "retry: 1000\nid: %" PRIu64 "\nevent: %s\ndata: {\"resumed\":false}\n\n",
                   ev->next - 1, how == EVENTS_RESET ? "reset" : "ready");
    for (uint64_t id = from; id < ev->next; id++)
        if (slot(ev, id)->frame)
            buf_append(&out, slot(ev, id)->frame, slot(ev, id)->len);
    /* The ring is larger than what one reader may have waiting: it comes in pieces, the first
     * ones at least; a reader that is cut off resumes from there. */
    size_t piece = SERVER_STREAM_QUEUE_MAX / 2;
    for (size_t at = 0; at < out.len; at += piece) {
        size_t n = out.len - at < piece ? out.len - at : piece;
        int e = server_stream_write(r, out.data + at, n);
        if (e < 0)
            return e;
    }
    return 0;
}

int events_stream(struct events *ev, struct server_request *r, const char *const *headers,
                  const char *last_id, uint64_t login)
{
    struct events_stream *s = calloc(1, sizeof *s);
    if (!s) {
        server_reply(r, 500, "application/json", headers, "{}", 2);
        return -ENOMEM;
    }
    int e = server_stream_start(r, 200, "text/event-stream; charset=utf-8", headers);
    if (e < 0) {
        free(s);
        return e;
    }
    *s = (struct events_stream){ .events = ev, .request = r, .login = login, .next = ev->streams };
    if (ev->streams)
        ev->streams->prev = s;
    ev->streams = s;
    ev->stream_count++;
    server_request_on_gone(r, stream_gone, s);
    if (send_start(ev, r, last_id) < 0)
        stream_end(s);
    return 0;
}
