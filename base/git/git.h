/* Git checkouts by libgit2; the only room that includes it.
 *
 * libgit2 1.5 knows no timeouts and no shallow clone: whatever may touch the network or a large
 * tree runs in a child process of ours, which is killed at its deadline and whose crash costs
 * nothing. All calls block. The caller holds the lock on the repository's volume. */
#pragma once

#include "base/core/buf.h"
#include "base/core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GITREPO_HASH_SIZE 41 /* 40 hex digits and a NUL */

/* How to reach a remote. Strings may be NULL; none is copied. */
struct gitrepo_remote {
    const char *url;       /* file://, https://, ssh:// or user@host:path; NULL: origin's own */
    const char *branch;    /* never NULL */
    const char *token;     /* https: the password of user x-access-token; never sent otherwise */
    const char *key_file;  /* ssh: private key without a pass phrase */
    const char *ca_file;   /* PEM; NULL: the system's */
    const char *setting;   /* where people set the token, for messages; NULL: plugin.token_file */
    uint64_t deadline_ms;  /* clock_mono_ms() */
    int close_in_child[2]; /* descriptors that the child must not keep (locks); -1: none */
};

/* A child that works beside us; its crash costs nothing, and it ends with us. */
struct gitrepo_job {
    int pid, fd; /* the descriptor becomes readable when the child has ended or is done */
};
#define GITREPO_JOB_NONE ((struct gitrepo_job){ .pid = -1, .fd = -1 })
/* 0 or -errno with `e`. */
int gitrepo_job_start(struct gitrepo_job *job, int (*work)(void *arg, struct error *e), void *arg,
                      const int close_in_child[2], struct error *e);
/* Returns what `work` returned, with its error; waits for it until `deadline_ms` (0: not at all).
 * -ETIMEDOUT when it was killed at the deadline, -EIO when it crashed. */
int gitrepo_job_end(struct gitrepo_job *job, uint64_t deadline_ms, struct error *e);
/* Both at once. */
int gitrepo_child(int (*work)(void *arg, struct error *e), void *arg, uint64_t deadline_ms,
                  const int close_in_child[2], struct error *e);

/* Clones into `path`, which must not be there, or be an empty folder. The clone is made in a
 * sibling folder, synced, and renamed into place: after a crash `path` is a whole checkout or as
 * it was. Logs progress, at most a line a second. -ETIMEDOUT at the deadline; else -EIO with what
 * libgit2 says. */
int gitrepo_clone(const char *path, const struct gitrepo_remote *remote, struct error *e);

/* Is there a folder that a clone into `path` left behind? */
bool gitrepo_clone_leftover(const char *path);
/* Removes it. 0 also when there is none. */
int gitrepo_clone_cleanup(const char *path, struct error *e);

enum gitrepo_update {
    GITREPO_CURRENT,      /* nothing new */
    GITREPO_FORWARDED,    /* fast-forwarded */
    GITREPO_DIRTY,        /* tracked files are changed, or an operation is half-way */
    GITREPO_DIVERGED,     /* own commits that the remote branch does not have */
    GITREPO_OTHER_BRANCH, /* not on remote->branch */
    GITREPO_UPDATE_MAX,
};

/* Fetches from `remote->url` (else from origin) and fast-forwards, only when the tracked files are
 * clean and the branch is `remote->branch`; otherwise changes nothing. An update that was killed
 * half-way is finished by the next call. -ENOTDIR where .git, or what is in it, leads
 * elsewhere; -EOPNOTSUPP for a shallow clone. Returns enum
 * gitrepo_update, or a negative errno with `e`.
 */
int gitrepo_update(const char *path, const struct gitrepo_remote *remote, struct error *e);

/* The commit that HEAD points to, read by hand (starting libgit2 alone costs 5 ms). Also for
 * worktrees, whose .git is a file. -ENOENT when there is none. */
int gitrepo_head(const char *path, char ret[GITREPO_HASH_SIZE]);

/* Is there a repository at `path`, by the look of it (.git)? */
bool gitrepo_is(const char *path);

/* The blob id of some bytes: a content hash. 0 or -EIO. */
int gitrepo_hash(const void *data, size_t len, char ret[GITREPO_HASH_SIZE]);

/* Appends what differs between two texts as a unified diff (a line for binary ones). NULL: not
 * there. 0 or -EIO. */
int gitrepo_diff(const char *name, const void *old, size_t old_len, const void *now, size_t now_len,
                 struct buf *out);

/* One file of a tree, with its blob id (gitrepo_hash). */
struct gitrepo_file {
    const char *path, *hash;
};
/* Are these files, all of them and no others, what the commit that gitrepo_update's last fetch
 * brought has in folder `sub`? The ids of objects are verified as they are read. */
bool gitrepo_fetched_holds(const char *path, const char *branch, const char *sub,
                           const struct gitrepo_file *files, size_t count);

/* `url` without user and password, for logs. Cut to `size`. */
void gitrepo_url_display(const char *url, char *out, size_t size);
