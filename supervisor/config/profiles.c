#include "supervisor/config/profiles.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/core/cleanup.h"
#include "base/core/secrets.h"
#include "supervisor/profile/profile.h"

#define LIKE_DEPTH 8
#define PLACES_MAX 128 /* of one list, with what stands for several taken apart */

enum { AGENT, COMMANDS, BUILD, GATEWAY, PROBES, STATE, GIT, BUILTINS };

static const char *const builtins[] = {
    [AGENT] = "agent",       /* OpenCode, and all that it runs */
    [COMMANDS] = "commands", /* what OpenCode runs, inside of OpenCode's own */
    [BUILD] = "build",       /* npm, and what it runs */
    [GATEWAY] = "gateway",   /* codev-gateway */
    [PROBES] = "probes",     /* codev-probes */
    [STATE] = "state",       /* codev-state */
    [GIT] = "git",           /* what of it speaks with the remote */
};
_Static_assert(ARRAY_SIZE(builtins) == BUILTINS, "a name for every built-in profile");

/* Written as in the config file; rows of one list follow each other. Beside the names that a person
 * may use ($HOME, $RUNTIME, $STATE, $CWD, $TMP, $NPM_CACHE): $SECRETS stands for all files that
 * hold secrets, $VOLUMES for the volumes, $LOADER for the dynamic loader. */
