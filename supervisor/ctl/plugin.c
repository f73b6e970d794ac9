/* plugin: how it is, and how it comes to its place. */
#include "supervisor/ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/core/file.h"
#include "supervisor/ctl/capture.h"
#include "supervisor/ctl/copy.h"

/* The last run of codev-prepare, and the one whose plugin OpenCode has loaded: their lines in the
 * log have these ids. */
static void put_builds(const cJSON *status, const char *prepared)
{
    _cleanup_json_ cJSON *links = ctl_note(status, "gateway", "links");
    const char *loaded = json_str_at(links, "bridge.prepare_id", "");
    if (*prepared)
        (void)printf("run     %s\n", prepared);
    if (*loaded)
        (void)printf("loaded  %s\n", strcmp(loaded, prepared) == 0 ? "what that run left" : loaded);
}

static int plugin_status(const struct ctl_options *o)
{
    const char *words[] = { "status", NULL };
    _cleanup_json_ cJSON *status = NULL;
    int result = ctl_ask(words, &status);
    if (result != CTL_OK)
        return result;
    _cleanup_json_ cJSON *note = ctl_note(status, "prepare", "plugin");
    if (!note) {
        ctl_complain("nothing is known about the plugin yet: see codevctl logs prepare");
        return CTL_NOT_WELL;
    }
    const char *state = json_str(note, "state", "?"), *reason = json_str(note, "reason", "");
    if (o->json) {
        ctl_print_json(note);
    } else {
        (void)printf("state   %s\npath    %s\n", state, json_str(note, "path", "?"));
        if (*reason)
            (void)printf("reason  %s\n", reason);
        if (*json_str(note, "commit", ""))
            (void)printf("commit  %s\n", json_str(note, "commit", ""));
        put_builds(status, json_str(note, "prepare_id", ""));
        const cJSON *waits = NULL;
        cJSON_ArrayForEach (waits, json_obj(note, "trust"))
            (void)printf("waits   %s\n", cJSON_IsString(waits) ? waits->valuestring : "?");
        if (strcmp(state, "missing") == 0)
            (void)puts(
                "To put the plugin that comes with this program there: codevctl plugin install");
    }
    return strcmp(state, "ready") == 0 ? CTL_OK : CTL_NOT_WELL;
}

/* The one place, by the configuration in effect. */
static char *plugin_place(void)
{
    const char *args[] = { "print", "--json", NULL };
    _cleanup_buf_ struct buf out = BUF_INIT_MAX((size_t)1 << 20);
    _cleanup_json_ cJSON *j = NULL;
    struct error e = ERROR_INIT;
    if (capture("codev-config", args, &out, NULL) != 0 ||
        json_parse(&j, buf_str(&out), out.len, &e) < 0)
        return NULL;
    /* The key itself holds a dot. */
    const char *path = json_str(json_obj(json_obj(j, "options"), "plugin.path"), "value", NULL);
    return path ? strdup(path) : NULL;
}

/* What comes with this program: installed beside it, or named by the environment. */
static char *plugin_source(void)
{
    const char *set = getenv("CODEV_PLUGIN_SOURCE");
    if (set && *set)
        return strdup(set);
    return ctl_beside("../share/codev/plugin");
}

static int plugin_install(const struct ctl_options *o)
{
    _cleanup_free_ char *from = plugin_source();
    _cleanup_free_ char *to = plugin_place();
    struct error e = ERROR_INIT;
    if (!from || !to) {
        ctl_complain("cannot tell the plugin's place: see codevctl config");
        return CTL_NOT_WELL;
    }
    _cleanup_free_ char *package = path_join(from, "package.json");
    if (!package || access(package, R_OK) < 0) {
        ctl_complain("no plugin at %s (CODEV_PLUGIN_SOURCE names another folder)", from);
        return CTL_NOT_WELL;
    }
    if (copy_tree(from, to, &e) < 0) {
        ctl_complain("%s", e.message);
        return CTL_NOT_WELL;
    }
    if (o->json)
        (void)printf("{\"ok\":true}\n");
    else
        (void)printf(
            "installed at %s\n"
            "To build it and have OpenCode load it:\n"
            "  codevctl trust plugin --now    (ends running turns; watch: codevctl logs -f "
            "prepare)\n",
            to);
    return CTL_OK;
}

int ctl_plugin(const struct ctl_options *o, int argc, char **argv)
{
    (void)argc;
    if (strcmp(argv[1], "status") == 0)
        return plugin_status(o);
    if (strcmp(argv[1], "install") == 0)
        return plugin_install(o);
    ctl_complain("plugin: expected status or install, not '%.40s'", argv[1]);
    return CTL_USAGE;
}
