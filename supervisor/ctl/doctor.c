/* doctor: common troubles, and what to do about each. Works without a supervisor, too. */
#include "supervisor/ctl/ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/core/control.h"
#include "base/core/jsonw.h"
#include "supervisor/ctl/capture.h"
#include "supervisor/ctl/well.h"
#include "supervisor/volumes/volumes.h"

#define VOLUME_SECONDS 20 /* a dead file system answers never */

enum verdict { FINE, WARN, BAD, VERDICT_MAX };
static const char *const verdict_names[] = { [FINE] = "ok", [WARN] = "warn", [BAD] = "bad" };
_Static_assert(ARRAY_SIZE(verdict_names) == VERDICT_MAX, "a name for every verdict");

struct doctor {
    struct buf out;
    struct jsonw w;
    bool json, bad;
};

/* `hint`: what to do, or "". */
static void say(struct doctor *d, enum verdict v, const char *name, const char *hint,
                const char *fmt, ...) __attribute__((format(printf, 5, 6)));
static void say(struct doctor *d, enum verdict v, const char *name, const char *hint,
                const char *fmt, ...)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    (void)buf_vprintf(&text, fmt, ap);
    va_end(ap);
    d->bad |= v == BAD;
    if (!d->json) {
        (void)printf("%-4s  %-10s %s\n", verdict_names[v], name, buf_str(&text));
        if (*hint)
            (void)printf("      %-10s -> %s\n", "", hint);
        (void)fflush(stdout); /* the next check may take long */
        return;
    }
    jsonw_object(&d->w, NULL);
    jsonw_str(&d->w, "level", verdict_names[v]);
    jsonw_str(&d->w, "name", name);
    jsonw_str(&d->w, "message", buf_str(&text));
    jsonw_str(&d->w, "hint", hint);
    jsonw_object_end(&d->w);
}

static void check_config(struct doctor *d)
{
    const char *args[] = { "check", NULL };
    _cleanup_buf_ struct buf out = BUF_INIT_MAX((size_t)64 << 10);
    _cleanup_buf_ struct buf err = BUF_INIT_MAX((size_t)64 << 10);
    int status = capture("codev-config", args, &out, &err);
    char *next = err.data;
    if (status < 0) {
        say(d, BAD, "config", "the programs must stand in one folder",
            "cannot run codev-config: %s", strerror(-status));
        return;
    }
    for (char *line; next && (line = strsep(&next, "\n"));)
        if (*line)
            say(d, strncmp(line, "warning: ", 9) == 0 ? WARN : BAD, "config", "", "%s", line);
    if (status == 0)
        say(d, FINE, "config", "", "%.*s", (int)strcspn(buf_str(&out), "\n"), buf_str(&out));
}

static void check_volume(struct doctor *d, const char *path, const struct mount_table *table,
                         const char *error, uint64_t min_free, uint64_t min_inodes)
{
    struct volume_spec spec = { .path = path, .min_free = min_free, .min_inodes = min_inodes };
    struct volume_report report;
    static const enum verdict verdicts[] = {
        [FINDING_OK] = FINE, [FINDING_WARN] = WARN, [FINDING_BAD] = BAD
    };
    (void)alarm(VOLUME_SECONDS);
    volume_verify(&spec, table, error, &report);
    (void)alarm(0);
    for (size_t i = 0; i < report.count; i++)
        say(d, verdicts[report.findings[i].level], "volume", "", "%s", report.findings[i].message);
}

/* Those that PID 1 knows, or else the one place by default. */
static void check_volumes(struct doctor *d, const cJSON *status)
{
    struct error e = ERROR_INIT;
    struct mount_table table = { 0 };
    bool read = mount_table_read(&table, &e) == 0;
    const cJSON *v;
    cJSON_ArrayForEach (v, json_arr(status, "volumes"))
        check_volume(d, json_str(v, "path", "/"), read ? &table : NULL, e.message, 1, 1);
    const char *home = getenv("CODEV_HOME");
    if (!home || !*home)
        home = getenv("HOME");
    if (!status && home && *home) {
        _cleanup_free_ char *path = NULL;
        if (asprintf(&path, "%s/.local", home) > 0)
            check_volume(d, path, read ? &table : NULL, e.message, 1, 1);
    }
    /* The minima are the configuration's: PID 1 has judged them. */
    cJSON_ArrayForEach (v, json_arr(status, "volumes")) {
        const cJSON *f;
        cJSON_ArrayForEach (f, json_arr(v, "findings"))
            if (strncmp(json_str(f, "code", ""), "low_", 4) == 0)
                say(d, BAD, "volume", "", "%s", json_str(f, "message", ""));
    }
    mount_table_release(&table);
}

static void check_service(struct doctor *d, const cJSON *s)
{
    const char *name = json_str(s, "name", "?"), *reason = json_str(s, "reason", "");
    const char *last = json_str(s, "last_exit", "");
    if (service_is_well(s)) {
        say(d, FINE, name, "", "%s, %lld restarts", json_str(s, "state", "?"),
            (long long)json_int(s, "restarts", 0));
        return;
    }
    char hint[128];
    (void)snprintf(hint, sizeof hint, "codevctl logs -n 50 %.40s", name);
    say(d, json_bool(s, "gates_ready", false) || json_bool(s, "gave_up", false) ? BAD : WARN, name,
        hint, "%s%s%s%s%s", json_str(s, "state", "?"), *reason ? ": " : "", reason,
        *last && !strstr(reason, last) ? ", last: " : "", strstr(reason, last) ? "" : last);
}

