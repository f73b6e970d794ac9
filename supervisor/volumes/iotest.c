#include "supervisor/volumes/iotest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/file.h"

#define TEST_BYTES 4096

/* What is read back must be of this very run. */
static void fill(char data[TEST_BYTES])
{
    uint64_t x = clock_mono_us() ^ (uint64_t)getpid() << 40;
    for (size_t i = 0; i < TEST_BYTES; i++) {
        x = x * 6364136223846793005U + 1442695040888963407U; /* Knuth's MMIX */
        data[i] = (char)(x >> 56);
    }
}

static int write_file(int dir, const char *name, const char *data, const char **step)
{
    *step = "create";
    _cleanup_fd_ int fd =
        openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    *step = "write";
    int r = fd_write_all(fd, data, TEST_BYTES);
    if (r < 0)
        return r;
    *step = "fsync";
    return fsync(fd) < 0 ? -errno : 0;
}

static int read_back(int dir, const char *name, const char *data, const char **step)
{
    char got[TEST_BYTES];
    *step = "read back";
    _cleanup_fd_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t len = 0;
    while (len < sizeof got) {
        ssize_t n = read(fd, got + len, sizeof got - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        len += (size_t)n;
    }
    return memcmp(got, data, sizeof got) == 0 ? 0 : -EIO;
}

static int run(int dir, const char *first, const char *second, const char **step)
{
    char data[TEST_BYTES];
    fill(data);
    int r = write_file(dir, first, data, step);
    if (r < 0)
        return r;
    *step = "rename";
    if (renameat(dir, first, dir, second) < 0)
        return -errno;
    r = read_back(dir, second, data, step);
    if (r < 0)
        return r;
    *step = "unlink";
    return unlinkat(dir, second, 0) < 0 ? -errno : 0;
}

int volume_io_test(const char *folder, const char **ret_step)
{
    char first[64], second[64];
    /* By pid: pids repeat from boot to boot, so what a killed test leaves is overwritten. */
    (void)snprintf(first, sizeof first, ".codev-check-%d.new", (int)getpid());
    (void)snprintf(second, sizeof second, ".codev-check-%d", (int)getpid());
    *ret_step = "open";
    _cleanup_fd_ int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -errno;
    int r = run(dir, first, second, ret_step);
    if (r < 0) {
        (void)unlinkat(dir, first, 0);
        (void)unlinkat(dir, second, 0);
    }
    return r;
}
