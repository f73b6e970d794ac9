/* rooms: bridge/prepare supervisor/sandbox base/git base/json base/core */
#include "bridge/prepare/jsonc.h"
#include "bridge/prepare/link.h"
#include "bridge/prepare/lock.h"
#include "bridge/prepare/merge.h"
#include "bridge/prepare/names.h"
#include "bridge/prepare/npm_env.h"
#include "bridge/prepare/npm_output.h"
#include "bridge/prepare/package.h"
#include "bridge/prepare/report.h"
#include "bridge/prepare/source.h"
#include "bridge/prepare/trap.h"
#include "bridge/prepare/version.h"

#include "base/core/clock.h"
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

static char folder[200];

static void make_folder(void)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(folder, sizeof folder, "%.150s/codev-prep-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    (void)file_remove_tree(folder);
}

static char *at(const char *name)
{
    char *path = path_join(folder, name);
    ck_assert_ptr_nonnull(path);
    return path;
}

static void put(const char *name, const char *text)
{
    _cleanup_free_ char *path = at(name);
    _cleanup_free_ char *parent = strdup(path);
    *strrchr(parent, '/') = '\0';
    ck_assert_int_eq(file_mkdir_p(parent, 0755), 0);
    ck_assert_int_eq(file_write_atomic(path, text, strlen(text), 0644), 0);
}

/* JSON with comments */

static const struct {
    const char *text, *stripped; /* NULL: refused */
} jsonc[] = {
    { "{}", "{}" },
    { "{ // x\n}", "{     \n}" },
    { "{/*x*/}", "{     }" },
    { "{/*\n*/}", "{  \n  }" },
    { "[1,]", "[1 ]" },
    { "[1, /*x*/ ]", "[1        ]" },
    { "{\"a\":1,\n}", "{\"a\":1 \n}" },
    { "\"// no\"", "\"// no\"" },
    { "\"/* no\"", "\"/* no\"" },
    { "\"\\\"//\" //", "\"\\\"//\"   " },
    { "\",]\"", "\",]\"" },
    { "/", "/" },
    { "//", "  " },
    { "\"", "\"" },
    { "\"\\", "\"\\" },
    { "", "" },
    { "\xef\xbb\xbf{}", "   {}" },
    { "/*", NULL },
    { "/*/", NULL },
    { "{/* *", NULL },
};

START_TEST(test_jsonc)
{
    struct error e = ERROR_INIT;
    _cleanup_free_ char *text = strdup(jsonc[_i].text);
    int r = jsonc_strip(text, strlen(text), &e);
    ck_assert_int_eq(r, jsonc[_i].stripped ? 0 : -EBADMSG);
    if (jsonc[_i].stripped)
        ck_assert_str_eq(text, jsonc[_i].stripped);
}
END_TEST

START_TEST(test_jsonc_place)
{
    char out[48];
    jsonc_place("ab\ncd", 4, out, sizeof out);
    ck_assert_str_eq(out, "line 2, column 2");
    jsonc_place("ab", 99, out, sizeof out);
    ck_assert_str_eq(out, "line 1, column 3");
}
END_TEST

/* Sources: what OpenCode would make of a config file */

