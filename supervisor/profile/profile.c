/* From a profile to the block. */
#include "supervisor/profile/profile.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/parse.h"

static const char *const roots[] = {
    [SANDBOX_ROOT_NONE] = "",
    [SANDBOX_ROOT_RUNTIME] = "$RUNTIME",
    [SANDBOX_ROOT_STATE] = "$STATE",
    [SANDBOX_ROOT_CWD] = "$CWD",
};
_Static_assert(ARRAY_SIZE(roots) == SANDBOX_ROOT_MAX, "a word for every root");

static const char *const capabilities[] = {
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
};
_Static_assert(ARRAY_SIZE(capabilities) == CAP_LAST_CAP + 1, "in the order of their numbers");

static int capability_number(const char *word)
{
    if (strncasecmp(word, "CAP_", 4) == 0)
        word += 4;
    for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++)
        if (strcasecmp(capabilities[i], word) == 0)
            return (int)i;
    return -1;
}

bool profile_capability_fits(const char *word)
{
    return capability_number(word) >= 0;
}

/* Which root a path begins with, and what follows; SANDBOX_ROOT_MAX: neither one nor absolute. */
static enum sandbox_root root_of(const char *word, const char **ret_rest)
{
    for (int i = 1; i < SANDBOX_ROOT_MAX; i++) {
        size_t n = strlen(roots[i]);
        if (strncmp(word, roots[i], n) != 0 || (word[n] && word[n] != '/'))
            continue;
        *ret_rest = word + n + strspn(word + n, "/");
        return (enum sandbox_root)i;
    }
    *ret_rest = word;
    return *word == '/' ? SANDBOX_ROOT_NONE : SANDBOX_ROOT_MAX;
}

/* Whether a step of the path is "..": it would mean something else once a link is in it. */
static bool climbs(const char *path)
{
    for (const char *p = path; (p = strstr(p, "..")); p += 2)
        if ((p == path || p[-1] == '/') && (!p[2] || p[2] == '/'))
            return true;
    return false;
}

bool profile_path_fits(const char *word)
{
    const char *rest;
    return root_of(word, &rest) < SANDBOX_ROOT_MAX && strlen(word) < 4096 && !climbs(word);
}

bool profile_port_fits(const char *word)
{
    uint64_t n;
    return strcmp(word, "any") == 0 || strcmp(word, "none") == 0 ||
           parse_u64(word, 0, 65535, &n) == 0;
}

/* --- the parts, each a buffer of its own until all is known --- */

enum { LIMITS, FILTER, RULES, PORTS, SCRUB, CONTROL, STRINGS, PARTS };

struct builder {
    struct buf parts[PARTS];
    struct sandbox_header header;
    int failed;
};

static void put(struct builder *b, int part, const void *data, size_t len)
{
    int r = buf_append(&b->parts[part], data, len);
    if (r < 0)
        b->failed = r;
}

static uint32_t put_string(struct builder *b, const char *s)
{
    uint32_t at = (uint32_t)b->parts[STRINGS].len;
    if (!*s)
        return 0;
    put(b, STRINGS, s, strlen(s) + 1);
    return at;
}

static int put_paths(struct builder *b, const struct profile *p, struct error *e)
{
    for (uint32_t access = 0; access < SANDBOX_ACCESS_MAX; access++) {
        const struct profile_words *w = &p->paths[access];
        for (size_t i = 0; i < w->count; i++) {
            const char *rest;
            if (!profile_path_fits(w->items[i]))
                return error_set(e, -EINVAL, "expected an absolute path, not '%.60s'", w->items[i]);
            enum sandbox_root root = root_of(w->items[i], &rest);
            const struct sandbox_rule r = { .access = access,
                                            .root = root,
                                            .path = put_string(b, rest) };
            put(b, RULES, &r, sizeof r);
            if (access <= SANDBOX_WORK)
                b->header.flags |= SANDBOX_FILES_RULED;
        }
    }
    return 0;
}

static int put_ports(struct builder *b, const struct profile_words *w, uint32_t use, uint32_t flag,
                     struct error *e)
{
    for (size_t i = 0; i < w->count; i++) {
        uint64_t n;
        if (strcmp(w->items[i], "any") == 0)
            continue;
        b->header.flags |= flag;
        if (strcmp(w->items[i], "none") == 0)
            continue;
        if (parse_u64(w->items[i], 0, 65535, &n) < 0)
            return error_set(e, -EINVAL, "expected a port, not '%.20s'", w->items[i]);
        const struct sandbox_port port = { .port = (uint32_t)n, .use = use };
        put(b, PORTS, &port, sizeof port);
    }
    return 0;
}

