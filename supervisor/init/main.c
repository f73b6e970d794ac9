/* codev-init: PID 1 of the codev pod. Without a command it supervises the configured services; with
 * one it is a plain init for it. */
#include <signal.h>
#include <stddef.h>

#include "supervisor/init/plain.h"
#include "supervisor/init/supervisor.h"

int main(int argc, char **argv)
{
    /* First of all: to PID 1 the kernel drops a signal that is neither blocked nor handled. */
    sigset_t all, original;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &original);
    struct plain_options plain;
    char **command = NULL;
    (void)argc;
    int status = plain_parse(&plain, argv, &command);
    if (status >= 0)
        return status;
    return command ? plain_run(&plain, command, &original) : supervisor_run(original);
}
