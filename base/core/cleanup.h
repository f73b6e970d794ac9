/* Ownership by scope: a variable marked `_cleanup_(f)` is released when its scope ends; TAKE_PTR
 * and TAKE_FD hand it over to somebody else instead. Never mix with goto in one function. */
#pragma once

#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

static inline void free_ptr(void *p)
{
    free(*(void **)p);
}

static inline void close_fd_ptr(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

#define _cleanup_free_ _cleanup_(free_ptr)
#define _cleanup_fd_   _cleanup_(close_fd_ptr)

#define TAKE_PTR(p)                                                                                \
    ({                                                                                             \
        __typeof__(p) *take_ = &(p);                                                               \
        __typeof__(p) took_ = *take_;                                                              \
        *take_ = NULL;                                                                             \
        took_;                                                                                     \
    })

#define TAKE_FD(fd)                                                                                \
    ({                                                                                             \
        int *take_ = &(fd);                                                                        \
        int took_ = *take_;                                                                        \
        *take_ = -1;                                                                               \
        took_;                                                                                     \
    })

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
