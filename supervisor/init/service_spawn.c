/* What a service's programs start with: command, environment, secrets, limits. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "supervisor/init/supervisor.h"

/* OpenCode's plugin, the last to come, is loaded by the readiness check at the latest. */
#define SECRETS_TAKE_MS 60000

struct surroundings {
    const struct service *service;
    bool with_secrets;
    bool main;      /* the program itself, no hook and no check */
    int secrets_fd; /* -1: none */
};

void supervisor_environment(const struct supervisor *sv, struct env *env)
{
    for (size_t i = 0; i < sv->environment.count; i++)
        env_put(env, sv->environment.vars[i]);
    env_unset(env, "CODEV_SECRETS_FD"); /* of whoever started us: not ours to hand on */
    env_unset(env, "NOTIFY_SOCKET");
    env_unset(env, "WATCHDOG_USEC");
    env_unset(env, "WATCHDOG_PID");
    env_set(env, "CODEV_RUNTIME_DIR", sv->runtime_dir);
    env_set(env, "CODEV_BOOT_ID", sv->logs.boot_id);
    if (!env_get(env, "CODEV_POD")) {
        const char *pod = env_get(env, "POD_NAME");
        env_set(env, "CODEV_POD", pod && *pod ? pod : sv->hostname);
    }
}

static void put_list(struct env *env, const struct plan *p, struct plan_list list)
{
    for (uint32_t i = 0; i < list.count; i++)
        env_put(env, plan_item(p, list, i));
}

/* As sd_notify(3) and sd_watchdog_enabled(3) want it. This process becomes the program. */
static void put_notify(struct env *env, const struct surroundings *around)
{
    const struct service *s = around->service;
    char text[512];
    bool wanted = s->cfg->ready.kind == PLAN_CHECK_NOTIFY || s->cfg->watchdog_ms;
    bool other_user = *plan_string(&s->block->plan, s->cfg->user) != '\0';
    if (!wanted || !around->main || !notify_address(s->sv, other_user, text, sizeof text))
        return;
    env_set(env, "NOTIFY_SOCKET", text);
    if (!s->cfg->watchdog_ms)
        return;
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)s->cfg->watchdog_ms * 1000);
    env_set(env, "WATCHDOG_USEC", text);
    (void)snprintf(text, sizeof text, "%d", (int)getpid());
    env_set(env, "WATCHDOG_PID", text);
}

/* What is there already stays the same file: a running program's sandbox lets it read that one. */
static int put_file(const char *path, const void *data, size_t len)
{
    _cleanup_free_ char *old = NULL;
    size_t old_len = 0;
    if (file_read(path, len + 1, &old, &old_len) == 0 && old_len == len &&
        memcmp(old, data, len) == 0)
        return 0;
    return file_write_atomic(path, data, len, 0600);
}

/* A profile for programs of the service's own, as the file $CODEV_SANDBOX_NAME. Where it cannot be
 * written the variable names a file that cannot be read: without it nothing is run. */
static void hand_over(struct env *env, const struct supervisor *sv, const struct plan *p,
                      const char *name)
{
    char path[512], variable[SERVICE_NAME_MAX + 16];
    int index = plan_profile_index(p, name);
    (void)snprintf(variable, sizeof variable, "CODEV_SANDBOX_%s", name);
    for (char *c = variable; *c; c++)
        *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c == '-' || *c == '.' ? '_' : *c;
    env_unset(env, variable);
    if (index < 0)
        return;
    const struct plan_profile *f = &p->profiles[index];
    (void)snprintf(path, sizeof path, "%s/sandbox-%s", sv->runtime_dir, name);
    bool written = sv->runtime_dir[0] && put_file(path, p->blobs + f->off, f->size) == 0;
    env_set(env, variable, written ? path : "/nonexistent/sandbox");
}

/* Where codev-prepare says that no plugin will take the bridge token, nobody gets it. */
static void put_secrets_fd(struct env *env, int fd)
{
    char number[16];
    const char *bridge = env_get(env, "CODEV_BRIDGE");
    bool nobody = bridge && strcmp(bridge, "none") == 0;
    env_unset(env, "CODEV_BRIDGE");
    if (fd < 0)
        return;
    if (nobody) {
        (void)secret_pipe_drain(fd);
        (void)close(fd);
        return;
    }
    (void)snprintf(number, sizeof number, "%d", fd);
    env_set(env, "CODEV_SECRETS_FD", number);
}

/* The agent may not see the runtime folder, and in the folder that holds it Landlock lets nobody
 * make anything: where that is /tmp, the agent and the build get a folder of their own. */
static void put_tmpdir(struct env *env, const struct surroundings *around)
{
    const struct service *s = around->service;
    const char *set = env_get(env, "TMPDIR"), *runtime = s->sv->runtime_dir;
    const char *file = plan_string(&s->block->plan, s->cfg->env_from);
    char path[512];
    if ((set && *set) || strncmp(runtime, "/tmp/", 5) != 0 || (!*file && !s->cfg->handed.count))
        return;
    (void)snprintf(path, sizeof path, "%s/tmp", runtime);
    env_set(env, "TMPDIR", path);
}

/* Bun unpacks OpenCode's native libraries and loads them by name: between the two nobody else may
 * put one of theirs in the place. */
static void put_own_tmp(struct env *env, const struct surroundings *around)
{
    const struct service *s = around->service;
    const char *before = env_get(env, "BUN_TMPDIR"), *runtime = s->sv->runtime_dir;
    char text[512];
    if (!*plan_string(&s->block->plan, s->cfg->env_from) || !s->cfg->profile || !*runtime)
        return;
    (void)snprintf(text, sizeof text, "%s", before ? before : "");
    env_set(env, "CODEV_RESTORE_BUN_TMPDIR", text);
    (void)snprintf(text, sizeof text, "%s/opencode-tmp", runtime);
    env_set(env, "BUN_TMPDIR", text);
}

