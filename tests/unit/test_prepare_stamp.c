/* rooms: bridge/prepare supervisor/sandbox base/git base/json base/core */
#include "bridge/prepare/stamp.h"

#include "base/core/file.h"
#include "tests/unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char plugin[200];

/* Old enough for the shortcut: an hour ago. */
static void age(const char *name)
{
    _cleanup_free_ char *path = path_join(plugin, name);
    struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, { .tv_nsec = UTIME_NOW } };
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    times[1] = (struct timespec){ .tv_sec = st.st_mtim.tv_sec - 3600 };
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void put(const char *name, const char *text)
{
    _cleanup_free_ char *path = path_join(plugin, name);
    _cleanup_free_ char *parent = strdup(path);
    *strrchr(parent, '/') = '\0';
    ck_assert_int_eq(file_mkdir_p(parent, 0755), 0);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fd_write_all(fd, text, strlen(text)), 0);
    (void)close(fd);
}

static void take_and_write(enum stamp_kind kind)
{
    _cleanup_stamp_ struct stamp s = { 0 };
    struct error e = ERROR_INIT;
    ck_assert_int_eq(stamp_take(plugin, kind, &s, &e), 0);
    ck_assert_int_eq(stamp_write(plugin, kind, &s, &e), 0);
}

static void make_plugin(void)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(plugin, sizeof plugin, "%.150s/codev-stamp-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(plugin));
    put("package.json", "{}");
    put("package-lock.json", "{}");
    put("src/a.ts", "a");
    put("src/deep/b.ts", "b");
    put("node_modules/x/index.js", "x");
    put("dist/index.js", "x");
    put(".git/HEAD", "x");
    age("package.json");
    age("package-lock.json");
    age("src/a.ts");
    age("src/deep/b.ts");
    take_and_write(STAMP_BUILD);
    take_and_write(STAMP_INSTALL);
}

static void remove_plugin(void)
{
    (void)file_remove_tree(plugin);
}

static void change_source(void)
{
    put("src/a.ts", "A");
}
static void change_deep(void)
{
    put("src/deep/b.ts", "bb");
}
static void add_source(void)
{
    put("src/c.ts", "");
}
static void remove_source(void)
{
    _cleanup_free_ char *path = path_join(plugin, "src/a.ts");
    ck_assert_int_eq(unlink(path), 0);
}
static void rename_source(void)
{
    _cleanup_free_ char *from = path_join(plugin, "src/a.ts");
    _cleanup_free_ char *to = path_join(plugin, "src/z.ts");
    ck_assert_int_eq(rename(from, to), 0);
}
static void add_link(void)
{
    _cleanup_free_ char *path = path_join(plugin, "src/link");
    ck_assert_int_eq(symlink("a.ts", path), 0);
}
static void change_lock(void)
{
    put("package-lock.json", "{ }");
}
static void change_output(void)
{
    put("dist/index.js", "other");
    put("node_modules/x/index.js", "other");
    put(".git/HEAD", "other");
}
static void nested_dist(void)
{
    put("src/dist/x.ts", "counts: only the top one is output");
}
static void nothing(void)
{
}
static void touch(void)
{
    age("src/a.ts");
    age("package.json");
}

static const struct {
    void (*change)(void);
    int build, install;
} changes[] = {
    { nothing, STAMP_CURRENT, STAMP_CURRENT },
    { change_output, STAMP_CURRENT, STAMP_CURRENT },
    { touch, STAMP_SLOW, STAMP_SLOW },
    { change_source, STAMP_STALE, STAMP_CURRENT },
    { change_deep, STAMP_STALE, STAMP_CURRENT },
    { add_source, STAMP_STALE, STAMP_CURRENT },
    { remove_source, STAMP_STALE, STAMP_CURRENT },
    { rename_source, STAMP_STALE, STAMP_CURRENT },
    { add_link, STAMP_STALE, STAMP_CURRENT },
    { nested_dist, STAMP_STALE, STAMP_CURRENT },
    { change_lock, STAMP_STALE, STAMP_STALE },
};

START_TEST(test_change)
{
    struct error e = ERROR_INIT;
    changes[_i].change();
    ck_assert_int_eq(stamp_check(plugin, STAMP_BUILD, false, &e), changes[_i].build);
    ck_assert_int_eq(stamp_check(plugin, STAMP_INSTALL, false, &e), changes[_i].install);
}
END_TEST

START_TEST(test_refresh_makes_the_next_quick)
{
    struct error e = ERROR_INIT;
    touch();
    ck_assert_int_eq(stamp_check(plugin, STAMP_BUILD, true, &e), STAMP_SLOW);
    ck_assert_int_eq(stamp_check(plugin, STAMP_BUILD, true, &e), STAMP_CURRENT);
}
END_TEST

