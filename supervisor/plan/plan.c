#include "supervisor/plan/plan.h"

#include <errno.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"

#define SERVICES_MAX 512
#define VOLUMES_MAX  64
#define PROFILES_MAX 64
#define SIGNAL_MAX   64
#define NAME_MAX_LEN 63 /* of a service; what its readers make room for */

uint32_t plan_checksum(const void *data, size_t len)
{
    const unsigned char *p = data;
    uint32_t h = 2166136261U;
    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 16777619U;
    return h;
}

const char *plan_string(const struct plan *p, plan_str s)
{
    return p->strings + s;
}

const char *plan_item(const struct plan *p, struct plan_list list, uint32_t i)
{
    return p->strings + p->pool[list.first + i];
}

int plan_service_index(const struct plan *p, const char *name)
{
    for (uint32_t i = 0; i < p->header->services; i++)
        if (strcmp(plan_string(p, p->services[i].name), name) == 0)
            return (int)i;
    return -1;
}

int plan_profile_index(const struct plan *p, const char *name)
{
    for (uint32_t i = 0; i < p->header->profiles; i++)
        if (strcmp(plan_string(p, p->profiles[i].name), name) == 0)
            return (int)i;
    return -1;
}

void plan_sandbox(const struct plan *p, uint32_t index, struct sandbox *ret)
{
    struct error e = ERROR_INIT;
    (void)sandbox_open(ret, p->blobs + p->profiles[index].off, p->profiles[index].size, &e);
}

/* An area of `count` elements at `off`: behind the header, aligned, inside. */
static bool area_fits(const struct plan_header *h, uint32_t off, uint32_t count, size_t element,
                      size_t align)
{
    uint64_t end = (uint64_t)off + (uint64_t)count * element;
    return off >= sizeof *h && off % align == 0 && end <= h->size;
}

static int check_header(const struct plan_header *h, size_t size, struct error *e)
{
    if (size < sizeof *h || size > PLAN_MAX)
        return error_set(e, -EBADMSG, "the plan has an impossible size of %zu bytes", size);
    if (memcmp(h->magic, PLAN_MAGIC, sizeof h->magic) != 0)
        return error_set(e, -EBADMSG, "this is no plan: wrong magic");
    if (h->version != PLAN_VERSION || h->header_size != sizeof *h ||
        h->service_size != sizeof(struct plan_service) ||
        h->volume_size != sizeof(struct plan_volume))
        return error_set(e, -EBADMSG, "the plan is of another build: version %u, sizes %u %u %u",
                         h->version, h->header_size, h->service_size, h->volume_size);
    if (h->size != size)
        return error_set(e, -EBADMSG, "the plan says %u bytes but has %zu", h->size, size);
    const char *rest = (const char *)h + sizeof *h;
    if (plan_checksum(rest, size - sizeof *h) != h->checksum)
        return error_set(e, -EBADMSG, "the plan's checksum is wrong");
    return 0;
}

