/* The boot: configuration, volumes, state, secrets, services. Each step is asynchronous, so that a
 * signal or a status request in between is served at once. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "supervisor/init/boot_work.h"
#include "supervisor/init/supervisor.h"

#define BOOT_DEADLINE_MS  10000
#define BOOT_AGAIN_MS     500
#define BOOT_TRIES        60
#define BOOT_TRIES_KILLED 4 /* codev-config was: it may also be at fault itself */

static void take_volume(struct supervisor *sv, const void *data, size_t len)
{
    struct boot_volume v;
    if (len != sizeof v)
        return;
    memcpy(&v, data, sizeof v);
    volume_set(sv, v.index, &v.report);
}

static void take_secret(struct supervisor *sv, const char *text, size_t len)
{
    _cleanup_free_ char *pair = strndup(text, len);
    char *eq = pair ? strchr(pair, '=') : NULL;
    if (eq) {
        *eq = '\0';
        (void)secret_store_set(&sv->secrets, pair, eq + 1);
    }
    if (pair)
        explicit_bzero(pair, len);
}

static void judged(struct supervisor *sv);

static void on_record(struct helper *h, uint32_t type, const void *data, size_t len)
{
    struct supervisor *sv = h->arg;
    switch ((enum boot_record)type) {
    case BOOT_VOLUME:
        take_volume(sv, data, len);
        break;
    case BOOT_STATE_DIR:
        (void)snprintf(sv->state_dir, sizeof sv->state_dir, "%.*s", (int)len, (const char *)data);
        break;
    case BOOT_SECRET:
        take_secret(sv, data, len);
        break;
    case BOOT_NOTE:
        say(sv, LOG_LEVEL_WARN, "%.*s", (int)len, (const char *)data);
        break;
    case BOOT_JUDGED:
        judged(sv);
        break;
    case BOOT_HOLD:
        (void)snprintf(sv->hold, sizeof sv->hold, "%.*s", (int)len, (const char *)data);
        break;
    case BOOT_RECORD_MAX:
    default:
        break;
    }
}

/* The volumes that the helper never came to tell about. */
static void mark_unanswered(struct supervisor *sv)
{
    struct volume_report report = { .count = 1 };
    report.findings[0].level = FINDING_BAD;
    report.findings[0].code = FINDING_NO_ANSWER;
    for (uint32_t i = 0; i < sv->plan->plan.header->volumes && i < VOLUMES_KEPT; i++) {
        if (sv->volumes[i].known)
            continue;
        (void)snprintf(report.findings[0].message, sizeof report.findings[0].message,
                       "the check did not end within %d s: the storage behind it does not answer; "
                       "look at the PersistentVolume and its node",
                       BOOT_DEADLINE_MS / 1000);
        volume_set(sv, i, &report);
    }
}

/* Policy `fail` (SPEC V2). True when the pod must not start. */
static bool refused_by_volumes(struct supervisor *sv)
{
    const struct plan *p = &sv->plan->plan;
    for (uint32_t i = 0; i < p->header->volumes && i < VOLUMES_KEPT; i++) {
        const struct volume_state *v = &sv->volumes[i];
        if (p->volumes[i].policy != PLAN_POLICY_FAIL || volume_ok(v))
            continue;
        char why[sizeof v->report.findings[0].message + 64];
        (void)snprintf(why, sizeof why, "volume %.60s: %s", plan_string(p, p->volumes[i].path),
                       v->report.findings[0].message);
        stop_begin(sv, EXIT_CONFIG, why);
        return true;
    }
    return false;
}

void boot_services(struct supervisor *sv)
{
    groups_begin(sv);
    sv->phase = PHASE_RUNNING;
    services_complete(sv);
    for (struct service *s = sv->services; s; s = s->next)
        service_event(s, EV_START, "");
    verdict_update(sv);
}

