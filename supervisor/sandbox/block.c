/* The block: its verification and what is read from it. */
#include "supervisor/sandbox/sandbox.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "base/core/cleanup.h"

static uint32_t checksum(const void *data, size_t len)
{
    const unsigned char *p = data;
    uint32_t h = 2166136261U;
    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 16777619U;
    return h;
}

static bool slice_fits(const struct sandbox_header *h, struct sandbox_slice s, size_t element,
                       size_t align, uint32_t most)
{
    uint64_t end = (uint64_t)s.off + (uint64_t)s.count * element;
    return s.count <= most && s.off >= sizeof *h && s.off % align == 0 && end <= h->size;
}

static int check_header(const struct sandbox_header *h, size_t size, struct error *e)
{
    if (size < sizeof *h || size > SANDBOX_MAX || size % 8)
        return error_set(e, -EBADMSG, "the sandbox has an impossible size of %zu bytes", size);
    if (memcmp(h->magic, SANDBOX_MAGIC, sizeof h->magic) != 0)
        return error_set(e, -EBADMSG, "this is no sandbox: wrong magic");
    if (h->version != SANDBOX_VERSION || h->header_size != sizeof *h)
        return error_set(e, -EBADMSG, "the sandbox is of another build: version %u, header %u",
                         h->version, h->header_size);
    if (h->size != size)
        return error_set(e, -EBADMSG, "the sandbox says %u bytes but has %zu", h->size, size);
    if (checksum((const char *)h + sizeof *h, size - sizeof *h) != h->checksum)
        return error_set(e, -EBADMSG, "the sandbox's checksum is wrong");
    return 0;
}

static int check_slices(const struct sandbox_header *h, struct error *e)
{
    const struct {
        const char *name;
        struct sandbox_slice slice;
        size_t element, align;
        uint32_t most;
    } slices[] = {
        { "limits", h->limits, sizeof(struct sandbox_limit), 8, RLIM_NLIMITS },
        { "filter", h->filter, sizeof(struct sandbox_insn), 4, SANDBOX_INSNS },
        { "rules", h->rules, sizeof(struct sandbox_rule), 4, SANDBOX_RULES },
        { "ports", h->ports, sizeof(struct sandbox_port), 4, SANDBOX_RULES },
        { "scrub", h->scrub, sizeof(uint32_t), 4, SANDBOX_RULES },
        { "control", h->control, sizeof(uint32_t), 4, SANDBOX_RULES },
        { "strings", h->strings, 1, 1, SANDBOX_MAX },
    };
    for (size_t i = 0; i < ARRAY_SIZE(slices); i++)
        if (!slice_fits(h, slices[i].slice, slices[i].element, slices[i].align, slices[i].most))
            return error_set(e, -EBADMSG, "the sandbox's %s lie outside of it", slices[i].name);
    const char *strings = (const char *)h + h->strings.off;
    if (!h->strings.count || strings[0] || strings[h->strings.count - 1])
        return error_set(e, -EBADMSG, "the sandbox's strings do not end");
    return 0;
}

static bool strings_fit(const struct sandbox_header *h, const uint32_t *items, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (items[i] >= h->strings.count)
            return false;
    return true;
}

/* An absolute path, or one below a root that does not climb out of it. */
static bool rule_fits(const struct sandbox *s, const struct sandbox_rule *r)
{
    if (r->access >= SANDBOX_ACCESS_MAX || r->root >= SANDBOX_ROOT_MAX ||
        r->path >= s->header->strings.count)
        return false;
    const char *path = sandbox_string(s, r->path);
    return (r->root == SANDBOX_ROOT_NONE ? *path == '/' : *path != '/') && strlen(path) < 4096;
}

static int check_contents(const struct sandbox *s, struct error *e)
{
    const struct sandbox_header *h = s->header;
    if (h->flags & ~(uint32_t)SANDBOX_FLAGS_ALL || h->name >= h->strings.count)
        return error_set(e, -EBADMSG, "the sandbox's header has a value out of range");
    if (!strings_fit(h, s->scrub, h->scrub.count) || !strings_fit(h, s->control, h->control.count))
        return error_set(e, -EBADMSG, "the sandbox has a string outside");
    for (uint32_t i = 0; i < h->limits.count; i++)
        if (s->limits[i].resource >= RLIM_NLIMITS)
            return error_set(e, -EBADMSG, "limit %u of the sandbox is none", i);
    for (uint32_t i = 0; i < h->rules.count; i++)
        if (!rule_fits(s, &s->rules[i]))
            return error_set(e, -EBADMSG, "rule %u of the sandbox has a value out of range", i);
    for (uint32_t i = 0; i < h->ports.count; i++)
        if (s->ports[i].port > 65535 || !s->ports[i].use ||
            s->ports[i].use & ~(uint32_t)(SANDBOX_CONNECT | SANDBOX_BIND))
            return error_set(e, -EBADMSG, "port %u of the sandbox has a value out of range", i);
    return 0;
}

int sandbox_open(struct sandbox *ret, const void *block, size_t size, struct error *e)
{
    const struct sandbox_header *h = block;
    if ((uintptr_t)block % 8 != 0)
        return error_set(e, -EBADMSG, "the sandbox is not aligned");
    int r = check_header(h, size, e);
    if (r == 0)
        r = check_slices(h, e);
    if (r < 0)
        return r;
    /* Through void: the slices were found aligned just now. */
    const char *base = block;
    const void *limits = base + h->limits.off, *filter = base + h->filter.off;
    const void *rules = base + h->rules.off, *ports = base + h->ports.off;
    const void *scrub = base + h->scrub.off, *control = base + h->control.off;
    struct sandbox s = {
        .header = h,
        .limits = limits,
        .filter = filter,
        .rules = rules,
        .ports = ports,
        .scrub = scrub,
        .control = control,
        .strings = base + h->strings.off,
    };
    r = check_contents(&s, e);
    if (r == 0)
        *ret = s;
    return r;
}

const char *sandbox_name(const struct sandbox *s)
{
    return sandbox_string(s, s->header->name);
}

bool sandbox_allows_command(const struct sandbox *s, const char *command)
{
    for (uint32_t i = 0; i < s->header->control.count; i++)
        if (strcmp(sandbox_string(s, s->control[i]), command) == 0)
            return true;
    return false;
}

/* "*" stands for any letters. A mismatch goes back to the last star only. */
static bool matches(const char *pattern, const char *name, size_t len)
{
    const char *star = NULL;
    size_t i = 0, from = 0;
    while (i < len) {
        if (*pattern == '*') {
            star = pattern++;
            from = i;
        } else if (*pattern && *pattern == name[i]) {
            pattern++;
            i++;
        } else if (star) {
            pattern = star + 1;
            i = ++from;
        } else {
            return false;
        }
    }
    return pattern[strspn(pattern, "*")] == '\0';
}

bool sandbox_scrubs(const struct sandbox *s, const char *variable)
{
    size_t len = strcspn(variable, "=");
    for (uint32_t i = 0; i < s->header->scrub.count; i++)
        if (matches(sandbox_string(s, s->scrub[i]), variable, len))
            return true;
    return false;
}
