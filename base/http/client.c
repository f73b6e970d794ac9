/* The client: curl's multi interface on a libuv loop, one uv_poll_t for each socket of curl's. */
#include "base/http/http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/http/internal.h"

#define POOL_MAX 16L /* idle connections kept */

struct http_socket {
    uv_poll_t poll;
    struct http_client *client;
    curl_socket_t fd;
};

static void free_handle(uv_handle_t *h)
{
    free(h->data);
}

static void free_memory(struct http_client *c)
{
    free(c->ca_file);
    free(c->ca_folder);
    free(c);
}

static void free_client(uv_handle_t *timer)
{
    free_memory(timer->data);
}

/* Curl's own end: everything of it goes now, the timer in the loop. */
static void tear_down(struct http_client *c)
{
    c->closing = true;
    while (c->requests)
        http_request_drop(c->requests);
    c->in_curl = true; /* closing pooled connections calls on_socket */
    curl_multi_cleanup(c->multi);
    uv_close((uv_handle_t *)&c->timer, free_client);
}

void http_client_enter(struct http_client *c)
{
    c->busy++;
}

void http_client_leave(struct http_client *c)
{
    if (c->busy > 1) {
        c->busy--;
        return;
    }
    for (struct http_request *r = c->requests, *next; r; r = next) {
        next = r->next;
        if (r->cancelled)
            http_request_drop(r);
    }
    c->busy--;
    if (c->freed)
        tear_down(c);
}

/* One pass over finished transfers. A callback may start, cancel or free anything. */
static void finish_done(struct http_client *c)
{
    int left = 0;
    CURLMsg *m;
    while (!c->freed && (m = curl_multi_info_read(c->multi, &left))) {
        struct http_request *r = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        CURLcode code = m->data.result;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &r);
        if (r->cancelled) {
            (void)curl_multi_remove_handle(c->multi, r->easy);
            continue;
        }
        struct http_response response;
        http_request_result(r, code, &response);
        r->cancelled = true; /* from here on it only waits to be dropped */
        if (r->on_done)
            r->on_done(r->data, &response);
        if (!c->freed)
            http_request_drop(r);
    }
}

/* Requests that were started while curl was on the stack (from on_chunk). */
static void add_waiting(struct http_client *c)
{
    for (struct http_request *r = c->requests; r && !c->freed; r = r->next) {
        if (!r->waiting || r->cancelled)
            continue;
        r->waiting = false;
        if (curl_multi_add_handle(c->multi, r->easy) == CURLM_OK)
            continue;
        struct http_response response;
        http_request_result(r, CURLE_OUT_OF_MEMORY, &response);
        r->cancelled = true;
        if (r->on_done)
            r->on_done(r->data, &response);
    }
}

static void act(struct http_client *c, curl_socket_t fd, int events)
{
    int running = 0;
    http_client_enter(c);
    c->in_curl = true;
    (void)curl_multi_socket_action(c->multi, fd, events, &running);
    c->in_curl = false;
    add_waiting(c);
    finish_done(c);
    http_client_leave(c);
}

static void on_timeout(uv_timer_t *timer)
{
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer(CURLM *multi, long timeout_ms, void *data)
{
    struct http_client *c = data;
    (void)multi;
    if (c->closing)
        return 0;
    if (timeout_ms < 0)
        (void)uv_timer_stop(&c->timer);
    else
        (void)uv_timer_start(&c->timer, on_timeout, (uint64_t)timeout_ms, 0);
    return 0;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct http_socket *s = poll->data;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    act(s->client, s->fd, flags);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *socket_data)
{
    struct http_client *c = data;
    struct http_socket *s = socket_data;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (s) {
            (void)uv_poll_stop(&s->poll);
            (void)curl_multi_assign(c->multi, fd, NULL);
            uv_close((uv_handle_t *)&s->poll, free_handle);
        }
        return 0;
    }
    if (!s) {
        s = calloc(1, sizeof *s);
        if (!s)
            return -1;
        s->client = c;
        s->fd = fd;
        if (uv_poll_init_socket(c->loop, &s->poll, fd) < 0) {
            free(s);
            return -1;
        }
        s->poll.data = s;
        (void)curl_multi_assign(c->multi, fd, s);
    }
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&s->poll, events, on_ready) < 0 ? -1 : 0;
}

int http_client_new(struct http_client **ret, uv_loop_t *loop, const char *ca_file)
{
    static bool ready;
    if (!ready && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return -ENOMEM;
    ready = true;
    struct http_client *c = calloc(1, sizeof *c);
    if (!c)
        return -ENOMEM;
    if (http_trust_choose(c, ca_file) < 0 || !(c->multi = curl_multi_init())) {
        free_memory(c);
        return -ENOMEM;
    }
    c->loop = loop;
    (void)curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    (void)curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    (void)curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, POOL_MAX);
    (void)uv_timer_init(loop, &c->timer);
    c->timer.data = c;
    *ret = c;
    return 0;
}

void http_client_free(struct http_client *c)
{
    if (!c || c->freed)
        return;
    c->freed = true;
    for (struct http_request *r = c->requests; r; r = r->next)
        r->cancelled = true;
    if (!c->busy)
        tear_down(c);
}

int http_start(struct http_client *c, const struct http_options *options, struct http_request **ret)
{
    if (c->freed)
        return -ESHUTDOWN;
    struct http_request *r = calloc(1, sizeof *r);
    if (!r)
        return -ENOMEM;
    r->client = c;
    r->next = c->requests;
    if (r->next)
        r->next->prev = r;
    c->requests = r;
    int error = http_request_setup(r, options);
    r->waiting = c->in_curl;
    if (error == 0 && !r->waiting && curl_multi_add_handle(c->multi, r->easy) != CURLM_OK)
        error = -ENOMEM;
    if (error < 0) {
        if (c->in_curl)
            r->cancelled = true;
        else
            http_request_drop(r);
        return error;
    }
    if (ret)
        *ret = r;
    return 0;
}

void http_cancel(struct http_request *r)
{
    if (!r || r->cancelled)
        return;
    if (r->client->busy)
        r->cancelled = true;
    else
        http_request_drop(r);
}
