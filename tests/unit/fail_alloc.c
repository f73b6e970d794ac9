/* Linked into a codev-init for tests (test_init_faults.c): one allocation of PID 1 fails, as the
 * file that CODEV_TEST_ALLOC names says. Its forks are not meant. With glibc only. */
#include "tests/unit/fail_alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *malloc(size_t size) __attribute__((visibility("default")));
void *calloc(size_t count, size_t size) __attribute__((visibility("default")));
void *realloc(void *old, size_t size) __attribute__((visibility("default")));

static struct fail_alloc *shared;
static pid_t owner;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("CODEV_TEST_ALLOC");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *map =
        fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        (void)close(fd);
    owner = getpid();
    if (map != MAP_FAILED)
        shared = map;
}

static bool fails(void)
{
    if (!shared || getpid() != owner || ++shared->count != shared->fail_at)
        return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return fails() ? NULL : __libc_realloc(old, size);
}
