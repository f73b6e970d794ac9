/* A plan in memory, shared by the services that were made from it. */
#pragma once

#include "base/core/error.h"
#include "supervisor/plan/plan.h"

struct plan_block {
    struct plan plan;
    void *map;
    size_t size;
    unsigned refs;
};

/* Seals and maps what was written to the memfd, and verifies it. NULL with `e` on failure. The
 * descriptor stays the caller's. */
struct plan_block *plan_block_map(int memfd, struct error *e);
struct plan_block *plan_block_ref(struct plan_block *b);
void plan_block_unref(struct plan_block *b); /* NULL is fine */

/* Would a service of this record run differently? Compares argv, environment, cwd, user, limits,
 * sandbox, type and secrets, by content: the two lie in different plans. */
bool plan_service_runs_same(const struct plan *a, const struct plan_service *x,
                            const struct plan *b, const struct plan_service *y);
bool plan_list_equal(const struct plan *a, struct plan_list x, const struct plan *b,
                     struct plan_list y);
/* Do both ask the same, as often, with the same consequence? */
bool plan_check_same(const struct plan *a, const struct plan_check *x, const struct plan *b,
                     const struct plan_check *y);
