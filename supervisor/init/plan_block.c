#include "supervisor/init/plan_block.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/core/cleanup.h"

struct plan_block *plan_block_map(int memfd, struct error *e)
{
    struct stat st;
    /* Sealed, so that nobody who still holds the descriptor can change what was verified. */
    (void)fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
    if (fstat(memfd, &st) < 0) {
        (void)error_set_errno(e, -errno, "cannot look at the plan");
        return NULL;
    }
    if (st.st_size <= 0 || (size_t)st.st_size > PLAN_MAX) {
        (void)error_set(e, -EBADMSG, "codev-config wrote no plan (%lld bytes)",
                        (long long)st.st_size);
        return NULL;
    }
    _cleanup_free_ struct plan_block *b = calloc(1, sizeof *b);
    void *map = b ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, memfd, 0) : MAP_FAILED;
    if (map == MAP_FAILED) {
        (void)error_set_errno(e, b ? -errno : -ENOMEM, "cannot map the plan");
        return NULL;
    }
    b->map = map;
    b->size = (size_t)st.st_size;
    b->refs = 1;
    if (plan_open(&b->plan, map, b->size, e) < 0) {
        (void)munmap(map, b->size);
        return NULL;
    }
    return TAKE_PTR(b);
}

struct plan_block *plan_block_ref(struct plan_block *b)
{
    b->refs++;
    return b;
}

void plan_block_unref(struct plan_block *b)
{
    if (!b || --b->refs)
        return;
    (void)munmap(b->map, b->size);
    free(b);
}

bool plan_list_equal(const struct plan *a, struct plan_list x, const struct plan *b,
                     struct plan_list y)
{
    if (x.count != y.count)
        return false;
    for (uint32_t i = 0; i < x.count; i++)
        if (strcmp(plan_item(a, x, i), plan_item(b, y, i)) != 0)
            return false;
    return true;
}

bool plan_check_same(const struct plan *a, const struct plan_check *x, const struct plan *b,
                     const struct plan_check *y)
{
    return x->kind == y->kind && x->interval_ms == y->interval_ms &&
           x->timeout_ms == y->timeout_ms && x->failures == y->failures && x->action == y->action &&
           x->auth == y->auth && plan_list_equal(a, x->target, b, y->target);
}

/* By content, for the indices are each plan's own. */
static bool same_block(const struct plan *a, uint32_t i, const struct plan *b, uint32_t k)
{
    const struct plan_profile *x = &a->profiles[i], *y = &b->profiles[k];
    return x->size == y->size && memcmp(a->blobs + x->off, b->blobs + y->off, x->size) == 0;
}

static bool same_sandbox(const struct plan *a, uint32_t x, const struct plan *b, uint32_t y)
{
    return x && y ? same_block(a, x - 1, b, y - 1) : x == y;
}

static bool same_handed(const struct plan *a, const struct plan_service *x, const struct plan *b,
                        const struct plan_service *y)
{
    if (!plan_list_equal(a, x->handed, b, y->handed))
        return false;
    for (uint32_t i = 0; i < x->handed.count; i++) {
        int k = plan_profile_index(a, plan_item(a, x->handed, i));
        int n = plan_profile_index(b, plan_item(b, y->handed, i));
        if ((k < 0) != (n < 0) || (k >= 0 && !same_block(a, (uint32_t)k, b, (uint32_t)n)))
            return false;
    }
    return true;
}

bool plan_service_runs_same(const struct plan *a, const struct plan_service *x,
                            const struct plan *b, const struct plan_service *y)
{
    const struct {
        plan_str x, y;
    } strings[] = {
        { x->env_from, y->env_from },
        { x->cwd, y->cwd },
        { x->user, y->user },
        { x->sandbox, y->sandbox },
    };
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
        if (strcmp(plan_string(a, strings[i].x), plan_string(b, strings[i].y)) != 0)
            return false;
    return same_sandbox(a, x->profile, b, y->profile) && same_handed(a, x, b, y) &&
           x->type == y->type && x->limit_nofile == y->limit_nofile &&
           x->limit_nproc == y->limit_nproc && x->secret_readers == y->secret_readers &&
           x->watchdog_ms == y->watchdog_ms && plan_list_equal(a, x->argv, b, y->argv) &&
           plan_list_equal(a, x->env, b, y->env);
}
