#include "probes/metrics.h"

#include <stdio.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/json/json.h"
#include "base/metrics/metrics.h"

#define GATEWAY_PREFIX "codev_gateway_"
#define INFO_VALUE_MAX 64

/* A metric, and how a row of `status` becomes its value. */
struct family {
    struct metric metric;
    double (*value)(const cJSON *row);
};

static double flag(const cJSON *row, const char *key)
{
    return json_bool(row, key, false) ? 1 : 0;
}

static double ready(const cJSON *row)
{
    return flag(row, "ready");
}

static double live(const cJSON *row)
{
    return flag(row, "live");
}

static double reaped(const cJSON *row)
{
    return json_num(row, "reaped", 0);
}

static double uptime(const cJSON *row)
{
    return json_num(row, "uptime_ms", 0) / 1000;
}

static double service_up(const cJSON *row)
{
    static const char *const up[] = { "running", "ready", "done" };
    const char *state = json_str(row, "state", "");
    for (size_t i = 0; i < ARRAY_SIZE(up); i++)
        if (strcmp(state, up[i]) == 0)
            return 1;
    return 0;
}

static double restarts(const cJSON *row)
{
    return json_num(row, "restarts", 0);
}

static double memory(const cJSON *row)
{
    return json_num(row, "rss_bytes", 0);
}

static double cpu(const cJSON *row)
{
    return json_num(row, "cpu_ms", 0) / 1000;
}

static double oom_kills(const cJSON *row)
{
    return json_num(row, "oom_kills", 0);
}

static double service_ready(const cJSON *row)
{
    return flag(row, "ready");
}

static double dropped(const cJSON *row)
{
    return json_num(row, "stdout_dropped", 0);
}

static double config_ok(const cJSON *row)
{
    return *json_str(row, "config_error", "") ? 0 : 1;
}

static double volume_inodes(const cJSON *row)
{
    return json_num(row, "inodes_total", 0);
}

static double volume_inodes_free(const cJSON *row)
{
    return json_num(row, "inodes_free", 0);
}

static double processes(const cJSON *row)
{
    return json_num(json_obj(row, "cgroup"), "pids_current", 0);
}

static double processes_limit(const cJSON *row)
{
    return json_num(json_obj(row, "cgroup"), "pids_max", 0);
}

static double volume_ok(const cJSON *row)
{
    return flag(row, "ok");
}

static double volume_size(const cJSON *row)
{
    return json_num(row, "bytes_total", 0);
}

static double volume_free(const cJSON *row)
{
    return json_num(row, "bytes_free", 0);
}

static double state_unpushed(const cJSON *note)
{
    return json_num(note, "unpushed", 0);
}

static double state_commits(const cJSON *note)
{
    return json_num(note, "commits", 0);
}

static double state_pushes(const cJSON *note)
{
    return json_num(note, "pushes", 0);
}

static double state_failures(const cJSON *note)
{
    return json_num(note, "failures", 0);
}

static double state_pushed(const cJSON *note)
{
    return json_num(note, "pushed_ms", 0) / 1000;
}

#define GAUGE(name, help, value)                                                                   \
    {                                                                                              \
        { name, METRIC_GAUGE, help, { 0 } }, value                                                 \
    }
#define COUNTER(name, help, value)                                                                 \
    {                                                                                              \
        { name, METRIC_COUNTER, help, { 0 } }, value                                               \
    }

static const struct family pod_families[] = {
    GAUGE("codev_ready", "1 when the pod is ready.", ready),
    GAUGE("codev_live", "1 when the pod is live.", live),
    GAUGE("codev_uptime_seconds", "Time since PID 1 started.", uptime),
    COUNTER("codev_reaped_processes_total", "Processes that PID 1 has reaped.", reaped),
    GAUGE("codev_init_resident_memory_bytes", "Resident memory of PID 1.", memory),
    COUNTER("codev_init_cpu_seconds_total", "CPU time of PID 1.", cpu),
    COUNTER("codev_log_lines_dropped_total", "Lines that were dropped because stdout was blocked.",
            dropped),
    GAUGE("codev_config_ok", "0 when the last reload was refused: the old configuration holds.",
          config_ok),
    GAUGE("codev_processes",
          "Processes and threads of the container; 0: its control group cannot be read.",
          processes),
    GAUGE("codev_processes_limit",
          "How many processes and threads the container may have; 0: no limit is known.",
          processes_limit),
};
#define ALWAYS_COUNT 2 /* ready and live: without a PID 1 that answers they are 0 */

