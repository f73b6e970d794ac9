/* The supervisor as a whole: what every part of it shares. One per process; passed by pointer. */
#pragma once

#include <sys/types.h>

#include "supervisor/init/control_server.h"
#include "supervisor/init/env.h"
#include "supervisor/init/groups.h"
#include "supervisor/init/helper.h"
#include "supervisor/init/logs.h"
#include "supervisor/init/loop.h"
#include "supervisor/init/plan_block.h"
#include "supervisor/init/proc.h"
#include "supervisor/init/reaper.h"
#include "supervisor/init/secret_store.h"
#include "supervisor/init/service.h"
#include "supervisor/init/verdict.h"
#include "supervisor/volumes/volumes.h"

#define EXIT_CONFIG  78
#define VOLUMES_KEPT 32 /* volumes of a plan that are looked at */

enum phase { PHASE_BOOT, PHASE_RUNNING, PHASE_STOPPING, PHASE_MAX };

struct volume_state {
    bool known;
    struct volume_report report;
    uint64_t checked_ms;
};

/* The order of a stop, as it goes on. */
struct stop {
    int status; /* what we exit with */
    char reason[256];
    uint64_t deadline_ms;
    bool hasty;     /* no grace any longer */
    bool signalled; /* by SIGTERM or SIGINT: the next one makes it hasty */
    bool draining;
    bool sweeping;
    bool in_group;
    uint32_t group; /* the stop_order at work */
    struct timer timer;
};

struct supervisor {
    struct loop loop;
    struct reaper reaper;
    struct logs logs;
    struct secret_store secrets;
    struct env environment; /* what every child gets, secrets taken out */
    struct env plan_env;    /* the plan's `environment`, secrets taken out */
    sigset_t original_mask;
    struct source signals;
    bool is_pid1;
    bool dumpable_off, subreaper;
    struct sandbox_kernel kernel;

    char runtime_dir[256]; /* "": none could be had */
    char state_dir[512];   /* "": none could be had */
    char hostname[128];
    uint64_t started_ms;
    int64_t started_wall_ms;
    enum phase phase;
    bool started_up;
    char hold[96]; /* why OpenCode must not start in this life of the pod; "" */

    struct plan_block *plan;  /* NULL until compiled */
    struct service *services; /* in the plan's order */
    bool poke;                /* some state changed: look at what waits */
    struct volume_state volumes[VOLUMES_KEPT];

    struct compile *compile;     /* at work, else NULL */
    struct source config_watch;  /* of the config file's folder */
    struct helper config_helper; /* makes that watch */
    int64_t compiled_wall_ms;    /* when codev-config was last started; 0: not by this image */
    struct timer config_timer;
    char config_error[600]; /* why the last reload was refused; "" */
    struct helper boot_helper;
    struct helper watch_helper;
    struct timer watch_timer;
    bool watch_again;
    struct source mountinfo;
    struct source notify, notify_abstract;
    struct timer sockets_timer; /* sockets that could not be had */
    uint64_t sockets_again_ms;
    struct timer missing_timer; /* services that could not be made */
    struct timer boot_timer;    /* codev-config could not be started */
    unsigned boot_tries;
    struct control_server control;
    struct groups groups;
    struct stop stop;
};

/* Runs until the pod stops; returns the exit status. */
int supervisor_run(sigset_t original_mask);

/* A line of PID 1's own log. */
#define say(sv, level, ...) logs_say(&(sv)->logs, level, __VA_ARGS__)

/* --- service_run.c --- */
/* Creates the service of that record, not started; with pipes of its own, or those that it had
 * before PID 1's fault. NULL when out of memory. */
struct service *service_new(struct supervisor *sv, struct plan_block *block, uint32_t index,
                            const struct log_fds *adopted);
void service_free(struct service *s);
void service_append(struct supervisor *sv, struct service *s);
/* Makes the services of the plan that are not there yet. What there is no memory for comes later,
 * and starts then. */
void services_complete(struct supervisor *sv);
void services_missing(struct supervisor *sv); /* one could not be made: it comes later */
void service_event(struct service *s, enum service_event event, const char *reason);
struct service *service_find(struct supervisor *sv, const char *name);
/* Starts what need not wait any longer; called once in each round of the loop. */
void services_poke(struct supervisor *sv);
/* Its pre_stop hook went with PID 1's last image: the stop goes on without it. */
void service_hook_lost(struct service *s);
/* Somebody made a check: counts, and acts when it is enough. */
void service_report(struct service *s, bool health, bool ok, const char *reason);
/* Its last check is too long ago to be believed. */
bool service_is_stale(const struct service *s);

/* --- service_spawn.c --- */
/* Starts a program in the surroundings of a service. 0 or -errno. */
int service_spawn(struct service *s, struct proc *p, struct plan_list argv, const char *label,
                  bool with_secrets);
/* The pipe with a service's secrets: what it has not taken a while after it was confirmed is taken
 * back, so that nobody finds it there later. */
void service_secrets_init(struct service *s);
void service_secrets_watch(struct service *s);
void service_secrets_back(struct service *s);
/* Base environment of everything PID 1 starts, without the services' own. */
void supervisor_environment(const struct supervisor *sv, struct env *env);

