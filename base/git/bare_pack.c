/* Keeps a bare repository small: six loose files a commit add up over the years. */
#include "base/git/bare_internal.h"

#include "base/core/cleanup.h"
#include "base/core/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static inline void git_packbuilder_freep(git_packbuilder **p)
{
    git_packbuilder_free(*p);
}

static void closedir_ptr(DIR **d)
{
    if (*d)
        (void)closedir(*d);
}

/* As git does: one of the 256 folders, which fill evenly, stands for all. */
static unsigned loose_objects(git_repository *repo)
{
    char path[4200];
    unsigned n = 0;
    (void)snprintf(path, sizeof path, "%.4100sobjects/17", git_repository_path(repo));
    _cleanup_(closedir_ptr) DIR *dir = opendir(path);
    for (const struct dirent *d; dir && (d = readdir(dir));)
        n += d->d_name[0] != '.';
    return n * 256;
}

static void remove_loose(git_repository *repo)
{
    for (unsigned i = 0; i < 256; i++) {
        char path[4200];
        (void)snprintf(path, sizeof path, "%.4100sobjects/%02x", git_repository_path(repo), i);
        (void)file_remove_tree(path);
    }
}

int gitrepo_bare_pack(struct gitrepo_bare *b, unsigned loose, struct error *e)
{
    if (loose_objects(b->repo) <= loose)
        return 0;
    _cleanup_(git_packbuilder_freep) git_packbuilder *pack = NULL;
    _cleanup_git_(git_revwalk) git_revwalk *walk = NULL;
    /* Written and synced before what it holds goes. */
    if (git_packbuilder_new(&pack, b->repo) < 0 || git_revwalk_new(&walk, b->repo) < 0 ||
        git_revwalk_push_glob(walk, "refs/*") < 0 || git_packbuilder_insert_walk(pack, walk) < 0 ||
        git_packbuilder_write(pack, NULL, 0444, NULL, NULL) < 0)
        return gitrepo_failed(e, "cannot pack the repository");
    remove_loose(b->repo);
    return 1;
}
