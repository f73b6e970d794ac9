/* The option table: one row for each setting, from which come the checks, the documentation
 * (docs/config.md, codev.yaml(5)) and what `codevctl config` prints. */
#pragma once

#include "base/core/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_scope {
    SCOPE_TOP,
    SCOPE_STORAGE, /* an item of `storage` */
    SCOPE_SERVICE, /* a value of `services` */
    SCOPE_PROFILE, /* a value of `sandbox.profiles` */
    SCOPE_MAX,
};

enum option_type {
    OPTION_TEXT,
    OPTION_PATH, /* absolute */
    OPTION_FLAG,
    OPTION_COUNT,
    OPTION_DECIMAL,  /* in thousandths */
    OPTION_DURATION, /* in ms */
    OPTION_SIZE,     /* in bytes */
    OPTION_CHOICE,
    OPTION_URL,      /* `words`: its schemes */
    OPTION_HOST,     /* an address to listen on */
    OPTION_HOSTPORT, /* host:port to connect to */
    OPTION_SIGNAL,
    OPTION_NAME,  /* of a service or a profile */
    OPTION_PAIRS, /* a mapping of variables to values */
    OPTION_PLACE, /* a path of a sandbox profile: absolute, or from one of its names on */
    OPTION_PORT,  /* any, none, or a number */
    OPTION_SYSCALL,
    OPTION_CAPABILITY,
    OPTION_TYPE_MAX,
};

enum option_id {
    OPT_HOME,
    OPT_STATE_DIR,
    OPT_POD,
    OPT_STOP_TIMEOUT,
    OPT_DRAIN,
    OPT_ENV_FILE,
    OPT_WATCH_CONFIG,
    OPT_CGROUP,
    OPT_LOG_FORMAT,
    OPT_LOG_LEVEL,
    OPT_PLUGIN_PATH,
    OPT_PLUGIN_URL,
    OPT_PLUGIN_BRANCH,
    OPT_PLUGIN_UPDATE,
    OPT_PLUGIN_TOKEN_FILE,
    OPT_PLUGIN_CA_FILE,
    OPT_PLUGIN_TIMEOUT,
    OPT_PLUGIN_RELOAD,
    OPT_OPENCODE_BIN,
    OPT_OPENCODE_USERNAME,
    OPT_OPENCODE_COMMAND,
    OPT_OPENCODE_HOSTNAME,
    OPT_OPENCODE_PORT,
    OPT_OPENCODE_AUTH,
    OPT_OPENCODE_VERSION_CHECK,
    OPT_GATEWAY_LISTEN,
    OPT_GATEWAY_PORT,
    OPT_GATEWAY_STATE_REPO,
    OPT_GATEWAY_STATE_BRANCH,
    OPT_GATEWAY_STATE_TOKEN_FILE,
    OPT_GATEWAY_STATE_CA_FILE,
    OPT_GATEWAY_BUSY,
    OPT_GATEWAY_QUESTION_TIMEOUT,
    OPT_GATEWAY_PERMISSION_DEADLINE,
    OPT_GATEWAY_WEB_ACTIVE,
    OPT_GATEWAY_WEB_HOLD,
    OPT_GATEWAY_URL,
    OPT_GATEWAY_WS,
    OPT_PROBES_LISTEN,
    OPT_PROBES_PORT,
    OPT_SLACK_CHANNEL,
    OPT_SLACK_ALLOWED_USERS,
    OPT_SLACK_ALLOW,
    OPT_SLACK_API_URL,
    OPT_SANDBOX_REQUIRE,
    OPT_TRUST,

    OPT_STORAGE_PATH,
    OPT_STORAGE_POLICY,
    OPT_STORAGE_MIGRATE,
    OPT_STORAGE_MIN_FREE,
    OPT_STORAGE_MIN_INODES,

