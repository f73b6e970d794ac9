#include "supervisor/init/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/file.h"

#define TURN_LINES 256  /* of one stream before the others get their turn */
#define LINE_KEPT  2048 /* bytes of memory that the next line may have again */
#define ROUND_US   2000 /* for all of them, before everything else gets its own */

static int64_t wall_us(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void ring_put(struct log_channel *c, uint64_t seq, const char *line, size_t len)
{
    struct buf *ring = &c->ring;
    struct log_entry entry = { .seq = seq, .len = (uint32_t)len };
    size_t need = sizeof entry + len;
    if (ring->len + need > LOG_RING_MAX) {
        /* Much at a time, so that the moving costs little. */
        size_t drop = 0, least = ring->len + need - LOG_RING_MAX + LOG_RING_MAX - LOG_RING_KEPT;
        while (drop < ring->len && drop < least) {
            struct log_entry old;
            memcpy(&old, ring->data + drop, sizeof old);
            drop += sizeof old + old.len;
            c->lost_seq = old.seq;
        }
        buf_consume(ring, drop);
    }
    if (need > LOG_RING_MAX || buf_reserve(ring, need) < 0)
        return; /* out of memory: stdout still gets it */
    (void)buf_append(ring, &entry, sizeof entry);
    (void)buf_append(ring, line, len);
}

/* What was held, as it is wanted. */
void logs_let_go(struct logs *l)
{
    struct buf *shown = l->text ? &l->held_text : &l->held_json;
    if (!l->holding)
        return;
    l->holding = false;
    for (size_t from = 0; from < shown->len;) {
        const char *at = shown->data + from, *end = memchr(at, '\n', shown->len - from);
        size_t len = end ? (size_t)(end - at) + 1 : shown->len - from;
        output_line(&l->output, at, len);
        from += len;
    }
    buf_release(&l->held_json);
    buf_release(&l->held_text);
}

void logs_hold(struct logs *l)
{
    l->held_json = l->held_text = BUF_INIT_MAX(LOG_HELD_MAX);
    l->holding = true;
}

/* False when it does not fit: what was held is out then, and nothing is held any more. */
static bool hold(struct logs *l, const struct log_record *r, const struct buf *json)
{
    size_t json_len = l->held_json.len, text_len = l->held_text.len;
    logline_text(&l->held_text, r);
    if (!l->held_text.failed && buf_append(&l->held_json, json->data, json->len) == 0)
        return true;
    l->held_json.len = json_len;
    l->held_text.len = text_len;
    logs_let_go(l);
    return false;
}

static void emit(struct log_channel *c, struct log_record *r)
{
    struct logs *l = c->logs;
    struct buf *json = &l->json, *text = &l->text_line;
    buf_reset(json);
    buf_reset(text);
    r->wall_us = wall_us();
    r->service = c->name;
    r->boot_id = l->boot_id;
    r->seq = ++l->seq;
    logline_json(json, r);
    if (l->text)
        logline_text(text, r);
    struct buf *shown = l->text ? text : json;
    if (json->failed || shown->failed) {
        l->output.dropped++;
        l->output.dropped_total++;
        return;
    }
    ring_put(c, r->seq, json->data, json->len);
    if (!l->holding || !hold(l, r, json))
        output_line(&l->output, shown->data, shown->len);
    if (l->on_line)
        l->on_line(l->on_line_arg, c, json->data, json->len);
    if (json->cap > LINE_KEPT)
        buf_release(json);
    if (text->cap > LINE_KEPT)
        buf_release(text);
}

void logs_put(struct log_channel *c, enum log_level level, const char *stream, const char *text,
              size_t len)
{
    char copy[LOGLINE_MAX];
    len = logline_fits(text, len < sizeof copy ? len : sizeof copy);
    memcpy(copy, text, len);
    len = mask_apply(&c->logs->mask, copy, len);
    struct log_record r = {
        .level = level,
        .stream = stream,
        .pid = c->pid,
        .msg = copy,
        .len = len,
    };
    emit(c, &r);
}

void logs_say(struct logs *l, enum log_level level, const char *fmt, ...)
{
    char text[2048];
    int saved = errno;
    if (level < l->level)
        return;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    logs_put(&l->own, level, NULL, text, len);
    errno = saved;
}

/* The first `len` bytes of the line buffer are one record. */
static void stream_emit(struct log_stream *s, size_t len, bool partial)
{
    struct log_channel *c = s->channel;
    size_t shown = logline_strip(s->line.data, len);
    if (!shown && !partial)
        return; /* it says nothing */
    shown = mask_apply(&c->logs->mask, s->line.data, shown);
    struct log_record r = {
        .level = LOG_LEVEL_INFO,
        .stream = s->name,
        .pid = c->pid,
        .msg = s->line.data,
        .len = shown,
        .partial = partial,
    };
    emit(c, &r);
}

/* Splits what has been read into lines, so many of them. */
static void stream_lines(struct log_stream *s, size_t most)
{
    size_t from = 0;
    s->more = false;
    for (size_t n = 0; from < s->line.len; n++) {
        if (n == most) {
            s->more = true;
            break;
        }
        char *at = s->line.data + from;
        size_t left = s->line.len - from;
        const char *newline = memchr(at, '\n', left);
        size_t len = newline ? (size_t)(newline - at) : left;
        if (!newline && len <= LOGLINE_MAX)
            break;
        size_t fits = logline_fits(at, len);
        bool cut = fits < len;
        if (cut)
            len = mask_safe_cut(&s->channel->logs->mask, at, fits);
        size_t used = cut ? len : len + 1;
        if (!cut && len && at[len - 1] == '\r')
            len--;
        /* In a buffer of its own, because masking changes lengths. */
        struct log_stream view = { .channel = s->channel, .name = s->name };
        view.line.data = at;
        if (len || !s->split)
            stream_emit(&view, len, cut);
        s->split = cut;
        from += used;
        s->done = from;
    }
    buf_consume(&s->line, from);
    s->done = 0;
    if (!s->line.len)
        buf_release(&s->line); /* quiet services cost no memory */
}

/* Reads one chunk. The bytes of it; 0 when there is nothing more for now. */
static size_t stream_read(struct log_stream *s, size_t most_lines)
{
    char chunk[LOGLINE_MAX];
    ssize_t n;
    do
        n = read(s->source.fd, chunk, sizeof chunk);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return 0;
    if (buf_append(&s->line, chunk, (size_t)n) == 0) {
        stream_lines(s, most_lines);
        return (size_t)n;
    }
    s->channel->logs->output.dropped++;
    s->channel->logs->output.dropped_total++;
    buf_release(&s->line);
    s->more = false;
    return (size_t)n;
}

/* To the end of the queue. */
static void queue(struct log_stream *s)
{
    struct logs *l = s->channel->logs;
    struct log_stream **at = &l->turns;
    if (s->queued)
        return;
    while (*at)
        at = &(*at)->next_turn;
    *at = s;
    s->next_turn = NULL;
    s->queued = l->loop->more_work = true;
}

static void unqueue(struct log_stream *s)
{
    for (struct log_stream **at = &s->channel->logs->turns; *at; at = &(*at)->next_turn) {
        if (*at == s) {
            *at = s->next_turn;
            break;
        }
    }
    s->queued = false;
}

/* One turn. True when there is more. */
static bool stream_turn(struct log_stream *s)
{
    if (!s->channel->pid && s->channel->find_pid)
        s->channel->find_pid(s->channel);
    if (!s->more)
        return stream_read(s, TURN_LINES) > 0;
    stream_lines(s, TURN_LINES);
    return true;
}

/* Whoever writes as fast as it can, in lines as short as they may be, takes neither the turns of
 * the others nor the time of a request. */
static bool on_work(void *arg)
{
    struct logs *l = arg;
    uint64_t until = clock_mono_us() + ROUND_US;
    output_hold(&l->output);
    while (l->turns && clock_mono_us() < until) {
        struct log_stream *s = l->turns;
        unqueue(s);
        if (stream_turn(s))
            queue(s);
    }
    output_let_go(&l->output);
    return l->turns != NULL;
}

static void on_readable(struct source *source, uint32_t events)
{
    (void)events;
    queue(source->arg);
}

static void stream_close(struct log_stream *s)
{
    if (!s->channel)
        return;
    unqueue(s);
    loop_close(s->channel->logs->loop, &s->source);
    if (s->write_fd >= 0)
        (void)close(s->write_fd);
    s->write_fd = -1;
    buf_release(&s->line);
}

static int stream_watch(struct log_stream *s)
{
    /* The service's end stays blocking, as programs expect. */
    int r = fd_set_nonblock(s->source.fd, true);
    if (r == 0)
        r = loop_add(s->channel->logs->loop, &s->source, EPOLLIN);
    s->watched = r == 0;
    return r;
}

static int stream_open(struct log_stream *s, struct log_channel *c, const char *name,
                       const int adopted[2])
{
    int fds[2];
    *s = (struct log_stream){
        .channel = c,
        .name = name,
        .write_fd = -1,
        .line = BUF_INIT_MAX(4 * LOGLINE_MAX),
        .source = { .fd = -1, .fn = on_readable, .arg = s },
        .adopted = adopted && adopted[0] >= 0 && adopted[1] >= 0,
    };
    if (s->adopted) {
        memcpy(fds, adopted, sizeof fds);
        (void)fcntl(fds[0], F_SETFD, FD_CLOEXEC);
        (void)fcntl(fds[1], F_SETFD, FD_CLOEXEC);
    } else if (pipe2(fds, O_CLOEXEC) < 0) {
        return -errno;
    }
    s->source.fd = fds[0];
    s->write_fd = fds[1];
    return stream_watch(s);
}

/* A pipe that nobody reads would hold the service up when it is full: rather none. One that the
 * service has already is tried again. */
static void stream_mend(struct log_stream *s, struct log_channel *c, const char *name)
{
    if (s->write_fd < 0)
        (void)stream_open(s, c, name, NULL);
    else if (!s->watched)
        (void)stream_watch(s);
    if (s->write_fd >= 0 && !s->watched && !s->adopted)
        stream_close(s);
}

static void channel_name(struct log_channel *c, struct logs *l, const char *name)
{
    *c = (struct log_channel){
        .logs = l,
        .ring = BUF_INIT_MAX(LOG_RING_MAX),
        .out = { .source = { .fd = -1 }, .write_fd = -1 },
        .err = { .source = { .fd = -1 }, .write_fd = -1 },
    };
    (void)snprintf(c->name, sizeof c->name, "%s", name);
    c->next = l->channels;
    l->channels = c;
}

int log_channel_open(struct log_channel *c, struct logs *l, const char *name,
                     const struct log_fds *adopted)
{
    channel_name(c, l, name);
    int out = stream_open(&c->out, c, "stdout", adopted ? adopted->fds : NULL);
    int err = stream_open(&c->err, c, "stderr", adopted ? adopted->fds + 2 : NULL);
    if (out < 0 || err < 0)
        log_channel_mend(c);
    return out < 0 ? out : err;
}

void log_channel_mend(struct log_channel *c)
{
    stream_mend(&c->out, c, "stdout");
    stream_mend(&c->err, c, "stderr");
}

void log_channel_resume(struct log_channel *c, bool err, bool split, const char *data, size_t len)
{
    struct log_stream *s = err ? &c->err : &c->out;
    s->split = split;
    if (buf_append(&s->line, data, len) == 0)
        stream_lines(s, SIZE_MAX);
}

void log_channel_save(const struct log_channel *c, struct log_fds *ret)
{
    *ret = (struct log_fds){
        { c->out.source.fd, c->out.write_fd, c->err.source.fd, c->err.write_fd },
    };
}

void log_channel_close(struct log_channel *c)
{
    stream_close(&c->out);
    stream_close(&c->err);
    buf_release(&c->ring);
    for (struct log_channel **at = &c->logs->channels; *at; at = &(*at)->next) {
        if (*at == c) {
            *at = c->next;
            break;
        }
    }
}

/* What is in the pipe now: somebody who still holds it may write on and on. */
static void stream_drain(struct log_stream *s)
{
    int left = 0;
    if (s->more)
        stream_lines(s, SIZE_MAX);
    if (s->source.fd >= 0 && ioctl(s->source.fd, FIONREAD, &left) < 0)
        left = 0;
    for (size_t n = 1; n && left > 0; left -= (int)n)
        n = stream_read(s, SIZE_MAX);
    if (s->line.len) {
        stream_emit(s, s->line.len, false);
        buf_release(&s->line);
    }
    s->split = false;
}

void log_channel_drain(struct log_channel *c)
{
    if (!c->pid && c->find_pid)
        c->find_pid(c);
    stream_drain(&c->out);
    stream_drain(&c->err);
}

struct log_channel *logs_find(struct logs *l, const char *name)
{
    for (struct log_channel *c = l->channels; c; c = c->next)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

static bool entry_at(const struct buf *ring, size_t off, struct log_entry *ret)
{
    if (off >= ring->len)
        return false;
    memcpy(ret, ring->data + off, sizeof *ret);
    return true;
}

/* The seq from which on the last `n` lines lie. All rings together are small. */
static uint64_t tail_start(const struct logs *l, const struct log_channel *only, size_t n)
{
    uint64_t low = 0, high = l->seq + 1; /* lines with seq >= low: more than n, or low is 0 */
    while (low < high) {
        uint64_t mid = low + (high - low) / 2;
        size_t count = 0;
        for (const struct log_channel *c = l->channels; c; c = c->next) {
            struct log_entry e;
            if (only && c != only)
                continue;
            for (size_t off = 0; entry_at(&c->ring, off, &e); off += sizeof e + e.len)
                count += e.seq >= mid;
        }
        if (count > n)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static uint64_t lost(const struct logs *l, const struct log_channel *only)
{
    uint64_t last = 0;
    for (const struct log_channel *c = l->channels; c; c = c->next)
        if ((!only || c == only) && c->lost_seq > last)
            last = c->lost_seq;
    return last;
}

void logs_reader(const struct logs *l, struct log_reader *ret, const struct log_channel *only,
                 size_t n)
{
    *ret = (struct log_reader){
        .seq = tail_start(l, only, n),
        .until = l->seq,
        .lost = lost(l, only),
    };
}

/* Every cursor to the first line that it has not had. */
static void seek(struct logs *l, uint64_t seq)
{
    for (struct log_channel *c = l->channels; c; c = c->next) {
        struct log_entry e;
        c->cursor = 0;
        while (entry_at(&c->ring, c->cursor, &e) && e.seq < seq)
            c->cursor += sizeof e + e.len;
    }
}

/* The channel with the oldest line at its cursor; NULL: there is none. */
static struct log_channel *oldest(struct logs *l, const struct log_channel *only,
                                  struct log_entry *ret)
{
    struct log_channel *first = NULL;
    for (struct log_channel *c = l->channels; c; c = c->next) {
        struct log_entry e;
        if ((only && c != only) || !entry_at(&c->ring, c->cursor, &e) ||
            (first && e.seq >= ret->seq))
            continue;
        first = c;
        *ret = e;
    }
    return first;
}

static void say_skipped(struct logs *l, struct buf *out)
{
    static const char text[] = "this reader is too slow: lines were left out";
    struct log_record r = {
        .level = LOG_LEVEL_WARN,
        .wall_us = wall_us(),
        .service = l->own.name,
        .pid = l->own.pid,
        .msg = text,
        .len = sizeof text - 1,
        .boot_id = l->boot_id,
        .seq = l->seq,
    };
    logline_json(out, &r);
}

bool logs_read(struct logs *l, struct log_reader *r, const struct log_channel *only, size_t most,
               struct buf *out)
{
    struct log_entry e;
    uint64_t gone = lost(l, only);
    if (gone > r->lost && gone >= r->seq)
        say_skipped(l, out);
    r->lost = gone;
    seek(l, r->seq);
    for (struct log_channel *c; (c = oldest(l, only, &e)) && e.seq <= r->until;) {
        if (out->len && (out->len >= most || out->len + e.len > most))
            return true;
        if (buf_append(out, c->ring.data + c->cursor + sizeof e, e.len) < 0)
            return false;
        c->cursor += sizeof e + e.len;
        r->seq = e.seq + 1;
    }
    return false;
}

static void on_drained(struct output *o, uint64_t dropped)
{
    logs_say(o->arg, LOG_LEVEL_WARN, "stdout was blocked: %llu lines were dropped",
             (unsigned long long)dropped);
}

int logs_init(struct logs *l, struct loop *loop)
{
    *l = (struct logs){ .loop = loop, .level = LOG_LEVEL_INFO };
    l->text = isatty(STDOUT_FILENO) == 1;
    loop->work = on_work;
    loop->work_arg = l;
    int r = output_init(&l->output, loop);
    l->output.on_drained = on_drained;
    l->output.arg = l;
    channel_name(&l->own, l, "init");
    l->own.pid = (int)getpid();
    return r;
}

void logs_release(struct logs *l)
{
    log_channel_close(&l->own);
    buf_release(&l->json);
    buf_release(&l->text_line);
    output_release(&l->output);
    mask_release(&l->mask);
}
