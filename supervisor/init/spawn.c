#include "supervisor/init/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/parse.h"

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

const char *spawn_step_text(enum spawn_step step)
{
    static const char *const texts[] = {
        [SPAWN_FORK] = "cannot make a process",
        [SPAWN_SESSION] = "cannot make a session",
        [SPAWN_STDIO] = "cannot set up its input and output",
        [SPAWN_LIMITS] = "cannot set its limits",
        [SPAWN_USER] = "cannot become its user",
        [SPAWN_CWD] = "cannot enter its working folder",
        [SPAWN_ENVIRONMENT] = "cannot build its environment",
        [SPAWN_SANDBOX] = "cannot enter its sandbox",
        [SPAWN_EXEC] = "cannot run its command",
    };
    _Static_assert(ARRAY_SIZE(texts) == SPAWN_STEP_MAX, "a text for every step");
    return (unsigned)step < SPAWN_STEP_MAX ? texts[step] : "cannot start";
}

void spawn_failure_text(const struct spawn_failure *f, const struct spawn_wanted *wanted, char *out,
                        size_t size)
{
    const char *command = wanted->command, *error = strerror(f->error);
    bool absent = f->error == ENOENT;
    if (f->step == SPAWN_EXEC && absent && strchr(command, '/'))
        (void)snprintf(out, size,
                       "cannot run %.80s: %s: is the path right, and the interpreter in its first "
                       "line there?",
                       command, error);
    else if (f->step == SPAWN_EXEC && absent)
        (void)snprintf(out, size,
                       "cannot run %.80s: not found in PATH: install it, or give its full path in "
                       "command",
                       command);
    else if (f->step == SPAWN_EXEC && f->error == EACCES)
        (void)snprintf(out, size, "cannot run %.80s: %s: it must be a file with mode +x", command,
                       error);
    else if (f->step == SPAWN_EXEC)
        (void)snprintf(out, size, "cannot run %.80s: %s", command, error);
    else if (f->step == SPAWN_CWD && *wanted->cwd)
        (void)snprintf(out, size,
                       "cannot enter its working folder %.80s: %s: make it, or change cwd",
                       wanted->cwd, error);
    else if (f->step == SPAWN_USER && absent)
        (void)snprintf(out, size, "there is no user %.80s: change user, or give a number",
                       wanted->user);
    else if (f->step == SPAWN_USER)
        (void)snprintf(out, size, "cannot become the user %.80s: %s", wanted->user, error);
    else if (f->step == SPAWN_SANDBOX && f->part < SANDBOX_PART_MAX)
        (void)snprintf(out, size, "%s: %s: %s%s", spawn_step_text(SPAWN_SANDBOX),
                       sandbox_part_names[f->part], error,
                       f->error == ENOTSUP ? " (sandbox.require is true)" : "");
    else
        (void)snprintf(out, size, "%s: %s", spawn_step_text((enum spawn_step)f->step), error);
}

static void close_range_all(unsigned first, unsigned last)
{
    if (first > last)
        return;
    if (syscall(SYS_close_range, first, last, 0) == 0)
        return;
    long max = sysconf(_SC_OPEN_MAX);
    unsigned top = max > 0 && (unsigned long)max < last ? (unsigned)max : last;
    for (unsigned fd = first; fd <= top && fd < 65536; fd++)
        (void)close((int)fd);
}

void spawn_close_fds(const int *keep, size_t count)
{
    unsigned from = 3;
    for (;;) {
        int next = -1;
        for (size_t i = 0; i < count; i++)
            if (keep[i] >= (int)from && (next < 0 || keep[i] < next))
                next = keep[i];
        if (next < 0)
            break;
        if (next > 0 && (unsigned)next > from)
            close_range_all(from, (unsigned)next - 1);
        from = (unsigned)next + 1;
    }
    close_range_all(from, ~0U);
}

int spawn_stdio(int in, int out, int err)
{
    int fds[3] = { in, out, err };
    _cleanup_fd_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; i < 3; i++) {
        int from = fds[i] >= 0 ? fds[i] : null;
        if (from < 0)
            return -ENOENT;
        if (from != i && dup2(from, i) < 0)
            return -errno;
        if (from == i && fcntl(i, F_SETFD, 0) < 0)
            return -errno;
    }
    if (null < 3)
        null = -1; /* it became one of them */
    return 0;
}

