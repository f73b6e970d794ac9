/* Builds a plan (plan.h): strings are kept once, lists become slices of one pool, and the block is
 * laid out, sealed with its checksum and read back once before it is handed out. */
#pragma once

#include "base/core/buf.h"
#include "base/core/error.h"
#include "supervisor/plan/plan.h"

struct plan_writer {
    struct buf strings, pool, services, volumes, profiles, blobs;
    struct plan_header header; /* the caller fills the settings; counts and places are ours */
    uint32_t *slots;           /* hash table of string offsets + 1; 0: free */
    size_t slot_count, string_count;
    int failed; /* the first failure, sticky: callers check plan_writer_finish() only */
};

/* -ENOMEM is kept in `failed`. */
void plan_writer_init(struct plan_writer *w);
void plan_writer_release(struct plan_writer *w);

/* The offset of `s` in the string area; NULL and "" are 0. */
plan_str plan_writer_str(struct plan_writer *w, const char *s);

/* A list of `count` strings, in order. */
struct plan_list plan_writer_list(struct plan_writer *w, const char *const *items, size_t count);

/* Append copies. All strings and lists in them must come from this writer. */
void plan_writer_service(struct plan_writer *w, const struct plan_service *s);
void plan_writer_volume(struct plan_writer *w, const struct plan_volume *v);

/* A sandbox's block under a name; the n-th call makes index n. */
void plan_writer_profile(struct plan_writer *w, const char *name, const void *block, size_t size);

/* Puts the block together. `*ret` is malloc'ed. 0; -ENOMEM; -EFBIG over PLAN_MAX; -EBADMSG when
 * plan_open() refuses the result (a value was out of range). */
int plan_writer_finish(struct plan_writer *w, void **ret, size_t *ret_size, struct error *e);

#define _cleanup_plan_writer_ _cleanup_(plan_writer_release)
