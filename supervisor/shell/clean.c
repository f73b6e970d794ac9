#include "supervisor/shell/shell.h"

#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/secrets.h"

#define VALUE_MIN 8 /* a shorter value is found everywhere by chance */

static const char *after(const char *text, const char *with)
{
    size_t n = strlen(with);
    return strncmp(text, with, n) == 0 ? text + n : NULL;
}

/* The value of a variable that is named as a secret is; *ret_file: it only names a file with it. */
static const char *secret_value(const char *variable, bool *ret_file)
{
    for (const struct secret_spec *s = secret_table; s->name; s++) {
        const char *rest = after(variable, s->name);
        *ret_file = rest && after(rest, "_FILE=");
        if (rest && (*rest == '=' || *ret_file))
            return strchr(rest, '=') + 1;
    }
    return NULL;
}

bool shell_is_ours(const char *variable)
{
    static const char *const names[] = { "GATEWAY_URL=", "GATEWAY_WS=", "NOTIFY_SOCKET=",
                                         "OPENCODE_SERVER_USERNAME=" };
    bool file;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (after(variable, names[i]))
            return true;
    /* By CODEV_SERVICE, PID 1 finds what belongs to a service whose guard was killed. */
    return secret_value(variable, &file) ||
           (after(variable, "CODEV_") && !after(variable, "CODEV_SERVICE="));
}

/* Was the variable steered, so that what it was before comes from CODEV_RESTORE_…? */
static bool is_steered(char *const *vars, const char *variable)
{
    size_t len = strcspn(variable, "=") + 1;
    for (; *vars; vars++) {
        const char *pair = after(*vars, SHELL_RESTORE);
        if (pair && strncmp(pair, variable, len) == 0)
            return true;
    }
    return false;
}

static bool repeats_secret(char *const *vars, const char *variable)
{
    for (; *vars; vars++) {
        bool file;
        const char *value = secret_value(*vars, &file);
        if (value && !file && strlen(value) >= VALUE_MIN && strstr(variable, value))
            return true;
    }
    return false;
}

/* What becomes of a variable: itself, what it was before, or NULL. */
static char *kept(char *const *vars, char *variable)
{
    const char *pair = after(variable, SHELL_RESTORE);
    if (pair) {
        const char *eq = strchr(pair, '=');
        bool there = eq && eq != pair && eq[1];
        return there && !repeats_secret(vars, pair) ? variable + strlen(SHELL_RESTORE) : NULL;
    }
    if (shell_is_ours(variable) || is_steered(vars, variable) || repeats_secret(vars, variable))
        return NULL;
    return variable;
}

char **shell_clean(char *const *vars)
{
    size_t n = 0, count = 0;
    while (vars[n])
        n++;
    char **out = calloc(n + 2, sizeof *out);
    for (size_t i = 0; out && i < n; i++)
        if ((out[count] = kept(vars, vars[i])))
            count++;
    return out;
}
