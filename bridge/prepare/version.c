#include "bridge/prepare/version.h"

#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/control.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "bridge/prepare/npm_env.h"
#include "supervisor/sandbox/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ASK_MS  10000
#define SEND_MS 2000

/* Both ends count. The first row that fits decides. */
static const struct {
    unsigned from[3], to[3];
    enum version_verdict verdict;
    const char *why;
} known[] = {
    { { 1, 18, 33 }, { 1, 18, 33 }, VERSION_GOOD, "" },
    { { 2, 0, 0 },
      { 99, 99, 9999 },
      VERSION_BROKEN,
      "OpenCode 2 has another plugin interface and other events" },
};

static bool reaches(const unsigned a[3], const unsigned b[3])
{
    for (int i = 0; i < 3; i++)
        if (a[i] != b[i])
            return a[i] > b[i];
    return true;
}

enum version_verdict version_judge(const char *version, const char **ret_why)
{
    unsigned v[3];
    *ret_why = "";
    if (sscanf(version, "%4u.%4u.%6u", &v[0], &v[1], &v[2]) != 3)
        return VERSION_UNKNOWN;
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (!reaches(v, known[i].from) || !reaches(known[i].to, v))
            continue;
        *ret_why = known[i].why;
        return known[i].verdict;
    }
    return VERSION_UNTRIED;
}

/* --- which one is it? --- */

static char *program_path(const char *name)
{
    const char *dirs = getenv("PATH");
    if (strchr(name, '/'))
        return strdup(name);
    _cleanup_free_ char *copy = strdup(dirs ? dirs : "");
    char *rest = copy;
    for (char *dir; rest && (dir = strsep(&rest, ":"));) {
        _cleanup_free_ char *path = path_join(*dir ? dir : ".", name);
        if (path && access(path, X_OK) == 0)
            return TAKE_PTR(path);
    }
    return NULL;
}

/* What changes when the file is replaced. */
static bool identity(const char *path, char *out, size_t size)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return false;
    (void)snprintf(out, size, "%llu %llu %lld %lld.%09ld %lld.%09ld", (unsigned long long)st.st_dev,
                   (unsigned long long)st.st_ino, (long long)st.st_size,
                   (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (long long)st.st_ctim.tv_sec,
                   st.st_ctim.tv_nsec);
    return true;
}

/* "IDENTITY\nVERSION\n" */
static char *cached(const char *cache, const char *id)
{
    _cleanup_free_ char *text = NULL;
    size_t n = strlen(id);
    if (file_read(cache, 1024, &text, NULL) < 0 || strncmp(text, id, n) != 0 || text[n] != '\n')
        return NULL;
    text[n + 1 + strcspn(text + n + 1, "\n")] = '\0';
    return strdup(text + n + 1);
}

/* In the sandbox that it will run in, with npm's environment: it may be anybody's program, and
 * reads files of its working folder. */
_Noreturn static void ask_child(const struct confine *sandbox, char **env, const char *path,
                                int out)
{
    const char *const argv[] = { path, "--version", NULL };
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(null, STDERR_FILENO) < 0)
        _exit(126);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)setpgid(0, 0);
    if (chdir("/") == 0 && confine_enter(sandbox, env))
        (void)execve(path, (char *const *)(uintptr_t)argv, env);
    _exit(127);
}

static void read_until(int fd, uint64_t deadline_ms, char *out, size_t size)
{
    size_t len = 0;
    for (uint64_t now; len + 1 < size && (now = clock_mono_ms()) < deadline_ms;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, (int)(deadline_ms - now)) <= 0)
            continue;
        ssize_t n = read(fd, out + len, size - 1 - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    out[len] = '\0';
    out[strcspn(out, "\r\n")] = '\0';
}

/* Takes 0.6 to 0.9 s, hence the cache. "": it does not tell. */
static void ask(const char *path, char *out, size_t size)
{
    struct error e = ERROR_INIT;
    _cleanup_(confine_release) struct confine sandbox = { 0 };
    _cleanup_(npm_env_free) char **env = npm_env(NULL);
    const char *name = getenv("CODEV_OPENCODE_SANDBOX");
    int fds[2];
    out[0] = '\0';
    if (confine_read(&sandbox, name && *name ? name : "none", &e) < 0) {
        log_warn("OpenCode is not asked for its version: %s", e.message);
        return;
    }
    if (!env || pipe2(fds, O_CLOEXEC) < 0)
        return;
    pid_t pid = fork();
    if (pid == 0)
        ask_child(&sandbox, env, path, fds[1]);
    (void)close(fds[1]);
    if (pid > 0) {
        (void)setpgid(pid, pid);
        read_until(fds[0], clock_mono_ms() + ASK_MS, out, size);
        (void)kill(-pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    (void)close(fds[0]);
}

static void find_version(const struct settings *s, const char *path, char *out, size_t size)
{
    char id[200];
    const char *state = getenv("CODEV_STATE_DIR");
    _cleanup_free_ char *cache =
        path_join(state && *state ? state : s->runtime_dir, "opencode-version");
    out[0] = '\0';
    if (!cache || !identity(path, id, sizeof id))
        return;
    _cleanup_free_ char *known_as = cached(cache, id);
    if (known_as) {
        (void)snprintf(out, size, "%s", known_as);
        return;
    }
    ask(path, out, size);
    const char *why;
    _cleanup_buf_ struct buf text = BUF_INIT;
    buf_printf(&text, "%s\n%s\n", id, out);
    if (version_judge(out, &why) != VERSION_UNKNOWN && !text.failed)
        (void)file_write_atomic(cache, text.data, text.len, 0600);
}

/* --- telling --- */

static void tell(const char *const *words)
{
    struct error e = ERROR_INIT;
    _cleanup_buf_ struct buf answer = BUF_INIT_MAX((size_t)64 << 10);
    if (control_call(words, SEND_MS, &answer, &e) < 0)
        log_debug("no supervisor to tell: %s", e.message);
}

static void act(const char *line, bool refuse)
{
    const char *const stop[] = { "stop", "opencode", NULL };
    if (!refuse) {
        log_warn("⚠️ OpenCode %s", line);
        return;
    }
    log_error("OpenCode %s: it is not started; `codevctl start opencode` starts it all the same, "
              "opencode.version_check: warn always does",
              line);
    tell(stop);
}

void version_check(const struct settings *s)
{
    const char *check = getenv("CODEV_OPENCODE_VERSION_CHECK"), *why = "";
    const char *name = getenv("CODEV_OPENCODE_BIN");
    if (!name || !*name || (check && strcmp(check, "off") == 0))
        return;
    char version[64] = "", line[200];
    _cleanup_free_ char *path = program_path(name);
    if (path)
        find_version(s, path, version, sizeof version);
    enum version_verdict verdict = version_judge(version, &why);
    static const char *const texts[VERSION_MAX] = {
        [VERSION_GOOD] = "known to work",
        [VERSION_UNTRIED] = "not tried with this codev-init",
        [VERSION_BROKEN] = "known to be broken",
        [VERSION_UNKNOWN] = "of unknown version",
    };
    (void)snprintf(line, sizeof line, "%s%s%s%s%s", version, *version ? ": " : "", texts[verdict],
                   *why ? ", " : "", why);
    const char *const words[] = { "annotate", "opencode", "version", line, NULL };
    tell(words);
    if (verdict == VERSION_BROKEN)
        act(line, !check || strcmp(check, "refuse") == 0);
    else if (verdict == VERSION_UNTRIED)
        log_info("OpenCode %s", line);
}
