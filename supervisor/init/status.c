/* What PID 1 knows, as JSON and as verdicts. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/jsonw.h"
#include "supervisor/init/supervisor.h"

#define SERVICES_JUDGED 128

static const char *const phase_names[] = {
    [PHASE_BOOT] = "boot",
    [PHASE_RUNNING] = "running",
    [PHASE_STOPPING] = "stopping",
};
static const char *const policy_names[] = {
    [PLAN_POLICY_FAIL] = "fail",
    [PLAN_POLICY_DEGRADE] = "degrade",
    [PLAN_POLICY_WARN] = "warn",
};
static const char *const level_names[] = {
    [FINDING_OK] = "ok",
    [FINDING_WARN] = "warn",
    [FINDING_BAD] = "bad",
};
_Static_assert(ARRAY_SIZE(phase_names) == PHASE_MAX, "a name for every phase");
_Static_assert(ARRAY_SIZE(policy_names) == PLAN_POLICY_MAX, "a name for every policy");
_Static_assert(ARRAY_SIZE(level_names) == FINDING_LEVEL_MAX, "a name for every level");

static uint64_t rss_bytes(pid_t pid)
{
    char path[48], text[128];
    unsigned long long size, resident;
    if (pid <= 0)
        return 0;
    (void)snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    if (sscanf(text, "%llu %llu", &size, &resident) != 2)
        return 0;
    return resident * (unsigned long long)sysconf(_SC_PAGESIZE);
}

/* What a process has used, with its children that it has waited for; proc(5), fields 14 to 17. */
static uint64_t cpu_ms(pid_t pid)
{
    char path[48], text[1024];
    unsigned long long t[4];
    if (pid <= 0)
        return 0;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    const char *at = strrchr(text, ')');
    if (!at || sscanf(at, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu",
                      &t[0], &t[1], &t[2], &t[3]) != 4)
        return 0;
    return (t[0] + t[1] + t[2] + t[3]) * 1000 / (unsigned long long)sysconf(_SC_CLK_TCK);
}

static const char *health_text(const struct service *s)
{
    if (s->cfg->health.kind == PLAN_CHECK_NONE || !s->health.reported)
        return "unknown";
    return s->health.last_ok ? "ok" : "fail";
}

static void put_service(struct jsonw *w, const struct service *s, uint64_t now)
{
    bool waits = s->state == SERVICE_BACKOFF && s->timer.due_ms > now;
    jsonw_object(w, NULL);
    jsonw_str(w, "name", s->name);
    jsonw_str(w, "type", s->cfg->type == PLAN_TYPE_ONESHOT ? "oneshot" : "daemon");
    jsonw_str(w, "state", service_state_names[s->state]);
    jsonw_int(w, "pid", s->proc.leader);
    jsonw_uint(w, "uptime_ms", s->started_ms ? now - s->started_ms : 0);
    jsonw_uint(w, "restarts", s->restarts);
    jsonw_str(w, "last_exit", s->last_exit);
    jsonw_str(w, "reason", s->reason);
    jsonw_str(w, "status", s->said);
    jsonw_bool(w, "reloading", s->reloading);
    jsonw_bool(w, "ready", service_is_ready(s));
    jsonw_str(w, "health", health_text(s));
    jsonw_str(w, "health_reason", s->health.reason);
    jsonw_uint(w, "rss_bytes", rss_bytes(s->proc.leader));
    jsonw_uint(w, "cpu_ms", cpu_ms(s->proc.leader));
    jsonw_uint(w, "memory_bytes", s->started_ms ? s->group.memory : 0);
    jsonw_uint(w, "memory_max", s->cfg->memory_max);
    jsonw_uint(w, "oom_kills", s->group.oom_kills);
    jsonw_bool(w, "gates_ready", s->cfg->gates_ready != 0);
    jsonw_bool(w, "gave_up", s->gave_up);
    jsonw_uint(w, "next_start_ms", waits ? s->timer.due_ms - now : 0);
    sandbox_status(w, s);
    jsonw_object(w, "notes");
    for (size_t i = 0; i < SERVICE_NOTES_MAX; i++)
        if (s->notes[i].key)
            jsonw_str(w, s->notes[i].key, s->notes[i].text);
    jsonw_object_end(w);
    jsonw_object_end(w);
}

