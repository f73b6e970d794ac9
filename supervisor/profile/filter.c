/* The filter of system calls. */
#include "supervisor/profile/profile.h"

#include <errno.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "base/core/buf.h"
#include "base/core/cleanup.h"

#define LOW_32 0xffffffffULL

static bool listed(const struct profile_words *w, const char *word)
{
    for (size_t i = 0; i < w->count; i++)
        if (strcmp(w->items[i], word) == 0)
            return true;
    return false;
}

static int number_of(const char *call, int fallback)
{
    int nr = seccomp_syscall_resolve_name(call);
    return nr == __NR_SCMP_ERROR ? fallback : nr;
}

bool profile_syscall_fits(const char *word)
{
    for (size_t i = 0; i < denied_count; i++)
        if (strcmp(denied_table[i].call, word) == 0 || strcmp(denied_table[i].group, word) == 0)
            return true;
    return number_of(word, -1) != -1;
}

static int add(scmp_filter_ctx ctx, int nr, int error, unsigned count,
               const struct scmp_arg_cmp *args)
{
    int r = seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO((uint32_t)error), nr, count, args);
    return r == -EEXIST ? 0 : r;
}

static int add_bits(scmp_filter_ctx ctx, int nr, const struct denied *d)
{
    int r = 0;
    for (unsigned bit = 0; r == 0 && bit < 64; bit++) {
        const uint64_t mask = 1ULL << bit;
        const struct scmp_arg_cmp a = SCMP_CMP(d->arg, SCMP_CMP_MASKED_EQ, mask, mask);
        if (d->value & mask)
            r = add(ctx, nr, d->error, 1, &a);
    }
    return r;
}

/* A rule can look at an argument once only, so the question is put bit by bit: below bit 31, no bit
 * outside of `value`; with bit 31, which only the query 0xffffffff has, no bit may be missing. */
static int add_persona(scmp_filter_ctx ctx, int nr, const struct denied *d)
{
    const uint64_t top = 1ULL << 31;
    int r = 0;
    for (unsigned bit = 0; r == 0 && bit < 31; bit++) {
        const uint64_t mask = 1ULL << bit;
        const struct scmp_arg_cmp odd = SCMP_A0(SCMP_CMP_MASKED_EQ, mask | top, mask);
        const struct scmp_arg_cmp query = SCMP_A0(SCMP_CMP_MASKED_EQ, mask | top, top);
        if (!(d->value & mask))
            r = add(ctx, nr, d->error, 1, &odd);
        if (r == 0)
            r = add(ctx, nr, d->error, 1, &query);
    }
    return r;
}

static int add_netlink(scmp_filter_ctx ctx, int nr, const struct denied *d)
{
    const struct scmp_arg_cmp args[] = { SCMP_A0(SCMP_CMP_EQ, AF_NETLINK, 0),
                                         SCMP_A2(SCMP_CMP_NE, d->value, 0) };
    return add(ctx, nr, d->error, ARRAY_SIZE(args), args);
}

static int add_denied(scmp_filter_ctx ctx, const struct denied *d)
{
    int nr = number_of(d->call, d->number);
    const struct scmp_arg_cmp equal = SCMP_CMP(d->arg, SCMP_CMP_MASKED_EQ, LOW_32, d->value);
    const struct scmp_arg_cmp above = SCMP_CMP(d->arg, SCMP_CMP_GT, d->value, 0);
    if (nr < 0) /* this machine never had that call */
        return 0;
    switch (d->when) {
    case DENIED_ALWAYS:
        return add(ctx, nr, d->error, 0, NULL);
    case DENIED_FLAGS:
        return add_bits(ctx, nr, d);
    case DENIED_EQUAL:
        return add(ctx, nr, d->error, 1, &equal);
    case DENIED_ABOVE:
        return add(ctx, nr, d->error, 1, &above);
    case DENIED_NETLINK:
        return add_netlink(ctx, nr, d);
    case DENIED_PERSONA:
        return add_persona(ctx, nr, d);
    case DENIED_WHEN_MAX:
        break;
    }
    return -EINVAL;
}

static int add_all(scmp_filter_ctx ctx, const struct profile *p, struct error *e)
{
    for (size_t i = 0; i < denied_count; i++) {
        const struct denied *d = &denied_table[i];
        if (listed(&p->allow, d->call) || listed(&p->allow, d->group))
            continue;
        int r = add_denied(ctx, d);
        if (r < 0)
            return error_set_errno(e, r, "the rule for %s", d->call);
    }
    for (size_t i = 0; i < p->deny.count; i++) {
        int nr = number_of(p->deny.items[i], -1);
        if (nr == -1)
            return error_set(e, -EINVAL, "there is no system call %.40s", p->deny.items[i]);
        int r = nr < 0 ? 0 : add(ctx, nr, EPERM, 0, NULL);
        if (r < 0)
            return error_set_errno(e, r, "the rule for %.40s", p->deny.items[i]);
    }
    return 0;
}

/* In front of what libseccomp made, whose jumps are relative. */
static int put_newest(struct buf *out)
{
    const struct sandbox_insn head[] = {
        { BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr) },
        { BPF_JMP | BPF_JGT | BPF_K, 0, 1, SYSCALL_NEWEST },
        { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ENOSYS },
    };
    return buf_append(out, head, sizeof head);
}

static int export(scmp_filter_ctx ctx, struct buf *out)
{
    char chunk[4096];
    _cleanup_fd_ int fd = memfd_create("filter", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = seccomp_export_bpf(ctx, fd);
    if (r < 0)
        return r;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return -errno;
    for (ssize_t n; (n = read(fd, chunk, sizeof chunk)) != 0;)
        if (n < 0 || buf_append(out, chunk, (size_t)n) < 0)
            return n < 0 ? -errno : -ENOMEM;
    return 0;
}

int filter_make(const struct profile *p, struct buf *out, struct error *e)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    if (!ctx)
        return error_set_errno(e, -ENOMEM, "the filter of system calls");
    /* Another architecture's calls have other numbers: none of them is let through. */
    int r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));
    if (r == 0) /* a tree, not a list: most calls are looked at once in seven steps */
        r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (r == 0)
        r = add_all(ctx, p, e);
    size_t before = out->len;
    if (r == 0)
        r = put_newest(out);
    if (r == 0)
        r = export(ctx, out);
    seccomp_release(ctx);
    if (r == 0 && (out->len - before) / sizeof(struct sandbox_insn) > SANDBOX_INSNS)
        return error_set(e, -E2BIG, "the filter of system calls is too long for the kernel");
    if (r < 0 && !*e->message)
        return error_set_errno(e, r, "the filter of system calls");
    return r;
}
