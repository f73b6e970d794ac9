/* /proc/self/mountinfo, as proc(5) describes it. */
#include "supervisor/volumes/volumes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/core/parse.h"

#define MOUNTINFO_MAX ((size_t)16 << 20)

/* "\040" → " ", in place. A backslash that begins no octal number stays as it is. */
static void unescape(char *s)
{
    char *to = s;
    while (*s) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
            s[3] >= '0' && s[3] <= '7') {
            *to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 4;
        } else {
            *to++ = *s++;
        }
    }
    *to = '\0';
}

/* Cuts the next field off; NULL at the end of the line. A field may be empty. */
static char *field(char **next)
{
    return strsep(next, " ");
}

static bool to_int(const char *s, int *ret)
{
    uint64_t n;
    if (!s || parse_u64(s, 0, INT32_MAX, &n) < 0)
        return false;
    *ret = (int)n;
    return true;
}

/* "8:1" */
static bool to_device(char *s, unsigned *major, unsigned *minor)
{
    int n[2];
    char *colon = s ? strchr(s, ':') : NULL;
    if (!colon)
        return false;
    *colon = '\0';
    if (!to_int(s, &n[0]) || !to_int(colon + 1, &n[1]))
        return false;
    *major = (unsigned)n[0];
    *minor = (unsigned)n[1];
    return true;
}

static bool parse_line(struct mount_entry *m, char *line)
{
    char *next = line;
    if (!to_int(field(&next), &m->id) || !to_int(field(&next), &m->parent) ||
        !to_device(field(&next), &m->dev_major, &m->dev_minor))
        return false;
    char *root = field(&next), *point = field(&next), *options = field(&next);
    char *tag;
    do
        tag = field(&next); /* optional fields, until a lone "-" */
    while (tag && strcmp(tag, "-") != 0);
    char *type = field(&next), *source = field(&next), *super = field(&next);
    if (!root || !point || point[0] != '/' || !options || !type || !*type || !source || !super)
        return false;
    char *texts[] = { root, point, options, type, source, super };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        unescape(texts[i]);
    m->root = root;
    m->mount_point = point;
    m->mount_options = options;
    m->fs_type = type;
    m->source = source;
    m->super_options = super;
    return true;
}

void mount_table_release(struct mount_table *t)
{
    free(t->entries);
    free(t->text);
    *t = (struct mount_table){ 0 };
}

int mount_table_parse(struct mount_table *ret, const char *text, size_t len, struct error *e)
{
    _cleanup_(mount_table_release) struct mount_table t = { 0 };
    size_t lines = 1;
    for (size_t i = 0; i < len; i++)
        lines += text[i] == '\n';
    t.text = malloc(len + 1);
    t.entries = calloc(lines, sizeof *t.entries);
    if (!t.text || !t.entries)
        return error_set_errno(e, -ENOMEM, "cannot read the mount table");
    memcpy(t.text, text, len);
    t.text[len] = '\0';
    char *next = t.text;
    size_t number = 0;
    for (char *line; (line = strsep(&next, "\n"));) {
        number++;
        if (!*line && !next)
            break; /* behind the last newline */
        if (!parse_line(&t.entries[t.count], line))
            return error_set(e, -EBADMSG, "line %zu of the mount table is not as proc(5) says",
                             number);
        t.count++;
    }
    *ret = t;
    t = (struct mount_table){ 0 };
    return 0;
}

int mount_table_read(struct mount_table *ret, struct error *e)
{
    _cleanup_free_ char *text = NULL;
    size_t len = 0;
    int r = file_read("/proc/self/mountinfo", MOUNTINFO_MAX, &text, &len);
    if (r < 0)
        return error_set_errno(e, r, "cannot read /proc/self/mountinfo");
    return mount_table_parse(ret, text, len, e);
}

/* The mount that lies over `m` at the same place, or NULL. */
static const struct mount_entry *over(const struct mount_table *t, const struct mount_entry *m)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct mount_entry *n = &t->entries[i];
        if (n != m && n->parent == m->id && strcmp(n->mount_point, m->mount_point) == 0)
            return n;
    }
    return NULL;
}

static const struct mount_entry *topmost(const struct mount_table *t, const struct mount_entry *m)
{
    const struct mount_entry *n = m;
    for (size_t i = 0; m && i < t->count && (n = over(t, m)); i++) /* bounded: ids may lie */
        m = n;
    return m;
}

const struct mount_entry *mount_table_at(const struct mount_table *t, const char *path)
{
    for (size_t i = t->count; i-- > 0;)
        if (strcmp(t->entries[i].mount_point, path) == 0)
            return topmost(t, &t->entries[i]);
    return NULL;
}

/* Whether `path` is `point` or lies below it. */
static bool below(const char *path, const char *point)
{
    size_t n = strlen(point);
    if (n && point[n - 1] == '/')
        n--;
    return strncmp(path, point, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* The mount on `m` that the way to `path` meets first, or NULL. */
static const struct mount_entry *step(const struct mount_table *t, const struct mount_entry *m,
                                      const char *path)
{
    const struct mount_entry *best = NULL;
    for (size_t i = 0; i < t->count; i++) {
        const struct mount_entry *n = &t->entries[i];
        if (n == m || n->parent != m->id || !below(path, n->mount_point))
            continue;
        if (!best || strlen(n->mount_point) < strlen(best->mount_point))
            best = n;
    }
    return best;
}

/* Walks the tree of mounts: one that was there before another was put over its parent folder has
 * the wrong parent and is not met. */
const struct mount_entry *mount_table_covering(const struct mount_table *t, const char *path)
{
    const struct mount_entry *m = mount_table_at(t, "/"), *n;
    for (size_t i = 0; !m && i < t->count; i++) /* a root that is no mount point: chroot(2) */
        if (below(path, t->entries[i].mount_point))
            m = &t->entries[i];
    if (!m)
        return t->count ? &t->entries[0] : NULL;
    for (size_t i = 0; i < t->count && (n = step(t, m, path)); i++)
        m = n;
    return m;
}
