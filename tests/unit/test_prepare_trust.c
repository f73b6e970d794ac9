/* rooms: bridge/prepare supervisor/sandbox base/git base/json base/core */
#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/core/visible.h"
#include "bridge/prepare/filelist.h"
#include "bridge/prepare/reach.h"
#include "bridge/prepare/trust.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[128];

static void setup(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/codev-trust-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
    ck_assert_int_eq(file_remove_tree(dir), 0);
}

static const char *at(const char *name)
{
    static char paths[8][256];
    static unsigned turn;
    char *path = paths[turn++ % 8];
    (void)snprintf(path, 256, "%s/%s", dir, name);
    return path;
}

static void put(const char *name, const char *text)
{
    char folder[256];
    (void)snprintf(folder, sizeof folder, "%s", at(name));
    *strrchr(folder, '/') = '\0';
    ck_assert_int_eq(file_mkdir_p(folder, 0755), 0);
    ck_assert_int_eq(file_write_atomic(at(name), text, strlen(text), 0644), 0);
}

/* --- what people see --- */

static const struct {
    const char *text, *line, *lines;
} seen[] = {
    { "plain text, häßlich, 日本語, 🔌", NULL, NULL },
    { "a\nb\tc", "a\\x0ab\\x09c", "a\nb\tc" },
    { "\x1b[2J\r\x07\x7f", "\\x1b[2J\\x0d\\x07\\x7f", "\\x1b[2J\\x0d\\x07\\x7f" },
    { "\xc2\x9b"
      "8m",
      "\\u{9b}8m", "\\u{9b}8m" }, /* CSI in one */
    { "\xe2\x80\xae"
      "x",
      "\\u{202e}x", "\\u{202e}x" }, /* right to left */
    { "\xe2\x81\xa6"
      "\xe2\x80\x8b",
      "\\u{2066}\\u{200b}", "\\u{2066}\\u{200b}" },
    { "\xf3\xa0\x81\x81", "\\u{e0041}", "\\u{e0041}" },       /* a tag */
    { "\xff\xc3", "\\xff\\xc3", "\\xff\\xc3" },               /* no UTF-8 */
    { "\xed\xa0\x80", "\\xed\\xa0\\x80", "\\xed\\xa0\\x80" }, /* a surrogate */
    { "", NULL, NULL },
};

START_TEST(test_visible)
{
    _cleanup_buf_ struct buf line = BUF_INIT;
    _cleanup_buf_ struct buf lines = BUF_INIT;
    const char *text = seen[_i].text;
    visible_put(&line, text, strlen(text), 0);
    visible_put(&lines, text, strlen(text), VISIBLE_LINES);
    ck_assert_str_eq(buf_str(&line), seen[_i].line ? seen[_i].line : text);
    ck_assert_str_eq(buf_str(&lines), seen[_i].lines ? seen[_i].lines : text);
}
END_TEST

START_TEST(test_visible_zero)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    visible_put(&out, "a\0b", 3, VISIBLE_LINES);
    ck_assert_str_eq(buf_str(&out), "a\\x00b");
}
END_TEST

/* --- what the agent can change --- */

START_TEST(test_reach)
{
    _cleanup_reach_ struct reach r = { 0 };
    put("home/bin/npm", "");
    put("home/state/build/x", "");
    put("home/other/x", "");
    put("image/bin/npm", "");
    ck_assert_int_eq(symlink(at("home/bin"), at("image/link")), 0);
    ck_assert_int_eq(symlink(at("image/bin"), at("home/out")), 0);
    ck_assert_int_eq(reach_add(&r, at("home"), true), 0);
    ck_assert_int_eq(reach_add(&r, at("home/state"), false), 0);
    ck_assert_int_eq(reach_add(&r, at("home/not-there"), false), 0);
    ck_assert_int_eq(reach_add(&r, at("home/state/tmp"), true), 0);

    ck_assert(reach_covers(&r, at("home/bin/npm")));
    ck_assert(reach_covers(&r, at("home/other/not/there")));
    ck_assert(reach_covers(&r, at("home/state/tmp/x")) ==
              (access(at("home/state/tmp"), F_OK) == 0));
    ck_assert(reach_covers(&r, at("image/link/npm"))); /* what it leads to */
    ck_assert(reach_covers(&r, "relative"));
    ck_assert(!reach_covers(&r, at("home/state/build/x")));
    ck_assert(!reach_covers(&r, at("image/bin/npm")));
    ck_assert(!reach_covers(&r, at("homeless/x")));
    ck_assert(!reach_covers(&r, "/"));
    /* Above an exception the folder itself is closed, but not what lies beside the exception. */
    ck_assert(!reach_covers(&r, at("home")));
}
END_TEST

