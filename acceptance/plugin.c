/* Story 1.6: the bridge plugin is found, built, linked and loaded, and can be missing. */
#include "acceptance/acceptance.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "acceptance/scratch.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/http/http.h"
#include "base/opencode/api.h"

#define PREPARE_TIMEOUT_MS 300000
#define BRIDGE_TIMEOUT_MS  15000
#define PACKAGE_NAME       "@opencode/bridge-plugin"

static int read_package(const char *plugin, cJSON **ret, struct error *e)
{
    _cleanup_free_ char *path = path_join(plugin, "package.json"), *text = NULL;
    size_t len = 0;
    int r = path ? file_read(path, 1 << 20, &text, &len) : -ENOMEM;
    if (r < 0)
        return error_set_errno(e, r, "%s", path ? path : plugin);
    struct error why = ERROR_INIT;
    if (json_parse(ret, text, len, &why) < 0)
        return error_set(e, -EBADMSG, "%s: %s", path, why.message);
    return 0;
}

void check_discovered(struct accept *a, struct result *r)
{
    struct error e = ERROR_INIT;
    _cleanup_json_ cJSON *package = NULL, *state = note_of(a->status, "prepare", "plugin"),
                         *config = NULL;
    if (read_package(a->plugin_path, &package, &e) < 0)
        return result_fail(r, "no plugin at its one place: %s", e.message);
    const char *name = json_str(package, "name", "");
    if (strcmp(name, PACKAGE_NAME) != 0)
        return result_fail(r, "%s/package.json is of %s, expected " PACKAGE_NAME, a->plugin_path,
                           *name ? name : "no package");
    if (!state)
        return result_fail(r, "codev-prepare has left no word: did it run?");
    const char *found = json_str(state, "path", "");
    if (strcmp(json_str(state, "state", ""), "ready") != 0 || strcmp(found, a->plugin_path) != 0)
        return result_fail(r, "codev-prepare says '%s' for '%s': %s", json_str(state, "state", "?"),
                           found, json_str(state, "reason", ""));
    /* Nowhere else: OpenCode knows exactly one entry of it. */
    _cleanup_free_ char *escaped = http_escape(a->directory);
    char path[700];
    (void)snprintf(path, sizeof path, "/config?directory=%s", escaped ? escaped : "");
    int status = api_call(a->api, "GET", path, NULL, 20000, &config, &e);
    if (status != 200)
        return result_fail(r, "GET /config: %s", status < 0 ? e.message : "refused");
    size_t entries = 0;
    const cJSON *entry;
    cJSON_ArrayForEach (entry, json_arr(config, "plugin")) {
        const cJSON *spec = cJSON_IsArray(entry) ? cJSON_GetArrayItem(entry, 0) : entry;
        if (cJSON_IsString(spec) && (strstr(spec->valuestring, a->plugin_path) ||
                                     strstr(spec->valuestring, "bridge-plugin")))
            entries++;
    }
    if (entries != 1)
        return result_fail(r, "OpenCode's configuration names the plugin %zu times, expected once",
                           entries);
    result_pass(r, "%s %s at %s, named once in OpenCode's configuration", name,
                json_str(package, "version", "?"), a->plugin_path);
}

/* OpenCode may have been started a moment ago: the bridge connects some time after it is ready. */
static bool bridge_connects(const struct accept *a)
{
    uint64_t deadline = clock_mono_ms() + BRIDGE_TIMEOUT_MS;
    for (bool said = false; note_number_now("gateway", "links", "bridge.connected") < 1;
         said = true) {
        if (clock_mono_ms() >= deadline)
            return false;
        if (!said)
            progress(a, "waiting for the plugin's bridge to connect…");
        (void)nanosleep(&(struct timespec){ .tv_nsec = 200 * 1000000 }, NULL);
    }
    return true;
}

void check_linked(struct accept *a, struct result *r)
{
    _cleanup_free_ char *link = NULL;
    if (asprintf(&link, "%s/.config/opencode/node_modules/" PACKAGE_NAME, a->home) < 0)
        return result_fail(r, "out of memory");
    struct stat st;
    if (lstat(link, &st) < 0)
        return result_fail(r, "%s: %s", link, strerror(errno));
    if (!S_ISLNK(st.st_mode))
        return result_fail(r, "%s is no symbolic link", link);
    _cleanup_free_ char *to = realpath(link, NULL), *want = realpath(a->plugin_path, NULL);
    if (!to || !want || strcmp(to, want) != 0)
        return result_fail(r, "%s leads to %s, expected %s", link, to ? to : "nothing",
                           want ? want : a->plugin_path);
    if (!bridge_connects(a))
        return result_fail(r, "the link is right, but OpenCode has not loaded the plugin: no "
                              "bridge is connected to the gateway");
    result_pass(r, "the link leads to %s and OpenCode has loaded it: its bridge is connected", to);
}

