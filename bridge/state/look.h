/* A look into the gateway's store: each session that changed gets its file written anew. */
#pragma once

#include "base/core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sessions by pod and id. */
struct name {
    char *pod, *id;
    uint64_t print; /* of store_print_each() */
};
struct names {
    struct name *rows;
    size_t count;
};
int names_add(struct names *n, const char *pod, const char *id);
void names_release(struct names *n);

/* Looks at what is not as it is in `seen` (empty: at everything; then what there is now), and at
 * whose requests changed since `since_ms` (wall clock); writes the files below `dir` whose contents
 * are not what they should be, each atomically. `ret` gets those sessions that may have a milestone
 * to be committed: all that it looked at. 0, or what store_open_reader() says; trouble with one
 * file alone is in `e` and the result, after all others were written; `seen` stays as it was then.
 */
int look(const char *state_dir, const char *dir, struct names *seen, int64_t since_ms,
         struct names *ret, struct error *e);
