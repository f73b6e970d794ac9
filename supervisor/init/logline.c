#include "supervisor/init/logline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/jsonw.h"
#include "base/core/utf8.h"

#define DEPTH_MAX 32

static const char *const level_names[] = {
    [LOG_LEVEL_DEBUG] = "debug",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_ERROR] = "error",
};
_Static_assert(ARRAY_SIZE(level_names) == LOG_LEVEL_MAX, "a name for every level");

const char *logline_level_name(enum log_level level)
{
    return (unsigned)level < LOG_LEVEL_MAX ? level_names[level] : "info";
}

/* --- JSON, judged only --- */

struct scan {
    const char *p, *end;
    int depth;
};

static void blanks(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\r' || *s->p == '\n'))
        s->p++;
}

static bool eat(struct scan *s, char c)
{
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool escape(struct scan *s)
{
    if (s->p == s->end)
        return false;
    char c = *s->p++;
    if (c != 'u')
        return c && strchr("\"\\/bfnrt", c);
    for (int i = 0; i < 4; i++, s->p++)
        if (s->p == s->end || !is_hex(*s->p))
            return false;
    return true;
}

static bool string(struct scan *s)
{
    if (!eat(s, '"'))
        return false;
    while (s->p < s->end) {
        unsigned char c = (unsigned char)*s->p;
        size_t n = utf8_sequence(s->p, (size_t)(s->end - s->p));
        if (c < 0x20 || !n)
            return false;
        s->p += n;
        if (c == '"')
            return true;
        if (c == '\\' && !escape(s))
            return false;
    }
    return false;
}

static bool digits(struct scan *s)
{
    const char *from = s->p;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
        s->p++;
    return s->p > from;
}

static bool number(struct scan *s)
{
    (void)eat(s, '-');
    if (!eat(s, '0') && !digits(s))
        return false;
    if (eat(s, '.') && !digits(s))
        return false;
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
        s->p++;
        if (!eat(s, '+'))
            (void)eat(s, '-');
        return digits(s);
    }
    return true;
}

static bool word(struct scan *s, const char *w)
{
    size_t n = strlen(w);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, w, n) != 0)
        return false;
    s->p += n;
    return true;
}

static bool object(struct scan *s, struct logline_json *top);

static bool array(struct scan *s);

static bool value(struct scan *s)
{
    if (s->p == s->end)
        return false;
    switch (*s->p) {
    case '{':
        return object(s, NULL);
    case '[':
        return array(s);
    case '"':
        return string(s);
    case 't':
        return word(s, "true");
    case 'f':
        return word(s, "false");
    case 'n':
        return word(s, "null");
    default:
        return number(s);
    }
}

static bool array(struct scan *s)
{
    if (++s->depth > DEPTH_MAX || !eat(s, '['))
        return false;
    blanks(s);
    if (!eat(s, ']')) {
        do {
            blanks(s);
            if (!value(s))
                return false;
            blanks(s);
        } while (eat(s, ','));
        if (!eat(s, ']'))
            return false;
    }
    s->depth--;
    return true;
}

/* Does the string token `key`, quotes included, say `name`? */
static bool key_is(struct span key, const char *name)
{
    size_t n = strlen(name);
    return key.len == n + 2 && memcmp(key.at + 1, name, n) == 0;
}

static void note(struct logline_json *top, struct span key, struct span val)
{
    top->keys++;
    if (*val.at != '"')
        return;
    if (key_is(key, "level"))
        top->level = val;
    if (key_is(key, "msg"))
        top->msg = val;
    for (int f = 0; f < LOG_FIELD_MAX; f++)
        if (key_is(key, log_field_name((enum log_field)f)))
            top->ids[f] = val;
}

static bool member(struct scan *s, struct logline_json *top)
{
    struct span key = { .at = s->p }, val;
    if (!string(s))
        return false;
    key.len = (size_t)(s->p - key.at);
    blanks(s);
    if (!eat(s, ':'))
        return false;
    blanks(s);
    val.at = s->p;
    if (!value(s))
        return false;
    val.len = (size_t)(s->p - val.at);
    if (top)
        note(top, key, val);
    blanks(s);
    return true;
}

static bool object(struct scan *s, struct logline_json *top)
{
    if (++s->depth > DEPTH_MAX || !eat(s, '{'))
        return false;
    blanks(s);
    if (!eat(s, '}')) {
        do {
            blanks(s);
            if (!member(s, top))
                return false;
        } while (eat(s, ','));
        if (!eat(s, '}'))
            return false;
    }
    s->depth--;
    return true;
}

