/* rooms: base/http base/core */
#include <errno.h>

#include "base/core/buf.h"
#include "base/http/http.h"
#include "tests/fuzz/fuzz.h"

#define EVENT_MAX 256

static void on_event(void *data, const struct sse_event *e)
{
    struct buf *out = data;
    REQUIRE(e->data_len < EVENT_MAX && e->data[e->data_len] == '\0');
    REQUIRE(strlen(e->event) <= EVENT_MAX && strlen(e->id) <= EVENT_MAX);
    REQUIRE(!memchr(e->data, '\r', e->data_len));
    REQUIRE(!strpbrk(e->event, "\r\n") && !strpbrk(e->id, "\r\n"));
    buf_printf(out, "%s|%s|%zu|", e->event, e->id, e->data_len);
    buf_append(out, e->data, e->data_len);
    buf_putc(out, '\n');
}

/* Feeds it in pieces of `step` bytes, 0: of all sizes. True when no event was too large. */
static bool run(const char *text, size_t len, size_t step, struct buf *out)
{
    struct sse_parser *p = NULL;
    bool fine = true;
    REQUIRE(sse_parser_new(&p, EVENT_MAX, on_event, out) == 0);
    for (size_t at = 0, n, i = 0; at < len; at += n, i++) {
        n = step ? step : i % 7 + 1;
        n = n < len - at ? n : len - at;
        int r = sse_parser_feed(p, text + at, n);
        REQUIRE(r == 0 || r == -EFBIG);
        fine = fine && r == 0;
    }
    sse_parser_free(p);
    return fine;
}

/* Wherever the stream is cut, the events are the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 8192)
        return 0;
    _cleanup_buf_ struct buf whole = BUF_INIT;
    bool fine = run((const char *)data, size, size, &whole);
    for (size_t step = 0; step < 2; step++) {
        _cleanup_buf_ struct buf cut = BUF_INIT;
        REQUIRE(run((const char *)data, size, step, &cut) == fine);
        REQUIRE(cut.len == whole.len);
        REQUIRE(!cut.len || memcmp(cut.data, whole.data, cut.len) == 0);
    }
    return 0;
}
