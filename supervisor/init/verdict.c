#include "supervisor/init/verdict.h"

#include <stdio.h>

const char *const verdict_names[VERDICT_MAX] = {
    [VERDICT_LIVE] = "live",
    [VERDICT_READY] = "ready",
    [VERDICT_STARTUP] = "startup",
};

struct list {
    struct verdict_check *rows;
    size_t count, max;
    bool ok;
};

static void add(struct list *l, const char *name, bool ok, const char *reason, const char *detail)
{
    l->ok = l->ok && ok;
    if (l->count == l->max)
        return;
    struct verdict_check *c = &l->rows[l->count++];
    c->ok = ok;
    (void)snprintf(c->name, sizeof c->name, "%s", name);
    if (ok)
        c->reason[0] = '\0';
    else
        (void)snprintf(c->reason, sizeof c->reason, "%s%s%s", reason, *detail ? ": " : "", detail);
}

static void judge_volumes(struct list *l, const struct verdict_input *in)
{
    bool any = false;
    for (size_t i = 0; i < in->volume_count; i++) {
        const struct verdict_volume *v = &in->volumes[i];
        any = any || v->gates;
        if (v->gates && !(v->known && v->ok)) {
            add(l, "volumes", false, v->known ? v->message : "not checked yet",
                v->known ? "" : v->path);
            return;
        }
    }
    if (any)
        add(l, "volumes", true, "", "");
}

static void judge_ready(struct list *l, const struct verdict_input *in)
{
    add(l, "stopping", !in->stopping, "the pod is stopping", "");
    if (in->booting)
        add(l, "boot", false, "the services have not been started yet", "");
    judge_volumes(l, in);
    for (size_t i = 0; i < in->service_count; i++) {
        const struct verdict_service *s = &in->services[i];
        if (!s->gates_ready)
            continue;
        if (s->ready && s->stale)
            add(l, s->name, false, "its check has not been made for too long", s->detail);
        else
            add(l, s->name, s->ready, s->state, s->detail);
    }
}

static void judge_live(struct list *l, const struct verdict_input *in)
{
    add(l, "loop", true, "", "");
    for (size_t i = 0; i < in->service_count; i++)
        if (in->services[i].gates_live)
            add(l, in->services[i].name, !in->services[i].gave_up, "gave up",
                in->services[i].detail);
}

bool verdict_judge(enum verdict_kind kind, const struct verdict_input *in,
                   struct verdict_check *ret, size_t max, size_t *ret_count)
{
    struct list l = { .rows = ret, .max = max, .ok = true };
    switch (kind) {
    case VERDICT_LIVE:
        judge_live(&l, in);
        break;
    case VERDICT_READY:
        judge_ready(&l, in);
        break;
    case VERDICT_STARTUP:
        add(&l, "started", in->started_up, "not ready for the first time yet", "");
        break;
    case VERDICT_MAX:
    default:
        l.ok = false;
        break;
    }
    *ret_count = l.count;
    return l.ok;
}
