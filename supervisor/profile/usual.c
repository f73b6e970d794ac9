/* Most profiles make no exception and have the same filter. libseccomp takes longer for it than
 * codev-config for all else that a pod's configuration needs, and every boot would wait: it is made
 * when this program is built (main.c of this folder) and taken in by the assembler. */
#include <stddef.h>

#include "base/core/buf.h"
#include "supervisor/profile/profile.h"

#ifndef USUAL_FILTER
#    define USUAL_FILTER "/dev/null" /* none: each is made by libseccomp */
#endif

extern const char usual_filter[], usual_filter_end[];
__asm__(".pushsection .rodata\n"
        ".hidden usual_filter\n.hidden usual_filter_end\n"
        ".globl usual_filter\n.globl usual_filter_end\n"
        ".balign 8\nusual_filter:\n.incbin \"" USUAL_FILTER "\"\n"
        "usual_filter_end:\n.byte 0\n"
        ".popsection\n");

static const struct {
    const char *from, *to;
} usual = { usual_filter, usual_filter_end };

int filter_compile(const struct profile *p, struct buf *out, struct error *e)
{
    size_t len = (size_t)(usual.to - usual.from);
    if (p->allow.count || p->deny.count || !len)
        return filter_make(p, out, e);
    return buf_append(out, usual.from, len);
}
