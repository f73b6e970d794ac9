/* What a handler may ask of its request. */
#include "base/server/server.h"

#include <stdlib.h>
#include <string.h>

#include "base/server/internal.h"

void server_request_free(struct server_request *r)
{
    if (!r)
        return;
    buf_release(&r->body);
    free(r->query);
    free(r->text);
    free(r);
}

enum server_method server_request_method(const struct server_request *r)
{
    return r->head.method;
}

const char *server_request_path(const struct server_request *r)
{
    return r->head.path;
}

/* Decodes all parameters at once. Malformed ones are left out, as are those past the limit. */
static void split_query(struct server_request *r)
{
    if (r->query || !r->head.query || !(r->query = strdup(r->head.query)))
        return;
    char *next = r->query;
    for (char *pair; r->param_count < SERVER_QUERY_MAX && (pair = strsep(&next, "&"));) {
        char *value = strchr(pair, '=');
        if (value)
            *value++ = '\0';
        else
            value = pair + strlen(pair);
        if (!*pair || server_percent_decode(pair, true) < 0 ||
            server_percent_decode(value, true) < 0)
            continue;
        r->params[r->param_count++] = (struct server_param){ .name = pair, .value = value };
    }
}

const char *server_request_query(struct server_request *r, const char *name)
{
    split_query(r);
    for (size_t i = 0; i < r->param_count; i++)
        if (strcmp(r->params[i].name, name) == 0)
            return r->params[i].value;
    return NULL;
}

const char *server_request_header(struct server_request *r, const char *name)
{
    return server_head_field(&r->head, name);
}

const char *server_request_body(const struct server_request *r, size_t *ret_len)
{
    if (ret_len)
        *ret_len = r->body.len;
    return buf_str(&r->body);
}

const char *server_request_peer(const struct server_request *r)
{
    return r->peer;
}

void server_request_on_gone(struct server_request *r, void (*fn)(void *data), void *data)
{
    r->gone = fn;
    r->gone_data = data;
}
