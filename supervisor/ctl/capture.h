/* Runs a program of ours and keeps what it says. */
#pragma once

#include "base/core/buf.h"

/* `program` stands beside this one; `args` ends with NULL. `out` takes its stdout, `err` its stderr
 * (NULL: it goes to ours). Returns its exit status, or -errno when it could not be run, or -EINTR
 * when a signal ended it. */
int capture(const char *program, const char *const *args, struct buf *out, struct buf *err);
