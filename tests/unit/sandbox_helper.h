/* Profiles made in a test, and children that enter them. */
#pragma once

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "supervisor/profile/profile.h"

#define WORDS(...)                                                                                 \
    {                                                                                              \
        .items = (const char *const[]){ __VA_ARGS__ },                                             \
        .count = sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)                     \
    }

/* Nothing is denied to us that root may do: no container's filter of calls, no capability gone. */
static inline bool unconfined(void)
{
    return geteuid() == 0 && prctl(PR_GET_SECCOMP) == 0 &&
           prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN) == 1;
}

struct box {
    struct sandbox sandbox;
    struct sandbox_kernel kernel;
    struct sandbox_where where;
    struct sandbox_report report;
    void *block;
    uid_t uid; /* of the child; 0: as we are */
};

static inline void box_make(struct box *b, const struct profile *p)
{
    struct error e = ERROR_INIT;
    size_t size;
    *b = (struct box){ .block = NULL };
    ck_assert_msg(profile_compile(p, &b->block, &size, &e) == 0, "%s", e.message);
    ck_assert_msg(sandbox_open(&b->sandbox, b->block, size, &e) == 0, "%s", e.message);
    sandbox_kernel_probe(&b->kernel);
}

/* What `fn` returns in a child, inside of the sandbox (`b` NULL: without one); 128 + n for a
 * signal, 125 when the sandbox could not be entered. */
static inline int box_run(struct box *b, uid_t uid, int (*fn)(void *arg), void *arg)
{
    int status;
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        enum sandbox_part part;
        if (b && sandbox_limit_caps(&b->sandbox) < 0)
            _exit(125);
        if (uid && (setgid(uid) < 0 || setuid(uid) < 0))
            _exit(124);
        if (b && sandbox_apply(&b->sandbox, &b->where, &b->kernel, &b->report, &part) < 0)
            _exit(125);
        _exit(fn(arg));
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static inline void box_release(struct box *b)
{
    free(b->block);
    *b = (struct box){ .block = NULL };
}

static inline bool box_landlock(int abi)
{
    struct sandbox_kernel k;
    sandbox_kernel_probe(&k);
    if (k.landlock_abi < abi)
        printf("SKIP needs Landlock ABI %d, this kernel has %d\n", abi, k.landlock_abi);
    return k.landlock_abi >= abi;
}
