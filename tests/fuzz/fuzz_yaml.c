/* rooms: base/yaml base/core */
#include <errno.h>

#include "base/core/utf8.h"
#include "base/yaml/yaml.h"
#include "tests/fuzz/fuzz.h"

static size_t nodes;

static void check_node(const struct ynode *n, bool keyed, unsigned lines, int depth)
{
    REQUIRE(depth <= YNODE_DEPTH_MAX && ++nodes <= YNODE_COUNT_MAX);
    REQUIRE(n->kind < YNODE_KIND_MAX && *ynode_kind_name(n->kind));
    REQUIRE((n->key != NULL) == keyed && (n->text != NULL) == (n->kind == YNODE_SCALAR));
    REQUIRE(!n->text || utf8_valid(n->text, strlen(n->text)));
    REQUIRE(!n->key || utf8_valid(n->key, strlen(n->key)));
    REQUIRE(n->line >= 1 && n->line <= lines && n->column >= 1);
    size_t count = 0;
    for (const struct ynode *c = n->first; c; c = c->next, count++) {
        check_node(c, n->kind == YNODE_MAPPING, lines, depth + 1);
        if (n->kind == YNODE_MAPPING)
            REQUIRE(ynode_get(n, c->key) == c); /* keys come once */
    }
    REQUIRE(count == n->count && (count == 0 || n->kind != YNODE_SCALAR));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_ynode_ struct ynode *root = NULL;
    struct error e = ERROR_INIT;
    if (size > 8192)
        return 0;
    int r = ynode_parse(&root, (const char *)data, size, &e);
    if (r < 0) {
        char *end = NULL;
        REQUIRE(r == -EBADMSG && !root);
        REQUIRE(strtoul(e.message, &end, 10) >= 1 && strncmp(end, ": ", 2) == 0);
        REQUIRE(!strchr(e.message, '\n'));
        return 0;
    }
    unsigned lines = 1;
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n' || data[i] == '\r' || data[i] == 0x85 || data[i] == 0xa8 ||
                 data[i] == 0xa9; /* all that YAML takes for a line's end */
    nodes = 0;
    if (root)
        check_node(root, false, lines + 1, 1);
    return 0;
}
