#include <errno.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

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