    OPT_COMMAND,
    OPT_TYPE,
    OPT_AFTER,
    OPT_REQUIRES,
    OPT_ENV,
    OPT_CWD,
    OPT_USER,
    OPT_START_TIMEOUT,
    OPT_WATCHDOG,
    OPT_READY_HTTP,
    OPT_READY_TCP,
    OPT_READY_EXEC,
    OPT_READY_NOTIFY,
    OPT_READY_INTERVAL,
    OPT_READY_TIMEOUT,
    OPT_HEALTH_HTTP,
    OPT_HEALTH_TCP,
    OPT_HEALTH_EXEC,
    OPT_HEALTH_INTERVAL,
    OPT_HEALTH_TIMEOUT,
    OPT_HEALTH_FAILURES,
    OPT_HEALTH_ACTION,
    OPT_RESTART,
    OPT_BACKOFF_FIRST,
    OPT_BACKOFF_FACTOR,
    OPT_BACKOFF_MAX,
    OPT_BACKOFF_JITTER,
    OPT_BACKOFF_RESET_AFTER,
    OPT_LIMIT_COUNT,
    OPT_LIMIT_WINDOW,
    OPT_LIMIT_THEN,
    OPT_STOP_SIGNAL,
    OPT_STOP_GRACE,
    OPT_PRE_STOP_HTTP_POST,
    OPT_PRE_STOP_EXEC,
    OPT_PRE_STOP_TIMEOUT,
    OPT_POST_START_EXEC,
    OPT_POST_START_TIMEOUT,
    OPT_MEMORY_MAX,
    OPT_NOFILE,
    OPT_NPROC,
    OPT_SANDBOX,
    OPT_CRITICAL,

    OPT_PROFILE_LIKE,
    OPT_PROFILE_READ,
    OPT_PROFILE_EXEC,
    OPT_PROFILE_WRITE,
    OPT_PROFILE_WORK,
    OPT_PROFILE_HIDDEN,
    OPT_PROFILE_FIXED,
    OPT_PROFILE_MAKE,
    OPT_PROFILE_CONNECT,
    OPT_PROFILE_BIND,
    OPT_PROFILE_SIGNALS,
    OPT_PROFILE_ABSTRACT,
    OPT_PROFILE_SYSCALLS,
    OPT_PROFILE_ALLOW,
    OPT_PROFILE_DENY,
    OPT_PROFILE_CAPABILITIES,
    OPT_PROFILE_NOFILE,
    OPT_PROFILE_NPROC,
    OPT_PROFILE_FSIZE,
    OPT_PROFILE_CORE,
    OPT_PROFILE_SCRUB,
    OPT_PROFILE_CONTROL,
    OPT_MAX,
};

struct setting {
    enum option_scope scope;
    const char *key;      /* "log.format"; NULL: by environment only */
    const char *variable; /* of the environment; NULL: none */
    enum option_type type;
    bool list;            /* a list of `type`; one value alone is a list of one */
    bool empty;           /* "" is fine and means: not set */
    bool early;           /* needed to find the env file: not taken from it */
    bool guarded;         /* not taken from the env file, which the agent can write */
    uint64_t min, max;    /* of numbers; max 0: no bound */
    const char *words;    /* choices, schemes: "json|text" */
    const char *fallback; /* $HOME and others of config.h are put in; NULL: none */
    const char *shown;    /* the default for people, where `fallback` does not say it */
    const char *help;
};

extern const struct setting option_table[OPT_MAX];

/* What people call it: its key, else its variable. */
const char *option_name(enum option_id id);

/* The row of `scope` with that key, or OPT_MAX. */
enum option_id option_find(enum option_scope scope, const char *key, size_t len);

/* Whether keys "PREFIX.…" exist (`len` bytes of `prefix`). */
bool option_is_prefix(enum option_scope scope, const char *prefix, size_t len);

/* The known key of `scope` below `prefix` ("" or "log.") that looks most like `word`; NULL when
 * none is near. The result is the part behind the prefix, up to `*ret_len` bytes. */
const char *option_similar(enum option_scope scope, const char *prefix, const char *word,
                           size_t *ret_len);

/* The word of `words` (count) nearest to `word`, or NULL when none is near. */
const char *similar_word(const char *word, const char *const *words, size_t count);

/* One value of the option. 0, or -EINVAL with what was expected in `expected`. */
int option_check(const struct setting *o, const char *text, struct buf *expected);

/* Values that option_check() accepted, as numbers: ms, bytes, thousandths, 0 or 1, a signal number,
 * the index of the choice. */
uint64_t option_number(const struct setting *o, const char *text);
