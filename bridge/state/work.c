#include "bridge/state/work.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "bridge/state/doc.h"
#include "supervisor/sandbox/confine.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LOCAL_MS  60000 /* for what needs no network, on a slow disk; */
#define BATCH_MS  5000  /* a round of commits ends after this */
#define LOOSE_MAX 5000  /* objects, before they are packed */

struct job {
    const struct settings *s;
    const struct names *names;
    struct gitrepo_remote remote;
    bool aside;
    const struct confine *confine;
};

static const int close_nothing[2] = { -1, -1 };

static void close_bare(struct gitrepo_bare **b)
{
    gitrepo_bare_close(*b);
}
#define _cleanup_bare_ _cleanup_(close_bare)

static int open_bare(const struct settings *s, struct gitrepo_bare **ret, struct error *e)
{
    return gitrepo_bare_open(ret, s->repo, s->branch, *s->ca_file ? s->ca_file : NULL, e);
}

/* ---------------------------------------------------------------- commits */

/* Which of its milestones does the branch tell of? `with` has room for all. */
static int read_told(struct gitrepo_bare *b, const struct doc *d, const char *file, bool *with,
                     struct error *e)
{
    _cleanup_free_ char *text = NULL;
    size_t len = 0;
    int r = gitrepo_bare_read(b, file, &text, &len, e);
    if (r == 0)
        r = doc_told(d, text, len, with);
    return r == -ENOENT ? 0 : r;
}

static int commit_one(struct gitrepo_bare *b, const struct settings *s, const struct doc *d,
                      const char *file, const bool *with, const struct doc_milestone *m,
                      struct error *e)
{
    _cleanup_buf_ struct buf text = BUF_INIT, message = BUF_INIT;
    int r = doc_write(d, with, &text);
    doc_message(d, m, &message);
    if (r < 0 || message.failed)
        return error_set_errno(e, r < 0 ? r : -ENOMEM, "cannot write a session's state");
    const struct gitrepo_commit c = {
        .file = file,
        .data = text.data,
        .len = text.len,
        .message = buf_str(&message),
        .author = s->author,
        .email = s->email,
        .time_ms = m->time_ms,
    };
    return gitrepo_bare_commit(b, &c, e);
}

/* How many commits. */
static int commit_session(struct gitrepo_bare *b, const struct settings *s, const struct doc *d,
                          struct error *e)
{
    _cleanup_buf_ struct buf file = BUF_INIT;
    _cleanup_free_ bool *with = calloc(d->milestone_count + 1, sizeof *with);
    doc_path(d->pod, d->id, &file);
    if (!with || file.failed)
        return error_set_errno(e, -ENOMEM, "cannot commit a session's state");
    int r = read_told(b, d, buf_str(&file), with, e), n = 0;
    for (size_t i = 0; r == 0 && i < d->milestone_count; i++) {
        if (with[i])
            continue;
        with[i] = true;
        r = commit_one(b, s, d, buf_str(&file), with, &d->milestones[i], e);
        n += r == 0;
    }
    return r < 0 ? r : n;
}

static void close_store(struct store **s)
{
    store_close(*s);
}

static int commit_all(void *arg, struct error *e)
{
    const struct job *j = arg;
    _cleanup_(close_store) struct store *store = NULL;
    _cleanup_bare_ struct gitrepo_bare *b = NULL;
    uint64_t end = clock_mono_ms() + BATCH_MS;
    int n = 0, r = store_open_reader(&store, j->s->state_dir, e);
    if (r == 0)
        r = open_bare(j->s, &b, e);
    for (size_t i = 0; r >= 0 && i < j->names->count; i++) {
        _cleanup_doc_ struct doc d = { 0 };
        if (clock_mono_ms() >= end)
            return n + WORK_MORE;
        r = doc_load(&d, store, j->names->rows[i].pod, j->names->rows[i].id);
        if (r == -ENOENT)
            r = 0;
        else if (r < 0)
            return error_set_errno(e, r, "cannot read a session");
        else
            r = commit_session(b, j->s, &d, e);
        n += r > 0 ? r : 0;
    }
    return r < 0 ? r : n;
}