/* --- service_checks.c --- */
void service_checks_init(struct service *s);
void service_checks_start(struct service *s);
void service_checks_stop(struct service *s);
/* Goes on where they were before PID 1's fault. */
void service_checks_resume(struct service *s);
/* A reload changed the check of a running service: it is judged anew. */
void service_check_changed(struct service *s, bool health);

/* --- boot.c --- */
void boot_begin(struct supervisor *sv);
/* The services may start: after the volumes were judged. */
void boot_services(struct supervisor *sv);

/* --- compile.c --- */
/* With the plan (owned), or NULL, a negative errno and the message: -EINVAL when it is the
 * configuration that is wrong, -ECHILD when codev-config could not do its work, -EINTR when it was
 * killed. */
typedef void compile_done(struct supervisor *sv, struct plan_block *plan, int code,
                          const char *error);
/* Starts codev-config. 0 or -errno. */
int compile_begin(struct supervisor *sv, compile_done *done);
void compile_cancel(struct supervisor *sv);
/* Takes a plan in: log settings, environment with its secrets taken out. */
void plan_adopt(struct supervisor *sv, struct plan_block *plan);

/* --- reload.c --- */
/* 0, -EBUSY while one is at work, -ESHUTDOWN while stopping, or -errno. */
int reload_begin(struct supervisor *sv);

/* --- config_watch.c --- */
/* Watches the config file, or stops to, as the plan says. */
void config_watch_update(struct supervisor *sv);

/* --- volume_state.c --- */
void volumes_watch_begin(struct supervisor *sv);
void volumes_watch_now(struct supervisor *sv);
void volume_set(struct supervisor *sv, size_t index, const struct volume_report *report);
/* No finding is bad. */
bool volume_ok(const struct volume_state *v);

/* --- stop.c --- */
/* The first reason counts; a stop that has begun goes on as it is. */
void stop_begin(struct supervisor *sv, int status, const char *reason);
/* No grace any longer: what still runs is killed now. */
void stop_hurry(struct supervisor *sv, const char *reason);
/* Goes on with a stop that PID 1's last image had begun (crash.h). */
void stop_resume(struct supervisor *sv, const struct stop *stop);
/* A service settled: go on. */
void stop_step(struct supervisor *sv);
/* One line, with the reason, to the container's termination log. */
void termination_log(const char *text);

/* --- peer.c --- */
enum peer_kind {
    PEER_OUTSIDE, /* below no service: `kubectl exec`, a shell of the machine */
    PEER_SERVICE, /* below that service */
    PEER_UNKNOWN, /* nobody can tell; or not of our user: nothing may be allowed to it */
};
/* Whose process is at the other end of this Unix socket. */
enum peer_kind peer_find(struct supervisor *sv, int fd, struct service **ret_service);
/* May a process below that service use this command of the control socket? Any at all? */
bool peer_may(const struct service *s, const char *command);
bool peer_may_anything(const struct service *s);
/* The service's sandbox; false: it has none. */
bool peer_sandbox(const struct service *s, struct sandbox *ret);

/* --- sandboxes.c --- */
/* sandbox.require is true and a service's profile cannot be had here: true, with the reason. */
bool sandboxes_refused(const struct supervisor *sv, const struct plan *p, char *why, size_t size);
/* A line in the log for each profile that goes without something. */
void sandboxes_tell(struct supervisor *sv, const struct plan *p);
struct jsonw;
void sandbox_status(struct jsonw *w, const struct service *s);

/* --- means.c --- */
/* In the child, inside its sandbox: which means stand around OpenCode, by its environment. */
void means_look(const struct env *env, const struct sandbox_kernel *k, struct sandbox_report *r);
/* codev-prepare has left nothing (it timed out, the runtime folder is full): OpenCode starts with
 * no configuration and no plugin that the agent could have written, and with the guard that is
 * installed; not where trust is `always`. 0, or -ENOENT: that guard is not there, and OpenCode must
 * not start. */
int means_default(struct env *env, const char *runtime);
void means_status(struct jsonw *w, const struct service *s);

/* --- status.c --- */
void status_json(struct supervisor *sv, struct buf *out);
bool verdict_now(struct supervisor *sv, enum verdict_kind kind, struct verdict_check *ret,
                 size_t max, size_t *ret_count);
/* Keeps `started_up` and tells when readiness changes. */
void verdict_update(struct supervisor *sv);

/* --- service_notify.c --- */
void service_notify_init(struct service *s);
/* It starts anew: nothing has been said yet. */
void service_notify_begin(struct service *s);
void service_notify(struct service *s, const struct notify_message *m);
/* WATCHDOG=1 must come within its time from now on; nothing without a watchdog. */
void service_watchdog_arm(struct service *s);

/* --- notify.c --- */
/* The service whose process this is, or NULL. */
struct service *notify_owner(struct supervisor *sv, pid_t pid);
/* The NOTIFY_SOCKET of a service; another user cannot enter our runtime folder. False: none. */
bool notify_address(const struct supervisor *sv, bool other_user, char *out, size_t size);
int notify_open(struct supervisor *sv);
void notify_adopt(struct supervisor *sv, int fd, int abstract_fd); /* after PID 1's fault */
