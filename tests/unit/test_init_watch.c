/* rooms: supervisor/plan supervisor/sandbox base/core */
/* The config file changes on its own: a file that is written anew, a ConfigMap that is swapped. */
#include "tests/unit/init_suite.h"

static char config[128];
static const char *env[2];

/* The plan is the config file itself; one that says BAD is refused as codev-config does. */
static const char compiler[] =
    "#!/bin/sh\n"
    "if grep -q '^BAD' \"$CODEV_CONFIG\"; then echo 'codev.yaml:7: home: expected a path' >&2; "
    "exit 78; fi\n"
    "cat \"$CODEV_CONFIG\" >\"/proc/self/fd/$3\"\n";

static void open_ours(void)
{
    pod_init(&pod);
    pod_config_script(&pod, compiler);
    ck_assert_int_eq(mkdir(pod_path(&pod, "etc"), 0755), 0);
    (void)snprintf(config, sizeof config, "CODEV_CONFIG=%s/etc/codev.yaml", pod.dir);
    env[0] = config;
    pod.env = env;
}

static const struct pod_service same = { .name = "same", .argv = SHELL("exec sleep 1000") };

/* A config with `same` and one more service, at `place` in the pod's folder. */
static void put_config(const char *place, const char *name, bool watch)
{
    struct pod_service s[] = { same, { .name = name, .argv = SHELL("exec sleep 1000") } };
    pod.watch_config = watch;
    pod_write_plan(&pod, s, 2, 0, NULL, 0);
    ck_assert_int_eq(rename(pod_path(&pod, "plan"), pod_path(&pod, place)), 0);
}

static void start_first(void)
{
    pod_start(&pod);
    POD_EVENTUALLY(&pod, pod_state("first", "ready") && pod_state("same", "ready"));
}

static void swapped_to(const char *name, long same_pid)
{
    POD_EVENTUALLY(&pod, pod_state(name, "ready"));
    POD_EVENTUALLY(&pod, !*pod_service_status("first"));
    ck_assert_int_eq(pod_number(pod_service_status("same"), "pid"), same_pid);
}

START_TEST(a_file_that_is_replaced)
{
    put_config("etc/codev.yaml", "first", true);
    start_first();
    long pid = pod_number(pod_service_status("same"), "pid");
    put_config("etc/codev.yaml", "second", true);
    swapped_to("second", pid);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

static void copy_over(const char *from, const char *to)
{
    _cleanup_free_ char *data = NULL;
    size_t len;
    ck_assert_int_eq(file_read(pod_path(&pod, from), 1 << 20, &data, &len), 0);
    _cleanup_fd_ int fd = open(pod_path(&pod, to), O_WRONLY | O_TRUNC | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fd_write_all(fd, data, len), 0);
}

START_TEST(a_file_that_is_written_over)
{
    put_config("etc/codev.yaml", "first", true);
    start_first();
    long pid = pod_number(pod_service_status("same"), "pid");
    put_config("other", "second", true);
    copy_over("other", "etc/codev.yaml");
    swapped_to("second", pid);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

/* As the kubelet lays a ConfigMap out, and changes it. */
static void config_map(const char *version, const char *name)
{
    ck_assert_int_eq(mkdir(pod_path(&pod, version), 0755), 0);
    char file[128];
    (void)snprintf(file, sizeof file, "%s/codev.yaml", version);
    put_config(file, name, true);
    ck_assert_int_eq(symlink(strrchr(version, '/') + 1, pod_path(&pod, "etc/..data_tmp")), 0);
    ck_assert_int_eq(rename(pod_path(&pod, "etc/..data_tmp"), pod_path(&pod, "etc/..data")), 0);
}

START_TEST(a_config_map_that_is_swapped)
{
    config_map("etc/..2026_01", "first");
    ck_assert_int_eq(symlink("..data/codev.yaml", pod_path(&pod, "etc/codev.yaml")), 0);
    start_first();
    long pid = pod_number(pod_service_status("same"), "pid");
    config_map("etc/..2026_02", "second");
    ck_assert_int_eq(file_remove_tree(pod_path(&pod, "etc/..2026_01")), 0);
    swapped_to("second", pid);
    config_map("etc/..2026_03", "third");
    swapped_to("third", pid);
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(a_bad_one_changes_nothing_and_is_shown)
{
    put_config("etc/codev.yaml", "first", true);
    start_first();
    long pid = pod_number(pod_service_status("first"), "pid");
    ck_assert_ptr_nonnull(strstr(POD_ASK("status"), "\"config_error\":\"\""));
    ck_assert_int_eq(file_write_atomic(pod_path(&pod, "etc/codev.yaml"), "BAD\n", 4, 0644), 0);
    POD_EVENTUALLY(&pod, strstr(POD_ASK("status"),
                                "\"config_error\":\"codev.yaml:7: home: expected a path\""));
    ck_assert_int_eq(pod_number(pod_service_status("first"), "pid"), pid);
    put_config("etc/codev.yaml", "second", true);
    POD_EVENTUALLY(&pod, pod_state("second", "ready"));
    ck_assert_ptr_nonnull(strstr(POD_ASK("status"), "\"config_error\":\"\""));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(a_folder_that_goes_away_or_is_not_wanted)
{
    put_config("etc/codev.yaml", "first", _i == 0);
    start_first();
    if (_i == 0) {
        ck_assert_int_eq(file_remove_tree(pod_path(&pod, "etc")), 0);
        POD_EVENTUALLY(&pod, pod_says(&pod, "the folder of the config file is gone"));
        ck_assert_int_eq(mkdir(pod_path(&pod, "etc"), 0755), 0);
    }
    put_config("etc/codev.yaml", "second", true);
    ck_assert(pod_state("first", "ready"));
    ck_assert_int_eq(kill(pod.pid1, SIGHUP), 0);
    POD_EVENTUALLY(&pod, pod_state("second", "ready"));
    put_config("etc/codev.yaml", "third", true); /* watched from then on */
    POD_EVENTUALLY(&pod, pod_state("third", "ready"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

START_TEST(no_folder_is_no_trouble)
{
    struct pod_service s[] = { same };
    static const char *nowhere[] = { "CODEV_CONFIG=/nowhere/at/all/codev.yaml", NULL };
    char script[256];
    (void)snprintf(script, sizeof script, "#!/bin/sh\ncat '%s/plan' >\"/proc/self/fd/$3\"\n",
                   pod.dir);
    pod_config_script(&pod, script);
    pod.env = nowhere;
    pod.watch_config = true;
    pod_write_plan(&pod, s, 1, 0, NULL, 0);
    pod_start(&pod);
    POD_EVENTUALLY(&pod, pod_state("same", "ready"));
    ck_assert(!pod_says(&pod, "nowhere"));
    ck_assert_int_eq(pod_stop(&pod, 10000), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("init_watch");
    TCase *t = tcase_create("watch");
    tcase_set_timeout(t, 90);
    tcase_add_checked_fixture(t, open_ours, close_pod);
    tcase_add_test(t, a_file_that_is_replaced);
    tcase_add_test(t, a_file_that_is_written_over);
    tcase_add_test(t, a_config_map_that_is_swapped);
    tcase_add_test(t, a_bad_one_changes_nothing_and_is_shown);
    tcase_add_loop_test(t, a_folder_that_goes_away_or_is_not_wanted, 0, 2);
    tcase_add_test(t, no_folder_is_no_trouble);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return run_pod_suite(suite);
}
