#include "bridge/prepare/watch.h"

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "bridge/prepare/link.h"
#include "bridge/prepare/package.h"
#include "bridge/prepare/reload.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define RECHECK_MS                                                                                 \
    (5 * 60 * 1000)  /* for what inotify can't see: another pod's change, an overlay */
#define CALM_MS 1000 /* after putting it back: no race with whoever removes it */
#define LEVELS  4    /* @opencode, node_modules, opencode, .config */

/* Watches the folders above the link as far as they are there. Adding one again changes nothing;
 * one that was removed and made anew is caught here, after the event of its parent. */
static void watch_parents(int fd, const char *link)
{
    _cleanup_free_ char *path = strdup(link);
    for (int i = 0; path && i < LEVELS; i++) {
        char *slash = strrchr(path, '/');
        if (!slash || slash == path)
            return;
        *slash = '\0';
        (void)inotify_add_watch(fd, path,
                                IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR);
    }
}

static void drain(int fd)
{
    char events[4096];
    while (read(fd, events, sizeof events) > 0)
        ;
}

/* True when it was put back. */
static bool put_back(const struct settings *s, bool *told)
{
    char moved[1024];
    struct error e = ERROR_INIT;
    struct package package = { 0 };
    if (!*s->plugin_path || link_is(s->link_path, s->plugin_path))
        return false;
    /* No link to a plugin that is not there or not built. */
    bool usable = package_read(s->plugin_path, &package, NULL) == 0 &&
                  package_main_exists(s->plugin_path, &package);
    package_release(&package);
    if (!usable)
        return false;
    if (link_put(s->link_path, s->plugin_path, moved, sizeof moved, &e) < 0) {
        if (!*told)
            log_warn("⚠️ the plugin link is gone and cannot be put back: %s", e.message);
        *told = true;
        return false;
    }
    *told = false;
    if (*moved)
        log_warn("⚠️ %s was no link: moved to %s", s->link_path, moved);
    log_info("put the plugin link back: %s", s->link_path);
    return true;
}

static int shorter(int a, int b)
{
    return a < 0 ? b : b < 0 || a < b ? a : b;
}

int watch_link(const struct settings *s, struct error *e)
{
    _cleanup_fd_ int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    _cleanup_fd_ int sources = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    struct reload_state reload = { .fd = sources };
    if (fd < 0)
        log_warn("no inotify (%s): the plugin link is looked at every 5 minutes", strerror(errno));
    log_info("watching the plugin link %s", s->link_path);
    reload_watch(&reload, s);
    for (bool told = false;;) {
        if (fd >= 0)
            watch_parents(fd, s->link_path);
        if (put_back(s, &told))
            (void)poll(NULL, 0, CALM_MS);
        int wait = shorter(RECHECK_MS, reload_step(&reload, s));
        struct pollfd p[] = { { .fd = fd, .events = POLLIN }, { .fd = sources, .events = POLLIN } };
        int n = poll(p, ARRAY_SIZE(p), wait);
        if (n < 0 && errno != EINTR)
            return error_set_errno(e, -errno, "cannot wait");
        if (n == 0 && wait == RECHECK_MS)
            reload_watch(&reload, s); /* a plugin that was not there before */
        if (p[1].revents)
            reload_read(&reload);
        if (p[0].revents) {
            (void)poll(NULL, 0, 50); /* an npm run touches hundreds of entries: look once */
            drain(fd);
        }
    }
}
