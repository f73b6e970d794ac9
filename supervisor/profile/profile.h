/* Sandbox profiles: from what a person writes (paths, ports, names) to the block that is applied
 * (supervisor/sandbox). The filter of system calls is made by libseccomp, here and nowhere else. */
#pragma once

#include "base/core/error.h"
#include "supervisor/sandbox/sandbox.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct profile_words {
    const char *const *items;
    size_t count;
};

struct profile_limit {
    uint32_t resource; /* RLIMIT_… */
    uint64_t value;
};

struct profile {
    const char *name;
    /* Paths, absolute or beginning with $RUNTIME, $STATE or $CWD. */
    struct profile_words paths[SANDBOX_ACCESS_MAX];
    /* "any": no rule; "none"; else port numbers. Empty: any. */
    struct profile_words connect, bind;
    bool signals_own, abstract_own;
    bool filter;                       /* false: no system call is denied */
    struct profile_words allow, deny;  /* names of system calls, or of groups of the table */
    struct profile_words capabilities; /* names that are kept, with or without "CAP_" */
    struct profile_words scrub, control;
    const struct profile_limit *limits; /* UINT64_MAX: as it is */
    size_t limit_count;
};

/* The block; `*ret` is malloc'ed. 0; -EINVAL with what is wrong; -ENOMEM. */
int profile_compile(const struct profile *p, void **ret, size_t *ret_size, struct error *e);

/* Is the word fine for that list? Else false with what was expected. For the checks of a config. */
bool profile_path_fits(const char *word);
bool profile_port_fits(const char *word);
bool profile_syscall_fits(const char *word);
bool profile_capability_fits(const char *word);

/* --- the table of denied system calls --- */

enum denied_when {
    DENIED_ALWAYS,
    DENIED_FLAGS,   /* argument `arg` has any bit of `value` */
    DENIED_EQUAL,   /* argument `arg`, its low 32 bits, is `value` */
    DENIED_ABOVE,   /* argument `arg` is greater than `value` */
    DENIED_NETLINK, /* argument 0 is AF_NETLINK and argument 2 is not `value` */
    DENIED_PERSONA, /* argument 0 has a bit outside of `value`, and is not 0xffffffff */
    DENIED_WHEN_MAX,
};

struct denied {
    const char *call;
    int number; /* -1: ask libseccomp; else for calls that are newer than it */
    int error;  /* what it gets */
    enum denied_when when;
    unsigned arg;
    uint64_t value;
    const char *group;  /* by which a profile can allow it, beside its name */
    const char *reason; /* for people: what it would let a program do */
};
extern const struct denied denied_table[];
extern const size_t denied_count;

/* The highest number that this table was made for: a newer call gets ENOSYS, as on an older kernel,
 * because nobody has judged it. */
#define SYSCALL_NEWEST 469

/* The filter of a profile, appended to `out` as struct sandbox_insn. 0, -EINVAL, -ENOMEM, or what
 * libseccomp says. */
struct buf;
int filter_compile(const struct profile *p, struct buf *out, struct error *e);
/* The same, made anew by libseccomp and not taken from usual.c. */
int filter_make(const struct profile *p, struct buf *out, struct error *e);
