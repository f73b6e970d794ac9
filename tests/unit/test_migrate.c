/* rooms: supervisor/init supervisor/volumes supervisor/plan supervisor/sandbox base/core */
/* SPEC V4, killed at every step. */
#include "supervisor/init/boot_migrate.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "tests/unit/run_suite.h"

static char home[200], volume[256];
static int kill_at; /* 0: never; odd: before the (n+1)/2-th step, even: after it */
static int steps;
static int rename_errno; /* what renameat2 fails with */

static void step_point(int when)
{
    if (kill_at && steps * 2 - when == kill_at)
        _exit(9);
}

/* These stand before libc's own. */
int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    steps++;
    step_point(1);
    if (rename_errno) {
        errno = rename_errno;
        return -1;
    }
    int r = (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    step_point(0);
    return r;
}

int mkdirat(int dir, const char *path, mode_t mode)
{
    steps++;
    step_point(1);
    int r = (int)syscall(SYS_mkdirat, dir, path, mode);
    step_point(0);
    return r;
}

static void put(const char *name, const char *text)
{
    char path[512], *slash;
    (void)snprintf(path, sizeof path, "%s/%s", volume, name);
    slash = strrchr(path, '/');
    *slash = '\0';
    ck_assert_int_eq(file_mkdir_p(path, 0755), 0);
    *slash = '/';
    ck_assert_int_eq(file_write_atomic(path, text, strlen(text), 0600), 0);
}

static char *get(const char *name)
{
    char path[512], *text = NULL;
    (void)snprintf(path, sizeof path, "%s/%s", volume, name);
    return file_read(path, 1 << 16, &text, NULL) < 0 ? NULL : text;
}

static void has(const char *name, const char *text)
{
    _cleanup_free_ char *now = get(name);
    ck_assert_msg(now && strcmp(now, text) == 0, "%s holds %s, not %s", name, now ? now : "nothing",
                  text);
}

static bool there(const char *name)
{
    char path[512];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/%s", volume, name);
    return lstat(path, &st) == 0;
}

static void make_volume(void)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(home, sizeof home, "%s/codev-migrate-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(home));
    (void)snprintf(volume, sizeof volume, "%s/.local", home);
    ck_assert_int_eq(file_mkdir_p(volume, 0755), 0);
    kill_at = steps = rename_errno = 0;
}

static void remove_volume(void)
{
    (void)file_remove_tree(home);
}

static const char *const names[] = { "auth.json",       "opencode.db",     "opencode.db-wal",
                                     "opencode.db-shm", "mcp-auth.json",   "storage/session/a.json",
                                     "storage/x",       "snapshot/p/HEAD", "log/opencode.log" };

static void old_volume(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        put(names[i], names[i]);
    put("state/other", "mine");
    put("bin/tool", "mine");
}

static void check_moved(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char path[300];
        (void)snprintf(path, sizeof path, "share/opencode/%s", names[i]);
        has(path, names[i]);
        ck_assert_msg(!there(names[i]), "%s is still at the root", names[i]);
    }
    has("state/other", "mine");
    has("bin/tool", "mine");
    _cleanup_free_ char *text = get("share/opencode/codev-moved.txt");
    ck_assert_ptr_nonnull(text);
    ck_assert_ptr_nonnull(strstr(text, " auth.json\n"));
    ck_assert_ptr_nonnull(strstr(text, " storage\n"));
    ck_assert_ptr_null(volume_old_layout(volume));
}

static int migrate(unsigned *moved)
{
    struct error e = ERROR_INIT;
    return volume_migrate(volume, moved, &e);
}

START_TEST(all_of_it_moves)
{
    unsigned moved;
    struct stat before, after;
    char path[512];
    old_volume();
    (void)snprintf(path, sizeof path, "%s/auth.json", volume);
    ck_assert_int_eq(stat(path, &before), 0);
    ck_assert_int_eq(migrate(&moved), 0);
    ck_assert_uint_eq(moved, 8);
    check_moved();
    (void)snprintf(path, sizeof path, "%s/share/opencode/auth.json", volume);
    ck_assert_int_eq(stat(path, &after), 0);
    ck_assert_uint_eq(before.st_ino, after.st_ino); /* by rename, not by copy */
    ck_assert_uint_eq(before.st_mode, after.st_mode);
    ck_assert_int_eq(migrate(&moved), 0);
    ck_assert_uint_eq(moved, 0);
}
END_TEST

START_TEST(killed_anywhere_it_goes_on)
{
    unsigned moved;
    int points = 0;
    for (kill_at = 1;; kill_at++, points++) {
        int status;
        old_volume();
        steps = 0;
        pid_t pid = fork();
        if (pid == 0)
            _exit(migrate(&moved) == 0 ? 0 : 1);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(WIFEXITED(status));
        if (WEXITSTATUS(status) == 0)
            break; /* past the last step */
        ck_assert_int_eq(WEXITSTATUS(status), 9);
        int at = kill_at;
        kill_at = 0;
        ck_assert_msg(migrate(&moved) == 0, "killed at %d, it does not go on", at);
        check_moved();
        remove_volume();
        make_volume();
        kill_at = at;
    }
    ck_assert_int_eq(points, 20); /* two folders and eight renames, before and after each */
}
END_TEST

