/* One exchange: from our options to curl's, from curl's result to our response. */
#include "base/http/http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/parse.h"
#include "base/http/internal.h"

#define MAX_BODY_DEFAULT           ((size_t)8 << 20)
#define CONNECT_TIMEOUT_DEFAULT_MS 5000

static void free_timer(uv_handle_t *h)
{
    free(h);
}

void http_request_drop(struct http_request *r)
{
    struct http_client *c = r->client;
    if (r->easy) {
        (void)curl_multi_remove_handle(c->multi, r->easy);
        curl_easy_cleanup(r->easy);
    }
    if (r->prev)
        r->prev->next = r->next;
    else
        c->requests = r->next;
    if (r->next)
        r->next->prev = r->prev;
    if (r->idle)
        uv_close((uv_handle_t *)r->idle, free_timer);
    curl_slist_free_all(r->headers);
    buf_release(&r->body);
    free(r->out);
    free(r);
}

static size_t on_read(char *to, size_t size, size_t count, void *data)
{
    struct http_request *r = data;
    size_t room = size * count, left = r->out_len - r->out_at, n = room < left ? room : left;
    memcpy(to, r->out + r->out_at, n);
    r->out_at += n;
    return n;
}

static size_t on_body(char *chunk, size_t size, size_t count, void *data)
{
    struct http_request *r = data;
    size_t len = size * count;
    long status = 0;
    if (r->cancelled)
        return 0; /* makes curl end the transfer */
    r->last_byte_ms = clock_mono_ms();
    (void)curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    if (r->on_chunk && status / 100 == 2) {
        r->on_chunk(r->data, chunk, len);
        return r->cancelled ? 0 : len;
    }
    if (buf_append(&r->body, chunk, len) < 0) {
        r->too_big = true;
        return 0;
    }
    return len;
}

/* A silent stream: the transfer is ended here, since curl's own low-speed check works in whole
 * seconds of averages. */
static void on_idle(uv_timer_t *timer)
{
    struct http_request *r = timer->data;
    uint64_t silent = clock_mono_ms() - r->last_byte_ms;
    if (silent < r->idle_timeout_ms) {
        (void)uv_timer_start(timer, on_idle, r->idle_timeout_ms - silent, 0);
        return;
    }
    struct http_client *c = r->client;
    struct http_response response;
    http_client_enter(c);
    r->idled = true;
    http_request_result(r, CURLE_OPERATION_TIMEDOUT, &response);
    r->cancelled = true;
    if (r->on_done)
        r->on_done(r->data, &response);
    http_client_leave(c);
}

static int setup_idle(struct http_request *r, uint64_t timeout_ms)
{
    if (!timeout_ms)
        return 0;
    r->idle = calloc(1, sizeof *r->idle);
    if (!r->idle)
        return -ENOMEM;
    r->idle_timeout_ms = timeout_ms;
    r->last_byte_ms = clock_mono_ms();
    (void)uv_timer_init(r->client->loop, r->idle);
    r->idle->data = r;
    return uv_timer_start(r->idle, on_idle, timeout_ms, 0);
}

static int add_header(struct http_request *r, const char *line)
{
    if (strpbrk(line, "\r\n"))
        return -EINVAL;
    struct curl_slist *list = curl_slist_append(r->headers, line);
    if (!list)
        return -ENOMEM;
    r->headers = list;
    return 0;
}

static int add_named(struct http_request *r, const char *name, const char *value)
{
    _cleanup_buf_ struct buf line = BUF_INIT;
    (void)buf_printf(&line, "%s%s", name, value);
    int error = line.failed ? -ENOMEM : add_header(r, buf_str(&line));
    if (line.data)
        explicit_bzero(line.data, line.len);
    return error;
}

static int setup_headers(struct http_request *r, const struct http_options *o)
{
    int error = add_header(r, "Expect:"); /* no 100-continue: one round trip less */
    for (size_t i = 0; error == 0 && o->headers && o->headers[i]; i++)
        error = add_header(r, o->headers[i]);
    if (error == 0 && o->body)
        error = add_named(r, "Content-Type: ",
                          o->content_type ? o->content_type : "application/json; charset=utf-8");
    if (error == 0 && !o->body)
        error = add_header(r, "Content-Type:"); /* else curl calls an empty POST a form */
    if (error == 0 && o->bearer)
        error = add_named(r, "Authorization: Bearer ", o->bearer);
    return error;
}

