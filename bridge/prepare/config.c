#include "bridge/prepare/config.h"

#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/core/jsonw.h"
#include "base/core/log.h"
#include "base/json/json.h"
#include "bridge/prepare/guard.h"
#include "bridge/prepare/merge.h"
#include "bridge/prepare/share.h"
#include "bridge/prepare/sources.h"
#include "bridge/prepare/steer.h"
#include "bridge/prepare/trap.h"
#include "bridge/prepare/trust_config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Writing costs an fsync; the warm boot's files are as they were. */
static int write_if_changed(const char *path, const char *text, struct error *e)
{
    _cleanup_free_ char *old = NULL;
    size_t len = strlen(text), old_len = 0;
    if (file_read(path, len + 1, &old, &old_len) == 0 && old_len == len &&
        memcmp(old, text, len) == 0)
        return 0;
    int r = file_write_atomic(path, text, len, 0600);
    return r < 0 ? error_set_errno(e, r, "cannot write %s", path) : 0;
}

/* With the registry out of reach, npm (inside OpenCode) tries thrice, 10 and 60 s apart; so do all
 * that hang on it. The same three tries within two seconds keep a start short, and do no harm to
 * the npm that the agent runs, which inherits this. */
static void shorten_retries(struct buf *env)
{
    static const char *const settings[][2] = {
        { "npm_config_fetch_retry_mintimeout", "100" },
        { "npm_config_fetch_retry_maxtimeout", "1000" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
        if (!getenv(settings[i][0]))
            steer_env(env, settings[i][0], settings[i][1]);
}

/* Is an entry of ours needed? Two that OpenCode takes for different plugins would load it twice. */
static bool entry_needed(const struct sources *all, struct report *report)
{
    static const enum source_scope anywhere[] = { SCOPE_GLOBAL, SCOPE_CUSTOM, SCOPE_HOME,
                                                  SCOPE_INLINE, SCOPE_MANAGED };
    bool needed = true;
    for (size_t i = 0; i < ARRAY_SIZE(anywhere); i++)
        if (!sources_bad(all, anywhere[i]) && sources_naming(all, anywhere[i]) != NAMES_NOT)
            needed = false;
    /* A project's entry counts in that project only. The same path as ours OpenCode drops as a
     * copy; another path to the plugin it does not. */
    if (needed && !sources_bad(all, SCOPE_PROJECT) &&
        sources_naming(all, SCOPE_PROJECT) == NAMES_OTHERWISE) {
        report_note(report, "a project config names the plugin by another path: only that project "
                            "has it; remove that entry");
        needed = false;
    }
    for (size_t i = 0; i < all->count; i++)
        if (all->rows[i].bare)
            report_note(report,
                        "%s names \"@opencode/bridge-plugin\", which nobody has published: remove "
                        "that entry, the plugin is loaded by its path",
                        all->rows[i].path);
    return needed;
}

static const struct source *custom_source(const struct sources *all)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->scopes[i] == SCOPE_CUSTOM)
            return &all->rows[i];
    return NULL;
}

/* The entry inline, beside a config file of the user's that can't be merged with ours. */
static int write_inline(const struct settings *s, const struct source *custom, const char *entry,
                        struct buf *env, struct report *report, struct error *e)
{
    if (*s->user_content) {
        report_note(report,
                    "%s cannot be merged with the plugin's entry: OpenCode works without it",
                    custom->path);
        return 0;
    }
    _cleanup_free_ char *url = source_file_url(entry);
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct jsonw w = JSONW_INIT(&text);
    jsonw_object(&w, NULL);
    jsonw_array(&w, "plugin");
    jsonw_str(&w, NULL, url);
    jsonw_array_end(&w);
    jsonw_object_end(&w);
    if (!url || text.failed)
        return error_set_errno(e, -ENOMEM, "opencode.env");
    steer_env(env, "OPENCODE_CONFIG_CONTENT", buf_str(&text));
    return 0;
}

/* opencode.json, and OPENCODE_CONFIG to name it, when there is something to say in it. It lies in
 * a folder that OpenCode may read: a file that is replaced while OpenCode runs is another file,
 * which its sandbox knows nothing of. */
