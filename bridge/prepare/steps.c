#include "bridge/prepare/prepare.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "bridge/prepare/lock.h"
#include "bridge/prepare/npm.h"
#include "supervisor/sandbox/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int step_lock(struct prepare *p, struct error *e)
{
    if (p->lock >= 0)
        return 0;
    int fd = lock_take(p->settings->repo_path, p->deadline_ms, e);
    if (fd < 0)
        return fd;
    p->lock = fd;
    return 0;
}

int step_current(struct prepare *p, enum stamp_kind kind, struct error *e)
{
    const char *plugin = p->settings->plugin_path;
    int r = stamp_check(plugin, kind, p->lock >= 0, e);
    if (r == STAMP_SLOW && p->lock < 0) {
        /* Nothing to do but to make the next check cheap; not worth waiting for. */
        p->lock = lock_try(p->settings->repo_path);
        return p->lock >= 0 ? stamp_check(plugin, kind, true, e) : r;
    }
    if (r != STAMP_STALE || p->lock >= 0)
        return r;
    r = step_lock(p, e);
    /* Another pod may have done it while we waited. */
    return r < 0 ? r : stamp_check(plugin, kind, true, e);
}

int step_npm(struct prepare *p, const char *what, const char *const *words, struct error *e)
{
    static const char *const always[] = { "--no-audit", "--no-fund", "--no-update-notifier" };
    const char *args[16] = { 0 };
    size_t n = 0;
    for (; n < 8 && words[n]; n++)
        args[n] = words[n];
    for (size_t i = 0; i < ARRAY_SIZE(always); i++)
        args[n++] = always[i];
    /* Beside the checkout: that volume must be writable anyway. */
    _cleanup_free_ char *cache = NULL;
    const char *slash = strrchr(p->settings->repo_path, '/');
    if (asprintf(&cache, "%.*s/.codev-npm-cache", (int)(slash - p->settings->repo_path),
                 p->settings->repo_path) < 0) {
        cache = NULL;
        return error_set_errno(e, -ENOMEM, "%s", what);
    }
    _cleanup_(confine_release) struct confine sandbox = { 0 };
    int r = confine_read(&sandbox, "build", e);
    if (r < 0)
        return r;
    struct npm_job job = {
        .sandbox = &sandbox,
        .plugin = p->settings->plugin_path,
        .args = args,
        .what = what,
        .deadline_ms = p->deadline_ms,
        .cache_folder = cache,
        .closed = p->closed,
        .close_in_child = p->lock,
    };
    uint64_t begun = clock_mono_ms();
    r = npm_run(&job, e);
    if (r == 0)
        log_info("%s done in %llu ms", what, (unsigned long long)(clock_mono_ms() - begun));
    return r;
}

/* What the stamp vouches for must be on disk before it is: a power cut keeps no order. */
static void sync_volume(const char *plugin)
{
    _cleanup_fd_ int fd = open(plugin, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syncfs(fd) < 0)
        log_debug("cannot sync %s: %s, ignoring", plugin, strerror(errno));
}

int step_stamp(struct prepare *p, enum stamp_kind kind, const struct stamp *before, struct error *e)
{
    const char *plugin = p->settings->plugin_path;
    const char *folder = kind == STAMP_INSTALL ? "node_modules" : "dist";
    _cleanup_stamp_ struct stamp after = { 0 };
    _cleanup_free_ char *path = path_join(plugin, folder);
    int r = path ? file_mkdir_p(path, 0755) : -ENOMEM; /* no dependencies, no node_modules */
    if (r < 0)
        return error_set_errno(e, r, "cannot make %s/%s", plugin, folder);
    sync_volume(plugin);
    r = stamp_take_after(plugin, kind, before, &after, e);
    return r < 0 ? r : stamp_write(plugin, kind, &after, e);
}