static CURLcode setup_body(struct http_request *r, const struct http_options *o)
{
    CURLcode code = curl_easy_setopt(r->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)o->body_len);
    if (code != CURLE_OK || !o->once)
        return code == CURLE_OK ? curl_easy_setopt(r->easy, CURLOPT_COPYPOSTFIELDS, o->body) : code;
    r->out = malloc(o->body_len + 1);
    if (!r->out)
        return CURLE_OUT_OF_MEMORY;
    memcpy(r->out, o->body, o->body_len);
    r->out_len = o->body_len;
    (void)curl_easy_setopt(r->easy, CURLOPT_READFUNCTION, on_read);
    (void)curl_easy_setopt(r->easy, CURLOPT_READDATA, r);
    return curl_easy_setopt(r->easy, CURLOPT_POST, 1L);
}

static CURLcode setup_method(struct http_request *r, const struct http_options *o)
{
    CURL *e = r->easy;
    CURLcode code = o->body ? setup_body(r, o) : CURLE_OK;
    if (code != CURLE_OK || !o->method)
        return code;
    if (strcmp(o->method, "HEAD") == 0)
        return curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
    if (strcmp(o->method, "POST") == 0 && !o->body) {
        code = curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, 0L);
        return code == CURLE_OK ? curl_easy_setopt(e, CURLOPT_POST, 1L) : code;
    }
    return curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, o->method);
}

static long to_long_ms(uint64_t ms)
{
    return ms > INT32_MAX ? INT32_MAX : (long)ms;
}

static CURLcode setup_limits(CURL *e, const struct http_options *o)
{
    uint64_t connect = o->connect_timeout_ms ? o->connect_timeout_ms : CONNECT_TIMEOUT_DEFAULT_MS;
    (void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, to_long_ms(o->timeout_ms));
    (void)curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, to_long_ms(connect));
    (void)curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    (void)curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, o->fresh_connection ? 1L : 0L);
    (void)curl_easy_setopt(e, CURLOPT_FORBID_REUSE, o->fresh_connection ? 1L : 0L);
    (void)curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
    (void)curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
    /* What these switch off is not linked in (absent/absent.h). */
    (void)curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(e, CURLOPT_SOCKS5_AUTH, (long)CURLAUTH_BASIC);
    CURLcode code = curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    return code == CURLE_OK ? curl_easy_setopt(e, CURLOPT_NOPROXY, "127.0.0.1,localhost,::1")
                            : code;
}

