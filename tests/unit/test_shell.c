/* rooms: supervisor/shell supervisor/profile supervisor/sandbox base/core */
/* codev-shell: what it makes of an environment, and the program itself with a parent that keeps a
 * secret. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "supervisor/profile/profile.h"
#include "supervisor/shell/shell.h"
#include "tests/unit/run_suite.h"

static char program[PATH_MAX], output[65536], sandbox[PATH_MAX];

/* ---------------------------------------------------------------- the environment */

static const struct {
    const char *variable;
    bool ours;
} names[] = {
    { "OPENCODE_SERVER_PASSWORD=x", true },
    { "OPENCODE_SERVER_PASSWORD_FILE=/run/x", true },
    { "OPENCODE_SERVER_USERNAME=opencode", true },
    { "SLACK_BOT_TOKEN=xoxb-1", true },
    { "CODEV_BRIDGE_TOKEN=x", true },
    { "CODEV_SECRETS_FD=7", true },
    { "CODEV_RUNTIME_DIR=/run/codev", true },
    { "CODEV_FENCE_SHELL=/usr/local/bin/codev-shell", true },
    { "GATEWAY_WS=ws://127.0.0.1:8000/ws/bridge", true },
    { "NOTIFY_SOCKET=/run/codev/notify.sock", true },
    { "CODEV_SERVICE=opencode", false },
    { "OPENCODE_SERVER_PASSWORDS=x", false },
    { "SLACK_BOT_TOKENS=x", false },
    { "OPENCODE=1", false },
    { "ANTHROPIC_API_KEY=x", false },
    { "GATEWAY_URLS=x", false },
    { "PATH=/bin", false },
};

START_TEST(what_is_ours_is_known)
{
    ck_assert_msg(shell_is_ours(names[_i].variable) == names[_i].ours, "%s", names[_i].variable);
}
END_TEST

