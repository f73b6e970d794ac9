#include "base/core/control.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/file.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int control_runtime_dir(char *out, size_t size, struct error *e)
{
    char tmp[64], xdg[108] = "", sock[160];
    const char *set = getenv("CODEV_RUNTIME_DIR"), *base = getenv("XDG_RUNTIME_DIR");
    (void)snprintf(tmp, sizeof tmp, "/tmp/codev-%u", (unsigned)getuid());
    if (base && *base)
        (void)snprintf(xdg, sizeof xdg, "%s/codev", base);
    const char *places[] = { set && *set ? set : "/run/codev", xdg, tmp };
    size_t count = set && *set ? 1 : ARRAY_SIZE(places);
    for (size_t i = 0; i < count; i++) {
        if (!*places[i])
            continue;
        /* A folder that is not ours, as a mounted emptyDir, holds one of our own. */
        char own[128];
        (void)snprintf(own, sizeof own, "%s/%u", places[i], (unsigned)getuid());
        const char *dirs[] = { places[i], own };
        for (size_t k = 0; k < ARRAY_SIZE(dirs); k++) {
            (void)snprintf(sock, sizeof sock, "%s/control.sock", dirs[k]);
            if (access(sock, F_OK) == 0)
                return (size_t)snprintf(out, size, "%s", dirs[k]) < size ? 0 : -ENAMETOOLONG;
        }
    }
    return error_set(e, -ENOENT,
                     "no control.sock in %s: is codev-init running here as a supervisor? "
                     "(set CODEV_RUNTIME_DIR if its runtime folder is elsewhere)",
                     places[0]);
}

void control_encode(struct buf *out, const char *const *words)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/:";
    for (size_t i = 0; words[i]; i++) {
        if (i)
            buf_putc(out, ' ');
        if (!*words[i])
            buf_putc(out, '%');
        for (const char *p = words[i]; *p; p++) {
            if (strchr(plain, *p))
                buf_putc(out, *p);
            else
                buf_printf(out, "%%%02X", (unsigned char)*p);
        }
    }
    buf_putc(out, '\n');
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int control_decode_word(char *word)
{
    char *to = word;
    if (strcmp(word, "%") == 0) {
        *word = '\0';
        return 0;
    }
    for (const char *p = word; *p; p++) {
        if (*p != '%') {
            *to++ = *p;
            continue;
        }
        int hi = hex(p[1]), lo = hi < 0 ? -1 : hex(p[2]);
        if (lo < 0 || (hi == 0 && lo == 0))
            return -EBADMSG;
        *to++ = (char)(hi * 16 + lo);
        p += 2;
    }
    *to = '\0';
    return 0;
}

int control_open(const char *const *words, struct error *e)
{
    char dir[100];
    int r = control_runtime_dir(dir, sizeof dir, e);
    if (r < 0)
        return r;
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    if ((size_t)snprintf(addr.sun_path, sizeof addr.sun_path, "%s/control.sock", dir) >=
        sizeof addr.sun_path)
        return error_set(e, -ENAMETOOLONG, "the runtime folder's path is too long: %s", dir);
    _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set_errno(e, -errno, "cannot make a socket");
    if (connect(fd, (const struct sockaddr *)&addr, sizeof addr) < 0)
        return error_set_errno(e, -errno, "cannot connect to %s", addr.sun_path);
    _cleanup_buf_ struct buf line = BUF_INIT;
    control_encode(&line, words);
    if (line.failed)
        return error_set_errno(e, -ENOMEM, "cannot build the request");
    size_t sent = 0;
    while (sent < line.len) {
        ssize_t n = send(fd, line.data + sent, line.len - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EPIPE) /* turned away already: the answer says why */
            break;
        if (n < 0 && errno != EINTR)
            return error_set_errno(e, -errno, "cannot send to %s", addr.sun_path);
        if (n > 0)
            sent += (size_t)n;
    }
    return TAKE_FD(fd);
}

int control_call(const char *const *words, uint64_t timeout_ms, struct buf *ret_answer,
                 struct error *e)
{
    uint64_t deadline = clock_mono_ms() + timeout_ms;
    _cleanup_fd_ int fd = control_open(words, e);
    if (fd < 0)
        return fd;
    for (;;) {
        uint64_t now = clock_mono_ms();
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int n = now >= deadline ? 0 : poll(&p, 1, (int)(deadline - now));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(e, -errno, "cannot wait for PID 1's answer");
        if (n == 0)
            return error_set(e, -ETIMEDOUT, "PID 1 did not answer '%s' within %u ms", words[0],
                             (unsigned)timeout_ms);
        char chunk[8192];
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(e, -errno, "cannot read PID 1's answer");
        if (got == 0)
            break;
        int r = buf_append(ret_answer, chunk, (size_t)got);
        if (r < 0)
            return error_set_errno(e, r, "cannot keep PID 1's answer");
    }
    if (ret_answer->len && ret_answer->data[ret_answer->len - 1] == '\n')
        ret_answer->data[--ret_answer->len] = '\0';
    if (!ret_answer->len)
        return error_set(e, -EPROTO, "PID 1 closed the connection without an answer");
    return 0;
}
