#include "base/git/git.h"

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "base/git/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct update {
    const char *path;
    const struct gitrepo_remote *remote;
    git_repository *repo;
    char *marker; /* .git/codev-update: the commit that a fast-forward is under way to */
};

/* May this changed file be of our own interrupted checkout, i.e. has it the target's contents? */
static bool is_of_target(struct update *u, git_tree *target, const git_status_entry *entry)
{
    const git_diff_delta *delta =
        entry->index_to_workdir ? entry->index_to_workdir : entry->head_to_index;
    if (!delta)
        return false;
    const char *name = delta->new_file.path;
    _cleanup_free_ char *full = path_join(u->path, name);
    _cleanup_git_(git_tree_entry) git_tree_entry *there = NULL;
    bool wanted = git_tree_entry_bypath(&there, target, name) == 0;
    if (!full || access(full, F_OK) < 0)
        return !wanted;
    git_oid oid;
    return wanted && git_repository_hashfile(&oid, u->repo, name, GIT_OBJECT_BLOB, NULL) == 0 &&
           git_oid_equal(&oid, git_tree_entry_id(there));
}

/* Are the tracked files as HEAD has them (or, with `target`, as one of the two has them)? */
static int is_clean(struct update *u, git_tree *target, struct error *e)
{
    git_status_options options;
    (void)git_status_options_init(&options, GIT_STATUS_OPTIONS_VERSION);
    options.flags = GIT_STATUS_OPT_EXCLUDE_SUBMODULES;
    _cleanup_git_(git_status_list) git_status_list *list = NULL;
    if (git_status_list_new(&list, u->repo, &options) < 0)
        return gitrepo_failed(e, "cannot read the checkout's status");
    for (size_t i = 0; i < git_status_list_entrycount(list); i++) {
        const git_status_entry *entry = git_status_byindex(list, i);
        if (entry->status == GIT_STATUS_CURRENT || (entry->status & GIT_STATUS_IGNORED))
            continue;
        if (!target || !is_of_target(u, target, entry))
            return 0;
    }
    return git_repository_state(u->repo) == GIT_REPOSITORY_STATE_NONE;
}

/* Moves the tracked files, then the branch, to `commit`. The marker makes a crash in between
 * harmless: the next update sees it and goes on. */
static int move_to(struct update *u, git_reference *head, git_object *commit, bool force,
                   struct error *e)
{
    char hex[GITREPO_HASH_SIZE];
    (void)git_oid_tostr(hex, sizeof hex, git_object_id(commit));
    int r = file_write_atomic(u->marker, hex, strlen(hex), 0644);
    if (r < 0)
        return error_set_errno(e, r, "cannot write %s", u->marker);
    git_checkout_options options;
    (void)git_checkout_options_init(&options, GIT_CHECKOUT_OPTIONS_VERSION);
    options.checkout_strategy = force ? GIT_CHECKOUT_FORCE : GIT_CHECKOUT_SAFE;
    if (git_checkout_tree(u->repo, commit, &options) < 0) {
        r = gitrepo_failed(e, "cannot check the new commit out");
        (void)unlink(u->marker);
        return r;
    }
    _cleanup_git_(git_reference) git_reference *moved = NULL;
    if (git_reference_set_target(&moved, head, git_object_id(commit), "codev: fast-forward") < 0)
        return gitrepo_failed(e, "cannot move the branch");
    (void)unlink(u->marker);
    return GITREPO_FORWARDED;
}

/* Finishes what a killed update began. 0 when there was nothing, or it could not be told apart
 * from a person's changes. */
static int resume(struct update *u, git_reference *head, struct error *e)
{
    _cleanup_free_ char *text = NULL;
    if (file_read(u->marker, GITREPO_HASH_SIZE, &text, NULL) < 0)
        return 0;
    git_oid oid;
    _cleanup_git_(git_object) git_object *commit = NULL;
    _cleanup_git_(git_object) git_object *tree = NULL;
    _cleanup_free_ char *index_lock = NULL;
    if (asprintf(&index_lock, "%sindex.lock", git_repository_path(u->repo)) < 0) {
        index_lock = NULL;
        return error_set_errno(e, -ENOMEM, "cannot resume the update");
    }
    (void)unlink(index_lock); /* ours: the marker says so */
    if (git_oid_fromstr(&oid, text) < 0 ||
        git_object_lookup(&commit, u->repo, &oid, GIT_OBJECT_COMMIT) < 0 ||
        git_object_peel(&tree, commit, GIT_OBJECT_TREE) < 0) {
        (void)unlink(u->marker);
        return 0;
    }
    int clean = is_clean(u, (git_tree *)tree, e);
    if (clean <= 0) {
        (void)unlink(u->marker);
        return clean;
    }
    log_info("finishing an update that was interrupted");
    int r = move_to(u, head, commit, true, e);
    return r < 0 ? r : 0;
}

