/* rooms: supervisor/volumes base/core */
#include <errno.h>

#include "supervisor/volumes/volumes.h"
#include "tests/fuzz/fuzz.h"

/* Pointers stay in the table's own text and its strings end there. */
static void check_string(const struct mount_table *t, const char *s, size_t len)
{
    REQUIRE(s >= t->text && s <= t->text + len);
    REQUIRE(strlen(s) <= (size_t)(t->text + len - s));
}

static void check_entry(const struct mount_table *t, const struct mount_entry *m, size_t len)
{
    const char *texts[] = { m->root,    m->mount_point, m->mount_options,
                            m->fs_type, m->source,      m->super_options };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        check_string(t, texts[i], len);
    REQUIRE(m->id >= 0 && m->parent >= 0);
    REQUIRE(m->mount_point[0] == '/' && *m->fs_type);
    const struct mount_entry *at = mount_table_at(t, m->mount_point);
    REQUIRE(at && strcmp(at->mount_point, m->mount_point) == 0);
    const struct mount_entry *over = mount_table_covering(t, m->mount_point);
    REQUIRE(over >= t->entries && over < t->entries + t->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const paths[] = { "/", "/home/coder/.local", "/a", "" };
    struct mount_table t = { 0 };
    struct error e = ERROR_INIT;
    if (size > 4096) /* entries are looked up one by one */
        return 0;
    int r = mount_table_parse(&t, (const char *)data, size, &e);
    if (r < 0) {
        REQUIRE(r == -EBADMSG && strncmp(e.message, "line ", 5) == 0);
        REQUIRE(!t.entries && !t.text && !t.count);
        return 0;
    }
    for (size_t i = 0; i < t.count; i++)
        check_entry(&t, &t.entries[i], size);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        REQUIRE((mount_table_covering(&t, paths[i]) == NULL) == (t.count == 0));
        (void)mount_table_at(&t, paths[i]);
    }
    mount_table_release(&t);
    return 0;
}
