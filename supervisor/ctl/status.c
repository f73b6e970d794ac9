/* status: the pod on one screen. */
#include "supervisor/ctl/ctl.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/core/buf.h"
#include "supervisor/ctl/well.h"

static void put_age(char out[24], int64_t ms)
{
    long long s = ms / 1000, tenths = ms / 100 % 10;
    if (ms <= 0)
        (void)snprintf(out, 24, "-");
    else if (s < 60)
        (void)snprintf(out, 24, "%lld.%llds", s, tenths);
    else if (s < 3600)
        (void)snprintf(out, 24, "%lldm%02llds", s / 60, s % 60);
    else if (s < 86400)
        (void)snprintf(out, 24, "%lldh%02lldm", s / 3600, s / 60 % 60);
    else
        (void)snprintf(out, 24, "%lldd%02lldh", s / 86400, s / 3600 % 24);
}

static void put_bytes(char out[24], int64_t bytes)
{
    static const char units[] = { 'B', 'K', 'M', 'G', 'T' };
    double n = (double)bytes;
    size_t i = 0;
    for (; n >= 1024 && i + 1 < sizeof units; i++)
        n /= 1024;
    (void)snprintf(out, 24, n < 10 && i ? "%.1f%c" : "%.0f%c", n, units[i]);
}

/* The last column: why it is as it is. */
static void put_reason(struct buf *out, const cJSON *s)
{
    const char *reason = json_str(s, "reason", ""), *health = json_str(s, "health_reason", "");
    const char *last = json_str(s, "last_exit", ""), *said = json_str(s, "status", "");
    const char *state = json_str(s, "state", "");
    int64_t next = json_int(s, "next_start_ms", 0);
    buf_puts(out, reason);
    if (json_bool(s, "reloading", false))
        buf_printf(out, "%sreloading", out->len ? "; " : "");
    if (*said)
        buf_printf(out, "%s\"%s\"", out->len ? "; " : "", said);
    if (strcmp(json_str(s, "health", ""), "fail") == 0)
        buf_printf(out, "%shealth: %s", out->len ? "; " : "", *health ? health : "fails");
    if (*last && !strstr(reason, last) && strcmp(state, "ready") != 0 && strcmp(state, "done") != 0)
        buf_printf(out, "%slast: %s", out->len ? "; " : "", last);
    if (next > 0)
        buf_printf(out, "%snext start in %.1f s", out->len ? "; " : "", (double)next / 1000);
}

static void put_services(const cJSON *status)
{
    const cJSON *s;
    (void)printf("%-14s %-10s %7s %9s %8s %7s  %s\n", "SERVICE", "STATE", "PID", "UPTIME",
                 "RESTARTS", "RSS", "REASON");
    cJSON_ArrayForEach (s, json_arr(status, "services")) {
        _cleanup_buf_ struct buf reason = BUF_INIT;
        char age[24], rss[24] = "-", pid[24] = "-";
        int64_t p = json_int(s, "pid", 0);
        put_age(age, p > 0 ? json_int(s, "uptime_ms", 0) : 0);
        if (p > 0)
            (void)snprintf(pid, sizeof pid, "%lld", (long long)p);
        if (json_int(s, "rss_bytes", 0) > 0)
            put_bytes(rss, json_int(s, "rss_bytes", 0));
        put_reason(&reason, s);
        (void)printf("%-14s %-10s %7s %9s %8lld %7s%s%s\n", json_str(s, "name", "?"),
                     json_str(s, "state", "?"), pid, age, (long long)json_int(s, "restarts", 0),
                     rss, reason.len ? "  " : "", buf_str(&reason));
    }
}

