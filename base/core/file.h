/* Small files and descriptors. Every descriptor is O_CLOEXEC from birth. */
#pragma once

#include "base/core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Reads a whole regular file of at most `max` bytes. `*ret` is malloc'ed, NUL-terminated (the NUL
 * is not counted in `*ret_len`, which may be NULL). Errors: -errno; -EFBIG over max; -EINVAL when
 * it is not a regular file. */
int file_read(const char *path, size_t max, char **ret, size_t *ret_len);
int file_read_fd(int fd, size_t max, char **ret, size_t *ret_len);

/* Replaces `path` by rename of a temporary file beside it, fsync'ed file and folder, so that after
 * a crash either the old or the new contents are there, whole. */
int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode);
/* fsyncs the folder that `path` is in: a file that was just made keeps its name over a power cut.
 */
int file_sync_folder(const char *path);

/* mkdir -p; an existing folder is fine. */
int file_mkdir_p(const char *path, mode_t mode);

/* Removes a file or a tree; never follows symbolic links. 0 also when there was none. */
int file_remove_tree(const char *path);

/* Writes all of it, through EINTR and short writes. For blocking descriptors. */
int fd_write_all(int fd, const void *data, size_t len);

int fd_set_nonblock(int fd, bool on);
int fd_set_cloexec(int fd, bool on);

/* "a/b" from its parts; malloc'ed, NULL when out of memory. */
char *path_join(const char *a, const char *b);
