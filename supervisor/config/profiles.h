/* The sandbox profiles of the configuration: the built-in ones, and their compilation. */
#pragma once

#include "supervisor/config/config.h"
#include "supervisor/plan/plan_writer.h"

/* The built-in profiles, empty; and, after the config file was read, what it left open in them and
 * in those that are `like` another. 0 or -ENOMEM. */
int profiles_add_builtins(struct config *c);
int profiles_fill(struct config *c);

/* Compiles a profile into a block; `*ret` is malloc'ed. 0 or a negative errno with `e`. */
int profiles_compile(const struct config *c, const struct group *g, void **ret, size_t *ret_size,
                     struct error *e);

/* Compiles a profile into the plan, once. Returns 1 + its index, 0 for "none", or a negative errno
 * with `e`. */
int profiles_put(const struct config *c, struct plan_writer *w, const char *name, struct error *e);
