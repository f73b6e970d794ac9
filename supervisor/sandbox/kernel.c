/* What the running kernel has, what a sandbox needs of it, and how that is said. */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "supervisor/sandbox/landlock.h"

const char *const sandbox_state_names[] = {
    [SANDBOX_OFF] = "off",
    [SANDBOX_ON] = "on",
    [SANDBOX_UNAVAILABLE] = "unavailable",
};
_Static_assert(ARRAY_SIZE(sandbox_state_names) == SANDBOX_STATE_MAX, "a name for every state");

const char *const sandbox_part_names[] = {
    [SANDBOX_PART_PRIVILEGES] = "no new privileges",
    [SANDBOX_PART_CAPABILITIES] = "capabilities",
    [SANDBOX_PART_LIMITS] = "limits",
    [SANDBOX_PART_SYSCALLS] = "system calls",
    [SANDBOX_PART_FILES] = "files",
    [SANDBOX_PART_TRUNCATE] = "truncate",
    [SANDBOX_PART_PORTS] = "ports",
    [SANDBOX_PART_DEVICES] = "devices",
    [SANDBOX_PART_SIGNALS] = "signals",
    [SANDBOX_PART_ABSTRACT] = "abstract sockets",
};
_Static_assert(ARRAY_SIZE(sandbox_part_names) == SANDBOX_PART_MAX, "a name for every part");

/* From which Landlock level on a part is there, and which kernel brought it; 0: another means. */
static const struct {
    int abi;
    const char *linux_version;
} levels[] = {
    [SANDBOX_PART_PRIVILEGES] = { 0, "" },  [SANDBOX_PART_CAPABILITIES] = { 0, "" },
    [SANDBOX_PART_LIMITS] = { 0, "" },      [SANDBOX_PART_SYSCALLS] = { 0, "" },
    [SANDBOX_PART_FILES] = { 1, "5.13" },   [SANDBOX_PART_TRUNCATE] = { 3, "6.2" },
    [SANDBOX_PART_PORTS] = { 4, "6.7" },    [SANDBOX_PART_DEVICES] = { 5, "6.10" },
    [SANDBOX_PART_SIGNALS] = { 6, "6.12" }, [SANDBOX_PART_ABSTRACT] = { 6, "6.12" },
};
_Static_assert(ARRAY_SIZE(levels) == SANDBOX_PART_MAX, "a level for every part");

void sandbox_kernel_probe(struct sandbox_kernel *ret)
{
    uint32_t action = SECCOMP_RET_ERRNO;
    int abi = landlock_abi();
    *ret = (struct sandbox_kernel){
        .landlock_abi = abi > 0 ? abi : 0,
        .landlock_error = abi > 0 ? 0 : -abi,
        .seccomp = syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0,
    };
}

static bool asked_for(const struct sandbox *s, enum sandbox_part part)
{
    uint32_t flags = s->header->flags;
    switch (part) {
    case SANDBOX_PART_PRIVILEGES:
    case SANDBOX_PART_CAPABILITIES:
        return true;
    case SANDBOX_PART_LIMITS:
        return s->header->limits.count > 0;
    case SANDBOX_PART_SYSCALLS:
        return s->header->filter.count > 0;
    case SANDBOX_PART_FILES:
    case SANDBOX_PART_TRUNCATE:
    case SANDBOX_PART_DEVICES:
        return flags & SANDBOX_FILES_RULED;
    case SANDBOX_PART_PORTS:
        return flags & (SANDBOX_CONNECT_RULED | SANDBOX_BIND_RULED);
    case SANDBOX_PART_SIGNALS:
        return flags & SANDBOX_SIGNALS_OWN;
    case SANDBOX_PART_ABSTRACT:
        return flags & SANDBOX_ABSTRACT_OWN;
    case SANDBOX_PART_MAX:
        break;
    }
    return false;
}

void sandbox_foresee(const struct sandbox *s, const struct sandbox_kernel *k,
                     struct sandbox_report *ret)
{
    *ret = (struct sandbox_report){ .missing = 0 };
    for (int i = 0; i < SANDBOX_PART_MAX; i++) {
        bool there = k->landlock_abi >= levels[i].abi;
        if (i == SANDBOX_PART_SYSCALLS)
            there = k->seccomp;
        if (!asked_for(s, (enum sandbox_part)i))
            continue;
        ret->state[i] = there ? SANDBOX_ON : SANDBOX_UNAVAILABLE;
        if (!there && levels[i].abi)
            ret->error[i] = (uint8_t)k->landlock_error;
    }
}

enum sandbox_part sandbox_first_unavailable(const struct sandbox_report *r)
{
    int i = 0;
    while (i < SANDBOX_PART_MAX && r->state[i] != SANDBOX_UNAVAILABLE)
        i++;
    return (enum sandbox_part)i;
}

void sandbox_why(enum sandbox_part part, uint8_t error, const struct sandbox_kernel *k, char *out,
                 size_t size)
{
    if (part == SANDBOX_PART_SYSCALLS && !k->seccomp)
        (void)snprintf(out, size, "this kernel has no seccomp filters");
    else if (!levels[part].abi)
        (void)snprintf(out, size, "%s", error ? strerror(error) : "");
    else if (k->landlock_abi)
        (void)snprintf(out, size, "needs Landlock ABI %d (Linux %s), this kernel has %d",
                       levels[part].abi, levels[part].linux_version, k->landlock_abi);
    else if (error == EOPNOTSUPP)
        (void)snprintf(out, size, "Landlock is built in but not switched on (boot option lsm=)");
    else if (error == EPERM || error == EACCES)
        (void)snprintf(out, size, "the container runtime's seccomp profile forbids Landlock");
    else
        (void)snprintf(out, size, "this kernel has no Landlock (Linux %s brought it)",
                       levels[part].linux_version);
}
