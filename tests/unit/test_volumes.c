/* rooms: supervisor/volumes base/core */
#include "supervisor/volumes/volumes.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "supervisor/volumes/iotest.h"
#include "tests/unit/run_suite.h"

static char dir[256];

static void make_dir(void)
{
    char name[200], *real;
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(name, sizeof name, "%s/codev-volumes-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(name));
    real = realpath(name, NULL);
    (void)snprintf(dir, sizeof dir, "%s", real);
    free(real);
}

static void remove_dir(void)
{
    (void)file_remove_tree(dir);
}

static const char *in_dir(const char *name)
{
    static char path[4][400];
    static size_t next;
    char *p = path[next++ % 4];
    (void)snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

/* --- the mount table --- */

static void parse(struct mount_table *t, const char *text)
{
    struct error e = ERROR_INIT;
    ck_assert_msg(mount_table_parse(t, text, strlen(text), &e) == 0, "%s", e.message);
}

START_TEST(fields_escapes_and_optional_fields)
{
    struct mount_table t;
    parse(&t,
          "21 1 0:20 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,discard\n"
          "36 21 98:0 /mnt1 /mnt/a\\040b\\134c rw,noatime master:1 propagate_from:2 unbindable - "
          "ext3 /dev/ro\\011ot rw,errors=continue\n"
          "40 21 0:33 / /empty rw - tmpfs  rw\n"
          "41 21 0:34 / /odd\\x rw - tmpfs none\\04 rw");
    ck_assert_uint_eq(t.count, 4);
    ck_assert_int_eq(t.entries[1].id, 36);
    ck_assert_int_eq(t.entries[1].parent, 21);
    ck_assert_uint_eq(t.entries[1].dev_major, 98);
    ck_assert_uint_eq(t.entries[1].dev_minor, 0);
    ck_assert_str_eq(t.entries[1].root, "/mnt1");
    ck_assert_str_eq(t.entries[1].mount_point, "/mnt/a b\\c");
    ck_assert_str_eq(t.entries[1].mount_options, "rw,noatime");
    ck_assert_str_eq(t.entries[1].fs_type, "ext3");
    ck_assert_str_eq(t.entries[1].source, "/dev/ro\tot");
    ck_assert_str_eq(t.entries[1].super_options, "rw,errors=continue");
    ck_assert_str_eq(t.entries[2].source, "");
    ck_assert_str_eq(t.entries[3].mount_point, "/odd\\x");
    ck_assert_str_eq(t.entries[3].source, "none\\04");
    mount_table_release(&t);
}
END_TEST

static const char *const broken[] = {
    "x 1 0:20 / / rw - ext4 a rw\n",
    "21 1 0:20 / / rw shared:1\n",
    "21 1 0:20 / / rw - ext4 a\n",
    "21 1 0:20 / / rw - ext4\n",
    "21 1 020 / / rw - ext4 a rw\n",
    "21 1 0:x / / rw - ext4 a rw\n",
    "21 1 0:20 / relative rw - ext4 a rw\n",
    "21 1 0:20 / / rw -  a rw\n",
    "21 1 0:20\n",
    "99999999999 1 0:20 / / rw - ext4 a rw\n",
    "\n21 1 0:20 / / rw - ext4 a rw\n",
    "21 -1 0:20 / / rw - ext4 a rw\n",
};

START_TEST(broken_lines_are_named)
{
    struct mount_table t = { 0 };
    struct error e = ERROR_INIT;
    char text[256];
    (void)snprintf(text, sizeof text, "20 1 0:20 / / rw - ext4 a rw\n%s", broken[_i]);
    ck_assert_int_eq(mount_table_parse(&t, text, strlen(text), &e), -EBADMSG);
    ck_assert_msg(strstr(e.message, "line 2"), "%s", e.message);
    ck_assert_ptr_null(t.entries);
}
END_TEST

START_TEST(this_machines_own_table)
{
    struct mount_table t;
    struct error e = ERROR_INIT;
    ck_assert_msg(mount_table_read(&t, &e) == 0, "%s", e.message);
    ck_assert_uint_gt(t.count, 0);
    ck_assert_ptr_nonnull(mount_table_at(&t, "/proc"));
    ck_assert_str_eq(mount_table_covering(&t, "/proc/self")->fs_type, "proc");
    mount_table_release(&t);
}
END_TEST

START_TEST(empty_table)
{
    struct mount_table t;
    parse(&t, "");
    ck_assert_uint_eq(t.count, 0);
    ck_assert_ptr_null(mount_table_at(&t, "/"));
    ck_assert_ptr_null(mount_table_covering(&t, "/a"));
    mount_table_release(&t);
}
END_TEST

#define ROOT "1 0 0:1 / / rw - overlay overlay rw\n"

START_TEST(covering_follows_the_tree)
{
    struct mount_table t;
    parse(&t, ROOT "2 1 0:2 / /home rw - ext4 a rw\n"
                   "3 2 0:3 / /home/coder/.local rw - ext4 b rw\n"
                   "4 3 0:4 / /home/coder/.local rw - ext4 c rw\n" /* stacked on 3 */
                   "5 1 0:5 / /homework rw - ext4 d rw\n"          /* a prefix, but not a parent */
                   "6 1 0:6 / /mnt/x rw - ext4 e rw\n"
                   "7 1 0:7 / /mnt rw - ext4 f rw\n"); /* hides 6 */
    ck_assert_int_eq(mount_table_at(&t, "/home/coder/.local")->id, 4);
    ck_assert_int_eq(mount_table_covering(&t, "/home/coder/.local/share")->id, 4);
    ck_assert_int_eq(mount_table_covering(&t, "/home/coder/.localx")->id, 2);
    ck_assert_int_eq(mount_table_covering(&t, "/homework/x")->id, 5);
    ck_assert_int_eq(mount_table_covering(&t, "/etc")->id, 1);
    ck_assert_int_eq(mount_table_covering(&t, "/")->id, 1);
    ck_assert_int_eq(mount_table_at(&t, "/mnt/x")->id, 6);
    ck_assert_int_eq(mount_table_covering(&t, "/mnt/x")->id, 7);
    ck_assert_ptr_null(mount_table_at(&t, "/home/coder"));
    mount_table_release(&t);
}
END_TEST

START_TEST(ids_that_go_in_circles)
{
    struct mount_table t;
    parse(&t,
          "1 2 0:1 / / rw - ext4 a rw\n2 1 0:1 / / rw - ext4 b rw\n3 3 0:1 / /x rw - ext4 c rw\n");
    ck_assert_ptr_nonnull(mount_table_at(&t, "/"));
    ck_assert_ptr_nonnull(mount_table_covering(&t, "/x/y"));
    mount_table_release(&t);
}
END_TEST

/* --- judging, by table --- */

#define V    "@" /* stands for the folder of the test, which exists and is writable */
#define P(n) "9 1 0:9 / " V n " rw - "

static const struct {
    const char *name, *mounts; /* NULL: none could be read */
    enum finding_level level;
    enum finding_code code;
    const char *text; /* in its message */
    size_t count;     /* of findings */
} cases[] = {
    { "right", ROOT "9 1 8:1 / " V " rw - ext4 /dev/sda rw\n", FINDING_OK, FINDING_FINE, "is right",
      1 },
    { "bind of a folder", ROOT "9 1 8:1 /vol/1 " V " rw - xfs /dev/sda rw\n", FINDING_OK,
      FINDING_FINE, "xfs", 1 },
    { "none", ROOT, FINDING_BAD, FINDING_NOT_MOUNTED, "mountPath: " V, 1 },
    { "only its parent", ROOT "9 1 8:1 / / rw - ext4 /dev/sda rw\n", FINDING_BAD,
      FINDING_NOT_MOUNTED, "mountPath", 1 },
    { "old place", ROOT "9 1 8:1 / " V "/share/opencode rw - ext4 /dev/sda rw\n", FINDING_BAD,
      FINDING_OLD_PLACE, "change that mountPath to " V, 1 },
    { "both",
      ROOT "9 1 8:1 / " V " rw - ext4 a rw\n10 9 8:2 / " V "/share/opencode rw - ext4 b rw\n",
      FINDING_BAD, FINDING_SHADOWED, "remove that volumeMount", 1 },
    { "hidden by a mount above",
      ROOT "9 1 8:1 / " V " rw - ext4 a rw\n10 1 8:2 / " V "/.. rw - ext4 b rw\n", FINDING_OK,
      FINDING_FINE, "", 1 }, /* ".." is no mount point: ignored */
    { "stacked", ROOT "9 1 8:1 / " V " rw - ext4 a rw\n10 9 8:2 / " V " rw - ext4 b rw\n",
      FINDING_WARN, FINDING_SHADOWED, "two mounts", 1 },
    { "something inside",
      ROOT "9 1 8:1 / " V " rw - ext4 a rw\n10 9 8:2 / " V "/bin rw - ext4 b rw\n", FINDING_WARN,
      FINDING_SHADOWED, "/bin", 1 },
    { "beside, same beginning",
      ROOT "9 1 8:1 / " V " rw - ext4 a rw\n10 1 8:2 / " V "x rw - ext4 b rw\n", FINDING_OK,
      FINDING_FINE, "", 1 },
    { "overlay", ROOT P("") "overlay overlay rw\n", FINDING_BAD, FINDING_WRONG_FS,
      "PersistentVolumeClaim", 1 },
    { "memory", ROOT P("") "tmpfs tmpfs rw\n", FINDING_WARN, FINDING_WRONG_FS, "lost with the pod",
      1 },
    { "network", ROOT P("") "nfs4 host:/x rw\n", FINDING_WARN, FINDING_WRONG_FS, "SQLite", 1 },
    { "read-only mount", ROOT "9 1 8:1 / " V " ro,relatime - ext4 a rw\n", FINDING_BAD,
      FINDING_READ_ONLY, "readOnly: true", 1 },
    { "read-only file system", ROOT P("") "ext4 a ro,errors=remount-ro\n", FINDING_BAD,
      FINDING_READ_ONLY, "the file system itself", 1 },
    { "'ro' inside another word", ROOT P("") "ext4 a rw,errors=remount-ro,root\n", FINDING_OK,
      FINDING_FINE, "", 1 },
    { "gravest first", ROOT "9 1 8:1 / " V " ro - tmpfs a rw\n", FINDING_BAD, FINDING_READ_ONLY,
      "read-only", 2 },
    { "no table", NULL, FINDING_BAD, FINDING_BAD_MOUNTINFO, "because", 1 },
};

/* `text` with the test's folder put in for V; malloc'ed. */
static char *put_in(const char *text)
{
    struct buf out = BUF_INIT;
    for (; *text; text++) {
        if (*text == *V)
            buf_puts(&out, dir);
        else
            buf_putc(&out, *text);
    }
    return buf_take(&out);
}

static void judge(const char *mounts, bool write, struct volume_report *r)
{
    struct mount_table t = { 0 };
    struct volume_spec spec = { .path = dir };
    _cleanup_free_ char *text = mounts ? put_in(mounts) : NULL;
    if (text)
        parse(&t, text);
    (write ? volume_verify : volume_watch)(&spec, text ? &t : NULL, "because", r);
    mount_table_release(&t);
}

START_TEST(judged_by_table)
{
    struct volume_report r;
    for (int write = 0; write < 2; write++) {
        judge(cases[_i].mounts, write, &r);
        _cleanup_free_ char *text = put_in(cases[_i].text);
        const struct finding *f = &r.findings[0];
        ck_assert_msg(f->level == cases[_i].level && f->code == cases[_i].code, "%s: %s %s",
                      cases[_i].name, finding_code_name(f->code), f->message);
        ck_assert_msg(strstr(f->message, text), "%s: %s", cases[_i].name, f->message);
        ck_assert_msg(r.count == cases[_i].count, "%s: %zu findings, then %s", cases[_i].name,
                      r.count, r.findings[1].message);
        ck_assert_ptr_null(strchr(f->message, '\n'));
    }
}
END_TEST

START_TEST(hidden_by_a_mount_over_its_parent)
{
    struct mount_table t;
    struct volume_report r;
    _cleanup_free_ char *text = NULL;
    char *parent = strdup(dir);
    *strrchr(parent, '/') = '\0';
    ck_assert_int_gt(asprintf(&text,
                              ROOT "9 1 8:1 / %s rw - ext4 a rw\n10 1 8:2 / %s rw - ext4 b rw\n",
                              dir, parent),
                     0);
    parse(&t, text);
    struct volume_spec spec = { .path = dir };
    volume_watch(&spec, &t, NULL, &r);
    ck_assert_int_eq(r.findings[0].code, FINDING_SHADOWED);
    ck_assert_ptr_nonnull(strstr(r.findings[0].message, "hides the volume"));
    mount_table_release(&t);
    free(parent);
}
END_TEST

START_TEST(space_inodes_and_figures)
{
    struct mount_table t;
    struct volume_report r;
    _cleanup_free_ char *text = put_in(ROOT "9 1 8:1 / " V " rw - ext4 /dev/sda rw\n");
    parse(&t, text);
    struct volume_spec spec = { .path = dir, .min_free = UINT64_MAX };
    volume_verify(&spec, &t, NULL, &r);
    ck_assert_int_eq(r.findings[0].code, FINDING_LOW_SPACE);
    ck_assert_ptr_nonnull(strstr(r.findings[0].message, "resources.requests.storage"));
    ck_assert_uint_gt(r.bytes_total, 0);
    ck_assert_uint_le(r.bytes_free, r.bytes_total);
    ck_assert_str_eq(r.fs_type, "ext4");
    ck_assert_str_eq(r.source, "/dev/sda");
    struct stat st;
    ck_assert_int_eq(stat(dir, &st), 0);
    ck_assert(r.device == st.st_dev);
    spec = (struct volume_spec){ .path = dir, .min_inodes = UINT64_MAX };
    volume_watch(&spec, &t, NULL, &r);
    if (r.inodes_total)
        ck_assert_int_eq(r.findings[0].code, FINDING_LOW_INODES);
    mount_table_release(&t);
}
END_TEST

START_TEST(missing_folder_and_a_file_in_its_place)
{
    struct mount_table t;
    struct volume_report r;
    parse(&t, ROOT);
    struct volume_spec spec = { .path = in_dir("none") };
    volume_verify(&spec, &t, NULL, &r);
    bool missing = false;
    for (size_t i = 0; i < r.count; i++)
        missing |= r.findings[i].code == FINDING_MISSING;
    ck_assert(missing);
    ck_assert_int_eq(file_write_atomic(in_dir("file"), "x", 1, 0600), 0);
    spec.path = in_dir("file");
    volume_verify(&spec, &t, NULL, &r);
    ck_assert_int_eq(r.findings[0].level, FINDING_BAD);
    ck_assert_int_eq(unlink(in_dir("file")), 0);
    mount_table_release(&t);
}
END_TEST

START_TEST(a_link_on_the_way_does_not_hide_the_volume)
{
    struct mount_table t;
    struct volume_report r;
    _cleanup_free_ char *text = put_in(ROOT "9 1 8:1 / " V "/real rw - ext4 /dev/sda rw\n");
    ck_assert_int_eq(mkdir(in_dir("real"), 0700), 0);
    ck_assert_int_eq(symlink("real", in_dir("link")), 0);
    parse(&t, text);
    struct volume_spec spec = { .path = in_dir("link") };
    volume_verify(&spec, &t, NULL, &r);
    ck_assert_msg(r.findings[0].code == FINDING_FINE, "%s", r.findings[0].message);
    mount_table_release(&t);
    (void)file_remove_tree(in_dir("link"));
    (void)file_remove_tree(in_dir("real"));
}
END_TEST

START_TEST(old_layout_is_seen)
{
    struct volume_report r;
    ck_assert_int_eq(file_write_atomic(in_dir("auth.json"), "{}", 2, 0600), 0);
    judge(ROOT "9 1 8:1 / " V " rw - ext4 a rw\n", true, &r);
    ck_assert_int_eq(r.findings[0].code, FINDING_OLD_LAYOUT);
    ck_assert_int_eq(r.findings[0].level, FINDING_WARN);
    ck_assert_int_eq(unlink(in_dir("auth.json")), 0);
}
END_TEST

START_TEST(write_test_leaves_nothing)
{
    const char *step = "";
    ck_assert_int_eq(volume_io_test(dir, &step), 0);
    ck_assert_int_eq(rmdir(dir), 0); /* is it empty? */
    ck_assert_int_eq(volume_io_test(dir, &step), -ENOENT);
    ck_assert_str_eq(step, "open");
    ck_assert_int_eq(mkdir(dir, 0700), 0);
}
END_TEST

/* As another user, in a child: 0, or what went wrong. */
START_TEST(not_writable_for_the_user)
{
    if (getuid() != 0) {
        (void)printf("SKIP not_writable_for_the_user: needs root to become another user\n");
        return;
    }
    ck_assert_int_eq(chmod(dir, 0755), 0);
    ck_assert_int_eq(setgid(65534), 0);
    ck_assert_int_eq(setuid(65534), 0);
    struct volume_report r;
    judge(ROOT "9 1 8:1 / " V " rw - ext4 a rw\n", true, &r);
    ck_assert_int_eq(r.findings[0].code, FINDING_NOT_WRITABLE);
    ck_assert_ptr_nonnull(strstr(r.findings[0].message, "fsGroup"));
    ck_assert_ptr_nonnull(strstr(r.findings[0].message, "uid 65534"));
    struct mount_table t;
    parse(&t, ROOT);
    struct volume_spec spec = { .path = "/root/codev-none" };
    volume_verify(&spec, &t, NULL, &r);
    struct stat st;
    if (stat("/root/.", &st) < 0 && errno == EACCES)
        ck_assert_int_eq(r.findings[1].code, FINDING_NOT_WRITABLE);
    mount_table_release(&t);
}
END_TEST

/* --- real mounts, in a mount namespace of the test's own --- */

/* Prints the reason and returns false when that is not allowed here. */
static bool own_namespace(const char *test)
{
    if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
        return true;
    (void)printf("SKIP %s: no mount namespace (%s)\n", test, strerror(errno));
    return false;
}

static void verify_real(uint64_t min_free, struct volume_report *r)
{
    struct mount_table t = { 0 };
    struct error e = ERROR_INIT;
    struct volume_spec spec = { .path = dir, .min_free = min_free };
    ck_assert_msg(mount_table_read(&t, &e) == 0, "%s", e.message);
    volume_verify(&spec, &t, NULL, r);
    mount_table_release(&t);
}

static bool found(const struct volume_report *r, enum finding_code code, const char *text)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->findings[i].code == code && strstr(r->findings[i].message, text))
            return true;
    return false;
}

