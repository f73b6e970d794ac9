/* rooms: supervisor/profile supervisor/plan supervisor/sandbox base/core */
/* Sandboxes in the real codev-init: what a service's program finds, who may use the control socket,
 * and what happens where the kernel lacks a part (here: a filter that hides it). */
#include <check.h>
#include <seccomp.h>

#include "supervisor/profile/profile.h"
#include "tests/unit/init_suite.h"
#include "tests/unit/run_suite.h"

#define WORDS(...)                                                                                 \
    {                                                                                              \
        .items = (const char *const[]){ __VA_ARGS__ },                                             \
        .count = sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)                     \
    }

static const struct profile closed = { .name = "closed",
                                       .filter = true,
                                       .signals_own = true,
                                       .abstract_own = true,
                                       .scrub = WORDS("*TOKEN*"),
                                       .paths = { [SANDBOX_EXEC] = WORDS("/"),
                                                  [SANDBOX_WORK] = WORDS("/dev"),
                                                  [SANDBOX_HIDDEN] = WORDS("$STATE") } };
static const struct profile asks = { .name = "asks", .filter = true, .control = WORDS("version") };
static const struct profile *const profiles[] = { &closed, &asks };

static void setup(void)
{
    pod_init(&pod);
}

static void teardown(void)
{
    pod_release(&pod);
}

/* The plan that pod_write_plan() made, with profiles: service i gets `use[i]`, 0: none. */
static void write_plan(const struct pod_service *services, size_t count, const uint32_t *use,
                       bool require)
{
    struct plan_writer w;
    _cleanup_free_ void *block = NULL;
    struct error e = ERROR_INIT;
    size_t size;
    plan_writer_init(&w);
    w.header.home = plan_writer_str(&w, pod.dir);
    w.header.state_dir = plan_writer_str(&w, pod_path(&pod, "state"));
    w.header.stop_timeout_ms = 10000;
    w.header.log_level = 1;
    w.header.sandbox_require = require;
    for (size_t i = 0; i < ARRAY_SIZE(profiles); i++) {
        _cleanup_free_ void *box = NULL;
        ck_assert_msg(profile_compile(profiles[i], &box, &size, &e) == 0, "%s", e.message);
        plan_writer_profile(&w, profiles[i]->name, box, size);
    }
    for (size_t i = 0; i < count; i++) {
        struct pod_service s = services[i];
        s.p.profile = use[i];
        pod_write_service(&w, &s);
    }
    ck_assert_msg(plan_writer_finish(&w, &block, &size, &e) == 0, "%s", e.message);
    plan_writer_release(&w);
    ck_assert_int_eq(file_write_atomic(pod_path(&pod, "plan"), block, size, 0644), 0);
}

/* A service that runs `script` and stays. */
static struct pod_service shell(const char *name, const char *script)
{
    static char texts[4][4096];
    static unsigned next;
    char *text = texts[next++ % 4];
    (void)snprintf(text, sizeof texts[0], "%s\necho end of %s\nexec sleep 1000", script, name);
    return (struct pod_service){ .name = name, .argv = { "/bin/sh", "-c", text } };
}

/* $1: where; the rest: the request. */
#define ASK                                                                                        \
    "ask() { python3 -c 'import socket,sys\n"                                                      \
    "s=socket.socket(socket.AF_UNIX)\n"                                                            \
    "s.connect(sys.argv[1]+\"/control.sock\")\n"                                                   \
    "try:\n"                                                                                       \
    "  s.sendall(\" \".join(sys.argv[2:]).encode()+b\"\\n\")\n"                                    \
    "  t=s.makefile().read(200)\n"                                                                 \
    "except OSError as e: t=\"not_allowed, \"+str(e)\n"                                            \
    "print(\"answer\", t.strip().replace(chr(34), chr(39)))' "                                     \
    "\"$CODEV_RUNTIME_DIR\" \"$@\"; }\n"

static bool python(void)
{
    bool there = access("/usr/bin/python3", X_OK) == 0;
    if (!there)
        printf("SKIP needs python3\n");
    return there;
}

static size_t count_of(const char *text, const char *word)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, word)); p += strlen(word))
        n++;
    return n;
}

