/* rooms: supervisor/init supervisor/cgroup supervisor/volumes supervisor/plan supervisor/sandbox base/core */
/* Control groups, memory and processes: the real codev-init in groups of its own, and without. */
#include "tests/unit/init_suite.h"

#include <sys/vfs.h>

#include "supervisor/cgroup/cgroup.h"
#include "supervisor/init/groups.h"
#include "tests/unit/run_suite.h"

#define CGROUP2_MAGIC 0x63677270

/* --- roles: what this program does when a pod starts it --- */

_Noreturn static void sleep_for_ever(void)
{
    for (;;)
        (void)pause();
}

/* Takes so many MiB, and keeps them. */
static void role_eat(const char *mib)
{
    for (long n = strtol(mib, NULL, 10); n > 0; n--) {
        char *p = malloc((size_t)1 << 20);
        if (p)
            memset(p, 'x', (size_t)1 << 20);
    }
    sleep_for_ever();
}

/* A child in a session of its own whose parent is gone, and with nothing in its environment. */
static void role_leaver(const char *unused)
{
    (void)unused;
    if (fork() == 0) {
        (void)setsid();
        if (fork() == 0) {
            (void)setsid();
            (void)clearenv();
            (void)signal(SIGTERM, SIG_IGN);
            sleep_for_ever();
        }
        _exit(0);
    }
    (void)wait(NULL);
    sleep_for_ever();
}

/* Forks as much as it may, and its children too. */
static void role_forks(const char *unused)
{
    (void)unused;
    for (int i = 0; i < 1000000; i++)
        if (fork() < 0)
            (void)poll(NULL, 0, 1000);
}

static const struct role roles[] = { { "eat", role_eat },
                                     { "leaver", role_leaver },
                                     { "forks", role_forks } };

/* --- groups of the test's own --- */

/* Where this machine has cgroup v2; "" where it has none. */
static const char *v2_mount(void)
{
    static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        struct statfs st;
        if (statfs(places[i], &st) == 0 && st.f_type == CGROUP2_MAGIC)
            return places[i];
    }
    return "";
}

static char made[4][256];
static size_t made_count;

/* A group below `parent`, removed with the pod. "" where none can be made. */
static const char *make_group(const char *parent)
{
    char *path = made[made_count];
    (void)snprintf(path, sizeof made[0], "%s/codev-test-%d", parent, (int)getpid());
    if (mkdir(path, 0755) < 0)
        return "";
    made_count++;
    return path;
}

static void put(const char *dir, const char *file, const char *text)
{
    char path[PATH_MAX + 64];
    (void)snprintf(path, sizeof path, "%s/%s", dir, file);
    ck_assert_msg(cgroup_write(AT_FDCWD, path, text) == 0, "%s: %s", path, strerror(errno));
}

/* How many processes are in a group of ours, or below it. -1: it is not there. */
static int in_group(const char *dir, const char *name)
{
    char path[PATH_MAX + 64];
    _cleanup_free_ char *text = NULL;
    int n = 0;
    (void)snprintf(path, sizeof path, "%s/%s/cgroup.procs", dir, name);
    if (file_read(path, 1 << 20, &text, NULL) < 0)
        return -1;
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        n++;
    return n;
}

static void open_ours(void)
{
    made_count = 0;
    pod_init(&pod);
}

static void remove_made(void)
{
    static const char *const inner[] = { "pid1",          "service.leaver", "service.calm",
                                         "service.eater", "service.forks",  "service.many" };
    for (size_t i = 0; i < made_count; i++) {
        char path[PATH_MAX + 64];
        for (size_t k = 0; k < ARRAY_SIZE(inner); k++) {
            (void)snprintf(path, sizeof path, "%s/%s", made[i], inner[k]);
            (void)rmdir(path);
        }
        uint64_t until = clock_mono_ms() + 5000;
        while (rmdir(made[i]) < 0 && errno == EBUSY && clock_mono_ms() < until)
            (void)poll(NULL, 0, 10);
    }
}