int work_commit(const struct settings *s, const struct names *names, struct error *e)
{
    struct job j = { .s = s, .names = names };
    return gitrepo_child(commit_all, &j, clock_mono_ms() + LOCAL_MS, close_nothing, e);
}

/* ---------------------------------------------------------------- the remote */

/* What speaks with the remote reaches the repository, and of the state folder nothing else. */
static int enter(const struct job *j, struct error *e)
{
    return confine_enter(j->confine, environ)
               ? 0
               : error_set(e, -EPERM, "cannot enter the sandbox for git");
}

static int fetch(void *arg, struct error *e)
{
    struct job *j = arg;
    _cleanup_bare_ struct gitrepo_bare *b = NULL;
    int r = enter(j, e);
    if (r == 0)
        r = open_bare(j->s, &b, e);
    return r < 0 ? r : gitrepo_bare_fetch(b, &j->remote, e);
}

static int push(void *arg, struct error *e)
{
    struct job *j = arg;
    _cleanup_bare_ struct gitrepo_bare *b = NULL;
    int r = enter(j, e);
    if (r == 0)
        r = open_bare(j->s, &b, e);
    return r < 0 ? r : gitrepo_bare_push(b, &j->remote, j->aside ? j->s->side : NULL, e);
}

/* Starts it; the child has a copy of all that it is given. */
static int begin(struct settings *s, int (*work)(void *arg, struct error *e), bool aside,
                 struct gitrepo_job *job, struct error *e)
{
    _cleanup_(confine_release) struct confine confine = { 0 };
    int r = confine_read(&confine, "git", e);
    if (r < 0)
        return r;
    settings_token(s);
    struct job j = { .s = s, .aside = aside, .remote = settings_remote(s, 0), .confine = &confine };
    return gitrepo_job_start(job, work, &j, close_nothing, e);
}

int work_fetch(struct settings *s, struct gitrepo_job *job, struct error *e)
{
    return begin(s, fetch, false, job, e);
}

int work_push(struct settings *s, bool aside, struct gitrepo_job *job, struct error *e)
{
    return begin(s, push, aside, job, e);
}

static int rebase(void *arg, struct error *e)
{
    const struct job *j = arg;
    _cleanup_bare_ struct gitrepo_bare *b = NULL;
    int r = open_bare(j->s, &b, e);
    if (r == 0) /* nobody else works in it now */
        r = gitrepo_bare_pack(b, LOOSE_MAX, e);
    if (r >= 0)
        r = gitrepo_bare_rebase(b, e);
    return r == GITREPO_REBASE_CONFLICT ? -EEXIST : r;
}

static int ahead(void *arg, struct error *e)
{
    const struct job *j = arg;
    _cleanup_bare_ struct gitrepo_bare *b = NULL;
    int r = open_bare(j->s, &b, e);
    if (r == 0)
        r = gitrepo_bare_ahead(b, j->aside ? j->s->side : NULL);
    return r < 0 ? error_set(e, r, "cannot count the commits") : r;
}

int work_rebase(const struct settings *s, int *ret_ahead, struct error *e)
{
    struct job j = { .s = s };
    uint64_t end = clock_mono_ms() + LOCAL_MS;
    int r = gitrepo_child(rebase, &j, end, close_nothing, e);
    j.aside = r == -EEXIST;
    if (r < 0 && !j.aside)
        return r;
    int n = gitrepo_child(ahead, &j, end, close_nothing, j.aside ? NULL : e);
    if (n < 0)
        return n;
    *ret_ahead = n;
    return j.aside ? GITREPO_REBASE_CONFLICT : r;
}

int work_put_aside(const struct settings *s, char kept[4200], struct error *e)
{
    (void)snprintf(kept, 4200, "%.4000s.damaged-%" PRId64, s->repo, clock_wall_ms());
    if (rename(s->repo, kept) < 0 && errno != ENOENT)
        return error_set_errno(e, -errno, "cannot put the damaged %s aside", s->repo);
    return 0;
}
