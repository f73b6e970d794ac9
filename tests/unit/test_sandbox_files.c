/* rooms: supervisor/profile supervisor/sandbox base/core */
/* Landlock: what is open and closed, around exceptions, by every ABI level; the block. */
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/core/file.h"
#include "tests/unit/run_suite.h"
#include "tests/unit/sandbox_helper.h"

/* home/{work/file,deep/er/secret/{token,open/file},plugin/code,link -> deep/er/secret} */
static char dir[64], home[96], secret[128], tmp[160];

static const char *at(const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *p = paths[next++ % 8];
    (void)snprintf(p, sizeof paths[0], "%s/%s", home, name);
    return p;
}

static void put(const char *name)
{
    ck_assert_int_eq(file_write_atomic(at(name), "x\n", 2, 0666), 0);
}

static void setup(void)
{
    static const char *const folders[] = { "",        "work",           "deep",
                                           "deep/er", "deep/er/secret", "deep/er/secret/open",
                                           "plugin" };
    (void)umask(0);
    (void)snprintf(dir, sizeof dir, "/tmp/codev-sandbox-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(chmod(dir, 0777), 0);
    (void)snprintf(home, sizeof home, "%s/home", dir);
    (void)snprintf(secret, sizeof secret, "%s/deep/er/secret", home);
    (void)snprintf(tmp, sizeof tmp, "%s/open", secret);
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
        ck_assert_int_eq(mkdir(at(folders[i]), 0777), 0);
    put("work/file");
    put("deep/er/secret/token");
    put("deep/er/secret/open/file");
    put("plugin/code");
    put("../outside");
    ck_assert_int_eq(symlink("deep/er/secret", at("link")), 0);
}

static void teardown(void)
{
    (void)file_remove_tree(dir);
}

/* --- what a child tries --- */

struct attempt {
    const char *what;
    const char *name; /* below home; absolute as it is */
};

static int try(void *arg)
{
    const struct attempt *a = arg;
    const char *path = *a->name == '/' ? a->name : at(a->name);
    int fd = -1, r = -1;
    if (strcmp(a->what, "read") == 0) {
        char c;
        fd = open(path, O_RDONLY);
        r = fd < 0 || read(fd, &c, 1) < 0 ? -1 : 0;
    } else if (strcmp(a->what, "list") == 0) {
        r = open(path, O_RDONLY | O_DIRECTORY);
    } else if (strcmp(a->what, "write") == 0) {
        r = open(path, O_WRONLY | O_APPEND);
    } else if (strcmp(a->what, "truncate") == 0) {
        r = truncate(path, 0);
    } else if (strcmp(a->what, "make") == 0) {
        r = open(path, O_WRONLY | O_CREAT | O_EXCL, 0666);
    } else if (strcmp(a->what, "remove") == 0) {
        r = unlink(path);
    } else if (strcmp(a->what, "steal") == 0) { /* move out of what is closed */
        r = rename(path, at("work/stolen"));
    } else if (strcmp(a->what, "link") == 0) {
        r = link(path, at("work/linked"));
    } else if (strcmp(a->what, "run") == 0) {
        (void)execl(path, path, "-c", "exit 0", NULL);
    }
    return r < 0 ? errno : 0;
}

static const struct profile agent_like = {
    .name = "t",
    .paths = { [SANDBOX_EXEC] = WORDS("/"),
               [SANDBOX_READ] = WORDS("$STATE/open"),
               [SANDBOX_WORK] = WORDS(home),
               [SANDBOX_HIDDEN] = WORDS("$STATE", "/nonexistent/secret"),
               [SANDBOX_FIXED] = WORDS("$RUNTIME") },
};

static const struct {
    struct attempt a;
    int inside; /* errno; 0: works */
} attempts[] = {
    { { "read", "/etc/passwd" }, 0 },
    { { "write", "../outside" }, EACCES },
    { { "make", "../new" }, EACCES },
    { { "truncate", "../outside" }, EACCES },
    { { "remove", "../outside" }, EACCES },
    { { "run", "/bin/sh" }, 0 },
    { { "read", "work/file" }, 0 },
    { { "write", "work/file" }, 0 },
    { { "truncate", "work/file" }, 0 },
    { { "make", "work/new" }, 0 },
    { { "remove", "work/file" }, 0 },
    { { "read", "deep/er/secret/token" }, EACCES },
    { { "read", "link/token" }, EACCES },
    { { "read", "work/../link/token" }, EACCES },
    { { "write", "deep/er/secret/token" }, EACCES },
    { { "remove", "deep/er/secret/token" }, EACCES },
    { { "make", "deep/er/secret/new" }, EACCES },
    { { "steal", "deep/er/secret/token" }, EACCES },
    { { "steal", "deep/er/secret" }, EACCES },
    { { "link", "deep/er/secret/token" }, EXDEV },
    { { "list", "deep/er/secret" }, 0 },           /* names are no secret */
    { { "read", "deep/er/secret/open/file" }, 0 }, /* let out again */
    { { "write", "deep/er/secret/open/file" }, EACCES },
    { { "list", "/" }, 0 },
    { { "list", "" }, 0 },
    { { "make", "deep/new" }, EACCES }, /* on the way to an exception nothing new */
    { { "read", "plugin/code" }, 0 },
    { { "run", "plugin/code" }, EACCES }, /* no mode +x: also without a sandbox */
    { { "write", "plugin/code" }, EACCES },
    { { "remove", "plugin/code" }, EACCES },
    { { "steal", "plugin/code" }, EACCES },
};

static char runtime[160];

static void open_box(struct box *b, const struct profile *p)
{
    /* The words of a static profile are read when it is compiled: home is known by then. */
    box_make(b, p);
    (void)snprintf(runtime, sizeof runtime, "%s/plugin", home);
    b->where = (struct sandbox_where){ .runtime = runtime, .state = secret };
}

START_TEST(what_is_open_and_closed)
{
    struct box b;
    if (!box_landlock(3))
        return;
    struct attempt a = attempts[_i].a;
    open_box(&b, &agent_like);
    ck_assert_msg(box_run(&b, 0, try, &a) == attempts[_i].inside, "%s %s", a.what, a.name);
    box_release(&b);
    if (!attempts[_i].inside || strcmp(a.what, "run") == 0 || *a.name == '/')
        return;
    ck_assert_msg(box_run(NULL, 0, try, &a) == 0, "%s %s: not without a sandbox, either", a.what,
                  a.name);
}
END_TEST

/* The same folder by a second mount. */
static int try_alias(void *arg)
{
    return try(arg);
}

START_TEST(a_second_mount_leads_around_nothing)
{
    struct attempt direct = { "read", "work/deep/er/secret/token" };
    struct attempt beside = { "read", "work/work/file" };
    struct box b;
    if (!unconfined() || !box_landlock(1)) {
        printf("SKIP needs root with all that it may do, and Landlock\n");
        return;
    }
    ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
    ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    ck_assert_int_eq(mount(home, at("work"), NULL, MS_BIND, NULL), 0);
    open_box(&b, &agent_like);
    ck_assert_int_eq(box_run(&b, 0, try_alias, &direct), EACCES);
    ck_assert_int_eq(umount2(at("work"), MNT_DETACH), 0);
    ck_assert_int_eq(box_run(&b, 0, try_alias, &beside), ENOENT);
    box_release(&b);
}
END_TEST

/* A domain in a domain: both hold. */
static int nested(void *arg)
{
    struct box *inner = arg;
    struct attempt a = { "read", "deep/er/secret/token" }, w = { "write", "work/file" };
    enum sandbox_part part;
    if (sandbox_apply(&inner->sandbox, &inner->where, &inner->kernel, &inner->report, &part) < 0)
        return 1;
    if (try(&a) != EACCES)
        return 2;
    return try(&w) == EACCES ? 0 : 3;
}

START_TEST(domains_nest)
{
    const struct profile reads = { .name = "inner", .paths = { [SANDBOX_READ] = WORDS("/") } };
    struct box outer, inner;
    if (!box_landlock(1))
        return;
    open_box(&outer, &agent_like);
    open_box(&inner, &reads);
    ck_assert_int_eq(box_run(&outer, 0, nested, &inner), 0);
    box_release(&outer);
    box_release(&inner);
}
END_TEST

START_TEST(folders_are_made_beforehand)
{
    struct profile p = agent_like;
    struct box b;
    struct attempt a = { "make", "deep/made/too/file" };
    char path[160];
    if (!box_landlock(1))
        return;
    (void)snprintf(path, sizeof path, "%s/deep/made/too", home);
    p.paths[SANDBOX_MAKE] = (struct profile_words)WORDS(path);
    open_box(&b, &p);
    ck_assert_int_eq(box_run(&b, 0, try, &a), 0);
    box_release(&b);
}
END_TEST

/* A folder that the profile lets its program work in, and that somebody has made a link. */
START_TEST(a_rule_that_became_a_link_opens_nothing_closed)
{
    static const char *const targets[] = { "deep/er/secret", "deep/er/secret/open" };
    struct profile p = agent_like;
    char link_path[160];
    struct attempt a = { "write", _i ? "deep/er/secret/open/file" : "deep/er/secret/token" };
    struct box b;
    if (!box_landlock(1))
        return;
    (void)snprintf(link_path, sizeof link_path, "%s/work/cache", home);
    ck_assert_int_eq(symlink(at(targets[_i]), link_path), 0);
    p.paths[SANDBOX_WORK] = (struct profile_words)WORDS(home, link_path);
    open_box(&b, &p);
    ck_assert_int_eq(box_run(&b, 0, try, &a), EACCES);
    box_release(&b);
}
END_TEST

/* A folder above what is closed lets nobody through, when the sandbox is made: whose it is may open
 * it again, and then nothing would be closed there. */
START_TEST(a_folder_shut_for_a_while_opens_nothing)
{
    struct attempt a = { "read", "deep/er/secret/token" };
    struct box b;
    if (!box_landlock(1) || getuid() != 0) {
        printf("a_folder_shut_for_a_while_opens_nothing: SKIP: needs root and Landlock\n");
        return;
    }
    open_box(&b, &agent_like);
    ck_assert_int_eq(chmod(at("deep/er"), 0), 0);
    ck_assert_int_eq(box_run(&b, 65534, try, &a), EACCES); /* another's: it stays shut */
    ck_assert_int_eq(chown(at("deep/er"), 65534, 65534), 0);
    ck_assert_int_eq(box_run(&b, 65534, try, &a), 125);
    ck_assert_int_eq(chmod(at("deep/er"), 0755), 0);
    ck_assert_int_eq(box_run(&b, 65534, try, &a), EACCES);
    box_release(&b);
}
END_TEST

START_TEST(a_root_that_there_is_none_of_opens_nothing)
{
    const struct profile p = { .name = "t",
                               .paths = { [SANDBOX_READ] = WORDS("/usr", "/etc"),
                                          [SANDBOX_WORK] = WORDS("$CWD", "$STATE") } };
    struct attempt a = { "write", "work/file" };
    struct box b;
    if (!box_landlock(1))
        return;
    open_box(&b, &p);
    b.where.state = "";
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(box_run(&b, 0, try, &a), EACCES);
    ck_assert_int_eq(chdir(at("work")), 0);
    ck_assert_int_eq(box_run(&b, 0, try, &a), 0);
    box_release(&b);
}
END_TEST

/* --- ports, signals, sockets --- */

static int connect_to(void *arg)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in a = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t) * (int *)arg),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    return connect(fd, (const struct sockaddr *)&a, sizeof a) < 0 ? errno : 0;
}

