/* The effective configuration: every option's value and where it came from.
 *
 * Precedence: flag, environment, env file, config file, default. An empty variable counts as not
 * set. Faults are collected, one line each, so that a person sees them all at once. */
#pragma once

#include "base/core/buf.h"
#include "supervisor/config/env_file.h"
#include "supervisor/config/option.h"
#include "supervisor/plan/plan.h" /* CONFIG_FILE_DEFAULT */

#include <stdbool.h>
#include <stddef.h>

#define CONFIG_FILE_MAX     ((size_t)1 << 20)
#define CONFIG_SERVICES_MAX 64
#define CONFIG_STORAGE_MAX  16
#define CONFIG_PROFILES_MAX 32

enum source {
    SOURCE_NONE,
    SOURCE_DEFAULT,
    SOURCE_FILE,
    SOURCE_ENV_FILE,
    SOURCE_ENVIRONMENT,
    SOURCE_FLAG,
    SOURCE_MAX,
};
const char *source_name(enum source s); /* "default", "file", … */

struct value {
    char **items; /* NULL-terminated; a scalar is a list of one; pairs are "K=V" */
    size_t count;
    enum source source;
    unsigned line; /* of its file; 0: none */
};

/* The top, one volume, one service, or one sandbox profile. */
struct group {
    enum option_scope scope;
    char *name;    /* "", "storage[0]", "services.opencode" */
    unsigned line; /* in the config file; 0: not there */
    int builtin;   /* index into the built-in services or profiles, -1: none */
    struct value values[OPT_MAX];
};

struct config {
    char *file;        /* path of the config file */
    bool file_present; /* without one all defaults hold */
    bool in_pod;
    char *own_folder; /* where the programs are */
    struct group top;
    struct group *storage[CONFIG_STORAGE_MAX];
    size_t storage_count;
    bool storage_given; /* the file lists the volumes, perhaps none */
    struct group *services[CONFIG_SERVICES_MAX];
    size_t service_count;
    struct group *profiles[CONFIG_PROFILES_MAX];
    size_t profile_count;
    struct env_file env_file;
    struct buf errors, warnings; /* whole lines */
    bool failed;                 /* out of memory somewhere: nothing here may be used */
};

/* What was asked for on the command line. */
struct config_flags {
    const char *file;       /* --config; NULL: CODEV_CONFIG, else the default place */
    const char *const *set; /* --set KEY=VALUE, top options only */
    size_t set_count;
};

/* Loads and checks everything. 0: it can be used; -EINVAL: `errors` says why; -ENOMEM. The config
 * must be released in each case. */
int config_load(struct config *c, const struct config_flags *flags);
void config_release(struct config *c);
#define _cleanup_config_ _cleanup_(config_release)

/* Adds an error line "FILE:LINE: KEY: …", or "KEY: …" when the value came from elsewhere. `g` is
 * NULL for the file as a whole, `id` OPT_MAX for the group as a whole. */
void config_error(struct config *c, const struct group *g, enum option_id id, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void config_error_at(struct config *c, unsigned line, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* A scalar's text, "" when nothing gave it a value. */
const char *value_text(const struct group *g, enum option_id id);
bool value_is_set(const struct group *g, enum option_id id); /* and not to "" */
uint64_t value_number(const struct group *g, enum option_id id);

/* Replaces a value by copies. 0 or -ENOMEM. */
int value_set(struct group *g, enum option_id id, const char *const *items, size_t count,
              enum source source, unsigned line);

/* Checks a value (an error line if it is wrong) and takes it unless a stronger source gave one
 * already. 0 or -ENOMEM. */
int config_put(struct config *c, struct group *g, enum option_id id, const char *const *items,
               size_t count, enum source source, unsigned line);

/* The service's own name, without "services.". */
const char *service_name(const struct group *g);
struct group *config_service(const struct config *c, const char *name);
/* The same of a profile. */
const char *profile_name(const struct group *g);
struct group *config_profile(const struct config *c, const char *name);

/* New, empty ones, added at the end. NULL: no memory, or too many (an error is added). */
struct group *config_add_service(struct config *c, const char *name, unsigned line);
struct group *config_add_storage(struct config *c, unsigned line);
void config_group_free(struct group *g);
struct group *config_add_profile(struct config *c, const char *name, unsigned line);

/* `text` with $HOME and the other names of expand.c put in; `g` is the group it is for. */
void config_expand(const struct config *c, const struct group *g, const char *text,
                   struct buf *out);

/* The parts of config_load(), in order; each adds its errors to `c`. 0 or -ENOMEM. */
int config_add_builtins(struct config *c); /* the built-in services, empty */
int config_read_file(struct config *c);    /* YAML */
/* Takes out those that the settings want not. When the top level is complete. */
void config_drop_builtins(struct config *c);
int config_fill_builtins(struct config *c); /* what the file left open in them */
void config_check(struct config *c);        /* what concerns more than one value */
