#include <errno.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "supervisor/sandbox/sandbox.h"
#include "supervisor/shell/shell.h"

/* A domain must handle something: making block devices is what nobody without privileges can do
 * anyhow. There are no rules, so that it costs two system calls. */
int shell_enter_domain(void)
{
    struct landlock_ruleset_attr attr = { .handled_access_fs = LANDLOCK_ACCESS_FS_MAKE_BLOCK };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr.handled_access_fs, 0);
    if (fd < 0) /* EPERM: a container's own filter that does not know Landlock */
        return errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM ? 1 : -errno;
    int r = syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? -errno : 0;
    (void)close(fd);
    return r;
}

static int apply(const struct sandbox *s, char *const *vars)
{
    const struct sandbox_where where = { .runtime = shell_value(vars, "CODEV_RUNTIME_DIR"),
                                         .state = shell_value(vars, "CODEV_STATE_DIR") };
    struct sandbox_kernel kernel;
    struct sandbox_report report = { .missing = 0 };
    enum sandbox_part part;
    sandbox_kernel_probe(&kernel);
    int r = sandbox_apply(s, &where, &kernel, &report, &part);
    return r < 0 ? r : kernel.landlock_abi == 0;
}

int shell_enter(char *const *vars)
{
    const char *path = shell_value(vars, "CODEV_SANDBOX_COMMANDS");
    _cleanup_free_ char *block = NULL; /* from malloc, hence aligned */
    struct sandbox sandbox;
    struct error e = ERROR_INIT;
    size_t size;
    if (!path || !*path)
        return shell_enter_domain();
    int r = file_read(path, SANDBOX_MAX, &block, &size);
    if (r == 0)
        r = sandbox_open(&sandbox, block, size, &e);
    return r < 0 ? r : apply(&sandbox, vars);
}
