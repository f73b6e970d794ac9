/* A TLS server with a self-signed certificate, for tests of who is trusted: `openssl s_server -www`
 * answers every HTTP request with a page. */
#pragma once

#include "tests/unit/net_helper.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

struct tls_server {
    char folder[64], ca[96];
    uint16_t port;
    pid_t pid;
};

__attribute__((unused)) static pid_t tls_spawn(char *const *argv)
{
    posix_spawn_file_actions_t a;
    pid_t pid;
    ck_assert_int_eq(posix_spawn_file_actions_init(&a), 0);
    (void)posix_spawn_file_actions_addopen(&a, 0, "/dev/null", O_RDONLY, 0);
    (void)posix_spawn_file_actions_addopen(&a, 1, "/dev/null", O_WRONLY, 0);
    (void)posix_spawn_file_actions_addopen(&a, 2, "/dev/null", O_WRONLY, 0);
    ck_assert_msg(posix_spawnp(&pid, argv[0], &a, NULL, argv, environ) == 0, "no openssl here");
    (void)posix_spawn_file_actions_destroy(&a);
    return pid;
}

__attribute__((unused)) static uint16_t tls_free_port(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    (void)close(fd);
    return ntohs(a.sin_port);
}

/* Until its port takes connections. */
__attribute__((unused)) static void tls_wait(uint16_t port)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr = { htonl(INADDR_LOOPBACK) } };
    uint64_t end = uv_hrtime() + NET_DEADLINE_MS * 1000000ull;
    for (;;) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int r = connect(fd, (const struct sockaddr *)&a, sizeof a);
        (void)close(fd);
        if (r == 0)
            return;
        ck_assert_msg(uv_hrtime() < end, "openssl s_server does not start");
        (void)poll(NULL, 0, 10);
    }
}

__attribute__((unused)) static void tls_start(struct tls_server *t)
{
    char key[96], port[16];
    const char *tmp = getenv("TMPDIR");
    int status;
    (void)snprintf(t->folder, sizeof t->folder, "%.40s/codev-tls-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(t->folder));
    (void)snprintf(t->ca, sizeof t->ca, "%s/cert.pem", t->folder);
    (void)snprintf(key, sizeof key, "%s/key.pem", t->folder);
    const char *make[] = { "openssl",
                           "req",
                           "-x509",
                           "-newkey",
                           "ec",
                           "-pkeyopt",
                           "ec_paramgen_curve:P-256",
                           "-nodes",
                           "-days",
                           "2",
                           "-subj",
                           "/CN=localhost",
                           "-addext",
                           "subjectAltName=DNS:localhost",
                           "-keyout",
                           key,
                           "-out",
                           t->ca,
                           NULL };
    pid_t pid = tls_spawn((char *const *)(uintptr_t)make);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    t->port = tls_free_port();
    (void)snprintf(port, sizeof port, "127.0.0.1:%u", (unsigned)t->port);
    const char *serve[] = { "openssl", "s_server", "-quiet", "-www", "-accept", port,
                            "-key",    key,        "-cert",  t->ca,  NULL };
    t->pid = tls_spawn((char *const *)(uintptr_t)serve);
    tls_wait(t->port);
}

__attribute__((unused)) static void tls_stop(struct tls_server *t)
{
    char key[96];
    (void)kill(t->pid, SIGKILL);
    (void)waitpid(t->pid, NULL, 0);
    (void)snprintf(key, sizeof key, "%s/key.pem", t->folder);
    (void)unlink(key);
    (void)unlink(t->ca);
    (void)rmdir(t->folder);
}