bool logline_json_object(const char *text, size_t len, struct logline_json *ret)
{
    struct scan s = { .p = text, .end = text + len };
    struct logline_json found = { 0 };
    if (len < 2 || *text != '{' || !object(&s, &found))
        return false;
    blanks(&s);
    *ret = found;
    return s.p == s.end;
}

/* --- escape sequences, ECMA-48 --- */

static bool between(char c, char low, char high)
{
    return c >= low && c <= high;
}

/* How long the sequence is that begins at `p` with ESC. */
static size_t escape_length(const char *p, const char *end)
{
    const char *at = p + 1;
    if (at == end)
        return 1;
    if (*at == '[') { /* parameters, intermediates, one final */
        for (at++; at < end && between(*at, 0x20, 0x3f); at++)
            continue;
        return (size_t)(at - p) + (at < end && between(*at, 0x40, 0x7e));
    }
    if (strchr("]PX^_", *at)) { /* a string, to BEL or ESC \ */
        for (at++; at < end; at++) {
            if (*at == '\a')
                return (size_t)(at - p) + 1;
            if (*at == '\033')
                return (size_t)(at - p) + (at + 1 < end && at[1] == '\\' ? 2 : 0);
        }
        return (size_t)(end - p);
    }
    while (at < end && between(*at, 0x20, 0x2f))
        at++;
    return (size_t)(at - p) + (at < end && between(*at, 0x30, 0x7e));
}

size_t logline_strip(char *text, size_t len)
{
    char *from = memchr(text, '\033', len), *to = from, *end = text + len;
    if (!from)
        return len;
    while (from < end) {
        if (*from == '\033')
            from += escape_length(from, end);
        else
            *to++ = *from++;
    }
    return (size_t)(to - text);
}

/* --- masking --- */

static int mask_push(struct mask *m, const char *value, size_t len)
{
    for (size_t i = 0; i < m->count; i++)
        if (strlen(m->values[i]) == len && memcmp(m->values[i], value, len) == 0)
            return 0;
    char **values = realloc(m->values, (m->count + 1) * sizeof *values);
    if (!values)
        return -ENOMEM;
    m->values = values;
    char *copy = strndup(value, len);
    if (!copy)
        return -ENOMEM;
    /* The longest first: one that begins with another must not leave its rest to be read. */
    size_t at = m->count++;
    for (; at > 0 && strlen(values[at - 1]) < len; at--)
        values[at] = values[at - 1];
    values[at] = copy;
    return 0;
}

int mask_add(struct mask *m, const char *value)
{
    size_t len = strlen(value);
    if (len < MASK_MIN)
        return 0;
    int r = mask_push(m, value, len);
    _cleanup_buf_ struct buf quoted = BUF_INIT;
    jsonw_quote(&quoted, value, len);
    if (r < 0 || quoted.failed)
        return r < 0 ? r : -ENOMEM;
    r = mask_push(m, quoted.data + 1, quoted.len - 2);
    explicit_bzero(quoted.data, quoted.len);
    return r;
}

void mask_release(struct mask *m)
{
    for (size_t i = 0; i < m->count; i++) {
        explicit_bzero(m->values[i], strlen(m->values[i]));
        free(m->values[i]);
    }
    free(m->values);
    *m = (struct mask){ 0 };
}

static size_t mask_one(const char *secret, char *text, size_t len)
{
    static const char stars[] = "***";
    size_t n = strlen(secret), cut = n - (sizeof stars - 1);
    char *at = text;
    while ((at = memmem(at, len - (size_t)(at - text), secret, n))) {
        memcpy(at, stars, sizeof stars - 1);
        at += sizeof stars - 1;
        memmove(at, at + cut, len - (size_t)(at - text) - cut);
        len -= cut;
    }
    return len;
}

size_t mask_apply(const struct mask *m, char *text, size_t len)
{
    for (size_t i = 0; i < m->count; i++)
        len = mask_one(m->values[i], text, len);
    return len;
}

size_t mask_safe_cut(const struct mask *m, const char *text, size_t len)
{
    size_t hold = 0; /* the longest end of the text that begins a secret */
    for (size_t i = 0; i < m->count; i++) {
        size_t n = strlen(m->values[i]) - 1;
        for (size_t k = n < len ? n : len; k > hold; k--) {
            if (memcmp(text + len - k, m->values[i], k) == 0)
                hold = k;
        }
    }
    return hold < len ? len - hold : 1;
}

/* --- writing --- */

