/* One guard process per running service, hook or check: it is the subreaper over all that descends
 * from the program it starts, and kills what the program leaves behind.
 *
 * Why a process of its own. Where no cgroup can be written (most pods), nothing else in Linux ties
 * a process for ever to the service it came from: a tool child that calls setsid and forks twice
 * has neither the group, nor the session, nor a parent of the service; it would be reparented to
 * PID 1, among the orphans of all other services and of every `kubectl exec`. A marker in the
 * environment can be dropped by the child. Below a subreaper all that is orphaned stays below it,
 * so "the guard has no child left" is "nothing of the service is left", told by waitpid and not by
 * guessing. The guard is a fork of PID 1 without exec: it shares its pages, costs some tens of KiB
 * and one fork, and keeps no descriptor but its own socket.
 *
 * PID 1 never signals the program itself: the guard does, which alone knows whether the number is
 * still the program's, because the guard alone reaps it. */
#pragma once

#include <stdint.h>

#include "supervisor/init/spawn.h"

enum guard_what {
    GUARD_FORKED,  /* the process that is, or is to become, the program; pid */
    GUARD_SANDBOX, /* what became of its sandbox; report. Before GUARD_STARTED */
    GUARD_STARTED, /* exec succeeded; pid */
    GUARD_FAILED,  /* exec or a step before it failed; step, error */
    GUARD_EXITED,  /* the program ended; pid, status; what it left is killed next. error ECHILD: how
                      it ended only another process below the guard was told */
    GUARD_DONE,    /* nothing is left; killed: how many had to be killed. The guard ends. */
    GUARD_WHAT_MAX,
};

/* Guard → PID 1, one per packet. */
struct guard_message {
    uint32_t what;
    int32_t pid;
    int32_t step;
    int32_t error;
    int32_t status; /* of waitpid() */
    int32_t killed;
    int32_t part; /* of a failed sandbox */
    struct sandbox_report report;
};

/* PID 1 → guard, one per packet. Also: end of file means that PID 1 is gone, kill all. */
enum guard_order {
    GUARD_SIGNAL, /* send `signal` to the program's process group */
    GUARD_STOP,   /* the same, and let its group end by itself when the program has ended */
    GUARD_KILL,   /* SIGKILL to everything */
    GUARD_LEAD,   /* `signal` is a pid: if it is below the guard, it is the program from now on */
};
struct guard_command {
    uint32_t order;
    int32_t signal;
};

/* Runs as the guard; never returns. `sock` is its end of a SOCK_SEQPACKET pair. All signals are
 * blocked by the caller. */
_Noreturn void guard_main(const struct spawn_spec *spec, int sock);