START_TEST(real_full_disk)
{
    struct volume_report r;
    if (!own_namespace("real_full_disk"))
        return;
    ck_assert_int_eq(mount("none", dir, "tmpfs", 0, "size=1m"), 0);
    verify_real(1 << 10, &r);
    ck_assert_int_eq(r.findings[0].level, FINDING_WARN); /* tmpfs, and nothing else */
    int fd = open(in_dir("fill"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    char page[4096] = "";
    while (write(fd, page, sizeof page) > 0)
        ;
    (void)close(fd);
    verify_real(1 << 10, &r);
    ck_assert(found(&r, FINDING_LOW_SPACE, "enlarge the PersistentVolumeClaim"));
    ck_assert_msg(found(&r, FINDING_IO_ERROR, "No space left"), "%s", r.findings[0].message);
    ck_assert_int_eq(r.findings[0].level, FINDING_BAD);
    ck_assert_int_eq(unlink(in_dir("fill")), 0);
    verify_real(1 << 10, &r);
    ck_assert_int_eq(r.findings[0].level, FINDING_WARN);
    ck_assert_int_eq(umount(dir), 0);
}
END_TEST

START_TEST(real_read_only_and_stacked)
{
    struct volume_report r;
    if (!own_namespace("real_read_only_and_stacked"))
        return;
    ck_assert_int_eq(mount("none", dir, "tmpfs", 0, "size=1m"), 0);
    ck_assert_int_eq(mount("none", dir, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=1m"), 0);
    verify_real(0, &r);
    ck_assert(found(&r, FINDING_READ_ONLY, "readOnly"));
    ck_assert_int_eq(mount("none", dir, "tmpfs", 0, "size=1m"), 0);
    verify_real(0, &r);
    ck_assert(!found(&r, FINDING_READ_ONLY, ""));
    ck_assert(found(&r, FINDING_SHADOWED, "two mounts"));
    ck_assert_int_eq(umount(dir), 0);
    ck_assert_int_eq(umount(dir), 0);
}
END_TEST

START_TEST(real_old_place)
{
    struct volume_report r;
    if (!own_namespace("real_old_place"))
        return;
    ck_assert_int_eq(file_mkdir_p(in_dir("share/opencode"), 0755), 0);
    ck_assert_int_eq(mount("none", in_dir("share/opencode"), "tmpfs", 0, "size=1m"), 0);
    verify_real(0, &r);
    ck_assert_int_eq(r.findings[0].code, FINDING_OLD_PLACE);
    ck_assert_int_eq(umount(in_dir("share/opencode")), 0);
    ck_assert_int_eq(file_remove_tree(in_dir("share")), 0);
}
END_TEST

/* mkfs.ext4 and a loop device by the tools that a node has, too. */
static int run(const char *command)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    (void)waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

START_TEST(real_ext4)
{
    struct volume_report r;
    char command[1500];
    if (!own_namespace("real_ext4"))
        return;
    (void)snprintf(
        command, sizeof command,
        "truncate -s 16M '%s.img' && mkfs.ext4 -q -F '%s.img' && mount -o loop '%s.img' '%s' "
        ">/dev/null 2>&1",
        dir, dir, dir, dir);
    if (run(command) != 0) {
        (void)printf("SKIP real_ext4: cannot make or loop-mount an ext4 image here\n");
    } else {
        verify_real(1 << 20, &r);
        ck_assert_msg(r.findings[0].code == FINDING_FINE, "%s", r.findings[0].message);
        ck_assert_str_eq(r.fs_type, "ext4");
        ck_assert_uint_gt(r.inodes_total, 0);
        verify_real(1ULL << 30, &r);
        ck_assert_int_eq(r.findings[0].code, FINDING_LOW_SPACE);
        ck_assert_int_eq(umount(dir), 0);
    }
    (void)snprintf(command, sizeof command, "%s.img", dir);
    (void)unlink(command);
}
END_TEST

/* --- the ledger --- */

static size_t ledger_lines(char **text)
{
    size_t n = 0, len = 0;
    ck_assert_int_eq(file_read(in_dir("boots.jsonl"), 16 << 20, text, &len), 0);
    for (size_t i = 0; i < len; i++)
        n += (*text)[i] == '\n';
    ck_assert_int_eq((*text)[len - 1], '\n');
    return n;
}

START_TEST(ledger_keeps_the_newest)
{
    struct error e = ERROR_INIT;
    char line[64];
    for (int i = 0; i < LEDGER_LINES_MAX + 7; i++) {
        (void)snprintf(line, sizeof line, "{\"boot\":%d}", i);
        ck_assert_msg(ledger_append(dir, line, &e) == 0, "%s", e.message);
    }
    _cleanup_free_ char *text = NULL;
    ck_assert_uint_eq(ledger_lines(&text), LEDGER_LINES_MAX);
    ck_assert_int_eq(strncmp(text, "{\"boot\":7}\n", 11), 0);
    (void)snprintf(line, sizeof line, "{\"boot\":%d}\n", LEDGER_LINES_MAX + 6);
    ck_assert_ptr_nonnull(strstr(text, line));
    struct stat st;
    ck_assert_int_eq(stat(in_dir("boots.jsonl"), &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    (void)unlink(in_dir("boots.jsonl"));
}
END_TEST

START_TEST(ledger_ends_a_torn_line_and_refuses_bad_ones)
{
    struct error e = ERROR_INIT;
    _cleanup_free_ char *text = NULL;
    ck_assert_int_eq(file_write_atomic(in_dir("boots.jsonl"), "{\"a\":1}\n{\"to", 12, 0600), 0);
    ck_assert_int_eq(ledger_append(dir, "{\"b\":2}", &e), 0);
    ck_assert_uint_eq(ledger_lines(&text), 3);
    ck_assert_str_eq(text, "{\"a\":1}\n{\"to\n{\"b\":2}\n");
    ck_assert_int_eq(ledger_append(dir, "a\nb", &e), -EINVAL);
    _cleanup_free_ char *big = calloc(1, 20000);
    memset(big, 'x', 19999);
    ck_assert_int_eq(ledger_append(dir, big, &e), -EINVAL);
    ck_assert_int_eq(ledger_append("/does/not/exist", "{}", &e), -ENOENT);
    ck_assert(e.message[0]);
    (void)unlink(in_dir("boots.jsonl"));
}
END_TEST

START_TEST(ledger_on_a_full_disk_stays_whole)
{
    struct error e = ERROR_INIT;
    _cleanup_free_ char *text = NULL;
    if (!own_namespace("ledger_on_a_full_disk_stays_whole"))
        return;
    ck_assert_int_eq(mount("none", dir, "tmpfs", 0, "size=64k"), 0);
    ck_assert_int_eq(ledger_append(dir, "{\"boot\":0}", &e), 0);
    int fd = open(in_dir("fill"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    char page[4096] = "", line[4000];
    while (write(fd, page, sizeof page) > 0)
        ;
    (void)close(fd);
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    int r = 0;
    for (int i = 0; i < 3 && r == 0; i++) /* the first may still fit into the file's page */
        r = ledger_append(dir, line, &e);
    ck_assert_int_eq(r, -ENOSPC);
    ck_assert_uint_ge(ledger_lines(&text), 1);
    ck_assert_int_eq(umount(dir), 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("volumes");
    TCase *m = tcase_create("mounts");
    tcase_add_test(m, fields_escapes_and_optional_fields);
    tcase_add_loop_test(m, broken_lines_are_named, 0, (int)ARRAY_SIZE(broken));
    tcase_add_test(m, this_machines_own_table);
    tcase_add_test(m, empty_table);
    tcase_add_test(m, covering_follows_the_tree);
    tcase_add_test(m, ids_that_go_in_circles);
    suite_add_tcase(s, m);
    TCase *j = tcase_create("judgement");
    tcase_add_unchecked_fixture(j, make_dir, remove_dir);
    tcase_add_loop_test(j, judged_by_table, 0, (int)ARRAY_SIZE(cases));
    tcase_add_test(j, hidden_by_a_mount_over_its_parent);
    tcase_add_test(j, space_inodes_and_figures);
    tcase_add_test(j, missing_folder_and_a_file_in_its_place);
    tcase_add_test(j, a_link_on_the_way_does_not_hide_the_volume);
    tcase_add_test(j, old_layout_is_seen);
    tcase_add_test(j, write_test_leaves_nothing);
    tcase_add_test(j, not_writable_for_the_user);
    suite_add_tcase(s, j);
    TCase *r = tcase_create("real");
    tcase_add_unchecked_fixture(r, make_dir, remove_dir);
    tcase_set_timeout(r, 30);
    tcase_add_test(r, real_full_disk);
    tcase_add_test(r, real_read_only_and_stacked);
    tcase_add_test(r, real_old_place);
    tcase_add_test(r, real_ext4);
    tcase_add_test(r, ledger_keeps_the_newest);
    tcase_add_test(r, ledger_ends_a_torn_line_and_refuses_bad_ones);
    tcase_add_test(r, ledger_on_a_full_disk_stays_whole);
    suite_add_tcase(s, r);
    return s;
}

int main(void)
{
    return run_suite(make_suite());
}
