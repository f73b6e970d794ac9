/* Own commits are put upon theirs one by one, file by file: a file counts as ours as long as theirs
 * is what we had changed, or is already what we made of it. */
#include "base/git/bare_internal.h"

#include "base/core/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct rebase {
    struct gitrepo_bare *b;
    git_oid ours, theirs;
    git_oid at; /* the newest commit so far */
};

#define FILES_MAX 64 /* of one commit; ours have one */

/* What is at `path` in the tree; all zero: nothing. */
static int oid_at(git_tree *tree, const char *path, git_oid *ret)
{
    _cleanup_git_(git_tree_entry) git_tree_entry *entry = NULL;
    memset(ret, 0, sizeof *ret);
    int rc = git_tree_entry_bypath(&entry, tree, path);
    if (rc == 0)
        git_oid_cpy(ret, git_tree_entry_id(entry));
    return rc == GIT_ENOTFOUND ? 0 : rc;
}

static int changes_of(struct rebase *r, git_commit *commit, git_tree **tree, git_diff **diff)
{
    _cleanup_git_(git_commit) git_commit *parent = NULL;
    _cleanup_git_(git_tree) git_tree *before = NULL;
    int rc = git_commit_tree(tree, commit);
    if (rc == 0 && git_commit_parentcount(commit) > 0) {
        rc = git_commit_parent(&parent, commit, 0);
        rc = rc < 0 ? rc : git_commit_tree(&before, parent);
    }
    return rc < 0 ? rc : git_diff_tree_to_tree(diff, r->b->repo, before, *tree, NULL);
}

/* The updates that bring the commit's changes upon `base`. How many; -EEXIST: a conflict. */
static int collect(git_diff *diff, git_tree *base, git_tree_update *updates, struct error *e)
{
    size_t deltas = git_diff_num_deltas(diff);
    int n = 0;
    if (deltas > FILES_MAX)
        return error_set(e, -EEXIST, "a commit of %zu files", deltas);
    for (size_t i = 0; i < deltas; i++) {
        const git_diff_delta *d = git_diff_get_delta(diff, i);
        const char *path = d->new_file.path;
        bool gone = d->status == GIT_DELTA_DELETED;
        git_oid there, none = { 0 };
        const git_oid *old = d->status == GIT_DELTA_ADDED ? &none : &d->old_file.id;
        const git_oid *now = gone ? &none : &d->new_file.id;
        if (oid_at(base, path, &there) < 0)
            return bare_damaged(e, "cannot read a folder");
        if (git_oid_equal(&there, now))
            continue;
        if (!git_oid_equal(&there, old))
            return error_set(e, -EEXIST, "%.300s was changed there too", path);
        updates[n++] = (git_tree_update){
            .action = gone ? GIT_TREE_UPDATE_REMOVE : GIT_TREE_UPDATE_UPSERT,
            .id = *now,
            .filemode = GIT_FILEMODE_BLOB,
            .path = path,
        };
    }
    return n;
}

static int commit_again(struct rebase *r, git_commit *commit, git_commit *onto, git_tree *base,
                        const git_tree_update *updates, size_t n, struct error *e)
{
    _cleanup_git_(git_tree) git_tree *tree = NULL;
    _cleanup_git_(git_signature) git_signature *now = NULL;
    const git_signature *author = git_commit_author(commit);
    const git_commit *parents[] = { onto };
    git_oid oid;
    if (git_tree_create_updated(&oid, r->b->repo, base, n, updates) < 0 ||
        git_tree_lookup(&tree, r->b->repo, &oid) < 0 ||
        git_signature_now(&now, author->name, author->email) < 0 ||
        git_commit_create(&r->at, r->b->repo, NULL, author, now, "UTF-8",
                          git_commit_message(commit), tree, 1, parents) < 0)
        return gitrepo_failed(e, "cannot commit upon the remote's branch");
    return 0;
}

