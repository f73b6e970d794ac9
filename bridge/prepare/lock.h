/* The lock of a repository volume, which several pods may share. flock(2) on a file beside the
 * checkout: freed by the kernel when the holder ends, however it ends. */
#pragma once

#include "base/core/error.h"

#include <stdint.h>

/* Waits for the lock until `deadline_ms` (clock_mono_ms). The descriptor holds it until closed.
 * -ETIMEDOUT, -EROFS, … with `e`. */
int lock_take(const char *repo_path, uint64_t deadline_ms, struct error *e);

/* The same without waiting or complaining: a negative errno when it is not to be had now. */
int lock_try(const char *repo_path);
