/* codev-fence.so: loaded into OpenCode's own process by LD_PRELOAD (ld.so(8)).
 *
 * OpenCode starts more than the agent's shell: git, ripgrep, formatters and language servers of the
 * project, MCP servers, npm. These are programs that the agent may have written or configured (a
 * formatter lies in the project's node_modules, git runs core.fsmonitor), and they would inherit
 * OpenCode's password and its sandbox. So each program that OpenCode starts goes through
 * codev-shell, which takes both away:   codev-shell --exec PATH ARGV...
 *
 * Bun, which OpenCode is compiled with, starts every program by vfork(2) and libc's execve(); its
 * PTY library by execvp() or posix_spawn(). A call may be made in the child of a vfork: nothing
 * here allocates, locks or changes memory that the parent sees.
 *
 * The process also becomes non-dumpable (PR_SET_DUMPABLE(2const)): no process of the same user can
 * read its environment or memory, also where the kernel has no Landlock. */
#include <alloca.h>
#include <dlfcn.h>
#include <errno.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT    __attribute__((visibility("default")))
#define NAME      "codev-fence.so"
#define LIST_MAX  16384 /* arguments or variables: their pointers lie on the stack */
#define SHELL_MAX 4096

typedef int spawn_fn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                     const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]);

static char shell[SHELL_MAX];
static bool on;
static spawn_fn *real_spawn, *real_spawnp;
static int (*real_execvpe)(const char *file, char *const argv[], char *const envp[]);

/* Before OpenCode itself there may be a script that starts it: the fence waits for what comes. */
static const char *const launchers[] = { "node", "nodejs", "sh",      "dash",   "bash",
                                         "env",  "nice",   "busybox", "setpriv" };

/* What no program that OpenCode starts may find. codev-shell takes away more. */
static const char *const dropped[] = { "OPENCODE_SERVER_PASSWORD=", "CODEV_SECRETS_FD=" };

static bool is_launcher(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++)
        if (strcmp(launchers[i], name) == 0)
            return true;
    return false;
}

__attribute__((constructor)) static void fence_init(void)
{
    char exe[SHELL_MAX];
    const char *path = getenv("CODEV_FENCE_SHELL");
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = '\0';
    /* POSIX gives a function by dlsym() only as a pointer to data. */
    *(void **)&real_spawn = dlsym(RTLD_NEXT, "posix_spawn");
    *(void **)&real_spawnp = dlsym(RTLD_NEXT, "posix_spawnp");
    *(void **)&real_execvpe = dlsym(RTLD_NEXT, "execvpe");
    if (is_launcher(exe) || !path || strlen(path) >= sizeof shell)
        return;
    memcpy(shell, path, strlen(path) + 1);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    on = true;
}

static bool is_dropped(const char *variable)
{
    if (strncmp(variable, "LD_PRELOAD=", 11) == 0)
        return strstr(variable, NAME) != NULL;
    for (size_t i = 0; i < sizeof dropped / sizeof *dropped; i++)
        if (strncmp(variable, dropped[i], strlen(dropped[i])) == 0)
            return true;
    return false;
}

static size_t length(char *const list[])
{
    size_t n = 0;
    while (list && list[n])
        n++;
    return n;
}

/* `out` holds length(envp) + 1. */
static void scrub(char *const envp[], char **out)
{
    size_t n = 0;
    for (size_t i = 0; envp && envp[i]; i++)
        if (!is_dropped(envp[i]))
            out[n++] = envp[i];
    out[n] = NULL;
}

static char *unconst(const char *s)
{
    char *p;
    memcpy(&p, &s, sizeof p); /* execve's prototype lacks a const */
    return p;
}

/* `out` holds length(argv) + 4: codev-shell --exec PATH ARGV... */
static void wrap(const char *path, char *const argv[], char **out)
{
    size_t n = 0;
    out[n++] = shell;
    out[n++] = unconst("--exec");
    out[n++] = unconst(path);
    for (size_t i = 0; argv && argv[i]; i++)
        out[n++] = argv[i];
    out[n] = NULL;
}

static bool too_long(char *const argv[], char *const envp[])
{
    return length(argv) > LIST_MAX || length(envp) > LIST_MAX;
}

/* What is not there must fail here, as the caller expects. 0, or the errno. */
static int missing(const char *path)
{
    return strchr(path, '/') && access(path, X_OK) < 0 ? errno : 0;
}

/* The agent's shell is codev-shell already. */
static bool is_shell(const char *path)
{
    return strcmp(path, shell) == 0;
}

EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
    if (!on)
        return (int)syscall(SYS_execve, path, argv, envp);
    int problem = too_long(argv, envp) ? E2BIG : missing(path);
    if (problem) {
        errno = problem;
        return -1;
    }
    /* cppcheck-suppress allocaCalled ; malloc must not be called in the child of a vfork */
    char **env = alloca((length(envp) + 1) * sizeof *env);
    scrub(envp, env);
    if (is_shell(path))
        return (int)syscall(SYS_execve, path, argv, env);
    /* cppcheck-suppress allocaCalled */
    char **args = alloca((length(argv) + 4) * sizeof *args);
    wrap(path, argv, args);
    return (int)syscall(SYS_execve, shell, args, env);
}

EXPORT int execv(const char *path, char *const argv[])
{
    return execve(path, argv, environ);
}

/* codev-shell looks in PATH, as execvp(3) does. */
EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
    if (on || !real_execvpe)
        return execve(file, argv, envp);
    return real_execvpe(file, argv, envp);
}

EXPORT int execvp(const char *file, char *const argv[])
{
    return execvpe(file, argv, environ);
}

static int spawn_by(spawn_fn *real, pid_t *pid, const char *path,
                    const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
                    char *const argv[], char *const envp[])
{
    if (!real)
        return ENOSYS;
    if (!on)
        return real(pid, path, actions, attributes, argv, envp);
    int problem = too_long(argv, envp) ? E2BIG : missing(path);
    if (problem)
        return problem;
    /* cppcheck-suppress allocaCalled ; malloc must not be called in the child of a vfork */
    char **env = alloca((length(envp) + 1) * sizeof *env);
    scrub(envp, env);
    if (is_shell(path))
        return real_spawn(pid, path, actions, attributes, argv, env);
    /* cppcheck-suppress allocaCalled */
    char **args = alloca((length(argv) + 4) * sizeof *args);
    wrap(path, argv, args);
    return real_spawn(pid, shell, actions, attributes, args, env);
}

EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    return spawn_by(real_spawn, pid, path, actions, attributes, argv, envp);
}

EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                        const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    return spawn_by(real_spawnp, pid, file, actions, attributes, argv, envp);
}