static const struct {
    const char *text;
    enum source_state state;
    enum source_names names;
    bool bare;
    const char *reason; /* part of it */
} sources[] = {
    { "", SOURCE_GOOD, NAMES_NOT, false, "" },
    { "{}", SOURCE_GOOD, NAMES_NOT, false, "" },
    { "{\"unknown\": 5}", SOURCE_GOOD, NAMES_NOT, false, "" },
    { "{\"plugin\": [\"%P\"]}", SOURCE_GOOD, NAMES_SAME, false, "" },
    { "{\"plugin\": [\"file://%P\"],}", SOURCE_GOOD, NAMES_SAME, false, "" },
    { "{\"plugin\": [[\"file://%P\", {}]]}", SOURCE_GOOD, NAMES_SAME, false, "" },
    { "{\"plugin\": [\"file://%P/\"]}", SOURCE_GOOD, NAMES_OTHERWISE, false, "" },
    { "{\"plugin\": [\"%P/dist/index.js\"]}", SOURCE_GOOD, NAMES_OTHERWISE, false, "" },
    { "{\"plugin\": [\"../plugin\"]}", SOURCE_GOOD, NAMES_OTHERWISE, false, "" },
    { "{\"plugin\": [\"%P-2\", 5, [], {}, null]}", SOURCE_GOOD, NAMES_NOT, false, "" },
    { "{\"plugin\": [\"@opencode/bridge-plugin\"]}", SOURCE_GOOD, NAMES_NOT, true, "" },
    { "{\"plugin\": [\"@opencode/bridge-plugin@1.0.0\"]}", SOURCE_GOOD, NAMES_NOT, true, "" },
    { "{\"plugin\": [\"@opencode/bridge-plugins\"]}", SOURCE_GOOD, NAMES_NOT, false, "" },
    { "// {\"plugin\": 5}\n{}", SOURCE_GOOD, NAMES_NOT, false, "" },
    { "{\"snapshot\": {env:X}}", SOURCE_UNCLEAR, NAMES_NOT, false, "" },
    { "{\"username\": \"{env:X}\"}", SOURCE_GOOD, NAMES_NOT, false, "" },
    { "{\"username\": \"{file:c.json}\"}", SOURCE_GOOD, NAMES_NOT, false, "" },
    { "{\"username\": \"{file:gone}\"}", SOURCE_BAD, NAMES_NOT, false,
      "{file:gone} cannot be read" },
    { "{\"plugin\": 5}", SOURCE_BAD, NAMES_NOT, false, "\"plugin\" has the wrong type" },
    { "{\"plugin\": {\"a\": 1}}", SOURCE_BAD, NAMES_NOT, false, "\"plugin\" has the wrong type" },
    { "{\"autoupdate\": \"notify\", \"lsp\": false}", SOURCE_GOOD, NAMES_NOT, false, "" },
    { " \n", SOURCE_BAD, NAMES_NOT, false, "not valid JSON" },
    { "[]", SOURCE_BAD, NAMES_NOT, false, "not a JSON object" },
    { "{\n  \"a\": }", SOURCE_BAD, NAMES_NOT, false, "line 2, column " },
    { "{} x", SOURCE_BAD, NAMES_NOT, false, "line 1, column 4" },
    { "{ /* ", SOURCE_BAD, NAMES_NOT, false, "a comment without an end" },
    { "\xff", SOURCE_BAD, NAMES_NOT, false, "UTF-8" },
};

START_TEST(test_source)
{
    put("plugin/dist/index.js", "");
    put("plugin-2/index.js", "");
    _cleanup_free_ char *plugin = at("plugin");
    _cleanup_free_ char *path = at("config/c.json");
    char text[1000];
    const char *p = strstr(sources[_i].text, "%P");
    if (p)
        (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(p - sources[_i].text), sources[_i].text,
                       plugin, p + 2);
    put("config/c.json", p ? text : sources[_i].text);
    _cleanup_(source_release) struct source s = { 0 };
    ck_assert_int_eq(source_read(&s, path, plugin), 0);
    ck_assert_msg(strstr(s.reason, sources[_i].reason) != NULL, "%s", s.reason);
    ck_assert_msg(*s.reason == '\0' || *sources[_i].reason, "%s", s.reason);
    ck_assert_int_eq(s.state, sources[_i].state);
    ck_assert_int_eq(s.names, sources[_i].names);
    ck_assert_int_eq(s.bare, sources[_i].bare);
}
END_TEST

START_TEST(test_source_places)
{
    _cleanup_free_ char *path = at("gone.json");
    _cleanup_(source_release) struct source absent = { 0 };
    _cleanup_(source_release) struct source dir = { 0 };
    ck_assert_int_eq(source_read(&absent, path, "/p"), 0);
    ck_assert_int_eq(absent.state, SOURCE_ABSENT);
    ck_assert_int_eq(source_read(&dir, folder, "/p"), 0);
    ck_assert_int_eq(dir.state, SOURCE_BAD);
}
END_TEST

START_TEST(test_source_folder)
{
    put("plugin/dist/index.js", "");
    put("c/plugin/other.js", "");
    _cleanup_free_ char *plugin = at("plugin");
    _cleanup_free_ char *config = at("c");
    _cleanup_free_ char *main_file = at("plugin/dist/index.js");
    _cleanup_free_ char *link = at("c/plugin/mine.js");
    ck_assert(!source_folder_names(config, plugin));
    ck_assert_int_eq(symlink(main_file, link), 0);
    ck_assert(source_folder_names(config, plugin));
}
END_TEST