#define SERVICE(name, type, help, value)                                                           \
    {                                                                                              \
        { name, type, help, { "service" } }, value                                                 \
    }
static const struct family service_families[] = {
    SERVICE("codev_service_up", METRIC_GAUGE,
            "1 when the service is up, a oneshot once it has ended well.", service_up),
    SERVICE("codev_service_ready", METRIC_GAUGE,
            "1 when the service is ready, a oneshot once it has ended well.", service_ready),
    SERVICE("codev_service_restarts_total", METRIC_COUNTER, "Restarts of the service.", restarts),
    SERVICE("codev_service_uptime_seconds", METRIC_GAUGE,
            "Time since the service's process started.", uptime),
    SERVICE("codev_service_resident_memory_bytes", METRIC_GAUGE,
            "Resident memory of the service's process.", memory),
    SERVICE("codev_service_cpu_seconds_total", METRIC_COUNTER,
            "CPU time of the service's process and its children that have ended.", cpu),
    SERVICE("codev_service_oom_kills_total", METRIC_COUNTER,
            "Processes of the service that the kernel killed for want of memory.", oom_kills),
};

#define VOLUME(name, help, value)                                                                  \
    {                                                                                              \
        { name, METRIC_GAUGE, help, { "path" } }, value                                            \
    }
static const struct family volume_families[] = {
    VOLUME("codev_volume_ok", "1 when the volume passed its checks.", volume_ok),
    VOLUME("codev_volume_size_bytes", "Size of the volume's file system.", volume_size),
    VOLUME("codev_volume_free_bytes", "Free bytes of the volume for the run user.", volume_free),
    VOLUME("codev_volume_inodes", "Inodes of the volume's file system; 0: it counts none.",
           volume_inodes),
    VOLUME("codev_volume_inodes_free", "Free inodes of the volume.", volume_inodes_free),
};

/* Of the note that codev-state leaves; absent in a pod without it. */
static const struct family state_families[] = {
    GAUGE("codev_session_state_unpushed_commits",
          "Commits of the sessions' states that the remote has not.", state_unpushed),
    COUNTER("codev_session_state_commits_total", "Milestones of sessions that were committed.",
            state_commits),
    COUNTER("codev_session_state_pushes_total", "Pushes of them that succeeded.", state_pushes),
    COUNTER("codev_session_state_failures_total", "Fetches and pushes of them that failed.",
            state_failures),
    GAUGE("codev_session_state_last_push_timestamp_seconds",
          "When the last push succeeded; 0: none since the start.", state_pushed),
};

enum {
    INFO_BUILD,
    INFO_OPENCODE,
    INFO_PLUGIN,
    INFO_PLUGIN_STATE,
    INFO_STATE,
    INFO_GATEWAY,
    INFO_MAX
};
static const struct metric infos[INFO_MAX] = {
    [INFO_BUILD] = { "codev_build_info",
                     METRIC_GAUGE,
                     "The running version; always 1.",
                     { "version" } },
    [INFO_OPENCODE] = { "codev_opencode_info",
                        METRIC_GAUGE,
                        "OpenCode's version, once it is known; always 1.",
                        { "version" } },
    [INFO_PLUGIN] = { "codev_plugin_info",
                      METRIC_GAUGE,
                      "The commit that the bridge plugin was made from, where there is one; "
                      "always 1.",
                      { "commit" } },
    [INFO_PLUGIN_STATE] = { "codev_plugin_state",
                            METRIC_GAUGE,
                            "1 for what codev-prepare made of the bridge plugin last, 0 for the "
                            "others; absent until it has ended.",
                            { "state" } },
    [INFO_STATE] = { "codev_session_state",
                     METRIC_GAUGE,
                     "1 for how the remote of the sessions' states stands, 0 for the others; "
                     "absent in a pod without one.",
                     { "state" } },
    [INFO_GATEWAY] = { "codev_probes_gateway_up",
                       METRIC_GAUGE,
                       "1 when the pod's gateway gave its metrics, which then stand on this page "
                       "too; absent in a pod without one.",
                       { 0 } },
};

