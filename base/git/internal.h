/* Shared by the files of this room only. */
#pragma once

#include "base/core/cleanup.h"
#include "base/git/git.h"

#include <git2.h>

/* Starts libgit2 once, with the settings all uses need. 0 or -EIO with `e`. */
int gitrepo_start(const char *ca_file, struct error *e);

/* -EIO with "<what>: <libgit2's last error>". */
int gitrepo_failed(struct error *e, const char *what);

/* Opens the checkout at `path` with `path` itself as its working folder: .git/config may be
 * anybody's work, and its core.worktree would have us write elsewhere. -ENOTDIR where .git is no
 * plain folder, or has a link or a commondir in it: these lead elsewhere too. Else -EIO with `e`.
 */
int gitrepo_open(const char *path, git_repository **ret, struct error *e);

/* Callbacks for credentials and progress; `remote` is the payload and must outlive them. */
struct gitrepo_progress {
    const struct gitrepo_remote *remote;
    const char *name; /* what the log lines name */
    uint64_t last_ms;
    unsigned asked; /* how often credentials were asked for */
};
void gitrepo_callbacks(git_remote_callbacks *callbacks, struct gitrepo_progress *progress);

/* By the configured URL only, not by what .git/config may make of it. libgit2's error code. */
int gitrepo_remote_by_url(git_repository *repo, const char *url, git_remote **ret);

/* libgit2's objects by scope. */
#define CLEANUP_GIT(type)                                                                          \
    static inline void type##_freep(type **p)                                                      \
    {                                                                                              \
        if (*p)                                                                                    \
            type##_free(*p);                                                                       \
    }
CLEANUP_GIT(git_repository)
CLEANUP_GIT(git_reference)
CLEANUP_GIT(git_remote)
CLEANUP_GIT(git_object)
CLEANUP_GIT(git_blob)
CLEANUP_GIT(git_commit)
CLEANUP_GIT(git_diff)
CLEANUP_GIT(git_tree)
CLEANUP_GIT(git_tree_entry)
CLEANUP_GIT(git_revwalk)
CLEANUP_GIT(git_signature)
CLEANUP_GIT(git_status_list)
CLEANUP_GIT(git_annotated_commit)
#define _cleanup_git_(type) _cleanup_(type##_freep)