static int listen_on(void *arg)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in a = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t) * (int *)arg),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    return bind(fd, (const struct sockaddr *)&a, sizeof a) < 0 ? errno : 0;
}

START_TEST(ports_are_ruled)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port, other = 1;
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof a;
    char text[8];
    struct box b;
    if (!box_landlock(4))
        return;
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(listen(fd, 8), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    port = ntohs(a.sin_port);
    (void)snprintf(text, sizeof text, "%d", port);
    const struct profile only = { .name = "t", .connect = WORDS(text), .bind = WORDS("none") };
    const struct profile none = { .name = "t", .connect = WORDS("none"), .bind = WORDS("any") };
    open_box(&b, &only);
    ck_assert_int_eq(box_run(&b, 0, connect_to, &port), 0);
    ck_assert_int_eq(box_run(&b, 0, connect_to, &other), EACCES);
    ck_assert_int_eq(box_run(&b, 0, listen_on, &other), EACCES);
    box_release(&b);
    open_box(&b, &none);
    ck_assert_int_eq(box_run(&b, 0, connect_to, &port), EACCES);
    ck_assert_int_ne(box_run(&b, 0, listen_on, &other), EACCES + 128);
    box_release(&b);
    ck_assert_int_eq(box_run(NULL, 0, connect_to, &port), 0);
    (void)close(fd);
}
END_TEST

