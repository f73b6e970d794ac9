#include "bridge/prepare/npm_env.h"

#include "base/core/cleanup.h"
#include "base/core/file.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

extern char **environ;

static const char *const names[] = {
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "NODE_EXTRA_CA_CERTS",
};

static const char *const prefixes[] = { "LC_", "npm_config_", "NPM_CONFIG_" };

static bool names_secret(const char *entry, size_t len)
{
    static const char *const words[] = { "auth", "token", "password", "secret" };
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        for (size_t at = 0; at + strlen(words[i]) <= len; at++)
            if (strncasecmp(entry + at, words[i], strlen(words[i])) == 0)
                return true;
    return false;
}

bool npm_env_allows(const char *entry)
{
    size_t len = strcspn(entry, "=");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strlen(names[i]) == len && strncmp(entry, names[i], len) == 0)
            return true;
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
        if (strncmp(entry, prefixes[i], strlen(prefixes[i])) == 0)
            return !names_secret(entry, len);
    return false;
}

void npm_env_free(char ***env)
{
    for (char **p = *env; p && *p; p++)
        free(*p);
    free(*env);
    *env = NULL;
}

/* npm keeps its cache in ~/.npm; a home on a read-only image can't. */
static bool home_holds_cache(void)
{
    const char *home = getenv("HOME");
    char path[512];
    if (!home || (size_t)snprintf(path, sizeof path, "%s/.npm", home) >= sizeof path)
        return false;
    return access(path, F_OK) == 0 ? access(path, W_OK) == 0 : access(home, W_OK) == 0;
}

char **npm_env(const char *cache_folder)
{
    size_t count = 0, used = 0;
    while (environ[count])
        count++;
    _cleanup_(npm_env_free) char **env = calloc(count + 3, sizeof *env);
    if (!env)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (!npm_env_allows(environ[i]) || strncmp(environ[i], "CI=", 3) == 0)
            continue;
        env[used] = strdup(environ[i]);
        if (!env[used++])
            return NULL;
    }
    env[used] = strdup("CI=1");
    if (!env[used++])
        return NULL;
    if (cache_folder && !getenv("npm_config_cache") && !home_holds_cache() &&
        file_mkdir_p(cache_folder, 0755) == 0 && /* its sandbox lets it into what is there */
        asprintf(&env[used], "npm_config_cache=%s", cache_folder) < 0) {
        env[used] = NULL;
        return NULL;
    }
    return TAKE_PTR(env);
}