static int write_entry(const struct settings *s, const struct sources *all, const char *entry,
                       struct buf *env, struct report *report, struct error *e)
{
    const struct source *custom = custom_source(all);
    bool bad = custom && custom->state == SOURCE_BAD;
    _cleanup_free_ char *folder = path_join(s->runtime_dir, "xdg-config");
    _cleanup_free_ char *path = folder ? path_join(folder, "opencode.json") : NULL;
    if (!path)
        return error_set_errno(e, -ENOMEM, "opencode.json");
    if (bad)
        report_note(report, "%s; it is ignored until it is mended", custom->reason);
    bool unclear = custom && custom->state == SOURCE_UNCLEAR;
    if (entry && unclear && !s->accepted)
        return write_inline(s, custom, entry, env, report, e);
    if (unclear && s->accepted) {
        report_note(report, "%s cannot be merged with the guard: OpenCode does not read it",
                    custom->path);
        custom = NULL;
    }
    /* A custom file that was accepted is read from our copy only. */
    if (!entry && !bad && !s->no_project && !(s->accepted && custom && custom->json)) {
        (void)unlink(path);
        return 0;
    }
    _cleanup_free_ char *guard = NULL;
    int r = file_mkdir_p(folder, 0755);
    if (r < 0)
        return error_set_errno(e, r, "cannot make %s", folder);
    r = s->accepted ? guard_write(folder, &guard, e) : 0;
    if (r < 0)
        return r;
    /* Instructions are words, which harm nobody: those of the working folder go on to count. */
    _cleanup_free_ char *words = s->no_project ? path_join(s->directory, "AGENTS.md") : NULL;
    _cleanup_free_ char *text = merge_config(custom, entry, guard, words);
    if (!text || (s->no_project && !words))
        return error_set_errno(e, -ENOMEM, "opencode.json");
    r = write_if_changed(path, text, e);
    if (r == 0)
        steer_env(env, "OPENCODE_CONFIG", path);
    if (r == 0 && guard) /* PID 1 tells of it */
        steer_env(env, "CODEV_GUARD", guard);
    return r;
}

static void disarm_all(const struct settings *s, const struct sources *all, struct report *report)
{
    _cleanup_free_ char *global =
        s->accepted ? strdup(s->accepted) : path_join(s->config_home, "opencode");
    if (global && !s->accepted)
        trap_disarm(global, report);
    for (size_t i = 0; i < all->folder_count; i++)
        if (!global || strcmp(all->folders[i], global) != 0)
            trap_disarm(all->folders[i], report);
}

/* The rest, once it is known whose configuration counts. */
static int write_all(const struct settings *s, const char *entry, struct buf *env,
                     struct report *report, struct error *e)
{
    _cleanup_(sources_release) struct sources all = { 0 };
    if (sources_read(&all, s) < 0)
        return error_set_errno(e, -ENOMEM, "opencode.env");
    int r = steer_around(s, &all, env, report, e);
    /* In our copy, entries that name the plugin are left out. */
    bool needed = entry && (entry_needed(&all, report) || s->accepted);
    if (r == 0)
        r = write_entry(s, &all, needed ? entry : NULL, env, report, e);
    if (r == 0)
        disarm_all(s, &all, report);
    return r;
}

int config_write(const struct settings *s, const char *entry, struct report *report,
                 struct error *e)
{
    _cleanup_free_ char *volume = path_join(s->directory, ".opencode");
    _cleanup_free_ char *global = path_join(s->config_home, "opencode");
    _cleanup_free_ char *path = path_join(s->runtime_dir, "opencode.env");
    _cleanup_free_ char *accepted = NULL;
    _cleanup_buf_ struct buf env = BUF_INIT;
    struct settings view = *s;
    if (!volume || !global || !path)
        return error_set_errno(e, -ENOMEM, "opencode.env");
    share_config(volume, global, report);
    struct error why = ERROR_INIT;
    if (*s->trust_dir && trust_config(s, report, &accepted, &why) < 0) {
        report_note(report, "%s: OpenCode starts without its configuration", why.message);
        accepted = path_join(s->trust_dir, "none");
        if (!accepted)
            return error_set_errno(e, -ENOMEM, "trust");
    }
    view.accepted = accepted;
    /* Read-only for OpenCode, which loads plugins from there: made, so that its trap is disarmed.
     */
    _cleanup_free_ char *own = path_join(s->home, ".opencode");
    if (accepted && own)
        (void)file_mkdir_p(own, 0755);
    int r = write_all(&view, entry, &env, report, e);
    if (r < 0)
        return r;
    shorten_retries(&env);
    if (!entry) /* then PID 1 gives OpenCode no token for it */
        steer_env(&env, "CODEV_BRIDGE", "none");
    if (*s->run) /* which the plugin tells the gateway */
        steer_env(&env, "CODEV_PREPARE_ID", s->run);
    if (env.failed)
        return error_set_errno(e, -ENOMEM, "opencode.env");
    return write_if_changed(path, buf_str(&env), e);
}
