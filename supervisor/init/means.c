/* What stands around OpenCode beside its own sandbox. Its child between fork and exec knows: it has
 * the environment that OpenCode gets. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/jsonw.h"
#include "supervisor/init/supervisor.h"

#define FENCE "codev-fence.so"

static bool is(const struct env *env, const char *name, const char *value)
{
    const char *v = env_get(env, name);
    return v && strcmp(v, value) == 0;
}

/* Does OpenCode's configuration wait for a person's word when it changes? */
static bool asks(const struct env *env)
{
    return is(env, "CODEV_TRUST", "ask");
}

static bool in_runtime(const struct env *env, const char *variable, const char *name)
{
    char path[4096];
    const char *runtime = env_get(env, "CODEV_RUNTIME_DIR");
    (void)snprintf(path, sizeof path, "%s/%s", runtime ? runtime : "", name);
    return runtime && is(env, variable, path);
}

static bool there(const char *path, int mode)
{
    return path && *path && access(path, mode) == 0;
}

static enum sandbox_state fence(const struct env *env)
{
    char path[4096];
    const char *list = env_get(env, "LD_PRELOAD");
    size_t n = list ? strcspn(list, ": ") : 0;
    (void)snprintf(path, sizeof path, "%.*s", (int)n, list ? list : "");
    bool named = strstr(path, FENCE) != NULL;
    return named && there(path, R_OK) && there(env_get(env, "CODEV_FENCE_SHELL"), X_OK)
               ? SANDBOX_ON
               : SANDBOX_UNAVAILABLE;
}

static enum sandbox_state commands(const struct env *env, const struct sandbox_kernel *k)
{
    bool on = k->landlock_abi > 0 && fence(env) == SANDBOX_ON &&
              there(env_get(env, "CODEV_SANDBOX_COMMANDS"), R_OK);
    return on ? SANDBOX_ON : SANDBOX_UNAVAILABLE;
}

static enum sandbox_state wanted(const struct env *env, bool on)
{
    return on ? SANDBOX_ON : asks(env) ? SANDBOX_UNAVAILABLE : SANDBOX_OFF;
}

void means_look(const struct env *env, const struct sandbox_kernel *k, struct sandbox_report *r)
{
    r->means[SANDBOX_MEANS_FENCE] = (uint8_t)fence(env);
    r->means[SANDBOX_MEANS_COMMANDS] = (uint8_t)commands(env, k);
    r->means[SANDBOX_MEANS_GUARD] = (uint8_t)wanted(env, there(env_get(env, "CODEV_GUARD"), R_OK));
    r->means[SANDBOX_MEANS_ACCEPTED] =
        (uint8_t)wanted(env, in_runtime(env, "XDG_CONFIG_HOME", "xdg-config"));
    r->means[SANDBOX_MEANS_PROJECT] =
        (uint8_t)wanted(env, is(env, "OPENCODE_DISABLE_PROJECT_CONFIG", "1"));
}

/* Sets a variable for OpenCode alone: what it starts gets back what there was before. */
static void steer(struct env *env, const char *name, const char *value)
{
    char restore[64], before[512];
    const char *old = env_get(env, name);
    (void)snprintf(before, sizeof before, "%s", old ? old : "");
    (void)snprintf(restore, sizeof restore, "CODEV_RESTORE_%s", name);
    env_set(env, restore, before);
    env_set(env, name, value);
}

int means_default(struct env *env, const char *runtime)
{
    char path[4096];
    const char *guard = env_get(env, "CODEV_GUARD_CONFIG");
    if (!asks(env) || !*runtime)
        return 0;
    if (!there(guard, R_OK))
        return -ENOENT;
    (void)snprintf(path, sizeof path, "%s", guard);
    env_set(env, "OPENCODE_CONFIG", path);
    env_set(env, "CODEV_GUARD", path);
    (void)snprintf(path, sizeof path, "%s/xdg-config", runtime);
    steer(env, "XDG_CONFIG_HOME", path);
    /* It loads all plugins of a list at once: one in ~/.opencode may come before the guard. */
    steer(env, "OPENCODE_TEST_HOME", path);
    env_set(env, "OPENCODE_DISABLE_PROJECT_CONFIG", "1");
    env_set(env, "CODEV_BRIDGE", "none");
    /* With any plugin, and the guard is one, OpenCode waits for an installation into its
     * configuration folders: 70 s where the registry is out of reach, and for nothing. */
    steer(env, "npm_config_offline", "true");
    return 0;
}

/* --- status --- */

/* May we look into any process? Then that we can tells nothing. */
static bool sees_all(void)
{
    struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct d[2] = { { 0 }, { 0 } };
    return syscall(SYS_capget, &h, d) < 0 || d[0].effective & (1U << CAP_SYS_PTRACE);
}

/* The fence makes its process non-dumpable: who can be read is without. */
static bool can_be_read(pid_t pid)
{
    char path[48];
    (void)snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    _cleanup_fd_ int fd = pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    return fd >= 0;
}

static const struct {
    const char *name, *missing;
} rows[] = {
    [SANDBOX_MEANS_FENCE] = { "fence", FENCE " or codev-shell is not installed" },
    [SANDBOX_MEANS_COMMANDS] = { "walls around commands",
                                 "needs the fence, Landlock and a runtime folder" },
    [SANDBOX_MEANS_GUARD] = { "guard against modules", "codev-prepare did not write it" },
    [SANDBOX_MEANS_ACCEPTED] = { "accepted copies", "needs Landlock and a state folder" },
    [SANDBOX_MEANS_PROJECT] = { "project configuration ignored", "codev-prepare did not say so" },
};
_Static_assert(ARRAY_SIZE(rows) == SANDBOX_MEANS_MAX, "a row for each of the means");

static void put(struct jsonw *w, const struct service *s, enum sandbox_means i)
{
    enum sandbox_state state = (enum sandbox_state)s->proc.report.means[i];
    const char *detail = state == SANDBOX_UNAVAILABLE ? rows[i].missing
                         : state == SANDBOX_OFF       ? "trust: always"
                                                      : "";
    if (i == SANDBOX_MEANS_FENCE && state == SANDBOX_ON && service_is_ready(s) && !sees_all() &&
        can_be_read(s->proc.leader)) {
        state = SANDBOX_UNAVAILABLE;
        detail = "its process did not load " FENCE;
    }
    jsonw_object(w, NULL);
    jsonw_str(w, "name", rows[i].name);
    jsonw_str(w, "state", sandbox_state_names[state]);
    jsonw_str(w, "detail", detail);
    jsonw_object_end(w);
}

void means_status(struct jsonw *w, const struct service *s)
{
    bool opencode = *plan_string(&s->block->plan, s->cfg->env_from) != '\0';
    jsonw_array(w, "means");
    for (int i = 0; opencode && s->proc.sandboxed && i < SANDBOX_MEANS_MAX; i++)
        put(w, s, (enum sandbox_means)i);
    jsonw_array_end(w);
}
