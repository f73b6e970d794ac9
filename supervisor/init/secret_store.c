#include "supervisor/init/secret_store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/file.h"

#define SECRET_FILE_MAX ((size_t)64 << 10)
#define PIPE_MAX        (1 << 20)

size_t secret_count(void)
{
    size_t n = 0;
    while (n < SECRET_STORE_MAX && secret_table[n].name)
        n++;
    return n;
}

static void forget(char **value)
{
    if (*value)
        explicit_bzero(*value, strlen(*value));
    free(*value);
    *value = NULL;
}

static int set_row(struct secret_store *s, size_t row, const char *value)
{
    /* A secret is one line: it is handed over as one. */
    char *copy = strndup(value, strcspn(value, "\r\n"));
    if (!copy)
        return -ENOMEM;
    forget(&s->values[row]);
    s->values[row] = copy;
    return 0;
}

int secret_store_set(struct secret_store *s, const char *name, const char *value)
{
    for (size_t i = 0; i < secret_count(); i++)
        if (strcmp(secret_table[i].name, name) == 0)
            return set_row(s, i, value);
    return -ENOENT;
}

const char *secret_store_get(const struct secret_store *s, const char *name)
{
    for (size_t i = 0; i < secret_count(); i++)
        if (strcmp(secret_table[i].name, name) == 0)
            return s->values[i];
    return NULL;
}

int secret_store_read_file(const struct secret_store *s, size_t row, char **ret)
{
    _cleanup_free_ char *text = NULL;
    int r = s->files[row] ? file_read(s->files[row], SECRET_FILE_MAX, &text, NULL) : -ENOENT;
    if (r < 0)
        return r;
    size_t len = strcspn(text, "\r\n");
    explicit_bzero(text + len, strlen(text + len));
    if (!len)
        return -ENODATA;
    *ret = TAKE_PTR(text);
    return 0;
}

static int collect_file(struct secret_store *s, size_t row, const char *name)
{
    const char *path = getenv(name);
    if (!path || !*path)
        return 0;
    s->files[row] = strdup(path);
    return s->files[row] ? 0 : -ENOMEM;
}

int secret_store_collect(struct secret_store *s)
{
    int result = 0;
    for (size_t i = 0; i < secret_count(); i++) {
        char file[96];
        const char *value = getenv(secret_table[i].name);
        (void)snprintf(file, sizeof file, "%s_FILE", secret_table[i].name);
        int r = value && *value ? set_row(s, i, value) : 0;
        s->given[i] = value && *value;
        if (r < 0)
            result = r;
        r = collect_file(s, i, file); /* also where the value wins: nobody else may read the file */
        if (r < 0)
            result = r;
        environ_wipe(secret_table[i].name);
        environ_wipe(file);
    }
    return result;
}

void secret_store_take_env(struct secret_store *s, struct env *env)
{
    for (size_t i = 0; i < secret_count(); i++) {
        const char *value = env_get(env, secret_table[i].name);
        if (!value)
            continue;
        if (*value && !s->values[i]) { /* the container's environment comes first */
            (void)set_row(s, i, value);
            s->given[i] = true;
        }
        env_unset(env, secret_table[i].name);
    }
}

static int make_pipe(const struct buf *lines, int *ret_fd)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    _cleanup_fd_ int out = fds[0], in = fds[1];
    if (lines->len > 4096 && lines->len <= PIPE_MAX)
        (void)fcntl(in, F_SETPIPE_SZ, (int)lines->len);
    (void)fd_set_nonblock(in, true);
    ssize_t n = write(in, lines->data, lines->len);
    if (n != (ssize_t)lines->len)
        return n < 0 && errno != EAGAIN ? -errno : -EMSGSIZE;
    *ret_fd = TAKE_FD(out);
    return 0;
}

int secret_store_pipe(const struct secret_store *s, uint32_t readers, int *ret_fd)
{
    _cleanup_buf_ struct buf lines = BUF_INIT;
    *ret_fd = -1;
    for (size_t i = 0; i < secret_count(); i++) {
        uint32_t match = (uint32_t)secret_table[i].readers & readers;
        if (s->values[i] && match & ~(uint32_t)SECRET_FOR_OPENCODE_ENV)
            (void)buf_printf(&lines, "%s=%s\n", secret_table[i].name, s->values[i]);
    }
    int r = lines.failed ? -ENOMEM : lines.len ? make_pipe(&lines, ret_fd) : 0;
    if (lines.data)
        explicit_bzero(lines.data, lines.cap);
    return r;
}

void secret_store_environment(const struct secret_store *s, uint32_t readers, struct env *env)
{
    for (size_t i = 0; i < secret_count(); i++)
        if (s->values[i] && (uint32_t)secret_table[i].readers & readers & SECRET_FOR_OPENCODE_ENV)
            env_set(env, secret_table[i].name, s->values[i]);
}

size_t secret_pipe_drain(int fd)
{
    char chunk[512];
    size_t total = 0;
    struct pollfd p = { .fd = fd, .events = POLLIN };
    /* Not by O_NONBLOCK: the program may hold the same open file. */
    while (poll(&p, 1, 0) == 1 && p.revents & POLLIN) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n <= 0)
            break;
        total += (size_t)n;
    }
    explicit_bzero(chunk, sizeof chunk);
    return total;
}

void secret_store_wipe(struct secret_store *s)
{
    for (size_t i = 0; i < SECRET_STORE_MAX; i++) {
        forget(&s->values[i]);
        free(s->files[i]);
        s->files[i] = NULL;
    }
}
