#include "bridge/prepare/reach.h"

#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "supervisor/sandbox/confine.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void reach_release(struct reach *r)
{
    for (size_t i = 0; i < r->count; i++)
        free(r->places[i].path);
    free(r->places);
    *r = (struct reach){ 0 };
}

static int append(struct reach *r, const char *path, bool open)
{
    if (r->count == r->room) {
        size_t room = r->room ? r->room * 2 : 32;
        struct reach_place *more = realloc(r->places, room * sizeof *more);
        if (!more)
            return -ENOMEM;
        r->places = more;
        r->room = room;
    }
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    char *copy = strndup(path, n);
    if (!copy)
        return -ENOMEM;
    r->places[r->count++] = (struct reach_place){ .path = copy, .open = open };
    return 0;
}

int reach_add(struct reach *r, const char *path, bool open)
{
    char real[PATH_MAX];
    bool there = path && *path == '/' && realpath(path, real);
    if (!path || *path != '/' ||
        (!open && !there)) /* an exception that is not there closes nothing */
        return 0;
    int rc = append(r, path, open);
    return rc < 0 || !there || strcmp(real, path) == 0 ? rc : append(r, real, open);
}

/* --- the places --- */

static int add_rule(struct reach *r, const struct settings *s, const struct sandbox *box,
                    const struct sandbox_rule *rule)
{
    const char *roots[SANDBOX_ROOT_MAX] = {
        [SANDBOX_ROOT_NONE] = "",
        [SANDBOX_ROOT_RUNTIME] = s->runtime_dir,
        [SANDBOX_ROOT_STATE] = getenv("CODEV_STATE_DIR"),
        [SANDBOX_ROOT_CWD] = s->directory,
    };
    const char *root = roots[rule->root], *path = sandbox_string(box, rule->path);
    _cleanup_free_ char *full = NULL;
    bool open = rule->access == SANDBOX_WRITE || rule->access == SANDBOX_WORK;
    if (!root || (!open && rule->access != SANDBOX_HIDDEN && rule->access != SANDBOX_FIXED))
        return 0;
    full = *root ? path_join(root, path) : strdup(path);
    return full ? reach_add(r, full, open) : -ENOMEM;
}

static int add_profile(struct reach *r, const struct settings *s, const struct sandbox *box)
{
    if (!(box->header->flags & SANDBOX_FILES_RULED))
        return reach_add(r, "/", true);
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < box->header->rules.count; i++)
        rc = add_rule(r, s, box, &box->rules[i]);
    return rc;
}

static int add_usual(struct reach *r, const struct settings *s)
{
    const struct reach_place usual[] = {
        { s->home, true },
        { s->directory, true },
        { (char *)(uintptr_t) "/tmp", true },
        { (char *)(uintptr_t) "/var/tmp", true },
        { (char *)(uintptr_t) "/dev", true },
        { getenv("TMPDIR"), true },
        { getenv("CODEV_STATE_DIR"), false },
        { s->runtime_dir, false },
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(usual); i++)
        rc = reach_add(r, usual[i].path, usual[i].open);
    return rc;
}

int reach_read(struct reach *ret, const struct settings *s, struct error *e)
{
    _cleanup_reach_ struct reach r = { 0 };
    _cleanup_(confine_release) struct confine agent = { 0 };
    const char *name = getenv("CODEV_OPENCODE_SANDBOX");
    int rc = confine_read(&agent, name && *name ? name : "none", e);
    if (rc < 0)
        return rc;
    rc = agent.on ? add_profile(&r, s, &agent.sandbox) : add_usual(&r, s);
    if (rc < 0)
        return error_set_errno(e, rc, "sandbox");
    *ret = r;
    r = (struct reach){ 0 };
    return 0;
}

/* --- questions --- */

/* Is `path` in `place`, or the place itself? */
static bool is_in(const char *path, const char *place)
{
    size_t n = strlen(place);
    return strncmp(path, place, n) == 0 && (n == 1 || path[n] == '/' || path[n] == '\0');
}

/* The longest place decides. A folder above an exception may be listed and no more: Landlock opens
 * only what lies beside the exception. */
static bool is_open(const struct reach *r, const char *path)
{
    bool open = false;
    size_t best = 0;
    for (size_t i = 0; i < r->count; i++) {
        const struct reach_place *place = &r->places[i];
        size_t n = strlen(place->path);
        if (!place->open && is_in(place->path, path))
            return false;
        if (n < best || !is_in(path, place->path))
            continue;
        open = place->open;
        best = n;
    }
    return open;
}

/* Who may write to a folder may put another one in the place of what is in it. */
static bool covers(const struct reach *r, const char *path)
{
    char at[PATH_MAX];
    if ((size_t)snprintf(at, sizeof at, "%s", path) >= sizeof at)
        return true;
    for (;;) {
        if (is_open(r, at) && access(at, W_OK) == 0)
            return true;
        char *slash = strrchr(at, '/');
        if (!slash || !at[1])
            return false;
        slash[slash == at ? 1 : 0] = '\0';
    }
}

bool reach_covers(const struct reach *r, const char *path)
{
    char real[PATH_MAX];
    if (*path != '/')
        return true;
    return covers(r, path) || (realpath(path, real) && covers(r, real));
}

char *reach_filter(const struct reach *r, const char *path)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    _cleanup_free_ char *copy = strdup(path);
    char *rest = copy;
    for (char *dir; rest && (dir = strsep(&rest, ":"));) {
        char real[PATH_MAX];
        if (*dir == '/' && realpath(dir, real) && !covers(r, real))
            buf_printf(&out, "%s%s", out.len ? ":" : "", real);
    }
    return !copy || out.failed ? NULL : strdup(buf_str(&out));
}
