/* codev-init: PID 1 of the codev pod. Without a command it supervises the configured services; with
 * one it is a plain init for it. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/init/plain.h"
#include "supervisor/init/spawn.h"
#include "supervisor/init/supervisor.h"

/* The configuration is codev-config's: it says what is wrong, and its exit status is ours. */
static int check(int argc, char **argv, const sigset_t *mask)
{
    char path[4096];
    if (argc > 3) {
        (void)fputs("usage: codev-init --check [CONFIG]\n", stderr);
        return 2;
    }
    (void)sigprocmask(SIG_SETMASK, mask, NULL);
    if (spawn_find("codev-config", NULL, path, sizeof path) == 0)
        (void)execl(path, "codev-config", "check", argc > 2 ? argv[2] : NULL, NULL);
    perror("codev-init: cannot run codev-config");
    return 127;
}

int main(int argc, char **argv)
{
    /* First of all: to PID 1 the kernel drops a signal that is neither blocked nor handled. */
    sigset_t all, original;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &original);
    struct plain_options plain;
    char **command = NULL;
    if (argc > 1 && strcmp(argv[1], "--check") == 0 && plain_manner_of(argv[0]) == PLAIN_OWN)
        return check(argc, argv, &original);
    int status = plain_parse(&plain, argv, &command);
    if (status >= 0)
        return status;
    return command ? plain_run(&plain, command, &original) : supervisor_run(original);
}
