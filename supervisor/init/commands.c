/* The commands of the control socket, a row each; docs/control.md is their contract. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/control.h"
#include "base/core/jsonw.h"
#include "base/core/parse.h"
#include "supervisor/init/supervisor.h"

#define LOG_LINES_MAX 100000
#define CHECKS_MAX    128

struct request {
    struct supervisor *sv;
    struct connection *c;
    char *words[CONTROL_WORDS_MAX];
    size_t count;
};

static void answer_ok(struct connection *c)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    (void)buf_puts(&out, "{\"ok\":true}");
    connection_answer(c, &out);
}

static void run_version(const struct request *r)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct jsonw w = JSONW_INIT(&out);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "version", CODEV_VERSION);
    jsonw_int(&w, "pid", getpid());
    jsonw_object_end(&w);
    connection_answer(r->c, &out);
}

static void run_status(const struct request *r)
{
    _cleanup_buf_ struct buf out = BUF_INIT_MAX(CONTROL_OUT_MAX);
    status_json(r->sv, &out);
    connection_answer(r->c, &out);
}

static void run_probe(const struct request *r)
{
    static struct verdict_check checks[CHECKS_MAX]; /* too large for a stack that others share */
    size_t kind = 0, count;
    while (kind < VERDICT_MAX && strcmp(verdict_names[kind], r->words[1]) != 0)
        kind++;
    if (kind == VERDICT_MAX) {
        connection_error(r->c, "bad_request", "probe live, ready or startup, not %s", r->words[1]);
        return;
    }
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct jsonw w = JSONW_INIT(&out);
    bool ok = verdict_now(r->sv, (enum verdict_kind)kind, checks, CHECKS_MAX, &count);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "probe", verdict_names[kind]);
    jsonw_bool(&w, "ok", ok);
    jsonw_array(&w, "checks");
    for (size_t i = 0; i < count; i++) {
        jsonw_object(&w, NULL);
        jsonw_str(&w, "name", checks[i].name);
        jsonw_bool(&w, "ok", checks[i].ok);
        jsonw_str(&w, "reason", checks[i].reason);
        jsonw_object_end(&w);
    }
    jsonw_array_end(&w);
    jsonw_object_end(&w);
    connection_answer(r->c, &out);
}

/* The service that the second word names, or NULL with the error sent. */
static struct service *service_of(const struct request *r)
{
    struct service *s = service_find(r->sv, r->words[1]);
    if (!s)
        connection_error(r->c, "unknown_service", "there is no service named %.80s", r->words[1]);
    return s;
}

static void give_event(const struct request *r, enum service_event event, const char *reason)
{
    struct service *s = service_of(r);
    if (!s)
        return;
    if (r->sv->phase != PHASE_RUNNING && event != EV_STOP) {
        connection_error(r->c, r->sv->phase == PHASE_BOOT ? "busy" : "stopping", "the pod is %s",
                         r->sv->phase == PHASE_BOOT ? "starting" : "stopping");
        return;
    }
    if (s->removed && event != EV_STOP) { /* it ends, and would never be looked after again */
        connection_error(r->c, "unknown_service", "%s is no longer in the configuration", s->name);
        return;
    }
    answer_ok(r->c);
    service_event(s, event, reason);
}

static void run_start(const struct request *r)
{
    give_event(r, EV_START, "start was asked for");
}

static void run_stop(const struct request *r)
{
    give_event(r, EV_STOP, "stop was asked for");
}

static void run_restart(const struct request *r)
{
    give_event(r, EV_RESTART, "restart was asked for");
}

static void run_reload(const struct request *r)
{
    int e = reload_begin(r->sv);
    if (e == -EBUSY)
        connection_error(r->c, "busy", "a reload is at work already");
    else if (e == -ESHUTDOWN)
        connection_error(r->c, "stopping", "the pod is stopping");
    else if (e < 0)
        connection_error(r->c, "bad_config", "cannot run codev-config: %s", strerror(-e));
    else
        r->c->mode = CONNECTION_RELOAD;
}

static void run_shutdown(const struct request *r)
{
    answer_ok(r->c);
    stop_begin(r->sv, 0, "shutdown was asked for");
}

static void run_logs(const struct request *r)
{
    uint64_t n;
    bool all = strcmp(r->words[1], "*") == 0, follow = r->count > 3;
    const struct log_channel *channel = all ? NULL : logs_find(&r->sv->logs, r->words[1]);
    if (!all && !channel) {
        connection_error(r->c, "unknown_service", "there is no service named %.80s", r->words[1]);
        return;
    }
    if (parse_u64(r->words[2], 0, LOG_LINES_MAX, &n) < 0 ||
        (follow && strcmp(r->words[3], "follow") != 0)) {
        connection_error(r->c, "bad_request", "logs SERVICE N [follow]");
        return;
    }
    (void)snprintf(r->c->service, sizeof r->c->service, "%s", r->words[1]);
    r->c->mode = follow ? CONNECTION_LOGS : CONNECTION_TAIL;
    logs_reader(&r->sv->logs, &r->c->reader, channel, n);
    if (follow)
        r->c->reader.until = UINT64_MAX;
    connection_logs(r->c);
}

