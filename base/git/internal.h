/* Shared by the files of this room only. */
#pragma once

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

/* Runs `work(arg, e)` in a child until `deadline_ms`; returns what it returned, with its error.
 * -ETIMEDOUT when it was killed at the deadline, -EIO when it crashed. */
int gitrepo_child(int (*work)(void *arg, struct error *e), void *arg, uint64_t deadline_ms,
                  const int close_in_child[2], struct error *e);
