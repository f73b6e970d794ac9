/* rooms: supervisor/init base/core */
/* The room's file itself, to enter it without pipes. */
#include "supervisor/init/logs.c"

#include "tests/fuzz/fuzz.h"

int output_init(struct output *o, struct loop *loop)
{
    *o = (struct output){ .loop = loop };
    return 0;
}

void output_line(struct output *o, const char *line, size_t len)
{
    (void)o;
    REQUIRE(len && line[len - 1] == '\n');
}

void output_hold(struct output *o)
{
    o->holding = true;
}

void output_let_go(struct output *o)
{
    o->holding = false;
}

void output_release(struct output *o)
{
    (void)o;
}

int loop_add(struct loop *l, struct source *s, uint32_t events)
{
    (void)l;
    (void)s;
    (void)events;
    return 0;
}

void loop_close(struct loop *l, struct source *s)
{
    (void)l;
    (void)s;
}

struct seen {
    const struct mask *mask;
    struct buf text; /* all messages, one behind the other */
};

static void on_line(void *arg, const struct log_channel *c, const char *line, size_t len)
{
    struct seen *seen = arg;
    struct logline_json found = { 0 };
    (void)c;
    REQUIRE(len > 2 && len <= LOGLINE_MAX && line[len - 1] == '\n' && !memchr(line, '\n', len - 1));
    REQUIRE(logline_json_object(line, len, &found));
    for (size_t i = 0; i < seen->mask->count; i++)
        REQUIRE(!memmem(line, len, seen->mask->values[i], strlen(seen->mask->values[i])));
    if (found.msg.at)
        buf_append(&seen->text, found.msg.at + 1, found.msg.len - 2);
}

/* A secret that the frame around a message cannot hold by chance, and that no escape can make. */
static void add_secret(struct mask *m, const char *line)
{
    _cleanup_buf_ struct buf secret = BUF_INIT;
    buf_printf(&secret, "kEy-%s", line);
    for (const char *p = line; *p; p++)
        if (*p < 0x20 || *p > 0x7e || strchr("*\"\\", *p))
            return;
    if (*line)
        REQUIRE(mask_add(m, buf_str(&secret)) == 0);
}

static bool is_plain(const struct buf *text)
{
    for (size_t i = 0; i < text->len; i++)
        if ((text->data[i] != '\n' && text->data[i] < 0x20) || text->data[i] > 0x7e ||
            strchr("\"\\{", text->data[i]))
            return false;
    return true;
}

static void drop_newlines(struct buf *b)
{
    size_t to = 0;
    for (size_t i = 0; i < b->len; i++)
        if (b->data[i] != '\n')
            b->data[to++] = b->data[i];
    b->len = to;
}

/* Two lines with secrets, a byte for how large the pieces are, a byte of filling so that the cut of
 * long lines is reached, then what a service writes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_INPUT_MAX / 2)
        return 0;
    struct fuzz in = fuzz_of(data, size);
    struct logs l;
    struct log_channel c;
    static struct loop loop;
    REQUIRE(logs_init(&l, &loop) == 0);
    l.text = size % 2;
    for (int i = 0; i < 2; i++) {
        _cleanup_free_ char *line = fuzz_line(&in, NULL);
        add_secret(&l.mask, line);
    }
    size_t step = fuzz_byte(&in) * 64 + 1, fill = fuzz_byte(&in) * 128;
    struct seen seen = { .mask = &l.mask };
    l.on_line = on_line;
    l.on_line_arg = &seen;
    channel_name(&c, &l, "svc");
    c.out = (struct log_stream){
        .channel = &c, .name = "stdout", .write_fd = -1, .line = BUF_INIT_MAX(4 * LOGLINE_MAX)
    };
    c.out.source.fd = c.err.source.fd = c.err.write_fd = -1;
    c.err.channel = &c;
    _cleanup_buf_ struct buf text = BUF_INIT;
    for (size_t i = 0; i < fill; i++)
        buf_putc(&text, 'x');
    buf_append(&text, in.at, in.left);
    for (size_t at = 0, n; at < text.len; at += n) {
        n = step < text.len - at ? step : text.len - at;
        REQUIRE(buf_append(&c.out.line, text.data + at, n) == 0);
        stream_lines(&c.out, SIZE_MAX);
        REQUIRE(c.out.line.len <= LOGLINE_MAX);
    }
    log_channel_drain(&c);
    if (!l.mask.count && is_plain(&text)) {
        drop_newlines(&text);
        REQUIRE(seen.text.len == text.len);
        REQUIRE(!text.len || memcmp(seen.text.data, text.data, text.len) == 0);
    }
    _cleanup_buf_ struct buf tail = BUF_INIT;
    struct log_reader r;
    logs_reader(&l, &r, &c, 3);
    REQUIRE(!logs_read(&l, &r, &c, SIZE_MAX, &tail));
    REQUIRE(!tail.len || tail.data[tail.len - 1] == '\n');
    buf_release(&seen.text);
    log_channel_close(&c);
    logs_release(&l);
    return 0;
}
