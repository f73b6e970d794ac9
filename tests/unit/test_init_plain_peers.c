/* rooms: base/core */
/* Our program under the names `tini` and `dumb-init`, and those two where they are installed: each
 * case is asked of both, and the answers must be the same to the letter. */
#include <ctype.h>
#include <pty.h>
#include <sys/prctl.h>

#include "tests/unit/plain_helper.h"
#include "tests/unit/run_suite.h"

/* ---- what is said and returned ---- */

struct answer {
    int status;
    struct heard heard;
};

static int by_text(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* Pids differ, and a parent's and a child's lines race: numbers of three digits and more become N,
 * and the lines are sorted. */
static void normalise(struct heard *h)
{
    char out[sizeof h->all], *lines[256];
    size_t len = 0, count = 0;
    for (const char *p = h->all; *p;) {
        size_t digits = strspn(p, "0123456789");
        if (digits >= 3)
            out[len++] = 'N';
        for (size_t i = 0; digits < 3 && i < (digits ? digits : 1); i++)
            out[len++] = p[i];
        p += digits ? digits : 1;
    }
    out[len] = '\0';
    for (char *save, *p = strtok_r(out, "\n", &save); p && count < ARRAY_SIZE(lines);
         p = strtok_r(NULL, "\n", &save))
        lines[count++] = p;
    qsort(lines, count, sizeof *lines, by_text);
    h->len = 0;
    for (size_t i = 0; i < count; i++)
        h->len += (size_t)snprintf(h->all + h->len, sizeof h->all - h->len, "%s\n", lines[i]);
    h->all[h->len] = '\0';
}

static struct answer ask(const char *path, const char *const *argv, const char *env)
{
    struct answer a = { 0 };
    const struct start s = { .path = path, .argv = argv, .env = { env } };
    int out;
    pid_t pid = plain_start(&s, &out);
    plain_read_all(&a.heard, out);
    a.status = plain_ended(pid);
    (void)close(out);
    normalise(&a.heard);
    return a;
}

static char script[] = "/tmp/codev-plain-script-XXXXXX"; /* without a first line of its own */

#define SH(text) "--", "sh", "-c", text

static const struct said {
    const char *argv[10];
    int status;
    const char *text; /* a part of what is said */
    const char *env;
} said[] = {
    { { "tini" }, 1, "Usage: tini [OPTIONS] PROGRAM -- [ARGS] | --version", NULL },
    { { "tini", "--version" }, 0, "tini version 0.19.0", NULL },
    { { "tini", "--version", "x" }, 1, "tini: invalid option -- '-'", NULL },
    { { "tini", "-h" }, 0, "-e EXIT_CODE: Remap EXIT_CODE (from 0 to N) to 0.", NULL },
    { { "tini", "-z" }, 1, "tini: invalid option -- 'z'", NULL },
    { { "tini", "-e" }, 1, "tini: option requires an argument -- 'e'", NULL },
    { { "tini", "-e", "256", "true" }, 1, "Not a valid option for -e: N", NULL },
    { { "tini", "-e", "1x", "true" }, 1, "Not a valid option for -e: 1x", NULL },
    { { "tini", "-p", "KILL", "true" }, 1, "Not a valid option for -p: KILL", NULL },
    { { "tini", "-p", "SIGKILL", "--", "true" }, 0, "", NULL },
    { { "tini", "--" }, 1, "Execute a program under the supervision", NULL },
    { { "tini", "true" }, 0, "zombie reaping won't work", NULL },
    { { "tini", "--", "--", "true" }, 127, "exec -- failed: No such file", NULL },
    { { "tini", "-s", SH("exit 42") }, 42, "", NULL },
    { { "tini", "sh", "-c", "exit 3" }, 1, "tini: invalid option -- 'c'", NULL },
    { { "tini", "sh", "-c", "exit 3" }, 3, "", "POSIXLY_CORRECT=1" },
    { { "tini", "false", "-e", "1" }, 0, "", NULL },
    { { "tini", "-e42", SH("exit 42") }, 0, "", NULL },
    { { "tini", "-gse42", "-e43", SH("exit 44") }, 44, "", NULL },
    { { "tini", "-e", "143", SH("kill -TERM $$") }, 0, "", NULL },
    { { "tini", SH("kill -9 $$") }, 137, "", NULL },
    { { "tini", SH("kill -TERM $$") }, 143, "", NULL },
    { { "tini", "/no/such/program" }, 127, "exec /no/such/program failed", NULL },
    { { "tini", "no-such-program" }, 127, "exec no-such-program failed", NULL },
    { { "tini", "" }, 127, "exec  failed: No such file", NULL },
    { { "tini", "/etc/passwd" }, 126, "exec /etc/passwd failed: Permission", NULL },
    { { "tini", "/etc/passwd/x" }, 1, "failed: Not a directory", NULL },
    { { "tini", script }, 5, "script ran", NULL },
    { { "tini", "-v", "-s", "true" }, 0, "Spawned child process 'true' with pid 'N'", NULL },
    { { "tini", "-vv", "-s", "true" }, 0, "Reaped child with pid: 'N'", NULL },
    { { "tini", "-v", "-s", SH("kill -9 $$") }, 137, "Main child exited with signal", NULL },
    { { "tini", "-s", "true" }, 0, "Received SIGCHLD", "TINI_VERBOSITY=3" },
    { { "tini", "true" }, 0, "", "TINI_VERBOSITY=0" },
    { { "tini", "-vvv", "true" }, 0, "", "TINI_VERBOSITY=x" },
    { { "tini", "true" }, 0, "", "TINI_SUBREAPER=" },
    { { "tini", "-s", SH("kill -INT $PPID; exec sleep 9") }, 130, "", NULL },

    { { "dumb-init" }, 1, "Usage: dumb-init [option] program [args]", NULL },
    { { "dumb-init", "-h" }, 0, "   -c, --single-child   Run in single-child mode.", NULL },
    { { "dumb-init", "--hel" }, 0, "Optional arguments:", NULL },
    { { "dumb-init", "-V" }, 0, "dumb-init v1.2.5", NULL },
    { { "dumb-init", "--version", "true" }, 0, "dumb-init v1.2.5", NULL },
    { { "dumb-init", "--yolo", "true" }, 1, "dumb-init: unrecognized option '--yolo'", NULL },
    { { "dumb-init", "--ver", "true" },
      1,
      "option '--ver' is ambiguous; possibilities: '--verbose' '--version'",
      NULL },
    { { "dumb-init", "--help=x" }, 1, "option '--help' doesn't allow an argument", NULL },
    { { "dumb-init", "--rewrite" }, 1, "option '--rewrite' requires an argument", NULL },
    { { "dumb-init", "-r" }, 1, "dumb-init: option requires an argument -- 'r'", NULL },
    { { "dumb-init", "-g", "true" }, 1, "dumb-init: invalid option -- 'g'", NULL },
    { { "dumb-init", "-r", "15", "true" }, 1, "<signum> is between 1 and 31.", NULL },
    { { "dumb-init", "-r", "1:32", "true" }, 1, "<signum> is between 1 and 31.", NULL },
    { { "dumb-init", "-r", "0:2", "true" }, 1, "<signum> is between 1 and 31.", NULL },
    { { "dumb-init", "-r", "15::2", "true" }, 1, "<signum> is between 1 and 31.", NULL },
    { { "dumb-init", "-r", " 15: 2x", SH("kill $PPID; exec sleep 9") }, 130, "", NULL },
    { { "dumb-init", "--rewrite=15:0", SH("kill $PPID; exit 4") }, 4, "", NULL },
    { { "dumb-init", "-c", "-r15:9", SH("kill $PPID; exec sleep 9") }, 137, "", NULL },
    { { "dumb-init", "sh", "-c", "exit 3" }, 3, "", NULL },
    { { "dumb-init", SH("kill -9 $$") }, 137, "", NULL },
    { { "dumb-init", "/no/such/program" }, 2, "[dumb-init] /no/such/program: No such file", NULL },
    { { "dumb-init", "/etc/passwd" }, 2, "[dumb-init] /etc/passwd: Permission denied", NULL },
    { { "dumb-init", script }, 5, "script ran", NULL },
    { { "dumb-init", "-v", "true" }, 0, "setsid complete.", NULL },
    { { "dumb-init", "--verb", "-c", "true" }, 0, "exited with exit status 0.", NULL },
    { { "dumb-init", "true" }, 0, "Running in debug mode.", "DUMB_INIT_DEBUG=1" },
    { { "dumb-init", "true" }, 0, "", "DUMB_INIT_DEBUG=2" },
    { { "dumb-init", "-v", "true" }, 0, "Not running in setsid mode.", "DUMB_INIT_SETSID=0" },
    { { "dumb-init", "-v", "-r15:2", SH("kill $PPID; exec sleep 9") },
      130,
      "Translating signal 15 to 2.",
      NULL },
    { { "dumb-init", SH("readlink /proc/$PPID/cwd") }, 0, "/\n", NULL },
};

START_TEST(it_says_and_returns_what_the_peer_does)
{
    const struct said *c = &said[_i];
    int who = strcmp(c->argv[0], "tini") == 0 ? OURS_AS_TINI : OURS_AS_DUMB_INIT;
    struct answer ours = ask(who_path(who), c->argv, c->env);
    ck_assert_msg(ours.status == c->status, "%s %s: status %d, not %d; it says: %s", c->argv[0],
                  c->argv[1] ? c->argv[1] : "", ours.status, c->status, ours.heard.all);
    ck_assert_msg(strstr(ours.heard.all, c->text), "no '%s' in: %s", c->text, ours.heard.all);
    const char *peer = who_path(who + 1);
    if (!peer)
        return;
    struct answer theirs = ask(peer, c->argv, c->env);
    ck_assert_int_eq(ours.status, theirs.status);
    ck_assert_str_eq(ours.heard.all, theirs.heard.all);
}
END_TEST

/* ---- what is done ---- */

/* Starts a shell with `text` below `who`; false: that peer is not here. */
struct run {
    pid_t pid, child;
    int out;
    struct heard heard;
};

static bool run_with(struct run *r, int who, const char *option, const char *text,
                     const struct start *more)
{
    const char *argv[] = { who_name(who), option, "--", "sh", "-c", text, NULL };
    struct start s = more ? *more : (struct start){ 0 };
    *r = (struct run){ 0 };
    s.path = who_path(who);
    s.argv = argv;
    if (!s.path)
        return false;
    r->pid = plain_start(&s, &r->out);
    plain_await(&r->heard, r->out, "up ");
    plain_await(&r->heard, r->out, "\n");
    r->child = (pid_t)strtol(strstr(r->heard.all, "up ") + 3, NULL, 10);
    return true;
}

static bool run(struct run *r, int who, const char *option, const char *text)
{
    return run_with(r, who, option, text, NULL);
}

static const char *harmless(int who)
{
    return who < OURS_AS_DUMB_INIT ? "-s" : "-r1:1";
}

static int finish(struct run *r, int signal)
{
    if (signal)
        (void)kill(r->pid, signal);
    int status = plain_ended(r->pid);
    (void)close(r->out);
    return status;
}

#define LOOP "while :; do sleep 0.01; done"

START_TEST(each_signal_reaches_the_command)
{
    static const int signals[] = {
        SIGTERM, SIGHUP,  SIGINT,    SIGQUIT,  SIGUSR1, SIGUSR2, SIGALRM,
        SIGCONT, SIGPIPE, SIGVTALRM, SIGWINCH, SIGURG,  SIGXCPU, SIGPWR
    };
    struct run r;
    if (!run(&r, _i, harmless(_i),
             "for s in 15 1 2 3 10 12 14 18 13 26 28 23 24 30; do trap \"echo got-$s-\" $s; done; "
             "echo up $$; " LOOP))
        return;
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        char want[32];
        (void)snprintf(want, sizeof want, "got-%d-", signals[i]);
        ck_assert_int_eq(kill(r.pid, signals[i]), 0);
        plain_await(&r.heard, r.out, want);
    }
    ck_assert_int_eq(kill(r.child, SIGKILL), 0);
    ck_assert_int_eq(finish(&r, 0), 137);
}
END_TEST