START_TEST(a_program_finds_its_walls)
{
    static const uid_t uids[] = { 0, 1000 };
    static const char script[] =
        "grep -q '^Seccomp:.2' /proc/self/status && echo has a filter\n"
        "grep -E '^Cap(Prm|Eff|Inh|Amb):.*[1-9a-f]' /proc/self/status || echo has no capability\n"
        "cat \"$CODEV_STATE_DIR/token\" 2>&1 | grep -q 'ermission denied' && echo token closed\n"
        "ls / >/dev/null && echo lists\n"
        "kill -0 1 2>/dev/null || echo no signal\n"
        "unshare -r true 2>/dev/null || echo no namespace\n"
        "echo scrubbed=$MY_TOKEN_X=\n"
        "for fd in /proc/$$/fd/*; do case ${fd##*/} in 0|1|2) ;; *) [ -L $fd ] && echo open "
        "${fd##*/} ;; esac; done\n";
    static const char *const lines[] = { "has a filter", "has no capability", "token closed",
                                         "lists",        "no signal",         "no namespace",
                                         "scrubbed==",   "end of walls" };
    const struct pod_service s[] = { shell("walls", script) };
    const uint32_t use[] = { 1 };
    const char *const env[] = { "MY_TOKEN_X=very-secret", NULL };
    struct sandbox_kernel k;
    sandbox_kernel_probe(&k);
    if (k.landlock_abi < 6) {
        printf("SKIP needs Landlock ABI 6, this kernel has %d\n", k.landlock_abi);
        return;
    }
    pod.uid = uids[_i];
    pod.env = env;
    if (pod.uid)
        ck_assert_int_eq(chmod(pod.dir, 0777), 0);
    write_plan(s, ARRAY_SIZE(s), use, true);
    pod_start(&pod);
    POD_EVENTUALLY(&pod, pod_says(&pod, "end of walls"));
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        ck_assert_msg(pod_says(&pod, lines[i]), "not said: %s\n%s", lines[i], pod_log(&pod));
    ck_assert_msg(!pod_says(&pod, "\"msg\":\"open "), "%s", pod_log(&pod));
    const char *status = POD_ASK("status");
    ck_assert_ptr_nonnull(strstr(status, "\"profile\":\"closed\",\"entered\":true"));
    ck_assert_ptr_null(strstr(status, "\"unavailable\""));
    ck_assert_int_eq(pod_stop(&pod, 20000), 0);
}
END_TEST

START_TEST(the_control_socket_knows_its_peers)
{
    /* Below the service, and as an orphan of its own session that drops its environment. */
    static const char script[] = ASK "ask status\nask shutdown\nask version\n"
                                     "(ask version &) ; sleep 0.3\n";
    const struct pod_service s[] = { shell("shut", script), shell("some", script),
                                     shell("free", ASK "ask version\n") };
    const uint32_t use[] = { 1, 2, 0 };
    if (!python())
        return;
    write_plan(s, ARRAY_SIZE(s), use, false);
    pod_start(&pod);
    for (size_t i = 0; i < ARRAY_SIZE(s); i++) {
        char end[64];
        (void)snprintf(end, sizeof end, "end of %s", s[i].name);
        POD_EVENTUALLY(&pod, pod_says(&pod, end));
    }
    const char *shut = POD_ASK("logs", "shut", "100"); /* from outside: all is allowed */
    POD_EVENTUALLY(&pod, count_of(shut = POD_ASK("logs", "shut", "100"), "answer") == 4);
    ck_assert_uint_eq(count_of(shut, "not_allowed"), 4);
    const char *some = POD_ASK("logs", "some", "100");
    POD_EVENTUALLY(&pod, count_of(some = POD_ASK("logs", "some", "100"), "answer") == 4);
    ck_assert_uint_eq(count_of(some, "not_allowed"), 2);
    ck_assert_uint_eq(count_of(some, "'pid':1"), 2);
    ck_assert_uint_eq(count_of(POD_ASK("logs", "free", "100"), "'pid':1"), 1);
    ck_assert_int_eq(pod_stop(&pod, 20000), 0);
}
END_TEST

/* From here on this process, and PID 1 with it, has no Landlock. */
static void hide_landlock(void)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    ck_assert_ptr_nonnull(ctx);
    ck_assert_int_eq(
        seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(landlock_create_ruleset), 0), 0);
    ck_assert_int_eq(seccomp_load(ctx), 0);
    seccomp_release(ctx);
}

START_TEST(what_is_required_and_missing_ends_the_boot)
{
    const struct pod_service s[] = { shell("never", "") };
    const uint32_t use[] = { 1 };
    hide_landlock();
    write_plan(s, ARRAY_SIZE(s), use, true);
    pod_start(&pod);
    ck_assert_int_eq(pod_wait(&pod, 20000), 78);
    ck_assert(pod_says(&pod, "sandbox.require is true, but profile closed cannot have 'files'"));
    ck_assert(!pod_says(&pod, "end of never"));
}
END_TEST

START_TEST(what_is_missing_is_told)
{
    const struct pod_service s[] = { shell("goes", "grep Seccomp: /proc/self/status\n") };
    const uint32_t use[] = { 1 };
    hide_landlock();
    write_plan(s, ARRAY_SIZE(s), use, false);
    pod_start(&pod);
    POD_EVENTUALLY(&pod, pod_says(&pod, "end of goes"));
    ck_assert(pod_says(&pod, "sandbox closed goes without: files, truncate"));
    const char *status = POD_ASK("status");
    ck_assert_ptr_nonnull(
        strstr(status, "{\"name\":\"files\",\"state\":\"unavailable\",\"detail\":\"this kernel"));
    ck_assert_ptr_nonnull(strstr(status, "{\"name\":\"system calls\",\"state\":\"on\""));
    ck_assert_int_eq(pod_stop(&pod, 20000), 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("init_sandbox");
    TCase *t = tcase_create("live");
    if (*pod_impossible()) {
        printf("SKIP %s\n", pod_impossible());
        return s;
    }
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 90);
    tcase_add_loop_test(t, a_program_finds_its_walls, 0, 2);
    tcase_add_test(t, the_control_socket_knows_its_peers);
    tcase_add_test(t, what_is_required_and_missing_ends_the_boot);
    tcase_add_test(t, what_is_missing_is_told);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return run_suite(make_suite());
}