/* Runs in the child. The order is the precedence: later ones win. */
static int build_env(struct env *env, void *arg)
{
    const struct surroundings *around = arg;
    const struct service *s = around->service;
    const struct supervisor *sv = s->sv;
    const struct plan *p = &s->block->plan;
    const char *home = plan_string(p, p->header->home);
    supervisor_environment(sv, env);
    if (*home) {
        env_set(env, "HOME", home);
        env_set(env, "CODEV_HOME", home);
    }
    env_set(env, "CODEV_STATE_DIR", sv->state_dir);
    env_set(env, "CODEV_LOG_LEVEL", logline_level_name((enum log_level)p->header->log_level));
    for (size_t i = 0; i < sv->plan_env.count; i++)
        env_put(env, sv->plan_env.vars[i]);
    put_list(env, p, s->cfg->env);
    const char *file = plan_string(p, s->cfg->env_from);
    if (*file && sv->runtime_dir[0]) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s", sv->runtime_dir, file);
        int r = env_put_file(env, path);
        if (r == -ENOENT && s->cfg->profile)
            r = means_default(env, sv->runtime_dir);
        else if (r == -ENOENT)
            r = 0;
        if (r < 0)
            return r;
    }
    for (uint32_t i = 0; i < s->cfg->handed.count; i++)
        hand_over(env, sv, p, plan_item(p, s->cfg->handed, i));
    env_set(env, "CODEV_SERVICE", s->name);
    put_tmpdir(env, around);
    put_own_tmp(env, around);
    put_notify(env, around);
    if (around->with_secrets)
        secret_store_environment(&sv->secrets, s->cfg->secret_readers, env);
    put_secrets_fd(env, around->secrets_fd);
    return 0;
}

int service_spawn(struct service *s, struct proc *p, struct plan_list argv, const char *label,
                  bool with_secrets)
{
    const struct plan *plan = &s->block->plan;
    const char *cwd = plan_string(plan, s->cfg->cwd);
    struct sandbox sandbox = { 0 };
    if (s->cfg->profile)
        plan_sandbox(plan, s->cfg->profile - 1, &sandbox);
    struct surroundings around = {
        .service = s, .with_secrets = with_secrets, .main = p == &s->proc, .secrets_fd = -1
    };
    _cleanup_free_ const char **list = calloc(argv.count + 1, sizeof *list);
    if (!list)
        return -ENOMEM;
    for (uint32_t i = 0; i < argv.count; i++)
        list[i] = plan_item(plan, argv, i);
    int r = with_secrets
                ? secret_store_pipe(&s->sv->secrets, s->cfg->secret_readers, &around.secrets_fd)
                : 0;
    if (r < 0)
        return r;
    _cleanup_fd_ int secrets = around.secrets_fd;
    char mark[SERVICE_NAME_MAX + 16];
    (void)snprintf(mark, sizeof mark, "CODEV_SERVICE=%s", s->name);
    log_channel_mend(&s->log);
    bool group_is_new;
    int group = service_group_open(s, &group_is_new);
    struct spawn_spec spec = {
        .label = label,
        .mark = mark,
        .argv = list,
        .build_env = build_env,
        .env_arg = &around,
        .look = *plan_string(plan, s->cfg->env_from) ? means_look : NULL,
        .cwd = *cwd ? cwd : plan_string(plan, plan->header->home),
        .cwd_optional = !*cwd,
        .user = plan_string(plan, s->cfg->user),
        .nofile = s->cfg->limit_nofile,
        .nproc = group > 0 && s->sv->groups.tree.pids ? 0 : s->cfg->limit_nproc,
        .sandbox = s->cfg->profile ? &sandbox : NULL,
        .where = { .runtime = s->sv->runtime_dir, .state = s->sv->state_dir },
        .kernel = &s->sv->kernel,
        .sandbox_require = plan->header->sandbox_require,
        .stdout_fd = s->log.out.write_fd,
        .stderr_fd = s->log.err.write_fd,
        .keep_fd = secrets,
        .mask = &s->sv->original_mask,
        .cgroup_fd = group,
        .cgroup_is_its_own = p == &s->proc,
        .cgroup_is_new = group_is_new,
    };
    r = proc_start(p, &spec);
    if (group > 0)
        (void)close(group);
    if (r == 0 && around.main && secrets >= 0) {
        service_secrets_back(s);
        s->secrets_fd = TAKE_FD(secrets);
    }
    return r;
}

void service_secrets_back(struct service *s)
{
    timer_clear(&s->secrets_timer);
    if (s->secrets_fd < 0)
        return;
    if (secret_pipe_drain(s->secrets_fd) && s->started_ms)
        say(s->sv, LOG_LEVEL_INFO, "service %s did not take its secrets, they were taken back",
            s->name);
    (void)close(s->secrets_fd);
    s->secrets_fd = -1;
}

static void on_secrets_timer(struct timer *t)
{
    service_secrets_back(t->arg);
}

void service_secrets_init(struct service *s)
{
    s->secrets_fd = -1;
    s->secrets_timer = (struct timer){ .fn = on_secrets_timer, .arg = s };
}

void service_secrets_watch(struct service *s)
{
    if (s->secrets_fd >= 0)
        timer_set(&s->sv->loop, &s->secrets_timer, SECRETS_TAKE_MS);
}
