/* The secrets that PID 1 holds: taken out of its environment at start, handed to each service that
 * may have them. */
#pragma once

#include <stdint.h>

#include "base/core/error.h"
#include "base/core/secrets.h"
#include "supervisor/init/env.h"

#define SECRET_STORE_MAX 32

struct secret_store {
    char *values[SECRET_STORE_MAX]; /* by row of secret_table; NULL: not there */
};

/* How many rows secret_table has. */
size_t secret_count(void);

/* Takes each secret out of the environment or the file that <NAME>_FILE names, and wipes both from
 * what /proc/1/environ shows. A file that cannot be read is said in `e` (the last one), -errno
 * then; the others are taken anyway. */
int secret_store_collect(struct secret_store *s, struct error *e);

/* The same from a list of K=V that came later (env_file): moves them out of `env`. */
void secret_store_take_env(struct secret_store *s, struct env *env);

/* Keeps a copy, to the end of its first line. 0, -ENOENT for a name that is no secret, -ENOMEM. */
int secret_store_set(struct secret_store *s, const char *name, const char *value);
const char *secret_store_get(const struct secret_store *s, const char *name); /* NULL: none */

/* In the child: gives a service its secrets. Those for OpenCode's environment go into `env`, the
 * others through a pipe that CODEV_SECRETS_FD names, filled and closed before this returns.
 * `readers`: enum secret_for. 0 or -errno (-EMSGSIZE: more than the pipe holds). */
int secret_store_hand_over(const struct secret_store *s, uint32_t readers, struct env *env);

void secret_store_wipe(struct secret_store *s);
