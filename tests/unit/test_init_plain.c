/* rooms: base/core */
/* The real codev-init as a plain init for one command. */
#include <check.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "tests/unit/run_suite.h"

static char program[PATH_MAX];

/* Starts it with these arguments; `*ret_out` (if not NULL) reads its output. */
static pid_t start(const char *const *argv, int *ret_out)
{
    int out[2];
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char *const *a;
        memcpy(&a, &argv, sizeof a);
        (void)dup2(out[1], STDOUT_FILENO);
        (void)dup2(out[1], STDERR_FILENO);
        /* What the caller ignores (SIGHUP under nohup) is inherited, and meant to be. */
        for (int s = 1; s < NSIG; s++)
            (void)signal(s, SIG_DFL);
        (void)execv(program, a);
        _exit(99);
    }
    (void)close(out[1]);
    if (ret_out)
        *ret_out = out[0];
    else
        (void)close(out[0]);
    return pid;
}

static int ended(pid_t pid)
{
    uint64_t until = clock_mono_ms() + 10000;
    int status;
    while (waitpid(pid, &status, WNOHANG) != pid) {
        if (clock_mono_ms() > until) {
            (void)kill(pid, SIGKILL);
            ck_abort_msg("it did not end within 10 s");
        }
        (void)poll(NULL, 0, 2);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Reads until `text` has come. */
static void await_text(int fd, const char *text)
{
    char all[4096] = "";
    size_t len = 0;
    while (!strstr(all, text)) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        ck_assert_msg(poll(&p, 1, 10000) == 1, "no '%s' in '%s'", text, all);
        ssize_t n = read(fd, all + len, sizeof all - len - 1);
        ck_assert_msg(n > 0, "no '%s' in '%s'", text, all);
        len += (size_t)n;
        all[len] = '\0';
    }
}

#define SHELL(text) "--", "sh", "-c", text, NULL

START_TEST(its_status_is_the_commands)
{
    static const struct {
        const char *argv[8];
        int status;
    } rows[] = {
        { { "codev-init", "--", "true" }, 0 },
        { { "codev-init", SHELL("exit 42") }, 42 },
        { { "codev-init", SHELL("kill -9 $$") }, 137 },
        { { "codev-init", SHELL("kill -TERM $$") }, 143 },
        { { "codev-init", "--", "/no/such/program" }, 127 },
        { { "codev-init", "--", "/etc/passwd" }, 126 },
        { { "codev-init", "--bogus" }, 2 },
        { { "codev-init", "-r", "15", "--", "true" }, 2 },
        { { "codev-init", "-g" }, 2 },
        { { "codev-init", "--" }, 2 },
        { { "codev-init", "-e", "256", "--", "true" }, 2 },
        { { "codev-init", "-p", "TERM", "--", "true" }, 2 },
        { { "codev-init", "-e42", SHELL("exit 42") }, 0 },
        { { "codev-init", "-cvvw", "-pSIGTERM", "--", "true" }, 0 },
        { { "codev-init", "/etc/passwd/x" }, 126 },
        { { "codev-init", "-l" }, 0 },
        { { "codev-init", "--version" }, 0 },
        { { "codev-init", "--help" }, 0 },
    };
    ck_assert_uint_lt((unsigned)_i, ARRAY_SIZE(rows));
    ck_assert_int_eq(ended(start(rows[_i].argv, NULL)), rows[_i].status);
}
END_TEST

START_TEST(each_signal_reaches_the_command)
{
    static const int signals[] = { SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH, SIGQUIT, SIGALRM };
    static const char *const names[] = { "TERM", "HUP", "USR1", "USR2", "WINCH", "QUIT", "ALRM" };
    char script[128];
    const char *argv[] = { "codev-init", "--", "sh", "-c", script, NULL };
    int out;
    (void)snprintf(script, sizeof script, "trap 'exit 7' %s; echo up; while :; do sleep 0.01; done",
                   names[_i]);
    pid_t pid = start(argv, &out);
    await_text(out, "up");
    ck_assert_int_eq(kill(pid, signals[_i]), 0);
    ck_assert_int_eq(ended(pid), 7);
    (void)close(out);
}
END_TEST

START_TEST(signals_are_rewritten_and_dropped)
{
    const char *argv[] = {
        "codev-init", "-r",   "15:10",
        "-r",         "12:0", SHELL("trap 'exit 5' USR1; echo up; while :; do sleep 0.01; done")
    };
    int out;
    pid_t pid = start(argv, &out);
    await_text(out, "up");
    ck_assert_int_eq(kill(pid, SIGUSR2), 0); /* would end the shell */
    ck_assert_int_eq(kill(pid, SIGTERM), 0);
    ck_assert_int_eq(ended(pid), 5);
    (void)close(out);
}
END_TEST

START_TEST(the_group_gets_signals_when_asked)
{
    const char *argv[] = { "codev-init", "-g",
                           SHELL(
                               "(trap 'echo inner' TERM; echo up; while :; do sleep 0.01; done) & "
                               "trap '' TERM; wait") };
    int out;
    pid_t pid = start(argv, &out);
    await_text(out, "up");
    ck_assert_int_eq(kill(pid, SIGTERM), 0);
    await_text(out, "inner");
    ck_assert_int_eq(kill(pid, SIGINT), 0);
    (void)kill(pid, SIGHUP); /* what runs behind `&` ignores SIGINT and SIGQUIT */
    (void)ended(pid);
    (void)close(out);
}
END_TEST

START_TEST(as_a_subreaper_it_leaves_no_zombie)
{
    /* The orphan's parent must be codev-init, and be told by the orphan itself. */
    const char *argv[] = {
        "codev-init", "-s",
        SHELL("sh -c '(sleep 0.1; read -r _ _ _ p _ </proc/self/stat; "
              "echo parent $p) &'; sleep 0.3; ps -o stat= --ppid $PPID | grep -c Z; "
              "echo done $PPID")
    };
    int out;
    char mark[64];
    pid_t pid = start(argv, &out);
    (void)snprintf(mark, sizeof mark, "parent %d\n0\ndone", (int)pid);
    await_text(out, mark);
    ck_assert_int_eq(ended(pid), 0);
    (void)close(out);
}
END_TEST

/* dumb-init's way, by option and by environment: a session, whose rest is told to end. */
START_TEST(setsid_makes_a_session)
{
    const char *argv[] = { "codev-init", _i ? "-v" : "--setsid",
                           SHELL("sh -c 'trap \"echo told; exit\" TERM; echo up; "
                                 "while :; do sleep 0.01; done' & read -r _ _ _ _ g s _ "
                                 "</proc/$$/stat; echo own $((g == $$)) $((s == $$)); sleep 0.3") };
    int out;
    if (_i)
        ck_assert_int_eq(setenv("DUMB_INIT_SETSID", "1", 1), 0);
    pid_t pid = start(argv, &out);
    await_text(out, "told");
    ck_assert_int_eq(ended(pid), 0);
    (void)close(out);
}
END_TEST

/* A shell's Ctrl-Z reaches the command alone; the shell must see us stop, too. */
START_TEST(a_stopped_command_stops_us)
{
    const char *argv[] = { "codev-init",
                           SHELL("trap 'exit 4' CONT; echo $$; while :; do read -r x; done") };
    char text[512] = "";
    int out, status;
    pid_t pid = start(argv, &out), command = 0;
    size_t len = 0;
    /* After the warning that it is not PID 1; both may come at once, or in pieces. */
    for (ssize_t n; !command && (n = read(out, text + len, sizeof text - 1 - len)) > 0;) {
        len += (size_t)n;
        for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1)
            command = (pid_t)strtol(line, NULL, 10);
    }
    ck_assert_int_gt(command, 0);
    ck_assert_int_eq(kill(command, SIGSTOP), 0);
    ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
    ck_assert(WIFSTOPPED(status));
    ck_assert_int_eq(kill(pid, SIGCONT), 0);
    ck_assert_int_eq(ended(pid), 4);
    (void)close(out);
}
END_TEST

