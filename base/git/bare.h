/* A bare repository of our own, which one program alone writes (the caller holds a lock): commits
 * of single files onto one branch, without an index or a working folder, so that a kill at any
 * moment leaves the branch where it was or where it goes. All calls block and run in the caller's
 * process: run them by gitrepo_job or gitrepo_child.
 *
 * -EUCLEAN means that the repository is damaged: put it aside and begin a new one. */
#pragma once

#include "base/git/git.h"

struct gitrepo_bare;

/* Opens the repository at `path`, or makes it. `branch` is copied. 0, -EUCLEAN, -errno with `e`. */
int gitrepo_bare_open(struct gitrepo_bare **ret, const char *path, const char *branch,
                      const char *ca_file, struct error *e);
void gitrepo_bare_close(struct gitrepo_bare *b);

/* Removes what a killed process left: locks, temporary files. When nobody works in it. */
void gitrepo_bare_tidy(const char *path);

/* The file as the branch has it. `*ret` malloc'ed. -ENOENT: it, or the branch, is not there. */
int gitrepo_bare_read(struct gitrepo_bare *b, const char *file, char **ret, size_t *ret_len,
                      struct error *e);

struct gitrepo_commit {
    const char *file; /* a/b/c */
    const void *data;
    size_t len;
    const char *message, *author, *email;
    int64_t time_ms; /* the author's; the committer's is now */
};
/* Adds one commit that puts `data` at `file`. 0 or -errno. */
int gitrepo_bare_commit(struct gitrepo_bare *b, const struct gitrepo_commit *c, struct error *e);

/* How many commits of the branch the remote's branch `side` (NULL: the branch itself) had not when
 * it was last seen. */
int gitrepo_bare_ahead(struct gitrepo_bare *b, const char *side);

/* Learns where remote->branch is. 0; 1: the remote has no such branch; -EACCES: refused; -errno. */
int gitrepo_bare_fetch(struct gitrepo_bare *b, const struct gitrepo_remote *remote,
                       struct error *e);

enum gitrepo_rebase {
    GITREPO_REBASE_CURRENT,   /* nothing new there */
    GITREPO_REBASE_FORWARDED, /* there were no own commits */
    GITREPO_REBASED,          /* own commits stand upon theirs now */
    GITREPO_REBASE_ANEW,      /* no common beginning: the branch is theirs now, own commits left */
    GITREPO_REBASE_CONFLICT,  /* both changed one file differently; nothing was changed */
    GITREPO_REBASE_MAX,
};
/* Brings the branch upon what gitrepo_bare_fetch() learnt. On a conflict `e` names the file. */
int gitrepo_bare_rebase(struct gitrepo_bare *b, struct error *e);

enum gitrepo_push {
    GITREPO_PUSHED,
    GITREPO_PUSH_BEHIND, /* the remote's branch has commits that ours has not: fetch, rebase */
    GITREPO_PUSH_MAX,
};
/* Pushes the branch to the remote's branch `side` (NULL: remote->branch). enum gitrepo_push;
 * -EACCES when the remote refuses (credentials, a protected branch, a hook) with its reason; else
 * -errno.
 */
int gitrepo_bare_push(struct gitrepo_bare *b, const struct gitrepo_remote *remote, const char *side,
                      struct error *e);

/* Puts all objects into one pack, when there are more than `loose` single ones. */
int gitrepo_bare_pack(struct gitrepo_bare *b, unsigned loose, struct error *e);
