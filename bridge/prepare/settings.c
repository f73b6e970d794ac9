#include "bridge/prepare/settings.h"

#include "base/core/cleanup.h"
#include "base/core/control.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "base/core/parse.h"
#include "base/core/secrets.h"

#include <errno.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TOKEN_MAX  ((size_t)16 << 10)
#define TIMEOUT_MS ((uint64_t)10 * 60 * 1000)

static const char *env_or(const char *name, const char *fallback)
{
    const char *value = getenv(name);
    return value && *value ? value : fallback;
}

/* `dir` without slashes at its end. */
static char *copy_path(const char *dir)
{
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/')
        n--;
    return strndup(dir, n);
}

static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return strdup("/");
    return strndup(path, (size_t)(slash - path));
}

/* The one to use when the supervisor did not name one; a folder of somebody else is refused. */
static int runtime_dir(char **ret, struct error *e)
{
    char dir[256];
    const char *set = getenv("CODEV_RUNTIME_DIR"), *xdg = getenv("XDG_RUNTIME_DIR");
    if (set && *set)
        (void)snprintf(dir, sizeof dir, "%s", set);
    else if (control_runtime_dir(dir, sizeof dir, NULL) == 0)
        ;
    else if (xdg && *xdg)
        (void)snprintf(dir, sizeof dir, "%s/codev", xdg);
    else
        (void)snprintf(dir, sizeof dir, "/tmp/codev-%u", (unsigned)getuid());
    int r = file_mkdir_p(dir, 0700);
    if (r < 0)
        return error_set_errno(e, r, "cannot make the runtime folder %s", dir);
    struct stat st;
    if (lstat(dir, &st) < 0)
        return error_set_errno(e, -errno, "cannot use the runtime folder %s", dir);
    if (!set && (!S_ISDIR(st.st_mode) || st.st_uid != geteuid()))
        return error_set(e, -EPERM, "the runtime folder %s is not ours", dir);
    *ret = copy_path(dir);
    return *ret ? 0 : error_set_errno(e, -ENOMEM, "settings");
}

/* plugin.token_file holds a token or a private ssh key. */
static void read_token_file(struct settings *s, const char *path)
{
    char *text = NULL;
    int r = file_read(path, TOKEN_MAX, &text, NULL);
    if (r < 0) {
        log_warn("cannot read plugin.token_file %s: %s, ignoring it", path, strerror(-r));
        return;
    }
    if (strncmp(text, "-----BEGIN", 10) == 0) {
        free(s->key_file);
        s->key_file = strdup(path);
    } else if (!*s->token) {
        free(s->token);
        s->token = strndup(text, strcspn(text, "\r\n"));
    }
    explicit_bzero(text, strlen(text));
    free(text);
}

static int take_secrets(struct settings *s, struct error *e)
{
    struct secrets secrets = { 0 };
    int r = secrets_take(SECRET_FOR_PREPARE, &secrets, e);
    if (r < 0)
        return r;
    const char *token = secrets_get(&secrets, "CODEV_GIT_TOKEN");
    s->token = strdup(token ? token : "");
    s->key_file = strdup("");
    secrets_release(&secrets);
    const char *file = env_or("CODEV_PLUGIN_TOKEN_FILE", NULL);
    if (file && s->token && s->key_file)
        read_token_file(s, file);
    return 0;
}

static void read_choices(struct settings *s)
{
    const char *update = env_or("CODEV_PLUGIN_UPDATE", "never");
    s->update = strcmp(update, "ff") == 0;
    if (!s->update && strcmp(update, "never") != 0)
        log_warn("CODEV_PLUGIN_UPDATE=%s is neither ff nor never, using never", update);
    static const char *const reloads[RELOAD_MAX] = { "idle", "now", "notify", "off" };
    const char *reload = env_or("CODEV_PLUGIN_RELOAD", "idle");
    for (int i = 0; i < RELOAD_MAX; i++)
        if (strcmp(reload, reloads[i]) == 0)
            s->reload = (enum reload)i;
    s->timeout_ms = TIMEOUT_MS;
    const char *timeout = env_or("CODEV_PLUGIN_TIMEOUT_MS", NULL);
    if (timeout && parse_u64(timeout, 1, (uint64_t)24 * 3600 * 1000, &s->timeout_ms) < 0) {
        log_warn("CODEV_PLUGIN_TIMEOUT_MS=%s is no number of milliseconds, using 10 minutes",
                 timeout);
        s->timeout_ms = TIMEOUT_MS;
    }
}

