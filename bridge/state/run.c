#include "bridge/state/run.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "bridge/state/note.h"
#include "bridge/state/remote.h"
#include "bridge/state/work.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define SETTLE_MS    200          /* after the first sign of a change, */
#define LOOK_MS      1000         /* and at most once in so long */
#define OVERLAP_MS   60000        /* what a clock that is set may make us miss */
#define FULL_MS      (15 * 60000) /* then all is looked at again, if anything changed */
#define RETRY_MS     5000         /* after local trouble; doubled up to */
#define RETRY_MAX_MS 300000
#define REMOTE_MS    60000 /* for one fetch or push */
#define LAST_MS      3000  /* for the last push, at the end */
#define LOCK_MS      5000  /* for one that ends just now */
#define TIDY_COMMITS 500   /* then it is looked whether objects should be packed */

struct state {
    struct settings *s;
    int lock, signals, watch;
    bool changed;                /* the store was written */
    uint64_t look_ms;            /* when to look; UINT64_MAX: not by itself */
    uint64_t looked_ms, full_ms; /* when that was */
    int64_t since_ms;            /* wall clock of the last look */
    bool full;                   /* look at everything */
    struct names seen;           /* as they were at the last look */
    struct names names;          /* may have something to commit */
    unsigned failures;           /* local ones in a row */
    char local[480];             /* the reason */
    uint64_t commits, fetched_at;
    int64_t pushed_ms;
    struct remote remote;
    struct gitrepo_job job;
    enum remote_step step; /* what the job does */
    uint64_t job_end_ms;
    int sending;
    struct note note;
};

static uint32_t random32(void)
{
    uint32_t n;
    return getrandom(&n, sizeof n, GRND_NONBLOCK) == (ssize_t)sizeof n ? n : 0;
}

static void tell(struct state *x)
{
    const struct note_facts f = {
        .remote = &x->remote, .local = x->local, .commits = x->commits, .pushed_ms = x->pushed_ms
    };
    note_tell(&x->note, x->s, &f);
}

/* ---------------------------------------------------------------- trouble here */

static void local_failed(struct state *x, const struct error *e)
{
    uint64_t ms = RETRY_MS;
    (void)snprintf(x->local, sizeof x->local, "%s", e->message);
    for (unsigned i = 0; i < x->failures && ms < RETRY_MAX_MS; i++)
        ms *= 2;
    x->failures++;
    x->full = true; /* what was on its way is found again by comparing all */
    x->look_ms = clock_mono_ms() + (ms > RETRY_MAX_MS ? RETRY_MAX_MS : ms);
}

static void local_well(struct state *x)
{
    x->failures = 0;
    *x->local = '\0';
}

/* A new one learns from the remote what was committed before. */
static void put_aside(struct state *x, const struct error *why)
{
    char kept[4200];
    struct error e = ERROR_INIT;
    if (work_put_aside(x->s, kept, &e) < 0) {
        local_failed(x, &e);
        return;
    }
    log_warn("the repository is damaged (%s); a new one is begun, the old one is kept as %s",
             why->message, kept);
    x->remote.fetch = x->full = true;
    x->remote.not_before_ms = 0;
    x->look_ms = clock_mono_ms() + RETRY_MS; /* what is there first, if it can be had */
}

/* A child that was killed leaves its locks. */
static void trouble(struct state *x, int r, const struct error *e)
{
    if (x->job.fd < 0)
        gitrepo_bare_tidy(x->s->repo);
    if (r == -EUCLEAN)
        put_aside(x, e);
    else
        local_failed(x, e);
}

/* ---------------------------------------------------------------- look, commit */

/* `well`: so was the look. */
static void commit(struct state *x, bool well)
{
    struct error e = ERROR_INIT;
    if (x->names.count == 0)
        return;
    int r = work_commit(x->s, &x->names, &e);
    if (r < 0) {
        names_release(&x->names);
        trouble(x, r, &e);
        return;
    }
    bool more = r >= WORK_MORE;
    int n = r % WORK_MORE;
    if (well)
        local_well(x);
    x->commits += (uint64_t)n;
    remote_committed(&x->remote, n);
    if (x->commits - x->fetched_at >= TIDY_COMMITS)
        x->remote.fetch = true;
    if (more)
        x->look_ms = 0;
    else
        names_release(&x->names);
}

