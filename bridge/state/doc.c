#include "bridge/state/doc.h"

#include "base/core/cleanup.h"
#include "bridge/gateway/core/core.h"
#include "bridge/state/milestone.h"

#include <errno.h>
#include <string.h>

#define REQUESTS_MAX   2000 /* looked at; */
#define MILESTONES_MAX 1000 /* of which the file holds so many */

static const char *const status_words[] = {
    [SESSION_IDLE] = "idle",   [SESSION_BUSY] = "busy",  [SESSION_RETRY] = "retry",
    [SESSION_ERROR] = "error", [SESSION_GONE] = "ended",
};
_Static_assert(ARRAY_SIZE(status_words) == SESSION_STATUS_MAX, "a word for every status");

static const char *const kind_words[] = {
    [REQUEST_PERMISSION] = "permission",
    [REQUEST_QUESTION] = "question",
};
_Static_assert(ARRAY_SIZE(kind_words) == REQUEST_KIND_MAX, "a word for every kind");

static const char *const outcome_words[] = {
    [OUTCOME_NONE] = "",         [OUTCOME_ONCE] = "once",         [OUTCOME_ALWAYS] = "always",
    [OUTCOME_REJECT] = "reject", [OUTCOME_ANSWERED] = "answered", [OUTCOME_GONE] = "gone",
};
_Static_assert(ARRAY_SIZE(outcome_words) == OUTCOME_MAX, "a word for every outcome");

/* A newer gateway's numbers are no reason to read beyond a table. */
#define WORD(table, i) ((i) >= 0 && (size_t)(i) < ARRAY_SIZE(table) ? (table)[i] : "unknown")

void doc_release(struct doc *d)
{
    for (size_t i = 0; i < d->owned_count; i++)
        free(d->owned[i]);
    free(d->owned);
    free(d->requests);
    free(d->milestones);
    *d = (struct doc){ 0 };
}

/* A copy that lives as long as `d`; NULL: out of memory. */
static const char *keep(struct doc *d, const char *text)
{
    char *copy = strdup(text);
    char **owned = copy ? reallocarray(d->owned, d->owned_count + 1, sizeof *owned) : NULL;
    if (!owned) {
        free(copy);
        return NULL;
    }
    d->owned = owned;
    owned[d->owned_count++] = copy;
    return copy;
}

static int add_milestone(struct doc *d, const char *kind, const char *ref, int64_t time_ms)
{
    struct doc_milestone *rows =
        reallocarray(d->milestones, d->milestone_count + 1, sizeof *d->milestones);
    if (!rows)
        return -ENOMEM;
    d->milestones = rows;
    struct doc_milestone m = { .kind = keep(d, kind), .ref = keep(d, ref), .time_ms = time_ms };
    if (!m.kind || !m.ref)
        return -ENOMEM;
    rows[d->milestone_count++] = m;
    return 0;
}

/* ---------------------------------------------------------------- gathering */