/* Paths below home, and those that the environment names. */
static void read_paths(struct settings *s)
{
    _cleanup_free_ char *plugin = NULL;
    _cleanup_free_ char *config = path_join(s->home, ".config");
    _cleanup_free_ char *src = path_join(s->home, "src");
    const char *path = getenv("CODEV_PLUGIN_PATH");
    plugin =
        path ? copy_path(path) : path_join(s->home, "src/repos/ai-dev/plugins/opencode-bridge");
    if (!plugin || !config || !src)
        return;
    _cleanup_free_ char *plugins = parent_of(plugin);
    s->repo_path = plugins ? parent_of(plugins) : NULL;
    s->plugin_path = TAKE_PTR(plugin);
    s->link_path = path_join(config, "opencode/node_modules/@opencode/bridge-plugin");
    s->directory = copy_path(env_or("CODEV_OPENCODE_DIRECTORY", src));
    /* What an earlier run of ours may have set for OpenCode is not the user's. */
    _cleanup_free_ char *our_config = path_join(s->runtime_dir, "xdg-config/opencode.json");
    _cleanup_free_ char *our_home = path_join(s->runtime_dir, "xdg-config");
    const char *xdg = env_or("XDG_CONFIG_HOME", config), *user = env_or("OPENCODE_CONFIG", "");
    if (!our_config || !our_home)
        return;
    s->config_home = copy_path(strcmp(xdg, our_home) == 0 ? config : xdg);
    s->user_config = strdup(strcmp(user, our_config) == 0 ? "" : user);
}

/* Has the kernel Landlock? Nothing separates the agent from its own files without it. */
static bool kernel_separates(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_CREATE_RULESET_VERSION) >=
           1;
}

static bool asks_for_trust(void)
{
    return strcmp(env_or("CODEV_OPENCODE_SANDBOX", "none"), "none") != 0 &&
           strcmp(env_or("CODEV_TRUST", "ask"), "ask") == 0;
}

/* Accepted copies are of use only where the agent cannot write: in our state folder, with OpenCode
 * in a sandbox. */
static char *trust_dir(const char *name)
{
    const char *state = env_or("CODEV_STATE_DIR", NULL);
    if (!state || !asks_for_trust() || !kernel_separates())
        return strdup("");
    return path_join(state, name);
}

int settings_read(struct settings *ret, struct error *e)
{
    struct settings s = { 0 };
    int r = runtime_dir(&s.runtime_dir, e);
    if (r == 0)
        r = take_secrets(&s, e);
    if (r < 0) {
        settings_release(&s);
        return r;
    }
    s.home = copy_path(env_or("CODEV_HOME", env_or("HOME", "/home/coder")));
    s.url = strdup(env_or("CODEV_PLUGIN_URL", ""));
    s.no_project = asks_for_trust();
    s.branch = strdup(env_or("CODEV_PLUGIN_BRANCH", "main"));
    s.ca_file = strdup(env_or("CODEV_PLUGIN_CA_FILE", ""));
    s.user_content = strdup(env_or("OPENCODE_CONFIG_CONTENT", ""));
    s.trust_dir = trust_dir("trust");
    s.build_dir = trust_dir("build");
    read_choices(&s);
    if (s.home)
        read_paths(&s);
    if (!s.home || !s.url || !s.branch || !s.ca_file || !s.token || !s.key_file || !s.repo_path ||
        !s.plugin_path || !s.link_path || !s.directory || !s.config_home || !s.user_config ||
        !s.user_content || !s.trust_dir || !s.build_dir) {
        settings_release(&s);
        return error_set_errno(e, -ENOMEM, "settings");
    }
    *ret = s;
    return 0;
}

void settings_release(struct settings *s)
{
    if (s->token)
        explicit_bzero(s->token, strlen(s->token));
    char *const owned[] = { s->home,        s->runtime_dir,  s->plugin_path, s->repo_path,
                            s->link_path,   s->config_home,  s->directory,   s->url,
                            s->branch,      s->token,        s->key_file,    s->ca_file,
                            s->user_config, s->user_content, s->trust_dir,   s->build_dir };
    for (size_t i = 0; i < ARRAY_SIZE(owned); i++)
        free(owned[i]);
    *s = (struct settings){ 0 };
}
