#include "bridge/prepare/reload.h"

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/control.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "base/json/json.h"
#include "bridge/prepare/npm.h"
#include "bridge/prepare/package.h"
#include "bridge/prepare/stamp.h"
#include "supervisor/sandbox/confine.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#define QUIET_MS   700   /* an editor and a checkout write more than once */
#define LONGEST_MS 10000 /* somebody who never stops writing */
#define LOOK_MS    2000  /* OpenCode turns busy up to 1.4 s after a prompt: two looks */
#define LOOKS      2
#define ASK_MS     2000
#define CHECK_MS   15000
#define DEPTH_MAX  16
#define EVENTS     (IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR)

static void dir_close(DIR **d)
{
    if (*d)
        (void)closedir(*d);
}

static bool is_source(const char *name, int depth)
{
    static const char *const others[] = { "node_modules", "dist", ".git" };
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    for (size_t i = 0; depth == 0 && i < ARRAY_SIZE(others); i++)
        if (strcmp(name, others[i]) == 0)
            return false;
    return true;
}

static void watch_folder(int fd, const char *path, int depth)
{
    if (depth > DEPTH_MAX || inotify_add_watch(fd, path, EVENTS | IN_DONT_FOLLOW) < 0)
        return;
    _cleanup_(dir_close) DIR *dir = opendir(path);
    for (struct dirent *d; dir && (d = readdir(dir));) {
        if (d->d_type != DT_DIR || !is_source(d->d_name, depth))
            continue;
        _cleanup_free_ char *below = path_join(path, d->d_name);
        if (below)
            watch_folder(fd, below, depth + 1);
    }
}

void reload_watch(struct reload_state *r, const struct settings *s)
{
    if (r->fd >= 0 && *s->plugin_path && s->reload != RELOAD_OFF)
        watch_folder(r->fd, s->plugin_path, 0);
}

void reload_read(struct reload_state *r)
{
    _Alignas(struct inotify_event) char events[4096];
    uint64_t now = clock_mono_ms();
    while (read(r->fd, events, sizeof events) > 0) {
        if (!r->changed)
            r->first_ms = now;
        r->changed = true;
        r->quiet_ms = now + QUIET_MS;
    }
}

/* --- PID 1 --- */

static cJSON *ask(const char *const *words)
{
    struct error e = ERROR_INIT;
    _cleanup_buf_ struct buf answer = BUF_INIT_MAX((size_t)1 << 20);
    cJSON *j = NULL;
    if (control_call(words, ASK_MS, &answer, &e) < 0 ||
        json_parse(&j, buf_str(&answer), answer.len, &e) < 0)
        return NULL;
    return j;
}

static bool order(const char *verb, const char *service)
{
    const char *const words[] = { verb, service, NULL };
    _cleanup_json_ cJSON *j = ask(words);
    return j && json_bool(j, "ok", false);
}

static const cJSON *service(const cJSON *status, const char *name)
{
    const cJSON *s;
    cJSON_ArrayForEach (s, json_arr(status, "services"))
        if (strcmp(json_str(s, "name", ""), name) == 0)
            return s;
    return NULL;
}

static cJSON *note(const cJSON *status, const char *name, const char *key)
{
    const char *text = json_str(json_obj(service(status, name), "notes"), key, "");
    cJSON *j = NULL;
    (void)json_parse(&j, text, strlen(text), NULL);
    return j;
}

static const char *const status_words[] = { "status", NULL };

/* Runs codev-prepare and waits for it. True when the plugin is ready after it. */
static bool prepare_again(const struct settings *s)
{
    uint64_t deadline = clock_mono_ms() + s->timeout_ms + 30000;
    if (!order("restart", "prepare"))
        return false;
    while (clock_mono_ms() < deadline) {
        (void)poll(NULL, 0, 200);
        _cleanup_json_ cJSON *status = ask(status_words);
        const char *state = json_str(service(status, "prepare"), "state", "");
        if (strcmp(state, "failed") == 0)
            return false;
        if (strcmp(state, "done") != 0)
            continue;
        _cleanup_json_ cJSON *plugin = note(status, "prepare", "plugin");
        return strcmp(json_str(plugin, "state", ""), "ready") == 0;
    }
    return false;
}

/* The gateway knows which sessions are at work; without it nobody can tell. */
static bool nobody_works(void)
{
    _cleanup_json_ cJSON *status = ask(status_words);
    _cleanup_json_ cJSON *links = note(status, "gateway", "links");
    const cJSON *busy = json_at(links, "sessions.busy");
    return strcmp(json_str(service(status, "gateway"), "state", ""), "ready") == 0 &&
           cJSON_IsNumber(busy) && busy->valueint == 0;
}

