#include "base/git/bare_internal.h"

#include "base/core/cleanup.h"
#include "base/core/file.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void bare_local(char out[BARE_REF_SIZE], const char *name)
{
    (void)snprintf(out, BARE_REF_SIZE, "refs/heads/%.240s", name);
}

void bare_tracking(char out[BARE_REF_SIZE], const char *name)
{
    (void)snprintf(out, BARE_REF_SIZE, "refs/remotes/origin/%.240s", name);
}

int bare_damaged(struct error *e, const char *what)
{
    (void)gitrepo_failed(e, what);
    if (e)
        e->code = -EUCLEAN;
    return -EUCLEAN;
}

int bare_resolve(struct gitrepo_bare *b, const char *ref, git_oid *ret, struct error *e)
{
    int rc = git_reference_name_to_id(ret, b->repo, ref);
    if (rc == GIT_ENOTFOUND)
        return -ENOENT;
    return rc < 0 ? bare_damaged(e, "cannot read a branch") : 0;
}

/* ---------------------------------------------------------------- open */

/* Under another name first: a kill leaves a whole one or none. */
static int make(const char *path, const char *branch, struct error *e)
{
    _cleanup_free_ char *fresh = NULL;
    if (asprintf(&fresh, "%s.new", path) < 0) {
        fresh = NULL;
        return error_set_errno(e, -ENOMEM, "cannot make %s", path);
    }
    int r = file_remove_tree(fresh);
    if (r < 0)
        return error_set_errno(e, r, "cannot remove %s", fresh);
    git_repository_init_options o;
    (void)git_repository_init_options_init(&o, GIT_REPOSITORY_INIT_OPTIONS_VERSION);
    o.flags = GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_MKPATH;
    o.initial_head = branch;
    _cleanup_git_(git_repository) git_repository *repo = NULL;
    if (git_repository_init_ext(&repo, fresh, &o) < 0)
        return gitrepo_failed(e, "cannot make the repository");
    if (rename(fresh, path) < 0)
        return error_set_errno(e, -errno, "cannot put %s in place", path);
    return 0;
}

/* Is what the branch leads to there? */
static int check_tip(struct gitrepo_bare *b, struct error *e)
{
    char ref[BARE_REF_SIZE];
    git_oid tip;
    bare_local(ref, b->branch);
    int r = bare_resolve(b, ref, &tip, e);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    _cleanup_git_(git_commit) git_commit *commit = NULL;
    _cleanup_git_(git_tree) git_tree *tree = NULL;
    if (git_commit_lookup(&commit, b->repo, &tip) < 0 || git_commit_tree(&tree, commit) < 0)
        return bare_damaged(e, "cannot read the newest commit");
    return 0;
}

static int open_repo(struct gitrepo_bare *b, const char *path, struct error *e)
{
    struct stat st;
    if (lstat(path, &st) == 0 && !S_ISDIR(st.st_mode))
        return error_set(e, -EUCLEAN, "%s is no folder", path);
    if (access(path, R_OK | W_OK | X_OK) < 0)
        return error_set_errno(e, -errno, "cannot use %s", path);
    if (git_repository_open_bare(&b->repo, path) < 0)
        return bare_damaged(e, "cannot open the repository");
    return check_tip(b, e);
}

int gitrepo_bare_open(struct gitrepo_bare **ret, const char *path, const char *branch,
                      const char *ca_file, struct error *e)
{
    struct stat st;
    int r = gitrepo_start(ca_file, e);
    if (r == 0 && lstat(path, &st) < 0)
        r = errno == ENOENT ? make(path, branch, e)
                            : error_set_errno(e, -errno, "cannot look at %s", path);
    if (r < 0)
        return r;
    struct gitrepo_bare *b = calloc(1, sizeof *b);
    if (!b)
        return error_set_errno(e, -ENOMEM, "cannot open the repository");
    (void)snprintf(b->branch, sizeof b->branch, "%s", branch);
    r = open_repo(b, path, e);
    if (r < 0)
        gitrepo_bare_close(b);
    else
        *ret = b;
    return r;
}

void gitrepo_bare_close(struct gitrepo_bare *b)
{
    if (!b)
        return;
    git_repository_free(b->repo);
    free(b);
}

