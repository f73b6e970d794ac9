/* rooms: bridge/gateway/link bridge/gateway/core bridge/gateway/store base/server base/ws base/json
 * base/core */
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

static void on_request(void *data, struct server_request *r)
{
    (void)data;
    link_permission_request(lk, r);
}

static int on_open(void *data, struct server_ws *ws)
{
    (void)data;
    return link_ws_open(lk, ws);
}

static void on_message(void *data, struct server_ws *ws, const char *msg, size_t len, bool binary)
{
    (void)data;
    link_ws_message(lk, ws, msg, len, binary);
}

static void on_close(void *data, struct server_ws *ws)
{
    (void)data;
    link_ws_close(lk, ws);
}

static void on_term(uv_signal_t *s, int signum)
{
    (void)s;
    (void)signum;
    link_stopping(lk);
}

/* SIGUSR1 stands for a person: everything that is open is allowed once. */
static int allow(void *data, const struct request *r)
{
    static const struct actor ann = { .connector = "web", .id = "", .name = "Ann" };
    (void)data;
    (void)core_decide(core, r->pod, r->id, OUTCOME_ONCE, "", NULL, &ann);
    return 0;
}

static void on_usr1(uv_signal_t *s, int signum)
{
    (void)s;
    (void)signum;
    (void)core_each_request(core, true, allow, NULL);
}

static void run_gateway(int out)
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

static void start_gateway(void)
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

static void kill_gateway(void)
{
    int status;
    if (gateway <= 0)
        return;
    (void)kill(gateway, SIGKILL);
    ck_assert_int_eq(waitpid(gateway, &status, 0), gateway);
    gateway = 0;
}

/* The gateway must be alive and well after each hostile input. */
static void gateway_lives(void)
{
    int status;
    ck_assert_int_eq(waitpid(gateway, &status, WNOHANG), 0);
}

static void setup(void)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(dir, sizeof dir, "%s/test-link-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    start_gateway();
}

static void teardown(void)
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

