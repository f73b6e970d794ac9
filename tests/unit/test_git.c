/* rooms: base/git base/core */
#include "base/git/git.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/git/internal.h"
#include "tests/unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HASH_A "1111111111111111111111111111111111111111"
#define HASH_B "2222222222222222222222222222222222222222"

static char folder[200];

static void make_folder(void)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(folder, sizeof folder, "%.150s/codev-git-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    (void)file_remove_tree(folder);
}

/* Writes `text` to folder/name, with the folders above it. */
static void put(const char *name, const char *text)
{
    _cleanup_free_ char *path = path_join(folder, name);
    _cleanup_free_ char *parent = strdup(path);
    *strrchr(parent, '/') = '\0';
    ck_assert_int_eq(file_mkdir_p(parent, 0755), 0);
    ck_assert_int_eq(file_write_atomic(path, text, strlen(text), 0644), 0);
}

static const struct {
    const char *files[8]; /* name, text, … */
    const char *path;     /* below the folder */
    const char *hash;     /* NULL: none is found */
} heads[] = {
    { { "a/.git/HEAD", "ref: refs/heads/main\n", "a/.git/refs/heads/main", HASH_A "\n" },
      "a",
      HASH_A },
    { { "a/.git/HEAD", HASH_B "\n" }, "a", HASH_B },
    { { "a/.git/HEAD", "ref: refs/heads/x\n", "a/.git/packed-refs",
        "# pack-refs\n" HASH_A " refs/heads/xy\n" HASH_B " refs/heads/x\n^" HASH_A "\n" },
      "a",
      HASH_B },
    { { "w/.git", "gitdir: ../m/.git/worktrees/w\n", "m/.git/worktrees/w/HEAD",
        "ref: refs/heads/x\n", "m/.git/worktrees/w/commondir", "../..\n", "m/.git/refs/heads/x",
        HASH_A "\n" },
      "w",
      HASH_A },
    { { "a/.git/HEAD", "ref: refs/heads/none\n" }, "a", NULL },
    { { "a/.git/HEAD", "ref: ../../secret\n", "secret", HASH_A "\n" }, "a", NULL },
    { { "a/.git/HEAD", "ref: refs/../../../secret\n", "secret", HASH_A "\n" }, "a", NULL },
    { { "a/.git/HEAD", "garbage" }, "a", NULL },
    { { "a/.git/HEAD", "" }, "a", NULL },
    { { "a/.git/HEAD", "ref: refs/heads/main\n", "a/.git/refs/heads/main", "11111\n" }, "a", NULL },
    { { "a/file", "" }, "a", NULL },
    { { "a/.git", "nothing" }, "a", NULL },
};

START_TEST(test_head)
{
    for (size_t i = 0; i < ARRAY_SIZE(heads[_i].files) && heads[_i].files[i]; i += 2)
        put(heads[_i].files[i], heads[_i].files[i + 1]);
    _cleanup_free_ char *path = path_join(folder, heads[_i].path);
    char hash[GITREPO_HASH_SIZE] = "";
    int r = gitrepo_head(path, hash);
    if (heads[_i].hash) {
        ck_assert_int_eq(r, 0);
        ck_assert_str_eq(hash, heads[_i].hash);
    } else {
        ck_assert_int_eq(r, -ENOENT);
        ck_assert_str_eq(hash, "");
    }
}
END_TEST

static const struct {
    const char *url, *shown;
} urls[] = {
    { "https://host/x.git", "https://host/x.git" },
    { "https://joe:secret@host/x.git", "https://host/x.git" },
    { "https://token@host:8443/x", "https://host:8443/x" },
    { "https://a@b:p@host/x@y", "https://host/x@y" },
    { "https://host/x@y", "https://host/x@y" },
    { "git@host:group/x.git", "git@host:group/x.git" },
    { "file:///a/b", "file:///a/b" },
    { "", "" },
};

START_TEST(test_url_display)
{
    char out[100];
    gitrepo_url_display(urls[_i].url, out, sizeof out);
    ck_assert_str_eq(out, urls[_i].shown);
}
END_TEST

