/* Opening: the URL, the addresses behind its name, one attempt for each. */
#include "base/ws/ws.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/parse.h"
#include "base/ws/internal.h"

#define CONNECT_DEFAULT_MS 10000
#define CODE_ABNORMAL      1006

static bool take_scheme(struct ws *ws, const char **url)
{
    static const struct {
        const char *text;
        bool tls;
        uint16_t port;
    } schemes[] = { { "wss://", true, 443 }, { "ws://", false, 80 } };
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        size_t n = strlen(schemes[i].text);
        if (strncmp(*url, schemes[i].text, n) != 0)
            continue;
        *url += n;
        ws->tls = schemes[i].tls;
        ws->port = schemes[i].port;
        return true;
    }
    return false;
}

static int parse_url(struct ws *ws, const char *url)
{
    if (!take_scheme(ws, &url) || strpbrk(url, " \t\r\n"))
        return -EINVAL;
    bool bracketed = *url == '[';
    const char *host = url + bracketed;
    size_t host_len = strcspn(host, bracketed ? "]" : ":/?#");
    const char *after = host + host_len + bracketed;
    if (!host_len || (bracketed && host[host_len] != ']'))
        return -EINVAL;
    if (*after == ':') {
        char digits[8];
        uint64_t port;
        size_t n = strcspn(++after, "/?#");
        if (n >= sizeof digits)
            return -EINVAL;
        (void)snprintf(digits, sizeof digits, "%.*s", (int)n, after);
        if (parse_u64(digits, 1, 65535, &port) < 0)
            return -EINVAL;
        ws->port = (uint16_t)port;
        after += n;
    }
    if (*after && !strchr("/?", *after))
        return -EINVAL;
    ws->host = strndup(host, host_len);
    size_t size = strlen(after) + 2;
    ws->path = malloc(size);
    if (!ws->host || !ws->path)
        return -ENOMEM;
    (void)snprintf(ws->path, size, "%s%s", *after == '/' ? "" : "/", after);
    return 0;
}

static bool try_address(struct ws *ws, const struct addrinfo *a)
{
    char numeric[NI_MAXHOST];
    char host[300];
    if (getnameinfo(a->ai_addr, a->ai_addrlen, numeric, sizeof numeric, NULL, 0, NI_NUMERICHOST))
        return false;
    bool default_port = ws->port == (ws->tls ? 443 : 80);
    bool six = strchr(ws->host, ':') != NULL;
    (void)snprintf(host, sizeof host, default_port ? "%s%s%s" : "%s%s%s:%u", six ? "[" : "",
                   ws->host, six ? "]" : "", (unsigned)ws->port);
    const struct lws_client_connect_info info = {
        .context = ws->client->context,
        .vhost = ws->client->vhost,
        .address = numeric, /* libwebsockets would resolve a name by itself, and block */
        .port = ws->port,
        .path = ws->path,
        .host = host, /* also the name that the certificate must bear */
        .ssl_connection = ws->tls ? LCCSCF_USE_SSL : 0,
        .local_protocol_name = "codev",
        .opaque_user_data = ws,
        .pwsi = &ws->wsi,
    };
    ws->in_callback = true;
    struct lws *wsi = lws_client_connect_via_info(&info);
    ws->in_callback = false;
    if (!wsi)
        ws->wsi = NULL;
    return wsi != NULL;
}

void ws_connect_next(struct ws *ws, const char *why)
{
    if (ws->state == WS_CLOSING) {
        ws_end(ws, ws->close_code, "closed before it was open");
        return;
    }
    while (ws->next_address) {
        const struct addrinfo *a = ws->next_address;
        ws->next_address = a->ai_next;
        if (try_address(ws, a))
            return;
    }
    ws_end(ws, CODE_ABNORMAL, why);
}

static void on_looked_up(uv_getaddrinfo_t *lookup, int status, struct addrinfo *found)
{
    struct ws *ws = lookup->data;
    ws->addresses = found;
    ws->next_address = found;
    if (ws->state == WS_RESOLVING && status < 0) {
        char why[400];
        (void)snprintf(why, sizeof why, "cannot find the address of %s: %s", ws->host,
                       uv_strerror(status));
        ws_end(ws, CODE_ABNORMAL, why);
    } else if (ws->state == WS_RESOLVING) {
        ws->state = WS_CONNECTING;
        ws_connect_next(ws, "cannot connect");
    } else if (ws->state == WS_CLOSING) {
        ws_end(ws, ws->close_code, "closed before it was open");
    }
    ws_unref(ws);
}

int ws_open(struct ws_client *c, const struct ws_options *options, struct ws **ret, struct error *e)
{
    struct ws *ws = c->freed ? NULL : ws_new(c, options);
    if (!ws)
        return error_set_errno(e, -ENOMEM, "cannot open a WebSocket");
    int r = parse_url(ws, options->url);
    if (r == 0) {
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
        ws->lookup.data = ws;
        r = uv_getaddrinfo(c->loop, &ws->lookup, on_looked_up, ws->host, NULL, &hints);
    }
    if (r < 0) {
        ws_abandon(ws);
        return error_set_errno(e, r,
                               "cannot open a WebSocket: the URL is malformed or memory is "
                               "short");
    }
    ws->refs++;
    ws_watch(ws, options->connect_timeout_ms ? options->connect_timeout_ms : CONNECT_DEFAULT_MS);
    if (ret)
        *ret = ws;
    return 0;
}
