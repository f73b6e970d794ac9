/* The ways to OpenCode that are there now, and which of them to take. */
#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "bridge/gateway/core/private.h"

#include <errno.h>
#include <string.h>

unsigned way_bridges(struct core *core, const char *pod)
{
    unsigned n = 0;
    for (struct way *w = core->ways; w; w = w->next)
        n += w->kind == WAY_BRIDGE && (!pod || strcmp(w->pod, pod) == 0);
    return n;
}

bool way_connected(struct core *core, const char *pod, const char *instance)
{
    for (struct way *w = core->ways; w; w = w->next)
        if (w->kind == WAY_BRIDGE && strcmp(w->pod, pod) == 0 && strcmp(w->instance, instance) == 0)
            return true;
    return false;
}

struct way *way_for(struct core *core, const char *pod, const char *instance)
{
    struct way *bridge = NULL, *http = NULL;
    for (struct way *w = core->ways; w; w = w->next) {
        if (strcmp(w->pod, pod) != 0)
            continue;
        if (w->kind == WAY_HTTP)
            http = w;
        else if (strcmp(w->instance, instance) == 0)
            return w;
        else if (!bridge)
            bridge = w; /* the newest: they are put at the head */
    }
    return bridge ? bridge : http;
}

const char *way_default_pod(struct core *core)
{
    if (way_for(core, core->settings->pod, ""))
        return core->settings->pod;
    const char *pod = NULL;
    for (struct way *w = core->ways; w; w = w->next)
        pod = w->pod; /* the last in the list is the first connected */
    return pod;
}

size_t core_pods(struct core *core, const char **ret, size_t max)
{
    size_t n = 0;
    const char *first = way_default_pod(core);
    if (first && max > 0)
        ret[n++] = first;
    for (struct way *w = core->ways; w; w = w->next)
        if (n < max && !is_among(w->pod, ret, n))
            ret[n++] = w->pod;
    return n;
}

static void tell_bridges(struct core *core, const char *pod)
{
    unsigned n = way_bridges(core, pod);
    for (struct way *w = core->ways; w; w = w->next)
        if (w->ops->bridges && strcmp(w->pod, pod) == 0)
            w->ops->bridges(w->data, n);
    core_tell_links(core);
}

static void way_free(struct way *w)
{
    free(w->pod);
    free(w->instance);
    free(w);
}

int core_way_add(struct way **ret, struct core *core, enum way_kind kind, const char *pod,
                 const char *instance, const struct way_ops *ops, void *data)
{
    struct way *w = calloc(1, sizeof *w);
    if (!w)
        return -ENOMEM;
    *w = (struct way){ .core = core, .kind = kind, .ops = ops, .data = data };
    w->pod = strdup(pod);
    w->instance = strdup(instance);
    if (!w->pod || !w->instance) {
        way_free(w);
        return -ENOMEM;
    }
    w->up = kind == WAY_BRIDGE;
    w->next = core->ways;
    core->ways = w;
    *ret = w;
    if (kind == WAY_BRIDGE) {
        core->counts.bridge_connections++;
        tell_bridges(core, pod);
        delivery_kick(core, pod);
    }
    return 0;
}

void core_way_set_build(struct way *w, const char *prepare_id)
{
    size_t len = strlen(prepare_id);
    if (!trace_id_fits(prepare_id, len))
        return;
    memcpy(w->build, prepare_id, len + 1);
    core_tell_links(w->core);
}

void core_way_remove(struct way *w)
{
    if (!w)
        return;
    struct core *core = w->core;
    for (struct way **p = &core->ways; *p; p = &(*p)->next)
        if (*p == w) {
            *p = w->next;
            break;
        }
    if (w->kind == WAY_BRIDGE) {
        core->counts.bridge_losses++;
        tell_bridges(core, w->pod);
    }
    way_free(w);
}

void core_way_set_up(struct way *w, bool up, const char *reason)
{
    struct core *core = w->core;
    const char *old = core->opencode_reason ? core->opencode_reason : "";
    bool same_reason = strcmp(old, reason) == 0;
    if (w->up == up && same_reason)
        return;
    if (!same_reason) {
        char *text = strdup(reason);
        free(core->opencode_reason);
        core->opencode_reason = text;
    }
    bool rose = up && !w->up;
    w->up = up;
    core_tell_links(core);
    if (rose)
        delivery_kick(core, w->pod);
}

bool way_is_another(const struct way *w, const struct request_row *row)
{
    if (w->kind == WAY_HTTP)
        return row->created_ms < w->none_ms;
    return *row->instance && strcmp(row->instance, w->instance) != 0;
}

const struct way *way_direct(const struct core *core, const char *pod)
{
    const struct way *w = core->ways;
    while (w && (w->kind != WAY_HTTP || strcmp(w->pod, pod) != 0))
        w = w->next;
    return w;
}

void core_way_nobody(struct way *w)
{
    w->none_ms = clock_wall_ms();
}

void core_way_kick(struct core *core, const char *pod)
{
    delivery_kick(core, pod);
}
