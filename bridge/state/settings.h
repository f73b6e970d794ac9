/* codev-state's settings, from its environment (docs/control.md) and the secret handed over. */
#pragma once

#include "base/core/error.h"
#include "base/core/secrets.h"
#include "base/git/git.h"

#include <stdbool.h>

struct settings {
    const char *state_dir;                                 /* "" : there is none */
    const char *url, *branch, *token_file, *ca_file, *pod; /* url "": off */
    char *dir;                   /* STATE/session-state: all that is ours */
    char *repo;                  /* in it, the repository */
    char *author, *email, *side; /* who commits; the branch for what conflicts */
    struct secrets secrets;
    char *token; /* read anew from token_file before each use; NULL: none */
    bool is_key; /* token_file is a private ssh key */
};

/* 0, or -EINVAL, -errno with `e`. Release in any case. */
int settings_read(struct settings *ret, struct error *e);
void settings_release(struct settings *s);

/* Reads the token anew, as a mounted Secret changes. What cannot be read is said and ignored. */
void settings_token(struct settings *s);
/* How to reach the remote, until `deadline_ms`. Valid as long as `s` is unchanged. */
struct gitrepo_remote settings_remote(const struct settings *s, uint64_t deadline_ms);
