#include "supervisor/sandbox/confine.h"

#include "base/core/cleanup.h"
#include "base/core/file.h"

#include <stdio.h>
#include <string.h>

/* CODEV_SANDBOX_MY_OWN for "my-own", as PID 1 names it. */
static const char *file_of(const char *name)
{
    char variable[128];
    (void)snprintf(variable, sizeof variable, "CODEV_SANDBOX_%s", name);
    for (char *c = variable; *c; c++)
        *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c == '-' || *c == '.' ? '_' : *c;
    return getenv(variable);
}

int confine_read(struct confine *ret, const char *name, struct error *e)
{
    const char *path = file_of(name);
    struct confine n = { 0 };
    char *text = NULL; /* from malloc, hence aligned */
    size_t size = 0;
    *ret = n;
    if (!path || !*path)
        return 0;
    int r = file_read(path, SANDBOX_MAX, &text, &size);
    if (r < 0)
        return error_set_errno(e, r, "cannot read the sandbox %s", path);
    r = sandbox_open(&n.sandbox, text, size, e);
    if (r < 0) {
        free(text);
        return r;
    }
    sandbox_kernel_probe(&n.kernel);
    n.block = text;
    n.on = true;
    *ret = n;
    return 0;
}

void confine_release(struct confine *n)
{
    free(n->block);
    *n = (struct confine){ 0 };
}

static void scrub(const struct sandbox *s, char **env)
{
    char **to = env;
    for (; *env; env++)
        if (!sandbox_scrubs(s, *env))
            *to++ = *env;
    *to = NULL;
}

bool confine_enter(const struct confine *n, char **env)
{
    const struct sandbox_where where = {
        .runtime = getenv("CODEV_RUNTIME_DIR"),
        .state = getenv("CODEV_STATE_DIR"),
    };
    struct sandbox_report report = { 0 };
    enum sandbox_part part = SANDBOX_PART_MAX;
    if (!n->on)
        return true;
    scrub(&n->sandbox, env);
    int r = sandbox_limit_caps(&n->sandbox);
    if (r == 0)
        r = sandbox_apply(&n->sandbox, &where, &n->kernel, &report, &part);
    if (r < 0)
        (void)fprintf(stderr, "cannot enter its sandbox (%s): %s\n",
                      part < SANDBOX_PART_MAX ? sandbox_part_names[part] : "capabilities",
                      strerror(-r));
    return r == 0;
}
