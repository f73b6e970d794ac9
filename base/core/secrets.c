#include "base/core/secrets.h"

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/core/parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SECRET_MAX ((size_t)64 << 10)

const struct secret_spec secret_table[] = {
    { .name = "SLACK_BOT_TOKEN", .readers = SECRET_FOR_GATEWAY },
    { .name = "SLACK_APP_TOKEN", .readers = SECRET_FOR_GATEWAY },
    { .name = "CODEV_TOKEN", .state_file = "token", .readers = SECRET_FOR_GATEWAY },
    { .name = "CODEV_BRIDGE_TOKEN",
      .per_boot = true,
      .readers = SECRET_FOR_GATEWAY | SECRET_FOR_OPENCODE },
    { .name = "OPENCODE_SERVER_PASSWORD",
      .state_file = "opencode-password",
      .readers = SECRET_FOR_GATEWAY | SECRET_FOR_PROBES | SECRET_FOR_OPENCODE_ENV },
    { .name = "CODEV_GIT_TOKEN", .readers = SECRET_FOR_PREPARE },
    { .name = "CODEV_STATE_TOKEN", .readers = SECRET_FOR_STATE },
    { .name = "GITHUB_TOKEN", .readers = SECRET_FOR_GATEWAY },
    { .name = "NTFY_TOPIC", .readers = SECRET_FOR_GATEWAY },
    { .name = "DISCORD_WEBHOOK_URL", .readers = SECRET_FOR_GATEWAY },
    { 0 },
};

const struct secret_spec *secret_find(const char *name)
{
    for (const struct secret_spec *s = secret_table; s->name; s++)
        if (strcmp(s->name, name) == 0)
            return s;
    return NULL;
}

int secret_generate(char out[SECRET_TEXT_SIZE])
{
    unsigned char raw[(SECRET_TEXT_SIZE - 1) / 2];
    if (getrandom(raw, sizeof raw, 0) != (ssize_t)sizeof raw)
        return -errno;
    for (size_t i = 0; i < sizeof raw; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", raw[i]);
    return 0;
}

bool secret_equal(const char *given, const char *expected)
{
    size_t n = strlen(given), m = strlen(expected);
    volatile unsigned char diff = n != m;
    for (size_t i = 0; i < n; i++)
        diff = (unsigned char)(diff | (unsigned char)(given[i] ^ expected[m ? i % m : 0]));
    return diff == 0 && m > 0;
}

const char *secrets_get(const struct secrets *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->rows[i].name, name) == 0)
            return s->rows[i].value;
    return NULL;
}

static int secrets_add(struct secrets *s, const char *name, const char *value)
{
    struct secret *rows = realloc(s->rows, (s->count + 1) * sizeof *rows);
    if (!rows)
        return -ENOMEM;
    s->rows = rows;
    _cleanup_free_ char *n = strdup(name), *v = strdup(value);
    if (!n || !v)
        return -ENOMEM;
    rows[s->count++] = (struct secret){ .name = TAKE_PTR(n), .value = TAKE_PTR(v) };
    return 0;
}

void secrets_release(struct secrets *s)
{
    for (size_t i = 0; i < s->count; i++) {
        explicit_bzero(s->rows[i].value, strlen(s->rows[i].value));
        free(s->rows[i].value);
        free(s->rows[i].name);
    }
    free(s->rows);
    *s = (struct secrets){ 0 };
}

static int take_pipe(struct secrets *s, struct error *e)
{
    const char *text = getenv("CODEV_SECRETS_FD");
    uint64_t n;
    if (!text)
        return 0;
    if (parse_u64(text, 3, 65535, &n) < 0)
        return error_set(e, -EINVAL, "CODEV_SECRETS_FD=%s is no descriptor", text);
    _cleanup_fd_ int fd = (int)n;
    _cleanup_free_ char *data = NULL;
    int r = file_read_fd(fd, SECRET_MAX, &data, NULL);
    if (r < 0)
        return error_set_errno(e, r, "cannot read the secrets handed over on descriptor %d", fd);
    (void)unsetenv("CODEV_SECRETS_FD");
    char *next = data;
    for (char *line; (line = strsep(&next, "\n"));) {
        char *eq = strchr(line, '=');
        if (!eq)
            continue;
        *eq = '\0';
        r = secrets_add(s, line, eq + 1);
        if (r < 0)
            return error_set_errno(e, r, "cannot keep the secrets");
    }
    explicit_bzero(data, strlen(data));
    return 0;
}

static int take_environment(struct secrets *s, const char *name, struct error *e)
{
    char file_name[64];
    (void)snprintf(file_name, sizeof file_name, "%s_FILE", name);
    const char *value = getenv(name), *path = getenv(file_name);
    _cleanup_free_ char *data = NULL;
    if (!value && path && *path && !secrets_get(s, name)) {
        int r = file_read(path, SECRET_MAX, &data, NULL);
        if (r < 0)
            return error_set_errno(e, r, "cannot read %s=%s", file_name, path);
        data[strcspn(data, "\r\n")] = '\0';
        value = data;
    }
    int r = value && *value && !secrets_get(s, name) ? secrets_add(s, name, value) : 0;
    (void)unsetenv(name);
    return r < 0 ? error_set_errno(e, r, "cannot keep the secrets") : 0;
}

int secrets_take(int readers, struct secrets *ret, struct error *e)
{
    struct secrets s = { 0 };
    int r = take_pipe(&s, e);
    for (const struct secret_spec *spec = secret_table; r == 0 && spec->name; spec++)
        if (spec->readers & readers)
            r = take_environment(&s, spec->name, e);
        else /* nor does it matter whether its file can be read */
            (void)unsetenv(spec->name);
    if (r < 0) {
        secrets_release(&s);
        return r;
    }
    *ret = s;
    return 0;
}