START_TEST(test_file_url_round)
{
    static const char *const paths[] = { "/a/b", "/a b/%41", "/ä#?&", "/x@y+z" };
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        _cleanup_free_ char *url = source_file_url(paths[i]);
        _cleanup_free_ char *back = names_path(url, "/");
        ck_assert_str_eq(back, paths[i]);
        ck_assert_ptr_null(strpbrk(url, " #?"));
    }
}
END_TEST

START_TEST(test_merge)
{
    put("name.txt", "joe");
    _cleanup_(source_release) struct source s = { 0 };
    ck_assert_int_eq(
        source_parse(
            &s, "x", folder,
            "{\"plugin\":[\"./a.js\",[\"../b\",{}],\"npm\"],\"k\":[{\"v\":\"{env:SECRET}\"},"
            "\"a {file:/dev/null} {file:name.txt}\"],\"n\":1}",
            "/p"),
        0);
    _cleanup_free_ char *text = merge_config(&s, "/the plugin", NULL, NULL);
    _cleanup_json_ cJSON *j = NULL;
    ck_assert_int_eq(json_parse(&j, text, strlen(text), NULL), 0);
    const cJSON *list = json_arr(j, "plugin");
    char want[300];
    (void)snprintf(want, sizeof want, "file://%s/./a.js", folder);
    ck_assert_int_eq(cJSON_GetArraySize(list), 4);
    ck_assert_str_eq(cJSON_GetArrayItem(list, 0)->valuestring, want);
    ck_assert_str_eq(cJSON_GetArrayItem(list, 2)->valuestring, "npm");
    ck_assert_str_eq(cJSON_GetArrayItem(list, 3)->valuestring, "file:///the%20plugin");
    ck_assert_ptr_nonnull(strstr(text, "{env:SECRET}"));
    (void)snprintf(want, sizeof want, "a {file:/dev/null} {file:%s/name.txt}", folder);
    ck_assert_ptr_nonnull(strstr(text, want));
    ck_assert_int_eq(json_int(j, "n", 0), 1);
    ck_assert_int_eq(cJSON_GetArraySize(json_arr(s.json, "plugin")), 3);
}
END_TEST

START_TEST(test_merge_of_nothing)
{
    _cleanup_free_ char *with = merge_config(NULL, "/p", "/g/guard.js", "/src/AGENTS.md");
    _cleanup_free_ char *without = merge_config(NULL, NULL, NULL, NULL);
    ck_assert_ptr_nonnull(strstr(with, "\"file:///p\""));
    ck_assert_ptr_nonnull(strstr(with, "$schema"));
    ck_assert_ptr_nonnull(strstr(with, "\"/src/AGENTS.md\""));
    ck_assert_ptr_nonnull(strstr(with, "\"file:///g/guard.js\""));
    ck_assert_ptr_null(strstr(without, "plugin"));
    ck_assert_ptr_null(strstr(without, "instructions"));
}
END_TEST

/* npm's environment and output */

static const struct {
    const char *entry;
    bool allowed;
} env_entries[] = {
    { "PATH=/bin", true },
    { "HOME=/h", true },
    { "LC_ALL=C", true },
    { "npm_config_registry=http://x/", true },
    { "https_proxy=http://x/", true },
    { "PATHS=/bin", false },
    { "SLACK_BOT_TOKEN=x", false },
    { "GITHUB_TOKEN=x", false },
    { "ANTHROPIC_API_KEY=x", false },
    { "CODEV_SECRETS_FD=3", false },
    { "npm_config__authToken=x", false },
    { "npm_config_//r/:_PASSWORD=x", false },
    { "npm_config_userconfig=/token", true },
    { "NODE_OPTIONS=--require=x", false },
    { "LD_PRELOAD=x", false },
    { "=x", false },
    { "", false },
};

START_TEST(test_npm_env)
{
    ck_assert_int_eq(npm_env_allows(env_entries[_i].entry), env_entries[_i].allowed);
}
END_TEST

static const struct {
    const char *err, *out, *reason;
} outputs[] = {
    { "", "", "" },
    { "npm warn x\nnpm error code E404\nnpm error 404 Not Found\nnpm error A complete log\n", "",
      "404 Not Found" },
    { "src/x.ts:3: no\nnpm error Lifecycle script `build` failed\n", "> x build\n",
      "src/x.ts:3: no" },
    { "npm ERR! code X\nnpm ERR! why\n", "", "why" },
    { "", "> x@1 build\n> tsc\n\nx.ts(1,1): error TS1\n", "x.ts(1,1): error TS1" },
    { "no newline", "", "no newline" },
    { "a\rb\n\n   \n", "", "b" },
};

