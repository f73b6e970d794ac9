#include "supervisor/init/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "supervisor/init/crash.h"
#include "supervisor/init/runtime_dir.h"
#include "supervisor/init/signals.h"

#define SOCKETS_FIRST_MS 200
#define SOCKETS_LAST_MS  60000
#define TRIES            50
#define TRY_AGAIN_US     20000

static void make_boot_id(char out[40])
{
    unsigned char r[16] = { 0 };
    if (getrandom(r, sizeof r, GRND_NONBLOCK) != (ssize_t)sizeof r) {
        uint64_t now = clock_mono_us(), wall = (uint64_t)clock_wall_ms();
        memcpy(r, &now, sizeof now);
        memcpy(r + 8, &wall, sizeof wall);
    }
    r[6] = (unsigned char)((r[6] & 0x0f) | 0x40); /* RFC 9562: version 4 */
    r[8] = (unsigned char)((r[8] & 0x3f) | 0x80);
    (void)snprintf(out, 40, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                   r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12],
                   r[13], r[14], r[15]);
}

static void on_reload_signal(struct supervisor *sv, int signal)
{
    int r = reload_begin(sv);
    if (r < 0)
        say(sv, LOG_LEVEL_WARN, "%s: no reload now: %s", signal_name(signal), strerror(-r));
}

static void on_stop_signal(struct supervisor *sv, int signal)
{
    /* The first one after a stop that something else began (preStop's `codevctl shutdown`, a
     * critical service) is Kubernetes's usual one and no sign of impatience. */
    if (sv->stop.signalled)
        stop_hurry(sv, signal_name(signal));
    else
        stop_begin(sv, 0, signal_name(signal));
    sv->stop.signalled = true;
}

static void on_child_signal(struct supervisor *sv, int signal)
{
    (void)signal;
    reaper_collect(&sv->reaper);
}

static const struct {
    int signal;
    void (*fn)(struct supervisor *sv, int signal);
} signal_table[] = {
    { SIGCHLD, on_child_signal }, { SIGTERM, on_stop_signal },  { SIGINT, on_stop_signal },
    { SIGQUIT, on_stop_signal },  { SIGHUP, on_reload_signal },
};

static void on_signals(struct source *s, uint32_t events)
{
    struct supervisor *sv = s->arg;
    struct signalfd_siginfo info[16];
    (void)events;
    ssize_t n = read(s->fd, info, sizeof info);
    for (size_t i = 0; n > 0 && i < (size_t)n / sizeof *info; i++)
        for (size_t k = 0; k < ARRAY_SIZE(signal_table); k++)
            if (signal_table[k].signal == (int)info[i].ssi_signo)
                signal_table[k].fn(sv, signal_table[k].signal);
}

static int open_signals(struct supervisor *sv)
{
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_SIZE(signal_table); i++)
        (void)sigaddset(&set, signal_table[i].signal);
    sv->signals = (struct source){ .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
                                   .fn = on_signals,
                                   .arg = sv };
    if (sv->signals.fd < 0)
        return -errno;
    int r = loop_add(&sv->loop, &sv->signals, EPOLLIN);
    if (r < 0)
        loop_close(&sv->loop, &sv->signals);
    return r;
}

/* What could not be had at first may be had later: descriptors, memory, room. */
static void open_sockets(struct supervisor *sv);

static void on_sockets(struct timer *t)
{
    struct supervisor *sv = t->arg;
    if (sv->phase != PHASE_STOPPING)
        open_sockets(sv);
}

static void open_sockets(struct supervisor *sv)
{
    struct timer *t = &sv->sockets_timer;
    bool again = t->fn != NULL;
    int r = sv->control.listener.fd >= 0 ? 0 : control_open_socket(&sv->control, sv->runtime_dir);
    if (r == 0 && sv->notify.fd < 0)
        r = notify_open(sv);
    if (r == 0)
        return;
    if (!again) {
        say(sv, LOG_LEVEL_WARN, "no %s socket: %s; tried again from time to time",
            sv->control.listener.fd < 0 ? "control" : "notify", strerror(-r));
        t->fn = on_sockets;
        t->arg = sv;
        sv->sockets_again_ms = SOCKETS_FIRST_MS;
    }
    timer_set(&sv->loop, t, sv->sockets_again_ms);
    if (sv->sockets_again_ms < SOCKETS_LAST_MS)
        sv->sockets_again_ms *= 2;
}

/* After codev-config was started, which needs to know the folder, and works meanwhile. */
static void use_runtime_dir(struct supervisor *sv, int r)
{
    if (r == 0) {
        open_sockets(sv);
        return;
    }
    sv->runtime_dir[0] = '\0';
    say(sv, LOG_LEVEL_WARN,
        "no runtime folder could be had: %s; going on without a control socket "
        "(codevctl and the probes cannot ask; mount an emptyDir at /run/codev)",
        strerror(-r));
}

static void protect(struct supervisor *sv)
{
    sv->is_pid1 = getpid() == 1;
    sv->dumpable_off = prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
    sv->subreaper = sv->is_pid1 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0;
    sandbox_kernel_probe(&sv->kernel);
    if (!sv->dumpable_off)
        say(sv, LOG_LEVEL_WARN, "PID 1's memory cannot be closed to others: %s", strerror(errno));
    if (!sv->subreaper)
        say(sv, LOG_LEVEL_WARN, "not PID 1, and no subreaper either: orphans may get away");
}

