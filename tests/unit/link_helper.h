/* A gateway with the link alone, in a child process, and plugins that are raw sockets. */
#pragma once

#include "bridge/gateway/link/link.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/buf.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "base/json/json.h"
#include "bridge/gateway/core/crash.h"
#include "bridge/gateway/core/run.h"
#include "bridge/gateway/store/store.h"
#include "tests/unit/run_suite.h"

#define TOKEN   "bridge-token"
#define WAIT_MS 15000

static char dir[256];
static pid_t gateway;
static uint16_t port;

/* ---------------------------------------------------------------- the gateway: a child process */

static struct link *lk;
static struct core *core;

static inline void on_request(void *data, struct server_request *r)
{
    (void)data;
    link_permission_request(lk, r);
}

static inline int on_open(void *data, struct server_ws *ws)
{
    (void)data;
    return link_ws_open(lk, ws);
}

static inline void on_message(void *data, struct server_ws *ws, const char *msg, size_t len,
                              bool binary)
{
    (void)data;
    link_ws_message(lk, ws, msg, len, binary);
}

static inline void on_close(void *data, struct server_ws *ws)
{
    (void)data;
    link_ws_close(lk, ws);
}

static inline void on_term(uv_signal_t *s, int signum)
{
    (void)s;
    (void)signum;
    link_stopping(lk);
}

/* SIGUSR1 stands for a person: everything that is open is allowed once. */
static inline int allow(void *data, const struct request *r)
{
    static const struct actor ann = { .connector = "web", .id = "", .name = "Ann" };
    (void)data;
    (void)core_decide(core, r->pod, r->id, OUTCOME_ONCE, "", NULL, &ann);
    return 0;
}

static inline void on_usr1(uv_signal_t *s, int signum)
{
    (void)s;
    (void)signum;
    (void)core_each_request(core, true, allow, NULL);
}

static inline void run_gateway(int out)
{
    static const struct settings settings = {
        .pod = "own",
        .version = "t",
        .opencode_url = "",
        .opencode_directory = "/w",
        .bridge_token = TOKEN,
        .token = "api-token",
    };
    static const struct link_options fast = {
        .ping_after_ms = 300,
        .close_after_ms = 1500,
        .command_ms = 1000,
        .permission_ms = 400,
    };
    uv_loop_t loop;
    uv_signal_t term, usr1;
    struct store *store = NULL;
    struct server *server = NULL;
    struct server_options o = {
        .loop = &loop,
        .listen = "127.0.0.1",
        .on_request = on_request,
        .ws = { .on_open = on_open, .on_message = on_message, .on_close = on_close },
    };
    if (crash_init("127.0.0.1") < 0 || uv_loop_init(&loop) < 0 ||
        store_open(&store, dir, NULL, NULL) < 0 ||
        core_new(&core, &loop, &settings, store, NULL, 0) < 0 ||
        link_new(&lk, core, &fast, NULL) < 0 || server_new(&server, &o, NULL) < 0 ||
        core_start(core) < 0)
        _exit(1);
    uv_signal_init(&loop, &term);
    uv_signal_start(&term, on_term, SIGTERM);
    uv_signal_init(&loop, &usr1);
    uv_signal_start(&usr1, on_usr1, SIGUSR1);
    uint16_t p = server_port(server);
    if (write(out, &p, sizeof p) != (ssize_t)sizeof p)
        _exit(1);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    _exit(0);
}

static inline void start_gateway(void)
{
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    gateway = fork();
    ck_assert_int_ge(gateway, 0);
    if (gateway == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        run_gateway(fds[1]);
    }
    close(fds[1]);
    ck_assert_int_eq(read(fds[0], &port, sizeof port), (ssize_t)sizeof port);
    close(fds[0]);
}

static inline void kill_gateway(void)
{
    int status;
    if (gateway <= 0)
        return;
    (void)kill(gateway, SIGKILL);
    ck_assert_int_eq(waitpid(gateway, &status, 0), gateway);
    gateway = 0;
}

