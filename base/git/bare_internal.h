/* Shared by the files about bare repositories only. */
#pragma once

#include "base/git/bare.h"
#include "base/git/internal.h"

struct gitrepo_bare {
    git_repository *repo;
    char branch[200];
};

#define BARE_REF_SIZE 280
/* "refs/heads/NAME", "refs/remotes/origin/NAME". */
void bare_local(char out[BARE_REF_SIZE], const char *name);
void bare_tracking(char out[BARE_REF_SIZE], const char *name);

/* Where a reference is. 0; -ENOENT; -EUCLEAN with `e`. */
int bare_resolve(struct gitrepo_bare *b, const char *ref, git_oid *ret, struct error *e);
/* -EUCLEAN with what libgit2 says. */
int bare_damaged(struct error *e, const char *what);
