/* codev-shell: see shell.h. Whatever it is given is the shell's, but for --exec. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "supervisor/shell/shell.h"

static int failed(const char *what, int error)
{
    (void)fprintf(stderr, "codev-shell: %s: %s\n", what, strerror(error));
    return error == ENOENT ? 127 : 126;
}

/* SHELL is the person's again: what starts a shell by itself (tmux, an editor) is inside already.
 */
static void put_shell(char **vars, const char *shell)
{
    static char variable[4096];
    size_t i = 0;
    (void)snprintf(variable, sizeof variable, "SHELL=%s", shell);
    while (vars[i] && strncmp(vars[i], "SHELL=", 6) != 0)
        i++;
    vars[i] = variable; /* shell_clean() left room for one more */
}

/* Its name, with the '-' of a login shell when we were called so. */
static void name_shell(char **argv, const char *shell)
{
    static char name[4096];
    const char *slash = strrchr(shell, '/');
    (void)snprintf(name, sizeof name, "%s%s", argv[0][0] == '-' ? "-" : "", slash ? slash + 1 : "");
    argv[0] = name;
}

int main(int argc, char **argv)
{
    /* Until the exec, what is in our environment is not for our siblings. */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    char **vars = shell_clean(environ);
    if (!vars || argc < 1)
        return failed("cannot clean the environment", vars ? EINVAL : ENOMEM);
    int r = shell_enter(environ);
    if (r < 0)
        return failed("cannot enter its sandbox", -r);
    (void)syscall(SYS_close_range, 3, ~0U, 0);
    const char *program = shell_choose(vars, "/proc/self/exe");
    put_shell(vars, program);
    if (argc > 2 && strcmp(argv[1], "--exec") == 0) {
        program = argv[2];
        argv += 3;
    } else {
        name_shell(argv, program);
    }
    (void)execvpe(program, argv, vars);
    return failed(program, errno);
}