static void put_words(struct builder *b, int part, const struct profile_words *w)
{
    for (size_t i = 0; i < w->count; i++) {
        uint32_t at = put_string(b, w->items[i]);
        put(b, part, &at, sizeof at);
    }
}

static int put_capabilities(struct builder *b, const struct profile_words *w, struct error *e)
{
    for (size_t i = 0; i < w->count; i++) {
        int n = capability_number(w->items[i]);
        if (n < 0)
            return error_set(e, -EINVAL, "there is no capability %.40s", w->items[i]);
        b->header.keep_caps |= 1ULL << n;
    }
    return 0;
}

static void put_limits(struct builder *b, const struct profile *p)
{
    for (size_t i = 0; i < p->limit_count; i++) {
        const struct sandbox_limit l = { .resource = p->limits[i].resource,
                                         .value = p->limits[i].value };
        if (l.value != UINT64_MAX)
            put(b, LIMITS, &l, sizeof l);
    }
}

static int put_all(struct builder *b, const struct profile *p, struct error *e)
{
    put(b, STRINGS, "", 1);
    b->header.name = put_string(b, p->name);
    b->header.flags =
        (p->signals_own ? SANDBOX_SIGNALS_OWN : 0U) | (p->abstract_own ? SANDBOX_ABSTRACT_OWN : 0U);
    put_limits(b, p);
    put_words(b, SCRUB, &p->scrub);
    put_words(b, CONTROL, &p->control);
    int r = put_paths(b, p, e);
    if (r == 0)
        r = put_ports(b, &p->connect, SANDBOX_CONNECT, SANDBOX_CONNECT_RULED, e);
    if (r == 0)
        r = put_ports(b, &p->bind, SANDBOX_BIND, SANDBOX_BIND_RULED, e);
    if (r == 0)
        r = put_capabilities(b, &p->capabilities, e);
    if (r == 0 && p->filter)
        r = filter_compile(p, &b->parts[FILTER], e);
    return r;
}

static uint32_t checksum(const void *data, size_t len)
{
    const unsigned char *p = data;
    uint32_t h = 2166136261U;
    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 16777619U;
    return h;
}

static void pad(struct buf *block)
{
    while (block->len % 8)
        if (buf_putc(block, '\0') < 0)
            return;
}

static void lay_out(struct builder *b, struct buf *block)
{
    static const size_t sizes[PARTS] = {
        [LIMITS] = sizeof(struct sandbox_limit),
        [FILTER] = sizeof(struct sandbox_insn),
        [RULES] = sizeof(struct sandbox_rule),
        [PORTS] = sizeof(struct sandbox_port),
        [SCRUB] = sizeof(uint32_t),
        [CONTROL] = sizeof(uint32_t),
        [STRINGS] = 1,
    };
    struct sandbox_header *h = &b->header;
    struct sandbox_slice *slices[PARTS] = { &h->limits, &h->filter,  &h->rules,  &h->ports,
                                            &h->scrub,  &h->control, &h->strings };
    memcpy(h->magic, SANDBOX_MAGIC, sizeof h->magic);
    h->version = SANDBOX_VERSION;
    h->header_size = sizeof *h;
    (void)buf_append(block, h, sizeof *h); /* its room; written again when all is known */
    for (int i = 0; i < PARTS; i++) {
        pad(block);
        *slices[i] = (struct sandbox_slice){ .off = (uint32_t)block->len,
                                             .count = (uint32_t)(b->parts[i].len / sizes[i]) };
        (void)buf_append(block, buf_str(&b->parts[i]), b->parts[i].len);
    }
    pad(block);
    if (block->failed)
        return;
    h->size = (uint32_t)block->len;
    h->checksum = checksum(block->data + sizeof *h, block->len - sizeof *h);
    memcpy(block->data, h, sizeof *h);
}

static void builder_release(struct builder *b)
{
    for (int i = 0; i < PARTS; i++)
        buf_release(&b->parts[i]);
}

int profile_compile(const struct profile *p, void **ret, size_t *ret_size, struct error *e)
{
    _cleanup_(builder_release) struct builder b = { .failed = 0 };
    _cleanup_buf_ struct buf block = BUF_INIT_MAX(SANDBOX_MAX);
    int r = put_all(&b, p, e);
    if (r < 0)
        return r;
    lay_out(&b, &block);
    if (b.failed || block.failed)
        return error_set(e, b.failed ? b.failed : -EFBIG, "sandbox %s is too large", p->name);
    struct sandbox check;
    size_t size = block.len;
    r = sandbox_open(&check, block.data, size, e);
    if (r < 0)
        return r;
    *ret = buf_take(&block);
    *ret_size = size;
    return *ret ? 0 : error_set_errno(e, -ENOMEM, "sandbox %s", p->name);
}
