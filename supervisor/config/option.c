#include "supervisor/config/option.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/parse.h"
#include "supervisor/profile/profile.h"

#define WORD_MAX 64

const char *option_name(enum option_id id)
{
    return option_table[id].key ? option_table[id].key : option_table[id].variable;
}

enum option_id option_find(enum option_scope scope, const char *key, size_t len)
{
    for (int i = 0; i < OPT_MAX; i++) {
        const struct setting *o = &option_table[i];
        if (o->scope == scope && o->key && strlen(o->key) == len && memcmp(o->key, key, len) == 0)
            return (enum option_id)i;
    }
    return OPT_MAX;
}

bool option_is_prefix(enum option_scope scope, const char *prefix, size_t len)
{
    for (int i = 0; i < OPT_MAX; i++) {
        const struct setting *o = &option_table[i];
        if (o->scope == scope && o->key && strncmp(o->key, prefix, len) == 0 && o->key[len] == '.')
            return true;
    }
    return false;
}

/* Levenshtein's distance; both at most WORD_MAX bytes. */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t row[WORD_MAX + 1];
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best =
                diagonal + (tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]));
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[m];
}

/* Whether (b, m) is nearer to `word` than `*least`; near at all means at most a third is wrong. */
static bool nearer(const char *word, const char *b, size_t m, size_t *least)
{
    size_t n = strlen(word);
    if (!n || !m || n > WORD_MAX || m > WORD_MAX)
        return false;
    size_t d = distance(word, n, b, m);
    if (d > 1 + (n > m ? n : m) / 3 || d >= (n > m ? n : m) || d >= *least)
        return false;
    *least = d;
    return true;
}

const char *similar_word(const char *word, const char *const *words, size_t count)
{
    size_t least = SIZE_MAX;
    const char *best = NULL;
    for (size_t i = 0; i < count; i++)
        if (nearer(word, words[i], strlen(words[i]), &least))
            best = words[i];
    return best;
}

const char *option_similar(enum option_scope scope, const char *prefix, const char *word,
                           size_t *ret_len)
{
    static const char *const lists[] = { "storage", "services" };
    size_t least = SIZE_MAX, skip = strlen(prefix);
    const char *best = NULL;
    for (int i = 0; i < OPT_MAX; i++) {
        const struct setting *o = &option_table[i];
        if (o->scope != scope || !o->key || strncmp(o->key, prefix, skip) != 0)
            continue;
        size_t len = strcspn(o->key + skip, ".");
        if (nearer(word, o->key + skip, len, &least)) {
            best = o->key + skip;
            *ret_len = len;
        }
    }
    for (size_t i = 0; scope == SCOPE_TOP && !skip && i < ARRAY_SIZE(lists); i++) {
        if (nearer(word, lists[i], strlen(lists[i]), &least)) {
            best = lists[i];
            *ret_len = strlen(lists[i]);
        }
    }
    return best;
}

/* The index of `text` in "a|b|c", or -1. */
static int word_index(const char *words, const char *text, size_t len)
{
    int i = 0;
    for (const char *w = words; *w; i++) {
        size_t n = strcspn(w, "|");
        if (n == len && memcmp(w, text, n) == 0)
            return i;
        w += n + (w[n] == '|');
    }
    return -1;
}

static bool printable(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s <= ' ' || *s == 0x7f)
            return false;
    return true;
}

static bool is_address(const char *text)
{
    struct in6_addr six;
    struct in_addr four;
    return inet_pton(AF_INET, text, &four) == 1 || inet_pton(AF_INET6, text, &six) == 1;
}

static bool is_host(const char *text, size_t len)
{
    if (!len || len > 253 || text[0] == '-' || text[0] == '.')
        return false;
    bool letters = false;
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)text[i]) && !strchr(".-_", text[i]))
            return false;
        letters |= !isdigit((unsigned char)text[i]) && text[i] != '.';
    }
    if (letters)
        return true;
    char four[16] = ""; /* only digits and dots: an IPv4 address or a mistake */
    struct in_addr addr;
    if (len >= sizeof four)
        return false;
    memcpy(four, text, len);
    return inet_pton(AF_INET, four, &addr) == 1;
}

