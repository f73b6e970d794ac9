/* rooms: supervisor/ctl supervisor/volumes base/json base/core */
#include "supervisor/ctl/well.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/file.h"
#include "supervisor/ctl/copy.h"
#include "tests/unit/run_suite.h"

/* --- is all well? --- */

#define STATUS(ready, services, volumes)                                                           \
    "{\"ready\":" ready ",\"live\":true,\"services\":[" services "],\"volumes\":[" volumes "]}"
#define OPENCODE(more) "{\"name\":\"opencode\",\"state\":\"ready\",\"health\":\"ok\"" more "}"
#define PREPARE(state)                                                                             \
    "{\"name\":\"prepare\",\"state\":\"done\",\"notes\":{\"plugin\":\"{\\\"state\\\":\\\"" state   \
    "\\\"}\"}}"
#define GATEWAY(state)                                                                                \
    "{\"name\":\"gateway\",\"state\":\"ready\",\"notes\":{\"links\":\"{\\\"slack\\\":{\\\"state\\\":" \
    "\\\"" state "\\\"}}\"}}"

#define SESSION_STATE(state)                                                                           \
    "{\"name\":\"session-state\",\"state\":\"running\",\"notes\":{\"git\":\"{\\\"state\\\":\\\"" state \
    "\\\"}\"}}"

static const struct {
    const char *status;
    bool well;
} statuses[] = {
    { STATUS("true", OPENCODE("") "," PREPARE("ready") "," GATEWAY("connected"), "{\"ok\":true}"),
      true },
    { STATUS("true", PREPARE("disabled") "," GATEWAY("off"), ""), true },
    { STATUS("true", "", ""), true },
    { STATUS("false", OPENCODE(""), ""), false },
    { "{\"ready\":true,\"live\":true,\"config_error\":\"\"}", true },
    { "{\"ready\":true,\"live\":true,\"config_error\":\"codev.yaml:1: x\"}", false },
    { "{\"ready\":true}", false },
    { "{}", false },
    { "[]", false },
    { STATUS("true", OPENCODE("") ",{\"name\":\"x\",\"state\":\"backoff\"}", ""), false },
    { STATUS("true", "{\"name\":\"x\",\"state\":\"stopped\"}", ""), false },
    { STATUS("true", OPENCODE(",\"gave_up\":true"), ""), false },
    { STATUS("true", "{\"name\":\"x\",\"state\":\"ready\",\"health\":\"fail\"}", ""), false },
    { STATUS("true", PREPARE("missing"), ""), false },
    { STATUS("true", PREPARE("failed"), ""), false },
    { STATUS("true", GATEWAY("failed"), ""), false },
    { STATUS("true", SESSION_STATE("current"), ""), true },
    { STATUS("true", SESSION_STATE("away"), ""), true },
    { STATUS("true", SESSION_STATE("refused"), ""), false },
    { STATUS("true", SESSION_STATE("conflict"), ""), false },
    { STATUS("true", SESSION_STATE("failing"), ""), false },
    { STATUS("true", OPENCODE(""), "{\"ok\":true},{\"ok\":false}"), false },
};

START_TEST(well_by_table)
{
    _cleanup_json_ cJSON *j = NULL;
    struct error e = ERROR_INIT;
    int r = json_parse(&j, statuses[_i].status, strlen(statuses[_i].status), &e);
    ck_assert_msg(r == 0, "%s: %s", e.message, statuses[_i].status);
    ck_assert_msg(status_is_well(j) == statuses[_i].well, "%s", statuses[_i].status);
}
END_TEST

/* --- copying the plugin to its place --- */

static char dir[200];

static void make_dir(void)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(dir, sizeof dir, "%s/codev-ctl-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(dir));
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

static bool there(const char *name)
{
    struct stat st;
    return lstat(in_dir(name), &st) == 0;
}

START_TEST(copies_sources_only_and_never_over_something)
{
    struct error e = ERROR_INIT;
    static const char *const folders[] = { "from/src/deep", "from/node_modules/x", "from/dist",
                                           "from/.git" };
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
        ck_assert_int_eq(file_mkdir_p(in_dir(folders[i]), 0755), 0);
    ck_assert_int_eq(file_write_atomic(in_dir("from/package.json"), "{}", 2, 0644), 0);
    ck_assert_int_eq(file_write_atomic(in_dir("from/src/deep/run"), "x", 1, 0755), 0);
    ck_assert_int_eq(symlink("package.json", in_dir("from/link")), 0);
    ck_assert_int_eq(mkfifo(in_dir("from/fifo"), 0600), 0);
    ck_assert_msg(copy_tree(in_dir("from"), in_dir("a/b/to"), &e) == 0, "%s", e.message);
    ck_assert(there("a/b/to/package.json"));
    ck_assert(there("a/b/to/link"));
    ck_assert(!there("a/b/to/node_modules"));
    ck_assert(!there("a/b/to/dist"));
    ck_assert(!there("a/b/to/.git"));
    ck_assert(!there("a/b/to/fifo"));
    struct stat st;
    ck_assert_int_eq(stat(in_dir("a/b/to/src/deep/run"), &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0755);
    ck_assert_int_eq(copy_tree(in_dir("from"), in_dir("a/b/to"), &e), -EEXIST);
    ck_assert_int_eq(mkdir(in_dir("empty"), 0755), 0);
    ck_assert_int_eq(copy_tree(in_dir("from"), in_dir("empty"), &e), -EEXIST);
    ck_assert_int_eq(symlink("nowhere", in_dir("dangling")), 0);
    ck_assert_int_eq(copy_tree(in_dir("from"), in_dir("dangling"), &e), -EEXIST);
}
END_TEST

START_TEST(a_failed_copy_leaves_nothing)
{
    struct error e = ERROR_INIT;
    ck_assert_int_eq(copy_tree(in_dir("none"), in_dir("c/to"), &e), -ENOENT);
    ck_assert(e.message[0]);
    ck_assert(!there("c/to"));
    ck_assert_int_eq(rmdir(in_dir("c")), 0); /* nothing half-made beside it */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ctl");
    TCase *t = tcase_create("ctl");
    tcase_add_unchecked_fixture(t, make_dir, remove_dir);
    tcase_add_loop_test(t, well_by_table, 0, (int)ARRAY_SIZE(statuses));
    tcase_add_test(t, copies_sources_only_and_never_over_something);
    tcase_add_test(t, a_failed_copy_leaves_nothing);
    suite_add_tcase(s, t);
    return run_suite(s);
}