static const struct {
    int profile;
    enum option_id id;
    const char *text;
} settings[] = {
    { AGENT, OPT_PROFILE_EXEC, "/" },
    { AGENT, OPT_PROFILE_READ, "$RUNTIME/xdg-config" },
    { AGENT, OPT_PROFILE_READ, "$RUNTIME/sandbox-commands" },
    { AGENT, OPT_PROFILE_WORK, "$HOME" },
    { AGENT, OPT_PROFILE_WORK, "$CWD" },
    { AGENT, OPT_PROFILE_WORK, "$TMP" },
    { AGENT, OPT_PROFILE_WORK, "/tmp" },
    { AGENT, OPT_PROFILE_WORK, "/var/tmp" },
    { AGENT, OPT_PROFILE_WORK, "/dev" },
    { AGENT, OPT_PROFILE_WORK, "$VOLUMES" },
    { AGENT, OPT_PROFILE_WORK, "$RUNTIME/xdg-cache" },
    { AGENT, OPT_PROFILE_WORK, "$RUNTIME/tmp" },
    { AGENT, OPT_PROFILE_WORK, "$RUNTIME/opencode-tmp" },
    /* OpenCode loads plugins from there, whatever else is switched off. */
    { AGENT, OPT_PROFILE_FIXED, "$HOME/.opencode" },
    { AGENT, OPT_PROFILE_HIDDEN, "$RUNTIME" },
    { AGENT, OPT_PROFILE_HIDDEN, "$STATE" },
    { AGENT, OPT_PROFILE_HIDDEN, "$SECRETS" },
    { AGENT, OPT_PROFILE_MAKE, "$RUNTIME/tmp" },
    { AGENT, OPT_PROFILE_MAKE, "$RUNTIME/opencode-tmp" },
    { AGENT, OPT_PROFILE_MAKE, "$RUNTIME/xdg-config/opencode" },
    { AGENT, OPT_PROFILE_MAKE, "$HOME/.cache" },
    { AGENT, OPT_PROFILE_MAKE, "$HOME/.config" },
    { AGENT, OPT_PROFILE_MAKE, "$HOME/.npm" },
    { AGENT, OPT_PROFILE_MAKE, "$HOME/.opencode" },
    { AGENT, OPT_PROFILE_MAKE, "$HOME/.local/bin" },
    { AGENT, OPT_PROFILE_MAKE, "$HOME/.local/lib" },
    { AGENT, OPT_PROFILE_MAKE, "$HOME/.local/share/pnpm" },
    { AGENT, OPT_PROFILE_MAKE, "$HOME/.local/share/uv" },
    { AGENT, OPT_PROFILE_MAKE, "$OPENCODE_DATA/repos" },
    { AGENT, OPT_PROFILE_MAKE, "$OPENCODE_DATA/snapshot" },
    { AGENT, OPT_PROFILE_MAKE, "$OPENCODE_DATA/tool-output" },
    { AGENT, OPT_PROFILE_MAKE, "$OPENCODE_DATA/worktree" },
    { AGENT, OPT_PROFILE_MAKE, "$HOME/.local/state/opencode" },

    /* One layer more: takes away what is OpenCode's own, and leaves all else as it is. */
    { COMMANDS, OPT_PROFILE_READ, "$OPENCODE_DATA/tool-output" },
    { COMMANDS, OPT_PROFILE_WORK, "/" },
    { COMMANDS, OPT_PROFILE_WORK, "$RUNTIME/tmp" },
    { COMMANDS, OPT_PROFILE_WORK, "$RUNTIME/xdg-cache" },
    { COMMANDS, OPT_PROFILE_WORK, "$OPENCODE_DATA/repos" },
    { COMMANDS, OPT_PROFILE_WORK, "$OPENCODE_DATA/snapshot" }, /* of the files; by git */
    { COMMANDS, OPT_PROFILE_WORK, "$OPENCODE_DATA/worktree" },
    { COMMANDS, OPT_PROFILE_HIDDEN, "$OPENCODE_DATA" }, /* sessions with their rules, model keys */
    { COMMANDS, OPT_PROFILE_HIDDEN, "$RUNTIME" },
    /* Each command has a domain of its own, and ends what an earlier one left running. */
    { COMMANDS, OPT_PROFILE_SIGNALS, "any" },
    { COMMANDS, OPT_PROFILE_ABSTRACT, "any" },
    { COMMANDS, OPT_PROFILE_SYSCALLS, "any" },

    { BUILD, OPT_PROFILE_EXEC, "/" },
    { BUILD, OPT_PROFILE_WORK, "${plugin.path}" },
    /* Where a change that was accepted is built, from a copy of its own. */
    { BUILD, OPT_PROFILE_WORK, "$STATE/build" },
    { BUILD, OPT_PROFILE_WORK, "$NPM_CACHE" },
    /* npm's cache where the home cannot be written. */
    { BUILD, OPT_PROFILE_WORK, "$HOME/src/repos/.codev-npm-cache" },
    { BUILD, OPT_PROFILE_WORK, "$TMP" },
    { BUILD, OPT_PROFILE_WORK, "/tmp" },
    { BUILD, OPT_PROFILE_WORK, "$RUNTIME/tmp" },
    { BUILD, OPT_PROFILE_WRITE, "/dev" },
    { BUILD, OPT_PROFILE_HIDDEN, "$RUNTIME" },
    { BUILD, OPT_PROFILE_HIDDEN, "$STATE" },
    { BUILD, OPT_PROFILE_HIDDEN, "$SECRETS" },
    { BUILD, OPT_PROFILE_HIDDEN, "$OPENCODE_DATA" }, /* auth.json: the model keys */
    { BUILD, OPT_PROFILE_MAKE, "$NPM_CACHE" },
    { BUILD, OPT_PROFILE_MAKE, "$RUNTIME/tmp" },
    { BUILD, OPT_PROFILE_SCRUB, "*TOKEN*" },
    { BUILD, OPT_PROFILE_SCRUB, "*SECRET*" },
    { BUILD, OPT_PROFILE_SCRUB, "*PASSWORD*" },
    { BUILD, OPT_PROFILE_SCRUB, "*_KEY" },

    { GATEWAY, OPT_PROFILE_READ, "/" },
    { GATEWAY, OPT_PROFILE_EXEC, "$BIN/" },
    { GATEWAY, OPT_PROFILE_EXEC, "$LOADER" },
    { GATEWAY, OPT_PROFILE_WRITE, "$STATE" },
    { GATEWAY, OPT_PROFILE_WRITE, "$RUNTIME/logins" },
    { GATEWAY, OPT_PROFILE_WRITE, "/dev" },
    { GATEWAY, OPT_PROFILE_HIDDEN, "$SECRETS" },
    { GATEWAY, OPT_PROFILE_MAKE, "$RUNTIME/logins" },
    { GATEWAY, OPT_PROFILE_BIND, "${gateway.port}" },
    { GATEWAY, OPT_PROFILE_CONTROL, "annotate" },
    { GATEWAY, OPT_PROFILE_CONTROL, "events" },
    { GATEWAY, OPT_PROFILE_CONTROL, "logs" },
    { GATEWAY, OPT_PROFILE_CONTROL, "status" },

    { PROBES, OPT_PROFILE_READ, "/" },
    { PROBES, OPT_PROFILE_EXEC, "$BIN/" },
    { PROBES, OPT_PROFILE_EXEC, "$LOADER" },
    { PROBES, OPT_PROFILE_WRITE, "/dev" },
    { PROBES, OPT_PROFILE_HIDDEN, "$STATE" },
    { PROBES, OPT_PROFILE_HIDDEN, "$SECRETS" },
    { PROBES, OPT_PROFILE_BIND, "${probes.port}" },
    { PROBES, OPT_PROFILE_CONTROL, "checks" },
    { PROBES, OPT_PROFILE_CONTROL, "events" },
    { PROBES, OPT_PROFILE_CONTROL, "probe" },
    { PROBES, OPT_PROFILE_CONTROL, "report" },
    { PROBES, OPT_PROFILE_CONTROL, "status" },

    /* It reads the gateway's database, for which SQLite makes a file beside it. */
    { STATE, OPT_PROFILE_READ, "/" },
    { STATE, OPT_PROFILE_READ, "${gateway.state_token_file}" },
    { STATE, OPT_PROFILE_EXEC, "$BIN/" },
    { STATE, OPT_PROFILE_EXEC, "$LOADER" },
    { STATE, OPT_PROFILE_WRITE, "$STATE" },
    { STATE, OPT_PROFILE_WRITE, "$REPO_PATH" },
    { STATE, OPT_PROFILE_WRITE, "/dev" },
    { STATE, OPT_PROFILE_HIDDEN, "$SECRETS" },
    { STATE, OPT_PROFILE_MAKE, "$STATE/session-state" },
    { STATE, OPT_PROFILE_CONTROL, "annotate" },

    /* One layer more, around what reads what the remote sends. */
    { GIT, OPT_PROFILE_READ, "/" },
    { GIT, OPT_PROFILE_READ, "${gateway.state_token_file}" },
    { GIT, OPT_PROFILE_WRITE, "$STATE/session-state" },
    { GIT, OPT_PROFILE_WRITE, "$REPO_PATH" },
    { GIT, OPT_PROFILE_WRITE, "/dev" },
    { GIT, OPT_PROFILE_HIDDEN, "$STATE" },
    { GIT, OPT_PROFILE_HIDDEN, "$RUNTIME" },
    { GIT, OPT_PROFILE_HIDDEN, "$SECRETS" },
    { GIT, OPT_PROFILE_HIDDEN, "$OPENCODE_DATA" },
};