/* Cleans `in`; what comes out as one text. */
static const char *cleaned(const char *const *in)
{
    static char text[1024];
    char *vars[16] = { 0 };
    for (size_t i = 0; in[i]; i++)
        vars[i] = strdup(in[i]);
    char **out = shell_clean(vars);
    ck_assert_ptr_nonnull(out);
    text[0] = '\0';
    for (char **v = out; *v; v++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s;", *v);
    free(out);
    for (size_t i = 0; vars[i]; i++)
        free(vars[i]);
    return text;
}

static const struct {
    const char *in[8], *out;
} environments[] = {
    { { "A=1", "B=2", NULL }, "A=1;B=2;" },
    { { NULL }, "" },
    /* What was steered comes back, wherever it stands, or goes. */
    { { "XDG_CONFIG_HOME=/run/c", "CODEV_RESTORE_XDG_CONFIG_HOME=/home/c", NULL },
      "XDG_CONFIG_HOME=/home/c;" },
    { { "CODEV_RESTORE_XDG_CONFIG_HOME=/home/c", "XDG_CONFIG_HOME=/run/c", "A=1", NULL },
      "XDG_CONFIG_HOME=/home/c;A=1;" },
    { { "XDG_CONFIG_HOME=/run/c", "A=1", "CODEV_RESTORE_XDG_CONFIG_HOME=", NULL }, "A=1;" },
    { { "XDG_CONFIG=1", "CODEV_RESTORE_XDG_CONFIG_HOME=/x", NULL },
      "XDG_CONFIG=1;XDG_CONFIG_HOME=/x;" },
    { { "CODEV_RESTORE_A=b=c", "A=", NULL }, "A=b=c;" },
    { { "CODEV_RESTORE_=1", "CODEV_RESTORE_X", NULL }, "" },
    /* A secret under another name. */
    { { "OPENCODE_SERVER_PASSWORD=correct-horse", "URL=http://opencode:correct-horse@localhost/",
        "CODEV_RESTORE_B=correct-horse", "C=correct-hors", NULL },
      "C=correct-hors;" },
    { { "OPENCODE_SERVER_PASSWORD=", "A=1", NULL }, "A=1;" },
    { { "OPENCODE_SERVER_PASSWORD=1", "A=1", NULL }, "A=1;" },
    { { "CODEV_TOKEN_FILE=/run/secrets/token", "A=/run/secrets/token", NULL },
      "A=/run/secrets/token;" },
};

START_TEST(an_environment_is_cleaned)
{
    ck_assert_str_eq(cleaned(environments[_i].in), environments[_i].out);
}
END_TEST

START_TEST(a_shell_is_chosen)
{
    char *none[] = { NULL };
    char *odd[] = { (char[]){ "SHELL=/bin/cat" }, NULL };
    char *bad[] = { (char[]){ "SHELL=/nowhere" }, NULL };
    char *relative[] = { (char[]){ "SHELL=cat" }, NULL };
    char *folder[] = { (char[]){ "SHELL=/bin" }, NULL };
    ck_assert_str_eq(shell_choose(odd, "/proc/self/exe"), "/bin/cat");
    ck_assert_str_ne(shell_choose(odd, "/bin/cat"), "/bin/cat");
    ck_assert_str_eq(shell_choose(bad, "/nowhere"), shell_choose(none, "/nowhere"));
    ck_assert_str_eq(shell_choose(relative, "/nowhere"), shell_choose(none, "/nowhere"));
    ck_assert_str_eq(shell_choose(folder, "/nowhere"), shell_choose(none, "/nowhere"));
}
END_TEST

/* ---------------------------------------------------------------- the program */

static const char *const surroundings[][2] = {
    { "OPENCODE_SERVER_PASSWORD", "the-password" },
    { "PATH", "/usr/local/bin:/usr/bin:/bin" },
    { "A", "1" },
    { "SHELL", "codev-shell" },
    { "CODEV_RESTORE_SHELL", "/bin/sh" },
};

/* With these, root reads what it likes, Landlock or not; OpenCode's profile has none. */
static void drop_capabilities(void)
{
    static const int those[] = { CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_PERFMON };
    for (size_t i = 0; i < ARRAY_SIZE(those); i++)
        (void)prctl(PR_CAPBSET_DROP, those[i], 0, 0, 0);
}

/* Starts it as a child of a process that has the secret in its environment; its output is in
 * `output`. Returns its exit status. */
static int run_file(const char *file, const char *const *argv)
{
    int out[2], status;
    ck_assert_int_eq(pipe(out), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char *const *a;
        memcpy(&a, &argv, sizeof a);
        drop_capabilities();
        (void)clearenv();
        for (size_t i = 0; i < ARRAY_SIZE(surroundings); i++)
            (void)setenv(surroundings[i][0], surroundings[i][1], 1);
        if (*sandbox)
            (void)setenv("CODEV_SANDBOX_COMMANDS", sandbox, 1);
        (void)dup2(out[1], STDOUT_FILENO);
        (void)dup2(out[1], STDERR_FILENO);
        (void)dup2(out[1], 9);
        (void)execv(file, a);
        _exit(99);
    }
    (void)close(out[1]);
    size_t len = 0;
    for (ssize_t n;
         len < sizeof output - 1 && (n = read(out[0], output + len, sizeof output - 1 - len)) > 0;)
        len += (size_t)n;
    output[len] = '\0';
    (void)close(out[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#define RUN(...) run_file(program, (const char *const[]){ __VA_ARGS__, NULL })

START_TEST(it_is_the_shell)
{
    ck_assert_int_eq(RUN("codev-shell", "-c", "echo $0 $SHELL $1; exit 7", "zero", "one"), 7);
    ck_assert_str_eq(output, "zero /bin/sh one\n");
    ck_assert_int_eq(RUN("codev-shell", "-c", "echo $0"), 0);
    ck_assert_str_eq(output, "sh\n");
    ck_assert_int_eq(RUN("-codev-shell", "-c", "echo $0"), 0);
    ck_assert_str_eq(output, "-sh\n");
}
END_TEST

START_TEST(it_runs_a_program)
{
    ck_assert_int_eq(RUN("codev-shell", "--exec", "/bin/echo", "echo", "a b"), 0);
    ck_assert_str_eq(output, "a b\n");
    ck_assert_int_eq(RUN("codev-shell", "--exec", "env", "anything"), 0);
    ck_assert_ptr_nonnull(strstr(output, "SHELL=/bin/sh\n"));
    ck_assert_ptr_null(strstr(output, "the-password"));
    ck_assert_int_eq(RUN("codev-shell", "--exec", "/nowhere/x", "x"), 127);
    ck_assert_int_eq(RUN("codev-shell", "--exec", "/etc/passwd", "x"), 126);
}
END_TEST

START_TEST(nothing_of_ours_reaches_the_command)
{
    ck_assert_int_eq(RUN("codev-shell", "-c", "env; cat /proc/$$/environ; echo x >&9"), 2);
    ck_assert_ptr_nonnull(strstr(output, "A=1\n"));
    ck_assert_ptr_null(strstr(output, "the-password"));
    ck_assert_ptr_null(strstr(output, "CODEV_RESTORE"));
}
END_TEST

static bool has_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

/* Runs `look` in that shell, whose parent is a shell that has the secret and no more rights. */
static int look_from(const char *shell, const char *look)
{
    return run_file("/bin/sh", (const char *const[]){ "sh", "-c", "\"$0\" -c \"$1\"; exit $?",
                                                      shell, look, NULL });
}

START_TEST(the_parent_is_not_to_be_read)
{
    static const char look[] = "for f in environ mem maps fd/0; do "
                               "head -c1 /proc/$PPID/$f >/dev/null 2>&1 && echo $f; done; echo end";
    if (!has_landlock()) {
        printf("the_parent_is_not_to_be_read: SKIP: this kernel has no Landlock\n");
        return;
    }
    ck_assert_int_eq(look_from("/bin/sh", look), 0);
    ck_assert_ptr_nonnull(strstr(output, "environ\n")); /* where nothing is in the way */
    ck_assert_int_eq(look_from(program, look), 0);
    ck_assert_str_eq(output, "end\n");
}
END_TEST

START_TEST(what_an_earlier_command_left_can_be_ended)
{
    char command[64];
    ck_assert_int_eq(RUN("codev-shell", "-c", "sleep 600 >/dev/null 2>&1 & echo $!"), 0);
    (void)snprintf(command, sizeof command, "kill %d", atoi(output));
    ck_assert_int_gt(atoi(output), 1);
    ck_assert_int_eq(RUN("codev-shell", "-c", command), 0);
}
END_TEST

/* ---------------------------------------------------------------- the sandbox that it is handed */

#define WORDS(...)                                                                                 \
    {                                                                                              \
        .items = (const char *const[]){ __VA_ARGS__ },                                             \
        .count = ARRAY_SIZE(((const char *const[]){ __VA_ARGS__ }))                                \
    }

/* A folder `own` that is closed but for `own/out` (to be read) and `own/git`, as a sandbox's file.
 */
static void make_sandbox(const char *dir)
{
    char own[PATH_MAX], out[PATH_MAX], git[PATH_MAX], path[PATH_MAX];
    void *block = NULL;
    size_t size;
    struct error e = ERROR_INIT;
    const char *const made[] = { own, out, git };
    (void)snprintf(own, sizeof own, "%.4000s/own", dir);
    (void)snprintf(out, sizeof out, "%.4000s/own/out", dir);
    (void)snprintf(git, sizeof git, "%.4000s/own/git", dir);
    for (size_t i = 0; i < ARRAY_SIZE(made); i++) {
        ck_assert_int_eq(mkdir(made[i], 0755), 0);
        (void)snprintf(path, sizeof path, "%.4000s/file", made[i]);
        ck_assert_int_eq(file_write_atomic(path, "text\n", 5, 0644), 0);
    }
    const struct profile p = {
        .name = "commands",
        .paths = { [SANDBOX_READ] = WORDS(out),
                   [SANDBOX_WORK] = WORDS("/", git),
                   [SANDBOX_HIDDEN] = WORDS(own) },
    };
    ck_assert_msg(profile_compile(&p, &block, &size, &e) == 0, "%s", e.message);
    (void)snprintf(sandbox, sizeof sandbox, "%.4000s/sandbox", dir);
    ck_assert_int_eq(file_write_atomic(sandbox, block, size, 0600), 0);
    free(block);
}

START_TEST(what_is_handed_to_it_is_entered)
{
    static const char look[] =
        "cd $0; for f in own/file own/out/file own/git/file other; do cat $f 2>/dev/null | "
        "grep -q text && echo r:$f; (echo text >> $f) 2>/dev/null && echo w:$f; done; mv own its "
        "2>/dev/null && echo moved; rm own/file 2>/dev/null && echo removed; kill $(cat pid) && "
        "echo ended";
    char dir[] = "/tmp/codev-shell-XXXXXX", command[PATH_MAX];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(command, sizeof command,
                   "cd %s; echo text > other; sleep 600 >/dev/null 2>&1 & echo $! > pid", dir);
    ck_assert_int_eq(RUN("codev-shell", "-c", command), 0);
    make_sandbox(dir);
    if (has_landlock()) {
        ck_assert_int_eq(RUN("codev-shell", "-c", look, dir), 0);
        ck_assert_str_eq(output, "r:own/out/file\nr:own/git/file\nw:own/git/file\nr:other\n"
                                 "w:other\nended\n");
    } else {
        printf("what_is_handed_to_it_is_entered: SKIP: this kernel has no Landlock\n");
    }
    /* Without what it was to enter, it runs nothing. */
    ck_assert_int_eq(truncate(sandbox, 20), 0);
    ck_assert_int_eq(RUN("codev-shell", "-c", "echo out"), 126);
    ck_assert_ptr_null(strstr(output, "out\n"));
    ck_assert_int_eq(unlink(sandbox), 0);
    ck_assert_int_eq(RUN("codev-shell", "-c", "echo out"), 127);
    *sandbox = '\0';
    ck_assert_int_eq(file_remove_tree(dir), 0);
}
END_TEST

int main(void)
{
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = '\0';
    char *unit = strstr(program, "/unit/");
    if (unit)
        (void)snprintf(unit, sizeof program - (size_t)(unit - program), "/bin/codev-shell");
    Suite *s = suite_create("shell");
    TCase *t = tcase_create("environment");
    tcase_add_loop_test(t, what_is_ours_is_known, 0, sizeof names / sizeof *names);
    tcase_add_loop_test(t, an_environment_is_cleaned, 0,
                        sizeof environments / sizeof *environments);
    tcase_add_test(t, a_shell_is_chosen);
    suite_add_tcase(s, t);
    t = tcase_create("program");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, it_is_the_shell);
    tcase_add_test(t, it_runs_a_program);
    tcase_add_test(t, nothing_of_ours_reaches_the_command);
    tcase_add_test(t, the_parent_is_not_to_be_read);
    tcase_add_test(t, what_is_handed_to_it_is_entered);
    tcase_add_test(t, what_an_earlier_command_left_can_be_ended);
    suite_add_tcase(s, t);
    return run_suite(s);
}
