/* A session that was deleted while nobody listened is only missing in OpenCode's list, where others
 * are missing too (those put into its archive). So each is looked up, one after the other. */
#include "base/core/log.h"
#include "bridge/gateway/core/private.h"

#include <errno.h>
#include <string.h>

#define MISSING_MAX 100 /* the latest; the others are found gone when somebody writes to them */

struct missing {
    struct missing *next;
    char *pod, *id;
};

static void missing_free(struct missing *m)
{
    free(m->pod);
    free(m->id);
    free(m);
}

static void ask_next(struct core *core);

static void nothing_told(void *data, const struct activity *a)
{
    (void)data;
    (void)a;
}

static void on_looked(void *data, int error, const char *message, const char *session_id)
{
    struct core *core = data;
    struct missing *m = core->missing;
    (void)message;
    (void)session_id;
    core->missing_asked = false;
    core->missing = m->next;
    if (error == -ENOENT) {
        struct feed f = { core, m->pod, "", "", 0 };
        log_info("session %s was deleted while nobody listened", m->id);
        int r = core_feed_session_gone(&f, m->id);
        if (r < 0)
            log_warn("session %s is gone, which could not be stored: %s", m->id, strerror(-r));
    }
    missing_free(m);
    ask_next(core);
}

/* What can't be asked is dropped: the next reading of the lists finds it again. */
static void ask_next(struct core *core)
{
    while (core->missing && !core->missing_asked) {
        struct missing *m = core->missing;
        core->missing_asked =
            core_session_history(core, m->pod, m->id, nothing_told, on_looked, core) == 0;
        if (!core->missing_asked) {
            core->missing = m->next;
            missing_free(m);
        }
    }
}

/* ---------------------------------------------------------------- who is missing */

struct looking {
    const struct feed *f;
    const struct feed_sync *s;
    unsigned found;
};

/* Or at work, which is as good. */
static bool is_listed(const struct feed_sync *s, const char *id)
{
    return is_among(id, s->listed_ids, s->n_listed) || is_among(id, s->busy_ids, s->n_busy);
}

static int look_up(struct core *core, const char *pod, const char *id)
{
    struct missing **end = &core->missing;
    for (; *end; end = &(*end)->next)
        if (strcmp((*end)->id, id) == 0 && strcmp((*end)->pod, pod) == 0)
            return 0;
    struct missing *m = calloc(1, sizeof *m);
    if (!m)
        return -ENOMEM;
    *m = (struct missing){ .pod = strdup(pod), .id = strdup(id) };
    if (!m->pod || !m->id) {
        missing_free(m);
        return -ENOMEM;
    }
    *end = m;
    return 0;
}

/* The rows come with the last changed first; what is returned above 0 ends them. */
static int add_if_missing(void *data, const struct session_row *row)
{
    struct looking *l = data;
    if (row->updated_ms < l->s->listed_since_ms || l->found == MISSING_MAX)
        return 1;
    if (strcmp(row->pod, l->f->pod) != 0 || strcmp(row->directory, l->f->directory) != 0 ||
        row->status == SESSION_GONE || is_listed(l->s, row->id))
        return 0;
    l->found++;
    return look_up(l->f->core, row->pod, row->id);
}

int missing_look(const struct feed *f, const struct feed_sync *s)
{
    struct looking l = { f, s, 0 };
    if (!s->listed_ids)
        return 0;
    int r = store_session_each(f->core->store, add_if_missing, &l);
    ask_next(f->core);
    return r < 0 ? r : 0;
}

void missing_free_all(struct core *core)
{
    while (core->missing) {
        struct missing *m = core->missing;
        core->missing = m->next;
        missing_free(m);
    }
}
