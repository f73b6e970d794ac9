/* rooms: base/core */
/* codev-fence.so in a process of its own: this program again, started with LD_PRELOAD. */
#include "tests/unit/run_suite.h"

#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/codev-fence-XXXXXX", fence[4096], shell[64], own[4096];
static char output[65536];

/* ---------------------------------------------------------------- the fenced process */

static char *echo_argv[] = { (char[]){ "echo" }, (char[]){ "one" }, (char[]){ "two words" }, NULL };

static int spawned(int r, const pid_t *child)
{
    int status;
    pid_t pid = *child;
    if (r != 0)
        return r;
    return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 1;
}

/* From glibc 2.39 on; the fence has them always. */
static int pidfd_spawned(const char *name, const char *file)
{
    typedef int fn(int *pidfd, const char *file, const void *actions, const void *attributes,
                   char *const *argv, char *const *envp);
    fn *spawn;
    siginfo_t info;
    int fd = -1;
    *(void **)&spawn = dlsym(RTLD_DEFAULT, name);
    if (!dlsym(dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD), name))
        return spawn(&fd, file, NULL, NULL, echo_argv, environ) == ENOSYS ? 77 : 1;
    int r = spawn(&fd, file, NULL, NULL, echo_argv, environ);
    return r ? r : waitid(P_PIDFD, (id_t)fd, &info, WEXITED) == 0 && info.si_status == 0 ? 0 : 1;
}

/* The program has its password, and the kernel does not show it. */
static int password_shown(void)
{
    char text[65536];
    const char *password = getenv("OPENCODE_SERVER_PASSWORD");
    int fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text);
    if (!password || strcmp(password, "geheim") != 0)
        return 1;
    if (fd < 0) /* not root: closed anyhow */
        return errno == EACCES ? 0 : 2;
    return memmem(text, (size_t)n, "KEPT=kept", 9) && !memmem(text, (size_t)n, "geheim", 6) ? 0 : 3;
}

static int fenced(const char *how)
{
    pid_t pid = 0;
    if (strcmp(how, "execve") == 0)
        (void)execve("/bin/echo", echo_argv, environ);
    else if (strcmp(how, "execv") == 0)
        (void)execv("/bin/echo", echo_argv);
    else if (strcmp(how, "execvp") == 0)
        (void)execvp("echo", echo_argv);
    else if (strcmp(how, "posix_spawn") == 0)
        return spawned(posix_spawn(&pid, "/bin/echo", NULL, NULL, echo_argv, environ), &pid);
    else if (strcmp(how, "posix_spawnp") == 0)
        return spawned(posix_spawnp(&pid, "echo", NULL, NULL, echo_argv, environ), &pid);
    else if (strcmp(how, "execl") == 0)
        (void)execl("/bin/echo", "echo", "one", "two words", NULL);
    else if (strcmp(how, "execlp") == 0)
        (void)execlp("echo", "echo", "one", "two words", NULL);
    else if (strcmp(how, "execle") == 0)
        (void)execle("/bin/echo", "echo", "one", "two words", NULL, environ);
    else if (strcmp(how, "pidfd_spawn") == 0)
        return pidfd_spawned("pidfd_spawn", "/bin/echo");
    else if (strcmp(how, "pidfd_spawnp") == 0)
        return pidfd_spawned("pidfd_spawnp", "echo");
    else if (strcmp(how, "execveat") == 0)
        return execveat(AT_FDCWD, "/bin/echo", echo_argv, environ, 0) < 0 && errno == EPERM ? 0 : 1;
    else if (strcmp(how, "fexecve") == 0)
        return fexecve(open("/bin/echo", O_PATH), echo_argv, environ) < 0 && errno == EPERM ? 0 : 1;
    else if (strcmp(how, "system") == 0)
        return system("echo out") == -1 && errno == EPERM ? 0 : 1; /* NOLINT(cert-env33-c) */
    else if (strcmp(how, "popen") == 0)
        return !popen("echo out", "r") && errno == EPERM ? 0 : 1; /* NOLINT(cert-env33-c) */
    else if (strcmp(how, "environ") == 0)
        return password_shown();
    else if (strcmp(how, "shell") == 0)
        (void)execve(getenv("CODEV_FENCE_SHELL"), echo_argv, environ);
    else if (strcmp(how, "missing") == 0)
        return execve("/nowhere/echo", echo_argv, environ) < 0 && errno == ENOENT ? 0 : 1;
    else if (strcmp(how, "dumpable") == 0)
        return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : 1;
    return 9;
}

/* ---------------------------------------------------------------- fixture */

static void setup(void)
{
    ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);
    ck_assert_int_gt(n, 0);
    (void)snprintf(fence, sizeof fence, "%.*s", (int)n, own);
    char *unit = strstr(fence, "/unit/");
    ck_assert_ptr_nonnull(unit);
    (void)snprintf(unit, sizeof fence - (size_t)(unit - fence), "/lib/codev/codev-fence.so");
    ck_assert_msg(access(fence, R_OK) == 0, "no %s", fence);
    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(shell, sizeof shell, "%s/shell", dir);
    FILE *f = fopen(shell, "w");
    ck_assert_ptr_nonnull(f);
    (void)fputs("#!/bin/sh\nfor a; do echo \"[$a]\"; done\nexec env\n", f);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(chmod(shell, 0700), 0);
}

