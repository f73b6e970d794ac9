#include "base/git/bare_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What only a person can change: who we are to the remote, or what it allows. */
static int remote_failed(struct error *e, int rc, const char *what)
{
    static const char *const words[] = { "status code: 401", "status code: 403", "status code: 404",
                                         "redirect",         "credentials",      "authenticat",
                                         "hostkey",          "https only" };
    const git_error *last = git_error_last();
    const char *text = last && last->message ? last->message : "";
    bool refused = rc == GIT_EAUTH || rc == GIT_ECERTIFICATE;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        refused |= strstr(text, words[i]) != NULL;
    int r = gitrepo_failed(e, what);
    if (!refused)
        return r;
    if (e)
        e->code = -EACCES;
    return -EACCES;
}

/* The remote's branch, which may have gone with the remote. */
static int look_for(git_remote *remote, const char *ref)
{
    const git_remote_head **heads = NULL;
    size_t n = 0;
    if (git_remote_ls(&heads, &n, remote) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (strcmp(heads[i]->name, ref) == 0)
            return 1;
    return 0;
}

static int forget(struct gitrepo_bare *b, const char *ref, struct error *e)
{
    int rc = git_reference_remove(b->repo, ref);
    return rc < 0 && rc != GIT_ENOTFOUND ? gitrepo_failed(e, "cannot forget a branch") : 1;
}

int gitrepo_bare_fetch(struct gitrepo_bare *b, const struct gitrepo_remote *remote, struct error *e)
{
    _cleanup_git_(git_remote) git_remote *origin = NULL;
    char spec[2 * BARE_REF_SIZE + 2], from[BARE_REF_SIZE], to[BARE_REF_SIZE];
    bare_local(from, remote->branch);
    bare_tracking(to, remote->branch);
    (void)snprintf(spec, sizeof spec, "+%s:%s", from, to);
    char *const specs[] = { spec };
    const git_strarray only = { .strings = (char **)(uintptr_t)specs, .count = 1 };
    if (gitrepo_remote_by_url(b->repo, remote->url, &origin) < 0)
        return gitrepo_failed(e, "cannot fetch");
    git_fetch_options o;
    (void)git_fetch_options_init(&o, GIT_FETCH_OPTIONS_VERSION);
    struct gitrepo_progress progress = { .remote = remote, .name = "fetch" };
    gitrepo_callbacks(&o.callbacks, &progress);
    o.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
    int rc = git_remote_fetch(origin, &only, &o, NULL);
    if (rc < 0)
        return remote_failed(e, rc, "cannot fetch");
    return look_for(origin, from) == 0 ? forget(b, to, e) : 0;
}

struct pushing {
    struct gitrepo_progress progress; /* first: the shared callbacks know it only */
    char refused[200];
};

static int on_reference(const char *ref, const char *status, void *data)
{
    struct pushing *p = data;
    (void)ref;
    if (status)
        (void)snprintf(p->refused, sizeof p->refused, "%s", status);
    return 0;
}

/* Somebody else pushed between our look and our push. */
static bool lost_race(const char *status)
{
    static const char *const words[] = { "non-fast-forward", "fetch first", "cannot lock",
                                         "failed to lock",   "stale info",  "failed to update" };
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strstr(status, words[i]))
            return true;
    return false;
}

static int note_pushed(struct gitrepo_bare *b, const char *to, const git_oid *tip, struct error *e)
{
    char ref[BARE_REF_SIZE];
    _cleanup_git_(git_reference) git_reference *made = NULL;
    bare_tracking(ref, to);
    if (git_reference_create(&made, b->repo, ref, tip, 1, "codev: pushed") < 0)
        return gitrepo_failed(e, "cannot note what was pushed");
    return GITREPO_PUSHED;
}

int gitrepo_bare_push(struct gitrepo_bare *b, const struct gitrepo_remote *remote, const char *side,
                      struct error *e)
{
    _cleanup_git_(git_remote) git_remote *origin = NULL;
    char spec[2 * BARE_REF_SIZE + 2], from[BARE_REF_SIZE], to[BARE_REF_SIZE];
    git_oid tip;
    bare_local(from, b->branch);
    bare_local(to, side ? side : remote->branch);
    int r = bare_resolve(b, from, &tip, e);
    if (r < 0)
        return r == -ENOENT ? GITREPO_PUSHED : r; /* nothing there yet */
    (void)snprintf(spec, sizeof spec, "%s:%s", from, to);
    char *const specs[] = { spec };
    const git_strarray only = { .strings = (char **)(uintptr_t)specs, .count = 1 };
    if (gitrepo_remote_by_url(b->repo, remote->url, &origin) < 0)
        return gitrepo_failed(e, "cannot push");
    git_push_options o;
    (void)git_push_options_init(&o, GIT_PUSH_OPTIONS_VERSION);
    struct pushing p = { .progress = { .remote = remote, .name = "push" } };
    gitrepo_callbacks(&o.callbacks, &p.progress);
    o.callbacks.push_update_reference = on_reference;
    o.callbacks.payload = &p;
    o.pb_parallelism = 1;
    int rc = git_remote_push(origin, &only, &o);
    if (rc == GIT_ENONFASTFORWARD || (rc == 0 && lost_race(p.refused)))
        return GITREPO_PUSH_BEHIND;
    if (rc < 0)
        return remote_failed(e, rc, "cannot push");
    if (*p.refused)
        return error_set(e, -EACCES, "the remote refuses the push: %s", p.refused);
    return note_pushed(b, side ? side : remote->branch, &tip, e);
}

int gitrepo_bare_ahead(struct gitrepo_bare *b, const char *side)
{
    char ref[BARE_REF_SIZE];
    git_oid ours, theirs, each;
    bare_local(ref, b->branch);
    if (bare_resolve(b, ref, &ours, NULL) < 0)
        return 0;
    bare_tracking(ref, side ? side : b->branch);
    bool known = bare_resolve(b, ref, &theirs, NULL) == 0;
    _cleanup_git_(git_revwalk) git_revwalk *walk = NULL;
    if (git_revwalk_new(&walk, b->repo) < 0 || git_revwalk_push(walk, &ours) < 0 ||
        (known && git_revwalk_hide(walk, &theirs) < 0))
        return -EIO;
    int n = 0;
    while (n < 1000000 && git_revwalk_next(&each, walk) == 0)
        n++;
    return n;
}