static int signal_parent(void *arg)
{
    (void)arg;
    return kill(getppid(), 0) < 0 ? errno : 0;
}

static int connect_abstract(void *arg)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(fd, arg, sizeof(struct sockaddr_un)) < 0 ? errno : 0;
}

START_TEST(signals_and_abstract_sockets_are_its_own)
{
    const struct profile own = { .name = "t", .signals_own = true, .abstract_own = true };
    const struct profile any = { .name = "t" };
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct box b;
    if (!box_landlock(6))
        return;
    (void)snprintf(a.sun_path + 1, sizeof a.sun_path - 1, "%s", dir);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(listen(fd, 8), 0);
    open_box(&b, &own);
    ck_assert_int_eq(box_run(&b, 0, signal_parent, NULL), EPERM);
    ck_assert_int_eq(box_run(&b, 0, connect_abstract, &a), EPERM);
    box_release(&b);
    open_box(&b, &any);
    ck_assert_int_eq(box_run(&b, 0, signal_parent, NULL), 0);
    ck_assert_int_eq(box_run(&b, 0, connect_abstract, &a), 0);
    box_release(&b);
    (void)close(fd);
}
END_TEST

/* --- ABI levels --- */

static const struct profile all = {
    .name = "all",
    .filter = true,
    .signals_own = true,
    .abstract_own = true,
    .connect = WORDS("none"),
    .paths = { [SANDBOX_EXEC] = WORDS("/"), [SANDBOX_WORK] = WORDS(home) }
};

