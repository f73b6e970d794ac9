/* What is done to the repository, each in a child process: libgit2 may crash or hang there. */
#pragma once

#include "base/git/bare.h"
#include "bridge/state/look.h"
#include "bridge/state/settings.h"

/* Commits each milestone of these sessions that the branch's files do not tell of yet, one commit
 * each. How many (WORK_MORE added: there is more, time is up); -EUCLEAN; -errno with `e`. */
int work_commit(const struct settings *s, const struct names *names, struct error *e);
#define WORK_MORE 1000000

/* Begins a fetch or a push (to the side branch when `aside`); read its end by gitrepo_job_end(). */
int work_fetch(struct settings *s, struct gitrepo_job *job, struct error *e);
int work_push(struct settings *s, bool aside, struct gitrepo_job *job, struct error *e);

/* enum gitrepo_rebase, -EUCLEAN, -errno; with a conflict `e` names the file. `*ret_ahead`: how many
 * commits the remote has not then. */
int work_rebase(const struct settings *s, int *ret_ahead, struct error *e);

/* Keeps a damaged repository aside; `kept` gets where. 0 or -errno with `e`. */
int work_put_aside(const struct settings *s, char kept[4200], struct error *e);