/* What a profile asks for and the kernel does not have, once for each profile. */
static void check_sandbox(struct doctor *d, const cJSON *services)
{
    const cJSON *s, *p, *before;
    cJSON_ArrayForEach (s, services) {
        const char *profile = json_str_at(s, "sandbox.profile", "none");
        for (before = services->child; before != s; before = before->next)
            if (strcmp(json_str_at(before, "sandbox.profile", "none"), profile) == 0)
                break;
        if (strcmp(profile, "none") == 0 || before != s)
            continue;
        bool well = true;
        cJSON_ArrayForEach (p, json_arr(json_obj(s, "sandbox"), "parts")) {
            if (strcmp(json_str(p, "state", ""), "unavailable") != 0)
                continue;
            well = false;
            say(d, WARN, "sandbox", "sandbox.require: true would refuse to run without",
                "profile %s goes without %s: %s", profile, json_str(p, "name", "?"),
                json_str(p, "detail", ""));
        }
        if (well)
            say(d, FINE, "sandbox", "", "profile %s: all of it", profile);
    }
}

static void check_plugin(struct doctor *d, const cJSON *status)
{
    _cleanup_json_ cJSON *note = ctl_note(status, "prepare", "plugin");
    const cJSON *waits = NULL;
    cJSON_ArrayForEach (waits, json_obj(note, "trust"))
        say(d, WARN, "trust", "codevctl trust shows what changed", "%s",
            cJSON_IsString(waits) ? waits->valuestring : "?");
    const char *state = json_str(note, "state", "unknown");
    bool missing = strcmp(state, "missing") == 0;
    if (strcmp(state, "ready") == 0 || strcmp(state, "disabled") == 0)
        say(d, FINE, "plugin", "", "%s", state);
    else
        say(d, WARN, "plugin",
            missing ? "set plugin.url to clone it, or: codevctl plugin install"
                    : "codevctl logs -n 50 prepare",
            "%s: %s (OpenCode runs without it)", state,
            json_str(note, "reason", "no reason given"));
}

static void check_links(struct doctor *d, const cJSON *status)
{
    _cleanup_json_ cJSON *note = ctl_note(status, "gateway", "links");
    const char *state = json_str_at(note, "slack.state", "unknown");
    if (strcmp(state, "failed") == 0)
        say(d, BAD, "slack", "check SLACK_BOT_TOKEN, SLACK_APP_TOKEN and the app's scopes", "%s",
            json_str_at(note, "slack.reason", "failed"));
    else
        say(d, FINE, "slack", "", "%s", state);
}

static void check_groups(struct doctor *d, const cJSON *status)
{
    const cJSON *g = json_at(status, "cgroup");
    int64_t now = json_int(g, "pids_current", 0), max = json_int(g, "pids_max", 0);
    const char *detail = json_str(g, "detail", "");
    if (!g)
        return;
    say(d, FINE, "cgroup", "", "%s%s%s%s",
        json_bool(g, "services", false)
            ? "one for each service"
            : "none for services, they are followed by the process tree",
        *detail ? " (" : "", detail, *detail ? ")" : "");
    if (json_int(g, "oom_kills", 0) > 0)
        say(d, WARN, "memory", "raise the container's memory limit, or a service's memory_max",
            "the kernel killed %lld processes since the start, out of memory",
            (long long)json_int(g, "oom_kills", 0));
    if (max > 0 && now >= max / 10 * 9)
        say(d, BAD, "processes", "find who makes them: codevctl status; or raise the pids limit",
            "%lld of at most %lld processes and threads", (long long)now, (long long)max);
}

static void check_supervisor(struct doctor *d, const cJSON *status)
{
    const cJSON *s;
    say(d, json_bool(status, "ready", false) ? FINE : BAD, "pod",
        json_bool(status, "ready", false) ? "" : "codevctl probe ready -v", "%s, %s",
        json_str(status, "phase", "?"), json_bool(status, "ready", false) ? "ready" : "not ready");
    cJSON_ArrayForEach (s, json_arr(status, "services"))
        check_service(d, s);
    check_sandbox(d, json_arr(status, "services"));
    check_groups(d, status);
    check_plugin(d, status);
    check_links(d, status);
    if (!*json_str(status, "state_dir", ""))
        say(d, WARN, "state", "make /var/lib/codev or the volume at .local writable",
            "no folder for durable state: tokens change at every start");
}

static cJSON *ask_status(struct doctor *d)
{
    const char *words[] = { "status", NULL };
    _cleanup_buf_ struct buf answer = BUF_INIT;
    cJSON *status = NULL;
    struct error e = ERROR_INIT;
    if (control_call(words, CTL_TIMEOUT_MS, &answer, &e) < 0 ||
        json_parse(&status, buf_str(&answer), answer.len, &e) < 0)
        say(d, BAD, "supervisor",
            "in a pod: is codev-init the ENTRYPOINT, and are you the same user?", "%s", e.message);
    return status;
}

int ctl_doctor(const struct ctl_options *o, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    struct doctor d = { .json = o->json };
    d.w = (struct jsonw)JSONW_INIT(&d.out);
    jsonw_array(&d.w, NULL);
    _cleanup_json_ cJSON *status = ask_status(&d);
    check_config(&d);
    check_volumes(&d, status);
    if (status)
        check_supervisor(&d, status);
    jsonw_array_end(&d.w);
    if (o->json)
        (void)puts(buf_str(&d.out));
    buf_release(&d.out);
    return d.bad ? CTL_NOT_WELL : CTL_OK;
}
