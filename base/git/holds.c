#include "base/git/git.h"

#include "base/git/internal.h"

#include <stdio.h>
#include <string.h>

struct holds {
    const struct gitrepo_file *files;
    size_t count, found;
    bool other;
};

/* `root` ends with a slash, or is "". */
static int see(const char *root, const git_tree_entry *entry, void *payload)
{
    struct holds *h = payload;
    char hash[GITREPO_HASH_SIZE];
    const char *name = git_tree_entry_name(entry);
    size_t n = strlen(root);
    if (git_tree_entry_type(entry) == GIT_OBJECT_TREE)
        return 0;
    (void)git_oid_tostr(hash, sizeof hash, git_tree_entry_id(entry));
    for (size_t i = 0; i < h->count; i++) {
        if (strncmp(h->files[i].path, root, n) != 0 || strcmp(h->files[i].path + n, name) != 0)
            continue;
        if (strcmp(h->files[i].hash, hash) == 0)
            h->found++;
        else
            h->other = true;
        return 0;
    }
    h->other = true;
    return 0;
}

bool gitrepo_fetched_holds(const char *path, const char *branch, const char *sub,
                           const struct gitrepo_file *files, size_t count)
{
    git_repository *repo = NULL;
    git_object *tree = NULL;
    char spec[600];
    struct holds h = { .files = files, .count = count };
    (void)snprintf(spec, sizeof spec, "refs/remotes/origin/%.250s:%.300s", branch, sub);
    if (gitrepo_start(NULL, NULL) < 0)
        return false;
    bool read = gitrepo_open(path, &repo, NULL) == 0 &&
                git_revparse_single(&tree, repo, spec) == 0 &&
                git_object_type(tree) == GIT_OBJECT_TREE &&
                git_tree_walk((git_tree *)tree, GIT_TREEWALK_PRE, see, &h) == 0;
    git_object_free(tree);
    git_repository_free(repo);
    return read && !h.other && h.found == count;
}
