/* YAML text as a tree of nodes that know where they stand. A safe subset for configuration: one
 * document; no anchors, aliases or merge keys, no tags of one's own; keys are plain strings and
 * each may come once. The only room that includes libyaml. */
#pragma once

#include "base/core/cleanup.h"
#include "base/core/error.h"

#include <stdbool.h>
#include <stddef.h>

#define YNODE_TEXT_MAX  ((size_t)1 << 20) /* bytes of a document */
#define YNODE_DEPTH_MAX 32
#define YNODE_COUNT_MAX 10000

enum ynode_kind { YNODE_SCALAR, YNODE_SEQUENCE, YNODE_MAPPING, YNODE_KIND_MAX };

struct ynode {
    enum ynode_kind kind;
    char *key;             /* inside a mapping: its key; else NULL */
    char *text;            /* scalar: its value, without NUL bytes; else NULL */
    bool plain;            /* scalar without quotes, which may thus be a number, true or null */
    unsigned line, column; /* where it stands (in a mapping: its key), counted from 1 */
    size_t count;          /* of children */
    struct ynode *first;   /* child */
    struct ynode *next;    /* sibling */
};

/* Parses one document. `*ret` is NULL for an empty one. 0, -ENOMEM, or -EBADMSG; then the message
 * begins with "LINE: " as in "12: found a tab where…". */
int ynode_parse(struct ynode **ret, const char *text, size_t len, struct error *e);
void ynode_free(struct ynode *n);

/* The child of that key, or NULL. */
const struct ynode *ynode_get(const struct ynode *mapping, const char *key);

/* A plain scalar that means "nothing": empty, ~ or null. */
bool ynode_is_null(const struct ynode *n);

const char *ynode_kind_name(enum ynode_kind kind); /* "a value", "a list", "a mapping" */

static inline void ynode_free_ptr(struct ynode **n)
{
    ynode_free(*n);
}
#define _cleanup_ynode_ _cleanup_(ynode_free_ptr)