static void put_volume(struct jsonw *w, const struct supervisor *sv, uint32_t i, uint64_t now)
{
    const struct plan *p = &sv->plan->plan;
    const struct volume_state *v = &sv->volumes[i];
    const struct volume_report *r = &v->report;
    jsonw_object(w, NULL);
    jsonw_str(w, "path", plan_string(p, p->volumes[i].path));
    jsonw_str(w, "policy", policy_names[p->volumes[i].policy]);
    jsonw_bool(w, "ok", v->known && volume_ok(v));
    jsonw_str(w, "level", level_names[r->count ? r->findings[0].level : FINDING_OK]);
    jsonw_array(w, "findings");
    for (size_t k = 0; k < r->count; k++) {
        jsonw_object(w, NULL);
        jsonw_str(w, "level", level_names[r->findings[k].level]);
        jsonw_str(w, "code", finding_code_name(r->findings[k].code));
        jsonw_str(w, "message", r->findings[k].message);
        jsonw_object_end(w);
    }
    jsonw_array_end(w);
    jsonw_uint(w, "bytes_total", r->bytes_total);
    jsonw_uint(w, "bytes_free", r->bytes_free);
    jsonw_uint(w, "inodes_total", r->inodes_total);
    jsonw_uint(w, "inodes_free", r->inodes_free);
    jsonw_str(w, "fs_type", r->fs_type);
    jsonw_uint(w, "checked_ms_ago", v->known ? now - v->checked_ms : 0);
    jsonw_object_end(w);
}

static void put_protection(struct jsonw *w, const char *name, bool on, const char *detail)
{
    jsonw_object(w, NULL);
    jsonw_str(w, "name", name);
    jsonw_str(w, "state", on ? "on" : "unavailable");
    jsonw_str(w, "detail", detail);
    jsonw_object_end(w);
}

static uint32_t volume_count(const struct supervisor *sv)
{
    uint32_t n = sv->plan ? sv->plan->plan.header->volumes : 0;
    return n < VOLUMES_KEPT ? n : VOLUMES_KEPT;
}

void status_json(struct supervisor *sv, struct buf *out)
{
    static struct verdict_check checks[SERVICES_JUDGED];
    struct jsonw w = JSONW_INIT(out);
    const struct plan *p = sv->plan ? &sv->plan->plan : NULL;
    char started[CLOCK_RFC3339_SIZE];
    size_t n;
    uint64_t now = clock_mono_ms();
    clock_rfc3339_at(started, sv->started_wall_ms * 1000);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "version", CODEV_VERSION);
    jsonw_int(&w, "pid", getpid());
    jsonw_str(&w, "boot_id", sv->logs.boot_id);
    jsonw_str(&w, "started", started);
    jsonw_uint(&w, "uptime_ms", now - sv->started_ms);
    jsonw_str(&w, "phase", phase_names[sv->phase]);
    jsonw_bool(&w, "ready", verdict_now(sv, VERDICT_READY, checks, SERVICES_JUDGED, &n));
    jsonw_bool(&w, "live", verdict_now(sv, VERDICT_LIVE, checks, SERVICES_JUDGED, &n));
    jsonw_bool(&w, "started_up", sv->started_up);
    jsonw_str(&w, "config_file", p ? plan_string(p, p->header->config_file) : "");
    jsonw_str(&w, "config_error", sv->config_error);
    jsonw_str(&w, "state_dir", sv->state_dir);
    jsonw_str(&w, "runtime_dir", sv->runtime_dir);
    jsonw_str(&w, "home", p ? plan_string(p, p->header->home) : "");
    jsonw_uint(&w, "stdout_dropped", sv->logs.output.dropped_total);
    jsonw_uint(&w, "reaped", sv->reaper.reaped);
    jsonw_uint(&w, "rss_bytes", rss_bytes(getpid()));
    jsonw_uint(&w, "cpu_ms", cpu_ms(getpid()));
    jsonw_array(&w, "services");
    for (const struct service *s = sv->services; s; s = s->next)
        put_service(&w, s, now);
    jsonw_array_end(&w);
    groups_status(&w, sv);
    jsonw_array(&w, "volumes");
    for (uint32_t i = 0; i < volume_count(sv); i++)
        put_volume(&w, sv, i, now);
    jsonw_array_end(&w);
    jsonw_array(&w, "sandbox");
    put_protection(&w, "not dumpable", sv->dumpable_off, "PID 1 cannot be traced or read");
    put_protection(&w, "system call filters", sv->kernel.seccomp, "seccomp");
    char landlock[32];
    (void)snprintf(landlock, sizeof landlock, "Landlock ABI %d", sv->kernel.landlock_abi);
    put_protection(&w, "file and signal walls", sv->kernel.landlock_abi > 0, landlock);
    put_protection(&w, "process tree", sv->subreaper, "a guard process for each service");
    jsonw_array_end(&w);
    jsonw_object_end(&w);
}

