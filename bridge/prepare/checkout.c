#include "bridge/prepare/prepare.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "base/git/git.h"
#include "bridge/prepare/running.h"

#include <errno.h>
#include <string.h>

/* With a network that swallows packets a fetch would keep OpenCode waiting for minutes, and an
 * older plugin is better than none. */
#define FETCH_MS 60000

static struct gitrepo_remote remote_of(const struct prepare *p, uint64_t deadline_ms)
{
    const struct settings *s = p->settings;
    return (struct gitrepo_remote){
        .url = s->url,
        .branch = s->branch,
        /* Only to where the person said: anybody may have changed what .git/config names. */
        .token = *s->token && *s->url ? s->token : NULL,
        .key_file = *s->key_file ? s->key_file : NULL,
        .ca_file = *s->ca_file ? s->ca_file : NULL,
        .deadline_ms = deadline_ms,
        .close_in_child = { p->lock, -1 },
    };
}

static int make_parent(const char *path, struct error *e)
{
    _cleanup_free_ char *parent = strdup(path);
    if (!parent)
        return error_set_errno(e, -ENOMEM, "clone");
    *strrchr(parent, '/') = '\0';
    int r = *parent ? file_mkdir_p(parent, 0755) : 0;
    return r < 0 ? error_set_errno(e, r, "cannot make %s", parent) : 0;
}

int step_clone(struct prepare *p, struct error *e)
{
    const struct settings *s = p->settings;
    char url[200];
    int r = make_parent(s->repo_path, e);
    if (r == 0)
        r = step_lock(p, e);
    if (r < 0)
        return r;
    /* Another pod may have cloned while we waited for the lock. */
    if (step_find(p, NULL) != FOUND_NO_CHECKOUT)
        return 0;
    gitrepo_url_display(s->url, url, sizeof url);
    log_info("cloning %s, branch %s, to %s", url, s->branch, s->repo_path);
    struct gitrepo_remote remote = remote_of(p, p->deadline_ms);
    uint64_t begun = clock_mono_ms();
    r = gitrepo_clone(s->repo_path, &remote, e);
    if (r == -ETIMEDOUT)
        return error_set(e, r, "cloning %s took longer than plugin.timeout and was stopped", url);
    p->cloned = r == 0;
    if (p->cloned)
        log_info("cloned in %llu ms", (unsigned long long)(clock_mono_ms() - begun));
    return r;
}

static void note_update(struct prepare *p, enum gitrepo_update outcome)
{
    const struct settings *s = p->settings;
    switch (outcome) {
    case GITREPO_CURRENT:
        log_info("the checkout is up to date");
        break;
    case GITREPO_FORWARDED:
        log_info("the checkout was fast-forwarded");
        break;
    case GITREPO_DIRTY:
        report_note(p->report, "%s has uncommitted changes: used as it is, not updated",
                    s->repo_path);
        break;
    case GITREPO_DIVERGED:
        report_note(p->report, "%s has commits that origin/%s has not: used as it is, not updated",
                    s->repo_path, s->branch);
        break;
    case GITREPO_OTHER_BRANCH:
        report_note(p->report, "%s is not on branch %s: used as it is, not updated", s->repo_path,
                    s->branch);
        break;
    case GITREPO_UPDATE_MAX:
        break;
    }
}

int step_update(struct prepare *p)
{
    const struct settings *s = p->settings;
    struct error e = ERROR_INIT;
    if (!gitrepo_is(s->repo_path)) {
        report_note(p->report, "%s is no git checkout: used as it is, not updated", s->repo_path);
        return 0;
    }
    /* What is looked at must still be there when libgit2 writes. */
    if (*s->trust_dir && opencode_runs()) {
        report_note(p->report, "%s was not updated: OpenCode runs; the pod's next start does it",
                    s->repo_path);
        return 0;
    }
    int r = step_lock(p, &e);
    if (r == 0) {
        uint64_t deadline = clock_mono_ms() + FETCH_MS;
        struct gitrepo_remote remote =
            remote_of(p, deadline < p->deadline_ms ? deadline : p->deadline_ms);
        r = gitrepo_update(s->repo_path, &remote, &e);
    }
    if (r < 0)
        report_note(p->report, "%s was not updated: %s", s->repo_path,
                    r == -ETIMEDOUT ? "fetching took too long and was stopped" : e.message);
    else
        note_update(p, (enum gitrepo_update)r);
    p->forwarded = r == GITREPO_FORWARDED;
    return 0;
}