static void limit_to(struct rlimit *r, uint32_t value)
{
    r->rlim_cur = value;
    if (r->rlim_max != RLIM_INFINITY && r->rlim_max < value && geteuid() != 0)
        r->rlim_cur = r->rlim_max; /* an ordinary user can go no higher */
    else
        r->rlim_max = value;
}

static int set_limits(uint32_t nofile, uint32_t nproc)
{
    struct rlimit r;
    if (nofile) {
        if (getrlimit(RLIMIT_NOFILE, &r) < 0)
            return -errno;
        limit_to(&r, nofile);
        if (setrlimit(RLIMIT_NOFILE, &r) < 0)
            return -errno;
    }
    if (nproc) {
        if (getrlimit(RLIMIT_NPROC, &r) < 0)
            return -errno;
        limit_to(&r, nproc);
        if (setrlimit(RLIMIT_NPROC, &r) < 0)
            return -errno;
    }
    return 0;
}

/* Groups, then gid, then uid, then read back. */
static int become(uid_t uid, gid_t gid, const char *name)
{
    if (uid == getuid() && gid == getgid() && geteuid() == uid)
        return 0;
    if ((name ? initgroups(name, gid) : setgroups(0, NULL)) < 0 || setgid(gid) < 0 ||
        setuid(uid) < 0)
        return -errno;
    uid_t r, e, s;
    if (getresuid(&r, &e, &s) < 0 || r != uid || e != uid || s != uid)
        return -EPERM;
    return 0;
}

static int set_user(const char *user)
{
    uint64_t number;
    if (!user || !*user)
        return 0;
    const struct passwd *pw = getpwnam(user);
    if (pw)
        return become(pw->pw_uid, pw->pw_gid, pw->pw_name);
    if (parse_u64(user, 0, UINT32_MAX - 1, &number) == 0)
        return become((uid_t)number, (gid_t)number, NULL);
    return -ENOENT;
}

static int set_cwd(const struct spawn_spec *spec)
{
    if (!spec->cwd || chdir(spec->cwd) == 0)
        return 0;
    int r = -errno;
    return spec->cwd_optional && chdir("/") == 0 ? 0 : r;
}

const char *spawn_own_dir(void)
{
    static char dir[512];
    static bool known;
    if (known)
        return dir;
    known = true;
    ssize_t n = readlink("/proc/self/exe", dir, sizeof dir - 1);
    dir[n > 0 && (size_t)n < sizeof dir - 1 ? n : 0] = '\0';
    char *slash = strrchr(dir, '/');
    if (slash)
        *slash = '\0';
    return dir;
}

static int try_program(const char *dir, size_t dir_len, const char *name, char *out, size_t size)
{
    struct stat st;
    int n = dir_len ? snprintf(out, size, "%.*s/%s", (int)dir_len, dir, name)
                    : snprintf(out, size, "./%s", name);
    if (n < 0 || (size_t)n >= size)
        return -ENAMETOOLONG;
    if (stat(out, &st) < 0)
        return -errno;
    return S_ISREG(st.st_mode) && access(out, X_OK) == 0 ? 0 : -EACCES;
}

int spawn_find(const char *name, const char *path, char *out, size_t size)
{
    const char *own = spawn_own_dir();
    if (strchr(name, '/'))
        return (size_t)snprintf(out, size, "%s", name) < size ? 0 : -ENAMETOOLONG;
    bool ours = *own && strncmp(name, "codev-", 6) == 0;
    if (ours && try_program(own, strlen(own), name, out, size) == 0)
        return 0;
    bool denied = false;
    for (const char *p = path ? path : PATH_DEFAULT;; p++) {
        size_t len = strcspn(p, ":");
        int r = try_program(p, len, name, out, size);
        if (r == 0)
            return 0;
        denied = denied || r == -EACCES;
        p += len;
        if (!*p)
            break;
    }
    if (*own && try_program(own, strlen(own), name, out, size) == 0)
        return 0;
    return denied ? -EACCES : -ENOENT;
}