/* From which level on each part is there. */
static const int levels[SANDBOX_PART_MAX] = {
    [SANDBOX_PART_FILES] = 1,   [SANDBOX_PART_TRUNCATE] = 3, [SANDBOX_PART_PORTS] = 4,
    [SANDBOX_PART_DEVICES] = 5, [SANDBOX_PART_SIGNALS] = 6,  [SANDBOX_PART_ABSTRACT] = 6,
};

/* Level by level, as an older kernel would have it: it still enters, and nothing is left unsaid. */
START_TEST(what_an_older_kernel_lacks_is_told)
{
    struct box b;
    struct attempt write = { "write", "../outside" }, cut = { "truncate", "../outside" };
    int none = 1;
    char text[200];
    if (!box_landlock(_i))
        return;
    open_box(&b, &all);
    b.kernel.landlock_abi = _i;
    b.kernel.landlock_error = _i ? 0 : ENOSYS;
    sandbox_foresee(&b.sandbox, &b.kernel, &b.report);
    for (int k = 0; k < SANDBOX_PART_MAX; k++) {
        if (!levels[k])
            continue;
        int state = _i >= levels[k] ? SANDBOX_ON : SANDBOX_UNAVAILABLE;
        ck_assert_msg(b.report.state[k] == state, "%s", sandbox_part_names[k]);
        sandbox_why((enum sandbox_part)k, b.report.error[k], &b.kernel, text, sizeof text);
        ck_assert(strstr(text, _i ? "needs Landlock ABI" : "has no Landlock"));
    }
    ck_assert_int_eq(sandbox_first_unavailable(&b.report), _i >= 6   ? SANDBOX_PART_MAX
                                                           : _i >= 5 ? SANDBOX_PART_SIGNALS
                                                           : _i >= 4 ? SANDBOX_PART_DEVICES
                                                           : _i >= 3 ? SANDBOX_PART_PORTS
                                                           : _i >= 1 ? SANDBOX_PART_TRUNCATE
                                                                     : SANDBOX_PART_FILES);
    ck_assert_int_eq(box_run(&b, 0, try, &write), _i >= 1 ? EACCES : 0);
    ck_assert_int_eq(box_run(&b, 0, try, &cut), _i >= 3 ? EACCES : 0);
    ck_assert_int_eq(box_run(&b, 0, connect_to, &none), _i >= 4 ? EACCES : ECONNREFUSED);
    ck_assert_int_eq(box_run(&b, 0, signal_parent, NULL), _i >= 6 ? EPERM : 0);
    box_release(&b);
}
END_TEST

START_TEST(reasons_for_people)
{
    struct sandbox_kernel k = { .landlock_abi = 0 };
    char text[200];
    const struct {
        uint8_t error;
        const char *has;
    } rows[] = { { ENOSYS, "has no Landlock" },
                 { EOPNOTSUPP, "not switched on" },
                 { EPERM, "container runtime" } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        sandbox_why(SANDBOX_PART_FILES, rows[i].error, &k, text, sizeof text);
        ck_assert_msg(strstr(text, rows[i].has) != NULL, "%s", text);
    }
    sandbox_why(SANDBOX_PART_SYSCALLS, 0, &k, text, sizeof text);
    ck_assert_ptr_nonnull(strstr(text, "no seccomp"));
}
END_TEST

/* --- the block --- */

static size_t touched;

static void touch(const struct sandbox *s)
{
    touched += strlen(sandbox_name(s)) + sandbox_scrubs(s, "A_TOKEN=1");
    touched += sandbox_allows_command(s, "status");
    for (uint32_t i = 0; i < s->header->rules.count; i++)
        touched += strlen(sandbox_string(s, s->rules[i].path));
    for (uint32_t i = 0; i < s->header->ports.count; i++)
        touched += s->ports[i].port;
    for (uint32_t i = 0; i < s->header->filter.count; i++)
        touched += s->filter[i].k;
}