START_TEST(test_hash)
{
    char hash[GITREPO_HASH_SIZE];
    ck_assert_int_eq(gitrepo_hash("hello\n", 6, hash), 0);
    ck_assert_str_eq(hash, "ce013625030ba8dba906f756967f9e9ca394464a");
    ck_assert_int_eq(gitrepo_hash("", 0, hash), 0);
    ck_assert_str_eq(hash, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
}
END_TEST

static const int no_fds[2] = { -1, -1 };

static int work_good(void *arg, struct error *e)
{
    (void)e;
    return *(int *)arg;
}

static int work_fail(void *arg, struct error *e)
{
    (void)arg;
    return error_set(e, -EACCES, "not today");
}

static int work_crash(void *arg, struct error *e)
{
    (void)arg;
    (void)e;
    (void)raise(SIGKILL);
    return 0;
}

static int work_hang(void *arg, struct error *e)
{
    (void)arg;
    (void)e;
    while (pause() < 0)
        ;
    return 0;
}

START_TEST(test_child_outcomes)
{
    struct error e = ERROR_INIT;
    int value = 4;
    uint64_t far = clock_mono_ms() + 20000;
    ck_assert_int_eq(gitrepo_child(work_good, &value, far, no_fds, &e), 4);
    ck_assert_int_eq(gitrepo_child(work_fail, NULL, far, no_fds, &e), -EACCES);
    ck_assert_str_eq(e.message, "not today");
    ck_assert_int_eq(gitrepo_child(work_crash, NULL, far, no_fds, &e), -EIO);
    ck_assert_ptr_nonnull(strstr(e.message, "signal 9"));
}
END_TEST

START_TEST(test_child_deadline)
{
    struct error e = ERROR_INIT;
    uint64_t begun = clock_mono_ms();
    ck_assert_int_eq(gitrepo_child(work_hang, NULL, begun + 50, no_fds, &e), -ETIMEDOUT);
    ck_assert_uint_ge(clock_mono_ms() - begun, 50);
    ck_assert_uint_lt(clock_mono_ms() - begun, 3000);
}
END_TEST

START_TEST(test_clone_leftover_goes)
{
    _cleanup_free_ char *repo = path_join(folder, "ai-dev");
    put(".ai-dev.codev-clone/.git/objects/pack/x", "half");
    ck_assert(gitrepo_clone_leftover(repo));
    ck_assert_int_eq(gitrepo_clone_cleanup(repo, NULL), 0);
    ck_assert(!gitrepo_clone_leftover(repo));
    ck_assert_int_eq(gitrepo_clone_cleanup(repo, NULL), 0);
}
END_TEST

START_TEST(test_clone_of_nothing)
{
    struct error e = ERROR_INIT;
    _cleanup_free_ char *repo = path_join(folder, "ai-dev");
    _cleanup_free_ char *from = path_join(folder, "none");
    char url[300];
    (void)snprintf(url, sizeof url, "file://%s", from);
    struct gitrepo_remote remote = { .url = url,
                                     .branch = "main",
                                     .deadline_ms = clock_mono_ms() + 20000,
                                     .close_in_child = { -1, -1 } };
    ck_assert_int_eq(gitrepo_clone(repo, &remote, &e), -EIO);
    ck_assert_ptr_nonnull(strstr(e.message, "cannot clone file://"));
    ck_assert(!gitrepo_clone_leftover(repo));
    ck_assert_int_ne(access(repo, F_OK), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("git");
    TCase *t = tcase_create("git");
    tcase_add_checked_fixture(t, make_folder, remove_folder);
    tcase_add_loop_test(t, test_head, 0, ARRAY_SIZE(heads));
    tcase_add_loop_test(t, test_url_display, 0, ARRAY_SIZE(urls));
    tcase_add_test(t, test_hash);
    tcase_add_test(t, test_child_outcomes);
    tcase_add_test(t, test_child_deadline);
    tcase_add_test(t, test_clone_leftover_goes);
    tcase_add_test(t, test_clone_of_nothing);
    suite_add_tcase(s, t);
    return run_suite(s);
}