bool verdict_now(struct supervisor *sv, enum verdict_kind kind, struct verdict_check *ret,
                 size_t max, size_t *ret_count)
{
    static struct verdict_service services[SERVICES_JUDGED];
    struct verdict_volume volumes[VOLUMES_KEPT];
    struct verdict_input in = {
        .booting = sv->phase == PHASE_BOOT,
        .stopping = sv->phase == PHASE_STOPPING,
        .started_up = sv->started_up,
        .services = services,
        .volumes = volumes,
    };
    for (const struct service *s = sv->services; s && in.service_count < SERVICES_JUDGED;
         s = s->next) {
        const char *why = s->reason[0] ? s->reason : s->ready.reason;
        services[in.service_count++] = (struct verdict_service){
            .name = s->name,
            .state = service_state_names[s->state],
            .detail = why,
            .gates_ready = s->cfg->gates_ready,
            .gates_live = s->cfg->gates_live,
            .ready = service_is_ready(s),
            .gave_up = s->gave_up,
            .stale = service_is_stale(s),
        };
    }
    for (uint32_t i = 0; i < volume_count(sv); i++) {
        const struct plan_volume *v = &sv->plan->plan.volumes[i];
        const struct volume_report *r = &sv->volumes[i].report;
        volumes[in.volume_count++] = (struct verdict_volume){
            .path = plan_string(&sv->plan->plan, v->path),
            .message = r->count ? r->findings[0].message : "",
            .gates = v->policy != PLAN_POLICY_WARN,
            .known = sv->volumes[i].known,
            .ok = volume_ok(&sv->volumes[i]),
        };
    }
    return verdict_judge(kind, &in, ret, max, ret_count);
}

/* For who answers probes from what it heard last. */
static void announce_readiness(struct supervisor *sv, bool ready, const struct verdict_check *why)
{
    _cleanup_buf_ struct buf line = BUF_INIT;
    struct jsonw w = JSONW_INIT(&line);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "event", "ready");
    jsonw_bool(&w, "ok", ready);
    jsonw_str(&w, "check", why ? why->name : "");
    jsonw_str(&w, "reason", why ? why->reason : "");
    jsonw_object_end(&w);
    control_event(&sv->control, &line);
}

void verdict_update(struct supervisor *sv)
{
    static struct verdict_check checks[SERVICES_JUDGED];
    static bool was_ready, known; /* for the log only */
    size_t n;
    bool ready = verdict_now(sv, VERDICT_READY, checks, SERVICES_JUDGED, &n);
    if (ready == was_ready)
        return;
    bool first = !known;
    was_ready = ready;
    known = true;
    size_t bad = 0;
    while (bad < n && checks[bad].ok)
        bad++;
    announce_readiness(sv, ready, bad < n ? &checks[bad] : NULL);
    if (first && ready && sv->started_up)
        return; /* another image of PID 1: it was before its fault, too */
    if (ready && !sv->started_up) {
        sv->started_up = true;
        say(sv, LOG_LEVEL_INFO, "ready, %llu ms after the start",
            (unsigned long long)(clock_mono_ms() - sv->started_ms));
        return;
    }
    if (ready)
        say(sv, LOG_LEVEL_INFO, "ready again");
    else
        say(sv, LOG_LEVEL_WARN, "not ready: %s: %s", bad < n ? checks[bad].name : "?",
            bad < n ? checks[bad].reason : "");
}
