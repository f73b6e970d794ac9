#include "acceptance/scratch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/opencode/api.h"

extern char **environ;

const char *scratch_dir(struct accept *a, struct error *e)
{
    if (a->scratch)
        return a->scratch;
    char *dir = NULL;
    /* PLUGIN is …/repos/ai-dev/plugins/opencode-bridge: two up is the checkout, three the volume.
     */
    if (asprintf(&dir, "%s/../../../.codev-acceptance-XXXXXX", a->plugin_path) < 0) {
        (void)error_set_errno(e, -ENOMEM, "no scratch folder");
        return NULL;
    }
    if (!mkdtemp(dir)) {
        free(dir);
        if (asprintf(&dir, "%s/src/.codev-acceptance-XXXXXX", a->home) < 0 || !mkdtemp(dir)) {
            (void)error_set_errno(e, -errno, "cannot make a scratch folder in %s/src", a->home);
            free(dir);
            return NULL;
        }
    }
    a->scratch = realpath(dir, NULL);
    free(dir);
    return a->scratch;
}

void scratch_remove(struct accept *a)
{
    if (a->scratch)
        (void)file_remove_tree(a->scratch);
    free(a->scratch);
    a->scratch = NULL;
}

/* Starts `argv` in a process group of its own, output to `log`. The environment is `environ` with
 * `set` ("K=V", NULL-terminated) on top. */
static int start(const char *const *argv, const char *const *set, const char *cwd, const char *log,
                 pid_t *ret, struct error *e)
{
    pid_t pid = fork();
    if (pid < 0)
        return error_set_errno(e, -errno, "cannot start %s", argv[0]);
    if (pid == 0) {
        (void)setpgid(0, 0);
        int in = open("/dev/null", O_RDONLY);
        int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 ||
            chdir(cwd) < 0)
            _exit(126);
        for (size_t i = 0; set[i]; i++) {
            char *copy = strdup(set[i]);
            if (copy)
                (void)putenv(copy);
        }
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(errno == ENOENT ? 127 : 126);
    }
    (void)setpgid(pid, pid);
    *ret = pid;
    return 0;
}

static void kill_group(pid_t pid)
{
    (void)kill(-pid, SIGKILL);
    (void)kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* Waits for the end. Exit status, 128+n, or -ETIMEDOUT after killing its group. */
static int wait_end(pid_t pid, uint64_t timeout_ms)
{
    _cleanup_fd_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    uint64_t deadline = clock_mono_ms() + timeout_ms;
    for (;;) {
        uint64_t now = clock_mono_ms();
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int n = fd < 0 ? 1 : poll(&p, 1, now >= deadline ? 0 : (int)(deadline - now));
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0) {
            kill_group(pid);
            return -ETIMEDOUT;
        }
        int status;
        if (waitpid(pid, &status, 0) < 0)
            return -errno;
        (void)kill(-pid, SIGKILL); /* what it left behind in its group */
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
}

/* The last non-empty line of a log, for an error message. */
static void last_words(const char *log, char *out, size_t size)
{
    _cleanup_free_ char *text = NULL;
    out[0] = '\0';
    if (file_read(log, 8 << 20, &text, NULL) < 0)
        return;
    char *next = text;
    for (char *line; (line = strsep(&next, "\n"));)
        if (*line)
            (void)snprintf(out, size, "%s", line);
}

int scratch_copy_plugin(struct accept *a, const char *name, const char *leave_out, char **ret,
                        struct error *e)
{
    const char *dir = scratch_dir(a, e);
    if (!dir)
        return e->code;
    _cleanup_free_ char *to = NULL, *log = NULL, *out = NULL;
    /* codev-prepare takes two folders up for the checkout: give the copy such a place. */
    if (asprintf(&to, "%s/%s/plugins/opencode-bridge", dir, name) < 0 ||
        asprintf(&log, "%s/%s-cp.log", dir, name) < 0 ||
        !(out = path_join(to, leave_out ? leave_out : "")))
        return error_set_errno(e, -ENOMEM, "cannot copy the plugin");
    int r = file_mkdir_p(to, 0755);
    if (r < 0)
        return error_set_errno(e, r, "cannot make %s", to);
    _cleanup_free_ char *from = path_join(a->plugin_path, ".");
    pid_t pid;
    r = start((const char *[]){ "cp", "-a", from, to, NULL }, (const char *[]){ NULL }, dir, log,
              &pid, e);
    if (r < 0)
        return r;
    r = wait_end(pid, 120000);
    if (r != 0)
        return error_set(e, -EIO, "copying %s failed (%d)", a->plugin_path, r);
    if (leave_out && (r = file_remove_tree(out)) < 0)
        return error_set_errno(e, r, "cannot remove %s", out);
    *ret = TAKE_PTR(to);
    return 0;
}

int scratch_prepare(struct accept *a, const char *plugin, uint64_t timeout_ms, struct error *e)
{
    _cleanup_free_ char *program = path_join(a->bin_dir, "codev-prepare"), *log = NULL,
                        *home = NULL, *codev_home = NULL, *runtime = NULL, *path = NULL,
                        *limit = NULL;
    if (asprintf(&log, "%s/prepare.log", a->scratch) < 0 ||
        asprintf(&home, "HOME=%s/home", a->scratch) < 0 ||
        asprintf(&codev_home, "CODEV_HOME=%s/home", a->scratch) < 0 ||
        asprintf(&runtime, "CODEV_RUNTIME_DIR=%s/run", a->scratch) < 0 ||
        asprintf(&path, "CODEV_PLUGIN_PATH=%s", plugin) < 0 ||
        asprintf(&limit, "CODEV_PLUGIN_TIMEOUT_MS=%llu", (unsigned long long)timeout_ms) < 0)
        return error_set_errno(e, -ENOMEM, "cannot run codev-prepare");
    (void)file_mkdir_p(strchr(home, '=') + 1, 0700);
    (void)file_mkdir_p(strchr(runtime, '=') + 1, 0700);
    const char *argv[] = { program, NULL };
    const char *set[] = {
        home, codev_home, runtime, path, limit, "CODEV_PLUGIN_URL=", "CODEV_PLUGIN_UPDATE=never",
        NULL
    };
    pid_t pid;
    int r = start(argv, set, a->scratch, log, &pid, e);
    if (r < 0)
        return r;
    r = wait_end(pid, timeout_ms + 10000);
    if (r == 0)
        return 0;
    char words[240];
    last_words(log, words, sizeof words);
    return error_set(e, r < 0 ? r : -EIO, "codev-prepare ended with %d: %s", r, words);
}

/* A port of loopback that was free a moment ago. */
static uint16_t free_port(void)
{
    _cleanup_fd_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof addr;
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
        return 0;
    return ntohs(addr.sin_port);
}

static int write_config(const char *path, const char *plugin)
{
    _cleanup_json_ cJSON *config = cJSON_CreateObject();
    _cleanup_free_ char *entry = NULL;
    cJSON *plugins = cJSON_AddArrayToObject(config, "plugin");
    if (plugin && asprintf(&entry, "file://%s", plugin) >= 0)
        cJSON_AddItemToArray(plugins, cJSON_CreateString(entry));
    json_add_str(config, "share", "disabled");
    _cleanup_free_ char *text = json_print(config);
    return text ? file_write_atomic(path, text, strlen(text), 0600) : -ENOMEM;
}

/* Ready, or dead, or not ready in time. */
static int wait_opencode(struct api *api, pid_t pid, const char *directory, struct error *e)
{
    for (uint64_t deadline = clock_mono_ms() + 60000; clock_mono_ms() < deadline;) {
        if (api_wait_ready(api, NULL, 300, e) == 0)
            return api_wait_ready(api, directory, 60000, e);
        siginfo_t info = { 0 };
        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid)
            return error_set(e, -ECHILD, "it ended at once (status %d)", info.si_status);
    }
    return -ETIMEDOUT;
}