static void put_check(struct jsonw *w, const struct service *s, const struct plan_check *c,
                      const char *kind)
{
    if (c->kind != PLAN_CHECK_HTTP && c->kind != PLAN_CHECK_TCP)
        return;
    jsonw_object(w, NULL);
    jsonw_str(w, "service", s->name);
    jsonw_str(w, "kind", kind);
    jsonw_str(w, "type", c->kind == PLAN_CHECK_HTTP ? "http" : "tcp");
    jsonw_array(w, "target");
    for (uint32_t i = 0; i < c->target.count; i++)
        jsonw_str(w, NULL, plan_item(&s->block->plan, c->target, i));
    jsonw_array_end(w);
    jsonw_uint(w, "interval_ms", c->interval_ms);
    jsonw_uint(w, "timeout_ms", c->timeout_ms);
    jsonw_bool(w, "auth", c->auth != 0);
    jsonw_object_end(w);
}

static void run_checks(const struct request *r)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct jsonw w = JSONW_INIT(&out);
    jsonw_object(&w, NULL);
    jsonw_array(&w, "checks");
    for (const struct service *s = r->sv->services; s; s = s->next) {
        put_check(&w, s, &s->cfg->ready, "ready");
        put_check(&w, s, &s->cfg->health, "health");
    }
    jsonw_array_end(&w);
    jsonw_object_end(&w);
    connection_answer(r->c, &out);
}

static void run_report(const struct request *r)
{
    struct service *s = service_of(r);
    if (!s)
        return;
    bool health = strcmp(r->words[2], "health") == 0, ok = strcmp(r->words[3], "ok") == 0;
    if ((!health && strcmp(r->words[2], "ready") != 0) ||
        (!ok && strcmp(r->words[3], "fail") != 0)) {
        connection_error(r->c, "bad_request", "report SERVICE ready|health ok|fail REASON");
        return;
    }
    answer_ok(r->c);
    service_report(s, health, ok, r->count > 4 ? r->words[4] : "");
}

static struct service_note *note_slot(struct service *s, const char *key)
{
    struct service_note *unused = NULL;
    for (size_t i = 0; i < SERVICE_NOTES_MAX; i++) {
        if (s->notes[i].key && strcmp(s->notes[i].key, key) == 0)
            return &s->notes[i];
        if (!s->notes[i].key && !unused)
            unused = &s->notes[i];
    }
    return unused;
}

static void run_annotate(const struct request *r)
{
    struct service *s = service_of(r);
    if (!s)
        return;
    const char *key = r->words[2], *text = r->words[3];
    struct service_note *n = note_slot(s, key);
    if (!*key || strlen(key) > 64 || strlen(text) > SERVICE_NOTE_BYTES || !n) {
        connection_error(r->c, "too_long",
                         "a note has at most 8 KiB, its key 64 bytes; a service "
                         "has at most %d notes",
                         SERVICE_NOTES_MAX);
        return;
    }
    _cleanup_free_ char *k = *text ? strdup(key) : NULL, *t = *text ? strdup(text) : NULL;
    if (*text && (!k || !t)) {
        connection_error(r->c, "busy", "out of memory");
        return;
    }
    free(n->key);
    free(n->text);
    n->key = TAKE_PTR(k);
    n->text = TAKE_PTR(t);
    answer_ok(r->c);
}

static void run_secret(const struct request *r)
{
    const char *value = secret_store_get(&r->sv->secrets, r->words[1]);
    if (!value) {
        connection_error(r->c, "no_secret", "%.80s is not set", r->words[1]);
        return;
    }
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct jsonw w = JSONW_INIT(&out);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "value", value);
    jsonw_object_end(&w);
    connection_answer(r->c, &out);
    if (out.data)
        explicit_bzero(out.data, out.len);
}

static void run_events(const struct request *r)
{
    r->c->mode = CONNECTION_EVENTS;
}

static const struct command {
    const char *name;
    size_t least, most; /* words, the command included */
    void (*run)(const struct request *r);
} commands[] = {
    { "version", 1, 1, run_version }, { "status", 1, 1, run_status },
    { "probe", 2, 2, run_probe },     { "start", 2, 2, run_start },
    { "stop", 2, 2, run_stop },       { "restart", 2, 2, run_restart },
    { "reload", 1, 1, run_reload },   { "shutdown", 1, 1, run_shutdown },
    { "logs", 3, 4, run_logs },       { "checks", 1, 1, run_checks },
    { "report", 4, 5, run_report },   { "annotate", 4, 4, run_annotate },
    { "secret", 2, 2, run_secret },   { "events", 1, 1, run_events },
};

/* Splits at single spaces and decodes. -E2BIG, -EBADMSG. */
static int split(struct request *r, char *line)
{
    for (char *next = line, *word; (word = strsep(&next, " "));) {
        if (r->count == CONTROL_WORDS_MAX)
            return -E2BIG;
        if (!*word || control_decode_word(word) < 0)
            return -EBADMSG;
        r->words[r->count++] = word;
    }
    return 0;
}

void command_run(struct supervisor *sv, struct connection *c, char *line)
{
    struct request r = { .sv = sv, .c = c };
    if (split(&r, line) < 0) {
        connection_error(c, "bad_request",
                         "a request is words separated by one space, "
                         "percent-encoded");
        return;
    }
    const struct service *peer = *c->peer ? service_find(sv, c->peer) : NULL;
    if (*c->peer && (!peer || !peer_may(peer, r.words[0]))) {
        connection_error(c, "not_allowed", "the sandbox of service %s has no %.40s", c->peer,
                         r.words[0]);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (strcmp(commands[i].name, r.words[0]) != 0)
            continue;
        if (r.count < commands[i].least || r.count > commands[i].most)
            connection_error(c, "bad_request", "%s takes %zu to %zu words", commands[i].name,
                             commands[i].least - 1, commands[i].most - 1);
        else
            commands[i].run(&r);
        return;
    }
    connection_error(c, "unknown_command", "there is no command %.40s", r.words[0]);
}