static int replay_one(struct rebase *r, const git_oid *oid, struct error *e)
{
    _cleanup_git_(git_commit) git_commit *commit = NULL;
    _cleanup_git_(git_commit) git_commit *onto = NULL;
    _cleanup_git_(git_tree) git_tree *tree = NULL;
    _cleanup_git_(git_tree) git_tree *base = NULL;
    _cleanup_git_(git_diff) git_diff *diff = NULL;
    git_tree_update updates[FILES_MAX];
    if (git_commit_lookup(&commit, r->b->repo, oid) < 0 ||
        git_commit_lookup(&onto, r->b->repo, &r->at) < 0 || git_commit_tree(&base, onto) < 0 ||
        changes_of(r, commit, &tree, &diff) < 0)
        return bare_damaged(e, "cannot read a commit");
    int n = collect(diff, base, updates, e);
    return n <= 0 ? n : commit_again(r, commit, onto, base, updates, (size_t)n, e);
}

static int replay(struct rebase *r, struct error *e)
{
    _cleanup_git_(git_revwalk) git_revwalk *walk = NULL;
    git_oid each;
    if (git_revwalk_new(&walk, r->b->repo) < 0 || git_revwalk_push(walk, &r->ours) < 0 ||
        git_revwalk_hide(walk, &r->theirs) < 0)
        return bare_damaged(e, "cannot read the commits");
    (void)git_revwalk_sorting(walk, GIT_SORT_TOPOLOGICAL | GIT_SORT_REVERSE);
    r->at = r->theirs;
    for (;;) {
        int rc = git_revwalk_next(&each, walk);
        if (rc == GIT_ITEROVER)
            return 0;
        if (rc < 0)
            return bare_damaged(e, "cannot read the commits");
        int result = replay_one(r, &each, e);
        if (result < 0)
            return result;
    }
}

static int move_branch(struct rebase *r, const git_oid *to, bool made, struct error *e)
{
    _cleanup_git_(git_reference) git_reference *moved = NULL;
    char ref[BARE_REF_SIZE];
    bare_local(ref, r->b->branch);
    int rc = made ? git_reference_create(&moved, r->b->repo, ref, to, 0, "codev: begun")
                  : git_reference_create_matching(&moved, r->b->repo, ref, to, 1, &r->ours,
                                                  "codev: upon the remote's");
    return rc < 0 ? gitrepo_failed(e, "cannot move the branch") : 0;
}

int gitrepo_bare_rebase(struct gitrepo_bare *b, struct error *e)
{
    struct rebase r = { .b = b };
    char ours[BARE_REF_SIZE], theirs[BARE_REF_SIZE];
    git_oid base;
    bare_local(ours, b->branch);
    bare_tracking(theirs, b->branch);
    int result = bare_resolve(b, theirs, &r.theirs, e);
    if (result < 0)
        return result == -ENOENT ? GITREPO_REBASE_CURRENT : result;
    result = bare_resolve(b, ours, &r.ours, e);
    if (result == -ENOENT) {
        result = move_branch(&r, &r.theirs, true, e);
        return result < 0 ? result : GITREPO_REBASE_FORWARDED;
    }
    if (result < 0)
        return result;
    int rc = git_merge_base(&base, b->repo, &r.ours, &r.theirs);
    if (rc < 0 && rc != GIT_ENOTFOUND)
        return bare_damaged(e, "cannot compare with the remote's branch");
    if (rc == 0 && git_oid_equal(&base, &r.theirs))
        return GITREPO_REBASE_CURRENT;
    r.at = r.theirs;
    bool forward = rc == 0 && git_oid_equal(&base, &r.ours);
    if (rc == 0 && !forward)
        result = replay(&r, e);
    if (result == -EEXIST)
        return GITREPO_REBASE_CONFLICT;
    if (result == 0)
        result = move_branch(&r, &r.at, false, e);
    if (result < 0)
        return result;
    return rc != 0 ? GITREPO_REBASE_ANEW : forward ? GITREPO_REBASE_FORWARDED : GITREPO_REBASED;
}