START_TEST(nothing_is_overwritten)
{
    unsigned moved;
    struct error e = ERROR_INIT;
    old_volume();
    put("share/opencode/opencode.db", "newer");
    ck_assert_int_eq(volume_migrate(volume, &moved, &e), -EEXIST);
    ck_assert_ptr_nonnull(strstr(e.message, "opencode.db"));
    ck_assert_uint_eq(moved, 0);
    has("share/opencode/opencode.db", "newer");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        has(names[i], names[i]);
}
END_TEST

START_TEST(what_every_start_makes_is_in_nobodys_way)
{
    unsigned moved;
    char path[512];
    old_volume();
    (void)snprintf(path, sizeof path, "%s/share/opencode/storage", volume);
    ck_assert_int_eq(file_mkdir_p(path, 0755), 0); /* empty */
    put("share/opencode/log/new.log", "new");      /* a log is no data: stays where it is */
    ck_assert_int_eq(migrate(&moved), 0);
    ck_assert_uint_eq(moved, 7);
    has("share/opencode/log/new.log", "new");
    has("log/opencode.log", "log/opencode.log");
    has("share/opencode/storage/x", "storage/x");
    has("share/opencode/auth.json", "auth.json");
    ck_assert_int_eq(migrate(&moved), 0);
    ck_assert_uint_eq(moved, 0);
}
END_TEST

START_TEST(other_peoples_files_are_left)
{
    unsigned moved;
    put("storage/photos/a", "mine");
    put("log/mine", "mine");
    put("share/opencode/auth.json", "{}");
    ck_assert_int_eq(migrate(&moved), 0);
    ck_assert_uint_eq(moved, 0);
    has("storage/photos/a", "mine");
    /* Nor with a real sign beside them. */
    put("opencode.db", "db");
    ck_assert_int_eq(migrate(&moved), 0);
    has("storage/photos/a", "mine");
    has("share/opencode/opencode.db", "db");
}
END_TEST

START_TEST(a_link_is_not_followed)
{
    unsigned moved;
    char to[512];
    old_volume();
    (void)snprintf(to, sizeof to, "%s/share", volume);
    ck_assert_int_eq(symlink(home, to), 0);
    ck_assert_int_lt(migrate(&moved), 0);
    has("auth.json", "auth.json");
}
END_TEST

START_TEST(a_file_system_without_the_flag)
{
    unsigned moved;
    old_volume();
    rename_errno = EINVAL;
    ck_assert_int_eq(migrate(&moved), 0);
    check_moved();
}
END_TEST

/* --- what the boot makes of it --- */

static struct mount_table table(void)
{
    struct mount_table t;
    struct error e = ERROR_INIT;
    char text[600];
    (void)snprintf(text, sizeof text,
                   "1 0 0:1 / / rw - overlay o rw\n9 1 8:1 / %s rw - ext4 a rw\n", volume);
    ck_assert_int_eq(mount_table_parse(&t, text, strlen(text), &e), 0);
    return t;
}

static void boot(const struct plan_volume *v, struct volume_report *r, char *note, size_t size)
{
    struct mount_table t = table();
    struct volume_spec spec = { .path = volume };
    note[0] = '\0';
    volume_verify(&spec, &t, NULL, r);
    boot_migrate(home, v, &spec, &t, r, note, size);
    mount_table_release(&t);
}

START_TEST(the_boot_says_what_it_did)
{
    const struct plan_volume on = { .migrate = 1 }, off = { 0 };
    struct volume_report r;
    char note[400];
    old_volume();
    boot(&off, &r, note, sizeof note);
    ck_assert_int_eq(r.findings[0].code, FINDING_OLD_LAYOUT);
    ck_assert(there("auth.json"));
    rename_errno = EIO;
    boot(&on, &r, note, sizeof note);
    ck_assert_int_eq(r.findings[0].code, FINDING_MIGRATE_ERROR);
    ck_assert_int_eq(r.findings[0].level, FINDING_BAD);
    rename_errno = 0;
    boot(&on, &r, note, sizeof note);
    ck_assert_int_eq(r.findings[0].code, FINDING_FINE);
    ck_assert_ptr_nonnull(strstr(note, "moved 8 "));
    check_moved();
    put("auth.json", "again");
    boot(&on, &r, note, sizeof note);
    ck_assert_int_eq(r.findings[0].code, FINDING_OLD_LAYOUT);
    ck_assert_ptr_nonnull(strstr(r.findings[0].message, "share/opencode as well"));
    ck_assert_ptr_nonnull(strstr(r.findings[0].message, "one of the two"));
    ck_assert_str_eq(note, "");
    has("auth.json", "again");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("migrate");
    TCase *t = tcase_create("migrate");
    tcase_add_checked_fixture(t, make_volume, remove_volume);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, all_of_it_moves);
    tcase_add_test(t, killed_anywhere_it_goes_on);
    tcase_add_test(t, nothing_is_overwritten);
    tcase_add_test(t, what_every_start_makes_is_in_nobodys_way);
    tcase_add_test(t, other_peoples_files_are_left);
    tcase_add_test(t, a_link_is_not_followed);
    tcase_add_test(t, a_file_system_without_the_flag);
    tcase_add_test(t, the_boot_says_what_it_did);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return run_suite(make_suite());
}
