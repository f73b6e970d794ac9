/* rooms: base/core */
/* codev-fence.so in a process of its own: this program again, started with LD_PRELOAD. */
#include "tests/unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
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
    { "posix_spawn", "/bin/echo" }, { "posix_spawnp", "echo" },
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
    tcase_add_test(t, nobody_reads_the_process);
    tcase_add_test(t, a_launcher_passes_the_fence_on);
    suite_add_tcase(s, t);
    return run_suite(s);
}
