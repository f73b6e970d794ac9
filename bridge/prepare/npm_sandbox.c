#include "bridge/prepare/npm_sandbox.h"

#include "base/core/cleanup.h"
#include "base/core/file.h"

#include <stdio.h>
#include <string.h>

int npm_sandbox_read(struct npm_sandbox *ret, struct error *e)
{
    const char *path = getenv("CODEV_SANDBOX_BUILD");
    struct npm_sandbox n = { 0 };
    char *text = NULL; /* from malloc, hence aligned */
    size_t size = 0;
    *ret = n;
    if (!path || !*path)
        return 0;
    int r = file_read(path, SANDBOX_MAX, &text, &size);
    if (r < 0)
        return error_set_errno(e, r, "cannot read npm's sandbox %s", path);
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

void npm_sandbox_release(struct npm_sandbox *n)
{
    free(n->block);
    *n = (struct npm_sandbox){ 0 };
}

static void scrub(const struct sandbox *s, char **env)
{
    char **to = env;
    for (; *env; env++)
        if (!sandbox_scrubs(s, *env))
            *to++ = *env;
    *to = NULL;
}

bool npm_sandbox_enter(const struct npm_sandbox *n, char **env)
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
        (void)fprintf(stderr, "cannot enter npm's sandbox (%s): %s\n",
                      part < SANDBOX_PART_MAX ? sandbox_part_names[part] : "capabilities",
                      strerror(-r));
    return r == 0;
}
