/* Puts the calling process into a sandbox; between fork and exec. */
#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "supervisor/sandbox/landlock.h"

#ifdef __GLIBC__
typedef __rlimit_resource_t rlimit_resource;
#else
typedef int rlimit_resource;
#endif

_Static_assert(sizeof(struct sandbox_insn) == sizeof(struct sock_filter), "the kernel's own form");

#define CAPS_MAX 64

int sandbox_limit_caps(const struct sandbox *s)
{
    /* What is kept must outlive the change of the user, too; exec takes this flag back. */
    if (s->header->keep_caps)
        (void)prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
    for (unsigned long cap = 0; cap < CAPS_MAX; cap++) {
        int there = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
        if (there < 0)
            return 0; /* no more of them */
        if (!there || s->header->keep_caps & (1ULL << cap))
            continue;
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return errno == EPERM ? 0 : -errno;
    }
    return 0;
}

/* Nothing but what is kept, in every set. What is not there cannot be kept. */
static int drop_caps(uint64_t keep)
{
    struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct d[2] = { { 0 }, { 0 } };
    if (syscall(SYS_capget, &h, d) < 0)
        return -errno;
    for (unsigned i = 0; i < 2; i++) {
        uint32_t mask = (uint32_t)(keep >> (32 * i));
        d[i].permitted &= mask;
        d[i].effective = d[i].permitted;
        d[i].inheritable = d[i].permitted;
    }
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capset, &h, d) < 0)
        return -errno;
    for (unsigned long cap = 0; cap < CAPS_MAX; cap++) {
        bool kept = (d[cap / 32].permitted >> (cap % 32)) & 1;
        if (kept && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
            return -errno;
    }
    return 0;
}

static int set_limits(const struct sandbox *s)
{
    for (uint32_t i = 0; i < s->header->limits.count; i++) {
        int resource = (int)s->limits[i].resource;
        rlim_t value = s->limits[i].value;
        struct rlimit r;
        if (getrlimit((rlimit_resource)resource, &r) < 0)
            return -errno;
        if (value > r.rlim_max) /* never raises what whoever started us has lowered */
            value = r.rlim_max;
        r = (struct rlimit){ value, value };
        if (setrlimit((rlimit_resource)resource, &r) < 0)
            return -errno;
    }
    return 0;
}

static int set_filter(const struct sandbox *s)
{
    struct sock_filter *insns;
    const void *from = s->filter;
    memcpy(&insns, &from, sizeof insns); /* the kernel's struct lacks a const */
    const struct sock_fprog prog = { .len = (unsigned short)s->header->filter.count,
                                     .filter = insns };
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) == 0)
        return 0;
    return -errno;
}

static int no_new_privileges(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

static bool asks_landlock(const struct sandbox_report *r)
{
    bool asks = false;
    for (int i = SANDBOX_PART_FILES; i < SANDBOX_PART_MAX; i++)
        asks |= r->state[i] == SANDBOX_ON;
    return asks;
}

int sandbox_apply(const struct sandbox *s, const struct sandbox_where *where,
                  const struct sandbox_kernel *k, struct sandbox_report *report,
                  enum sandbox_part *ret_part)
{
    sandbox_foresee(s, k, report);
    *ret_part = SANDBOX_PART_LIMITS;
    int r = set_limits(s);
    if (r < 0)
        return r;
    *ret_part = SANDBOX_PART_CAPABILITIES;
    r = drop_caps(s->header->keep_caps);
    if (r < 0)
        return r;
    *ret_part = SANDBOX_PART_PRIVILEGES;
    r = no_new_privileges();
    if (r < 0)
        return r;
    *ret_part = SANDBOX_PART_FILES;
    r = asks_landlock(report) ? landlock_enter(s, where, k->landlock_abi, report) : 0;
    if (r < 0)
        return r;
    *ret_part = SANDBOX_PART_SYSCALLS; /* last: it may deny what the others need */
    return report->state[SANDBOX_PART_SYSCALLS] == SANDBOX_ON ? set_filter(s) : 0;
}
