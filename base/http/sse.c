/* Server-sent events as WHATWG HTML §9.2.6 interprets them: a byte at a time, so that a cut may
 * fall anywhere. */
#include "base/http/http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/buf.h"
#include "base/core/cleanup.h"

#define MAX_EVENT_DEFAULT ((size_t)1 << 20)

struct sse_parser {
    sse_event_fn *fn;
    void *user;
    size_t max;
    struct buf line, data;
    struct buf event, id;
    bool after_cr; /* the next LF belongs to a line that has ended already */
    unsigned bom;  /* how many bytes of a byte order mark were seen; 3: past the start */
    bool drop;     /* too big: skip to the next blank line */
    int error;     /* of the running feed */
};

int sse_parser_new(struct sse_parser **ret, size_t max_event, sse_event_fn *fn, void *data)
{
    struct sse_parser *p = calloc(1, sizeof *p);
    if (!p)
        return -ENOMEM;
    p->max = max_event ? max_event : MAX_EVENT_DEFAULT;
    p->line = p->data = p->event = p->id = BUF_INIT_MAX(p->max);
    p->fn = fn;
    p->user = data;
    *ret = p;
    return 0;
}

void sse_parser_free(struct sse_parser *p)
{
    if (!p)
        return;
    buf_release(&p->line);
    buf_release(&p->data);
    buf_release(&p->event);
    buf_release(&p->id);
    free(p);
}

static void fail(struct sse_parser *p, int error)
{
    if (error == 0)
        return;
    p->drop = true;
    p->error = error;
}

static void set(struct sse_parser *p, struct buf *b, const char *value, size_t len)
{
    buf_reset(b);
    fail(p, buf_append(b, value, len));
}

static void dispatch(struct sse_parser *p)
{
    if (!p->drop && p->data.len) {
        p->data.data[--p->data.len] = '\0'; /* the last newline is none of the data's */
        const struct sse_event e = {
            .event = buf_str(&p->event),
            .data = buf_str(&p->data),
            .data_len = p->data.len,
            .id = buf_str(&p->id),
        };
        p->fn(p->user, &e);
    }
    p->drop = false;
    buf_reset(&p->data);
    buf_reset(&p->event);
}

static void field(struct sse_parser *p, const char *name, size_t name_len, const char *value,
                  size_t len)
{
    if (name_len == 4 && memcmp(name, "data", 4) == 0) {
        int error = buf_append(&p->data, value, len);
        fail(p, error < 0 ? error : buf_putc(&p->data, '\n'));
    } else if (name_len == 5 && memcmp(name, "event", 5) == 0) {
        set(p, &p->event, value, len);
    } else if (name_len == 2 && memcmp(name, "id", 2) == 0 && !memchr(value, '\0', len)) {
        set(p, &p->id, value, len);
    }
}

static void end_line(struct sse_parser *p)
{
    const char *s = buf_str(&p->line);
    size_t len = p->line.len;
    if (len == 0 && !p->line.failed) {
        dispatch(p);
    } else if (!p->drop && !p->line.failed && s[0] != ':') {
        const char *colon = memchr(s, ':', len);
        size_t name = colon ? (size_t)(colon - s) : len;
        size_t from = colon ? name + 1 : len;
        if (from < len && s[from] == ' ')
            from++;
        field(p, s, name, s + from, len - from);
    }
    buf_reset(&p->line);
}

static void put(struct sse_parser *p, char c)
{
    bool after_cr = p->after_cr;
    p->after_cr = c == '\r';
    if (c == '\n' && after_cr)
        return;
    if (c == '\n' || c == '\r') {
        end_line(p);
        return;
    }
    if (!p->line.failed)
        fail(p, buf_putc(&p->line, c));
}

static void feed_byte(struct sse_parser *p, char c)
{
    static const char mark[] = "\xef\xbb\xbf";
    if (p->bom < 3 && c == mark[p->bom]) {
        p->bom++;
        return;
    }
    if (p->bom < 3) {
        unsigned seen = p->bom;
        p->bom = 3;
        for (unsigned i = 0; i < seen; i++)
            put(p, mark[i]);
    }
    put(p, c);
}

int sse_parser_feed(struct sse_parser *p, const char *chunk, size_t len)
{
    p->error = 0;
    for (size_t i = 0; i < len; i++)
        feed_byte(p, chunk[i]);
    return p->error;
}