/* Copies what is left of environ once the secrets are out. */
static void take_environment(struct supervisor *sv)
{
    if (secret_store_collect(&sv->secrets) < 0)
        say(sv, LOG_LEVEL_ERROR, "out of memory for a secret, going on without it");
    for (char **v = environ; v && *v; v++)
        env_put(&sv->environment, *v);
    for (size_t i = 0; i < secret_count(); i++)
        if (sv->secrets.values[i])
            (void)mask_add(&sv->logs.mask, sv->secrets.values[i]);
}

/* The configuration says in which form the log is wanted; until it is there, only the environment
 * can, which comes before it. */
static void hold_log(struct supervisor *sv)
{
    const char *format = getenv("CODEV_LOG_FORMAT");
    if (format && (strcmp(format, "text") == 0 || strcmp(format, "json") == 0))
        sv->logs.text = *format == 't';
    else
        logs_hold(&sv->logs);
}

/* What each image begins with. */
static void init(struct supervisor *sv)
{
    sv->logs.on_line = control_log_line;
    sv->logs.on_line_arg = &sv->control;
    if (gethostname(sv->hostname, sizeof sv->hostname - 1) < 0)
        (void)snprintf(sv->hostname, sizeof sv->hostname, "codev");
    helper_init(&sv->boot_helper, &sv->loop, &sv->reaper);
    helper_init(&sv->watch_helper, &sv->loop, &sv->reaper);
    helper_init(&sv->config_helper, &sv->loop, &sv->reaper);
    control_init(&sv->control, sv);
    sv->config_watch.fd = sv->notify.fd = sv->notify_abstract.fd = sv->mountinfo.fd = -1;
    groups_init(sv);
    protect(sv);
    take_environment(sv);
}

static void begin(struct supervisor *sv)
{
    hold_log(sv);
    make_boot_id(sv->logs.boot_id);
    init(sv);
    say(sv, LOG_LEVEL_INFO, "codev-init %s, pid %d, uid %u", CODEV_VERSION, (int)getpid(),
        (unsigned)getuid());
    int r = runtime_dir_open(sv->runtime_dir, sizeof sv->runtime_dir);
    if (r < 0) /* its first places may have failed for want of memory or descriptors */
        r = runtime_dir_open(sv->runtime_dir, sizeof sv->runtime_dir);
    boot_begin(sv);
    use_runtime_dir(sv, r);
    groups_look(sv);
}

static void run(struct supervisor *sv)
{
    while (!sv->loop.stop) {
        int r = loop_once(&sv->loop);
        crash_report_strangers(sv);
        if (r < 0) {
            say(sv, LOG_LEVEL_ERROR, "epoll: %s, going on", strerror(-r));
            (void)usleep(10000); /* never a busy loop, whatever the kernel says */
        }
        groups_tick(sv);
        while (sv->poke) {
            sv->poke = false;
            services_poke(sv);
            stop_step(sv);
        }
    }
}

static void finish(struct supervisor *sv)
{
    char path[300];
    say(sv, LOG_LEVEL_INFO, "stopped: exit status %d", sv->stop.status);
    control_close(&sv->control);
    groups_release(sv);
    const char *files[] = { "control.sock", "notify.sock" };
    for (size_t i = 0; sv->runtime_dir[0] && i < ARRAY_SIZE(files); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", sv->runtime_dir, files[i]);
        (void)unlink(path);
    }
    output_flush(&sv->logs.output, 500);
    output_release(&sv->logs.output);
    secret_store_wipe(&sv->secrets);
}

static int open_loop(struct supervisor *sv)
{
    return loop_init(&sv->loop);
}

/* Nothing goes without it, and what the machine lacks now it may have in a moment. */
static bool stubbornly(int (*open_it)(struct supervisor *sv), struct supervisor *sv)
{
    for (int i = 0; i < TRIES; i++) {
        if (open_it(sv) == 0)
            return true;
        (void)usleep(TRY_AGAIN_US);
    }
    return false;
}

int supervisor_run(sigset_t original_mask)
{
    static struct supervisor sv; /* large, and for the whole life of the process */
    struct crash_fault fault;
    /* An exec makes us readable again, and secrets are in the first thing that we map. */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    int inherited = crash_inherited(&fault);
    crash_arm(&sv, inherited >= 0 ? &fault : NULL);
    sv.original_mask = original_mask;
    sv.started_ms = clock_mono_ms();
    sv.started_wall_ms = clock_wall_ms();
    if (!stubbornly(open_loop, &sv)) {
        termination_log("codev-init: no epoll");
        return 1;
    }
    (void)logs_init(&sv.logs, &sv.loop);
    if (!stubbornly(open_signals, &sv)) {
        termination_log("codev-init: no signalfd");
        return 1;
    }
    if (inherited < 0) {
        begin(&sv);
    } else {
        init(&sv);
        crash_adopt(&sv, inherited, &fault);
        if (*sv.runtime_dir)
            open_sockets(&sv);
    }
    run(&sv);
    finish(&sv);
    return sv.stop.status;
}
