/* rooms: supervisor/plan supervisor/sandbox base/core */
/* What a bad disk does to the boot: OpenCode is held back, a dead folder holds nobody up. */
#include "tests/unit/init_suite.h"

#include <dirent.h>

#include "base/core/secrets.h"

/* Mounts are this test's own, and the pods'. */
static void open_ours(void)
{
    ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
    ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    pod_init(&pod);
}

/* --- files that are moved, and cannot be --- */

static const struct pod_service services[] = {
    { .name = "opencode",
      .argv = SHELL("echo started; exec sleep 1000"),
      .p = { .secret_readers = SECRET_FOR_OPENCODE, .gates_ready = 1 } },
    { .name = "other", .argv = SHELL("exec sleep 1000") },
};

static void put(const char *name)
{
    ck_assert_int_eq(file_write_atomic(pod_path(&pod, name), name, strlen(name), 0600), 0);
}

/* A volume of the old layout; its database cannot be renamed, since something is mounted there. */
static void start_with_a_cut(void)
{
    ck_assert_int_eq(mkdir(pod_path(&pod, ".local"), 0755), 0);
    ck_assert_int_eq(mount("none", pod_path(&pod, ".local"), "tmpfs", 0, "size=16m"), 0);
    put("db");
    put(".local/opencode.db");
    put(".local/opencode.db-wal");
    ck_assert_int_eq(
        mount(pod_path(&pod, "db"), pod_path(&pod, ".local/opencode.db"), NULL, MS_BIND, NULL), 0);
    pod.migrate = true;
    pod_write_plan(&pod, services, 2, 0, pod_path(&pod, ".local"), PLAN_POLICY_DEGRADE);
    pod_start(&pod);
}

static void remove_volume(void)
{
    (void)umount2(pod_path(&pod, ".local/opencode.db"), MNT_DETACH);
    (void)umount2(pod_path(&pod, ".local"), MNT_DETACH);
}

