/* The env file: lines `export K=V` or `K=V`, quoted as a POSIX shell quotes. It is read, never
 * executed: what only a shell could work out is reported and skipped. */
#pragma once

#include "base/core/buf.h"

#include <stddef.h>

#define ENV_FILE_MAX       ((size_t)256 << 10)
#define ENV_FILE_VARIABLES 512

struct env_variable {
    char *name, *value;
    unsigned line;
};

struct env_file {
    char *path;
    struct env_variable *rows; /* each name once, its last value */
    size_t count;
};

/* Takes in a file's text. Each line that is skipped adds one line to `warnings`. 0 or -ENOMEM. */
int env_file_parse(struct env_file *f, const char *path, const char *text, size_t len,
                   struct buf *warnings);
const struct env_variable *env_file_get(const struct env_file *f, const char *name);
void env_file_release(struct env_file *f);