int profiles_add_builtins(struct config *c)
{
    for (int i = 0; i < BUILTINS; i++) {
        struct group *g = config_add_profile(c, builtins[i], 0);
        if (!g)
            return -ENOMEM;
        g->builtin = i;
    }
    return 0;
}

/* Paths are kept as they are written, for people; they are expanded when they are compiled. */
static int fill_builtin(struct group *g)
{
    for (size_t i = 0; i < ARRAY_SIZE(settings);) {
        const char *items[ARRAY_SIZE(settings)];
        size_t first = i, n = 0;
        while (i < ARRAY_SIZE(settings) && settings[i].profile == settings[first].profile &&
               settings[i].id == settings[first].id)
            items[n++] = settings[i++].text;
        if (settings[first].profile != g->builtin ||
            g->values[settings[first].id].source != SOURCE_NONE)
            continue;
        int r = value_set(g, settings[first].id, items, n, SOURCE_DEFAULT, 0);
        if (r < 0)
            return r;
    }
    return 0;
}

/* What `g` leaves open, and what it is like says. */
static int fill_like(struct config *c, struct group *g, int depth)
{
    struct group *base = config_profile(c, value_text(g, OPT_PROFILE_LIKE));
    if (!base || base == g)
        return 0;
    if (depth == LIKE_DEPTH) {
        config_error(c, g, OPT_PROFILE_LIKE, "these profiles are like each other without an end");
        return 0;
    }
    int r = fill_like(c, base, depth + 1);
    for (int i = OPT_PROFILE_LIKE + 1; r == 0 && i < OPT_MAX; i++) {
        const struct value *v = &base->values[i];
        if (option_table[i].scope != SCOPE_PROFILE || g->values[i].source != SOURCE_NONE ||
            v->source == SOURCE_NONE)
            continue;
        r = value_set(g, (enum option_id)i, (const char *const *)v->items, v->count, v->source,
                      v->line);
    }
    return r;
}

int profiles_fill(struct config *c)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < c->profile_count; i++)
        if (c->profiles[i]->builtin >= 0)
            r = fill_builtin(c->profiles[i]);
    for (size_t i = 0; r == 0 && i < c->profile_count; i++)
        r = fill_like(c, c->profiles[i], 0);
    return r;
}

/* --- names that stand for several paths --- */