/* A real-time signal too. dumb-init 1.2.5 reads past the end of a table for those. */
START_TEST(a_real_time_signal_reaches_the_command)
{
    struct run r;
    if (_i == DUMB_INIT || !run(&r, _i, harmless(_i), "trap 'exit 9' 40; echo up $$; " LOOP))
        return;
    ck_assert_int_eq(finish(&r, 40), 9);
}
END_TEST

/* tini: the child alone, with -g its group. dumb-init: its group, with -c the child alone. */
START_TEST(the_group_gets_signals_as_asked)
{
    static const char text[] =
        "trap 'echo outer' USR1; "
        "sh -c 'trap \"echo inner\" USR1; echo ready; while sleep 0.05; do echo; done' & "
        "echo up $$; while :; do wait; done";
    bool tini = _i < OURS_AS_DUMB_INIT;
    struct run r;
    if (!run(&r, _i, tini ? "-g" : "-v", text))
        return;
    plain_await(&r.heard, r.out, "ready");
    ck_assert_int_eq(kill(r.pid, SIGUSR1), 0);
    plain_await(&r.heard, r.out, "inner");
    plain_await(&r.heard, r.out, "outer");
    (void)finish(&r, SIGKILL);
    (void)kill(-r.child, SIGKILL);

    ck_assert(run(&r, _i, tini ? "-s" : "-c", text));
    plain_await(&r.heard, r.out, "ready");
    ck_assert_int_eq(kill(r.pid, SIGUSR1), 0);
    plain_await(&r.heard, r.out, "outer");
    pid_t group = tini ? r.child : getpgid(r.child); /* -c makes no group */
    ck_assert_int_eq(getpgid(r.child), group);
    ck_assert_ptr_null(strstr(r.heard.all, "inner"));
    ck_assert_int_eq(kill(tini ? -r.child : r.child, SIGKILL), 0);
    ck_assert_int_eq(plain_ended(r.pid), 137);
    /* With -c the inner one goes on until its next word meets a closed pipe: below. */
    (void)close(r.out);
}
END_TEST

