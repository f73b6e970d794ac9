/* When to ask the remote what, and what became of it: no input or output here. */
#pragma once

#include "base/git/bare.h"

#include <stdbool.h>
#include <stdint.h>

enum remote_state {
    REMOTE_STARTING, /* nothing was asked yet */
    REMOTE_CURRENT,  /* has all that we have */
    REMOTE_AWAY,     /* cannot be reached; is tried again */
    REMOTE_REFUSED,  /* a person must do something; is tried again */
    REMOTE_CONFLICT, /* our commits go to a branch of their own */
    REMOTE_STATE_MAX,
};
const char *remote_state_name(enum remote_state s);

enum remote_step { REMOTE_REST, REMOTE_FETCH, REMOTE_PUSH };

struct remote {
    enum remote_state state;
    char reason[480];   /* of all but the first two */
    bool fetch;         /* where its branch is must be asked before anything else */
    bool aside;         /* our commits go to the side branch, */
    char conflict[480]; /* because of this */
    int unpushed;       /* commits that it has not */
    unsigned failures;  /* in a row */
    unsigned behind;    /* pushes in a row that came too late */
    uint64_t not_before_ms;
    uint64_t pushes, failed; /* since the start */
};

void remote_init(struct remote *r);
/* What to do now. */
enum remote_step remote_next(const struct remote *r, uint64_t now_ms);
/* When remote_next() may say something else by itself; UINT64_MAX: never. */
uint64_t remote_due_ms(const struct remote *r);

void remote_committed(struct remote *r, int commits);
/* After a fetch and what gitrepo_bare_rebase() said; `ahead`: commits that it has not. */
void remote_fetched(struct remote *r, enum gitrepo_rebase rebase, int ahead, const char *conflict,
                    uint64_t now_ms);
/* After a push of `sent` commits. `random`: any number, for the jitter. */
void remote_pushed(struct remote *r, enum gitrepo_push push, int sent, uint64_t now_ms,
                   uint32_t random);
/* A step failed; -EACCES: it was refused. */
void remote_failed(struct remote *r, const struct error *e, uint64_t now_ms, uint32_t random);
