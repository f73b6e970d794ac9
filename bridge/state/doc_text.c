/* A session's state as text: the file, the commit's message. */
#include "bridge/state/doc.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/utf8.h"
#include "base/core/visible.h"
#include "base/yaml/yaml.h"
#include "base/yaml/yamlw.h"
#include "bridge/state/milestone.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define VERSION       1
#define DECISIONS_MAX 50 /* the newest */
#define TITLE_MAX     80 /* code points of it in a commit's message */

static void put_time(struct yamlw *w, const char *key, int64_t ms)
{
    char text[CLOCK_RFC3339_SIZE];
    clock_rfc3339_at(text, ms * 1000);
    yamlw_word(w, key, text);
}

static void put_head(struct yamlw *w, const struct doc *d)
{
    const struct {
        const char *key, *text;
    } rows[] = {
        { "id", d->id },       { "pod", d->pod },
        { "title", d->title }, { "directory", d->directory },
        { "owner", d->owner }, { "agent", d->agent },
        { "model", d->model },
    };
    char cost[40];
    yamlw_int(w, "version", VERSION);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        yamlw_text(w, rows[i].key, rows[i].text);
    yamlw_word(w, "status", d->status);
    put_time(w, "created", d->created_ms);
    put_time(w, "updated", d->updated_ms);
    (void)snprintf(cost, sizeof cost, "%.6f", d->cost);
    yamlw_word(w, "cost", cost);
    yamlw_int(w, "tokens", d->tokens);
    yamlw_map(w, "slack");
    yamlw_text(w, "channel", d->channel);
    yamlw_text(w, "thread", d->thread);
    yamlw_map_end(w);
}

static void put_request(struct yamlw *w, const struct doc_request *r)
{
    yamlw_map(w, NULL);
    yamlw_text(w, "request", r->id);
    yamlw_word(w, "kind", r->kind);
    yamlw_text(w, "permission", r->permission);
    if (*r->outcome) {
        yamlw_word(w, "outcome", r->outcome);
        yamlw_text(w, "by", r->by);
        yamlw_text(w, "in", r->connector);
    }
    put_time(w, "at", r->time_ms);
    yamlw_map_end(w);
}

static void put_requests(struct yamlw *w, const struct doc *d)
{
    size_t decided = 0;
    yamlw_list(w, "pending");
    for (size_t i = 0; i < d->request_count; i++)
        if (*d->requests[i].outcome)
            decided++;
        else
            put_request(w, &d->requests[i]);
    yamlw_list_end(w);
    yamlw_list(w, "decisions");
    for (size_t i = 0, n = 0; i < d->request_count; i++)
        if (*d->requests[i].outcome && n++ + DECISIONS_MAX >= decided)
            put_request(w, &d->requests[i]);
    yamlw_list_end(w);
}

int doc_write(const struct doc *d, const bool *with, struct buf *out)
{
    struct yamlw *w = NULL;
    buf_puts(out,
             "# The state of a session, for people. Written by codev-state, read by nobody.\n");
    int r = out->failed ? -ENOMEM : yamlw_new(&w, out);
    if (r < 0)
        return r;
    put_head(w, d);
    put_requests(w, d);
    yamlw_list(w, "milestones");
    for (size_t i = 0; i < d->milestone_count; i++) {
        const struct doc_milestone *m = &d->milestones[i];
        if (with && !with[i])
            continue;
        yamlw_map(w, NULL);
        yamlw_text(w, "milestone", m->kind);
        yamlw_text(w, "ref", m->ref);
        put_time(w, "at", m->time_ms);
        yamlw_map_end(w);
    }
    yamlw_list_end(w);
    return yamlw_finish(w);
}

static bool is_told(const struct ynode *list, const struct doc_milestone *m)
{
    for (const struct ynode *n = list ? list->first : NULL; n; n = n->next) {
        const struct ynode *kind = ynode_get(n, "milestone"), *ref = ynode_get(n, "ref");
        if (kind && kind->text && ref && ref->text && strcmp(kind->text, m->kind) == 0 &&
            strcmp(ref->text, m->ref) == 0)
            return true;
    }
    return false;
}

int doc_told(const struct doc *d, const char *text, size_t len, bool *ret)
{
    _cleanup_ynode_ struct ynode *root = NULL;
    if (ynode_parse(&root, text, len, NULL) == -ENOMEM)
        return -ENOMEM;
    const struct ynode *list = ynode_get(root, "milestones");
    for (size_t i = 0; i < d->milestone_count; i++)
        ret[i] = is_told(list, &d->milestones[i]);
    return 0;
}

void doc_message(const struct doc *d, const struct doc_milestone *m, struct buf *out)
{
    const char *title = *d->title ? d->title : d->id;
    (void)buf_puts(out, "session ");
    visible_put(out, title, utf8_prefix(title, strlen(title), TITLE_MAX), 0);
    (void)buf_printf(out, ": %s\n\nCodev-Pod: ", milestone_text(m->kind));
    visible_put(out, d->pod, strlen(d->pod), 0);
    (void)buf_puts(out, "\nCodev-Session: ");
    visible_put(out, d->id, strlen(d->id), 0);
    (void)buf_puts(out, "\nCodev-Milestone: ");
    visible_put(out, m->kind, strlen(m->kind), 0);
    if (*m->ref)
        (void)buf_putc(out, ' ');
    visible_put(out, m->ref, strlen(m->ref), 0);
    (void)buf_putc(out, '\n');
}