START_TEST(group_and_session_are_the_peers)
{
    struct run r;
    if (!run(&r, _i, harmless(_i), "echo up $$; read -r x; " LOOP))
        return;
    ck_assert_int_eq(getpgid(r.child), r.child);
    ck_assert_int_eq(getsid(r.child), _i < OURS_AS_DUMB_INIT ? getsid(0) : r.child);
    ck_assert_int_eq(finish(&r, SIGTERM), 143);
    if (_i < OURS_AS_DUMB_INIT)
        return;
    ck_assert(run(&r, _i, "-c", "echo up $$; " LOOP));
    ck_assert_int_eq(getpgid(r.child), getpgid(0));
    ck_assert_int_eq(finish(&r, SIGTERM), 143);
}
END_TEST

static void ignore_and_block(void)
{
    sigset_t set;
    for (int i = 1; i < NSIG; i++) /* what this test itself was started with */
        (void)signal(i, SIG_DFL);
    (void)signal(SIGTTOU, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGUSR1, SIG_IGN);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTTIN);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGUSR2);
    (void)sigprocmask(SIG_SETMASK, &set, NULL);
}

/* tini hands on what it inherited, dumb-init the usual meaning of every signal. */
START_TEST(the_command_inherits_signals_as_below_the_peer)
{
    const char *argv[] = { who_name(_i), harmless(_i),        "--", "grep",
                           "Sig[BI]",    "/proc/self/status", NULL };
    struct start s = { .path = who_path(_i), .argv = argv, .before = ignore_and_block };
    struct heard h = { 0 };
    int out;
    if (!s.path)
        return;
    pid_t pid = plain_start(&s, &out);
    plain_read_all(&h, out);
    ck_assert_int_eq(plain_ended(pid), 0);
    (void)close(out);
    unsigned long long blocked = 1, ignored = 1;
    ck_assert_int_eq(sscanf(h.all, "SigBlk: %llx SigIgn: %llx", &blocked, &ignored), 2);
    ignored &= ~0x180000000ULL; /* 32 and 33 are libc's own: nobody can set them */
    ck_assert_uint_eq(blocked, _i < OURS_AS_DUMB_INIT ? 0x104800 : 0);
    ck_assert_uint_eq(ignored, _i < OURS_AS_DUMB_INIT ? 0x200202 : 0);
}
END_TEST

