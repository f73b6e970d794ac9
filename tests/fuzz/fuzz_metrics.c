/* rooms: base/metrics base/core */
#include "base/metrics/metrics.h"

#include "base/core/utf8.h"
#include "tests/fuzz/fuzz.h"

#define PREFIX "codev_gateway_"

/* What a label's value is read back as by the text format's rules. */
static void read_back(const char *line, size_t len, struct buf *out)
{
    static const char head[] = "t{v=\"", tail[] = "\"} 1\n";
    REQUIRE(len >= sizeof head - 1 + sizeof tail - 1);
    REQUIRE(memcmp(line, head, sizeof head - 1) == 0);
    REQUIRE(memcmp(line + len - (sizeof tail - 1), tail, sizeof tail - 1) == 0);
    const char *end = line + len - (sizeof tail - 1);
    for (const char *p = line + sizeof head - 1; p < end; p++) {
        REQUIRE(*p != '"' && *p != '\n');
        if (*p != '\\') {
            buf_putc(out, *p);
            continue;
        }
        REQUIRE(++p < end && strchr("\\\"n", *p));
        buf_putc(out, *p == 'n' ? '\n' : *p);
    }
}

/* Whatever a name from a configuration holds: one line, valid UTF-8, and the same when read. */
static void label(const char *value)
{
    static const struct metric m = { "t", METRIC_GAUGE, "T.", { "v" } };
    _cleanup_buf_ struct buf out = BUF_INIT, back = BUF_INIT;
    metric_sample(&out, &m, METRIC_VALUES(value), 1);
    read_back(buf_str(&out), out.len, &back);
    REQUIRE(utf8_valid(buf_str(&out), out.len));
    if (utf8_valid(value, strlen(value)))
        REQUIRE(strcmp(buf_str(&back), value) == 0);
}

/* What another program says: nothing of it gets among our own metrics. */
static void page(const char *text, size_t len)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    buf_puts(&out, "codev_ready 0\n");
    size_t ours = out.len;
    if (metrics_take(&out, text, len, PREFIX) < 0) {
        REQUIRE(out.len == ours);
        return;
    }
    REQUIRE(out.len == ours + len && (!len || text[len - 1] == '\n'));
    for (const char *at = text; at < text + len; at = strchr(at, '\n') + 1) {
        const char *name = strncmp(at, "# ", 2) == 0 ? at + strlen("# HELP ") : at;
        REQUIRE(strncmp(name, PREFIX, strlen(PREFIX)) == 0);
    }
    for (size_t i = 0; i < len; i++)
        REQUIRE(text[i] == '\n' || ((unsigned char)text[i] >= 0x20 && text[i] < 0x7f));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_INPUT_MAX)
        return 0;
    struct fuzz in = fuzz_of(data, size);
    size_t len;
    _cleanup_free_ char *text = fuzz_rest(&in, &len);
    label(text);
    page(text, len);
    return 0;
}
