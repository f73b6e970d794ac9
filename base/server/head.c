#include "base/server/head.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>

#include "base/core/cleanup.h"
#include "base/core/parse.h"
#include "base/core/utf8.h"

static const struct {
    const char *name;
    enum server_method method;
} methods[] = {
    { "GET", SERVER_GET },         { "HEAD", SERVER_HEAD },   { "POST", SERVER_POST },
    { "PUT", SERVER_PUT },         { "PATCH", SERVER_PATCH }, { "DELETE", SERVER_DELETE },
    { "OPTIONS", SERVER_OPTIONS },
};
_Static_assert(ARRAY_SIZE(methods) == SERVER_METHOD_OTHER, "a name for every method");

ssize_t server_head_find(const char *text, size_t len, size_t *scanned)
{
    for (size_t i = *scanned; i < len; i++) {
        if (i >= SERVER_HEAD_MAX)
            return -EFBIG;
        if (text[i] != '\n')
            continue;
        if (i == 0 || text[i - 1] != '\r')
            return -EBADMSG;
        if (i >= 3 && text[i - 2] == '\n') {
            *scanned = 0;
            return (ssize_t)(i + 1);
        }
    }
    *scanned = len;
    return 0;
}

static bool is_token(const char *s)
{
    static const char plain[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "abcdefghijklmnopqrstuvwxyz";
    return *s && s[strspn(s, plain)] == '\0';
}

const char *server_head_field(const struct server_head *h, const char *name)
{
    for (size_t i = 0; i < h->field_count; i++)
        if (strcmp(h->fields[i].name, name) == 0)
            return h->fields[i].value;
    return NULL;
}

bool server_list_has(const char *list, const char *word)
{
    size_t len = strlen(word);
    while (list && *list) {
        list += strspn(list, ", \t");
        size_t n = strcspn(list, ", \t");
        if (n == len && strncasecmp(list, word, len) == 0)
            return true;
        list += n;
    }
    return false;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int server_percent_decode(char *s, bool plus)
{
    char *to = s;
    for (const char *p = s; *p; p++) {
        if (*p != '%') {
            *to++ = plus && *p == '+' ? ' ' : *p;
            continue;
        }
        int hi = hex_value(p[1]), lo = hi < 0 ? -1 : hex_value(p[2]);
        if (lo < 0 || (hi == 0 && lo == 0))
            return -EBADMSG;
        *to++ = (char)(hi * 16 + lo);
        p += 2;
    }
    *to = '\0';
    return utf8_valid(s, (size_t)(to - s)) ? 0 : -EBADMSG;
}

void server_path_normalise(char *path)
{
    char *to = path; /* what stands before it is done and ends without a slash */
    const char *p = path;
    while (*p) {
        p += strspn(p, "/");
        size_t n = strcspn(p, "/");
        bool last = p[n] == '\0';
        if (n == 2 && p[0] == '.' && p[1] == '.') {
            while (to > path && *--to != '/')
                ;
            n = 0;
        } else if (n == 1 && p[0] == '.') {
            n = 0;
        } else if (n) {
            *to++ = '/';
            memmove(to, p, n);
            to += n;
            p += n;
            continue;
        }
        p += strcspn(p, "/");
        if (last)
            *to++ = '/';
    }
    if (to == path)
        *to++ = '/';
    *to = '\0';
}

static int parse_target(struct server_head *h, char *target, const char **ret_why)
{
    *ret_why = "the request target is malformed";
    if (strncasecmp(target, "http://", 7) == 0) { /* absolute form, as to a proxy */
        target += 7;
        target += strcspn(target, "/?");
    }
    if (strcmp(target, "*") == 0 && h->method == SERVER_OPTIONS) {
        h->path = target;
        return 0;
    }
    if (*target != '/' || strchr(target, '#'))
        return 400;
    for (const char *p = target; *p; p++)
        if ((unsigned char)*p <= 0x20 || *p == 0x7f)
            return 400;
    char *query = strchr(target, '?');
    if (query) {
        *query = '\0';
        h->query = query + 1;
    }
    h->path = target;
    if (server_percent_decode(h->path, false) < 0) {
        *ret_why = "the path is not valid percent-encoded UTF-8";
        return 400;
    }
    server_path_normalise(h->path);
    return 0;
}

static int parse_request_line(struct server_head *h, char *line, const char **ret_why)
{
    char *target = strchr(line, ' ');
    char *version = target ? strchr(target + 1, ' ') : NULL;
    *ret_why = "the request line is malformed";
    if (!version || strchr(version + 1, ' '))
        return 400;
    *target++ = '\0';
    *version++ = '\0';
    if (!is_token(line))
        return 400;
    if (strncmp(version, "HTTP/1.", 7) != 0 || (version[7] != '0' && version[7] != '1') ||
        version[8]) {
        *ret_why = "only HTTP/1.1 and HTTP/1.0 are spoken here";
        return strncmp(version, "HTTP/", 5) == 0 ? 505 : 400;
    }
    h->http11 = version[7] == '1';
    h->method = SERVER_METHOD_OTHER;
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
        if (strcmp(methods[i].name, line) == 0)
            h->method = methods[i].method;
    if (h->method == SERVER_METHOD_OTHER) {
        *ret_why = "the method is not known here";
        return 405;
    }
    return parse_target(h, target, ret_why);
}

static int parse_field(struct server_head *h, char *line, const char **ret_why)
{
    char *colon = strchr(line, ':');
    *ret_why = "a header field is malformed";
    if (!colon)
        return 400;
    *colon = '\0';
    if (!is_token(line)) /* also a folded line, and white space before the colon */
        return 400;
    char *value = colon + 1 + strspn(colon + 1, " \t");
    size_t len = strlen(value);
    while (len && (value[len - 1] == ' ' || value[len - 1] == '\t'))
        value[--len] = '\0';
    for (const char *p = value; *p; p++)
        if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
            return 400;
    if (h->field_count == SERVER_FIELDS_MAX) {
        *ret_why = "there are too many header fields";
        return 431;
    }
    for (char *p = line; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p | 0x20);
    h->fields[h->field_count++] = (struct server_field){ .name = line, .value = value };
    return 0;
}

/* Fields that must not come twice: of two, a proxy might have read the other. */
static int check_single(const struct server_head *h, const char **ret_why)
{
    static const char *const single[] = { "host",          "content-length", "transfer-encoding",
                                          "authorization", "content-type",   "expect" };
    for (size_t i = 0; i < ARRAY_SIZE(single); i++) {
        unsigned count = 0;
        for (size_t f = 0; f < h->field_count; f++)
            count += strcmp(h->fields[f].name, single[i]) == 0;
        if (count > 1) {
            *ret_why = "a header field that must be single came twice";
            return 400;
        }
    }
    return 0;
}

static int check_framing(struct server_head *h, const char **ret_why)
{
    const char *length = server_head_field(h, "content-length");
    const char *coding = server_head_field(h, "transfer-encoding");
    uint64_t n = 0;
    *ret_why = "the length of the body is unclear";
    if (length && (coding || parse_u64(length, 0, INT64_MAX, &n) < 0))
        return 400;
    if (coding && !h->http11)
        return 400;
    if (coding && strcasecmp(coding, "chunked") != 0) {
        *ret_why = "the only transfer coding known here is chunked";
        return 501;
    }
    h->content_length = length ? (int64_t)n : -1;
    h->chunked = coding != NULL;
    return 0;
}

static int check_fields(struct server_head *h, const char **ret_why)
{
    int status = check_single(h, ret_why);
    if (status == 0)
        status = check_framing(h, ret_why);
    if (status)
        return status;
    if (h->http11 && !server_head_field(h, "host")) {
        *ret_why = "the Host field is missing";
        return 400;
    }
    const char *expect = server_head_field(h, "expect");
    if (expect && strcasecmp(expect, "100-continue") != 0) {
        *ret_why = "the expectation is not known here";
        return 417;
    }
    const char *connection = server_head_field(h, "connection");
    h->expects_continue = expect && h->http11;
    h->keep_alive = h->http11 ? !server_list_has(connection, "close")
                              : server_list_has(connection, "keep-alive");
    return 0;
}

int server_head_parse(struct server_head *ret, char *text, size_t len, const char **ret_why)
{
    struct server_head *h = ret;
    *h = (struct server_head){ .method = SERVER_METHOD_OTHER, .content_length = -1 };
    *ret_why = "the head holds a NUL";
    if (memchr(text, '\0', len))
        return 400;
    char *line = text;
    for (int status; strncmp(line, "\r\n", 2) != 0;) { /* the empty line ends the head */
        char *end = strstr(line, "\r\n");
        *ret_why = "a line is malformed";
        if (!end)
            return 400;
        *end = '\0';
        if (strchr(line, '\r'))
            return 400;
        status =
            line == text ? parse_request_line(h, line, ret_why) : parse_field(h, line, ret_why);
        if (status)
            return status;
        line = end + 2;
    }
    *ret_why = "there is no request line";
    return h->path ? check_fields(h, ret_why) : 400;
}
