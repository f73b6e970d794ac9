#include "supervisor/ctl/well.h"

#include <string.h>

#include "supervisor/ctl/ctl.h"

bool service_is_well(const cJSON *service)
{
    static const char *const good[] = { "ready", "done", "running" };
    const char *state = json_str(service, "state", "");
    if (json_bool(service, "gave_up", false) ||
        strcmp(json_str(service, "health", ""), "fail") == 0)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        if (strcmp(state, good[i]) == 0)
            return true;
    return false;
}

static bool plugin_is_well(const cJSON *status)
{
    _cleanup_json_ cJSON *note = ctl_note(status, "prepare", "plugin");
    const char *state = json_str(note, "state", "");
    return strcmp(state, "missing") != 0 && strcmp(state, "failed") != 0;
}

static bool links_are_well(const cJSON *status)
{
    _cleanup_json_ cJSON *note = ctl_note(status, "gateway", "links");
    return strcmp(json_str_at(note, "slack.state", ""), "failed") != 0;
}

/* A remote that is away comes back by itself; the others wait for a person. */
static bool state_is_well(const cJSON *status)
{
    static const char *const bad[] = { "refused", "conflict", "failing" };
    _cleanup_json_ cJSON *note = ctl_note(status, "session-state", "git");
    const char *state = json_str(note, "state", "");
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (strcmp(state, bad[i]) == 0)
            return false;
    return true;
}

bool status_is_well(const cJSON *status)
{
    const cJSON *s, *v;
    if (!json_bool(status, "ready", false) || !json_bool(status, "live", false) ||
        *json_str(status, "config_error", ""))
        return false;
    cJSON_ArrayForEach (s, json_arr(status, "services"))
        if (!service_is_well(s))
            return false;
    cJSON_ArrayForEach (v, json_arr(status, "volumes"))
        if (!json_bool(v, "ok", false))
            return false;
    return plugin_is_well(status) && links_are_well(status) && state_is_well(status);
}