/* The gateway must be alive and well after each hostile input. */
static inline void gateway_lives(void)
{
    int status;
    ck_assert_int_eq(waitpid(gateway, &status, WNOHANG), 0);
}

static inline void setup(void)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(dir, sizeof dir, "%s/test-link-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    start_gateway();
}

static inline void teardown(void)
{
    kill_gateway();
    (void)file_remove_tree(dir);
}

/* ---------------------------------------------------------------- a plugin: raw sockets */

struct client {
    int fd;
    struct buf in;
    int closed; /* the close frame's code */
};

static inline int dial(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static inline void send_all(int fd, const void *data, size_t len)
{
    ck_assert_int_eq(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* More input; false at its end. */
static inline bool more(struct client *c, uint64_t until)
{
    struct pollfd p = { .fd = c->fd, .events = POLLIN };
    char data[65536];
    uint64_t now = clock_mono_ms();
    ck_assert_msg(now < until && poll(&p, 1, (int)(until - now)) == 1, "nothing came");
    ssize_t n = recv(c->fd, data, sizeof data, 0);
    if (n <= 0)
        return false;
    buf_append(&c->in, data, (size_t)n);
    return true;
}

/* The status of the upgrade. */
static inline int upgrade(struct client *c, const char *headers)
{
    char text[1024];
    int n = snprintf(text, sizeof text,
                     "GET /ws/bridge HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
                     headers);
    *c = (struct client){ .fd = dial() };
    send_all(c->fd, text, (size_t)n);
    uint64_t until = clock_mono_ms() + WAIT_MS;
    while (!strstr(buf_str(&c->in), "\r\n\r\n"))
        ck_assert_msg(more(c, until), "closed: %s", buf_str(&c->in));
    int status = atoi(buf_str(&c->in) + strlen("HTTP/1.1 "));
    const char *end = strstr(buf_str(&c->in), "\r\n\r\n") + 4;
    buf_consume(&c->in, (size_t)(end - buf_str(&c->in)));
    return status;
}

static inline void frame(struct client *c, unsigned char first, const void *data, size_t len)
{
    unsigned char head[14] = { first };
    size_t n = 2;
    if (len < 126) {
        head[1] = (unsigned char)(0x80 | len);
    } else if (len < 65536) {
        head[1] = 0x80 | 126;
        head[2] = (unsigned char)(len >> 8);
        head[3] = (unsigned char)len;
        n = 4;
    } else {
        head[1] = 0x80 | 127;
        for (int i = 0; i < 8; i++)
            head[2 + i] = (unsigned char)((uint64_t)len >> (56 - 8 * i));
        n = 10;
    }
    n += 4; /* a mask of zeros */
    send_all(c->fd, head, n);
    if (len)
        (void)send(c->fd, data, len, MSG_NOSIGNAL); /* it may be closed half-way */
}

static inline void text(struct client *c, const char *s)
{
    frame(c, 0x81, s, strlen(s));
}

/* The next text frame, malloc'ed; NULL when the link was closed. */
static inline char *next(struct client *c)
{
    uint64_t until = clock_mono_ms() + WAIT_MS;
    for (;;) {
        const unsigned char *d = (const unsigned char *)buf_str(&c->in);
        size_t have = c->in.len, head = 2, len = have >= 2 ? d[1] & 0x7f : 0;
        if (len == 126)
            head = 4;
        if (have >= head && head == 4)
            len = (size_t)d[2] << 8 | d[3];
        if (have < head || have < head + len) {
            if (!more(c, until))
                return NULL;
            continue;
        }
        unsigned op = d[0] & 0x0f;
        char *s = strndup((const char *)d + head, len);
        if (op == 8)
            c->closed = len >= 2 ? d[head] << 8 | d[head + 1] : 1005;
        buf_consume(&c->in, head + len);
        if (op == 1)
            return s;
        free(s);
        if (op == 8)
            return NULL;
    }
}

static inline void hang_up(struct client *c)
{
    close(c->fd);
    buf_release(&c->in);
}

/* The next frame of that type; others are passed over. The caller deletes it. */
static inline cJSON *expect(struct client *c, const char *type)
{
    for (;;) {
        char *s = next(c);
        cJSON *j = NULL;
        ck_assert_msg(s != NULL, "closed with %d while waiting for %s", c->closed, type);
        ck_assert_int_eq(json_parse(&j, s, strlen(s), NULL), 0);
        free(s);
        if (strcmp(json_str(j, "type", ""), type) == 0)
            return j;
        cJSON_Delete(j);
    }
}

/* It is closed with that code, whatever comes before. */
static inline void expect_closed(struct client *c, int code)
{
    for (char *s; (s = next(c));)
        free(s);
    ck_assert_int_eq(c->closed, code);
    gateway_lives();
    hang_up(c);
}

static inline void dial_bridge(struct client *c)
{
    ck_assert_int_eq(upgrade(c, "Authorization: Bearer " TOKEN "\r\n"), 101);
}

static inline int64_t hello(struct client *c, const char *instance, int last_seq)
{
    char s[512];
    (void)snprintf(s, sizeof s,
                   "{\"type\":\"hello\",\"protocol\":1,\"plugin_version\":\"1\","
                   "\"opencode_version\":\"1\",\"pod\":\"p\",\"instance\":\"%s\","
                   "\"directory\":\"/w\",\"directories\":[\"/w\"],\"last_seq\":%d}",
                   instance, last_seq);
    dial_bridge(c);
    text(c, s);
    cJSON *w = expect(c, "welcome");
    int64_t resume = json_int(w, "resume_after", -1);
    ck_assert_int_eq(json_int(w, "protocol", -1), 1);
    cJSON_Delete(w);
    return resume;
}

static inline void asked(struct client *c, int seq, const char *id)
{
    char s[512];
    (void)snprintf(s, sizeof s,
                   "{\"type\":\"permission.asked\",\"seq\":%d,\"time\":1,\"directory\":\"/w\","
                   "\"session_id\":\"ses_1\",\"root_session_id\":\"ses_1\",\"permission\":{"
                   "\"id\":\"%s\",\"permission\":\"bash\",\"patterns\":[\"ls\"],"
                   "\"metadata\":{\"command\":\"ls\"},\"always\":[]}}",
                   seq, id);
    text(c, s);
}

static inline void expect_ack(struct client *c, int64_t seq)
{
    int64_t acked = -1;
    while (acked < seq) {
        cJSON *j = expect(c, "ack");
        acked = json_int(j, "seq", -1);
        cJSON_Delete(j);
    }
    ck_assert_int_eq(acked, seq);
}

static inline void people_allow(void)
{
    ck_assert_int_eq(kill(gateway, SIGUSR1), 0);
}

/* ---------------------------------------------------------------- HTTP */

/* Posts and reads the whole answer. Returns its status. */
static inline int post(const char *token, const char *body, char *answer, size_t size)
{
    struct buf out = BUF_INIT;
    struct client c = { .fd = dial() };
    buf_printf(&out,
               "POST /api/opencode/permission HTTP/1.1\r\nHost: 127.0.0.1\r\n"
               "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
               "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
               token, strlen(body), body);
    send_all(c.fd, out.data, out.len);
    uint64_t until = clock_mono_ms() + WAIT_MS;
    while (more(&c, until))
        ;
    const char *end = strstr(buf_str(&c.in), "\r\n\r\n");
    ck_assert_ptr_nonnull(end);
    int status = atoi(buf_str(&c.in) + strlen("HTTP/1.1 "));
    (void)snprintf(answer, size, "%s", end + 4);
    hang_up(&c);
    buf_release(&out);
    return status;
}

#define CALL "{\"id\":\"per_1\",\"session_id\":\"ses_1\",\"pod\":\"p\"}"
