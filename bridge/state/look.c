#include "bridge/state/look.h"

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "bridge/state/doc.h"

#include <errno.h>
#include <string.h>

#define FILE_MAX ((size_t)1 << 20)

int names_add(struct names *n, const char *pod, const char *id)
{
    struct name *rows = reallocarray(n->rows, n->count + 1, sizeof *n->rows);
    if (!rows)
        return -ENOMEM;
    n->rows = rows;
    _cleanup_free_ char *p = strdup(pod), *i = strdup(id);
    if (!p || !i)
        return -ENOMEM;
    rows[n->count++] = (struct name){ .pod = TAKE_PTR(p), .id = TAKE_PTR(i) };
    return 0;
}

void names_release(struct names *n)
{
    for (size_t i = 0; i < n->count; i++) {
        free(n->rows[i].pod);
        free(n->rows[i].id);
    }
    free(n->rows);
    *n = (struct names){ 0 };
}

static int list_one(void *data, const char *pod, const char *id)
{
    return names_add(data, pod, id);
}

/* Writes it unless it is there already. */
static int write_file(const char *dir, const struct doc *d, const struct buf *text)
{
    _cleanup_buf_ struct buf name = BUF_INIT;
    _cleanup_free_ char *old = NULL, *path = NULL, *folder = NULL;
    size_t len = 0;
    doc_path(d->pod, d->id, &name);
    path = name.failed ? NULL : path_join(dir, buf_str(&name));
    folder = path ? strdup(path) : NULL;
    if (!folder)
        return -ENOMEM;
    if (file_read(path, FILE_MAX, &old, &len) == 0 && len == text->len &&
        memcmp(old, text->data, len) == 0)
        return 0;
    *strrchr(folder, '/') = '\0';
    int r = file_mkdir_p(folder, 0700);
    if (r == 0)
        r = file_write_atomic(path, text->data, text->len, 0600);
    return r;
}

static int put_one(struct store *s, const char *dir, const struct name *n)
{
    _cleanup_doc_ struct doc d = { 0 };
    _cleanup_buf_ struct buf text = BUF_INIT;
    int r = doc_load(&d, s, n->pod, n->id);
    if (r == 0)
        r = doc_write(&d, NULL, &text);
    return r < 0 ? r : write_file(dir, &d, &text);
}

static int put_all(struct store *s, const char *dir, const struct names *changed, struct names *ret,
                   struct error *e)
{
    int failed = 0;
    for (size_t i = 0; i < changed->count; i++) {
        const struct name *n = &changed->rows[i];
        int r = put_one(s, dir, n);
        if (r == -ENOENT) /* its root is not known yet, or forgotten */
            continue;
        if (r < 0)
            failed = error_set_errno(e, r, "cannot write the state of session %.80s", n->id);
        r = names_add(ret, n->pod, n->id);
        if (r == -ENOMEM)
            return error_set_errno(e, r, "cannot look at the sessions");
    }
    return failed;
}

struct comparing {
    const struct names *seen;
    size_t at; /* both are in order */
    struct names now, *changed;
};

static int compare_one(void *data, const char *pod, const char *id, uint64_t print)
{
    struct comparing *c = data;
    int r = names_add(&c->now, pod, id), order = 1;
    if (r < 0)
        return r;
    c->now.rows[c->now.count - 1].print = print;
    for (; c->at < c->seen->count; c->at++) {
        const struct name *n = &c->seen->rows[c->at];
        order = strcmp(n->pod, pod) ? strcmp(n->pod, pod) : strcmp(n->id, id);
        if (order >= 0)
            break;
    }
    bool same = order == 0 && c->seen->rows[c->at].print == print;
    return same ? 0 : names_add(c->changed, pod, id);
}

static void close_store(struct store **s)
{
    store_close(*s);
}

int look(const char *state_dir, const char *dir, struct names *seen, int64_t since_ms,
         struct names *ret, struct error *e)
{
    _cleanup_(names_release) struct names changed = { 0 };
    _cleanup_(close_store) struct store *s = NULL;
    struct comparing c = { .seen = seen, .changed = &changed };
    int r = store_open_reader(&s, state_dir, e);
    if (r < 0)
        return r;
    r = store_print_each(s, compare_one, &c);
    if (r == 0 && seen->count)
        r = store_changed_each(s, since_ms, list_one, &changed);
    if (r < 0)
        (void)error_set_errno(e, r, "cannot look at the sessions");
    else
        r = put_all(s, dir, &changed, ret, e);
    if (r == 0) {
        struct names old = *seen;
        *seen = c.now;
        c.now = old;
    }
    names_release(&c.now);
    return r;
}