static int check_areas(const struct plan_header *h, struct error *e)
{
    if (h->services > SERVICES_MAX || h->volumes > VOLUMES_MAX || h->profiles > PROFILES_MAX)
        return error_set(e, -EBADMSG,
                         "the plan has too many services, volumes or profiles: %u, %u, %u",
                         h->services, h->volumes, h->profiles);
    const struct {
        const char *name;
        uint32_t off, count;
        size_t element, align;
    } areas[] = {
        { "services", h->services_off, h->services, sizeof(struct plan_service), 8 },
        { "volumes", h->volumes_off, h->volumes, sizeof(struct plan_volume), 8 },
        { "profiles", h->profiles_off, h->profiles, sizeof(struct plan_profile), 8 },
        { "blobs", h->blobs_off, h->blobs, 1, 8 },
        { "pool", h->pool_off, h->pool, sizeof(plan_str), sizeof(plan_str) },
        { "strings", h->strings_off, h->strings_len, 1, 1 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(areas); i++)
        if (!area_fits(h, areas[i].off, areas[i].count, areas[i].element, areas[i].align))
            return error_set(e, -EBADMSG, "the plan's %s lie outside of it", areas[i].name);
    const char *strings = (const char *)h + h->strings_off;
    if (h->strings_len == 0 || strings[0] != '\0' || strings[h->strings_len - 1] != '\0')
        return error_set(e, -EBADMSG, "the plan's strings do not end");
    return 0;
}

static bool str_fits(const struct plan_header *h, plan_str s)
{
    return s < h->strings_len;
}

static bool list_fits(const struct plan_header *h, struct plan_list l)
{
    return (uint64_t)l.first + l.count <= h->pool;
}

static bool check_fits(const struct plan_header *h, const struct plan_check *c)
{
    return c->kind < PLAN_CHECK_MAX && c->action < PLAN_ACTION_MAX && list_fits(h, c->target) &&
           (c->target.count > 0 || c->kind == PLAN_CHECK_NONE || c->kind == PLAN_CHECK_NOTIFY);
}

static int check_service(const struct plan *p, const struct plan_service *s, struct error *e)
{
    const struct plan_header *h = p->header;
    const plan_str strs[] = { s->name, s->env_from, s->cwd, s->user, s->sandbox };
    const struct plan_list lists[] = {
        s->argv, s->after, s->requires, s->env, s->pre_stop.argv, s->post_start.argv, s->handed,
    };
    long index = (long)(s - p->services);
    for (size_t i = 0; i < ARRAY_SIZE(strs); i++)
        if (!str_fits(h, strs[i]))
            return error_set(e, -EBADMSG, "service %ld of the plan has a string outside", index);
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        if (!list_fits(h, lists[i]))
            return error_set(e, -EBADMSG, "service %ld of the plan has a list outside", index);
    if (!check_fits(h, &s->ready) || !check_fits(h, &s->health))
        return error_set(e, -EBADMSG, "service %ld of the plan has an impossible check", index);
    if (s->type >= PLAN_TYPE_MAX || s->restart >= PLAN_RESTART_MAX ||
        s->limit_then >= PLAN_THEN_MAX || s->stop_signal < 1 || s->stop_signal > SIGNAL_MAX)
        return error_set(e, -EBADMSG, "service %ld of the plan has a value out of range", index);
    if (s->profile > h->profiles)
        return error_set(e, -EBADMSG, "service %ld of the plan has a profile outside", index);
    if (strlen(plan_string(p, s->name)) > NAME_MAX_LEN)
        return error_set(e, -EBADMSG, "service %ld of the plan has too long a name", index);
    if (!*plan_string(p, s->name) || s->argv.count == 0 || !*plan_item(p, s->argv, 0))
        return error_set(e, -EBADMSG, "service %ld of the plan has no name or no command", index);
    if (plan_service_index(p, plan_string(p, s->name)) != index)
        return error_set(e, -EBADMSG, "the plan has two services named %.100s",
                         plan_string(p, s->name));
    return 0;
}

static int check_profile(const struct plan *p, uint32_t i, struct error *e)
{
    const struct plan_profile *f = &p->profiles[i];
    struct sandbox s;
    if (!str_fits(p->header, f->name) || f->off % 8 ||
        (uint64_t)f->off + f->size > p->header->blobs)
        return error_set(e, -EBADMSG, "profile %u of the plan lies outside", i);
    if (plan_profile_index(p, plan_string(p, f->name)) != (int)i)
        return error_set(e, -EBADMSG, "the plan has two profiles named %.60s",
                         plan_string(p, f->name));
    return sandbox_open(&s, p->blobs + f->off, f->size, e);
}

static int check_contents(const struct plan *p, struct error *e)
{
    const struct plan_header *h = p->header;
    for (uint32_t i = 0; i < h->pool; i++)
        if (!str_fits(h, p->pool[i]))
            return error_set(e, -EBADMSG, "the plan's pool has a string outside");
    if (!str_fits(h, h->home) || !str_fits(h, h->config_file) || !str_fits(h, h->state_dir) ||
        !list_fits(h, h->environment) || h->log_format >= PLAN_LOG_MAX ||
        h->cgroup >= PLAN_CGROUP_MAX || h->log_level >= LOG_LEVEL_MAX)
        return error_set(e, -EBADMSG, "the plan's header has a value out of range");
    for (uint32_t i = 0; i < h->volumes; i++)
        if (!str_fits(h, p->volumes[i].path) || p->volumes[i].policy >= PLAN_POLICY_MAX ||
            *plan_string(p, p->volumes[i].path) != '/')
            return error_set(e, -EBADMSG, "volume %u of the plan has a value out of range", i);
    for (uint32_t i = 0; i < h->profiles; i++)
        if (!str_fits(h, p->profiles[i].name))
            return error_set(e, -EBADMSG, "profile %u of the plan has no name", i);
    for (uint32_t i = 0; i < h->profiles; i++) {
        int r = check_profile(p, i, e);
        if (r < 0)
            return r;
    }
    for (uint32_t i = 0; i < h->services; i++)
        if (!str_fits(h, p->services[i].name))
            return error_set(e, -EBADMSG, "service %u of the plan has no name", i);
    for (uint32_t i = 0; i < h->services; i++) {
        int r = check_service(p, &p->services[i], e);
        if (r < 0)
            return r;
    }
    return 0;
}

int plan_open(struct plan *ret, const void *block, size_t size, struct error *e)
{
    const struct plan_header *h = block;
    if ((uintptr_t)block % 8 != 0)
        return error_set(e, -EBADMSG, "the plan is not aligned");
    int r = check_header(h, size, e);
    if (r == 0)
        r = check_areas(h, e);
    if (r < 0)
        return r;
    /* Through void: the areas were found aligned just now. */
    const char *base = block;
    const void *services = base + h->services_off, *volumes = base + h->volumes_off;
    const void *pool = base + h->pool_off, *profiles = base + h->profiles_off;
    struct plan p = {
        .header = h,
        .services = services,
        .volumes = volumes,
        .profiles = profiles,
        .blobs = base + h->blobs_off,
        .pool = pool,
        .strings = base + h->strings_off,
    };
    r = check_contents(&p, e);
    if (r == 0)
        *ret = p;
    return r;
}
