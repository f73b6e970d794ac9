/* Notices that the config file changed, also when it is a mounted ConfigMap: there the file is a
 * link through `..data`, which the kubelet swaps by rename. Watched is the folder, since a watch on
 * the file would stay with the old one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor/init/supervisor.h"

#define DEBOUNCE_MS       300
#define WATCH_DEADLINE_MS 5000

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

/* What the helper tells. */
struct watched {
    int error;
    int64_t changed_ms; /* the folder or the file: the later of both */
};

static int64_t ms_of(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* In the helper: whatever walks the path may hang on a dead file system. The inotify instance is
 * the one of PID 1, and so is the watch. */
static void watch_work(int fd, void *arg)
{
    const struct supervisor *sv = arg;
    const char *file = config_file(sv), *slash = strrchr(file, '/');
    size_t len = slash ? (size_t)(slash - file) : 0;
    struct watched w = { 0 };
    struct stat st;
    char dir[512];
    (void)snprintf(dir, sizeof dir, "%.*s", (int)len, file);
    if (len >= sizeof dir)
        w.error = ENAMETOOLONG;
    else if (inotify_add_watch(sv->config_watch.fd, slash ? (len ? dir : "/") : ".", EVENTS) < 0)
        w.error = errno;
    else if (stat(slash ? (len ? dir : "/") : ".", &st) == 0)
        w.changed_ms = ms_of(st.st_mtim);
    if (!w.error && stat(file, &st) == 0 && ms_of(st.st_ctim) > w.changed_ms)
        w.changed_ms = ms_of(st.st_ctim);
    (void)helper_put(fd, 0, &w, sizeof w);
}

static void not_watched(struct supervisor *sv, int error, const char *why)
{
    loop_close(&sv->loop, &sv->config_watch);
    say(sv, error == ENOENT ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
        "changes of %s are not noticed by themselves: %s", config_file(sv), why);
}

static void on_watched(struct helper *h, uint32_t type, const void *data, size_t len)
{
    struct supervisor *sv = h->arg;
    struct watched w;
    (void)type;
    if (len != sizeof w || sv->config_watch.fd < 0)
        return;
    memcpy(&w, data, sizeof w);
    if (w.error)
        not_watched(sv, w.error, strerror(w.error));
    else if (sv->compiled_wall_ms && w.changed_ms > sv->compiled_wall_ms)
        timer_set(&sv->loop, &sv->config_timer,
                  DEBOUNCE_MS); /* between the reading and the watch */
}

static void on_watch_end(struct helper *h, bool complete)
{
    struct supervisor *sv = h->arg;
    if (!complete && sv->config_watch.fd >= 0)
        not_watched(sv, ETIMEDOUT, "its folder does not answer");
}

static int open_watch(struct supervisor *sv)
{
    struct helper *h = &sv->config_helper;
    sv->config_watch = (struct source){ .fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK),
                                        .fn = on_inotify,
                                        .arg = sv };
    if (sv->config_watch.fd < 0)
        return -errno;
    h->on_record = on_watched;
    h->on_end = on_watch_end;
    h->arg = sv;
    h->keep_fd = sv->config_watch.fd;
    int r = loop_add(&sv->loop, &sv->config_watch, EPOLLIN);
    return r < 0 ? r : helper_start(h, "config-watch", WATCH_DEADLINE_MS, watch_work, sv);
}

void config_watch_update(struct supervisor *sv)
{
    bool wanted = sv->plan && sv->plan->plan.header->watch_config;
    if (!sv->config_timer.fn)
        sv->config_timer = (struct timer){ .fn = on_timer, .arg = sv };
    if (!wanted) {
        timer_clear(&sv->config_timer);
        helper_cancel(&sv->config_helper);
        loop_close(&sv->loop, &sv->config_watch);
        return;
    }
    int r = sv->config_watch.fd >= 0 ? 0 : open_watch(sv);
    if (r < 0)
        not_watched(sv, -r, r == -EBUSY ? "its folder does not answer" : strerror(-r));
}
