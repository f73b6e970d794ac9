/* Environments: a list of K=V where the later one wins, and the reading of lines K=V. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct env {
    char **vars; /* NULL-terminated, each malloc'ed; NULL while empty */
    size_t count;
    bool failed; /* out of memory; sticky */
};

#define ENV_LINES_MAX ((size_t)64 << 10)

/* "K=V"; replaces an earlier K. Without '=' or with an empty name it is left out. */
void env_put(struct env *e, const char *pair);
void env_set(struct env *e, const char *name, const char *value);
void env_unset(struct env *e, const char *name);
const char *env_get(const struct env *e, const char *name); /* NULL: none */
void env_release(struct env *e);

/* Is this a name that a shell could set: [A-Za-z_][A-Za-z0-9_]*, `len` bytes? */
bool env_name_valid(const char *name, size_t len);

/* Lines K=V, "export K=V", comments and empty lines left out, one pair of quotes around the value
 * taken off. Never executed, nothing expanded. Returns how many lines were not understood. */
size_t env_put_lines(struct env *e, const char *text, size_t len);

/* The same from a regular file of at most ENV_LINES_MAX bytes. 0, or -errno (-ENOENT: none). */
int env_put_file(struct env *e, const char *path);

/* Overwrites the value of `name` where the kernel shows it (/proc/PID/environ) and takes it out
 * of environ. */
void environ_wipe(const char *name);