static CURLcode setup_auth(CURL *e, const struct http_options *o)
{
    if (!o->user || !o->password)
        return CURLE_OK;
    (void)curl_easy_setopt(e, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    CURLcode code = curl_easy_setopt(e, CURLOPT_USERNAME, o->user);
    return code == CURLE_OK ? curl_easy_setopt(e, CURLOPT_PASSWORD, o->password) : code;
}

int http_request_setup(struct http_request *r, const struct http_options *o)
{
    CURL *e = r->easy = curl_easy_init();
    if (!e)
        return -ENOMEM;
    r->on_chunk = o->on_chunk;
    r->on_done = o->on_done;
    r->data = o->data;
    r->body = BUF_INIT_MAX(o->max_body ? o->max_body : MAX_BODY_DEFAULT);
    int error = setup_headers(r, o);
    if (error == 0)
        error = setup_idle(r, o->idle_timeout_ms);
    if (error < 0)
        return error;
    (void)curl_easy_setopt(e, CURLOPT_PRIVATE, r);
    (void)curl_easy_setopt(e, CURLOPT_ERRORBUFFER, r->error_text);
    (void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(e, CURLOPT_WRITEDATA, r);
    (void)curl_easy_setopt(e, CURLOPT_HTTPHEADER, r->headers);
    CURLcode code = curl_easy_setopt(e, CURLOPT_URL, o->url);
    if (code == CURLE_OK)
        code = setup_method(r, o);
    if (code == CURLE_OK)
        code = setup_limits(e, o);
    if (code == CURLE_OK)
        code = setup_auth(e, o);
    if (code == CURLE_OK)
        code = http_trust_apply(r->client, e);
    return code == CURLE_OK ? 0 : code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
}

static const struct {
    CURLcode code;
    int error; /* 0: what the system said, else -ECONNRESET */
} code_table[] = {
    { CURLE_OPERATION_TIMEDOUT, -ETIMEDOUT },
    { CURLE_COULDNT_RESOLVE_HOST, -EHOSTUNREACH },
    { CURLE_COULDNT_RESOLVE_PROXY, -EHOSTUNREACH },
    { CURLE_COULDNT_CONNECT, -ECONNREFUSED },
    { CURLE_URL_MALFORMAT, -EINVAL },
    { CURLE_UNSUPPORTED_PROTOCOL, -EPROTONOSUPPORT },
    { CURLE_OUT_OF_MEMORY, -ENOMEM },
    { CURLE_PEER_FAILED_VERIFICATION, -EKEYREJECTED },
    { CURLE_SSL_CACERT_BADFILE, -EKEYREJECTED },
    { CURLE_SSL_CONNECT_ERROR, -EPROTO },
    { CURLE_WEIRD_SERVER_REPLY, -EPROTO },
    { CURLE_PARTIAL_FILE, -ECONNRESET },
    { CURLE_GOT_NOTHING, -ECONNRESET },
    { CURLE_SEND_ERROR, -ECONNRESET },
    { CURLE_RECV_ERROR, -ECONNRESET },
    { CURLE_SEND_FAIL_REWIND, -ECONNRESET }, /* `once`, and it would have been repeated */
};

static int code_to_error(struct http_request *r, CURLcode code)
{
    long os = 0;
    if (r->too_big)
        return -EFBIG;
    if (code == CURLE_COULDNT_CONNECT &&
        curl_easy_getinfo(r->easy, CURLINFO_OS_ERRNO, &os) == CURLE_OK && os > 0)
        return -(int)os;
    for (size_t i = 0; i < ARRAY_SIZE(code_table); i++)
        if (code_table[i].code == code)
            return code_table[i].error;
    return -EIO;
}

static int64_t retry_after(CURL *easy)
{
    struct curl_header *h = NULL;
    uint64_t seconds;
    if (curl_easy_header(easy, "Retry-After", 0, CURLH_HEADER, -1, &h) != CURLHE_OK ||
        parse_u64(h->value, 0, INT32_MAX, &seconds) < 0)
        return -1;
    return (int64_t)seconds;
}

static const char *failure_text(struct http_request *r, CURLcode code)
{
    if (r->too_big)
        return "the answer is larger than allowed";
    if (r->idled)
        return "the stream was silent for too long";
    return *r->error_text ? r->error_text : curl_easy_strerror(code);
}

void http_request_result(struct http_request *r, CURLcode code, struct http_response *ret)
{
    long status = 0;
    char *type = NULL;
    curl_off_t total_us = 0, before_send_us = 0;
    (void)curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(r->easy, CURLINFO_CONTENT_TYPE, &type);
    (void)curl_easy_getinfo(r->easy, CURLINFO_TOTAL_TIME_T, &total_us);
    (void)curl_easy_getinfo(r->easy, CURLINFO_PRETRANSFER_TIME_T, &before_send_us);
    *ret = (struct http_response){
        .error = code == CURLE_OK ? 0 : code_to_error(r, code),
        .message = code == CURLE_OK ? "" : failure_text(r, code),
        .status = code == CURLE_OK ? (int)status : 0,
        .body = buf_str(&r->body),
        .body_len = r->body.len,
        .content_type = type ? type : "",
        .retry_after_s = retry_after(r->easy),
        .elapsed_us = total_us > 0 ? (uint64_t)total_us : 0,
        .sent = code == CURLE_OK || before_send_us > 0,
    };
}