static void put_rows(struct buf *out, const struct family *f, const cJSON *rows, const char *key)
{
    const cJSON *row;
    if (cJSON_GetArraySize(rows) == 0)
        return;
    metric_head(out, &f->metric);
    cJSON_ArrayForEach (row, rows)
        metric_sample(out, &f->metric, METRIC_VALUES(json_str(row, key, "")), f->value(row));
}

/* ---------------------------------------------------------------- notes of services */

static const char *note_of(const cJSON *services, const char *service, const char *key)
{
    const cJSON *s;
    cJSON_ArrayForEach (s, services)
        if (strcmp(json_str(s, "name", ""), service) == 0)
            return json_str(json_obj(s, "notes"), key, "");
    return "";
}

static void put_info(struct buf *out, const struct metric *m, const char *text)
{
    char value[INFO_VALUE_MAX + 1];
    if (!*text)
        return;
    (void)snprintf(value, sizeof value, "%s", text);
    metric_head(out, m);
    metric_sample(out, m, METRIC_VALUES(value), 1);
}

static void put_plugin(struct buf *out, const cJSON *services)
{
    static const char *const states[] = { "ready", "missing", "failed", "disabled" };
    const char *text = note_of(services, "prepare", "plugin");
    _cleanup_json_ cJSON *note = NULL;
    if (json_parse(&note, text, strlen(text), NULL) < 0)
        return;
    metric_head(out, &infos[INFO_PLUGIN_STATE]);
    for (size_t i = 0; i < ARRAY_SIZE(states); i++)
        metric_sample(out, &infos[INFO_PLUGIN_STATE], METRIC_VALUES(states[i]),
                      strcmp(json_str(note, "state", ""), states[i]) == 0);
    put_info(out, &infos[INFO_PLUGIN], json_str(note, "commit", ""));
}

static void put_state(struct buf *out, const cJSON *services)
{
    static const char *const states[] = { "starting", "current",  "away",
                                          "refused",  "conflict", "failing" };
    const char *text = note_of(services, "session-state", "git");
    _cleanup_json_ cJSON *note = NULL;
    if (!*text || json_parse(&note, text, strlen(text), NULL) < 0)
        return;
    metric_head(out, &infos[INFO_STATE]);
    for (size_t i = 0; i < ARRAY_SIZE(states); i++)
        metric_sample(out, &infos[INFO_STATE], METRIC_VALUES(states[i]),
                      strcmp(json_str(note, "state", ""), states[i]) == 0);
    for (size_t i = 0; i < ARRAY_SIZE(state_families); i++)
        metric_single(out, &state_families[i].metric, state_families[i].value(note));
}

void metrics_render(const cJSON *status, struct buf *out)
{
    const cJSON *services = json_arr(status, "services"), *volumes = json_arr(status, "volumes");
    size_t count = status ? ARRAY_SIZE(pod_families) : ALWAYS_COUNT;
    put_info(out, &infos[INFO_BUILD], CODEV_VERSION);
    for (size_t i = 0; i < count; i++)
        metric_single(out, &pod_families[i].metric, pod_families[i].value(status));
    for (size_t i = 0; i < ARRAY_SIZE(service_families); i++)
        put_rows(out, &service_families[i], services, "name");
    for (size_t i = 0; i < ARRAY_SIZE(volume_families); i++)
        put_rows(out, &volume_families[i], volumes, "path");
    put_info(out, &infos[INFO_OPENCODE], note_of(services, "opencode", "version"));
    put_plugin(out, services);
    put_state(out, services);
}

void metrics_gateway(struct buf *out, const char *page, size_t len)
{
    bool up = page && metrics_take(out, page, len, GATEWAY_PREFIX) == 0;
    metric_single(out, &infos[INFO_GATEWAY], up);
}

void metrics_list(struct buf *out)
{
    metrics_document(out, infos, ARRAY_SIZE(infos));
    for (size_t i = 0; i < ARRAY_SIZE(pod_families); i++)
        metrics_document(out, &pod_families[i].metric, 1);
    for (size_t i = 0; i < ARRAY_SIZE(service_families); i++)
        metrics_document(out, &service_families[i].metric, 1);
    for (size_t i = 0; i < ARRAY_SIZE(volume_families); i++)
        metrics_document(out, &volume_families[i].metric, 1);
    for (size_t i = 0; i < ARRAY_SIZE(state_families); i++)
        metrics_document(out, &state_families[i].metric, 1);
}
