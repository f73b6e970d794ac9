/* rooms: base/git base/core */
#include "base/git/bare.h"

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "tests/unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[200];
static struct error e;

static void make_folder(void)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(folder, sizeof folder, "%.150s/codev-bare-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    (void)file_remove_tree(folder);
}

static const char *at(const char *name)
{
    static char paths[8][260];
    static unsigned next;
    char *path = paths[next++ % ARRAY_SIZE(paths)];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static struct gitrepo_bare *open_at(const char *name)
{
    struct gitrepo_bare *b = NULL;
    int r = gitrepo_bare_open(&b, at(name), "main", NULL, &e);
    ck_assert_msg(r == 0, "%s", e.message);
    return b;
}

static void commit(struct gitrepo_bare *b, const char *file, const char *text, const char *message)
{
    const struct gitrepo_commit c = { .file = file,
                                      .data = text,
                                      .len = strlen(text),
                                      .message = message,
                                      .author = "pod",
                                      .email = "pod@localhost",
                                      .time_ms = 1700000000000 };
    ck_assert_msg(gitrepo_bare_commit(b, &c, &e) == 0, "%s", e.message);
}

static void holds(struct gitrepo_bare *b, const char *file, const char *text)
{
    _cleanup_free_ char *data = NULL;
    int r = gitrepo_bare_read(b, file, &data, NULL, &e);
    ck_assert_int_eq(r, text ? 0 : -ENOENT);
    if (text)
        ck_assert_str_eq(data, text);
}

static struct gitrepo_remote remote(void)
{
    static char url[260];
    (void)snprintf(url, sizeof url, "file://%s", at("origin.git"));
    return (struct gitrepo_remote){ .url = url, .branch = "main" };
}

static int push(struct gitrepo_bare *b, const char *side)
{
    struct gitrepo_remote r = remote();
    int result = gitrepo_bare_push(b, &r, side, &e);
    ck_assert_msg(result >= 0, "%s", e.message);
    return result;
}

static int fetch_and_rebase(struct gitrepo_bare *b)
{
    struct gitrepo_remote r = remote();
    int result = gitrepo_bare_fetch(b, &r, &e);
    ck_assert_msg(result >= 0, "%s", e.message);
    result = gitrepo_bare_rebase(b, &e);
    ck_assert_msg(result >= 0, "%s", e.message);
    return result;
}

/* What git itself says; the caller compares. */
static const char *git(const char *args)
{
    static char out[4096];
    char command[600];
    (void)snprintf(command, sizeof command, "git --git-dir='%s' %s 2>&1", at("origin.git"), args);
    FILE *p = popen(command, "r");
    ck_assert_ptr_nonnull(p);
    size_t n = fread(out, 1, sizeof out - 1, p);
    out[n] = '\0';
    (void)pclose(p);
    return out;
}

START_TEST(commits_are_read_back_and_pushed)
{
    gitrepo_bare_close(open_at("origin.git"));
    struct gitrepo_bare *b = open_at("a.git");
    holds(b, "s/p/1", NULL);
    commit(b, "s/p/1", "one", "first");
    commit(b, "s/p/2", "two", "second");
    commit(b, "s/p/1", "one again", "third");
    holds(b, "s/p/1", "one again");
    holds(b, "s/p/2", "two");
    holds(b, "s/p/3", NULL);
    ck_assert_int_eq(gitrepo_bare_ahead(b, NULL), 3);
    ck_assert_int_eq(fetch_and_rebase(b), GITREPO_REBASE_CURRENT); /* no branch there yet */
    ck_assert_int_eq(push(b, NULL), GITREPO_PUSHED);
    ck_assert_int_eq(gitrepo_bare_ahead(b, NULL), 0);
    ck_assert_str_eq(git("log --reverse --format='%s %an %at' main"),
                     "first pod 1700000000\nsecond pod 1700000000\nthird pod 1700000000\n");
    ck_assert_str_eq(git("show main:s/p/1"), "one again");
    ck_assert_str_eq(git("fsck --strict"), "");
    gitrepo_bare_close(b);
}
END_TEST

/* Two that began with the same. */
static void make_two(struct gitrepo_bare **a, struct gitrepo_bare **b)
{
    gitrepo_bare_close(open_at("origin.git"));
    *a = open_at("a.git");
    *b = open_at("b.git");
    commit(*a, "s/a/1", "begun", "begun");
    ck_assert_int_eq(push(*a, NULL), GITREPO_PUSHED);
    ck_assert_int_eq(fetch_and_rebase(*b), GITREPO_REBASE_FORWARDED);
    holds(*b, "s/a/1", "begun");
}

START_TEST(diverged_ones_are_put_one_upon_the_other)
{
    struct gitrepo_bare *a, *b;
    make_two(&a, &b);
    commit(a, "s/a/1", "by a", "a1");
    commit(a, "s/a/1", "by a twice", "a2");
    commit(b, "s/b/1", "by b", "b1");
    ck_assert_int_eq(push(b, NULL), GITREPO_PUSHED);
    ck_assert_int_eq(push(a, NULL), GITREPO_PUSH_BEHIND);
    ck_assert_int_eq(fetch_and_rebase(a), GITREPO_REBASED);
    ck_assert_int_eq(gitrepo_bare_ahead(a, NULL), 2);
    ck_assert_int_eq(push(a, NULL), GITREPO_PUSHED);
    ck_assert_str_eq(git("log --reverse --format='%s %at' main"),
                     "begun 1700000000\nb1 1700000000\na1 1700000000\na2 1700000000\n");
    ck_assert_str_eq(git("show main~1:s/a/1 main:s/a/1 main:s/b/1"), "by aby a twiceby b");
    gitrepo_bare_close(a);
    gitrepo_bare_close(b);
}
END_TEST

START_TEST(what_is_there_already_is_not_committed_again)
{
    struct gitrepo_bare *a, *b;
    make_two(&a, &b);
    commit(a, "s/a/1", "same", "a1");
    commit(a, "s/a/2", "more", "a2");
    commit(b, "s/a/1", "same", "a1 by hand");
    ck_assert_int_eq(push(b, NULL), GITREPO_PUSHED);
    ck_assert_int_eq(fetch_and_rebase(a), GITREPO_REBASED);
    ck_assert_int_eq(push(a, NULL), GITREPO_PUSHED);
    ck_assert_str_eq(git("log --reverse --format=%s main"), "begun\na1 by hand\na2\n");
    gitrepo_bare_close(a);
    gitrepo_bare_close(b);
}
END_TEST

START_TEST(a_conflict_changes_nothing_and_goes_to_a_side)
{
    struct gitrepo_bare *a, *b;
    make_two(&a, &b);
    commit(a, "s/a/2", "no trouble", "a1");
    commit(a, "s/a/1", "by a", "a2");
    commit(b, "s/a/1", "by b", "b1");
    ck_assert_int_eq(push(b, NULL), GITREPO_PUSHED);
    ck_assert_int_eq(fetch_and_rebase(a), GITREPO_REBASE_CONFLICT);
    ck_assert_ptr_nonnull(strstr(e.message, "s/a/1"));
    holds(a, "s/a/1", "by a");
    ck_assert_int_eq(gitrepo_bare_ahead(a, NULL), 2);
    ck_assert_int_eq(push(a, "codev/a"), GITREPO_PUSHED);
    ck_assert_int_eq(gitrepo_bare_ahead(a, "codev/a"), 0);
    ck_assert_str_eq(git("log --reverse --format=%s codev/a"), "begun\na1\na2\n");
    ck_assert_str_eq(git("show main:s/a/1"), "by b");
    gitrepo_bare_close(a);
    gitrepo_bare_close(b);
}
END_TEST

START_TEST(another_beginning_gives_way_to_theirs)
{
    struct gitrepo_bare *a, *b;
    make_two(&a, &b);
    struct gitrepo_bare *c = open_at("c.git");
    commit(c, "s/c/1", "begun alone", "c1");
    ck_assert_int_eq(push(c, NULL), GITREPO_PUSH_BEHIND);
    ck_assert_int_eq(fetch_and_rebase(c), GITREPO_REBASE_ANEW);
    holds(c, "s/c/1", NULL);
    holds(c, "s/a/1", "begun");
    gitrepo_bare_close(a);
    gitrepo_bare_close(b);
    gitrepo_bare_close(c);
}
END_TEST

START_TEST(a_remote_that_is_empty_again_gets_all)
{
    struct gitrepo_bare *a, *b;
    make_two(&a, &b);
    ck_assert_int_eq(file_remove_tree(at("origin.git")), 0);
    gitrepo_bare_close(open_at("origin.git"));
    struct gitrepo_remote r = remote();
    ck_assert_int_eq(gitrepo_bare_fetch(a, &r, &e), 1);
    ck_assert_int_eq(gitrepo_bare_ahead(a, NULL), 1);
    ck_assert_int_eq(push(a, NULL), GITREPO_PUSHED);
    ck_assert_str_eq(git("log --format=%s main"), "begun\n");
    gitrepo_bare_close(a);
    gitrepo_bare_close(b);
}
END_TEST

/* What may have happened to the files of a repository. */
static const char *const damages[] = {
    "rm -rf a.git/objects",
    ": > a.git/refs/heads/main",
    "echo nonsense > a.git/refs/heads/main",
    "find a.git/objects -type f | while read f; do chmod u+w $f; : > $f; done",
    "rm a.git/HEAD",
    "rm -rf a.git && : > a.git",
};

START_TEST(damage_is_noticed)
{
    struct gitrepo_bare *b = open_at("a.git");
    char command[600];
    commit(b, "s/a/1", "one", "one");
    gitrepo_bare_close(b);
    (void)snprintf(command, sizeof command, "cd '%s' && %s", folder, damages[_i]);
    ck_assert_int_eq(system(command), 0);
    b = NULL;
    int r = gitrepo_bare_open(&b, at("a.git"), "main", NULL, &e);
    ck_assert_msg(r == -EUCLEAN, "%d %s", r, e.message);
}
END_TEST

START_TEST(what_a_kill_leaves_is_tidied)
{
    struct gitrepo_bare *b = open_at("a.git");
    commit(b, "s/a/1", "one", "one");
    gitrepo_bare_close(b);
    ck_assert_int_eq(file_write_atomic(at("a.git/refs/heads/main.lock"), "", 0, 0600), 0);
    ck_assert_int_eq(file_write_atomic(at("a.git/objects/pack_git2_1"), "", 0, 0600), 0);
    gitrepo_bare_tidy(at("a.git"));
    b = open_at("a.git");
    commit(b, "s/a/1", "two", "two");
    ck_assert_int_lt(access(at("a.git/objects/pack_git2_1"), F_OK), 0);
    gitrepo_bare_close(b);
}
END_TEST

START_TEST(a_half_made_one_is_made_anew)
{
    ck_assert_int_eq(file_mkdir_p(at("a.git.new/objects"), 0700), 0);
    gitrepo_bare_close(open_at("a.git"));
    ck_assert_int_lt(access(at("a.git.new"), F_OK), 0);
}
END_TEST

START_TEST(many_objects_become_one_pack)
{
    struct gitrepo_bare *b = open_at("origin.git");
    char text[20];
    for (int i = 0; i < 200; i++) {
        (void)snprintf(text, sizeof text, "%d", i);
        commit(b, "s/a/1", text, text);
    }
    ck_assert_int_eq(gitrepo_bare_pack(b, 1000000, &e), 0);
    ck_assert_int_eq(gitrepo_bare_pack(b, 0, &e), 1);
    gitrepo_bare_close(b);
    ck_assert_str_eq(git("count-objects"), "0 objects, 0 kilobytes\n");
    ck_assert_str_eq(git("fsck --strict"), "");
    ck_assert_str_eq(git("rev-list --count main"), "200\n");
    b = open_at("origin.git");
    holds(b, "s/a/1", "199");
    gitrepo_bare_close(b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("git_bare");
    TCase *t = tcase_create("git_bare");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, make_folder, remove_folder);
    tcase_add_test(t, commits_are_read_back_and_pushed);
    tcase_add_test(t, diverged_ones_are_put_one_upon_the_other);
    tcase_add_test(t, what_is_there_already_is_not_committed_again);
    tcase_add_test(t, a_conflict_changes_nothing_and_goes_to_a_side);
    tcase_add_test(t, another_beginning_gives_way_to_theirs);
    tcase_add_test(t, a_remote_that_is_empty_again_gets_all);
    tcase_add_loop_test(t, damage_is_noticed, 0, (int)ARRAY_SIZE(damages));
    tcase_add_test(t, what_a_kill_leaves_is_tidied);
    tcase_add_test(t, a_half_made_one_is_made_anew);
    tcase_add_test(t, many_objects_become_one_pack);
    suite_add_tcase(s, t);
    return run_suite(s);
}