int scratch_opencode_start(struct accept *a, const char *plugin, struct scratch_opencode *ret,
                           char **ret_log, struct error *e)
{
    const char *dir = scratch_dir(a, e);
    if (!dir)
        return e->code;
    uint16_t port = free_port();
    _cleanup_free_ char *home = NULL, *home_env = NULL, *config = NULL, *config_env = NULL,
                        *log = NULL, *plugin_log = NULL, *plugin_log_env = NULL, *url = NULL;
    char port_text[8];
    (void)snprintf(port_text, sizeof port_text, "%u", port);
    if (!port || asprintf(&home, "%s/oc-%u", dir, port) < 0 ||
        asprintf(&home_env, "HOME=%s", home) < 0 ||
        asprintf(&config, "%s/opencode.json", home) < 0 ||
        asprintf(&config_env, "OPENCODE_CONFIG=%s", config) < 0 ||
        asprintf(&log, "%s/opencode.log", home) < 0 ||
        asprintf(&plugin_log, "%s/plugin.log", home) < 0 ||
        asprintf(&plugin_log_env, "CODEV_PLUGIN_LOG=%s", plugin_log) < 0 ||
        asprintf(&url, "http://127.0.0.1:%u", port) < 0)
        return error_set_errno(e, -ENOMEM, "cannot start a second OpenCode");
    int r = file_mkdir_p(home, 0700);
    if (r == 0)
        r = write_config(config, plugin);
    if (r < 0)
        return error_set_errno(e, r, "cannot write %s", config);
    const char *argv[] = { a->opencode_bin, "serve",   "--hostname", "127.0.0.1",
                           "--port",        port_text, NULL };
    /* A gateway that nobody serves: the scratch bridge must not reach the real one. */
    const char *set[] = { home_env,
                          config_env,
                          plugin_log_env,
                          "XDG_DATA_HOME=",
                          "XDG_CONFIG_HOME=",
                          "XDG_STATE_HOME=",
                          "XDG_CACHE_HOME=",
                          "OPENCODE_SERVER_PASSWORD=",
                          "OPENCODE_CONFIG_CONTENT=",
                          "OPENCODE_CONFIG_DIR=",
                          "OPENCODE_DISABLE_MODELS_FETCH=1",
                          "OPENCODE_DISABLE_AUTOUPDATE=1",
                          "npm_config_offline=true",
                          "GATEWAY_URL=http://127.0.0.1:9",
                          "GATEWAY_WS=ws://127.0.0.1:9/ws/bridge",
                          NULL };
    uint64_t begun = clock_mono_ms();
    r = start(argv, set, home, log, &ret->pid, e);
    if (r < 0)
        return r;
    struct api *api = NULL;
    r = api_new(&api, url, "opencode", NULL);
    if (r == 0)
        r = wait_opencode(api, ret->pid, home, e);
    api_free(api);
    ret->port = port;
    ret->ready_ms = clock_mono_ms() - begun;
    if (r < 0) {
        kill_group(ret->pid);
        char words[200];
        last_words(log, words, sizeof words);
        _cleanup_free_ char *why = strdup(e->message);
        return error_set(e, r, "the second OpenCode did not become ready: %s%s%s", why ? why : "",
                         *words ? "; it said: " : "", words);
    }
    if (ret_log)
        *ret_log = plugin ? TAKE_PTR(plugin_log) : NULL;
    return 0;
}

void scratch_opencode_stop(struct scratch_opencode *o)
{
    if (o->pid > 0)
        kill_group(o->pid);
    o->pid = 0;
}