static void close_ours(void)
{
    pod_release(&pod);
    remove_made();
}

static bool skipped(bool not_here, const char *why)
{
    if (not_here)
        (void)printf("SKIP %s\n", why);
    return not_here;
}

/* A pod with a cgroup v2 folder of its own. False when this machine has none to give. */
static bool give_group(void)
{
    const char *v2 = v2_mount();
    pod.groups[0] = *v2 ? make_group(v2) : "";
    pod.own_v2 = v2;
    return *pod.groups[0];
}

/* The same with the controllers of version 2, which a hybrid machine has not. */
static bool give_controllers(void)
{
    char path[PATH_MAX];
    _cleanup_free_ char *text = NULL;
    (void)snprintf(path, sizeof path, "%s/cgroup.subtree_control", v2_mount());
    return *v2_mount() && file_read(path, 4096, &text, NULL) == 0 && strstr(text, "memory") &&
           strstr(text, "pids") && give_group();
}

static void give_v1(const char *controller)
{
    pod.own_v2 = NULL;
    pod.groups[0] = make_group(controller);
}

#define NO_CONTROLLERS "memory and pids are not controllers of version 2 on this machine"

static void kill_inside(const char *service)
{
    char command[64];
    (void)snprintf(command, sizeof command, "nsenter -t %d -p kill -9 %ld", (int)pod.pid1,
                   pod_number(pod_service_status(service), "pid"));
    ck_assert_int_eq(system(command), 0);
}

/* --- what is pure --- */

static void parse(const char *text, const char *mountinfo, struct cgroup_place *ret)
{
    struct mount_table mounts = { 0 };
    struct error e = ERROR_INIT;
    ck_assert_int_eq(mount_table_parse(&mounts, mountinfo, strlen(mountinfo), &e), 0);
    cgroup_place_parse(text, &mounts, ret);
    mount_table_release(&mounts);
}