/* --- what was built --- */

struct bundle {
    char main[4096];
    struct stat st;
};

static bool bundle_look(const char *plugin, struct bundle *b)
{
    struct package package = { 0 };
    bool there =
        package_read(plugin, &package, NULL) == 0 &&
        (size_t)snprintf(b->main, sizeof b->main, "%s/%s", plugin, package.main) < sizeof b->main &&
        stat(b->main, &b->st) == 0;
    package_release(&package);
    return there;
}

/* By node, in npm's sandbox: a bundle that cannot be read must not cost a running plugin. What only
 * OpenCode's own runtime knows is no fault. */
static bool loads(const struct settings *s, const char *file, struct error *e)
{
    static const char script[] =
        "import(process.argv[1]).catch((e)=>{if(/bun/.test(e.message))return;"
        "console.error(e.name+': '+e.message);process.exit(1)})"
        ".then(()=>process.exit(0))";
    const char *const args[] = { "-e", script, file, NULL };
    _cleanup_(confine_release) struct confine sandbox = { 0 };
    size_t n = strlen(file);
    if (n < 3 || (strcmp(file + n - 3, ".js") != 0 && strcmp(file + n - 4, ".mjs") != 0))
        return true;
    if (confine_read(&sandbox, "build", e) < 0)
        return false;
    const struct npm_job job = {
        .program = "node",
        .plugin = s->plugin_path,
        .args = args,
        .what = "a look whether the plugin loads",
        .deadline_ms = clock_mono_ms() + CHECK_MS,
        .sandbox = &sandbox,
        .close_in_child = -1,
    };
    int r = npm_run(&job, e);
    return r == 0 || r == -ENOENT; /* no node: OpenCode will tell */
}

static void look_at_change(struct reload_state *r, const struct settings *s)
{
    struct bundle before = { 0 }, after = { 0 };
    struct error e = ERROR_INIT;
    /* With trust, codev-prepare compares by what was accepted. */
    if (!*s->trust_dir && stamp_check(s->plugin_path, STAMP_BUILD, false, &e) != STAMP_STALE)
        return;
    log_info("the plugin's sources have changed");
    bool was = bundle_look(s->plugin_path, &before);
    bool ready = prepare_again(s);
    if (*s->trust_dir)
        return; /* said by codev-prepare; accepting it restarts OpenCode */
    if (!ready || !bundle_look(s->plugin_path, &after)) {
        log_warn(
            "⚠️ the changed plugin cannot be used: OpenCode goes on with the one it has loaded");
        return;
    }
    if (was && before.st.st_ino == after.st.st_ino && before.st.st_size == after.st.st_size &&
        before.st.st_mtim.tv_sec == after.st.st_mtim.tv_sec &&
        before.st.st_mtim.tv_nsec == after.st.st_mtim.tv_nsec)
        return;
    if (!loads(s, after.main, &e)) {
        log_warn(
            "⚠️ the changed plugin does not load (%s): OpenCode goes on with the one it has "
            "loaded",
            e.message);
        return;
    }
    r->pending = s->reload == RELOAD_NOW || s->reload == RELOAD_IDLE;
    r->idle = 0;
    if (s->reload == RELOAD_NOTIFY)
        log_info("the plugin is built anew: codevctl restart opencode loads it");
    else if (s->reload == RELOAD_IDLE)
        log_info("the plugin is built anew: OpenCode is restarted once no session is busy");
}

static void restart_when_due(struct reload_state *r, const struct settings *s)
{
    if (s->reload == RELOAD_IDLE) {
        r->idle = nobody_works() ? r->idle + 1 : 0;
        r->looked_ms = clock_mono_ms();
        if (r->idle < LOOKS)
            return;
    }
    log_info("restarting OpenCode, so that it loads the changed plugin");
    if (order("restart", "opencode"))
        r->pending = false;
}

int reload_step(struct reload_state *r, const struct settings *s)
{
    uint64_t now = clock_mono_ms();
    if (r->changed && (now >= r->quiet_ms || now >= r->first_ms + LONGEST_MS)) {
        r->changed = false;
        reload_watch(r, s);
        look_at_change(r, s);
        now = clock_mono_ms();
    }
    if (r->pending && (!r->idle || now >= r->looked_ms + LOOK_MS))
        restart_when_due(r, s);
    if (r->changed)
        return r->quiet_ms > now ? (int)(r->quiet_ms - now) : 0;
    return r->pending ? LOOK_MS : -1;
}