/* dumb-init: stops what it runs, and itself, and goes on with it. */
START_TEST(job_control_stops_both_and_goes_on)
{
    static const int signals[] = { SIGTSTP, SIGTTIN, SIGTTOU };
    struct run r;
    int who = OURS_AS_DUMB_INIT + _i % 2;
    bool single = _i >= 2;
    if (!run(&r, who, single ? "-c" : "-v",
             "for s in TSTP TTIN TTOU CONT; do trap \"echo got-$s\" $s; done; echo up $$; " LOOP))
        return;
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        ck_assert_int_eq(kill(r.pid, signals[i]), 0);
        await_state(r.pid, "T");
        if (!single)
            await_state(r.child, "TD"); /* D: a vfork() whose child was stopped */
        else
            plain_await(&r.heard, r.out, i == 0 ? "got-TSTP" : i == 1 ? "got-TTIN" : "got-TTOU");
        r.heard = (struct heard){ 0 };
        ck_assert_int_eq(kill(r.pid, SIGCONT), 0);
        plain_await(&r.heard, r.out, "got-CONT");
        await_state(r.pid, "SR");
    }
    ck_assert_int_eq(kill(r.child, SIGKILL), 0);
    ck_assert_int_eq(finish(&r, 0), 137);
}
END_TEST