START_TEST(a_damaged_block_is_refused_or_harmless)
{
    static const uint32_t values[] = { 0, 1, 7, 0x7fffffff, 0xffffffff };
    struct profile p = all;
    struct box b;
    struct error e = ERROR_INIT;
    (void)snprintf(home, sizeof home, "/tmp");
    p.scrub = (struct profile_words)WORDS("*TOKEN*");
    p.control = (struct profile_words)WORDS("status");
    box_make(&b, &p);
    size_t size = b.sandbox.header->size, refused = 0;
    _cleanup_free_ char *copy = malloc(size);
    ck_assert_ptr_nonnull(copy);
    for (size_t i = 0; i < size / 4; i++) {
        for (size_t v = 0; v < ARRAY_SIZE(values); v++) {
            struct sandbox s;
            memcpy(copy, b.block, size);
            memcpy(copy + i * 4, &values[v], 4);
            if (sandbox_open(&s, copy, size, &e) == 0)
                touch(&s);
            else
                refused++;
        }
    }
    ck_assert_uint_gt(refused, size / 4); /* the checksum finds nearly all */
    for (size_t n = 0; n < size; n++)
        ck_assert_int_eq(sandbox_open(&(struct sandbox){ 0 }, copy, n, &e), -EBADMSG);
    box_release(&b);
}
END_TEST

START_TEST(words_and_patterns)
{
    struct profile p = { .name = "t",
                         .scrub = WORDS("*TOKEN*", "AWS_*", "EXACT", "*_KEY"),
                         .control = WORDS("status", "events") };
    struct box b;
    box_make(&b, &p);
    ck_assert(sandbox_scrubs(&b.sandbox, "MY_TOKEN_2=x"));
    ck_assert(sandbox_scrubs(&b.sandbox, "TOKEN"));
    ck_assert(sandbox_scrubs(&b.sandbox, "AWS_X=1"));
    ck_assert(sandbox_scrubs(&b.sandbox, "EXACT=TOKEN"));
    ck_assert(sandbox_scrubs(&b.sandbox, "A_KEY_KEY="));
    ck_assert(!sandbox_scrubs(&b.sandbox, "EXACTLY=1"));
    ck_assert(!sandbox_scrubs(&b.sandbox, "PATH=/TOKEN"));
    ck_assert(!sandbox_scrubs(&b.sandbox, "KEY=1"));
    ck_assert(sandbox_allows_command(&b.sandbox, "status"));
    ck_assert(!sandbox_allows_command(&b.sandbox, "shutdown"));
    ck_assert(!sandbox_allows_command(&b.sandbox, ""));
    box_release(&b);
    ck_assert(profile_path_fits("/a/b..c") && profile_path_fits("$STATE") &&
              profile_path_fits("$RUNTIME/x"));
    ck_assert(!profile_path_fits("a") && !profile_path_fits("$STATES/x") &&
              !profile_path_fits("/a/../b") && !profile_path_fits("$CWD/.."));
    ck_assert(profile_port_fits("any") && profile_port_fits("65535"));
    ck_assert(!profile_port_fits("65536") && !profile_port_fits("http"));
    ck_assert(profile_syscall_fits("trace") && profile_syscall_fits("ptrace"));
    ck_assert(!profile_syscall_fits("no_such_call"));
    ck_assert(profile_capability_fits("net_raw") && !profile_capability_fits("CAP_ALL"));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("sandbox_files");
    TCase *t = tcase_create("files");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 30);
    tcase_add_loop_test(t, what_is_open_and_closed, 0, (int)ARRAY_SIZE(attempts));
    tcase_add_test(t, a_second_mount_leads_around_nothing);
    tcase_add_test(t, domains_nest);
    tcase_add_test(t, folders_are_made_beforehand);
    tcase_add_loop_test(t, a_rule_that_became_a_link_opens_nothing_closed, 0, 2);
    tcase_add_test(t, a_folder_shut_for_a_while_opens_nothing);
    tcase_add_test(t, a_root_that_there_is_none_of_opens_nothing);
    tcase_add_test(t, ports_are_ruled);
    tcase_add_test(t, signals_and_abstract_sockets_are_its_own);
    tcase_add_loop_test(t, what_an_older_kernel_lacks_is_told, 0, 8);
    tcase_add_test(t, reasons_for_people);
    suite_add_tcase(s, t);
    t = tcase_create("block");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_damaged_block_is_refused_or_harmless);
    tcase_add_test(t, words_and_patterns);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return run_suite(make_suite());
}