static void read_text(struct npm_output *o, const char *text)
{
    int fds[2];
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    ck_assert_int_eq(fd_write_all(fds[1], text, strlen(text)), 0);
    npm_output_begin(o, fds[0]);
    npm_output_read(o);
    (void)close(fds[1]);
    npm_output_end(o);
    (void)close(fds[0]);
}

START_TEST(test_npm_output)
{
    struct npm_output err, out;
    read_text(&err, outputs[_i].err);
    read_text(&out, outputs[_i].out);
    ck_assert_str_eq(npm_output_reason(&err, &out), outputs[_i].reason);
}
END_TEST

START_TEST(test_npm_output_floods)
{
    struct npm_output o;
    _cleanup_free_ char *text = malloc(30001);
    memset(text, 'x', 30000);
    text[30000] = '\0';
    text[5] = '\x1b';
    read_text(&o, text);
    ck_assert_uint_eq(strlen(o.last), sizeof o.last - 1);
    ck_assert_ptr_null(strchr(o.last, '\x1b'));
}
END_TEST

/* package.json */

static const struct {
    const char *text, *main; /* NULL: refused */
    bool builds;
} packages[] = {
    { "{}", "index.js", false },
    { "{\"main\":\"./dist/a.js\",\"scripts\":{\"build\":\"x\"}}", "dist/a.js", true },
    { "{\"exports\":\"./b.js\"}", "b.js", false },
    { "{\"exports\":{\".\":\"./c.js\"}}", "c.js", false },
    { "{\"exports\":{\".\":{\"import\":\"./d.js\"}},\"scripts\":{\"build\":5}}", "d.js", false },
    { "{\"main\":5}", "index.js", false },
    { "{\"main\":\"\"}", NULL, false },
    { "{\"main\":\"/etc/x\"}", NULL, false },
    { "{\"main\":\"a/../../x\"}", NULL, false },
    { "5", NULL, false },
    { "{", NULL, false },
};

START_TEST(test_package)
{
    put("package.json", packages[_i].text);
    struct error e = ERROR_INIT;
    _cleanup_(package_release) struct package p = { 0 };
    int r = package_read(folder, &p, &e);
    ck_assert_int_eq(r, packages[_i].main ? 0 : -EBADMSG);
    if (!packages[_i].main) {
        ck_assert_ptr_nonnull(strstr(e.message, "package.json"));
        return;
    }
    ck_assert_str_eq(p.main, packages[_i].main);
    ck_assert_int_eq(p.builds, packages[_i].builds);
    ck_assert(!package_main_exists(folder, &p));
    put(p.main, "");
    ck_assert(package_main_exists(folder, &p));
}
END_TEST

/* The link, the lock, the trap, the report */

START_TEST(test_link_keeps_what_stood_there)
{
    char moved[400];
    struct error e = ERROR_INIT;
    _cleanup_free_ char *link = at("a/b/link");
    ck_assert_int_eq(link_put(link, "/target", moved, sizeof moved, &e), 0);
    ck_assert(link_is(link, "/target"));
    ck_assert(!link_is(link, "/targe"));
    ck_assert_str_eq(moved, "");
    ck_assert_int_eq(link_put(link, "/other", moved, sizeof moved, &e), 0);
    ck_assert(link_is(link, "/other"));
    ck_assert_int_eq(unlink(link), 0);
    put("a/b/link/file", "x");
    ck_assert_int_eq(link_put(link, "/target", moved, sizeof moved, &e), 0);
    ck_assert(link_is(link, "/target"));
    _cleanup_free_ char *file = path_join(moved, "file");
    ck_assert_int_eq(access(file, F_OK), 0);
    put("c", "a file");
    _cleanup_free_ char *below = at("c/d/link");
    ck_assert_int_eq(link_put(below, "/target", moved, sizeof moved, &e), -ENOTDIR);
}
END_TEST

START_TEST(test_lock)
{
    struct error e = ERROR_INIT;
    _cleanup_free_ char *repo = at("ai-dev");
    int first = lock_take(repo, clock_mono_ms() + 1000, &e);
    ck_assert_int_ge(first, 0);
    ck_assert_int_eq(lock_take(repo, clock_mono_ms(), &e), -ETIMEDOUT);
    ck_assert_ptr_nonnull(strstr(e.message, "process "));
    ck_assert_int_eq(lock_try(repo), -EWOULDBLOCK);
    (void)close(first);
    int second = lock_try(repo);
    ck_assert_int_ge(second, 0);
    (void)close(second);
}
END_TEST