/* dumb-init: when the command has ended, its group gets SIGTERM. */
START_TEST(the_rest_of_the_session_is_told_to_end)
{
    struct run r;
    if (!run(&r, OURS_AS_DUMB_INIT + _i, "-v",
             "sh -c 'trap \"\" USR1; trap \"echo told; exit\" TERM; echo ready; " LOOP "' & "
             "trap 'exit 6' USR1; echo up $$; while :; do wait; done"))
        return;
    plain_await(&r.heard, r.out, "ready");
    ck_assert_int_eq(kill(r.pid, SIGUSR1), 0);
    plain_await(&r.heard, r.out, "told");
    ck_assert_int_eq(finish(&r, 0), 6);
}
END_TEST

/* A terminal: who has it, and that what the kernel sends at the hand-over goes to nobody. */
START_TEST(the_terminal_is_the_commands)
{
    struct heard h = { 0 };
    int master;
    const char *path = who_path(_i);
    if (!path)
        return;
    pid_t pid = forkpty(&master, NULL, NULL, NULL);
    if (pid == 0) {
        (void)execl(path, who_name(_i), _i < OURS_AS_DUMB_INIT ? "-vvv" : "-v", "--", "bash", "-c",
                    "trap 'echo hung up' HUP; trap 'echo cont' CONT; "
                    "ps -o pid=,tpgid= -p $$ | { read -r p t; echo \"tty of $((p == t))\"; }; "
                    "read -r line; echo \"[$line]\"; exit 8",
                    (char *)NULL);
        _exit(99);
    }
    plain_await(&h, master, "tty of 1");
    ck_assert_int_eq((int)write(master, "typed\n", 6), 6);
    plain_await(&h, master, "[typed]");
    ck_assert_int_eq(plain_ended(pid), 8);
    ck_assert_ptr_null(strstr(h.all, "hung up"));
    ck_assert_ptr_null(strstr(h.all, "cont\r"));
    (void)close(master);
}
END_TEST

/* Ctrl-C at a terminal reaches the command, by the kernel, and not twice. */
START_TEST(an_interrupt_at_the_terminal_comes_once)
{
    struct heard h = { 0 };
    int master;
    const char *path = who_path(_i);
    if (!path)
        return;
    pid_t pid = forkpty(&master, NULL, NULL, NULL);
    if (pid == 0) {
        (void)execl(
            path, who_name(_i), "--", "bash", "-c",
            "trap 'n=$((n + 1)); echo int' INT; trap 'echo \"count $n\"; exit 3' TERM; echo up; "
            "while :; do read -r -t 0.05 x; done",
            (char *)NULL);
        _exit(99);
    }
    plain_await(&h, master, "up\r");
    ck_assert_int_eq((int)write(master, "\003", 1), 1);
    plain_await(&h, master, "int\r");
    ck_assert_int_eq(kill(pid, SIGTERM), 0);
    plain_await(&h, master, "count 1");
    ck_assert_int_eq(plain_ended(pid), 3);
    (void)close(master);
}
END_TEST