/* A change within the clock tick of the stamp, of the same size, in the same inode. */
START_TEST(test_young_files_are_read)
{
    struct error e = ERROR_INIT;
    put("src/a.ts", "1");
    take_and_write(STAMP_BUILD);
    _cleanup_free_ char *path = path_join(plugin, "src/a.ts");
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    put("src/a.ts", "2");
    struct timespec times[2] = { st.st_atim, st.st_mtim };
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
    ck_assert_int_eq(stamp_check(plugin, STAMP_BUILD, false, &e), STAMP_STALE);
}
END_TEST

START_TEST(test_what_the_step_made_counts_as_it_is)
{
    struct error e = ERROR_INIT;
    _cleanup_stamp_ struct stamp before = { 0 };
    _cleanup_stamp_ struct stamp after = { 0 };
    ck_assert_int_eq(stamp_take(plugin, STAMP_BUILD, &before, &e), 0);
    put("tsconfig.tsbuildinfo", "made by the build");
    ck_assert_int_eq(stamp_take_after(plugin, STAMP_BUILD, &before, &after, &e), 0);
    ck_assert_int_eq(stamp_write(plugin, STAMP_BUILD, &after, &e), 0);
    ck_assert_int_gt(stamp_check(plugin, STAMP_BUILD, false, &e), STAMP_STALE);
}
END_TEST

START_TEST(test_a_change_during_the_step_is_seen)
{
    struct error e = ERROR_INIT;
    _cleanup_stamp_ struct stamp before = { 0 };
    _cleanup_stamp_ struct stamp after = { 0 };
    ck_assert_int_eq(stamp_take(plugin, STAMP_BUILD, &before, &e), 0);
    put("src/a.ts", "edited while the build ran");
    ck_assert_int_eq(stamp_take_after(plugin, STAMP_BUILD, &before, &after, &e), 0);
    ck_assert_int_eq(stamp_write(plugin, STAMP_BUILD, &after, &e), 0);
    ck_assert_int_eq(stamp_check(plugin, STAMP_BUILD, false, &e), STAMP_STALE);
}
END_TEST

static const struct {
    const char *text;
    size_t len;
} spoiled[] = {
    { "", 0 },
    { "\0\0\0", 3 },
    { "codev-stamp 2 5\0", 16 },
    { "codev-stamp 1 x\0", 16 },
    { "codev-stamp 1 5", 15 },
    { "codev-stamp 1 5\0x\0", 18 },
    { "codev-stamp 1 5\0a b c d e\0", 26 },
    { "codev-stamp 1 5\0ce013625030ba8dba906f756967f9e9ca394464a 1 2\0", 61 },
};

START_TEST(test_spoiled)
{
    struct error e = ERROR_INIT;
    _cleanup_free_ char *path = path_join(plugin, "dist/.codev-stamp");
    ck_assert_int_eq(file_write_atomic(path, spoiled[_i].text, spoiled[_i].len, 0644), 0);
    ck_assert_int_eq(stamp_check(plugin, STAMP_BUILD, false, &e), STAMP_STALE);
}
END_TEST

START_TEST(test_removed)
{
    struct error e = ERROR_INIT;
    ck_assert_int_eq(stamp_remove(plugin, STAMP_BUILD, &e), 0);
    ck_assert_int_eq(stamp_remove(plugin, STAMP_BUILD, &e), 0);
    ck_assert_int_eq(stamp_check(plugin, STAMP_BUILD, false, &e), STAMP_STALE);
}
END_TEST

START_TEST(test_too_deep)
{
    struct error e = ERROR_INIT;
    _cleanup_stamp_ struct stamp s = { 0 };
    char name[200] = "";
    for (int i = 0; i < 40; i++)
        (void)strncat(name, "d/", sizeof name - strlen(name) - 1);
    (void)strncat(name, "x", sizeof name - strlen(name) - 1);
    put(name, "x");
    ck_assert_int_eq(stamp_take(plugin, STAMP_BUILD, &s, &e), -ELOOP);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("prepare_stamp");
    TCase *t = tcase_create("stamp");
    tcase_add_checked_fixture(t, make_plugin, remove_plugin);
    tcase_add_loop_test(t, test_change, 0, ARRAY_SIZE(changes));
    tcase_add_test(t, test_refresh_makes_the_next_quick);
    tcase_add_test(t, test_young_files_are_read);
    tcase_add_test(t, test_what_the_step_made_counts_as_it_is);
    tcase_add_test(t, test_a_change_during_the_step_is_seen);
    tcase_add_loop_test(t, test_spoiled, 0, ARRAY_SIZE(spoiled));
    tcase_add_test(t, test_removed);
    tcase_add_test(t, test_too_deep);
    suite_add_tcase(s, t);
    return run_suite(s);
}