START_TEST(test_trap)
{
    struct report report = { 0 };
    _cleanup_free_ char *config = at("c");
    _cleanup_free_ char *lock = at("c/package-lock.json");
    _cleanup_free_ char *modules = at("c/node_modules");
    trap_disarm(config, &report);
    ck_assert_int_ne(access(config, F_OK), 0);
    put("c/opencode.json", "{}");
    trap_disarm(config, &report);
    ck_assert_int_eq(access(lock, F_OK), 0);
    ck_assert_int_eq(access(modules, F_OK), 0);
    put("c/tool/mine.ts", "");
    trap_disarm(config, &report);
    ck_assert_int_ne(access(lock, F_OK), 0);
    put("c/package-lock.json", "mine");
    trap_disarm(config, &report);
    _cleanup_free_ char *text = NULL;
    ck_assert_int_eq(file_read(lock, 100, &text, NULL), 0);
    ck_assert_str_eq(text, "mine");
    ck_assert_uint_eq(report.note_count, 0);
}
END_TEST

START_TEST(test_report_is_bounded)
{
    struct report r = { 0 };
    char path[4000];
    memset(path, 0x01, sizeof path - 1);
    path[sizeof path - 1] = '\0';
    for (int i = 0; i < 20; i++)
        report_note(&r, "%.300s", path);
    report_state(&r, PLUGIN_FAILED, "why \"not\"");
    _cleanup_buf_ struct buf out = BUF_INIT;
    report_json(&r, "/p", &out);
    ck_assert_uint_le(out.len, 5 << 10);
    _cleanup_json_ cJSON *j = NULL;
    ck_assert_int_eq(json_parse(&j, out.data, out.len, NULL), 0);
    ck_assert_str_eq(json_str(j, "state", ""), "failed");
    ck_assert_str_eq(json_str(j, "reason", ""), "why \"not\"");
}
END_TEST

static const struct {
    const char *version;
    enum version_verdict verdict;
} versions[] = {
    { "1.18.33", VERSION_GOOD },     { "1.18.32", VERSION_UNTRIED },
    { "1.18.34", VERSION_UNTRIED },  { "0.15.0", VERSION_UNTRIED },
    { "2.0.0", VERSION_BROKEN },     { "2.0.0-beta.1", VERSION_BROKEN },
    { "10.2.3", VERSION_BROKEN },    { "", VERSION_UNKNOWN },
    { "opencode", VERSION_UNKNOWN }, { "1.18", VERSION_UNKNOWN },
    { "1.2.3.4", VERSION_UNTRIED },  { "99999999999.1.1", VERSION_UNKNOWN },
};

START_TEST(versions_by_table)
{
    const char *why;
    ck_assert_int_eq(version_judge(versions[_i].version, &why), versions[_i].verdict);
    ck_assert_int_eq(*why != '\0', versions[_i].verdict == VERSION_BROKEN);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("prepare");
    TCase *t = tcase_create("prepare");
    tcase_add_checked_fixture(t, make_folder, remove_folder);
    tcase_add_loop_test(t, test_jsonc, 0, ARRAY_SIZE(jsonc));
    tcase_add_test(t, test_jsonc_place);
    tcase_add_loop_test(t, test_source, 0, ARRAY_SIZE(sources));
    tcase_add_test(t, test_source_places);
    tcase_add_test(t, test_source_folder);
    tcase_add_test(t, test_file_url_round);
    tcase_add_test(t, test_merge);
    tcase_add_test(t, test_merge_of_nothing);
    tcase_add_loop_test(t, test_npm_env, 0, ARRAY_SIZE(env_entries));
    tcase_add_loop_test(t, test_npm_output, 0, ARRAY_SIZE(outputs));
    tcase_add_test(t, test_npm_output_floods);
    tcase_add_loop_test(t, test_package, 0, ARRAY_SIZE(packages));
    tcase_add_test(t, test_link_keeps_what_stood_there);
    tcase_add_test(t, test_lock);
    tcase_add_test(t, test_trap);
    tcase_add_test(t, test_report_is_bounded);
    TCase *v = tcase_create("version");
    tcase_add_loop_test(v, versions_by_table, 0, (int)ARRAY_SIZE(versions));
    suite_add_tcase(s, v);
    suite_add_tcase(s, t);
    return run_suite(s);
}