struct places {
    char *items[PLACES_MAX];
    size_t count;
    bool failed;
};

static void places_release(struct places *p)
{
    for (size_t i = 0; i < p->count; i++)
        free(p->items[i]);
}

static void add_place(struct places *p, const char *path)
{
    if (*path != '/' && *path != '$')
        return;
    char *copy = p->count < PLACES_MAX ? strdup(path) : NULL;
    if (copy)
        p->items[p->count++] = copy;
    else
        p->failed = true;
}

/* "X_FILE=…" where X is a secret of ours, or sounds like one; not SSL_CERT_FILE. */
static bool names_secret_file(const char *variable)
{
    static const char *const words[] = { "TOKEN", "SECRET",  "PASSWORD",
                                         "_KEY",  "WEBHOOK", "CREDENTIAL" };
    char name[128];
    size_t n = strcspn(variable, "=");
    if (n <= 5 || n >= sizeof name || !variable[n] || strncmp(variable + n - 5, "_FILE", 5) != 0)
        return false;
    memcpy(name, variable, n - 5);
    name[n - 5] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strstr(name, words[i]))
            return true;
    return secret_find(name) != NULL;
}

/* Where Kubernetes mounts them, and what a setting or a variable names. The files of one mounted
 * Secret lie in one folder, but it may hold more than secrets: the file alone is closed, and what
 * it is a link to. */
static void add_secrets(const struct config *c, struct places *p)
{
    static const char *const folders[] = { "/run/secrets", "/var/run/secrets" };
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
        add_place(p, folders[i]);
    add_place(p, value_text(&c->top, OPT_PLUGIN_TOKEN_FILE));
    add_place(p, value_text(&c->top, OPT_GATEWAY_STATE_TOKEN_FILE));
    for (char **v = environ; v && *v; v++)
        if (names_secret_file(*v))
            add_place(p, *v + strcspn(*v, "=") + 1);
}

static void add_volumes(const struct config *c, struct places *p)
{
    for (size_t i = 0; i < c->storage_count; i++)
        add_place(p, value_text(c->storage[i], OPT_STORAGE_PATH));
}

/* The dynamic loader runs as a program: without it nothing starts. */
static void add_loader(const struct config *c, struct places *p)
{
    static const char *const loaders[] = { "/lib64/ld-linux-x86-64.so.2",
                                           "/lib/ld-linux-aarch64.so.1", "/lib/ld-linux.so.2" };
    (void)c;
    for (size_t i = 0; i < ARRAY_SIZE(loaders); i++)
        if (access(loaders[i], F_OK) == 0)
            add_place(p, loaders[i]);
}

static const struct {
    const char *name;
    void (*add)(const struct config *c, struct places *p);
} several[] = {
    { "$SECRETS", add_secrets },
    { "$VOLUMES", add_volumes },
    { "$LOADER", add_loader },
};

static void expand_item(const struct config *c, const struct group *g, const char *text,
                        struct places *p)
{
    for (size_t i = 0; i < ARRAY_SIZE(several); i++) {
        if (strcmp(several[i].name, text) == 0) {
            several[i].add(c, p);
            return;
        }
    }
    _cleanup_buf_ struct buf out = BUF_INIT;
    config_expand(c, g, text, &out);
    while (out.len > 1 && out.data[out.len - 1] == '/')
        out.data[--out.len] = '\0';
    p->failed |= out.failed;
    add_place(p, buf_str(&out));
}

static void expand(const struct config *c, const struct group *g, enum option_id id,
                   struct places *p)
{
    const struct value *v = &g->values[id];
    for (size_t i = 0; i < v->count; i++)
        expand_item(c, g, v->items[i], p);
}

/* --- compilation --- */

static struct profile_words words(const struct group *g, enum option_id id)
{
    const struct value *v = &g->values[id];
    return (struct profile_words){ .items = (const char *const *)v->items, .count = v->count };
}

/* 0 means: as it is. */
static uint64_t limit(const struct group *g, enum option_id id)
{
    uint64_t n = value_number(g, id);
    return n ? n : UINT64_MAX;
}

static const enum option_id path_options[] = {
    [SANDBOX_READ] = OPT_PROFILE_READ,     [SANDBOX_EXEC] = OPT_PROFILE_EXEC,
    [SANDBOX_WRITE] = OPT_PROFILE_WRITE,   [SANDBOX_WORK] = OPT_PROFILE_WORK,
    [SANDBOX_HIDDEN] = OPT_PROFILE_HIDDEN, [SANDBOX_FIXED] = OPT_PROFILE_FIXED,
    [SANDBOX_MAKE] = OPT_PROFILE_MAKE,
};
_Static_assert(ARRAY_SIZE(path_options) == SANDBOX_ACCESS_MAX, "an option for every access");