/* By the configured URL, where there is one: .git/config may have been written by anybody, and what
 * it names for origin would get the token, and be taken for what the person configured. */
static int open_remote(struct update *u, git_remote **ret)
{
    if (!u->remote->url || !*u->remote->url)
        return git_remote_lookup(ret, u->repo, "origin");
    return gitrepo_remote_by_url(u->repo, u->remote->url, ret);
}

static int fetch(struct update *u, struct error *e)
{
    _cleanup_git_(git_remote) git_remote *origin = NULL;
    char spec[600];
    (void)snprintf(spec, sizeof spec, "+refs/heads/%.250s:refs/remotes/origin/%.250s",
                   u->remote->branch, u->remote->branch);
    char *const specs[] = { spec };
    const git_strarray only = { .strings = (char **)(uintptr_t)specs, .count = 1 };
    if (open_remote(u, &origin) < 0)
        return gitrepo_failed(e, "cannot update");
    git_fetch_options options;
    (void)git_fetch_options_init(&options, GIT_FETCH_OPTIONS_VERSION);
    struct gitrepo_progress progress = { .remote = u->remote, .name = "fetch" };
    gitrepo_callbacks(&options.callbacks, &progress);
    options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
    if (git_remote_fetch(origin, &only, &options, NULL) < 0)
        return gitrepo_failed(e, "cannot fetch");
    return 0;
}

static int forward(struct update *u, git_reference *head, struct error *e)
{
    char name[300];
    (void)snprintf(name, sizeof name, "refs/remotes/origin/%s", u->remote->branch);
    _cleanup_git_(git_reference) git_reference *theirs = NULL;
    _cleanup_git_(git_annotated_commit) git_annotated_commit *to = NULL;
    if (git_reference_lookup(&theirs, u->repo, name) < 0 ||
        git_annotated_commit_from_ref(&to, u->repo, theirs) < 0)
        return gitrepo_failed(e, "cannot find the branch at origin");
    git_merge_analysis_t analysis;
    git_merge_preference_t preference;
    const git_annotated_commit *heads[] = { to };
    if (git_merge_analysis(&analysis, &preference, u->repo, heads, 1) < 0)
        return gitrepo_failed(e, "cannot compare with origin");
    if (analysis & GIT_MERGE_ANALYSIS_UP_TO_DATE)
        return GITREPO_CURRENT;
    if (!(analysis & GIT_MERGE_ANALYSIS_FASTFORWARD))
        return GITREPO_DIVERGED;
    _cleanup_git_(git_object) git_object *commit = NULL;
    if (git_object_lookup(&commit, u->repo, git_annotated_commit_id(to), GIT_OBJECT_COMMIT) < 0)
        return gitrepo_failed(e, "cannot read the new commit");
    return move_to(u, head, commit, false, e);
}

static int update_open(struct update *u, struct error *e)
{
    _cleanup_git_(git_reference) git_reference *head = NULL;
    if (git_repository_head(&head, u->repo) < 0)
        return GITREPO_OTHER_BRANCH; /* no commit yet */
    if (git_repository_head_detached(u->repo) == 1 ||
        strcmp(git_reference_shorthand(head), u->remote->branch) != 0)
        return GITREPO_OTHER_BRANCH;
    int r = resume(u, head, e);
    if (r < 0)
        return r;
    _cleanup_git_(git_reference) git_reference *now = NULL;
    if (git_repository_head(&now, u->repo) < 0)
        return gitrepo_failed(e, "cannot read HEAD");
    int clean = is_clean(u, NULL, e);
    if (clean <= 0)
        return clean < 0 ? clean : GITREPO_DIRTY;
    r = fetch(u, e);
    return r < 0 ? r : forward(u, now, e);
}

static int update_work(void *arg, struct error *e)
{
    struct update *u = arg;
    int r = gitrepo_start(u->remote->ca_file, e);
    if (r < 0)
        return r;
    _cleanup_git_(git_repository) git_repository *repo = NULL;
    r = gitrepo_open(u->path, &repo, e);
    if (r < 0)
        return r;
    u->repo = repo;
    if (git_repository_is_shallow(repo) == 1)
        return error_set(e, -EOPNOTSUPP,
                         "it is a shallow clone, which can only be updated by hand (git pull), or "
                         "once it is whole (git fetch --unshallow)");
    _cleanup_free_ char *marker = NULL;
    if (asprintf(&marker, "%scodev-update", git_repository_path(repo)) < 0) {
        marker = NULL;
        return error_set_errno(e, -ENOMEM, "cannot update");
    }
    u->marker = marker;
    return update_open(u, e);
}

int gitrepo_update(const char *path, const struct gitrepo_remote *remote, struct error *e)
{
    struct update u = { .path = path, .remote = remote };
    return gitrepo_child(update_work, &u, remote->deadline_ms, remote->close_in_child, e);
}