/* All is known that services wait for, or all that ever will be. */
static void judged(struct supervisor *sv)
{
    mark_unanswered(sv);
    boot_generate_secrets(sv);
    for (size_t i = 0; i < secret_count(); i++)
        if (sv->secrets.values[i])
            (void)mask_add(&sv->logs.mask, sv->secrets.values[i]);
    if (sv->phase != PHASE_BOOT || refused_by_volumes(sv))
        return;
    say(sv, LOG_LEVEL_INFO, "state folder %s, runtime folder %s",
        sv->state_dir[0] ? sv->state_dir : "none", sv->runtime_dir[0] ? sv->runtime_dir : "none");
    if (*sv->hold)
        say(sv, LOG_LEVEL_ERROR, "OpenCode does not start: %s", sv->hold);
    volumes_watch_begin(sv);
    boot_services(sv);
}

static void on_helper_end(struct helper *h, bool complete)
{
    struct supervisor *sv = h->arg;
    bool ledger_only = sv->phase != PHASE_BOOT;
    if (!complete && sv->phase != PHASE_STOPPING)
        say(sv, ledger_only ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR,
            ledger_only
                ? "the boot ledger was not written: its writer was killed, or the state folder does not "
                  "answer"
                : "the check of the volumes did not come to its end");
    if (!ledger_only)
        judged(sv);
}

static void on_boot_timer(struct timer *t)
{
    boot_begin(t->arg);
}

/* Want of memory, processes or descriptors is no reason to end: it may be over soon. */
static bool try_again(struct supervisor *sv, int code, const char *error)
{
    unsigned most = code == -EINTR ? BOOT_TRIES_KILLED : BOOT_TRIES;
    if (code == -EINVAL || code == -ECHILD || code == -EBADMSG || sv->boot_tries >= most)
        return false;
    if (!sv->boot_tries++)
        say(sv, LOG_LEVEL_WARN, "codev-config cannot be run yet: %s", error);
    sv->boot_timer.fn = on_boot_timer;
    sv->boot_timer.arg = sv;
    timer_set(&sv->loop, &sv->boot_timer, BOOT_AGAIN_MS);
    return true;
}

static void on_compiled(struct supervisor *sv, struct plan_block *plan, int code, const char *error)
{
    if (!plan && try_again(sv, code, error))
        return;
    if (!plan) {
        char why[600];
        (void)snprintf(why, sizeof why, "configuration: %s", error);
        stop_begin(sv, EXIT_CONFIG, why);
        return;
    }
    char refused[400];
    if (sandboxes_refused(sv, &plan->plan, refused, sizeof refused)) {
        plan_block_unref(plan);
        stop_begin(sv, EXIT_CONFIG, refused);
        return;
    }
    plan_adopt(sv, plan);
    sandboxes_tell(sv, &plan->plan);
    uint32_t services = plan->plan.header->services, volumes = plan->plan.header->volumes;
    say(sv, LOG_LEVEL_INFO, "configuration %s: %u service%s, %u volume%s",
        *plan_string(&plan->plan, plan->plan.header->config_file)
            ? plan_string(&plan->plan, plan->plan.header->config_file)
            : "by default",
        services, services == 1 ? "" : "s", volumes, volumes == 1 ? "" : "s");
    sv->hold[0] = '\0'; /* after a fault: what that helper found is found anew */
    sv->boot_helper.on_record = on_record;
    sv->boot_helper.on_end = on_helper_end;
    sv->boot_helper.arg = sv;
    int r = helper_start(&sv->boot_helper, "boot", BOOT_DEADLINE_MS, boot_work, sv);
    if (r < 0) {
        say(sv, LOG_LEVEL_ERROR, "cannot check the volumes: %s", strerror(-r));
        on_helper_end(&sv->boot_helper, false);
    }
}

void boot_begin(struct supervisor *sv)
{
    int r = sv->phase == PHASE_BOOT ? compile_begin(sv, on_compiled) : 0;
    if (r < 0)
        on_compiled(sv, NULL, r == -EINVAL ? -EAGAIN : r, strerror(-r));
}