static void put_volumes(const cJSON *status)
{
    const cJSON *v, *f;
    cJSON_ArrayForEach (v, json_arr(status, "volumes")) {
        char free_text[24], total[24];
        put_bytes(free_text, json_int(v, "bytes_free", 0));
        put_bytes(total, json_int(v, "bytes_total", 0));
        (void)printf("volume   %s: %s (%s, %s of %s free)\n", json_str(v, "path", "?"),
                     json_str(v, "level", "?"), json_str(v, "fs_type", "?"), free_text, total);
        cJSON_ArrayForEach (f, json_arr(v, "findings"))
            if (strcmp(json_str(f, "level", ""), "ok") != 0)
                (void)printf("         %s: %s\n", json_str(f, "level", "?"),
                             json_str(f, "message", ""));
    }
}

static void put_plugin(const cJSON *status)
{
    _cleanup_json_ cJSON *note = ctl_note(status, "prepare", "plugin");
    if (!note)
        return;
    const char *reason = json_str(note, "reason", ""), *commit = json_str(note, "commit", "");
    (void)printf("plugin   %s%s%s%s%.12s\n", json_str(note, "state", "?"), *reason ? ": " : "",
                 reason, *commit ? ", commit " : "", commit);
    const cJSON *waits = NULL;
    cJSON_ArrayForEach (waits, json_obj(note, "trust"))
        (void)printf("         waits: %s\n", cJSON_IsString(waits) ? waits->valuestring : "?");
}

static void put_opencode(const cJSON *status)
{
    const char *version =
        json_str(json_obj(ctl_find_service(status, "opencode"), "notes"), "version", NULL);
    if (version)
        (void)printf("opencode %s\n", version);
}

static void put_links(const cJSON *status)
{
    _cleanup_json_ cJSON *note = ctl_note(status, "gateway", "links");
    if (!note)
        return;
    const char *reason = json_str_at(note, "slack.reason", "");
    const cJSON *bridges = json_at(note, "bridge.connected");
    (void)printf("links    slack %s%s%s, bridges %d, opencode by %s\n",
                 json_str_at(note, "slack.state", "?"), *reason ? ": " : "", reason,
                 cJSON_IsNumber(bridges) ? bridges->valueint : 0,
                 json_str_at(note, "opencode.way", "?"));
}

/* Where the states of the sessions go. */
static void put_state(const cJSON *status)
{
    _cleanup_json_ cJSON *note = ctl_note(status, "session-state", "git");
    if (!note)
        return;
    const char *reason = json_str(note, "reason", "");
    (void)printf("states   %s%s%s, %s branch %s", json_str(note, "state", "?"), *reason ? ": " : "",
                 reason, json_str(note, "remote", "?"), json_str(note, "branch", "?"));
    if (json_int(note, "unpushed", 0) > 0)
        (void)printf(", %lld commits not pushed", (long long)json_int(note, "unpushed", 0));
    (void)putchar('\n');
}

/* What stands around OpenCode beside its sandbox, each with its state. */
static void put_means(const cJSON *service)
{
    const cJSON *m;
    bool first = true;
    cJSON_ArrayForEach (m, json_arr(json_obj(service, "sandbox"), "means")) {
        const char *detail = json_str(m, "detail", "");
        (void)printf("%s%s %s%s%s%s", first ? "         " : ", ", json_str(m, "name", "?"),
                     json_str(m, "state", "?"), *detail ? " (" : "", detail, *detail ? ")" : "");
        first = false;
    }
    if (!first)
        (void)putchar('\n');
}

/* A service's profile, and what it goes without. */
static void put_profiles(const cJSON *status)
{
    const cJSON *s, *p;
    cJSON_ArrayForEach (s, json_arr(status, "services")) {
        const char *profile = json_str_at(s, "sandbox.profile", "none");
        bool without = false;
        if (strcmp(profile, "none") == 0)
            continue;
        (void)printf("sandbox  %s in %s", json_str(s, "name", "?"), profile);
        cJSON_ArrayForEach (p, json_arr(json_obj(s, "sandbox"), "parts")) {
            if (strcmp(json_str(p, "state", ""), "unavailable") != 0)
                continue;
            (void)printf("%s %s (%s)", without ? "," : ", without:", json_str(p, "name", "?"),
                         json_str(p, "detail", ""));
            without = true;
        }
        (void)putchar('\n');
        put_means(s);
    }
}

