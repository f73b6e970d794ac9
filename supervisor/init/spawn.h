/* Child setup: what happens between fork and exec. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisor/init/env.h"
#include "supervisor/sandbox/sandbox.h"

enum spawn_step {
    SPAWN_FORK,
    SPAWN_SESSION,
    SPAWN_STDIO,
    SPAWN_LIMITS,
    SPAWN_USER,
    SPAWN_CWD,
    SPAWN_ENVIRONMENT,
    SPAWN_SANDBOX,
    SPAWN_EXEC,
    SPAWN_STEP_MAX,
};
/* For people: "cannot run the command", … */
const char *spawn_step_text(enum spawn_step step);

struct spawn_spec {
    const char *label;       /* shown as the guard's name */
    const char *mark;        /* "K=V" that its environment holds; NULL: none. Finds what is left
                                when the guard was killed */
    const char *const *argv; /* NULL-terminated */
    /* Fills `env` in the child, just before exec: it may read files and open descriptors for the
     * program. 0 or -errno. */
    int (*build_env)(struct env *env, void *arg);
    /* With a sandbox: what else is told of it, in it. NULL: nothing. */
    void (*look)(const struct env *env, const struct sandbox_kernel *k, struct sandbox_report *r);
    void *env_arg;
    const char *cwd;               /* NULL: stay */
    bool cwd_optional;             /* go on in / when it is not there */
    const char *user;              /* name or number; NULL or "": stay */
    uint32_t nofile, nproc;        /* 0: as they are */
    const struct sandbox *sandbox; /* NULL: none */
    struct sandbox_where where;
    const struct sandbox_kernel *kernel; /* with a sandbox */
    bool sandbox_require;                /* a part that is not available is a failure */
    int stdout_fd, stderr_fd;            /* -1: /dev/null */
    int keep_fd;            /* -1, or one that the program inherits under the same number */
    const sigset_t *mask;   /* the signal mask that the program gets */
    int cgroup_fd;          /* the group to start it in; 0: the guard's own */
    bool cgroup_is_its_own; /* nothing else is in it: it is killed as a whole */
    bool cgroup_is_new;     /* as cgroup_fork() wants to know */
};

struct spawn_failure {
    int step;  /* enum spawn_step */
    int error; /* errno */
    int part;  /* enum sandbox_part, when the step is SPAWN_SANDBOX */
};
/* What was to be started; "" where nothing was said. */
struct spawn_wanted {
    const char *command, *cwd, *user;
};
/* One sentence for people: what failed, and what to do about it. */
void spawn_failure_text(const struct spawn_failure *f, const struct spawn_wanted *wanted, char *out,
                        size_t size);

/* Closes every descriptor from 3 up but those in `keep` (values below 3 are passed over). */
void spawn_close_fds(const int *keep, size_t count);

/* Makes /dev/null the standard descriptors that are -1, the rest what is given. 0 or -errno. */
int spawn_stdio(int in, int out, int err);

/* Turns this process into the program. Returns only on failure. `tell` is called just before exec,
 * with what became of the sandbox, if there is one. */
struct spawn_failure spawn_exec(const struct spawn_spec *spec,
                                void (*tell)(void *arg, const struct sandbox_report *r), void *arg);

/* The folder of our own executable, "" when unknown. Found once. */
const char *spawn_own_dir(void);

/* Fills `out` with the path of a program: as it is with a slash in it; beside ourselves for
 * codev-*; else along PATH, then beside ourselves. 0, -ENOENT, -EACCES (there, but not to be run),
 * -ENAMETOOLONG. */
int spawn_find(const char *name, const char *path, char *out, size_t size);