static void teardown(void)
{
    (void)unlink(shell);
    (void)rmdir(dir);
}

/* Exit status of the fenced process; what it and what it became printed is in `output`. */
static int run_as(const char *program, const char *how)
{
    int fds[2], status;
    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        (void)dup2(fds[1], 1);
        (void)setenv("LD_PRELOAD", fence, 1);
        (void)setenv("CODEV_FENCE_SHELL", shell, 1);
        (void)setenv("OPENCODE_SERVER_PASSWORD", "geheim", 1);
        (void)setenv("CODEV_SECRETS_FD", "7", 1);
        (void)setenv("KEPT", "kept", 1);
        (void)setenv("ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=0", 1);
        if (program)
            (void)execlp(program, program, "-c", how, NULL);
        else
            (void)execl(own, own, "--fenced", how, NULL);
        _exit(8);
    }
    (void)close(fds[1]);
    size_t len = 0;
    for (ssize_t n;
         len < sizeof output - 1 && (n = read(fds[0], output + len, sizeof output - 1 - len)) > 0;)
        len += (size_t)n;
    output[len] = '\0';
    (void)close(fds[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* ---------------------------------------------------------------- tests */

static const struct {
    const char *how, *path;
} ways[] = {
    { "execve", "/bin/echo" },      { "execv", "/bin/echo" },   { "execvp", "echo" },
    { "posix_spawn", "/bin/echo" }, { "posix_spawnp", "echo" }, { "execl", "/bin/echo" },
    { "execlp", "echo" },           { "execle", "/bin/echo" },
};

START_TEST(every_way_leads_through_the_shell)
{
    char expected[256];
    ck_assert_int_eq(run_as(NULL, ways[_i].how), 0);
    (void)snprintf(expected, sizeof expected, "[--exec]\n[%s]\n[echo]\n[one]\n[two words]\n",
                   ways[_i].path);
    ck_assert_msg(strncmp(output, expected, strlen(expected)) == 0, "%s: %s", ways[_i].how, output);
    ck_assert_ptr_nonnull(strstr(output, "KEPT=kept"));
    ck_assert_ptr_null(strstr(output, "geheim"));
    ck_assert_ptr_null(strstr(output, "CODEV_SECRETS_FD"));
    ck_assert_ptr_null(strstr(output, "LD_PRELOAD"));
}
END_TEST

START_TEST(the_shell_itself_is_not_wrapped_twice)
{
    ck_assert_int_eq(run_as(NULL, "shell"), 0);
    ck_assert_msg(strncmp(output, "[one]\n[two words]\n", 18) == 0, "%s", output);
    ck_assert_ptr_null(strstr(output, "geheim"));
    ck_assert_ptr_null(strstr(output, "LD_PRELOAD"));
}
END_TEST

START_TEST(what_is_not_there_fails_as_ever)
{
    ck_assert_int_eq(run_as(NULL, "missing"), 0);
}
END_TEST

START_TEST(ways_that_are_newer)
{
    static const char *const those[] = { "pidfd_spawn", "pidfd_spawnp" };
    int r = run_as(NULL, those[_i]);
    if (r == 77) {
        printf("ways_that_are_newer: SKIP: this libc has no %s\n", those[_i]);
        return;
    }
    ck_assert_int_eq(r, 0);
    ck_assert_msg(strncmp(output, "[--exec]\n", 9) == 0, "%s: %s", those[_i], output);
}
END_TEST

START_TEST(other_ways_are_refused)
{
    static const char *const those[] = { "execveat", "fexecve", "system", "popen" };
    ck_assert_int_eq(run_as(NULL, those[_i]), 0);
    ck_assert_str_eq(output, "");
}
END_TEST

START_TEST(the_kernel_does_not_show_the_password)
{
    ck_assert_int_eq(run_as(NULL, "environ"), 0);
}
END_TEST

START_TEST(nobody_reads_the_process)
{
    ck_assert_int_eq(run_as(NULL, "dumpable"), 0);
}
END_TEST

/* A script may start OpenCode: it keeps the password and the fence for it. */
START_TEST(a_launcher_passes_the_fence_on)
{
    ck_assert_int_eq(run_as("sh", "exec env"), 0);
    ck_assert_ptr_nonnull(strstr(output, "OPENCODE_SERVER_PASSWORD=geheim"));
    ck_assert_ptr_nonnull(strstr(output, "LD_PRELOAD="));
    ck_assert_ptr_null(strstr(output, "[--exec]"));
}
END_TEST

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--fenced") == 0)
        return fenced(argv[2]);
    Suite *s = suite_create("fence");
    TCase *t = tcase_create("fence");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, every_way_leads_through_the_shell, 0, sizeof ways / sizeof *ways);
    tcase_add_test(t, the_shell_itself_is_not_wrapped_twice);
    tcase_add_test(t, what_is_not_there_fails_as_ever);
    tcase_add_loop_test(t, ways_that_are_newer, 0, 2);
    tcase_add_loop_test(t, other_ways_are_refused, 0, 4);
    tcase_add_test(t, the_kernel_does_not_show_the_password);
    tcase_add_test(t, nobody_reads_the_process);
    tcase_add_test(t, a_launcher_passes_the_fence_on);
    suite_add_tcase(s, t);
    return run_suite(s);
}