static int dial(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void send_all(int fd, const void *data, size_t len)
{
    ck_assert_int_eq(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* More input; false at its end. */
static bool more(struct client *c, uint64_t until)
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
static int upgrade(struct client *c, const char *headers)
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

static void frame(struct client *c, unsigned char first, const void *data, size_t len)
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

static void text(struct client *c, const char *s)
{
    frame(c, 0x81, s, strlen(s));
}

/* The next text frame, malloc'ed; NULL when the link was closed. */
static char *next(struct client *c)
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

static void hang_up(struct client *c)
{
    close(c->fd);
    buf_release(&c->in);
}

/* The next frame of that type; others are passed over. The caller deletes it. */
static cJSON *expect(struct client *c, const char *type)
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
static void expect_closed(struct client *c, int code)
{
    for (char *s; (s = next(c));)
        free(s);
    ck_assert_int_eq(c->closed, code);
    gateway_lives();
    hang_up(c);
}

static void dial_bridge(struct client *c)
{
    ck_assert_int_eq(upgrade(c, "Authorization: Bearer " TOKEN "\r\n"), 101);
}

static int64_t hello(struct client *c, const char *instance, int last_seq)
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

static void asked(struct client *c, int seq, const char *id)
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

static void expect_ack(struct client *c, int64_t seq)
{
    int64_t acked = -1;
    while (acked < seq) {
        cJSON *j = expect(c, "ack");
        acked = json_int(j, "seq", -1);
        cJSON_Delete(j);
    }
    ck_assert_int_eq(acked, seq);
}

static void people_allow(void)
{
    ck_assert_int_eq(kill(gateway, SIGUSR1), 0);
}

/* ---------------------------------------------------------------- HTTP */

/* Posts and reads the whole answer. Returns its status. */
static int post(const char *token, const char *body, char *answer, size_t size)
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

/* ---------------------------------------------------------------- opening */

static const struct {
    const char *headers;
    int status;
    const char *code;
} handshakes[] = {
    { "", 401, "unauthorized" },
    { "Authorization: Bearer wrong\r\n", 401, "unauthorized" },
    { "Authorization: Bearer \r\n", 401, "unauthorized" },
    { "Authorization: Basic " TOKEN "\r\n", 401, "unauthorized" },
    { "Authorization: Bearer " TOKEN "x\r\n", 401, "unauthorized" },
    { "Authorization: Bearer " TOKEN "\r\nOrigin: http://evil.example\r\n", 403, "forbidden" },
    { "Authorization: Bearer " TOKEN "\r\n", 101, NULL },
};

START_TEST(handshake_needs_the_token)
{
    struct client c;
    ck_assert_int_eq(upgrade(&c, handshakes[_i].headers), handshakes[_i].status);
    if (handshakes[_i].code) {
        char want[64];
        uint64_t until = clock_mono_ms() + WAIT_MS;
        (void)snprintf(want, sizeof want, "{\"error\":{\"code\":\"%s\",", handshakes[_i].code);
        while (!strstr(buf_str(&c.in), want))
            ck_assert_msg(more(&c, until), "%s", buf_str(&c.in));
    }
    hang_up(&c);
    gateway_lives();
}
END_TEST

static const char *const bad_first[] = {
    "",
    "no json",
    "[]",
    "\"hello\"",
    "{}",
    "{\"type\":7}",
    "{\"type\":\"\"}",
    "{\"type\":\"hello\",\"protocol\":1}",
    "{\"type\":\"hello\",\"protocol\":1,\"pod\":\"p\",\"instance\":\"\",\"last_seq\":0}",
    "{\"type\":\"hello\",\"protocol\":1,\"pod\":\"p\",\"instance\":\"i\",\"last_seq\":-1}",
    "{\"type\":\"hello\",\"protocol\":1,\"pod\":{},\"instance\":\"i\",\"last_seq\":0}",
    "{\"type\":\"hello\"} {}",
};

START_TEST(bad_first_frame_is_closed_4400)
{
    struct client c;
    dial_bridge(&c);
    text(&c, bad_first[_i]);
    char *s = next(&c);
    ck_assert_msg(s && strstr(s, "\"type\":\"error\""), "%s", s);
    free(s);
    expect_closed(&c, 4400);
}
END_TEST

START_TEST(wrong_protocol_is_closed_4406)
{
    struct client c;
    dial_bridge(&c);
    text(&c, "{\"type\":\"hello\",\"protocol\":2,\"pod\":\"p\",\"instance\":\"i\",\"last_seq\":0}");
    cJSON *j = expect(&c, "error");
    ck_assert_str_eq(json_str(j, "code", ""), "protocol_version");
    cJSON_Delete(j);
    expect_closed(&c, 4406);
}
END_TEST

/* ---------------------------------------------------------------- frames */

static const char *const bad_frames[] = {
    "{\"type\":\"permission.asked\"}",
    "{\"type\":\"permission.asked\",\"seq\":0,\"session_id\":\"s\"}",
    "{\"type\":\"permission.asked\",\"seq\":1.5,\"session_id\":\"s\"}",
    "{\"type\":\"permission.asked\",\"seq\":1e300,\"session_id\":\"s\"}",
    "{\"type\":\"permission.asked\",\"seq\":\"1\",\"session_id\":\"s\"}",
    "{\"type\":\"permission.asked\",\"seq\":1,\"session_id\":\"s\"}",
    "{\"type\":\"permission.asked\",\"seq\":1,\"session_id\":\"s\",\"permission\":[]}",
    "{\"type\":\"permission.asked\",\"seq\":1,\"session_id\":\"s\",\"permission\":{\"id\":7}}",
    "{\"type\":\"permission.asked\",\"seq\":1,\"permission\":{\"id\":\"per_1\"}}",
    "{\"type\":\"permission.replied\",\"seq\":1,\"session_id\":\"s\",\"permission_id\":\"x\"}",
    "{\"type\":\"session.created\",\"seq\":1,\"session_id\":\"s\",\"session\":\"x\"}",
    "{\"type\":\"session.idle\",\"seq\":1,\"session_id\":7}",
    "{\"type\":\"session.idle\",\"seq\":1,\"session_id\":\"\"}",
    "{\"type\":\"usage\",\"seq\":1,\"session_id\":\"s\",\"cost\":-5}",
    "{\"type\":\"state.sync\",\"seq\":1,\"session_id\":\"\"}",
    "{\"type\":\"state.sync\",\"seq\":1,\"as_of_seq\":0,\"permissions\":[1],\"complete\":true}",
    "{\"type\":\"state.sync\",\"seq\":1,\"as_of_seq\":0,\"busy\":[{}],\"complete\":true}",
    "{\"type\":\"message.part.streamed\",\"seq\":1,\"session_id\":\"s\",\"content\":{}}",
    "{\"type\":\"pong\",\"request_id\":5}",
    "{\"type\":\"hello\",\"protocol\":1,\"pod\":\"p\",\"instance\":\"i\",\"last_seq\":0}",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
};

START_TEST(bad_frame_is_closed_4400)
{
    struct client c, other;
    ck_assert_int_eq(hello(&other, "other", 0), 0);
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    text(&c, bad_frames[_i]);
    expect_closed(&c, 4400);
    asked(&other, 1, "per_other"); /* nothing lost for others */
    expect_ack(&other, 1);
    ck_assert_int_eq(hello(&c, "i", 9), 0); /* and nothing of it was taken */
    hang_up(&c);
    hang_up(&other);
}
END_TEST

START_TEST(binary_is_closed_4400)
{
    struct client c;
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    frame(&c, 0x82, "{}", 2);
    expect_closed(&c, 4400);
}
END_TEST

START_TEST(bad_utf8_is_closed_1007)
{
    struct client c;
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    text(&c, "{\"type\":\"\xff\"}");
    expect_closed(&c, 1007);
}
END_TEST

START_TEST(oversized_is_closed_1009)
{
    struct client c;
    size_t n = ((size_t)1 << 20) + 1;
    char *big = malloc(n);
    memset(big, ' ', n);
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    frame(&c, 0x81, big, n);
    free(big);
    expect_closed(&c, 1009);
}
END_TEST

START_TEST(fragments_are_joined)
{
    static const char a[] = "{\"type\":\"session.active\",\"seq\":1,\"ti",
                      b[] = "me\":1,\"directory\":\"/w\",\"session_id\":\"ses_1\"}";
    struct client c;
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    frame(&c, 0x01, a, strlen(a));
    frame(&c, 0x80, b, strlen(b));
    expect_ack(&c, 1);
    hang_up(&c);
}
END_TEST

START_TEST(unknown_is_acked_and_ignored)
{
    struct client c;
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    text(&c, "{\"type\":\"something.new\",\"seq\":3,\"session_id\":\"ses_1\",\"x\":[1,2]}");
    expect_ack(&c, 3);
    text(&c, "{\"type\":\"odd.answer\",\"request_id\":\"nobody:1\"}");
    asked(&c, 4, "per_1");
    expect_ack(&c, 4);
    hang_up(&c);
}
END_TEST

/* ---------------------------------------------------------------- acks and replay */

START_TEST(resumes_after_what_is_stored)
{
    struct client c;
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    asked(&c, 1, "per_1");
    asked(&c, 5, "per_2");
    expect_ack(&c, 5);
    hang_up(&c);
    kill_gateway();
    start_gateway();
    ck_assert_int_eq(hello(&c, "i", 7), 5);
    asked(&c, 5, "per_seen"); /* was taken: falls out */
    asked(&c, 6, "per_3");
    expect_ack(&c, 6);
    people_allow();
    for (int i = 0; i < 3; i++) {
        cJSON *j = expect(&c, "permission.reply");
        ck_assert_str_ne(json_str(j, "permission_id", ""), "per_seen");
        cJSON_Delete(j);
    }
    asked(&c, 7, "per_4");
    expect_ack(&c, 7);
    people_allow();
    cJSON *j = expect(&c, "permission.reply");
    ck_assert_str_eq(json_str(j, "permission_id", ""), "per_4");
    cJSON_Delete(j);
    hang_up(&c);
    ck_assert_int_eq(hello(&c, "another", 0), 0); /* its own numbers */
    hang_up(&c);
}
END_TEST

START_TEST(same_instance_replaces_the_older_link)
{
    struct client a, b;
    ck_assert_int_eq(hello(&a, "i", 0), 0);
    ck_assert_int_eq(hello(&b, "i", 0), 0);
    cJSON *j = expect(&a, "error");
    ck_assert_str_eq(json_str(j, "code", ""), "replaced");
    cJSON_Delete(j);
    expect_closed(&a, 4409);
    asked(&b, 1, "per_1");
    expect_ack(&b, 1);
    hang_up(&b);
}
END_TEST

START_TEST(pings_and_closes_the_silent)
{
    struct client c;
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    cJSON *j = expect(&c, "ping");
    ck_assert_int_gt((int)strlen(json_str(j, "request_id", "")), 0);
    cJSON_Delete(j);
    expect_closed(&c, 1000);
}
END_TEST

START_TEST(stop_closes_1001)
{
    struct client c;
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    ck_assert_int_eq(kill(gateway, SIGTERM), 0);
    cJSON *j = expect(&c, "error");
    ck_assert_str_eq(json_str(j, "code", ""), "stopping");
    cJSON_Delete(j);
    expect_closed(&c, 1001);
}
END_TEST

/* ---------------------------------------------------------------- decisions */

static void reply_taken(struct client *c, const cJSON *cmd)
{
    char s[256];
    (void)snprintf(s, sizeof s,
                   "{\"type\":\"permission.reply.result\",\"request_id\":\"%s\","
                   "\"permission_id\":\"per_1\"}",
                   json_str(cmd, "request_id", ""));
    text(c, s);
}

START_TEST(decision_becomes_a_command)
{
    struct client c;
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    asked(&c, 1, "per_1");
    expect_ack(&c, 1);
    people_allow();
    cJSON *j = expect(&c, "permission.reply");
    ck_assert_str_eq(json_str(j, "permission_id", ""), "per_1");
    ck_assert_str_eq(json_str(j, "reply", ""), "once");
    ck_assert_str_eq(json_str(j, "directory", ""), "/w");
    reply_taken(&c, j);
    cJSON_Delete(j);
    text(&c, "{\"type\":\"permission.replied\",\"seq\":2,\"session_id\":\"ses_1\","
             "\"permission_id\":\"per_1\",\"reply\":\"once\"}");
    expect_ack(&c, 2);
    hang_up(&c);
}
END_TEST

START_TEST(lost_link_asks_again_with_the_same_id)
{
    struct client c;
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    asked(&c, 1, "per_1");
    expect_ack(&c, 1);
    people_allow();
    cJSON *first = expect(&c, "permission.reply");
    hang_up(&c);
    ck_assert_int_eq(hello(&c, "i", 1), 1);
    cJSON *second = expect(&c, "permission.reply");
    ck_assert_str_eq(json_str(first, "request_id", "a"), json_str(second, "request_id", "b"));
    cJSON_Delete(first);
    cJSON_Delete(second);
    kill_gateway();
    start_gateway();
    hang_up(&c);
    ck_assert_int_eq(hello(&c, "i", 1), 1);
    cJSON *third = expect(&c, "permission.reply"); /* the decision survived */
    ck_assert_str_eq(json_str(third, "reply", ""), "once");
    cJSON_Delete(third);
    hang_up(&c);
}
END_TEST

START_TEST(new_instance_is_asked_for_old_directories)
{
    struct client c;
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    text(&c, "{\"type\":\"permission.asked\",\"seq\":1,\"directory\":\"/elsewhere\","
             "\"session_id\":\"s\",\"root_session_id\":\"s\",\"permission\":{\"id\":\"per_9\"}}");
    expect_ack(&c, 1);
    hang_up(&c);
    ck_assert_int_eq(hello(&c, "j", 0), 0);
    cJSON *j = expect(&c, "state.sync");
    ck_assert_str_eq(json_str(j, "directory", ""), "/elsewhere");
    cJSON_Delete(j);
    text(&c, "{\"type\":\"state.sync\",\"seq\":1,\"directory\":\"/elsewhere\",\"session_id\":\"\","
             "\"as_of_seq\":0,\"complete\":true,\"permissions\":[],\"questions\":[],\"busy\":[],"
             "\"sessions\":[]}");
    expect_ack(&c, 1);
    char answer[512];
    ck_assert_int_eq(
        post(TOKEN, "{\"id\":\"per_9\",\"session_id\":\"s\",\"pod\":\"p\"}", answer, sizeof answer),
        410);
    ck_assert_ptr_nonnull(strstr(answer, "restarted"));
    hang_up(&c);
}
END_TEST

START_TEST(first_generation_needs_no_hello)
{
    struct client c;
    char answer[512];
    dial_bridge(&c);
    text(&c, "{\"type\":\"permission.asked\",\"session_id\":\"s\",\"permission\":{\"id\":"
             "\"per_1\",\"permission\":\"bash\"}}");
    text(&c, "{\"type\":\"session.active\",\"session_id\":\"s\"}");
    uint64_t until = clock_mono_ms() + WAIT_MS;
    while (post(TOKEN, "{\"id\":\"per_1\",\"sessionID\":\"s\"}", answer, sizeof answer) != 202)
        ck_assert_uint_lt(clock_mono_ms(), until);
    people_allow();
    cJSON *j = expect(&c, "permission.reply");
    ck_assert_str_eq(json_str(j, "permission_id", ""), "per_1");
    cJSON_Delete(j);
    hang_up(&c);
}
END_TEST

START_TEST(first_generation_leaves_nothing_open)
{
    struct client c;
    char answer[512];
    dial_bridge(&c);
    text(&c, "{\"type\":\"permission.asked\",\"session_id\":\"s\",\"permission\":{\"id\":"
             "\"per_1\",\"permission\":\"bash\"}}");
    text(&c, "{\"type\":\"ping\"}");
    shutdown(c.fd, SHUT_WR);
    while (more(&c, clock_mono_ms() + WAIT_MS))
        ;
    hang_up(&c);
    uint64_t until = clock_mono_ms() + WAIT_MS;
    while (post(TOKEN, "{\"id\":\"per_1\",\"session_id\":\"s\"}", answer, sizeof answer) != 410)
        ck_assert_uint_lt(clock_mono_ms(), until);
}
END_TEST

/* ---------------------------------------------------------------- by HTTP */

static const struct {
    const char *token, *body;
    int status;
} calls[] = {
    { "", CALL, 401 },
    { "wrong", CALL, 401 },
    { TOKEN, "", 400 },
    { TOKEN, "[]", 400 },
    { TOKEN, "{\"id\":7,\"session_id\":\"s\"}", 400 },
    { TOKEN, "{\"id\":\"per_1\"}", 400 },
    { TOKEN, "{\"id\":\"per_1\",\"session_id\":\"s\",\"directory\":7}", 400 },
    { TOKEN, CALL, 202 },
    { "api-token", CALL, 202 },
    { TOKEN, "{\"id\":\"per_2\",\"sessionID\":\"s\",\"type\":\"bash\",\"pattern\":\"ls\"}", 202 },
    { TOKEN, "{\"id\":\"per_3\",\"session_id\":\"s\",\"metadata\":\"odd\",\"patterns\":[7]}", 202 },
};

START_TEST(calls_are_checked)
{
    char answer[512];
    ck_assert_int_eq(post(calls[_i].token, calls[_i].body, answer, sizeof answer),
                     calls[_i].status);
    gateway_lives();
}
END_TEST

START_TEST(call_waits_for_the_decision)
{
    char answer[512];
    ck_assert_int_eq(post(TOKEN, CALL, answer, sizeof answer), 202);
    ck_assert_ptr_nonnull(strstr(answer, "pending"));
    people_allow();
    uint64_t until = clock_mono_ms() + WAIT_MS;
    while (post(TOKEN, CALL, answer, sizeof answer) != 200)
        ck_assert_uint_lt(clock_mono_ms(), until);
    ck_assert_ptr_nonnull(strstr(answer, "\"status\":\"allow\""));
    ck_assert_ptr_nonnull(strstr(answer, "\"decision\":\"once\""));
    ck_assert_ptr_nonnull(strstr(answer, "\"decided_by\":\"Ann\""));
    kill_gateway();
    start_gateway();
    ck_assert_int_eq(post(TOKEN, CALL, answer, sizeof answer), 200); /* also after a restart */
}
END_TEST

START_TEST(caller_that_goes_away_takes_nothing_along)
{
    char answer[512];
    static const char call[] = "POST /api/opencode/permission HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                               "Authorization: Bearer " TOKEN "\r\nContent-Type: application/json"
                               "\r\nContent-Length: 45\r\n\r\n" CALL;
    struct client c = { .fd = dial() };
    send_all(c.fd, call, strlen(call));
    hang_up(&c);
    uint64_t until = clock_mono_ms() + WAIT_MS;
    while (post(TOKEN, CALL, answer, sizeof answer) != 202)
        ck_assert_uint_lt(clock_mono_ms(), until);
    gateway_lives();
}
END_TEST

/* ---------------------------------------------------------------- crash */

START_TEST(effect_and_number_are_one)
{
    struct client c;
    char answer[512];
    int status;
    kill_gateway();
    (void)setenv("CODEV_CRASH_AT", "link.effect", 1);
    start_gateway();
    ck_assert_int_eq(hello(&c, "i", 0), 0);
    asked(&c, 1, "per_1");
    ck_assert_int_eq(waitpid(gateway, &status, 0), gateway);
    ck_assert(WIFSIGNALED(status));
    gateway = 0;
    hang_up(&c);
    (void)unsetenv("CODEV_CRASH_AT");
    start_gateway();
    ck_assert_int_eq(hello(&c, "i", 1), 1);
    ck_assert_int_eq(post(TOKEN, CALL, answer, sizeof answer), 202);
    hang_up(&c);
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

int main(void)
{
    (void)setenv("CODEV_LOG_LEVEL", "error", 0);
    log_init("test");
    Suite *s = suite_create("link");
    TCase *t = tcase_create("link");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, handshake_needs_the_token, 0, COUNT(handshakes));
    tcase_add_loop_test(t, bad_first_frame_is_closed_4400, 0, COUNT(bad_first));
    tcase_add_test(t, wrong_protocol_is_closed_4406);
    tcase_add_loop_test(t, bad_frame_is_closed_4400, 0, COUNT(bad_frames));
    tcase_add_test(t, binary_is_closed_4400);
    tcase_add_test(t, bad_utf8_is_closed_1007);
    tcase_add_test(t, oversized_is_closed_1009);
    tcase_add_test(t, fragments_are_joined);
    tcase_add_test(t, unknown_is_acked_and_ignored);
    tcase_add_test(t, resumes_after_what_is_stored);
    tcase_add_test(t, same_instance_replaces_the_older_link);
    tcase_add_test(t, pings_and_closes_the_silent);
    tcase_add_test(t, stop_closes_1001);
    tcase_add_test(t, decision_becomes_a_command);
    tcase_add_test(t, lost_link_asks_again_with_the_same_id);
    tcase_add_test(t, new_instance_is_asked_for_old_directories);
    tcase_add_test(t, first_generation_needs_no_hello);
    tcase_add_test(t, first_generation_leaves_nothing_open);
    tcase_add_loop_test(t, calls_are_checked, 0, COUNT(calls));
    tcase_add_test(t, call_waits_for_the_decision);
    tcase_add_test(t, caller_that_goes_away_takes_nothing_along);
    tcase_add_test(t, effect_and_number_are_one);
    suite_add_tcase(s, t);
    return run_suite(s);
}