static bool known_level(struct span token, enum log_level *ret)
{
    for (size_t i = 0; token.at && i < ARRAY_SIZE(level_names); i++) {
        size_t n = strlen(level_names[i]);
        if (token.len == n + 2 && memcmp(token.at + 1, level_names[i], n) == 0) {
            *ret = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/* Is it a line of our own programs (base/core/log.h): a level, a message, ids, each once, and
 * nothing else? What it says then stands in our line itself. */
static bool is_ours(const struct logline_json *found)
{
    size_t known = 2;
    for (int f = 0; f < LOG_FIELD_MAX; f++) {
        struct span id = found->ids[f];
        if (id.at && !log_field_fits((enum log_field)f, id.at + 1, id.len - 2))
            return false;
        known += id.at != NULL;
    }
    return found->msg.at && found->keys == known;
}

static void put_ids(struct jsonw *w, const struct logline_json *found)
{
    for (int f = 0; f < LOG_FIELD_MAX; f++)
        if (found->ids[f].at)
            jsonw_raw(w, log_field_name((enum log_field)f), found->ids[f].at, found->ids[f].len);
}

/* Bytes that the sequence at `p` takes inside a JSON string at most; `ret_len`: its own. */
static size_t quoted_bytes(const char *p, size_t left, size_t *ret_len)
{
    size_t n = utf8_sequence(p, left);
    *ret_len = n ? n : 1;
    if (!n)
        return 3; /* U+FFFD */
    if (*p == '"' || *p == '\\')
        return 2;
    return (unsigned char)*p < 0x20 ? 6 : n;
}

size_t logline_fits(const char *text, size_t len)
{
    struct logline_json found;
    size_t room = LOGLINE_MAX - LOGLINE_ENVELOPE, at = 0;
    if (len * 6 <= room || (len <= room && logline_json_object(text, len, &found)))
        return len;
    for (size_t n, used = 0; at < len; at += n) {
        used += quoted_bytes(text + at, len - at, &n);
        if (used > room)
            break;
    }
    return at;
}

void logline_json(struct buf *out, const struct log_record *r)
{
    char ts[CLOCK_RFC3339_SIZE];
    struct logline_json found = { 0 };
    enum log_level level = r->level;
    bool json = r->stream && logline_json_object(r->msg, r->len, &found);
    bool lifted = json && known_level(found.level, &level) && is_ours(&found);
    clock_rfc3339_at(ts, r->wall_us);
    struct jsonw w = JSONW_INIT(out);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "ts", ts);
    jsonw_str(&w, "level", logline_level_name(level));
    jsonw_str(&w, "service", r->service);
    jsonw_int(&w, "pid", r->pid);
    if (r->stream)
        jsonw_str(&w, "stream", r->stream);
    if (lifted)
        jsonw_raw(&w, "msg", found.msg.at, found.msg.len);
    else if (json)
        jsonw_raw(&w, "json", r->msg, r->len);
    else
        jsonw_strn(&w, "msg", r->msg, r->len);
    if (lifted)
        put_ids(&w, &found);
    if (r->partial)
        jsonw_bool(&w, "partial", true);
    jsonw_str(&w, "boot_id", r->boot_id);
    jsonw_uint(&w, "seq", r->seq);
    jsonw_object_end(&w);
    buf_putc(out, '\n');
}

/* Undoes the escapes of a JSON string that has been found valid, as far as a terminal should see
 * them: controls other than tab stay escaped. */
static void unquote(struct buf *out, struct span token)
{
    static const char from[] = "\"\\/nrt", to[] = "\"\\/ \r\t";
    const char *p = token.at + 1, *end = token.at + token.len - 1;
    while (p < end) {
        const char *known = *p == '\\' ? strchr(from, p[1]) : NULL;
        if (known) {
            buf_putc(out, to[known - from]);
            p += 2;
        } else {
            buf_putc(out, *p++);
        }
    }
}

void logline_text(struct buf *out, const struct log_record *r)
{
    struct logline_json found = { 0 };
    enum log_level level = r->level;
    time_t s = (time_t)(r->wall_us / 1000000);
    struct tm tm;
    char clock[16] = "";
    bool json = r->stream && logline_json_object(r->msg, r->len, &found);
    bool lifted = json && known_level(found.level, &level) && is_ours(&found);
    if (localtime_r(&s, &tm))
        (void)strftime(clock, sizeof clock, "%H:%M:%S", &tm);
    buf_printf(out, "%s %-8s | ", clock, r->service);
    if (level >= LOG_LEVEL_WARN && (lifted || !r->stream))
        buf_printf(out, "%s: ", logline_level_name(level));
    if (lifted)
        unquote(out, found.msg);
    else
        buf_append(out, r->msg, r->len);
    buf_puts(out, r->partial ? " ...\n" : "\n");
}