START_TEST(groups_are_found_where_they_are_mounted)
{
    static const struct {
        const char *text, *mounts, *v2, *memory, *pids;
    } cases[] = {
        /* a pod with a cgroup namespace */
        { "0::/\n", "30 20 0:25 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n", "/sys/fs/cgroup",
          "", "" },
        /* without one, its group mounted alone */
        { "0::/kubepods/pod1/a\n",
          "30 20 0:25 /kubepods/pod1/a /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "/sys/fs/cgroup",
          "", "" },
        /* and with the whole tree */
        { "0::/kubepods/pod1/a\n", "30 20 0:25 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
          "/sys/fs/cgroup/kubepods/pod1/a", "", "" },
        /* another one's tree is not ours */
        { "0::/a\n", "30 20 0:25 /ab /sys/fs/cgroup rw - cgroup2 cgroup rw\n", "", "", "" },
        { "0::/../b\n", "30 20 0:25 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n", "", "", "" },
        /* version 1, and the hybrid of both */
        { "9:name=systemd:/x\n4:memory:/docker/a\n3:cpu,pids:/docker/a\n0::/docker/a\n",
          "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
          "35 31 0:32 /docker/a /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
          "36 31 0:33 /docker/a /sys/fs/cgroup/cpu,pids ro - cgroup cgroup rw,cpu,pids\n"
          "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
          "/sys/fs/cgroup/unified/docker/a", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/cpu,pids" },
        /* what makes no sense */
        { "0::\n::\n:\nmemory\n4:memory\n\n0:x:/\n", "30 20 0:25 / /c rw - cgroup2 c rw\n", "", "",
          "" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct cgroup_place p;
        parse(cases[i].text, cases[i].mounts, &p);
        ck_assert_msg(strcmp(p.v2, cases[i].v2) == 0, "%zu: %s", i, p.v2);
        ck_assert_msg(strcmp(p.v1_memory, cases[i].memory) == 0, "%zu: %s", i, p.v1_memory);
        ck_assert_msg(strcmp(p.v1_pids, cases[i].pids) == 0, "%zu: %s", i, p.v1_pids);
    }
}
END_TEST

START_TEST(numbers_are_read_by_key)
{
    static const char text[] = "low 0\noom 2\noom_kill 7\nword x\nbare\n";
    uint64_t n = 0;
    const char *file = pod_path(&pod, "events"), *plain = pod_path(&pod, "max");
    ck_assert_int_eq(file_write_atomic(file, text, sizeof text - 1, 0644), 0);
    ck_assert_int_eq(file_write_atomic(plain, "max\n", 4, 0644), 0);
    ck_assert_int_eq(cgroup_read(AT_FDCWD, file, "oom_kill", &n), 0);
    ck_assert_uint_eq(n, 7);
    ck_assert_int_eq(cgroup_read(AT_FDCWD, file, "oom", &n), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert_int_eq(cgroup_read(AT_FDCWD, file, "oom_", &n), -ENOENT);
    ck_assert_int_eq(cgroup_read(AT_FDCWD, file, "word", &n), -EBADMSG);
    ck_assert_int_eq(cgroup_read(AT_FDCWD, file, "bare", &n), -EBADMSG);
    ck_assert_int_eq(cgroup_read(AT_FDCWD, plain, NULL, &n), 0);
    ck_assert(n == UINT64_MAX);
}
END_TEST

START_TEST(a_short_peak_of_memory_is_no_reason)
{
    const uint64_t max = 1000;
    struct service_group g = { 0 };
    ck_assert_int_eq(memory_judge(&g, 899, max), MEMORY_FINE);
    ck_assert_int_eq(memory_judge(&g, 900, max), MEMORY_NEAR);
    ck_assert_int_eq(memory_judge(&g, 950, max), MEMORY_FINE); /* said once */
    ck_assert_int_eq(memory_judge(&g, 850, max), MEMORY_FINE);
    ck_assert_int_eq(memory_judge(&g, 950, max), MEMORY_FINE); /* it never went far down */
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(memory_judge(&g, 1001, max), MEMORY_FINE);
    ck_assert_int_eq(memory_judge(&g, 1000, max), MEMORY_FINE); /* the peak is over */
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(memory_judge(&g, 1001, max), MEMORY_FINE);
    ck_assert_int_eq(memory_judge(&g, 1001, max), MEMORY_OVER);
    ck_assert_int_eq(memory_judge(&g, 100, max), MEMORY_FINE);
    ck_assert_int_eq(memory_judge(&g, 900, max), MEMORY_NEAR); /* and once more */
}
END_TEST

/* --- a pod --- */

START_TEST(a_service_has_a_group_and_is_killed_with_it)
{
    struct pod_service s[] = { { .name = "leaver",
                                 .argv = ROLE("leaver", ""),
                                 .check = { "/bin/sleep", "1000" },
                                 .p = { .ready.kind = PLAN_CHECK_EXEC,
                                        .ready.timeout_ms = 60000,
                                        .start_timeout_ms = 60000 } },
                               { .name = "calm", .argv = SHELL("exec sleep 1000") } };
    if (skipped(!give_group(), "no control group v2 can be made on this machine"))
        return;
    start(s, 2);
    POD_EVENTUALLY(&pod, pod_state("calm", "ready"));
    /* The service, its stray child, and its check, which has a guard outside. */
    POD_EVENTUALLY(&pod, in_group(pod.groups[0], "service.leaver") == 3);
    ck_assert_int_eq(in_group(pod.groups[0], "service.calm"), 1);
    ck_assert_ptr_nonnull(strstr(POD_ASK("status"), "\"cgroup\":{\"services\":true,\"kill\":true"));
    ck_assert(!pod_says(&pod, "could not be put"));
    (void)POD_ASK("stop", "leaver");
    POD_EVENTUALLY(&pod, pod_state("leaver", "stopped"));
    POD_EVENTUALLY(&pod, in_group(pod.groups[0], "service.leaver") == 0); /* killed, not yet gone */
    ck_assert_int_eq(in_group(pod.groups[0], "service.calm"), 1);
    (void)POD_ASK("start", "leaver");
    POD_EVENTUALLY(&pod, in_group(pod.groups[0], "service.leaver") == 3);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
    ck_assert_int_eq(in_group(pod.groups[0], "service.leaver"), -1); /* nothing stays behind */
}
END_TEST

/* Without its guard a stray child that hides its origin is found by nothing but its group. */
START_TEST(a_killed_guard_hides_nothing_in_a_group)
{
    struct pod_service s[] = {
        { .name = "leaver", .argv = ROLE("leaver", ""), .p = { .restart = PLAN_RESTART_NEVER } }
    };
    if (skipped(!give_group(), "no control group v2 can be made on this machine"))
        return;
    start(s, 1);
    POD_EVENTUALLY(&pod, in_group(pod.groups[0], "service.leaver") == 2);
    POD_EVENTUALLY(&pod, pod_state("leaver", "ready"));
    pid_t guard = pod_guard(&pod, "leaver");
    ck_assert_int_gt(guard, 0);
    ck_assert_int_eq(kill(guard, SIGKILL), 0);
    POD_EVENTUALLY(&pod, !pod_state("leaver", "ready"));
    POD_EVENTUALLY(&pod, in_group(pod.groups[0], "service.leaver") == 0);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(groups_are_left_alone_when_they_are_not_wanted)
{
    struct pod_service s[] = { { .name = "leaver", .argv = ROLE("leaver", "") } };
    if (skipped(!give_group(), "no control group v2 can be made on this machine"))
        return;
    pod.cgroup_off = true;
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_state("leaver", "ready"));
    ck_assert(pod_says(&pod, "cgroup is off in the configuration; they are followed by the"));
    ck_assert_int_lt(in_group(pod.groups[0], "service.leaver"), 0); /* there is none */
    ck_assert_ptr_nonnull(strstr(POD_ASK("status"), "\"cgroup\":{\"services\":false"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(a_group_that_cannot_be_written_is_done_without)
{
    struct pod_service s[] = { { .name = "calm", .argv = SHELL("exec sleep 1000") } };
    if (skipped(!give_group(), "no control group v2 can be made on this machine"))
        return;
    ck_assert_int_eq(chmod(pod.dir, 0777), 0);
    pod.uid = 30000 + (uid_t)getpid() % 10000;
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_state("calm", "ready"));
    ck_assert_ptr_nonnull(strstr(POD_ASK("status"), "\"cgroup\":{\"services\":false"));
    ck_assert(pod_says(&pod, "no control groups for services: cgroup v2 is not writable: "
                             "Permission denied"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(too_much_memory_restarts_a_service)
{
    struct pod_service s[] = {
        { .name = "eater", .argv = ROLE("eat", "80"), .p = { .memory_max = (uint64_t)64 << 20 } },
        { .name = "near", .argv = ROLE("eat", "60"), .p = { .memory_max = (uint64_t)64 << 20 } }
    };
    start(s, 2);
    POD_EVENTUALLY(&pod, pod_says(&pod, "over its limit of 64 MiB (memory_max)"));
    POD_EVENTUALLY(&pod, pod_number(pod_service_status("eater"), "restarts") == 1);
    ck_assert(pod_says(&pod, "service near: has 6")); /* the warning */
    ck_assert_int_eq(pod_number(pod_service_status("near"), "restarts"), 0);
    ck_assert_int_gt(pod_number(pod_service_status("near"), "memory_bytes"), 60 << 20);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

/* The container's own limit, as version 1 counts it. */
START_TEST(an_oom_kill_is_told_from_a_plain_one)
{
    struct pod_service s[] = {
        { .name = "eater", .argv = ROLE("eat", "200"), .p = { .restart = PLAN_RESTART_NEVER } },
        { .name = "calm", .argv = SHELL("exec sleep 1000") }
    };
    pod.groups[0] = make_group("/sys/fs/cgroup/memory");
    if (skipped(!*pod.groups[0], "there is no memory controller of version 1"))
        return;
    put(pod.groups[0], "memory.limit_in_bytes", "67108864");
    start(s, 2);
    POD_EVENTUALLY(&pod, strstr(pod_service_status("eater"),
                                "\"last_exit\":\"killed by the kernel, out of memory\""));
    ck_assert(pod_says(&pod, "the kernel killed 1 process of this container, out of memory"));
    POD_EVENTUALLY(&pod, pod_number(pod_service_status("calm"), "pid") > 0);
    kill_inside("calm");
    POD_EVENTUALLY(&pod,
                   strstr(pod_service_status("calm"), "\"last_exit\":\"signal 9 (SIGKILL)\""));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(few_processes_left_are_told_of)
{
    struct pod_service s[] = {
        { .name = "many",
          .argv =
              SHELL("for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do sleep 1000 & done; wait") }
    };
    if (!give_controllers())
        give_v1("/sys/fs/cgroup/pids");
    if (skipped(!*pod.groups[0], "there is no pids controller"))
        return;
    put(pod.groups[0], "pids.max", "20");
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_number(POD_ASK("status"), "pids_current") >= 18);
    POD_EVENTUALLY(&pod, pod_says(&pod, "of at most 20 processes and threads: soon none"));
    (void)POD_ASK("stop", "many");
    POD_EVENTUALLY(&pod, pod_number(POD_ASK("status"), "pids_current") < 16);
    ck_assert(pod_says(&pod, "of at most 20 processes and threads again"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

/* memory.max of its own: the container lives on, though it is set to die as a whole. */
START_TEST(a_service_over_its_memory_is_killed_alone)
{
    struct pod_service s[] = { { .name = "eater",
                                 .argv = ROLE("eat", "80"),
                                 .p = { .memory_max = (uint64_t)24 << 20,
                                        .backoff_first_ms = 300 } },
                               { .name = "calm", .argv = SHELL("exec sleep 1000") } };
    if (skipped(!give_controllers(), NO_CONTROLLERS))
        return;
    put(pod.groups[0], "memory.oom.group", "1");
    start(s, 2);
    POD_EVENTUALLY(&pod, strstr(pod_service_status("eater"),
                                "\"last_exit\":\"killed by the kernel, out of memory (memory_max "
                                "24 MiB)\""));
    POD_EVENTUALLY(&pod, pod_number(pod_service_status("eater"), "restarts") >= 1);
    POD_EVENTUALLY(&pod, pod_number(pod_service_status("eater"), "oom_kills") >= 2);
    ck_assert(pod_says(&pod, "service eater: the kernel killed 1 of its processes, out of memory: "
                             "its memory_max is 24 MiB"));
    ck_assert(pod_state("calm", "ready"));
    ck_assert_int_eq(pod_number(pod_service_status("calm"), "restarts"), 0);
    kill_inside("calm");
    POD_EVENTUALLY(&pod,
                   strstr(pod_service_status("calm"), "\"last_exit\":\"signal 9 (SIGKILL)\""));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

/* The container's own limit: whom the kernel took is told as well. */
START_TEST(the_containers_limit_is_told_from_the_services)
{
    struct pod_service s[] = {
        { .name = "eater", .argv = ROLE("eat", "80"), .p = { .restart = PLAN_RESTART_NEVER } }
    };
    if (skipped(!give_controllers(), NO_CONTROLLERS))
        return;
    put(pod.groups[0], "memory.max", "41943040");
    start(s, 1);
    POD_EVENTUALLY(&pod, strstr(pod_service_status("eater"),
                                "\"last_exit\":\"killed by the kernel, out of memory\""));
    ck_assert(pod_says(&pod, "out of memory: the container's limit, or the node's"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

/* A child of it: the service lives on. */
START_TEST(a_service_survives_the_child_that_took_too_much)
{
    struct pod_service s[] = { { .name = "eater",
                                 .argv = SHELL("\"$0\" --role eat 80; echo went on; sleep 1000"),
                                 .p = { .memory_max = (uint64_t)24 << 20 } } };
    s[0].argv[3] = self;
    if (skipped(!give_controllers(), NO_CONTROLLERS))
        return;
    start(s, 1);
    POD_EVENTUALLY(&pod, pod_says(&pod, "\"msg\":\"went on\""));
    POD_EVENTUALLY(&pod, pod_number(pod_service_status("eater"), "oom_kills") == 1);
    ck_assert(pod_state("eater", "ready"));
    /* A fault of PID 1 forgets nothing of it, and tells nothing twice. */
    ck_assert_int_eq(kill(pod.pid1, SIGSEGV), 0);
    POD_EVENTUALLY(&pod, pod_says(&pod, "PID 1 faulted") && pod_state("eater", "ready"));
    ck_assert_int_eq(pod_number(pod_service_status("eater"), "oom_kills"), 1);
    const char *told = strstr(pod_log(&pod), "service eater: the kernel killed");
    ck_assert(told && !strstr(told + 1, "service eater: the kernel killed"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(a_fork_bomb_is_held_and_killed)
{
    struct pod_service s[] = { { .name = "forks",
                                 .argv = ROLE("forks", ""),
                                 .p = { .limit_nproc = 60, .stop_grace_ms = 100 } },
                               { .name = "calm", .argv = SHELL("exec sleep 1000") } };
    if (skipped(!give_controllers(), NO_CONTROLLERS))
        return;
    start(s, 2);
    POD_EVENTUALLY(&pod, in_group(pod.groups[0], "service.forks") == 60);
    POD_EVENTUALLY(
        &pod, pod_says(&pod, "service forks: the kernel refuses to make more processes: it has"));
    ck_assert(pod_says(&pod, "and limits.nproc allows no more"));
    POD_EVENTUALLY(&pod,
                   pod_says(&pod, "processes and threads (limits.nproc): soon it can make none"));
    POD_EVENTUALLY(&pod, pod_state("calm", "ready"));
    (void)POD_ASK("restart", "calm"); /* there is room for others */
    POD_EVENTUALLY(&pod, pod_number(pod_service_status("calm"), "restarts") == 1 &&
                             pod_state("calm", "ready"));
    (void)POD_ASK("stop", "forks");
    POD_EVENTUALLY(&pod, pod_state("forks", "stopped"));
    ck_assert_int_eq(in_group(pod.groups[0], "service.forks"), 0);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("init_groups");
    TCase *t = tcase_create("groups");
    tcase_set_timeout(t, 90);
    tcase_add_checked_fixture(t, open_ours, close_ours);
    tcase_add_test(t, groups_are_found_where_they_are_mounted);
    tcase_add_test(t, numbers_are_read_by_key);
    tcase_add_test(t, a_short_peak_of_memory_is_no_reason);
    if (*pod_impossible()) {
        (void)printf("SKIP the pods of init_groups: %s\n", pod_impossible());
        suite_add_tcase(s, t);
        return s;
    }
    tcase_add_test(t, a_service_has_a_group_and_is_killed_with_it);
    tcase_add_test(t, groups_are_left_alone_when_they_are_not_wanted);
    tcase_add_test(t, a_group_that_cannot_be_written_is_done_without);
    tcase_add_test(t, too_much_memory_restarts_a_service);
    tcase_add_test(t, an_oom_kill_is_told_from_a_plain_one);
    suite_add_tcase(s, t);
    t = tcase_create("guest"); /* what tests/uml/run.sh is for */
    tcase_set_tags(t, "guest");
    tcase_set_timeout(t, 90);
    tcase_add_checked_fixture(t, open_ours, close_ours);
    tcase_add_test(t, a_killed_guard_hides_nothing_in_a_group);
    tcase_add_test(t, few_processes_left_are_told_of);
    tcase_add_test(t, a_service_over_its_memory_is_killed_alone);
    tcase_add_test(t, the_containers_limit_is_told_from_the_services);
    tcase_add_test(t, a_service_survives_the_child_that_took_too_much);
    tcase_add_test(t, a_fork_bomb_is_held_and_killed);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    return play_role(argc, argv, roles, ARRAY_SIZE(roles)) ? EXIT_SUCCESS : run_suite(suite());
}
