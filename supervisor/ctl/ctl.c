#include "supervisor/ctl/ctl.h"

#include <errno.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/core/control.h"
#include "base/core/file.h"

void ctl_complain(const char *fmt, ...)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    (void)buf_puts(&text, "codevctl: ");
    (void)buf_vprintf(&text, fmt, ap);
    (void)buf_putc(&text, '\n');
    va_end(ap);
    (void)fd_write_all(STDERR_FILENO, buf_str(&text), text.len);
}

int ctl_failure(int code, const struct error *e)
{
    ctl_complain("%s", e->message);
    if (code == -ENOENT || code == -ECONNREFUSED || code == -EACCES)
        return CTL_NO_SUPERVISOR;
    return CTL_NOT_WELL;
}

int ctl_ask(const char *const *words, cJSON **ret)
{
    _cleanup_buf_ struct buf answer = BUF_INIT;
    _cleanup_json_ cJSON *j = NULL;
    struct error e = ERROR_INIT;
    int r = control_call(words, CTL_TIMEOUT_MS, &answer, &e);
    if (r < 0)
        return ctl_failure(r, &e);
    r = json_parse(&j, buf_str(&answer), answer.len, &e);
    if (r < 0) {
        ctl_complain("PID 1's answer to '%s': %s", words[0], e.message);
        return CTL_NOT_WELL;
    }
    const cJSON *error = json_obj(j, "error");
    if (error) {
        ctl_complain("%s", json_str(error, "message", json_str(error, "code", "refused")));
        return CTL_NOT_WELL;
    }
    *ret = TAKE_PTR(j);
    return CTL_OK;
}

void ctl_print_json(const cJSON *j)
{
    _cleanup_free_ char *text = json_print(j);
    if (text)
        (void)puts(text);
}

int ctl_order(const struct ctl_options *o, const char *const *words, const char *done)
{
    _cleanup_json_ cJSON *answer = NULL;
    int status = ctl_ask(words, &answer);
    if (status != CTL_OK)
        return status;
    if (o->json)
        ctl_print_json(answer);
    else
        (void)puts(done);
    return CTL_OK;
}

char *ctl_beside(const char *program)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0)
        return strdup(program);
    path[n] = '\0';
    return path_join(dirname(path), program);
}

const cJSON *ctl_find_service(const cJSON *status, const char *name)
{
    const cJSON *s;
    cJSON_ArrayForEach (s, json_arr(status, "services"))
        if (strcmp(json_str(s, "name", ""), name) == 0)
            return s;
    return NULL;
}

cJSON *ctl_note(const cJSON *status, const char *service, const char *key)
{
    const char *text = json_str(json_obj(ctl_find_service(status, service), "notes"), key, NULL);
    cJSON *j = NULL;
    if (text)
        (void)json_parse(&j, text, strlen(text), NULL);
    return j;
}
