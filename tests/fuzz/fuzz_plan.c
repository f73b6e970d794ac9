/* rooms: supervisor/plan supervisor/sandbox base/core */
#include <errno.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "supervisor/plan/plan.h"
#include "tests/fuzz/fuzz.h"

struct bounds {
    const char *strings, *end;
};

static void check_string(const struct plan *p, const struct bounds *b, plan_str s)
{
    const char *text = plan_string(p, s);
    REQUIRE(text >= b->strings && text < b->end);
    REQUIRE(memchr(text, '\0', (size_t)(b->end - text)));
}

static void check_list(const struct plan *p, const struct bounds *b, struct plan_list l)
{
    REQUIRE((uint64_t)l.first + l.count <= p->header->pool);
    for (uint32_t i = 0; i < l.count && i < 64; i++)
        check_string(p, b, p->pool[l.first + i]);
}

static void check_check(const struct plan *p, const struct bounds *b, const struct plan_check *c)
{
    REQUIRE(c->kind < PLAN_CHECK_MAX && c->action < PLAN_ACTION_MAX);
    check_list(p, b, c->target);
    if (c->kind == PLAN_CHECK_HTTP || c->kind == PLAN_CHECK_TCP || c->kind == PLAN_CHECK_EXEC)
        REQUIRE(c->target.count > 0);
}

static void check_service(const struct plan *p, const struct bounds *b, uint32_t i)
{
    const struct plan_service *s = &p->services[i];
    const plan_str strs[] = { s->name, s->env_from, s->cwd, s->user, s->sandbox };
    const struct plan_list lists[] = { s->argv,          s->after,           s->requires, s->env,
                                       s->pre_stop.argv, s->post_start.argv, s->handed };
    for (size_t k = 0; k < ARRAY_SIZE(strs); k++)
        check_string(p, b, strs[k]);
    for (size_t k = 0; k < ARRAY_SIZE(lists); k++)
        check_list(p, b, lists[k]);
    check_check(p, b, &s->ready);
    check_check(p, b, &s->health);
    REQUIRE(s->type < PLAN_TYPE_MAX && s->restart < PLAN_RESTART_MAX);
    REQUIRE(s->limit_then < PLAN_THEN_MAX && s->stop_signal >= 1 && s->stop_signal <= 64);
    REQUIRE(s->profile <= p->header->profiles);
    REQUIRE(s->argv.count > 0 && *plan_item(p, s->argv, 0));
    REQUIRE(plan_service_index(p, plan_string(p, s->name)) == (int)i);
}

/* Everything that the child between fork and exec reads of a sandbox. */
static void check_sandbox(const struct sandbox *s)
{
    const struct sandbox_header *h = s->header;
    size_t len = strlen(sandbox_name(s));
    for (uint32_t i = 0; i < h->rules.count; i++) {
        const char *path = sandbox_string(s, s->rules[i].path);
        REQUIRE(s->rules[i].access < SANDBOX_ACCESS_MAX && s->rules[i].root < SANDBOX_ROOT_MAX);
        REQUIRE((*path == '/') == (s->rules[i].root == SANDBOX_ROOT_NONE) && strlen(path) < 4096);
    }
    for (uint32_t i = 0; i < h->ports.count; i++)
        REQUIRE(s->ports[i].port <= 65535);
    for (uint32_t i = 0; i < h->filter.count; i++)
        len += s->filter[i].k;
    for (uint32_t i = 0; i < h->limits.count; i++)
        REQUIRE(s->limits[i].resource < 16);
    REQUIRE(h->filter.count <= SANDBOX_INSNS);
    len += sandbox_scrubs(s, "A_TOKEN=1") + sandbox_allows_command(s, "status");
    (void)*(volatile size_t *)&len;
}

/* Their seals are put right as the plan's is, where they lie inside. */
static void seal_sandboxes(char *block, size_t size)
{
    struct plan_header h;
    memcpy(&h, block, sizeof h);
    for (uint32_t i = 0; i < h.profiles && i < 64; i++) {
        struct plan_profile f;
        struct sandbox_header s;
        uint64_t at = (uint64_t)h.profiles_off + (uint64_t)i * sizeof f;
        if (at + sizeof f > size)
            return;
        memcpy(&f, block + at, sizeof f);
        at = (uint64_t)h.blobs_off + f.off;
        if (f.size < sizeof s || at + f.size > size)
            continue;
        memcpy(&s, block + at, sizeof s);
        memcpy(s.magic, SANDBOX_MAGIC, sizeof s.magic);
        s.version = SANDBOX_VERSION;
        s.size = f.size;
        s.header_size = sizeof s;
        s.checksum = plan_checksum(block + at + sizeof s, f.size - sizeof s);
        memcpy(block + at, &s, sizeof s);
    }
}

static void check_plan(const struct plan *p, const void *block, size_t size)
{
    const struct plan_header *h = p->header;
    const struct bounds b = { p->strings, p->strings + h->strings_len };
    REQUIRE((const void *)h == block && h->size == size);
    REQUIRE(b.end <= (const char *)block + size);
    REQUIRE((const char *)(p->pool + h->pool) <= (const char *)block + size);
    REQUIRE((const char *)(p->services + h->services) <= (const char *)block + size);
    REQUIRE((const char *)(p->volumes + h->volumes) <= (const char *)block + size);
    REQUIRE(h->log_format < PLAN_LOG_MAX && h->log_level < LOG_LEVEL_MAX);
    check_string(p, &b, h->home);
    check_string(p, &b, h->config_file);
    check_string(p, &b, h->state_dir);
    check_list(p, &b, h->environment);
    for (uint32_t i = 0; i < h->services; i++)
        check_service(p, &b, i);
    for (uint32_t i = 0; i < h->profiles; i++) {
        struct sandbox s;
        plan_sandbox(p, i, &s);
        check_sandbox(&s);
    }
    for (uint32_t i = 0; i < h->volumes; i++) {
        check_string(p, &b, p->volumes[i].path);
        REQUIRE(*plan_string(p, p->volumes[i].path) == '/');
        REQUIRE(p->volumes[i].policy < PLAN_POLICY_MAX);
    }
}

/* The input is a block as it is. Its seal is tried as it came, and then put right, else nothing
 * behind the checksum would ever be reached. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_INPUT_MAX)
        return 0;
    _cleanup_free_ char *block = malloc(size ? size : 1);
    if (!block)
        return 0;
    memcpy(block, data, size);
    for (int sealed = 0; sealed < 2; sealed++) {
        struct plan p = { 0 };
        struct error e = ERROR_INIT;
        int r = plan_open(&p, block, size, &e);
        REQUIRE(r == 0 || (r == -EBADMSG && *e.message && !p.header));
        if (r == 0)
            check_plan(&p, block, size);
        if (size < sizeof(struct plan_header))
            return 0;
        struct plan_header h;
        seal_sandboxes(block, size);
        memcpy(&h, block, sizeof h);
        memcpy(h.magic, PLAN_MAGIC, sizeof h.magic);
        h.version = PLAN_VERSION;
        h.size = (uint32_t)size;
        h.header_size = sizeof h;
        h.service_size = sizeof(struct plan_service);
        h.volume_size = sizeof(struct plan_volume);
        h.checksum = plan_checksum(block + sizeof h, size - sizeof h);
        memcpy(block, &h, sizeof h);
    }
    return 0;
}
