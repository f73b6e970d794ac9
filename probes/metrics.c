#include "probes/metrics.h"

#include <string.h>

#include "base/core/cleanup.h"
#include "base/json/json.h"

/* A family: its head, and how a row of `status` becomes its value. */
struct family {
    const char *name;
    const char *type;
    const char *help;
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

static const struct family pod_families[] = {
    { "codev_ready", "gauge", "1 when the pod is ready.", ready },
    { "codev_live", "gauge", "1 when the pod is live.", live },
    { "codev_uptime_seconds", "gauge", "Time since PID 1 started.", uptime },
    { "codev_reaped_processes_total", "counter", "Processes that PID 1 has reaped.", reaped },
    { "codev_init_resident_memory_bytes", "gauge", "Resident memory of PID 1.", memory },
    { "codev_init_cpu_seconds_total", "counter", "CPU time of PID 1.", cpu },
    { "codev_log_lines_dropped_total", "counter",
      "Lines that were dropped because stdout was blocked.", dropped },
    { "codev_config_ok", "gauge",
      "0 when the last reload was refused: the old configuration holds.", config_ok },
};

static const struct family service_families[] = {
    { "codev_service_up", "gauge", "1 when the service is up, a oneshot once it has ended well.",
      service_up },
    { "codev_service_ready", "gauge",
      "1 when the service is ready, a oneshot once it has ended well.", service_ready },
    { "codev_service_restarts_total", "counter", "Restarts of the service.", restarts },
    { "codev_service_uptime_seconds", "gauge", "Time since the service's process started.",
      uptime },
    { "codev_service_resident_memory_bytes", "gauge", "Resident memory of the service's process.",
      memory },
    { "codev_service_cpu_seconds_total", "counter",
      "CPU time of the service's process and its children that have ended.", cpu },
    { "codev_service_oom_kills_total", "counter",
      "Processes of the service that the kernel killed "
      "for want of memory.",
      oom_kills },
};

static const struct family volume_families[] = {
    { "codev_volume_ok", "gauge", "1 when the volume passed its checks.", volume_ok },
    { "codev_volume_size_bytes", "gauge", "Size of the volume's file system.", volume_size },
    { "codev_volume_free_bytes", "gauge", "Free bytes of the volume for the run user.",
      volume_free },
    { "codev_volume_inodes", "gauge", "Inodes of the volume's file system; 0: it counts none.",
      volume_inodes },
    { "codev_volume_inodes_free", "gauge", "Free inodes of the volume.", volume_inodes_free },
};

static void put_head(struct buf *out, const struct family *f)
{
    (void)buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name, f->type);
}

static void put_label(struct buf *out, const char *label, const char *value)
{
    (void)buf_printf(out, "{%s=\"", label);
    for (const char *p = value; *p; p++) {
        if (*p == '\n')
            (void)buf_puts(out, "\\n");
        else if (*p == '\\' || *p == '"')
            (void)buf_printf(out, "\\%c", *p);
        else
            (void)buf_putc(out, *p);
    }
    (void)buf_puts(out, "\"}");
}

static void put_rows(struct buf *out, const struct family *f, const cJSON *rows, const char *label,
                     const char *key)
{
    const cJSON *row;
    if (cJSON_GetArraySize(rows) == 0)
        return;
    put_head(out, f);
    cJSON_ArrayForEach (row, rows) {
        (void)buf_puts(out, f->name);
        put_label(out, label, json_str(row, key, ""));
        (void)buf_printf(out, " %.15g\n", f->value(row));
    }
}

void metrics_render(const cJSON *status, struct buf *out)
{
    static const struct family build = { "codev_build_info", "gauge",
                                         "The running version; always 1.", NULL };
    put_head(out, &build);
    (void)buf_puts(out, build.name);
    put_label(out, "version", CODEV_VERSION);
    (void)buf_puts(out, " 1\n");
    size_t count = status ? ARRAY_SIZE(pod_families) : 2; /* ready and live: then 0 */
    for (size_t i = 0; i < count; i++) {
        put_head(out, &pod_families[i]);
        (void)buf_printf(out, "%s %.15g\n", pod_families[i].name, pod_families[i].value(status));
    }
    const cJSON *services = json_arr(status, "services"), *volumes = json_arr(status, "volumes");
    for (size_t i = 0; i < ARRAY_SIZE(service_families); i++)
        put_rows(out, &service_families[i], services, "service", "name");
    for (size_t i = 0; i < ARRAY_SIZE(volume_families); i++)
        put_rows(out, &volume_families[i], volumes, "path", "path");
}
