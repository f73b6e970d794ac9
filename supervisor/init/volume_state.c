/* What is known of the volumes, kept fresh by a helper that may hang: after each change of the
 * mount table, and every 30 s. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/jsonw.h"
#include "supervisor/init/secret_watch.h"
#include "supervisor/init/supervisor.h"

#define WATCH_EVERY_MS    30000
#define WATCH_DEADLINE_MS 5000
#define DEBOUNCE_MS       200 /* a mount table changes in bursts */

struct watch_record {
    uint32_t index;
    struct volume_report report;
};

bool volume_ok(const struct volume_state *v)
{
    for (size_t i = 0; i < v->report.count; i++)
        if (v->report.findings[i].level == FINDING_BAD)
            return false;
    return true;
}

static void announce(struct supervisor *sv, const char *path, const struct volume_state *v)
{
    _cleanup_buf_ struct buf line = BUF_INIT;
    struct jsonw w = JSONW_INIT(&line);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "event", "volume");
    jsonw_str(&w, "path", path);
    jsonw_bool(&w, "ok", volume_ok(v));
    jsonw_str(&w, "message", v->report.count ? v->report.findings[0].message : "");
    jsonw_object_end(&w);
    control_event(&sv->control, &line);
}

static void log_findings(struct supervisor *sv, const char *path, const struct volume_report *r)
{
    static const enum log_level levels[] = {
        [FINDING_OK] = LOG_LEVEL_INFO,
        [FINDING_WARN] = LOG_LEVEL_WARN,
        [FINDING_BAD] = LOG_LEVEL_ERROR,
    };
    for (size_t i = 0; i < r->count; i++)
        say(sv, levels[r->findings[i].level], "volume %s: %s", path, r->findings[i].message);
}

/* Numbers in a message change all the time; the kinds of findings do not. */
static bool same_findings(const struct volume_report *a, const struct volume_report *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->findings[i].code != b->findings[i].code ||
            a->findings[i].level != b->findings[i].level)
            return false;
    return true;
}

/* The record comes from a fork of ourselves; its bounds are checked all the same. */
static void tidy(struct volume_report *r)
{
    if (r->count > VOLUME_FINDINGS_MAX)
        r->count = VOLUME_FINDINGS_MAX;
    for (size_t i = 0; i < r->count; i++) {
        struct finding *f = &r->findings[i];
        f->message[sizeof f->message - 1] = '\0';
        if ((unsigned)f->level >= FINDING_LEVEL_MAX)
            f->level = FINDING_BAD;
        if ((unsigned)f->code >= FINDING_CODE_MAX)
            f->code = FINDING_IO_ERROR;
    }
    r->fs_type[sizeof r->fs_type - 1] = '\0';
}

void volume_set(struct supervisor *sv, size_t index, const struct volume_report *report)
{
    if (!sv->plan || index >= VOLUMES_KEPT || index >= sv->plan->plan.header->volumes)
        return;
    struct volume_state *v = &sv->volumes[index];
    const struct plan *p = &sv->plan->plan;
    const char *path = plan_string(p, p->volumes[index].path);
    struct volume_report fresh = *report;
    tidy(&fresh);
    bool changed = !v->known || !same_findings(&v->report, &fresh);
    v->report = fresh;
    v->known = true;
    v->checked_ms = clock_mono_ms();
    if (!changed)
        return;
    log_findings(sv, path, &fresh);
    announce(sv, path, v);
    verdict_update(sv);
}

/* In the helper. */
static void watch(int fd, void *arg)
{
    const struct supervisor *sv = arg;
    const struct plan *p = &sv->plan->plan;
    struct mount_table mounts = { 0 };
    struct error e = ERROR_INIT;
    secret_watch_look(sv, fd); /* first: a volume may hang */
    int r = mount_table_read(&mounts, &e);
    for (uint32_t i = 0; i < p->header->volumes && i < VOLUMES_KEPT; i++) {
        struct watch_record record = { .index = i };
        struct volume_spec spec = {
            .path = plan_string(p, p->volumes[i].path),
            .min_free = p->volumes[i].min_free,
            .min_inodes = p->volumes[i].min_inodes,
        };
        volume_watch(&spec, r < 0 ? NULL : &mounts, r < 0 ? e.message : NULL, &record.report);
        (void)helper_put(fd, WATCH_VOLUME, &record, sizeof record);
    }
}

static void on_record(struct helper *h, uint32_t type, const void *data, size_t len)
{
    struct watch_record record;
    if (type == WATCH_SECRET) {
        secret_watch_take(h->arg, data, len);
        return;
    }
    if (len != sizeof record)
        return;
    memcpy(&record, data, sizeof record);
    volume_set(h->arg, record.index, &record.report);
}

static void no_answer(struct supervisor *sv, uint64_t since_ms)
{
    static const struct volume_report report = {
        .count = 1,
        .findings = { { .level = FINDING_BAD,
                        .code = FINDING_NO_ANSWER,
                        .message = "the check of the volume hung: its storage does not answer" } },
    };
    for (size_t i = 0; i < VOLUMES_KEPT && i < sv->plan->plan.header->volumes; i++)
        if (!sv->volumes[i].known || sv->volumes[i].checked_ms < since_ms)
            volume_set(sv, i, &report);
}

static void on_end(struct helper *h, bool complete)
{
    struct supervisor *sv = h->arg;
    if (!complete)
        no_answer(sv, clock_mono_ms() - WATCH_DEADLINE_MS);
    if (sv->watch_again)
        timer_set(&sv->loop, &sv->watch_timer, DEBOUNCE_MS);
    sv->watch_again = false;
}

static void on_timer(struct timer *t)
{
    struct supervisor *sv = t->arg;
    timer_set(&sv->loop, t, WATCH_EVERY_MS);
    if (!sv->plan || !sv->plan->plan.header->volumes || sv->phase != PHASE_RUNNING)
        return;
    if (helper_busy(&sv->watch_helper)) {
        sv->watch_again = !sv->watch_helper.ended; /* else it hangs, and hangs on */
        return;
    }
    int r = helper_start(&sv->watch_helper, "volume-watch", WATCH_DEADLINE_MS, watch, sv);
    if (r < 0)
        say(sv, LOG_LEVEL_WARN, "cannot check the volumes: %s, trying again", strerror(-r));
}

void volumes_watch_now(struct supervisor *sv)
{
    if (sv->watch_timer.fn)
        timer_set(&sv->loop, &sv->watch_timer, DEBOUNCE_MS);
}

static void on_mounts(struct source *s, uint32_t events)
{
    /* The kernel says EPOLLERR | EPOLLPRI once after each change (proc(5)). */
    if (events & (EPOLLPRI | EPOLLERR))
        volumes_watch_now(s->arg);
}

void volumes_watch_begin(struct supervisor *sv)
{
    sv->watch_helper.on_record = on_record;
    sv->watch_helper.on_end = on_end;
    sv->watch_helper.arg = sv;
    sv->watch_timer = (struct timer){ .fn = on_timer, .arg = sv };
    timer_set(&sv->loop, &sv->watch_timer, WATCH_EVERY_MS);
    sv->mountinfo = (struct source){ .fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC),
                                     .fn = on_mounts,
                                     .arg = sv };
    int r = sv->mountinfo.fd < 0 ? -errno : loop_add(&sv->loop, &sv->mountinfo, EPOLLPRI);
    if (r < 0)
        say(sv, LOG_LEVEL_WARN, "changes of mounts are noticed late, within 30 s: %s",
            strerror(-r));
}