START_TEST(test_reach_filter)
{
    _cleanup_reach_ struct reach r = { 0 };
    char path[1024], expected[512];
    put("home/bin/npm", "");
    put("image/bin/npm", "");
    ck_assert_int_eq(symlink(at("home/bin"), at("image/link")), 0);
    ck_assert_int_eq(reach_add(&r, at("home"), true), 0);
    (void)snprintf(path, sizeof path, "%s::.:%s:%s:%s:relative/bin", at("home/bin"),
                   at("image/link"), at("image/bin"), at("none"));
    (void)snprintf(expected, sizeof expected, "%s", at("image/bin"));
    _cleanup_free_ char *filtered = reach_filter(&r, path);
    ck_assert_str_eq(filtered, expected);
    _cleanup_free_ char *none = reach_filter(&r, "");
    ck_assert_str_eq(none, "");
}
END_TEST

/* --- links in what is copied --- */

static const struct {
    const char *name, *target;
    bool out;
} links[] = {
    { "a", "b", false },          { "a", "./b/c", false },      { "d/a", "../b", false },
    { "d/a", "../d/../b", true }, { "a", "../b", true },        { "d/a", "../../b", true },
    { "a", "/etc/passwd", true }, { "a", "d/../b", true },      { "d/e/a", "../../b", false },
    { "a", "..", true },          { "d/a", "..", false },       { "a", "...", false },
    { "a", "b/../../c", true },   { "d/a", ".././../b", true },
};

START_TEST(test_links)
{
    _cleanup_filelist_ struct filelist l = { 0 };
    struct error e = ERROR_INIT;
    char folder[256];
    (void)snprintf(folder, sizeof folder, "%s", at("from"));
    put("from/d/e/keep", "");
    ck_assert_int_eq(symlink(links[_i].target, at("from/link")), 0);
    char name[64];
    (void)snprintf(name, sizeof name, "from/%s", links[_i].name);
    ck_assert_int_eq(rename(at("from/link"), at(name)), 0);
    ck_assert_int_eq(filelist_walk(&l, folder, "", 0, &e), 0);
    ck_assert_int_eq(filelist_hash(&l, NULL, &e), 0);
    const struct filelist_entry *entry = filelist_find(&l, links[_i].name);
    ck_assert(entry && entry->link);
    ck_assert_int_eq(filelist_leads_out(entry), links[_i].out);
    ck_assert_msg(filelist_copy(&l, at("to"), false, &e) == 0, "%s", e.message);
    char copy[512], target[256] = "";
    (void)snprintf(copy, sizeof copy, "%s/%s", at("to"), links[_i].name);
    ssize_t n = readlink(copy, target, sizeof target - 1);
    ck_assert_int_eq(n >= 0, !links[_i].out);
    if (n >= 0)
        ck_assert_str_eq(target, links[_i].target);
}
END_TEST

/* What was hashed is what is copied: a file that changed, or became a link, is refused. */
START_TEST(test_copy_refuses)
{
    _cleanup_filelist_ struct filelist l = { 0 };
    struct error e = ERROR_INIT;
    put("from/a", "one");
    put("secret", "secret");
    ck_assert_int_eq(chmod(at("from/a"), 0755), 0);
    ck_assert_int_eq(filelist_walk(&l, at("from"), "", 0, &e), 0);
    ck_assert_int_eq(filelist_hash(&l, NULL, &e), 0);
    ck_assert_int_eq(filelist_copy(&l, at("to"), false, &e), 0);
    struct stat st;
    ck_assert_int_eq(stat(at("to/a"), &st), 0);
    ck_assert(st.st_mode & 0100);
    put("from/a", "two");
    ck_assert_int_eq(filelist_copy(&l, at("again"), false, &e), -EAGAIN);
    ck_assert_int_eq(unlink(at("from/a")), 0);
    ck_assert_int_eq(symlink(at("secret"), at("from/a")), 0);
    ck_assert_int_eq(filelist_copy(&l, at("again"), false, &e), -EAGAIN);
    ck_assert_int_eq(access(at("again"), F_OK), -1);
    ck_assert_int_eq(access(at("again.new"), F_OK), -1);
}
END_TEST

/* --- what is shown --- */

