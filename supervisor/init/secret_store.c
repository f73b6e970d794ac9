#include "supervisor/init/secret_store.h"

#include <errno.h>
#include <fcntl.h>
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

static int collect_file(struct secret_store *s, size_t row, const char *name, struct error *e)
{
    const char *path = getenv(name);
    _cleanup_free_ char *text = NULL;
    if (!path || !*path)
        return 0;
    int r = file_read(path, SECRET_FILE_MAX, &text, NULL);
    if (r < 0)
        return error_set_errno(e, r, "cannot read the secret %s=%s", name, path);
    r = text[strcspn(text, "\r\n")] || *text ? set_row(s, row, text) : 0;
    explicit_bzero(text, strlen(text));
    return r;
}

int secret_store_collect(struct secret_store *s, struct error *e)
{
    int result = 0;
    for (size_t i = 0; i < secret_count(); i++) {
        char file[96];
        const char *value = getenv(secret_table[i].name);
        (void)snprintf(file, sizeof file, "%s_FILE", secret_table[i].name);
        int r = value && *value ? set_row(s, i, value) : collect_file(s, i, file, e);
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
        if (*value && !s->values[i]) /* the container's environment comes first */
            (void)set_row(s, i, value);
        env_unset(env, secret_table[i].name);
    }
}

static int hand_over_pipe(const struct buf *lines, struct env *env)
{
    int fds[2];
    char number[16];
    if (pipe(fds) < 0)
        return -errno;
    _cleanup_fd_ int in = fds[1];
    if (lines->len > 4096 && lines->len <= PIPE_MAX)
        (void)fcntl(in, F_SETPIPE_SZ, (int)lines->len);
    (void)fd_set_nonblock(in, true);
    ssize_t n = write(in, lines->data, lines->len);
    if (n != (ssize_t)lines->len)
        return n < 0 && errno != EAGAIN ? -errno : -EMSGSIZE;
    (void)snprintf(number, sizeof number, "%d", fds[0]);
    env_set(env, "CODEV_SECRETS_FD", number);
    return 0;
}

int secret_store_hand_over(const struct secret_store *s, uint32_t readers, struct env *env)
{
    _cleanup_buf_ struct buf lines = BUF_INIT;
    for (size_t i = 0; i < secret_count(); i++) {
        uint32_t match = (uint32_t)secret_table[i].readers & readers;
        if (!s->values[i] || !match)
            continue;
        if (match & SECRET_FOR_OPENCODE_ENV)
            env_set(env, secret_table[i].name, s->values[i]);
        if (match & ~(uint32_t)SECRET_FOR_OPENCODE_ENV)
            (void)buf_printf(&lines, "%s=%s\n", secret_table[i].name, s->values[i]);
    }
    int r = lines.failed ? -ENOMEM : lines.len ? hand_over_pipe(&lines, env) : 0;
    if (lines.data)
        explicit_bzero(lines.data, lines.cap);
    return r;
}

void secret_store_wipe(struct secret_store *s)
{
    for (size_t i = 0; i < SECRET_STORE_MAX; i++)
        forget(&s->values[i]);
}