static int take_session(void *data, const struct session_row *row)
{
    struct doc *d = data;
    if (*row->parent_id)
        return -ENOENT;
    const struct {
        const char **to, *from;
    } texts[] = {
        { &d->pod, row->pod },          { &d->id, row->id },
        { &d->title, row->title },      { &d->directory, row->directory },
        { &d->owner, row->created_by }, { &d->agent, row->agent },
        { &d->model, row->model },
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (!(*texts[i].to = keep(d, texts[i].from)))
            return -ENOMEM;
    d->status = WORD(status_words, row->status);
    d->created_ms = row->created_ms;
    d->updated_ms = row->updated_ms;
    int r = add_milestone(d, milestone_name(MILESTONE_SESSION_CREATED), "", row->created_ms);
    if (r == 0 && row->status == SESSION_GONE)
        r = add_milestone(d, milestone_name(MILESTONE_SESSION_ENDED), "", row->updated_ms);
    return r;
}

static int take_place(void *data, const struct store_place *p)
{
    struct doc *d = data;
    d->channel = keep(d, p->channel);
    d->thread = keep(d, *p->thread_ts ? p->thread_ts : p->ts);
    return d->channel && d->thread ? 0 : -ENOMEM;
}

static int take_request(void *data, const struct request_row *row)
{
    struct doc *d = data;
    bool settled = row->state == REQUEST_SETTLED;
    struct doc_request *rows = reallocarray(d->requests, d->request_count + 1, sizeof *d->requests);
    if (!rows)
        return -ENOMEM;
    d->requests = rows;
    struct doc_request r = {
        .id = keep(d, row->id),
        .kind = WORD(kind_words, row->kind),
        .permission = keep(d, row->permission),
        .outcome = settled ? WORD(outcome_words, row->outcome) : "",
        .by = keep(d, settled ? row->actor_id : ""),
        .connector = keep(d, settled ? row->actor_connector : ""),
        .time_ms = settled ? row->settled_ms : row->created_ms,
    };
    if (!r.id || !r.permission || !r.by || !r.connector)
        return -ENOMEM;
    rows[d->request_count++] = r;
    if (settled && row->kind == REQUEST_QUESTION && row->outcome == OUTCOME_ANSWERED)
        return add_milestone(d, milestone_name(MILESTONE_QUESTION_ANSWERED), row->id,
                             row->settled_ms);
    return 0;
}

static int take_milestone(void *data, const struct milestone_row *m)
{
    return add_milestone(data, m->kind, m->ref, m->time_ms);
}

static int by_life(const void *a, const void *b)
{
    const struct doc_milestone *x = a, *y = b;
    int rank = milestone_rank(x->kind) - milestone_rank(y->kind);
    if (rank || x->time_ms != y->time_ms)
        return rank ? rank : x->time_ms < y->time_ms ? -1 : 1;
    int kind = strcmp(x->kind, y->kind);
    return kind ? kind : strcmp(x->ref, y->ref);
}

/* The newest, in order. */
static void order(struct doc *d)
{
    qsort(d->milestones, d->milestone_count, sizeof *d->milestones, by_life);
    if (d->milestone_count <= MILESTONES_MAX)
        return;
    size_t over = d->milestone_count - MILESTONES_MAX;
    memmove(d->milestones, d->milestones + over, MILESTONES_MAX * sizeof *d->milestones);
    d->milestone_count = MILESTONES_MAX;
}

static int load(struct doc *d, struct store *s, const char *pod, const char *id)
{
    int r = store_session_get(s, pod, id, take_session, d);
    if (r == 0)
        r = store_session_use(s, pod, id, &d->cost, &d->tokens);
    if (r == 0) {
        r = store_place_get(s, "slack", "session", pod, id, take_place, d);
        r = r == -ENOENT ? 0 : r;
    }
    if (r == 0)
        r = store_session_requests(s, pod, id, REQUESTS_MAX, take_request, d);
    if (r == 0)
        r = store_milestone_each(s, pod, id, take_milestone, d);
    return r;
}

int doc_load(struct doc *ret, struct store *s, const char *pod, const char *id)
{
    struct doc d = { .channel = "", .thread = "" };
    int r = load(&d, s, pod, id);
    if (r < 0) {
        doc_release(&d);
        return r;
    }
    order(&d);
    *ret = d;
    return 0;
}

/* ---------------------------------------------------------------- names */

static void put_name(struct buf *out, const char *name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    if (!*name)
        (void)buf_puts(out, "%");
    for (const char *c = name; *c; c++) {
        bool dot = *c == '.' && c == name; /* ".", "..", ".git" */
        if (strchr(plain, *c) && !dot)
            (void)buf_putc(out, *c);
        else
            (void)buf_printf(out, "%%%02X", (unsigned)(unsigned char)*c);
    }
}

void doc_path(const char *pod, const char *id, struct buf *out)
{
    (void)buf_puts(out, "sessions/");
    put_name(out, pod);
    (void)buf_putc(out, '/');
    put_name(out, id);
    (void)buf_puts(out, "/.session-state.yaml");
}