/* "host", "host:port", "[::1]:port"; the port may be asked for. */
static bool is_authority(const char *text, size_t len, bool need_port)
{
    size_t host = 0;
    if (len && text[0] == '[') {
        char six[48] = "";
        const char *end = memchr(text, ']', len);
        struct in6_addr addr;
        if (!end || (size_t)(end - text) > sizeof six)
            return false;
        memcpy(six, text + 1, (size_t)(end - text) - 1);
        if (inet_pton(AF_INET6, six, &addr) != 1)
            return false;
        host = (size_t)(end - text) + 1;
    } else {
        const char *colon = memchr(text, ':', len);
        host = colon ? (size_t)(colon - text) : len;
        if (!is_host(text, host))
            return false;
    }
    if (host == len)
        return !need_port;
    char port[8] = "";
    uint64_t n;
    if (text[host] != ':' || len - host - 1 >= sizeof port)
        return false;
    memcpy(port, text + host + 1, len - host - 1);
    return parse_u64(port, 1, 65535, &n) == 0;
}

static bool is_url(const char *schemes, const char *text)
{
    const char *sep = strstr(text, "://");
    if (!printable(text))
        return false;
    if (!sep) { /* scp's way of naming a repository: user@host:path */
        const char *at = strchr(text, '@'), *colon = at ? strchr(at, ':') : NULL;
        return word_index(schemes, "ssh", 3) >= 0 && at && at > text && colon && colon[1] &&
               is_host(at + 1, (size_t)(colon - at) - 1);
    }
    if (word_index(schemes, text, (size_t)(sep - text)) < 0)
        return false;
    const char *rest = sep + 3;
    if (strncmp(text, "file:", 5) == 0)
        return rest[0] == '/';
    size_t len = strcspn(rest, "/?#");
    const char *at = memchr(rest, '@', len);
    if (at) {
        len -= (size_t)(at + 1 - rest);
        rest = at + 1;
    }
    return is_authority(rest, len, false);
}

/* "TERM", "SIGTERM", "15" → 15; 0 when it is none. */
static int signal_number(const char *text)
{
    uint64_t n;
    if (parse_u64(text, 1, 64, &n) == 0)
        return (int)n;
    if (strncmp(text, "SIG", 3) == 0)
        text += 3;
    for (int s = 1; s < NSIG; s++) {
        const char *name = sigabbrev_np(s);
        if (name && strcmp(name, text) == 0)
            return s;
    }
    return 0;
}

static bool is_name(const char *text)
{
    if (!isalnum((unsigned char)text[0]) || strlen(text) > 48)
        return false;
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && !strchr("-_.", *text))
            return false;
    return true;
}

/* Decimal numbers are durations without a unit: both are thousandths of one. */
static int decimal(const char *text, uint64_t *ret)
{
    if (strspn(text, "0123456789.") != strlen(text))
        return -EINVAL;
    return parse_duration_ms(text, ret);
}

static int to_number(const struct setting *o, const char *text, uint64_t *ret)
{
    int flag, r;
    switch (o->type) {
    case OPTION_COUNT:
        return parse_u64(text, 0, UINT64_MAX, ret);
    case OPTION_DECIMAL:
        return decimal(text, ret);
    case OPTION_DURATION:
        return parse_duration_ms(text, ret);
    case OPTION_SIZE:
        return parse_size(text, ret);
    case OPTION_FLAG:
        r = parse_bool(text, &flag);
        *ret = r == 0 && flag;
        return r;
    case OPTION_SIGNAL:
        *ret = (uint64_t)signal_number(text);
        return *ret ? 0 : -EINVAL;
    case OPTION_CHOICE:
        r = word_index(o->words, text, strlen(text));
        *ret = (uint64_t)r;
        return r < 0 ? -EINVAL : 0;
    case OPTION_TEXT:
    case OPTION_PATH:
    case OPTION_URL:
    case OPTION_HOST:
    case OPTION_HOSTPORT:
    case OPTION_NAME:
    case OPTION_PAIRS:
    case OPTION_PLACE:
    case OPTION_PORT:
    case OPTION_SYSCALL:
    case OPTION_CAPABILITY:
    case OPTION_TYPE_MAX:
        break;
    }
    return -EINVAL;
}

uint64_t option_number(const struct setting *o, const char *text)
{
    uint64_t n = 0;
    return to_number(o, text, &n) == 0 ? n : 0;
}

/* A path of a profile, before its names are put in. */
static bool is_place(const char *text)
{
    static const char *const names[] = { "$HOME", "$TMP", "$NPM_CACHE" };
    if (strpbrk(text, "\n\r"))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        size_t n = strlen(names[i]);
        if (strncmp(text, names[i], n) == 0 && (!text[n] || text[n] == '/'))
            return profile_path_fits(*(text + n) ? text + n : "/");
    }
    return profile_path_fits(text);
}