void check_on_volume(struct accept *a, struct result *r)
{
    struct stat st, root;
    if (stat(a->plugin_path, &st) < 0)
        return result_fail(r, "%s: %s", a->plugin_path, strerror(errno));
    _cleanup_free_ char *real = realpath(a->plugin_path, NULL);
    const struct mount_entry *m = real ? mount_table_covering(&a->mounts, real) : NULL;
    if (!m)
        return result_fail(r, "no mount covers %s", a->plugin_path);
    if (strcmp(m->mount_point, "/") == 0 || strcmp(m->fs_type, "overlay") == 0)
        return result_fail(r, "%s is in the image (%s on %s): mount a volume at %s/src",
                           a->plugin_path, m->fs_type, m->mount_point, a->home);
    const char *other = stat("/", &root) == 0 && root.st_dev == st.st_dev
                            ? " (a part of the root's device, mounted by itself)"
                            : "";
    result_pass(r, "device %u:%u, %s mounted at %s%s", major(st.st_dev), minor(st.st_dev),
                m->fs_type, m->mount_point, other);
}

/* Each dependency of the package has its folder. The first that has not is written to `missing`. */
static bool dependencies_installed(const char *plugin, const cJSON *package, size_t *count,
                                   char *missing, size_t size)
{
    static const char *const lists[] = { "dependencies", "devDependencies" };
    *count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        const cJSON *d;
        cJSON_ArrayForEach (d, json_obj(package, lists[i])) {
            _cleanup_free_ char *path = NULL;
            struct stat st;
            if (asprintf(&path, "%s/node_modules/%s", plugin, d->string) < 0 ||
                stat(path, &st) < 0) {
                (void)snprintf(missing, size, "%s", d->string);
                return false;
            }
            ++*count;
        }
    }
    return true;
}

void check_dependencies(struct accept *a, struct result *r)
{
    struct error e = ERROR_INIT;
    _cleanup_free_ char *copy = NULL;
    _cleanup_json_ cJSON *package = NULL;
    progress(a, "installing a copy of the plugin without node_modules…");
    if (scratch_copy_plugin(a, "deps", "node_modules", &copy, &e) < 0 ||
        read_package(copy, &package, &e) < 0 ||
        scratch_prepare(a, copy, PREPARE_TIMEOUT_MS, &e) < 0)
        return result_fail(r, "%s", e.message);
    size_t count;
    char missing[120];
    if (!dependencies_installed(copy, package, &count, missing, sizeof missing))
        return result_fail(r, "after codev-prepare the copy still lacks %s", missing);
    struct stat st;
    _cleanup_free_ char *modules = path_join(copy, "node_modules");
    if (!modules || stat(modules, &st) < 0)
        return result_fail(r, "after codev-prepare the copy has no node_modules");
    result_pass(r, "a copy without node_modules got its %zu dependencies by itself", count);
}

void check_degradation(struct accept *a, struct result *r)
{
    struct error e = ERROR_INIT;
    struct scratch_opencode o = { 0 };
    progress(a, "starting a second OpenCode without any plugin…");
    if (scratch_opencode_start(a, NULL, &o, NULL, &e) < 0)
        return result_fail(r, "%s", e.message);
    scratch_opencode_stop(&o);
    result_pass(r, "a second OpenCode without any plugin was ready after %u ms",
                (unsigned)o.ready_ms);
}

static bool log_says(const char *log, const char *text, uint64_t timeout_ms)
{
    uint64_t deadline = clock_mono_ms() + timeout_ms;
    do {
        _cleanup_free_ char *content = NULL;
        if (file_read(log, 1 << 20, &content, NULL) == 0 && strstr(content, text))
            return true;
        (void)nanosleep(&(struct timespec){ .tv_nsec = 50 * 1000000 }, NULL);
    } while (clock_mono_ms() < deadline);
    return false;
}

void check_build(struct accept *a, struct result *r)
{
    struct error e = ERROR_INIT;
    _cleanup_free_ char *copy = NULL, *main_file = NULL, *log = NULL;
    _cleanup_json_ cJSON *package = NULL;
    progress(a, "building a copy of the plugin without dist/…");
    if (scratch_copy_plugin(a, "build", "dist", &copy, &e) < 0 ||
        read_package(copy, &package, &e) < 0 ||
        scratch_prepare(a, copy, PREPARE_TIMEOUT_MS, &e) < 0)
        return result_fail(r, "%s", e.message);
    struct stat st;
    main_file = path_join(copy, json_str(package, "main", "dist/index.js"));
    if (!main_file || stat(main_file, &st) < 0)
        return result_fail(r, "after codev-prepare the copy has no %s",
                           json_str(package, "main", "dist/index.js"));
    struct scratch_opencode o = { 0 };
    progress(a, "starting a second OpenCode with the copy…");
    if (scratch_opencode_start(a, copy, &o, &log, &e) < 0)
        return result_fail(r, "%s", e.message);
    bool loaded = log_says(log, "Plugin initialized", 10000);
    scratch_opencode_stop(&o);
    if (!loaded)
        return result_fail(r, "the built copy (%lld bytes) does not load in OpenCode",
                           (long long)st.st_size);
    result_pass(r, "a copy without dist/ was built (%lld bytes) and OpenCode loaded it",
                (long long)st.st_size);
}