/* Lists "now" (beside what was accepted), changes it by `change`, and describes it. */
static char *describe(void (*change)(void))
{
    struct error e = ERROR_INIT;
    char line[100], *text = NULL, folder[256], now[256];
    (void)snprintf(folder, sizeof folder, "%s", at("trust"));
    (void)snprintf(now, sizeof now, "%s", at("now"));
    ck_assert_int_eq(file_mkdir_p(folder, 0700), 0);
    struct settings settings = { .trust_dir = folder };
    _cleanup_trust_ struct trust t = { 0 };
    ck_assert_int_eq(trust_open(&t, TRUST_PLUGIN, &settings, &e), 0);
    ck_assert_int_eq(filelist_walk(&t.now, now, "", 0, &e), 0);
    ck_assert_int_eq(filelist_hash(&t.now, NULL, &e), 0);
    char id[41];
    memcpy(id, t.now.id, sizeof id);
    if (change)
        change();
    trust_describe(&t, line, sizeof line);
    ck_assert_int_eq(file_read(at("trust/plugin.changes"), (size_t)8 << 20, &text, NULL), 0);
    if (!change)
        ck_assert_int_eq(strncmp(text, id, 40), 0);
    return text;
}

static void put_other(void)
{
    put("now/a.js", "harmless");
}

/* Shown is what was listed: what is put there for the eyes only must not carry the other's id. */
START_TEST(test_shown_is_listed)
{
    put("now/a.js", "evil");
    _cleanup_free_ char *still = describe(NULL);
    ck_assert_ptr_nonnull(strstr(still, "\n+evil"));
    _cleanup_free_ char *text = describe(put_other);
    ck_assert_int_eq(strncmp(text, "-\n", 2), 0);
    ck_assert_ptr_nonnull(strstr(text, "a.js\n         ^ NOT SHOWN below: it changes while"));
    ck_assert_ptr_null(strstr(text, "harmless"));
}
END_TEST

START_TEST(test_not_shown_is_said)
{
    _cleanup_free_ char *big = calloc(1, (512 << 10) + 2);
    ck_assert_ptr_nonnull(big);
    memset(big, 'x', (512 << 10) + 1);
    put("now/big.js", big);
    ck_assert_int_eq(file_write_atomic(at("now/binary"), "a\0b", 3, 0644), 0);
    put("now/name\nadded  1 bytes  innocent", "x");
    ck_assert_int_eq(symlink("/etc/passwd", at("now/link")), 0);
    _cleanup_free_ char *text = describe(NULL);
    ck_assert_ptr_nonnull(
        strstr(text, "big.js\n         ^ NOT SHOWN below: longer than 512 KiB\n"));
    ck_assert_ptr_nonnull(strstr(text, "binary\n         ^ NOT SHOWN below: no text\n"));
    ck_assert_ptr_nonnull(strstr(text, "  name\\x0aadded  1 bytes  innocent\n"));
    ck_assert_ptr_null(strstr(text, "\nadded  1"));
    ck_assert_ptr_nonnull(strstr(text, "\n+/etc/passwd"));
    ck_assert_ptr_null(strstr(text, "root:"));
}
END_TEST

/* More than there is room for: each that is left out is named, and the list stays whole. */
START_TEST(test_much_is_shown)
{
    _cleanup_free_ char *big = calloc(1, (400 << 10) + 1);
    ck_assert_ptr_nonnull(big);
    memset(big, 'x', 400 << 10);
    for (int i = 0; i < 4; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "now/%d.js", i);
        put(name, big);
    }
    put("now/z.js", "small");
    _cleanup_free_ char *text = describe(NULL);
    ck_assert_ptr_nonnull(strstr(text, "2.js\n         ^ NOT SHOWN below: more than 1 MiB"));
    ck_assert_ptr_nonnull(strstr(text, "3.js\n         ^ NOT SHOWN below: more than 1 MiB"));
    ck_assert_ptr_nonnull(strstr(text, "\n+small"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("prepare_trust");
    TCase *t = tcase_create("prepare_trust");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_visible, 0, ARRAY_SIZE(seen));
    tcase_add_test(t, test_visible_zero);
    tcase_add_test(t, test_reach);
    tcase_add_test(t, test_reach_filter);
    tcase_add_loop_test(t, test_links, 0, ARRAY_SIZE(links));
    tcase_add_test(t, test_copy_refuses);
    tcase_add_test(t, test_shown_is_listed);
    tcase_add_test(t, test_not_shown_is_said);
    tcase_add_test(t, test_much_is_shown);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