static bool acceptable(const struct setting *o, const char *text)
{
    uint64_t n;
    switch (o->type) {
    case OPTION_TEXT:
    case OPTION_PAIRS:
        return !strpbrk(text, "\n\r") || o->list;
    case OPTION_PATH:
        return text[0] == '/' && !strpbrk(text, "\n\r") && strlen(text) < 4096;
    case OPTION_URL:
        return is_url(o->words, text);
    case OPTION_HOST:
        return is_address(text) || is_host(text, strlen(text));
    case OPTION_HOSTPORT:
        return is_authority(text, strlen(text), true);
    case OPTION_NAME:
        return is_name(text);
    case OPTION_PLACE:
        return is_place(text);
    case OPTION_PORT:
        return profile_port_fits(text);
    case OPTION_SYSCALL:
        return profile_syscall_fits(text);
    case OPTION_CAPABILITY:
        return profile_capability_fits(text);
    case OPTION_FLAG:
    case OPTION_COUNT:
    case OPTION_DECIMAL:
    case OPTION_DURATION:
    case OPTION_SIZE:
    case OPTION_CHOICE:
    case OPTION_SIGNAL:
        return to_number(o, text, &n) == 0 && n >= o->min && (!o->max || n <= o->max);
    case OPTION_TYPE_MAX:
        break;
    }
    return false;
}

static void put_words(struct buf *out, const char *words)
{
    for (const char *w = words; *w;) {
        size_t n = strcspn(w, "|");
        if (w != words)
            buf_puts(out, w[n] ? ", " : " or ");
        buf_append(out, w, n);
        w += n + (w[n] == '|');
    }
}

static void put_duration(struct buf *out, uint64_t ms)
{
    static const struct {
        uint64_t factor;
        const char *name;
    } units[] = { { 3600000, "h" }, { 60000, "m" }, { 1000, "s" }, { 1, "ms" } };
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (ms && ms % units[i].factor == 0) {
            buf_printf(out, "%llu%s", (unsigned long long)(ms / units[i].factor), units[i].name);
            return;
        }
    }
    buf_puts(out, "0s");
}

static void put_range(const struct setting *o, struct buf *out)
{
    const uint64_t ends[] = { o->min, o->max };
    if (!o->max && !o->min)
        return;
    for (size_t i = 0; i < 2; i++) {
        if (i && !o->max)
            break;
        buf_puts(out, i ? " to " : o->max ? " from " : " of at least ");
        if (o->type == OPTION_DURATION)
            put_duration(out, ends[i]);
        else if (o->type == OPTION_DECIMAL)
            buf_printf(out, "%g", (double)ends[i] / 1000);
        else
            buf_printf(out, "%llu", (unsigned long long)ends[i]);
    }
}

static void put_expected(const struct setting *o, struct buf *out)
{
    static const char *const what[] = {
        [OPTION_TEXT] = "one line of text",
        [OPTION_PATH] = "an absolute path",
        [OPTION_FLAG] = "true or false",
        [OPTION_COUNT] = "a number",
        [OPTION_DECIMAL] = "a number",
        [OPTION_DURATION] = "a duration",
        [OPTION_SIZE] = "a size such as 64KiB, 256MiB or 2GiB",
        [OPTION_CHOICE] = "",
        [OPTION_URL] = "a URL with ",
        [OPTION_HOST] = "an IP address or a host name",
        [OPTION_HOSTPORT] = "host:port",
        [OPTION_SIGNAL] = "a signal such as TERM, INT or 15",
        [OPTION_NAME] = "a name of letters, digits, '-', '_' and '.'",
        [OPTION_PAIRS] = "one line of text",
        [OPTION_PLACE] = ("an absolute path, or one from $HOME, $RUNTIME, $STATE, $CWD, $TMP or "
                          "$NPM_CACHE on"),
        [OPTION_PORT] = "any, none, or a port",
        [OPTION_SYSCALL] = "the name of a system call",
        [OPTION_CAPABILITY] = "the name of a capability, such as NET_BIND_SERVICE",
    };
    _Static_assert(ARRAY_SIZE(what) == OPTION_TYPE_MAX, "a text for every type");
    buf_puts(out, what[o->type]);
    if (o->words)
        put_words(out, o->words);
    put_range(o, out);
    if (o->type == OPTION_DURATION)
        buf_puts(out, ", such as 250ms, 5s, 2m or 1h");
}

int option_check(const struct setting *o, const char *text, struct buf *expected)
{
    if (*text ? acceptable(o, text)
              : o->empty || (o->list && o->type == OPTION_TEXT) || o->type == OPTION_PAIRS)
        return 0;
    put_expected(o, expected);
    return -EINVAL;
}
