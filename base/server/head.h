/* The head of an HTTP/1.1 request (RFC 9112), read strictly: whatever two parsers could take in two
 * ways is refused, so that nothing can be smuggled past a proxy in front. */
#pragma once

#include "base/server/server.h"

#define SERVER_HEAD_MAX   ((size_t)16 << 10)
#define SERVER_FIELDS_MAX 64

struct server_field {
    char *name; /* in lower case */
    char *value;
};

struct server_head {
    enum server_method method;
    char *path;  /* decoded, dot segments and doubled slashes removed */
    char *query; /* as it came, after the '?'; NULL: none */
    struct server_field fields[SERVER_FIELDS_MAX];
    size_t field_count;
    int64_t content_length; /* -1: none given */
    bool http11;
    bool chunked;
    bool keep_alive;
    bool expects_continue;
};

/* Looks for the end of a head in `text`, from `*scanned` on, which it moves. >0: the length of the
 * head with its empty line; 0: not yet; -EBADMSG: a line that does not end in CR LF; -EFBIG: more
 * than SERVER_HEAD_MAX without an end. */
ssize_t server_head_find(const char *text, size_t len, size_t *scanned);

/* Parses a whole head in place; `ret` points into `text`, which must be writable and stay. 0, or
 * the HTTP status to refuse it with. `*ret_why` then is a sentence. */
int server_head_parse(struct server_head *ret, char *text, size_t len, const char **ret_why);

/* The first field of that name, NULL if absent. */
const char *server_head_field(const struct server_head *h, const char *name);

/* Is `word` in the comma-separated list, whatever its case? NULL list: no. */
bool server_list_has(const char *list, const char *word);

/* Percent-decodes in place, `plus` also makes + a space. 0, or -EBADMSG for a bad escape, a NUL or
 * invalid UTF-8. */
int server_percent_decode(char *s, bool plus);

/* Removes "//", "/./" and "/../" of a decoded absolute path in place; above the root is the root.
 */
void server_path_normalise(char *path);