static void default_signals(const sigset_t *mask)
{
    struct sigaction sa = { .sa_handler = SIG_DFL };
    for (int sig = 1; sig < NSIG; sig++)
        (void)sigaction(sig, &sa, NULL);
    (void)sigprocmask(SIG_SETMASK, mask, NULL);
}

static struct spawn_failure failure(enum spawn_step step, int r)
{
    return (struct spawn_failure){ .step = (int)step, .error = -r, .part = SANDBOX_PART_MAX };
}

/* The last thing before exec: what comes after it is in the sandbox already. */
static struct spawn_failure enter_sandbox(const struct spawn_spec *spec,
                                          struct sandbox_report *report)
{
    enum sandbox_part part = SANDBOX_PART_MAX;
    int r = 0;
    if (spec->sandbox_require) {
        sandbox_foresee(spec->sandbox, spec->kernel, report);
        part = sandbox_first_unavailable(report);
        r = part < SANDBOX_PART_MAX ? -ENOTSUP : 0;
    }
    if (r == 0)
        r = sandbox_apply(spec->sandbox, &spec->where, spec->kernel, report, &part);
    struct spawn_failure f = failure(SPAWN_SANDBOX, r);
    f.part = (int)part;
    return f;
}

static void scrub(struct env *env, const struct sandbox *s)
{
    for (size_t i = env->count; i-- > 0;) {
        char name[256];
        if (!sandbox_scrubs(s, env->vars[i]))
            continue;
        (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(env->vars[i], "="), env->vars[i]);
        env_unset(env, name);
    }
}

static struct spawn_failure run(const struct spawn_spec *spec,
                                void (*tell)(void *arg, const struct sandbox_report *r), void *arg)
{
    struct env env = { 0 };
    char path[4096];
    int r = spec->build_env(&env, spec->env_arg);
    if (r == 0 && (env.failed || !env.vars))
        env_put(&env, "CODEV=1"); /* execve wants a list */
    if (r == 0 && spec->sandbox)
        scrub(&env, spec->sandbox);
    if (r < 0 || env.failed)
        return failure(SPAWN_ENVIRONMENT, r < 0 ? r : -ENOMEM);
    r = spawn_find(spec->argv[0], env_get(&env, "PATH"), path, sizeof path);
    if (r < 0)
        return failure(SPAWN_EXEC, r);
    default_signals(spec->mask);
    if (spec->sandbox) {
        struct sandbox_report report;
        struct spawn_failure f = enter_sandbox(spec, &report);
        if (f.error)
            return f;
        if (spec->look)
            spec->look(&env, spec->kernel, &report);
        tell(arg, &report);
    }
    char *const *argv;
    memcpy(&argv, &spec->argv, sizeof argv); /* execve's prototype lacks a const */
    (void)execve(path, argv, env.vars);
    return failure(SPAWN_EXEC, -errno);
}

struct spawn_failure spawn_exec(const struct spawn_spec *spec,
                                void (*tell)(void *arg, const struct sandbox_report *r), void *arg)
{
    if (setsid() < 0)
        return failure(SPAWN_SESSION, -errno);
    int r = spawn_stdio(-1, spec->stdout_fd, spec->stderr_fd);
    if (r < 0)
        return failure(SPAWN_STDIO, r);
    if (spec->keep_fd >= 0 && fcntl(spec->keep_fd, F_SETFD, 0) < 0)
        return failure(SPAWN_STDIO, -errno);
    r = set_limits(spec->nofile, spec->nproc);
    if (r < 0)
        return failure(SPAWN_LIMITS, r);
    r = spec->sandbox ? sandbox_limit_caps(spec->sandbox) : 0;
    if (r < 0)
        return failure(SPAWN_SANDBOX, r);
    r = set_user(spec->user);
    if (r < 0)
        return failure(SPAWN_USER, r);
    r = set_cwd(spec);
    if (r < 0)
        return failure(SPAWN_CWD, r);
    return run(spec, tell, arg);
}
