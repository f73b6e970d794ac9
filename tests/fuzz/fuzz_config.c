/* rooms: supervisor/config supervisor/plan supervisor/profile supervisor/sandbox base/yaml base/json base/core */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/core/utf8.h"
#include "supervisor/config/compile.h"
#include "supervisor/plan/plan.h"
#include "tests/fuzz/fuzz.h"

static void compile(const struct config *c)
{
    _cleanup_free_ void *block = NULL;
    size_t len = 0;
    struct error e = ERROR_INIT;
    struct plan p;
    int r = config_compile(c, &block, &len, &e);
    REQUIRE(r == 0 && len <= PLAN_MAX);
    REQUIRE(plan_open(&p, block, len, &e) == 0);
    for (uint32_t i = 0; i < p.header->services; i++)
        REQUIRE(*plan_item(&p, p.services[i].argv, 0));
}

/* A whole config file. What is accepted must compile, and PID 1 must take what was compiled; what
 * is refused has a line for people. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 8192 || memmem(data, size, "env_file", 8)) /* opens no files by the input's word */
        return 0;
    (void)clearenv();
    (void)setenv("HOME", "/home/coder", 1);
    _cleanup_fd_ int fd = memfd_create("config", MFD_CLOEXEC);
    char path[48];
    if (fd < 0 || fd_write_all(fd, data, size) < 0)
        return 0;
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const char *set[] = { "env_file=" };
    const struct config_flags flags = { .file = path, .set = set, .set_count = 1 };
    struct config c;
    int r = config_load(&c, &flags);
    REQUIRE(r == 0 || r == -EINVAL);
    REQUIRE((r == 0) == (c.errors.len == 0));
    if (c.errors.len)
        REQUIRE(c.errors.data[c.errors.len - 1] == '\n');
    if (r == 0)
        compile(&c);
    config_release(&c);
    return 0;
}
