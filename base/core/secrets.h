/* Which settings are secrets, who may have them, and how a service takes them over.
 *
 * PID 1 collects them at start from its environment, from files named by <NAME>_FILE and from the
 * state folder, removes them from its environment, and hands each service only its own, as lines
 * NAME=VALUE\n over a pipe whose read end is named by CODEV_SECRETS_FD. The writer has closed its
 * end by then, so one read to end of file takes them all; the pipe is empty after, for whoever
 * else may inherit it. OpenCode reads its password from the environment and nowhere else. */
#pragma once

#include "base/core/error.h"

#include <stdbool.h>
#include <stddef.h>

enum secret_for {
    SECRET_FOR_GATEWAY = 1 << 0,
    SECRET_FOR_PROBES = 1 << 1,
    SECRET_FOR_OPENCODE = 1 << 2, /* by pipe: its bridge plugin reads it */
    SECRET_FOR_OPENCODE_ENV = 1 << 3,
    SECRET_FOR_PREPARE = 1 << 4,
    SECRET_FOR_STATE = 1 << 5,
};

struct secret_spec {
    const char *name;
    const char *state_file; /* kept in the state folder under this name, generated if absent */
    bool per_boot;          /* generated anew at every boot, never stored */
    int readers;            /* enum secret_for, or-ed */
};

/* Terminated by a row whose name is NULL. */
extern const struct secret_spec secret_table[];

/* The row of `name`, or NULL when it is no secret. */
const struct secret_spec *secret_find(const char *name);

/* Fills `out` with 256 random bits as 64 hex digits (getrandom(2)) and a NUL. 0 or -errno. */
#define SECRET_TEXT_SIZE 65
int secret_generate(char out[SECRET_TEXT_SIZE]);

/* Equal, compared in time that depends on the length of `given` only. */
bool secret_equal(const char *given, const char *expected);

struct secret {
    char *name;
    char *value;
};

struct secrets {
    struct secret *rows;
    size_t count;
};

/* For a service: reads what CODEV_SECRETS_FD names, closes it and unsets the variable; then adds
 * each table entry that one of `readers` (enum secret_for, or-ed) may have, that stands in the
 * environment (or in the file that <NAME>_FILE names) and was not handed over, and unsets all of
 * the table. Works without a supervisor, then. 0 or -errno with `e`. */
int secrets_take(int readers, struct secrets *ret, struct error *e);
const char *secrets_get(const struct secrets *s, const char *name); /* NULL: none */
void secrets_release(struct secrets *s);                            /* wipes, then frees */