static int tidy_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    const char *name = path + ftw->base;
    size_t len = strlen(name);
    (void)st;
    if (flag == FTW_F &&
        ((len > 5 && strcmp(name + len - 5, ".lock") == 0) || strstr(name, "_git2_")))
        (void)unlink(path);
    return 0;
}

void gitrepo_bare_tidy(const char *path)
{
    (void)nftw(path, tidy_one, 16, FTW_PHYS);
}

/* ---------------------------------------------------------------- files */

/* The branch's newest commit and its tree; both stay NULL when it has none yet. */
static int tip_of(struct gitrepo_bare *b, git_commit **commit, git_tree **tree, struct error *e)
{
    char ref[BARE_REF_SIZE];
    git_oid tip;
    bare_local(ref, b->branch);
    int r = bare_resolve(b, ref, &tip, e);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (git_commit_lookup(commit, b->repo, &tip) < 0 || git_commit_tree(tree, *commit) < 0)
        return bare_damaged(e, "cannot read the newest commit");
    return 0;
}

int gitrepo_bare_read(struct gitrepo_bare *b, const char *file, char **ret, size_t *ret_len,
                      struct error *e)
{
    _cleanup_git_(git_commit) git_commit *commit = NULL;
    _cleanup_git_(git_tree) git_tree *tree = NULL;
    _cleanup_git_(git_tree_entry) git_tree_entry *entry = NULL;
    _cleanup_git_(git_blob) git_blob *blob = NULL;
    int r = tip_of(b, &commit, &tree, e);
    if (r < 0 || !tree)
        return r < 0 ? r : -ENOENT;
    int rc = git_tree_entry_bypath(&entry, tree, file);
    if (rc == GIT_ENOTFOUND)
        return -ENOENT;
    if (rc < 0)
        return bare_damaged(e, "cannot read a folder");
    if (git_tree_entry_type(entry) != GIT_OBJECT_BLOB)
        return error_set(e, -EISDIR, "%s is no file in the repository", file);
    if (git_blob_lookup(&blob, b->repo, git_tree_entry_id(entry)) < 0)
        return bare_damaged(e, "cannot read a file");
    size_t len = (size_t)git_blob_rawsize(blob);
    char *copy = malloc(len + 1);
    if (!copy)
        return error_set_errno(e, -ENOMEM, "cannot read %s", file);
    memcpy(copy, git_blob_rawcontent(blob), len);
    copy[len] = '\0';
    *ret = copy;
    if (ret_len)
        *ret_len = len;
    return 0;
}

static int sign(const struct gitrepo_commit *c, git_signature **author, git_signature **committer)
{
    int rc = git_signature_new(author, c->author, c->email, c->time_ms / 1000, 0);
    return rc < 0 ? rc : git_signature_now(committer, c->author, c->email);
}

int gitrepo_bare_commit(struct gitrepo_bare *b, const struct gitrepo_commit *c, struct error *e)
{
    _cleanup_git_(git_commit) git_commit *parent = NULL;
    _cleanup_git_(git_tree) git_tree *before = NULL;
    _cleanup_git_(git_tree) git_tree *after = NULL;
    _cleanup_git_(git_signature) git_signature *author = NULL;
    _cleanup_git_(git_signature) git_signature *committer = NULL;
    char ref[BARE_REF_SIZE];
    git_oid oid;
    git_tree_update update = { .action = GIT_TREE_UPDATE_UPSERT,
                               .filemode = GIT_FILEMODE_BLOB,
                               .path = c->file };
    int r = tip_of(b, &parent, &before, e);
    if (r < 0)
        return r;
    bare_local(ref, b->branch);
    const git_commit *parents[] = { parent };
    if (git_blob_create_from_buffer(&update.id, b->repo, c->data, c->len) < 0 ||
        git_tree_create_updated(&oid, b->repo, before, 1, &update) < 0 ||
        git_tree_lookup(&after, b->repo, &oid) < 0 || sign(c, &author, &committer) < 0 ||
        git_commit_create(&oid, b->repo, ref, author, committer, "UTF-8", c->message, after,
                          parent ? 1 : 0, parents) < 0)
        return gitrepo_failed(e, "cannot commit");
    return 0;
}
