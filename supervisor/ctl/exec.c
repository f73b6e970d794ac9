/* Commands that are programs of their own. */
#include "supervisor/ctl/ctl.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static int exec_beside(const char *program, const char *first, char **argv)
{
    _cleanup_free_ char *path = ctl_beside(program);
    size_t n = 0;
    while (argv[n])
        n++;
    _cleanup_free_ char **args = calloc(n + 3, sizeof *args);
    if (!path || !args) {
        ctl_complain("out of memory");
        return CTL_NOT_WELL;
    }
    size_t at = 0;
    args[at++] = path;
    if (first && !(args[at++] = strdup(first)))
        return CTL_NOT_WELL;
    for (size_t i = 1; i < n; i++) /* argv[0] is the command's name */
        args[at++] = argv[i];
    (void)execv(path, args);
    ctl_complain("cannot run %s: %s", path, strerror(errno));
    return CTL_NOT_WELL;
}

int ctl_exec_accept(char **argv)
{
    return exec_beside("codev-accept", NULL, argv);
}

int ctl_exec_backup(char **argv)
{
    return exec_beside("codev-backup", argv[0], argv); /* backup or restore */
}

int ctl_exec_sessions(char **argv)
{
    return exec_beside("codev-sessions", NULL, argv);
}

int ctl_exec_config(char **argv)
{
    return exec_beside("codev-config", "print", argv);
}
