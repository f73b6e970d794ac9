#include "supervisor/config/environ.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/core/cleanup.h"
#include "base/core/secrets.h"

/* What does no harm to a program that holds tokens: TLS is verified all the same. */
static const char *const harmless[] = {
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "TZ", "LANG",
};

/* What would put foreign code or other rules into the process of OpenCode or of the plugin's build:
 * the agent could write it here and wait for the next start. A row ends in '_': all that begin so.
 */
static const char *const steering[] = {
    "LD_",         /* ld.so(8): libraries, audit */
    "GCONV_PATH",  /* libraries by iconv */
    "GLIBC_",      /* GLIBC_TUNABLES */
    "BUN_",        /* OpenCode's runtime: options, preloads */
    "NODE_",       /* NODE_OPTIONS=--require, NODE_PATH */
    "OPENCODE_",   /* its permissions, configuration and plugins */
    "XDG_",        /* where it looks for its configuration and state */
    "PATH",        /* which program is started as opencode, npm or git */
    "SHELL",       /* what the agent's commands run in */
    "GIT_",        /* GIT_SSH_COMMAND, GIT_EXTERNAL_DIFF and their like are run */
    "npm_config_", /* script-shell, node-options, userconfig */
    "SSL_CERT_",   /* whom TLS takes for plugin.url, and sends its token */
};

static bool steers(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(steering); i++) {
        size_t n = strlen(steering[i]);
        bool prefix = steering[i][n - 1] == '_';
        if (prefix ? strncasecmp(name, steering[i], n) == 0 : strcmp(name, steering[i]) == 0)
            return true;
    }
    return false;
}

/* The table's row for NAME or NAME_FILE. */
static const struct secret_spec *secret_of(const char *name)
{
    char bare[64];
    size_t n = strlen(name);
    const struct secret_spec *s = secret_find(name);
    if (s || n <= 5 || n >= sizeof bare || strcmp(name + n - 5, "_FILE") != 0)
        return s;
    memcpy(bare, name, n - 5);
    bare[n - 5] = '\0';
    return secret_find(bare);
}

bool env_file_secret(const char *name)
{
    const struct secret_spec *s = secret_of(name);
    return s && !s->state_file && !s->per_boot;
}

/* The contract's own names, and settings: those go through the option table. */
static bool reserved(const char *name)
{
    if (strncmp(name, "CODEV_", 6) == 0 || strcmp(name, "HOME") == 0 || secret_of(name))
        return true;
    for (int i = 0; i < OPT_MAX; i++)
        if (option_table[i].variable && option_table[i].guarded &&
            strcmp(option_table[i].variable, name) == 0)
            return true;
    return false;
}

bool env_file_passes(const struct builtin *b, const char *name)
{
    const char *set = getenv(name);
    if (reserved(name) || (set && *set)) /* the environment is the stronger source */
        return false;
    if (b->name && steers(name))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(harmless); i++)
        if (strcmp(harmless[i], name) == 0)
            return true;
    return b->agent_side;
}

void env_file_warn(const struct config *c, struct buf *warnings)
{
    for (size_t i = 0; i < c->env_file.count; i++) {
        const struct env_variable *v = &c->env_file.rows[i];
        const struct secret_spec *s = secret_of(v->name);
        const char *set = getenv(v->name);
        if ((s && !env_file_secret(v->name)) || (!s && steers(v->name) && !(set && *set)))
            buf_printf(
                warnings,
                "%s:%u: %s is not taken from here, because the agent can write this file: set it "
                "in the pod's environment\n",
                c->env_file.path, v->line, v->name);
    }
}
