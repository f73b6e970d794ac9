/* The plan: a checked configuration in one flat block of memory. codev-config writes it, PID 1
 * reads it. There are no pointers in it: a string is an offset into `strings`, a list a slice of
 * `pool`. Native byte order; both programs come from one build and the header says which. */
#pragma once

#include "base/core/error.h"
#include "supervisor/sandbox/sandbox.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_MAGIC   "codevpln"
#define PLAN_VERSION 3
#define PLAN_MAX     ((size_t)4 << 20) /* bytes of a whole plan */

#define CONFIG_FILE_DEFAULT "/etc/codev/codev.yaml" /* what it is made from */

typedef uint32_t plan_str; /* offset into the string area; 0 is "" */

struct plan_list {
    uint32_t first; /* index into the pool of plan_str */
    uint32_t count;
};

enum plan_policy { PLAN_POLICY_FAIL, PLAN_POLICY_DEGRADE, PLAN_POLICY_WARN, PLAN_POLICY_MAX };
enum plan_type { PLAN_TYPE_DAEMON, PLAN_TYPE_ONESHOT, PLAN_TYPE_MAX };
enum plan_restart {
    PLAN_RESTART_ALWAYS,
    PLAN_RESTART_ON_FAILURE,
    PLAN_RESTART_NEVER,
    PLAN_RESTART_MAX
};
enum plan_limit_then { PLAN_THEN_DEGRADE, PLAN_THEN_EXIT, PLAN_THEN_MAX };
enum plan_action { PLAN_ACTION_RESTART, PLAN_ACTION_MARK, PLAN_ACTION_MAX };
enum plan_check_kind {
    PLAN_CHECK_NONE,   /* ready as soon as it runs (a oneshot: as soon as it ended well) */
    PLAN_CHECK_HTTP,   /* `target`: URLs, asked one after the other; each must answer 2xx */
    PLAN_CHECK_TCP,    /* `target`: one host:port */
    PLAN_CHECK_EXEC,   /* `target`: an argv; exit status 0 */
    PLAN_CHECK_NOTIFY, /* sd_notify(3) READY=1 */
    PLAN_CHECK_MAX,
};
enum plan_cgroup { PLAN_CGROUP_AUTO, PLAN_CGROUP_OFF, PLAN_CGROUP_MAX };
enum plan_log_format { PLAN_LOG_JSON, PLAN_LOG_TEXT, PLAN_LOG_MAX };

struct plan_check {
    uint32_t kind; /* enum plan_check_kind */
    struct plan_list target;
    uint32_t interval_ms;
    uint32_t timeout_ms;
    uint32_t failures; /* in a row until it counts */
    uint32_t action;   /* enum plan_action, health only */
    uint32_t auth;     /* 1: HTTP Basic with the OpenCode user and password */
};

struct plan_hook {
    struct plan_list argv; /* count 0: none */
    uint32_t timeout_ms;
};

struct plan_service {
    plan_str name;
    struct plan_list argv;
    uint32_t type;             /* enum plan_type */
    struct plan_list after;    /* service names: start after they are ready */
    struct plan_list requires; /* the same, and stop with them */
    struct plan_list env;      /* "K=V", on top of the plan's environment */
    plan_str env_from;         /* a file in the runtime folder with lines K=V, read at each start
                                  if it is there; on top of `env` */
    plan_str cwd;              /* "": home */
    plan_str user;             /* "": as PID 1 */
    uint32_t start_timeout_ms;
    struct plan_check ready;
    struct plan_check health;
    uint32_t restart; /* enum plan_restart */
    uint32_t backoff_first_ms, backoff_max_ms;
    uint32_t backoff_factor_milli; /* 2000: doubled each time */
    uint32_t backoff_jitter_milli; /* 100: ±10 % */
    uint32_t backoff_reset_ms;     /* this long up makes the next delay `first` again */
    uint32_t limit_count, limit_window_ms;
    uint32_t limit_then; /* enum plan_limit_then */
    uint32_t stop_signal;
    uint32_t stop_grace_ms;
    uint32_t stop_order; /* lower stops earlier; equals stop together */
    struct plan_hook pre_stop, post_start;
    uint64_t memory_max; /* bytes, 0: none */
    uint32_t limit_nofile, limit_nproc;
    plan_str sandbox;
    uint32_t profile;        /* its sandbox: 1 + an index into the profiles, 0: none */
    struct plan_list handed; /* names of profiles that it gets as files, for programs of its own */
    uint32_t critical;       /* 1: when it gives up, the pod ends */
    uint32_t gates_ready;    /* 1: /readyz fails while it is not ready */
    uint32_t gates_live;     /* 1: /livez fails when it has given up */
    uint32_t secret_readers; /* enum secret_for: which secrets it gets */
    uint32_t watchdog_ms;    /* WATCHDOG=1 must come this often; 0: no watchdog */
};

/* A sandbox, as a block of its own within the plan (supervisor/sandbox). */
struct plan_profile {
    plan_str name;
    uint32_t off, size; /* bytes */
    uint32_t reserved;
};

struct plan_volume {
    plan_str path;
    uint16_t policy;  /* enum plan_policy */
    uint16_t migrate; /* 1: files of the old layout may be moved (SPEC V4) */
    uint64_t min_free;
    uint64_t min_inodes;
};

struct plan_header {
    char magic[8];
    uint32_t version;
    uint32_t size;                                   /* of the whole plan, bytes */
    uint32_t header_size, service_size, volume_size; /* sizeof in the writer */
    uint32_t checksum; /* plan_checksum() of all that follows the header */
    uint32_t services, services_off;
    uint32_t volumes, volumes_off;
    uint32_t profiles, profiles_off;
    uint32_t blobs, blobs_off; /* bytes: the profiles' blocks */
    uint32_t pool, pool_off;   /* plan_str entries */
    uint32_t strings_len, strings_off;
    plan_str home;
    plan_str config_file;         /* "" when none was there */
    plan_str state_dir;           /* "": choose as documented */
    struct plan_list environment; /* K=V for all services; may hold secrets by name (env_file) */
    uint32_t stop_timeout_ms;
    uint32_t drain_ms;
    uint32_t log_format; /* enum plan_log_format */
    uint32_t log_level;  /* enum log_level */
    uint32_t cgroup;     /* enum plan_cgroup */
    uint32_t sandbox_require;
    uint32_t watch_config; /* 1: reload when the config file changes */
};

/* A verified plan. `base` is the block, owned by whoever passed it in. */
struct plan {
    const struct plan_header *header;
    const struct plan_service *services;
    const struct plan_volume *volumes;
    const struct plan_profile *profiles;
    const char *blobs;
    const plan_str *pool;
    const char *strings;
};

/* Verifies magic, version, sizes, checksum, that every offset lies inside and every string ends,
 * and that every enum is in range. After it, no accessor below can leave the block. 0 or -EBADMSG
 * with the reason. `block` must be 8-byte aligned and stay alive. */
int plan_open(struct plan *ret, const void *block, size_t size, struct error *e);

const char *plan_string(const struct plan *p, plan_str s);
/* The i-th string of a list, i < list.count. */
const char *plan_item(const struct plan *p, struct plan_list list, uint32_t i);
/* Index of the service of that name, or -1. */
int plan_service_index(const struct plan *p, const char *name);

/* The sandbox of that index; its block was verified by plan_open(). */
void plan_sandbox(const struct plan *p, uint32_t index, struct sandbox *ret);
/* Index of the profile of that name, or -1. */
int plan_profile_index(const struct plan *p, const char *name);

uint32_t plan_checksum(const void *data, size_t len); /* FNV-1a, 32 bits: finds accidents */
