/* Notices that the config file changed, also when it is a mounted ConfigMap: there the file is a
 * link through `..data`, which the kubelet swaps by rename. Watched is the folder, since a watch on
 * the file would stay with the old one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "supervisor/init/supervisor.h"

#define DEBOUNCE_MS 300

/* A file is complete when it is closed or moved there. One that goes away changes nothing: what
 * replaces it may be on its way. */
#define EVENTS (IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR)

static const char *config_file(const struct supervisor *sv)
{
    const char *set = env_get(&sv->environment, "CODEV_CONFIG");
    return set && *set ? set : CONFIG_FILE_DEFAULT;
}

static bool concerns_us(const struct supervisor *sv, const char *name)
{
    const char *file = config_file(sv), *slash = strrchr(file, '/');
    return strcmp(name, "..data") == 0 || strcmp(name, slash ? slash + 1 : file) == 0;
}

static void on_timer(struct timer *t)
{
    struct supervisor *sv = t->arg;
    int r = reload_begin(sv);
    if (r == -EBUSY)
        timer_set(&sv->loop, t, DEBOUNCE_MS);
    else if (r == 0)
        say(sv, LOG_LEVEL_INFO, "the config file changed: reloading");
    else if (r != -ESHUTDOWN)
        say(sv, LOG_LEVEL_WARN, "the config file changed, no reload now: %s", strerror(-r));
}

static void on_inotify(struct source *s, uint32_t events)
{
    struct supervisor *sv = s->arg;
    char room[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool gone = false;
    ssize_t n;
    (void)events;
    while ((n = read(s->fd, room, sizeof room)) > 0) {
        struct inotify_event e;
        for (ssize_t at = 0; at + (ssize_t)sizeof e <= n; at += (ssize_t)(sizeof e + e.len)) {
            memcpy(&e, room + at, sizeof e);
            gone |= (e.mask & IN_IGNORED) != 0;
            bool ours = e.len && concerns_us(sv, room + at + sizeof e);
            if ((ours || e.mask & IN_Q_OVERFLOW) && !sv->config_timer.due_ms)
                timer_set(&sv->loop, &sv->config_timer, DEBOUNCE_MS);
        }
    }
    if (gone) { /* the folder itself is no more; the next reload looks for it again */
        loop_close(&sv->loop, s);
        say(sv, LOG_LEVEL_INFO,
            "the folder of the config file is gone: a reload must be asked for");
    }
}

static int open_watch(struct supervisor *sv)
{
    char dir[512];
    const char *file = config_file(sv), *slash = strrchr(file, '/');
    size_t len = slash ? (size_t)(slash - file) : 0;
    if (len >= sizeof dir)
        return -ENAMETOOLONG;
    memcpy(dir, file, len);
    dir[len] = '\0';
    sv->config_watch = (struct source){ .fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK),
                                        .fn = on_inotify,
                                        .arg = sv };
    if (sv->config_watch.fd < 0)
        return -errno;
    int r = inotify_add_watch(sv->config_watch.fd, slash ? (len ? dir : "/") : ".", EVENTS) < 0
                ? -errno
                : loop_add(&sv->loop, &sv->config_watch, EPOLLIN);
    if (r < 0)
        loop_close(&sv->loop, &sv->config_watch);
    return r;
}

void config_watch_update(struct supervisor *sv)
{
    bool wanted = sv->plan && sv->plan->plan.header->watch_config;
    if (!sv->config_timer.fn)
        sv->config_timer = (struct timer){ .fn = on_timer, .arg = sv };
    if (!wanted) {
        timer_clear(&sv->config_timer);
        loop_close(&sv->loop, &sv->config_watch);
        return;
    }
    int r = sv->config_watch.fd >= 0 ? 0 : open_watch(sv);
    if (r < 0)
        say(sv, r == -ENOENT ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
            "changes of %s are not noticed by themselves: %s", config_file(sv), strerror(-r));
}
