/* PID 1's handle of a guarded program: a service, a hook, a check, the config compiler. */
#pragma once

#include "supervisor/init/guard.h"
#include "supervisor/init/helper.h"
#include "supervisor/init/loop.h"
#include "supervisor/init/reaper.h"

enum proc_event {
    PROC_STARTED, /* it runs; leader is set */
    PROC_FAILED,  /* it could not be run; failure is set. PROC_GONE follows */
    PROC_EXITED,  /* status is set. PROC_GONE follows */
    PROC_GONE,    /* nothing of it is left; the handle may be used again */
};

struct proc {
    struct loop *loop;
    struct reaper *reaper;
    void (*fn)(struct proc *p, enum proc_event event);
    void *arg;

    struct source sock;
    struct child guard;
    struct timer stuck;  /* the guard's cleaning takes too long */
    struct helper sweep; /* does it in the guard's place, when the guard was killed */
    char mark[96];
    pid_t leader; /* 0 when it does not run; set before the program can write a byte */
    bool exited, failed, stopping;
    bool done;         /* the guard said that nothing is left */
    pid_t last_leader; /* also when it has ended: the session of what it left behind */
    int status;        /* of waitpid(), when exited */
    bool unseen;       /* exited, and how was told to its own parent alone: a failure, for us */
    struct spawn_failure failure;
    bool sandboxed; /* the report is there */
    struct sandbox_report report;
    int killed;   /* how many it had left behind */
    bool resweep; /* adopted while a sweep was at work */
};

/* All but `fn` and `arg` are set; those are the caller's. */
void proc_init(struct proc *p, struct loop *loop, struct reaper *reaper);

/* Forks the guard. 0, or -errno when not even that worked (no event follows then). */
int proc_start(struct proc *p, const struct spawn_spec *spec);
static inline bool proc_active(const struct proc *p)
{
    return p->guard.pid != 0 || helper_busy(&p->sweep);
}
/* Before its memory goes away; it must not be active. */
void proc_release(struct proc *p);

/* For the next image of PID 1 after a fault (crash.h). */
struct saved_proc {
    int sock;
    pid_t guard, leader, last_leader;
    bool exited, failed, stopping, done, sweeping, unseen;
    int status, killed;
    struct spawn_failure failure;
    uint64_t stuck_due_ms;
    bool sandboxed;
    struct sandbox_report report;
    char mark[96];
};
void proc_save(const struct proc *p, struct saved_proc *ret); /* in the fault's handler */
/* After proc_init(). 0 or -errno. */
int proc_adopt(struct proc *p, const struct saved_proc *saved);
/* After it, when events may come: notices a guard that nobody will tell of any more. */
void proc_check(struct proc *p);

/* Takes in what the guard has told already, for who must know now. */
void proc_poll(struct proc *p);
void proc_signal(struct proc *p, int signal); /* to its process group */
void proc_stop(struct proc *p, int signal);   /* the same, as the start of an orderly stop */
void proc_lead(struct proc *p, pid_t pid);    /* another one below the guard is its main process */
void proc_kill(struct proc *p);               /* everything, now */

/* "exit 1", "signal 9 (SIGKILL)". Returns `out`. */
#define PROC_STATUS_SIZE 48
const char *proc_status_text(int status, char out[PROC_STATUS_SIZE]);
/* The exit status that a shell would show: 0-255, 128+n. */
int proc_status_code(int status);
