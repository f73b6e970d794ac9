/* For tests of what lives on a libuv loop: run it until something holds, and a raw TCP peer that
 * can say and hear anything. Everything has a deadline; nothing sleeps. */
#pragma once

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#define NET_DEADLINE_MS 5000

struct net_peer {
    int fd;
    char got[1 << 17]; /* NUL-terminated */
    size_t len;
    bool ended; /* end of file or reset */
};

/* One turn of the loop; waits for at most 5 ms when nothing is due. */
__attribute__((unused)) static void net_turn(uv_loop_t *loop)
{
    struct pollfd p = { .fd = uv_backend_fd(loop), .events = POLLIN };
    int due = uv_backend_timeout(loop);
    (void)poll(&p, 1, due < 0 || due > 5 ? 5 : due);
    (void)uv_run(loop, UV_RUN_NOWAIT);
}

/* Turns the loop until `condition` holds; fails the test after the deadline. */
#define net_until(loop, condition)                                                                 \
    do {                                                                                           \
        uint64_t end_ = uv_hrtime() + NET_DEADLINE_MS * 1000000ull;                                \
        while (!(condition)) {                                                                     \
            ck_assert_msg(uv_hrtime() < end_, "not in time: %s", #condition);                      \
            net_turn(loop);                                                                        \
        }                                                                                          \
    } while (0)

/* All handles are closed and everything is freed. */
__attribute__((unused)) static void net_close_loop(uv_loop_t *loop)
{
    uint64_t end = uv_hrtime() + NET_DEADLINE_MS * 1000000ull;
    while (uv_loop_close(loop) == UV_EBUSY) {
        ck_assert_msg(uv_hrtime() < end, "handles remain in the loop");
        net_turn(loop);
    }
}

__attribute__((unused)) static void net_connect(struct net_peer *p, uint16_t port)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr = { htonl(INADDR_LOOPBACK) } };
    p->len = 0;
    p->got[0] = '\0';
    p->ended = false;
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(p->fd, 0);
    ck_assert_int_eq(connect(p->fd, (const struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(fcntl(p->fd, F_SETFL, O_NONBLOCK), 0);
}

/* Takes what has come; for conditions of net_until. Always true. */
__attribute__((unused)) static bool net_read(struct net_peer *p)
{
    while (!p->ended && p->len + 1 < sizeof p->got) {
        ssize_t n = recv(p->fd, p->got + p->len, sizeof p->got - 1 - p->len, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (n <= 0) {
            p->ended = true;
            break;
        }
        p->len += (size_t)n;
        p->got[p->len] = '\0';
    }
    return true;
}

__attribute__((unused)) static bool net_has(struct net_peer *p, const char *text)
{
    return net_read(p) && memmem(p->got, p->len, text, strlen(text));
}

__attribute__((unused)) static bool net_ended(struct net_peer *p)
{
    return net_read(p) && p->ended;
}

__attribute__((unused)) static size_t net_count(struct net_peer *p, const char *text)
{
    size_t count = 0;
    (void)net_read(p);
    for (const char *at = p->got; (at = strstr(at, text)); at += strlen(text))
        count++;
    return count;
}

__attribute__((unused)) static void net_send_bytes(struct net_peer *p, const void *data, size_t len)
{
    const char *at = data;
    while (len) {
        ssize_t n = send(p->fd, at, len, MSG_NOSIGNAL);
        if (n < 0) {
            struct pollfd w = { .fd = p->fd, .events = POLLOUT };
            ck_assert(errno == EAGAIN && poll(&w, 1, NET_DEADLINE_MS) == 1);
            continue;
        }
        at += n;
        len -= (size_t)n;
    }
}

__attribute__((unused)) static void net_send(struct net_peer *p, const char *text)
{
    net_send_bytes(p, text, strlen(text));
}

__attribute__((unused)) static void net_hang_up(struct net_peer *p)
{
    (void)close(p->fd);
    p->fd = -1;
}
