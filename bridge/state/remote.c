#include "bridge/state/remote.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/core/cleanup.h"

#define FIRST_MS   2000
#define MAX_MS     300000
#define RECHECK_MS 600000 /* whether somebody has merged our side branch */
#define BEHIND_MAX 5      /* pushes that came too late before we rest */

static const char *const names[] = {
    [REMOTE_STARTING] = "starting", [REMOTE_CURRENT] = "current",   [REMOTE_AWAY] = "away",
    [REMOTE_REFUSED] = "refused",   [REMOTE_CONFLICT] = "conflict",
};
_Static_assert(ARRAY_SIZE(names) == REMOTE_STATE_MAX, "a name for every state");

const char *remote_state_name(enum remote_state s)
{
    return names[s];
}

void remote_init(struct remote *r)
{
    *r = (struct remote){ .fetch = true };
}

/* The nth wait: doubled each time, a quarter more or less, so that many pods do not come at once.
 */
static uint64_t wait_ms(unsigned n, uint32_t random)
{
    uint64_t ms = FIRST_MS;
    for (unsigned i = 1; i < n && ms < MAX_MS; i++)
        ms *= 2;
    ms = ms > MAX_MS ? MAX_MS : ms;
    return ms * 3 / 4 + ms / 2 * (random % 1024) / 1024;
}

enum remote_step remote_next(const struct remote *r, uint64_t now_ms)
{
    if (now_ms < r->not_before_ms)
        return REMOTE_REST;
    return r->fetch          ? REMOTE_FETCH
           : r->unpushed > 0 ? REMOTE_PUSH
           : r->aside        ? REMOTE_FETCH
                             : REMOTE_REST;
}

uint64_t remote_due_ms(const struct remote *r)
{
    return r->fetch || r->unpushed > 0 || r->aside ? r->not_before_ms : UINT64_MAX;
}

static void well(struct remote *r, uint64_t now_ms)
{
    r->failures = r->behind = 0;
    r->state = r->aside ? REMOTE_CONFLICT : REMOTE_CURRENT;
    (void)snprintf(r->reason, sizeof r->reason, "%s", r->aside ? r->conflict : "");
    r->not_before_ms = r->aside && r->unpushed == 0 ? now_ms + RECHECK_MS : 0;
}

void remote_committed(struct remote *r, int commits)
{
    r->unpushed += commits;
    /* What rests only until it looks whether a conflict is over need not wait with this. */
    if (r->state == REMOTE_CONFLICT && commits > 0)
        r->not_before_ms = 0;
}

void remote_fetched(struct remote *r, enum gitrepo_rebase rebase, int ahead, const char *conflict,
                    uint64_t now_ms)
{
    r->fetch = false;
    r->aside = rebase == GITREPO_REBASE_CONFLICT;
    r->unpushed = ahead;
    if (r->aside)
        (void)snprintf(r->conflict, sizeof r->conflict, "%s", conflict);
    if (r->aside || ahead == 0)
        well(r, now_ms);
    if (ahead > 0) /* all that failed may have been the fetch */
        r->not_before_ms = 0;
}

static void rest(struct remote *r, uint64_t now_ms, uint32_t random)
{
    r->failures++;
    r->failed++;
    r->not_before_ms = now_ms + wait_ms(r->failures, random);
}

void remote_pushed(struct remote *r, enum gitrepo_push push, int sent, uint64_t now_ms,
                   uint32_t random)
{
    if (push == GITREPO_PUSHED) {
        r->unpushed = r->unpushed > sent ? r->unpushed - sent : 0;
        r->pushes++;
        well(r, now_ms);
        return;
    }
    if (r->aside) {
        const struct error e = { .code = -EACCES,
                                 .message = "our own branch there has commits that are not ours: "
                                            "merge it into the main one, and remove it" };
        remote_failed(r, &e, now_ms, random);
        r->fetch = true;
        return;
    }
    r->fetch = true;
    if (++r->behind % BEHIND_MAX)
        return;
    const struct error e = { .code = -EAGAIN,
                             .message = "others are quicker each time, or a lock was left in it "
                                        "(refs/heads/BRANCH.lock)" };
    remote_failed(r, &e, now_ms, random);
}

void remote_failed(struct remote *r, const struct error *e, uint64_t now_ms, uint32_t random)
{
    rest(r, now_ms, random);
    r->state = e->code == -EACCES ? REMOTE_REFUSED : REMOTE_AWAY;
    (void)snprintf(r->reason, sizeof r->reason, "%s", e->message);
}