static void put_sandbox(const cJSON *status)
{
    const cJSON *s;
    bool first = true;
    cJSON_ArrayForEach (s, json_arr(status, "sandbox")) {
        const char *detail = json_str(s, "detail", "");
        (void)printf("%s%s %s%s%s%s", first ? "sandbox  " : ", ", json_str(s, "name", "?"),
                     json_str(s, "state", "?"), *detail ? " (" : "", detail, *detail ? ")" : "");
        first = false;
    }
    if (!first)
        (void)putchar('\n');
    put_profiles(status);
}

/* Which means hold services: groups of the kernel's, or what takes their place. */
static void put_groups(const cJSON *status)
{
    const cJSON *g = json_at(status, "cgroup");
    const char *detail = json_str(g, "detail", "");
    int64_t max = json_int(g, "pids_max", 0);
    if (!g)
        return;
    if (json_bool(g, "services", false))
        (void)printf("cgroup   one for each service: %smemory_max by %s, limits.nproc by %s",
                     json_bool(g, "kill", false) ? "killed as a whole, " : "",
                     json_bool(g, "memory", false) ? "memory.max" : "looking now and then",
                     json_bool(g, "pids", false) ? "pids.max" : "RLIMIT_NPROC");
    else
        (void)printf(
            "cgroup   none for services: killed by the process tree, memory_max by looking "
            "now and then, limits.nproc by RLIMIT_NPROC");
    (void)printf("%s%s%s\n", *detail ? " (" : "", detail, *detail ? ")" : "");
    if (max > 0)
        (void)printf("         %lld of at most %lld processes and threads\n",
                     (long long)json_int(g, "pids_current", 0), (long long)max);
    if (json_int(g, "oom_kills", 0) > 0)
        (void)printf("         the kernel killed %lld processes, out of memory\n",
                     (long long)json_int(g, "oom_kills", 0));
}

static void put_status(const cJSON *status)
{
    char age[24];
    put_age(age, json_int(status, "uptime_ms", 0));
    (void)printf("codev-init %s: %s, %s, %s, up %s\n\n", json_str(status, "version", "?"),
                 json_str(status, "phase", "?"),
                 json_bool(status, "ready", false) ? "ready" : "NOT READY",
                 json_bool(status, "live", false) ? "live" : "NOT LIVE", age);
    if (*json_str(status, "config_error", ""))
        (void)printf("config   refused, the one before it is in effect: %s\n\n",
                     json_str(status, "config_error", ""));
    put_services(status);
    (void)putchar('\n');
    put_volumes(status);
    put_opencode(status);
    put_plugin(status);
    put_links(status);
    put_state(status);
    put_sandbox(status);
    put_groups(status);
    if (json_int(status, "stdout_dropped", 0) > 0)
        (void)printf("log      %lld lines were dropped: stdout was blocked\n",
                     (long long)json_int(status, "stdout_dropped", 0));
}

static int once(const struct ctl_options *o, bool clear)
{
    const char *words[] = { "status", NULL };
    _cleanup_json_ cJSON *status = NULL;
    int result = ctl_ask(words, &status);
    if (result != CTL_OK)
        return result;
    if (clear)
        (void)fputs("\033[H\033[2J", stdout);
    if (o->json)
        ctl_print_json(status);
    else
        put_status(status);
    if (fflush(stdout) != 0)
        return CTL_USAGE; /* nobody reads any more: ends --watch */
    return status_is_well(status) ? CTL_OK : CTL_NOT_WELL;
}

int ctl_status(const struct ctl_options *o, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    bool clear = o->watch && !o->json && isatty(STDOUT_FILENO);
    int result = once(o, clear);
    while (o->watch && result <= CTL_NOT_WELL) {
        (void)usleep(1000000);
        result = once(o, clear);
    }
    return result;
}