/* What we say to nobody brings SIGPIPE upon us, which is no order for the command. */
START_TEST(a_closed_output_ends_nothing)
{
    const char *argv[] = { "codev-init", "-vvv", SHELL("sleep 0.1; exit 3") };
    ck_assert_int_eq(ended(start(argv, NULL)), 3);
}
END_TEST

int main(void)
{
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 32);
    if (n <= 0)
        return EXIT_FAILURE;
    char *slash = strrchr(program, '/');
    (void)snprintf(slash, 32, "/../bin/codev-init");
    Suite *s = suite_create("init_plain");
    TCase *t = tcase_create("plain");
    tcase_set_timeout(t, 30);
    tcase_add_loop_test(t, its_status_is_the_commands, 0, 18);
    tcase_add_loop_test(t, each_signal_reaches_the_command, 0, 7);
    tcase_add_test(t, signals_are_rewritten_and_dropped);
    tcase_add_test(t, the_group_gets_signals_when_asked);
    tcase_add_test(t, as_a_subreaper_it_leaves_no_zombie);
    tcase_add_loop_test(t, setsid_makes_a_session, 0, 2);
    tcase_add_test(t, a_stopped_command_stops_us);
    tcase_add_test(t, a_closed_output_ends_nothing);
    suite_add_tcase(s, t);
    return run_suite(s);
}