static struct profile_words expand_ports(const struct config *c, const struct group *g,
                                         enum option_id id, struct places *room, char **items)
{
    const struct value *v = &g->values[id];
    size_t n = 0;
    for (size_t i = 0; i < v->count && room->count < PLACES_MAX; i++) {
        _cleanup_buf_ struct buf out = BUF_INIT;
        config_expand(c, g, v->items[i], &out);
        char *text = buf_take(&out);
        if (!text)
            room->failed = true;
        else
            items[n++] = room->items[room->count++] = text;
    }
    return (struct profile_words){ .items = (const char *const *)items, .count = n };
}

struct rooms {
    struct places paths[SANDBOX_ACCESS_MAX], ports;
    char *connect[PLACES_MAX], *bind[PLACES_MAX];
};

static void rooms_free(struct rooms **r)
{
    for (size_t i = 0; *r && i < SANDBOX_ACCESS_MAX; i++)
        places_release(&(*r)->paths[i]);
    if (*r)
        places_release(&(*r)->ports);
    free(*r);
}

int profiles_compile(const struct config *c, const struct group *g, void **ret, size_t *ret_size,
                     struct error *e)
{
    _cleanup_(rooms_free) struct rooms *rooms = calloc(1, sizeof *rooms);
    if (!rooms)
        return error_set_errno(e, -ENOMEM, "sandbox %s", profile_name(g));
    const struct profile_limit limits[] = {
        { RLIMIT_NOFILE, limit(g, OPT_PROFILE_NOFILE) },
        { RLIMIT_NPROC, limit(g, OPT_PROFILE_NPROC) },
        { RLIMIT_FSIZE, limit(g, OPT_PROFILE_FSIZE) },
        { RLIMIT_CORE, value_number(g, OPT_PROFILE_CORE) },
    };
    struct profile p = {
        .name = profile_name(g),
        .connect = expand_ports(c, g, OPT_PROFILE_CONNECT, &rooms->ports, rooms->connect),
        .bind = expand_ports(c, g, OPT_PROFILE_BIND, &rooms->ports, rooms->bind),
        .signals_own = strcmp(value_text(g, OPT_PROFILE_SIGNALS), "own") == 0,
        .abstract_own = strcmp(value_text(g, OPT_PROFILE_ABSTRACT), "own") == 0,
        .filter = strcmp(value_text(g, OPT_PROFILE_SYSCALLS), "filter") == 0,
        .allow = words(g, OPT_PROFILE_ALLOW),
        .deny = words(g, OPT_PROFILE_DENY),
        .capabilities = words(g, OPT_PROFILE_CAPABILITIES),
        .scrub = words(g, OPT_PROFILE_SCRUB),
        .control = words(g, OPT_PROFILE_CONTROL),
        .limits = limits,
        .limit_count = ARRAY_SIZE(limits),
    };
    bool failed = rooms->ports.failed;
    for (size_t i = 0; i < SANDBOX_ACCESS_MAX; i++) {
        struct places *at = &rooms->paths[i];
        expand(c, g, path_options[i], at);
        p.paths[i] =
            (struct profile_words){ .items = (const char *const *)at->items, .count = at->count };
        failed |= at->failed;
    }
    if (failed)
        return error_set(e, -E2BIG, "sandbox %s has too many paths", p.name);
    return profile_compile(&p, ret, ret_size, e);
}

int profiles_put(const struct config *c, struct plan_writer *w, const char *name, struct error *e)
{
    const struct group *g = config_profile(c, name);
    if (!g) /* "none"; config_check() has found all others */
        return 0;
    size_t count = w->profiles.len / sizeof(struct plan_profile);
    plan_str wanted = plan_writer_str(w, name);
    for (size_t i = 0; i < count; i++) {
        struct plan_profile p;
        memcpy(&p, w->profiles.data + i * sizeof p, sizeof p);
        if (p.name == wanted)
            return (int)i + 1;
    }
    _cleanup_free_ void *block = NULL;
    size_t size;
    int r = profiles_compile(c, g, &block, &size, e);
    if (r < 0)
        return r;
    plan_writer_profile(w, name, block, size);
    return (int)count + 1;
}
