/* rooms: base/server base/ws base/core */
/* A server that takes WebSocket upgrades. */
#include "tests/unit/server_helper.h"

#define UPGRADE(path, token)                                                                       \
    "GET " path                                                                                    \
    " HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"            \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"                 \
    "Authorization: Bearer " token "\r\n\r\n"

/* A masked frame with a mask of zeros. */
static void send_frame(unsigned char first, const void *payload, size_t len)
{
    unsigned char head[14] = { first };
    size_t n = 2;
    if (len < 126) {
        head[1] = (unsigned char)(0x80 | len);
    } else {
        head[1] = 0x80 | 127;
        for (int i = 0; i < 8; i++)
            head[2 + i] = (unsigned char)((uint64_t)len >> (56 - 8 * i));
        n = 10;
    }
    net_send_bytes(&peer, head, n + 4);
    net_send_bytes(&peer, payload, len);
}

static void open_ws(void)
{
    net_send(&peer, UPGRADE("/ws", "t"));
    net_until(&loop, net_has(&peer, "\x81\x07welcome"));
    ck_assert(net_has(&peer, "HTTP/1.1 101 "));
    ck_assert(net_has(&peer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
}

static const struct {
    const char *text, *status;
} upgrades[] = {
    { UPGRADE("/ws", "wrong"), "401" },
    { UPGRADE("/elsewhere", "t"), "404" },
    { "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      "426" },
    { "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n",
      "426" },
};

START_TEST(upgrades_can_be_refused)
{
    char want[32];
    start_ws(0);
    net_send(&peer, upgrades[_i].text);
    (void)snprintf(want, sizeof want, "HTTP/1.1 %s ", upgrades[_i].status);
    net_until(&loop, net_has(&peer, want));
    get("/after"); /* the connection lives on */
    net_until(&loop, net_has(&peer, "path=/after"));
    finish();
    ck_assert_uint_eq(open_count + close_count, 0);
}
END_TEST

START_TEST(messages_are_joined_and_echoed)
{
    static char big[90000];
    memset(big, 'b', sizeof big);
    start_ws(0);
    open_ws();
    send_frame(0x81, "abc", 3);
    net_until(&loop, net_has(&peer, "\x81\x03"
                                    "abc"));
    send_frame(0x01, "de", 2);
    send_frame(0x89, "ping", 4);
    send_frame(0x00, "f", 1);
    send_frame(0x80, "g", 1);
    net_until(&loop, net_has(&peer, "\x81\x04"
                                    "defg"));
    ck_assert(net_has(&peer, "\x8a\x04ping"));
    send_frame(0x81, big, sizeof big);
    net_until(&loop, last_len == sizeof big);
    ck_assert_mem_eq(last_message, big, sizeof big);
    send_frame(0x82, "\0\1", 2);
    net_until(&loop, net_has(&peer, "\x81\x06"
                                    "binary"));
    finish();
    ck_assert_uint_eq(close_count, 1);
}
END_TEST

START_TEST(early_frames_are_kept)
{
    static const char both[] = UPGRADE("/ws", "t") "\x81\x85\0\0\0\0early";
    start_ws(0);
    net_send_bytes(&peer, both, sizeof both - 1);
    net_until(&loop, net_has(&peer, "\x81\x05"
                                    "early"));
    finish();
}
END_TEST

/* What ends a connection, and the close code that tells why (big-endian, in a close frame). */
static const struct {
    unsigned char first;
    const char *payload;
    size_t len;
    unsigned code;
} enders[] = {
    { 0x81, NULL, 100001, 1009 },
    { 0x81, "\xff\xfe", 2, 1007 },
    { 0x81, "close", 5, 4001 },
    { 0x88, "\x03\xe8", 2, 1000 },
};

START_TEST(close_codes_say_why)
{
    static char big[100001];
    memset(big, 'b', sizeof big);
    start_ws(0);
    open_ws();
    send_frame(enders[_i].first, enders[_i].payload ? enders[_i].payload : big, enders[_i].len);
    net_until(&loop, net_read(&peer) && memchr(peer.got, 0x88, peer.len));
    const unsigned char *frame = memchr(peer.got, 0x88, peer.len);
    ck_assert_ptr_nonnull(frame);
    ck_assert_uint_eq((unsigned)frame[2] << 8 | frame[3], enders[_i].code);
    if (enders[_i].code == 1007) /* libwebsockets' own: it waits longer for the peer's answer */
        net_hang_up(&peer);
    net_until(&loop, close_count == 1);
    finish();
    ck_assert_uint_eq(close_count, 1);
}
END_TEST

START_TEST(a_peer_that_answers_no_ping_is_gone)
{
    start_ws(20);
    open_ws();
    net_until(&loop, net_read(&peer) && memchr(peer.got, 0x89, peer.len));
    net_until(&loop, close_count == 1 && net_ended(&peer));
    finish();
}
END_TEST

/* A masked pong with the ping's payload, as browsers and Bun answer, keeps it open: four times as
 * many pings are answered as may stay unanswered. */
START_TEST(a_peer_that_answers_pings_stays)
{
    start_ws(20);
    open_ws();
    net_until(&loop, net_read(&peer) && memmem(peer.got, peer.len, "\r\n\r\n", 4));
    size_t at = (size_t)((char *)memmem(peer.got, peer.len, "\r\n\r\n", 4) - (char *)peer.got) + 4;
    for (int answered = 0; answered < 12;) {
        net_until(&loop, close_count || (net_read(&peer) && peer.len >= at + 2));
        ck_assert_uint_eq(close_count, 0);
        size_t len = (unsigned char)peer.got[at + 1];
        net_until(&loop, net_read(&peer) && peer.len >= at + 2 + len);
        if ((unsigned char)peer.got[at] == 0x89) {
            send_frame(0x8a, peer.got + at + 2, len);
            answered++;
        }
        at += 2 + len;
    }
    ck_assert_uint_eq(close_count, 0);
    finish();
}
END_TEST

START_TEST(a_cut_connection_is_told_once)
{
    start_ws(0);
    open_ws();
    net_hang_up(&peer);
    net_until(&loop, close_count == 1);
    finish();
    ck_assert_uint_eq(close_count, 1);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("server_ws");
    TCase *ws = tcase_create("ws");
    tcase_set_timeout(ws, 30);
    tcase_add_loop_test(ws, upgrades_can_be_refused, 0, (int)ARRAY_SIZE(upgrades));
    tcase_add_test(ws, messages_are_joined_and_echoed);
    tcase_add_test(ws, early_frames_are_kept);
    tcase_add_loop_test(ws, close_codes_say_why, 0, (int)ARRAY_SIZE(enders));
    tcase_add_test(ws, a_peer_that_answers_no_ping_is_gone);
    tcase_add_test(ws, a_peer_that_answers_pings_stays);
    tcase_add_test(ws, a_cut_connection_is_told_once);
    suite_add_tcase(s, ws);
    return s;
}

int main(void)
{
    return run_suite(make_suite());
}
