#include "base/git/git.h"

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "base/git/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The sibling that a clone is made in: `parent/.NAME.codev-clone`. One name is enough, as the
 * caller holds the lock; so a leftover is always found. */
static char *clone_temp(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *out = NULL;
    if (!slash || !slash[1])
        return NULL;
    if (asprintf(&out, "%.*s/.%s.codev-clone", (int)(slash - path), path, slash + 1) < 0)
        return NULL;
    return out;
}

bool gitrepo_clone_leftover(const char *path)
{
    _cleanup_free_ char *temp = clone_temp(path);
    struct stat st;
    return temp && lstat(temp, &st) == 0;
}

int gitrepo_clone_cleanup(const char *path, struct error *e)
{
    _cleanup_free_ char *temp = clone_temp(path);
    if (!temp)
        return error_set_errno(e, -EINVAL, "%s", path);
    int r = file_remove_tree(temp);
    if (r < 0)
        return error_set_errno(e, r, "cannot remove the half clone %s", temp);
    return 0;
}

struct clone_job {
    const struct gitrepo_remote *remote;
    const char *temp;
};

static int clone_work(void *arg, struct error *e)
{
    const struct clone_job *job = arg;
    int r = gitrepo_start(job->remote->ca_file, e);
    if (r < 0)
        return r;
    git_clone_options options;
    (void)git_clone_options_init(&options, GIT_CLONE_OPTIONS_VERSION);
    struct gitrepo_progress progress = { .remote = job->remote, .name = "clone" };
    gitrepo_callbacks(&options.fetch_opts.callbacks, &progress);
    options.fetch_opts.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
    options.checkout_branch = job->remote->branch;
    git_repository *repo = NULL;
    if (git_clone(&repo, job->remote->url, job->temp, &options) < 0) {
        char url[160], what[220];
        gitrepo_url_display(job->remote->url, url, sizeof url);
        (void)snprintf(what, sizeof what, "cannot clone %s", url);
        return gitrepo_failed(e, what);
    }
    git_repository_free(repo);
    return 0;
}

static int put_in_place(const char *temp, const char *path, struct error *e)
{
    /* A checkout that a power cut could empty is no checkout: sync before it gets its name. */
    _cleanup_fd_ int fd = open(temp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syncfs(fd) < 0)
        return error_set_errno(e, -errno, "cannot sync %s", temp);
    if (rename(temp, path) < 0)
        return error_set_errno(e, -errno, "cannot put the clone at %s", path);
    return 0;
}

int gitrepo_clone(const char *path, const struct gitrepo_remote *remote, struct error *e)
{
    _cleanup_free_ char *temp = clone_temp(path);
    if (!temp)
        return error_set_errno(e, -EINVAL, "%s", path);
    int r = gitrepo_clone_cleanup(path, e);
    if (r < 0)
        return r;
    struct clone_job job = { .remote = remote, .temp = temp };
    r = gitrepo_child(clone_work, &job, remote->deadline_ms, remote->close_in_child, e);
    if (r == 0)
        r = put_in_place(temp, path, e);
    if (r < 0 && gitrepo_clone_cleanup(path, NULL) < 0)
        log_warn("cannot remove the half clone %s, ignoring: the next start tries again", temp);
    return r;
}