static void look_now(struct state *x)
{
    uint64_t now = clock_mono_ms();
    int64_t wall = clock_wall_ms();
    struct error e = ERROR_INIT;
    if (now - x->full_ms >= FULL_MS)
        x->full = true;
    int64_t since = (wall < x->since_ms ? wall : x->since_ms) - OVERLAP_MS;
    if (x->full)
        names_release(&x->seen);
    x->look_ms = UINT64_MAX;
    x->looked_ms = now;
    int r = look(x->s->state_dir, x->s->dir, &x->seen, since, &x->names, &e);
    if (r == -ENOENT || r == -EPROTO) /* the gateway has yet to make it: it is watched */
        return;
    if (r < 0) {
        local_failed(x, &e);
    } else {
        x->since_ms = wall;
        if (x->full)
            x->full_ms = now;
        x->full = false;
        if (x->names.count == 0)
            local_well(x);
    }
    commit(x, r == 0);
}

/* ---------------------------------------------------------------- the remote */

static void after_fetch(struct state *x)
{
    struct error e = ERROR_INIT;
    int ahead = 0, r = work_rebase(x->s, &ahead, &e);
    x->fetched_at = x->commits;
    if (r < 0) {
        x->remote.fetch = true;
        x->remote.not_before_ms = clock_mono_ms() + RETRY_MS;
        trouble(x, r, &e);
        return;
    }
    if (r == GITREPO_REBASE_ANEW) {
        log_warn("the remote's branch has another beginning: what it lacks is committed anew");
        x->full = true;
        x->look_ms = 0;
    }
    if (r == GITREPO_REBASED)
        log_info("others pushed before us: our commits stand upon theirs now");
    remote_fetched(&x->remote, (enum gitrepo_rebase)r, ahead, e.message, clock_mono_ms());
}

static void job_done(struct state *x)
{
    struct error e = ERROR_INIT;
    int r = gitrepo_job_end(&x->job, 0, &e);
    uint64_t now = clock_mono_ms();
    if (r == -ETIMEDOUT)
        (void)error_set(&e, r, "it did not answer within %d s", REMOTE_MS / 1000);
    if (r < 0 && r != -EACCES)
        gitrepo_bare_tidy(x->s->repo);
    if (r == -EUCLEAN)
        put_aside(x, &e);
    else if (r < 0)
        remote_failed(&x->remote, &e, now, random32());
    else if (x->step == REMOTE_FETCH)
        after_fetch(x);
    else
        remote_pushed(&x->remote, (enum gitrepo_push)r, x->sending, now, random32());
    if (r == GITREPO_PUSHED && x->step == REMOTE_PUSH)
        x->pushed_ms = clock_wall_ms();
    x->step = REMOTE_REST;
}

static void job_begin(struct state *x)
{
    struct error e = ERROR_INIT;
    uint64_t now = clock_mono_ms();
    enum remote_step step = remote_next(&x->remote, now);
    if (step == REMOTE_REST)
        return;
    x->sending = x->remote.unpushed;
    int r = step == REMOTE_FETCH ? work_fetch(x->s, &x->job, &e)
                                 : work_push(x->s, x->remote.aside, &x->job, &e);
    if (r < 0) {
        remote_failed(&x->remote, &e, now, random32());
        return;
    }
    x->step = step;
    x->job_end_ms = now + REMOTE_MS;
}

/* ---------------------------------------------------------------- loop */

/* Is it what the gateway writes when it stores something? Not what readers touch too. */
static bool is_store(const char *name)
{
    return strcmp(name, "gateway.db") == 0 || strcmp(name, "gateway.db-wal") == 0;
}

static void read_watch(struct state *x)
{
    _Alignas(struct inotify_event) char room[4096];
    ssize_t n;
    while ((n = read(x->watch, room, sizeof room)) > 0)
        for (char *p = room; p < room + n;) {
            const struct inotify_event *event = (const struct inotify_event *)(void *)p;
            x->changed |= (event->mask & IN_Q_OVERFLOW) || (event->len && is_store(event->name));
            p += sizeof *event + event->len;
        }
}

static void plan_look(struct state *x)
{
    uint64_t now = clock_mono_ms(), at = now + SETTLE_MS;
    if (at < x->looked_ms + LOOK_MS)
        at = x->looked_ms + LOOK_MS;
    if (x->failures == 0 && at < x->look_ms)
        x->look_ms = at;
}

static int timeout_of(const struct state *x)
{
    uint64_t now = clock_mono_ms(), at = x->look_ms;
    uint64_t remote = x->job.fd >= 0 ? x->job_end_ms : remote_due_ms(&x->remote);
    at = remote < at ? remote : at;
    if (at == UINT64_MAX)
        return -1;
    return at <= now ? 0 : at - now > 3600000 ? 3600000 : (int)(at - now);
}

