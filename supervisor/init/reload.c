/* Reload: compile the configuration anew, then start, stop and restart only what changed. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/jsonw.h"
#include "supervisor/init/supervisor.h"

struct changes {
    struct buf started, stopped, restarted; /* JSON arrays */
    struct jsonw w[3];
};

enum { STARTED, STOPPED, RESTARTED };

static void changes_init(struct changes *c)
{
    *c = (struct changes){ 0 };
    struct buf *bufs[] = { &c->started, &c->stopped, &c->restarted };
    for (size_t i = 0; i < ARRAY_SIZE(bufs); i++) {
        c->w[i] = (struct jsonw)JSONW_INIT(bufs[i]);
        jsonw_array(&c->w[i], NULL);
    }
}

static void changes_release(struct changes *c)
{
    buf_release(&c->started);
    buf_release(&c->stopped);
    buf_release(&c->restarted);
}

static void give_plan(struct service *s, struct plan_block *plan, uint32_t index)
{
    plan_block_unref(s->block);
    s->block = plan_block_ref(plan);
    s->cfg = &plan->plan.services[index];
}

/* A service that is in the new plan: swap its record; restart it when it would run differently. */
static void update(struct service *s, struct plan_block *plan, uint32_t index, bool env_same,
                   struct changes *c)
{
    const struct plan_service *now = &plan->plan.services[index];
    bool same = env_same && plan_service_runs_same(&s->block->plan, s->cfg, &plan->plan, now);
    bool ready_same = plan_check_same(&s->block->plan, &s->cfg->ready, &plan->plan, &now->ready);
    bool health_same = plan_check_same(&s->block->plan, &s->cfg->health, &plan->plan, &now->health);
    bool was_removed = s->removed;
    bool memory_same = s->cfg->memory_max == now->memory_max;
    give_plan(s, plan, index);
    s->removed = false;
    if (!memory_same)
        service_group_changed(s);
    if (!memory_same && now->memory_max)
        memory_watch(s->sv); /* where no group holds it */
    if (!ready_same)
        service_check_changed(s, false);
    if (!health_same)
        service_check_changed(s, true);
    if (was_removed) {
        jsonw_str(&c->w[STARTED], NULL, s->name);
        service_event(s, EV_START, "it is in the configuration again");
    } else if (!same && s->state != SERVICE_STOPPED) { /* a person who stopped it meant it */
        jsonw_str(&c->w[RESTARTED], NULL, s->name);
        service_event(s, EV_RESTART, "its configuration changed");
    }
}

static void add(struct supervisor *sv, struct plan_block *plan, uint32_t index, struct changes *c)
{
    struct service *s = service_new(sv, plan, index, NULL);
    if (!s) {
        services_missing(sv);
        return;
    }
    service_append(sv, s);
    jsonw_str(&c->w[STARTED], NULL, s->name);
    service_event(s, EV_START, "new in the configuration");
}

static void drop_missing(struct supervisor *sv, const struct plan *p, struct changes *c)
{
    for (struct service *s = sv->services; s; s = s->next) {
        if (s->removed || plan_service_index(p, s->name) >= 0)
            continue;
        s->removed = true;
        jsonw_str(&c->w[STOPPED], NULL, s->name);
        service_event(s, EV_STOP, "no longer in the configuration");
    }
}

static void answer(struct supervisor *sv, struct changes *c)
{
    static const char *const keys[] = { "started", "stopped", "restarted" };
    const struct buf *bufs[] = { &c->started, &c->stopped, &c->restarted };
    _cleanup_buf_ struct buf out = BUF_INIT, event = BUF_INIT;
    struct jsonw w = JSONW_INIT(&out);
    sv->config_error[0] = '\0';
    jsonw_object(&w, NULL);
    jsonw_bool(&w, "ok", true);
    for (size_t i = 0; i < ARRAY_SIZE(bufs); i++) {
        jsonw_array_end(&c->w[i]);
        jsonw_raw(&w, keys[i], buf_str(bufs[i]), bufs[i]->len);
    }
    jsonw_object_end(&w);
    say(sv, LOG_LEVEL_INFO, "reloaded: started %s, stopped %s, restarted %s", buf_str(&c->started),
        buf_str(&c->stopped), buf_str(&c->restarted));
    control_reload_done(&sv->control, &out);
    (void)buf_puts(&event, "{\"event\":\"reloaded\"}");
    control_event(&sv->control, &event);
}

static void refuse(struct supervisor *sv, const char *error)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct jsonw w = JSONW_INIT(&out);
    (void)snprintf(sv->config_error, sizeof sv->config_error, "%s", error);
    config_watch_update(sv);
    say(sv, LOG_LEVEL_ERROR, "reload refused, the old configuration stays: %s", error);
    jsonw_object(&w, NULL);
    jsonw_object(&w, "error");
    jsonw_str(&w, "code", "bad_config");
    jsonw_str(&w, "message", error);
    jsonw_object_end(&w);
    jsonw_object_end(&w);
    control_reload_done(&sv->control, &out);
}

/* What is known of a volume stays known when its path stays. */
static void keep_volumes(struct supervisor *sv, const struct plan *old, const struct plan *now)
{
    struct volume_state kept[VOLUMES_KEPT] = { 0 };
    for (uint32_t i = 0; i < now->header->volumes && i < VOLUMES_KEPT; i++)
        for (uint32_t k = 0; k < old->header->volumes && k < VOLUMES_KEPT; k++)
            if (strcmp(plan_string(now, now->volumes[i].path),
                       plan_string(old, old->volumes[k].path)) == 0)
                kept[i] = sv->volumes[k];
    memcpy(sv->volumes, kept, sizeof kept);
    helper_cancel(&sv->watch_helper); /* its records are numbered as in the old plan */
}

static void swap(struct supervisor *sv, struct plan_block *plan)
{
    const struct plan *now = &plan->plan, *old = &sv->plan->plan;
    bool env_same =
        strcmp(plan_string(now, now->header->home), plan_string(old, old->header->home)) == 0 &&
        plan_list_equal(now, now->header->environment, old, old->header->environment);
    struct changes c;
    changes_init(&c);
    keep_volumes(sv, old, now);
    plan_adopt(sv, plan);
    drop_missing(sv, now, &c);
    for (uint32_t i = 0; i < now->header->services; i++) {
        struct service *s = service_find(sv, plan_string(now, now->services[i].name));
        if (s)
            update(s, plan, i, env_same, &c);
        else
            add(sv, plan, i, &c);
    }
    volumes_watch_now(sv);
    answer(sv, &c);
    changes_release(&c);
}

static void on_compiled(struct supervisor *sv, struct plan_block *plan, int code, const char *error)
{
    (void)code;
    char refused[400];
    if (!plan) {
        refuse(sv, error);
    } else if (sandboxes_refused(sv, &plan->plan, refused, sizeof refused)) {
        plan_block_unref(plan);
        refuse(sv, refused);
    } else if (sv->phase != PHASE_RUNNING) {
        plan_block_unref(plan);
    } else {
        swap(sv, plan);
    }
}

int reload_begin(struct supervisor *sv)
{
    if (sv->phase == PHASE_STOPPING)
        return -ESHUTDOWN;
    if (sv->compile || sv->phase == PHASE_BOOT)
        return -EBUSY;
    return compile_begin(sv, on_compiled);
}
