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
 * What else starts programs, and nobody in OpenCode calls (system(3), popen(3), execveat(2)), is
 * refused. pidfd_spawnp(3), which Rust's library would take, goes the same way as posix_spawnp().
 *
 * The process also becomes non-dumpable (PR_SET_DUMPABLE(2const)): no process of the same user can
 * read its environment or memory, also where the kernel has no Landlock. And the password leaves
 * the memory that /proc/self/environ shows: a tool of OpenCode's that follows a link there, as
 * root, finds none. */
#include <alloca.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
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
static spawn_fn *real_spawn, *real_spawnp, *real_pidfd_spawn, *real_pidfd_spawnp;
static int (*real_system)(const char *command);
static FILE *(*real_popen)(const char *command, const char *mode);
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

/* The strings that the program was started with are what /proc/self/environ shows. The list itself
 * stays where it is: main() has it as well. */
static void hide_password(void)
{
    static const char name[] = "OPENCODE_SERVER_PASSWORD=";
    for (char **v = environ; v && *v; v++) {
        char *copy = strncmp(*v, name, sizeof name - 1) == 0 ? strdup(*v) : NULL;
        if (!copy)
            continue;
        explicit_bzero(*v, strlen(*v));
        *v = copy;
    }
}

/* POSIX gives a function by dlsym() only as a pointer to data. */
static void find_real(void)
{
    *(void **)&real_spawn = dlsym(RTLD_NEXT, "posix_spawn");
    *(void **)&real_spawnp = dlsym(RTLD_NEXT, "posix_spawnp");
    *(void **)&real_pidfd_spawn = dlsym(RTLD_NEXT, "pidfd_spawn");
    *(void **)&real_pidfd_spawnp = dlsym(RTLD_NEXT, "pidfd_spawnp");
    *(void **)&real_execvpe = dlsym(RTLD_NEXT, "execvpe");
    *(void **)&real_system = dlsym(RTLD_NEXT, "system");
    *(void **)&real_popen = dlsym(RTLD_NEXT, "popen");
}

__attribute__((constructor)) static void fence_init(void)
{
    char exe[SHELL_MAX];
    const char *path = getenv("CODEV_FENCE_SHELL");
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = '\0';
    find_real();
    if (is_launcher(exe) || !path || strlen(path) >= sizeof shell)
        return;
    memcpy(shell, path, strlen(path) + 1);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    hide_password();
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

/* How many there are up to the NULL, which is taken as well. */
static size_t count_args(const char *arg, va_list *ap)
{
    size_t n = 0;
    for (; arg; arg = va_arg(*ap, const char *))
        n++;
    return n;
}

static void take_args(const char *arg, va_list *ap, char **out, size_t count)
{
    for (size_t i = 0; i < count; i++, arg = va_arg(*ap, const char *))
        out[i] = unconst(arg);
    out[count] = NULL;
}

/* Takes the arguments of the execl family apart, on the stack of the function that it stands in. */
#define TAKE_ARGS(arg, ap, argv)                                                                   \
    va_start(ap, arg);                                                                             \
    size_t argv##_count = count_args(arg, &ap);                                                    \
    va_end(ap);                                                                                    \
    if (argv##_count > LIST_MAX) {                                                                 \
        errno = E2BIG;                                                                             \
        return -1;                                                                                 \
    }                                                                                              \
    char **argv = alloca((argv##_count + 1) * sizeof *argv);                                       \
    va_start(ap, arg);                                                                             \
    take_args(arg, &ap, argv, argv##_count)

EXPORT int execl(const char *path, const char *arg, ...)
{
    va_list ap;
    /* cppcheck-suppress allocaCalled */
    TAKE_ARGS(arg, ap, argv);
    va_end(ap);
    return execve(path, argv, environ);
}

EXPORT int execlp(const char *file, const char *arg, ...)
{
    va_list ap;
    /* cppcheck-suppress allocaCalled */
    TAKE_ARGS(arg, ap, argv);
    va_end(ap);
    return execvpe(file, argv, environ);
}

EXPORT int execle(const char *path, const char *arg, ...)
{
    va_list ap;
    /* cppcheck-suppress allocaCalled */
    TAKE_ARGS(arg, ap, argv);
    char *const *envp = va_arg(ap, char *const *);
    va_end(ap);
    return execve(path, argv, envp);
}

static int refuse(void)
{
    errno = EPERM;
    return -1;
}

EXPORT int execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
    return on ? refuse() : (int)syscall(SYS_execveat, dir, path, argv, envp, flags);
}

EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
    return execveat(fd, "", argv, envp, AT_EMPTY_PATH);
}

EXPORT int system(const char *command)
{
    return on || !real_system ? refuse() : real_system(command);
}

EXPORT FILE *popen(const char *command, const char *mode)
{
    if (!on && real_popen)
        return real_popen(command, mode);
    (void)refuse();
    return NULL;
}

static int spawn_by(spawn_fn *real, spawn_fn *real_path, pid_t *pid, const char *path,
                    const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
                    char *const argv[], char *const envp[])
{
    if (!real || !real_path)
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
        return real_path(pid, path, actions, attributes, argv, env);
    /* cppcheck-suppress allocaCalled */
    char **args = alloca((length(argv) + 4) * sizeof *args);
    wrap(path, argv, args);
    return real_path(pid, shell, actions, attributes, args, env);
}

EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    return spawn_by(real_spawn, real_spawn, pid, path, actions, attributes, argv, envp);
}

EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                        const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    return spawn_by(real_spawnp, real_spawn, pid, file, actions, attributes, argv, envp);
}

/* glibc 2.39 and later; declared here for the older ones. */
EXPORT spawn_fn pidfd_spawn, pidfd_spawnp;

int pidfd_spawn(int *pidfd, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    return spawn_by(real_pidfd_spawn, real_pidfd_spawn, pidfd, path, actions, attributes, argv,
                    envp);
}

int pidfd_spawnp(int *pidfd, const char *file, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    return spawn_by(real_pidfd_spawnp, real_pidfd_spawn, pidfd, file, actions, attributes, argv,
                    envp);
}
