/* Roles that several test_init_* programs play, and how they look at this machine's processes. */
#pragma once

#include <dirent.h>
#include <sys/socket.h>

#include "tests/unit/init_suite.h"

/* --- roles: what this program does when a pod starts it --- */

static inline void name_me(const char *name)
{
    (void)prctl(PR_SET_NAME, name, 0, 0, 0);
}

_Noreturn static inline void sleep_for_ever(void)
{
    for (;;)
        (void)pause();
}

static inline void ignore_everything(void)
{
    static const int polite[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1 };
    for (size_t i = 0; i < ARRAY_SIZE(polite); i++)
        (void)signal(polite[i], SIG_IGN);
}

static inline void role_stubborn(const char *name)
{
    name_me(name);
    ignore_everything();
    sleep_for_ever();
}

/* A child that leaves group, session and parent behind, and its environment. */
static inline void role_leaver(const char *name)
{
    if (fork() == 0) {
        (void)setsid();
        if (fork() == 0) {
            (void)setsid();
            (void)clearenv();
            role_stubborn(name);
        }
        _exit(0);
    }
    (void)wait(NULL);
    sleep_for_ever();
}

static inline void role_orphans(const char *count)
{
    for (long i = strtol(count, NULL, 10); i > 0; i--) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(fork() < 0);
        if (pid > 0)
            (void)waitpid(pid, NULL, 0);
    }
    name_me("orphans-made");
}

static inline void role_flood(const char *unused)
{
    char line[200];
    (void)unused;
    memset(line, 'f', sizeof line);
    line[sizeof line - 1] = '\n';
    while (write(STDOUT_FILENO, line, sizeof line) > 0)
        continue;
}

static inline void role_bomb(const char *name)
{
    name_me(name);
    (void)signal(SIGCHLD, SIG_IGN);
    for (int i = 0; i < 300; i++) {
        if (fork() == 0) {
            (void)setsid();
            ignore_everything();
            for (int k = 0; k < 3; k++)
                (void)fork();
            sleep_for_ever();
        }
    }
    sleep_for_ever();
}

/* Lines with a number, and what tells this process from all others. */
static inline void role_count(const char *unused)
{
    char line[64];
    unsigned long token = (unsigned long)clock_mono_us();
    (void)unused;
    for (unsigned long n = 1;; n++) {
        int len = snprintf(line, sizeof line, "n %lu %lu\n", token, n);
        if (write(STDOUT_FILENO, line, (size_t)len) < 0)
            return;
        (void)poll(NULL, 0, 4);
    }
}

static inline void role_notify(const char *after)
{
    (void)poll(NULL, 0, (int)strtol(after, NULL, 10));
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    const char *path = getenv("NOTIFY_SOCKET");
    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "%s", path ? path : "");
    static const char text[] = "STATUS=x\nREADY=1\n";
    if (sendto(fd, text, sizeof text - 1, 0, (struct sockaddr *)&addr, sizeof addr) < 0)
        _exit(9);
    sleep_for_ever();
}

static const struct role roles[] = {
    { "stubborn", role_stubborn }, { "leaver", role_leaver }, { "orphans", role_orphans },
    { "flood", role_flood },       { "count", role_count },   { "bomb", role_bomb },
    { "notify", role_notify },
};

/* --- looking at this machine's processes --- */

/* How many live processes have this name; `*ret_pid` is one of them. */
static inline int living(const char *name, pid_t *ret_pid)
{
    int n = 0;
    DIR *proc = opendir("/proc");
    ck_assert_ptr_nonnull(proc);
    for (const struct dirent *d; (d = readdir(proc));) {
        char path[300], text[512] = "", mark[64];
        if (d->d_name[0] < '1' || d->d_name[0] > '9')
            continue;
        (void)snprintf(path, sizeof path, "/proc/%s/stat", d->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, text, sizeof text - 1) < 0)
            text[0] = '\0';
        if (fd >= 0)
            (void)close(fd);
        (void)snprintf(mark, sizeof mark, "(%s) ", name);
        const char *at = strstr(text, mark);
        if (!at || at[strlen(mark)] == 'Z' || at[strlen(mark)] == 'X')
            continue;
        n++;
        if (ret_pid)
            *ret_pid = (pid_t)strtol(d->d_name, NULL, 10);
    }
    (void)closedir(proc);
    return n;
}

/* Zombies whose parent is `parent`. */
static inline int zombies_of(pid_t parent)
{
    int n = 0;
    DIR *proc = opendir("/proc");
    ck_assert_ptr_nonnull(proc);
    for (const struct dirent *d; (d = readdir(proc));) {
        char path[300], text[512] = "";
        if (d->d_name[0] < '1' || d->d_name[0] > '9')
            continue;
        (void)snprintf(path, sizeof path, "/proc/%s/stat", d->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC), ppid = 0;
        char state = ' ';
        if (fd >= 0 && read(fd, text, sizeof text - 1) > 0 && strrchr(text, ')'))
            (void)sscanf(strrchr(text, ')'), ") %c %d", &state, &ppid);
        if (fd >= 0)
            (void)close(fd);
        n += ppid == parent && state == 'Z';
    }
    (void)closedir(proc);
    return n;
}

/* A name that no other test, also of another run at the same time, has. */
static inline const char *unique(const char *prefix)
{
    static char names[4][16];
    static unsigned next;
    char *name = names[next++ % 4];
    (void)snprintf(name, sizeof names[0], "%.6s%d", prefix, (int)getpid());
    return name;
}

static inline pid_t host_pid(const char *name)
{
    pid_t pid = 0;
    POD_EVENTUALLY(&pod, living(name, &pid) >= 1);
    return pid;
}

/* The parent of a process. */
static inline pid_t parent_of(pid_t pid)
{
    char path[64], text[512] = "";
    int ppid = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, text, sizeof text - 1) > 0 && strrchr(text, ')'))
        (void)sscanf(strrchr(text, ')'), ") %*c %d", &ppid);
    if (fd >= 0)
        (void)close(fd);
    return ppid;
}

static inline bool blocks_sigterm(pid_t pid)
{
    char path[64];
    _cleanup_free_ char *text = NULL;
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    if (file_read(path, 65536, &text, NULL) < 0)
        return false;
    const char *at = strstr(text, "\nSigBlk:");
    return at && (strtoull(at + 9, NULL, 16) & (1ULL << (SIGTERM - 1)));
}

/* Runs a role inside the pod's PID namespace, as kubectl exec does. */
static inline void exec_inside(const char *role, const char *argument)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)pod.pid1);
    int status;
    pid_t outer = fork();
    if (outer == 0) {
        int ns = open(path, O_RDONLY | O_CLOEXEC);
        if (ns < 0 || setns(ns, CLONE_NEWPID) < 0)
            _exit(1);
        pid_t inner = fork();
        if (inner == 0) {
            (void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* /proc is another namespace's */
            (void)execl(self, self, "--role", role, argument, (char *)NULL);
            _exit(1);
        }
        _exit(waitpid(inner, &status, 0) == inner && status == 0 ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(outer, &status, 0), outer);
    ck_assert_int_eq(status, 0);
}

/* main() of such a program. */
static inline int run_roles(int argc, char **argv, Suite *(*suite)(void))
{
    return play_role(argc, argv, roles, ARRAY_SIZE(roles)) ? EXIT_SUCCESS : run_pod_suite(suite);
}