START_TEST(a_move_that_is_cut_holds_opencode_back)
{
    start_with_a_cut();
    POD_EVENTUALLY(&pod, pod_state("other", "ready"));
    ck_assert(there(".local/share/opencode/opencode.db-wal"));
    ck_assert(there(".local/opencode.db") && !there(".local/share/opencode/opencode.db"));
    ck_assert(pod_state("opencode", "waiting"));
    ck_assert_ptr_nonnull(strstr(pod_service_status("opencode"), "held back: its files"));
    ck_assert_ptr_nonnull(strstr(POD_ASK("status"), "\"code\":\"migrate_error\""));
    ck_assert_ptr_nonnull(strstr(POD_ASK("probe", "ready"), "\"ok\":false"));
    /* Nor by a command, nor after a fault of PID 1. */
    (void)POD_ASK("restart", "opencode");
    (void)POD_ASK("start", "opencode");
    ck_assert_int_eq(kill(pod.pid1, SIGSEGV), 0);
    POD_EVENTUALLY(&pod, pod_says(&pod, "PID 1 faulted") && pod_state("other", "ready"));
    (void)POD_ASK("restart", "opencode");
    ck_assert(pod_state("opencode", "waiting") && !pod_says(&pod, "started"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
    /* The next start goes on where it was. */
    ck_assert_int_eq(umount2(pod_path(&pod, ".local/opencode.db"), MNT_DETACH), 0);
    pod_start(&pod);
    POD_EVENTUALLY(&pod, pod_state("opencode", "ready"));
    ck_assert(there(".local/share/opencode/opencode.db") && !there(".local/opencode.db"));
    ck_assert(there(".local/share/opencode/opencode.db-wal"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
    remove_volume();
}
END_TEST

/* --- a file system that does not answer: a FUSE one, whose server never says a word --- */

static int dead_folder(const char *path)
{
    char options[96];
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    (void)snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
    ck_assert_int_eq(mkdir(path, 0755), 0);
    if (fd >= 0 && mount("dead", path, "fuse", 0, options) == 0)
        return fd;
    (void)printf("SKIP a dead file system: /dev/fuse: %s\n", strerror(errno));
    (void)fflush(stdout);
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

START_TEST(a_dead_folder_of_the_config_holds_nobody_up)
{
    char config[128];
    (void)snprintf(config, sizeof config, "CODEV_CONFIG=%s/etc/deep/codev.yaml", pod.dir);
    const char *const env[] = { config, NULL };
    int fuse = dead_folder(pod_path(&pod, "etc"));
    if (fuse < 0)
        return;
    pod.env = env;
    pod.watch_config = true;
    pod_write_plan(&pod, services, 2, 0, NULL, 0);
    pod_start(&pod);
    POD_EVENTUALLY(&pod, pod_state("other", "ready"));
    POD_EVENTUALLY(&pod, pod_says(&pod, "its folder does not answer"));
    /* Again, while the first one still hangs there. */
    ck_assert_ptr_nonnull(strstr(POD_ASK("reload"), "\"ok\":true"));
    ck_assert(pod_state("other", "ready"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
    (void)close(fuse);
    (void)umount2(pod_path(&pod, "etc"), MNT_DETACH);
}
END_TEST

/* Processes of the pod with that name. */
static int living(const char *name)
{
    char ns[64], own[64] = "", path[300], text[32];
    int n = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)pod.pid1);
    ck_assert_int_gt(readlink(path, own, sizeof own - 1), 0);
    DIR *proc = opendir("/proc");
    ck_assert_ptr_nonnull(proc);
    for (const struct dirent *d; (d = readdir(proc));) {
        (void)snprintf(path, sizeof path, "/proc/%s/ns/pid", d->d_name);
        ssize_t len = readlink(path, ns, sizeof ns - 1);
        (void)snprintf(path, sizeof path, "/proc/%s/comm", d->d_name);
        _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
        ns[len > 0 ? len : 0] = text[got > 0 ? got - 1 : 0] = '\0';
        n += strcmp(ns, own) == 0 && strcmp(text, name) == 0;
    }
    (void)closedir(proc);
    return n;
}

/* --- a full disk, and one that cannot be written --- */

static const struct pod_service two[] = {
    { .name = "one",
      .argv = SHELL("echo said; exec sleep 1000"),
      .p = { .secret_readers = SECRET_FOR_GATEWAY } },
    { .name = "two",
      .argv = SHELL("exec sleep 1000"),
      .health = { "/bin/true" },
      .p = { .health = { .kind = PLAN_CHECK_EXEC, .interval_ms = 50, .timeout_ms = 5000 } } },
};

static void mount_small(const char *name)
{
    ck_assert_int_eq(mkdir(pod_path(&pod, name), 0700), 0);
    ck_assert_int_eq(mount("none", pod_path(&pod, name), "tmpfs", 0, "size=64k,mode=700"), 0);
}

static void fill(const char *name)
{
    static const char block[4096] = "full";
    char file[64];
    (void)snprintf(file, sizeof file, "%s/filler", name);
    _cleanup_fd_ int fd = open(pod_path(&pod, file), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write(fd, block, sizeof block) > 0)
        continue;
    ck_assert_int_eq(errno, ENOSPC);
}

START_TEST(a_full_disk_ends_nothing)
{
    mount_small("run");
    mount_small("state");
    fill("run");
    fill("state");
    pod_write_plan(&pod, two, 2, 0, NULL, 0);
    pod_start(&pod);
    POD_EVENTUALLY(&pod, pod_state("one", "ready") && status_has("two", "\"health\":\"ok\""));
    ck_assert(pod_says(&pod, "cannot be kept in"));
    ck_assert_int_gt((int)strlen(POD_ASK("secret", "CODEV_TOKEN")), 20);
    ck_assert_ptr_nonnull(strstr(POD_ASK("restart", "one"), "\"ok\":true"));
    POD_EVENTUALLY(&pod, pod_state("one", "ready") && restarts_of("one") == 1);
    ck_assert_ptr_nonnull(strstr(POD_ASK("reload"), "\"ok\":true"));
    ck_assert_int_eq(kill(pod.pid1, SIGSEGV), 0); /* what it hands on is no file */
    POD_EVENTUALLY(&pod, pod_says(&pod, "PID 1 faulted") && pod_state("one", "ready"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
    (void)umount2(pod_path(&pod, "run"), MNT_DETACH);
    (void)umount2(pod_path(&pod, "state"), MNT_DETACH);
}
END_TEST

START_TEST(a_disk_that_turns_read_only_ends_nothing)
{
    mount_small("run");
    mount_small("state");
    pod_write_plan(&pod, two, 2, 0, NULL, 0);
    pod_start(&pod);
    POD_EVENTUALLY(&pod, pod_state("one", "ready") && pod_state("two", "ready"));
    char inside[64];
    (void)snprintf(inside, sizeof inside, "/proc/%d/ns/mnt", (int)pod.pid1);
    pid_t child = fork();
    if (child == 0) {
        int ns = open(inside, O_RDONLY | O_CLOEXEC);
        const char *const names[] = { "run", "state" };
        bool ok = ns >= 0 && setns(ns, CLONE_NEWNS) == 0;
        for (size_t i = 0; ok && i < ARRAY_SIZE(names); i++)
            ok = mount(NULL, pod_path(&pod, names[i]), NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0;
        _exit(ok ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_ptr_nonnull(strstr(POD_ASK("restart", "one"), "\"ok\":true"));
    POD_EVENTUALLY(&pod, pod_state("one", "ready") && restarts_of("one") == 1);
    POD_EVENTUALLY(&pod, status_has("two", "\"health\":\"ok\""));
    ck_assert_ptr_nonnull(strstr(POD_ASK("reload"), "\"ok\":true"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
    (void)umount2(pod_path(&pod, "run"), MNT_DETACH);
    (void)umount2(pod_path(&pod, "state"), MNT_DETACH);
}
END_TEST

static int times(const char *text)
{
    int n = 0;
    for (const char *at = pod_log(&pod); (at = strstr(at, text)); at++)
        n++;
    return n;
}

/* The boot helper hangs, and PID 1 faults: the next image ends it, and has one of its own. */
START_TEST(a_fault_while_the_boot_helper_is_at_work)
{
    struct pod_service s[] = { { .name = "one", .argv = SHELL("exec sleep 1000") } };
    char file[160];
    (void)snprintf(file, sizeof file, "CODEV_TOKEN_FILE=%s/dead/deep/token", pod.dir);
    const char *const env[] = { file, NULL };
    int fuse = dead_folder(pod_path(&pod, "dead"));
    if (fuse < 0)
        return;
    pod.env = env;
    pod_write_plan(&pod, s, 1, 0, NULL, 0);
    pod_start(&pod);
    POD_EVENTUALLY(&pod, living("boot") == 1);
    ck_assert_int_eq(kill(pod.pid1, SIGSEGV), 0);
    POD_EVENTUALLY(&pod, pod_says(&pod, "PID 1 faulted") && times("volumes\",") == 2);
    POD_EVENTUALLY(&pod, living("boot") == 1);
    /* Every access fails from now on. */
    (void)umount2(pod_path(&pod, "dead"), MNT_FORCE);
    (void)close(fuse);
    POD_EVENTUALLY(&pod, pod_state("one", "ready"));
    POD_EVENTUALLY(&pod, living("boot") == 0);
    (void)umount2(pod_path(&pod, "dead"), MNT_DETACH);
    ck_assert(pod_says(&pod, "codev-init " CODEV_VERSION ", pid 1"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("init_boot");
    TCase *t = tcase_create("boot");
    tcase_set_timeout(t, 90);
    tcase_add_checked_fixture(t, open_ours, close_pod);
    tcase_add_test(t, a_move_that_is_cut_holds_opencode_back);
    tcase_add_test(t, a_dead_folder_of_the_config_holds_nobody_up);
    tcase_add_test(t, a_fault_while_the_boot_helper_is_at_work);
    tcase_add_test(t, a_full_disk_ends_nothing);
    tcase_add_test(t, a_disk_that_turns_read_only_ends_nothing);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return run_pod_suite(suite);
}
