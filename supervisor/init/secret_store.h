/* The secrets that PID 1 holds: taken out of its environment at start, handed to each service that
 * may have them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/core/error.h"
#include "base/core/secrets.h"
#include "supervisor/init/env.h"

#define SECRET_STORE_MAX 32

struct secret_store {
    char *values[SECRET_STORE_MAX]; /* by row of secret_table; NULL: not there */
    char *files[SECRET_STORE_MAX];  /* what <NAME>_FILE named; NULL: none */
    bool given[SECRET_STORE_MAX];   /* stood in the environment, which wins over its file */
};

/* How many rows secret_table has. */
size_t secret_count(void);

/* Takes each secret out of the environment, or notes the file that <NAME>_FILE names, and wipes
 * both from what /proc/1/environ shows. 0 or -ENOMEM. */
int secret_store_collect(struct secret_store *s);

/* Reads the file that was noted for that row; may block, so it is for a helper. 0 with the value
 * (owned), -ENOENT when none was noted or it is empty, or -errno. */
int secret_store_read_file(const struct secret_store *s, size_t row, char **ret);

/* The same from a list of K=V that came later (env_file): moves them out of `env`. */
void secret_store_take_env(struct secret_store *s, struct env *env);

/* Keeps a copy, to the end of its first line. 0, -ENOENT for a name that is no secret, -ENOMEM. */
int secret_store_set(struct secret_store *s, const char *name, const char *value);
const char *secret_store_get(const struct secret_store *s, const char *name); /* NULL: none */

/* Those for the readers (enum secret_for), as lines in a pipe whose read end is returned,
 * close-on-exec; its write end is closed. -1: there are none. 0 or -errno (-EMSGSIZE: more than a
 * pipe holds). */
int secret_store_pipe(const struct secret_store *s, uint32_t readers, int *ret_fd);

/* In the child: those that OpenCode takes from its environment and nowhere else. */
void secret_store_environment(const struct secret_store *s, uint32_t readers, struct env *env);

/* Takes back what nobody has read, without waiting; how many bytes. */
size_t secret_pipe_drain(int fd);

void secret_store_wipe(struct secret_store *s);