/* tini -p: the signal at our parent's death, which we hand on. */
START_TEST(the_parents_death_is_told)
{
    const char *path = who_path(_i);
    struct heard h = { 0 };
    int out[2];
    if (!path)
        return;
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    pid_t parent = fork();
    if (parent == 0) {
        if (fork() == 0) {
            (void)dup2(out[1], STDOUT_FILENO);
            (void)execl(path, "tini", "-s", "-p", "SIGUSR1", "--", "sh", "-c",
                        "trap 'echo orphaned; exit' USR1; echo up; " LOOP, (char *)NULL);
        }
        (void)pause();
        _exit(0);
    }
    (void)close(out[1]);
    plain_await(&h, out[0], "up");
    ck_assert_int_eq(kill(parent, SIGKILL), 0);
    plain_await(&h, out[0], "orphaned");
    ck_assert_int_eq(plain_ended(parent), 137);
    (void)close(out[0]);
}
END_TEST

/* tini -s -w: orphans come to it, are reaped and named. */
START_TEST(orphans_are_reaped_and_named)
{
    const char *argv[] = { "tini", "-s", "-w", SH("sh -c 'sh -c \"exit 3\" &'; sleep 0.3"), NULL };
    struct start s = { .path = who_path(_i), .argv = argv };
    struct heard h = { 0 };
    int out;
    if (!s.path)
        return;
    pid_t pid = plain_start(&s, &out);
    plain_await(&h, out, "Reaped zombie process with pid=");
    ck_assert_int_eq(plain_ended(pid), 0);
    (void)close(out);
}
END_TEST

int main(void)
{
    if (!plain_links())
        return EXIT_FAILURE;
    (void)snprintf(script, sizeof script, "/tmp/codev-plain-script-XXXXXX");
    int fd = mkstemp(script);
    if (fd < 0 || write(fd, "echo script ran\nexit 5\n", 23) != 23 || fchmod(fd, 0755) < 0)
        return EXIT_FAILURE;
    (void)close(fd);
    for (int who = TINI; who < WHO_MAX; who += 2)
        if (!who_path(who))
            printf("SKIP: comparing with %s, which is not installed\n", who_name(who));
    Suite *s = suite_create("init_plain_peers");
    TCase *t = tcase_create("peers");
    tcase_set_timeout(t, 90);
    tcase_add_loop_test(t, it_says_and_returns_what_the_peer_does, 0, ARRAY_SIZE(said));
    tcase_add_loop_test(t, each_signal_reaches_the_command, 0, WHO_MAX);
    tcase_add_loop_test(t, a_real_time_signal_reaches_the_command, 0, WHO_MAX);
    tcase_add_loop_test(t, the_group_gets_signals_as_asked, 0, WHO_MAX);
    tcase_add_loop_test(t, group_and_session_are_the_peers, 0, WHO_MAX);
    tcase_add_loop_test(t, the_command_inherits_signals_as_below_the_peer, 0, WHO_MAX);
    tcase_add_loop_test(t, job_control_stops_both_and_goes_on, 0, 4);
    tcase_add_loop_test(t, the_rest_of_the_session_is_told_to_end, 0, 2);
    tcase_add_loop_test(t, the_terminal_is_the_commands, 0, WHO_MAX);
    tcase_add_loop_test(t, an_interrupt_at_the_terminal_comes_once, 0, WHO_MAX);
    tcase_add_loop_test(t, the_parents_death_is_told, 0, 2);
    tcase_add_loop_test(t, orphans_are_reaped_and_named, 0, 2);
    suite_add_tcase(s, t);
    int status = run_suite(s);
    (void)unlink(script);
    plain_links_remove();
    return status;
}