/* 1: stop. While a look is planned more changes say nothing new: they are not even read. */
static int wait_for_news(struct state *x)
{
    bool planned = x->look_ms != UINT64_MAX;
    struct pollfd fds[] = {
        { .fd = x->signals, .events = POLLIN },
        { .fd = planned ? -1 : x->watch, .events = POLLIN },
        { .fd = x->job.fd, .events = POLLIN },
    };
    if (poll(fds, ARRAY_SIZE(fds), timeout_of(x)) < 0)
        return errno == EINTR ? 0 : -errno;
    if (fds[0].revents)
        return 1;
    if (fds[1].revents)
        read_watch(x);
    if (x->changed)
        plan_look(x);
    x->changed = false;
    if (x->job.fd >= 0 && (fds[2].revents || clock_mono_ms() >= x->job_end_ms))
        job_done(x);
    return 0;
}

static void look_if_due(struct state *x)
{
    if (clock_mono_ms() < x->look_ms)
        return;
    read_watch(x); /* seen by this look */
    x->changed = false;
    look_now(x);
}

/* The gateway has stopped before us: what it said last, and one try to push it. */
static void finish(struct state *x)
{
    struct error e = ERROR_INIT;
    look_now(x);
    if (x->job.fd >= 0) {
        (void)gitrepo_job_end(&x->job, clock_mono_ms() + LAST_MS, &e);
        gitrepo_bare_tidy(x->s->repo);
    }
    if (x->remote.unpushed == 0 || x->remote.failures || x->remote.fetch)
        return;
    x->sending = x->remote.unpushed;
    if (work_push(x->s, x->remote.aside, &x->job, &e) < 0)
        return;
    int r = gitrepo_job_end(&x->job, clock_mono_ms() + LAST_MS, &e);
    if (r == GITREPO_PUSHED)
        remote_pushed(&x->remote, GITREPO_PUSHED, x->sending, 0, 0);
}

static int loop(struct state *x)
{
    int r = 0;
    while (r == 0) {
        look_if_due(x);
        if (x->job.fd < 0)
            job_begin(x);
        tell(x);
        r = wait_for_news(x);
    }
    if (r < 0)
        return r;
    finish(x);
    log_info("stopping: %d commits are not pushed", x->remote.unpushed);
    return 0;
}

/* ---------------------------------------------------------------- start */

/* Held by our children too: it is free when none of them is left. */
static int take_lock(struct state *x, struct error *e)
{
    _cleanup_free_ char *path = path_join(x->s->dir, "lock");
    int r = file_mkdir_p(x->s->dir, 0700);
    if (!path || r < 0)
        return error_set_errno(e, path ? r : -ENOMEM, "cannot make %s", x->s->dir);
    x->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (x->lock < 0)
        return error_set_errno(e, -errno, "cannot open %s", path);
    for (uint64_t end = clock_mono_ms() + LOCK_MS; flock(x->lock, LOCK_EX | LOCK_NB) < 0;) {
        if (errno != EWOULDBLOCK || clock_mono_ms() >= end)
            return error_set_errno(e, -errno, "another codev-state works in %s", x->s->dir);
        (void)poll(NULL, 0, 100);
    }
    return 0;
}

static int open_signals(struct state *x)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    x->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return x->signals < 0 ? -errno : 0;
}

static int open_all(struct state *x, struct error *e)
{
    int r = open_signals(x);
    if (r < 0)
        return error_set_errno(e, r, "cannot wait for signals");
    r = take_lock(x, e);
    if (r < 0)
        return r;
    gitrepo_bare_tidy(x->s->repo);
    x->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (x->watch < 0 || inotify_add_watch(x->watch, x->s->state_dir,
                                          IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_ONLYDIR) < 0)
        return error_set_errno(e, -errno, "cannot watch %s", x->s->state_dir);
    return 0;
}

int run(struct settings *s, struct error *e)
{
    struct state x = {
        .s = s, .lock = -1, .signals = -1, .watch = -1, .full = true, .job = GITREPO_JOB_NONE
    };
    remote_init(&x.remote);
    int r = open_all(&x, e);
    if (r == 0) {
        r = loop(&x);
        if (r < 0)
            (void)error_set_errno(e, r, "cannot wait");
    }
    names_release(&x.names);
    names_release(&x.seen);
    const int fds[] = { x.lock, x.signals, x.watch };
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    return r;
}
