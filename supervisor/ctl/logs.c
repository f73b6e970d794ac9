/* logs and events: lines as they come. */
#include "supervisor/ctl/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/core/clock.h"
#include "base/core/control.h"
#include "base/core/log.h"

#define LINE_BYTES_MAX ((size_t)1 << 20)

/* What becomes of a line: 0, or an exit status that ends it all. */
typedef int line_fn(const char *line, size_t len);

/* A first line that is an error is the whole answer. */
static int refused(const char *line, size_t len)
{
    _cleanup_json_ cJSON *j = NULL;
    if (strncmp(line, "{\"error\":{", 10) != 0 || json_parse(&j, line, len, NULL) < 0)
        return CTL_OK;
    const cJSON *error = json_obj(j, "error");
    ctl_complain("%s", json_str(error, "message", json_str(error, "code", "refused")));
    return CTL_NOT_WELL;
}

static int put_raw(const char *line, size_t len)
{
    (void)fwrite(line, 1, len, stdout);
    return putchar('\n') == EOF ? CTL_NOT_WELL : CTL_OK;
}

/* "12:03:04.567 gateway  warn  text" for people. */
static int put_pretty(const char *line, size_t len)
{
    _cleanup_json_ cJSON *j = NULL;
    if (json_parse(&j, line, len, NULL) < 0 || !cJSON_IsObject(j))
        return put_raw(line, len);
    const char *ts = json_str(j, "ts", ""), *t = strchr(ts, 'T');
    const char *level = json_str(j, "level", "info");
    const cJSON *msg = cJSON_GetObjectItemCaseSensitive(j, "msg");
    const cJSON *own = json_obj(j, "json"); /* a service's own line */
    _cleanup_free_ char *other = cJSON_IsString(msg) ? NULL : json_print(own ? own : msg ? msg : j);
    (void)printf("%.12s %-12s %s%s%s\n", t ? t + 1 : ts, json_str(j, "service", "?"),
                 strcmp(level, "info") == 0 ? "" : level, strcmp(level, "info") == 0 ? "" : ": ",
                 other                     ? other
                 : msg && msg->valuestring ? msg->valuestring
                                           : "");
    return ferror(stdout) ? CTL_NOT_WELL : CTL_OK;
}

static int whole_lines(struct buf *in, line_fn *fn, bool *first)
{
    char *end;
    while (in->len && (end = memchr(in->data, '\n', in->len))) {
        size_t len = (size_t)(end - in->data);
        *end = '\0';
        int status = *first ? refused(in->data, len) : CTL_OK;
        *first = false;
        if (status == CTL_OK)
            status = fn(in->data, len);
        if (status != CTL_OK)
            return status;
        buf_consume(in, len + 1);
    }
    return fflush(stdout) == 0 ? CTL_OK : CTL_NOT_WELL;
}

static int stream(const char *const *words, line_fn *fn)
{
    struct error e = ERROR_INIT;
    _cleanup_buf_ struct buf in = BUF_INIT_MAX(LINE_BYTES_MAX);
    bool first = true;
    _cleanup_fd_ int fd = control_open(words, &e);
    if (fd < 0)
        return ctl_failure(fd, &e);
    for (;;) {
        char chunk[16384];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            ctl_complain("cannot read from PID 1: %s", strerror(errno));
            return CTL_NOT_WELL;
        }
        if (n == 0)
            return CTL_OK;
        if (buf_append(&in, chunk, (size_t)n) < 0) {
            ctl_complain("a line from PID 1 is too long");
            return CTL_NOT_WELL;
        }
        int status = whole_lines(&in, fn, &first);
        if (status != CTL_OK)
            return status;
    }
}

/* ---------------------------------------------------------------- which lines */

#define LINES_DEFAULT 100
#define LINES_ALL     100000 /* more than PID 1 keeps */

static struct {
    const char *trace;
    char from[CLOCK_RFC3339_SIZE]; /* "": no matter when */
    line_fn *put;
} wanted;

/* An id of the line is this one, or its text names it: per_…, ses_…, an account. */
static bool is_about(const cJSON *line, const char *id)
{
    for (int f = 0; f < LOG_FIELD_MAX; f++)
        if (strcmp(json_str(line, log_field_name((enum log_field)f), ""), id) == 0)
            return true;
    return strstr(json_str(line, "msg", ""), id) != NULL;
}

/* Times of one form sort as texts do. */
static int put_wanted(const char *line, size_t len)
{
    _cleanup_json_ cJSON *j = NULL;
    if (json_parse(&j, line, len, NULL) < 0 ||
        (*wanted.from && strcmp(json_str(j, "ts", ""), wanted.from) < 0) ||
        (wanted.trace && !is_about(j, wanted.trace)))
        return CTL_OK;
    return wanted.put(line, len);
}

static void want(const struct ctl_options *o)
{
    wanted.put = o->json ? put_raw : put_pretty;
    wanted.trace = o->trace;
    if (o->since_ms)
        clock_rfc3339_at(wanted.from, (clock_wall_ms() - (int64_t)o->since_ms) * 1000);
}

int ctl_logs(const struct ctl_options *o, int argc, char **argv)
{
    bool some = o->trace || o->since_ms;
    char count[16];
    want(o);
    unsigned lines = some ? LINES_ALL : LINES_DEFAULT;
    if (o->lines != CTL_LINES_UNSET)
        lines = o->lines;
    (void)snprintf(count, sizeof count, "%u", lines);
    const char *words[] = { "logs", argc > 1 ? argv[1] : "*", count, o->follow ? "follow" : NULL,
                            NULL };
    return stream(words, some ? put_wanted : wanted.put);
}

int ctl_events(const struct ctl_options *o, int argc, char **argv)
{
    (void)o;
    (void)argc;
    (void)argv;
    const char *words[] = { "events", NULL };
    return stream(words, put_raw);
}
