/* The names that defaults and built-in services are written with. Values that people set are never
 * expanded. */
#include "supervisor/config/local.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/cleanup.h"

void local_url(struct buf *out, const char *scheme, const char *host, const char *port)
{
    if (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    if (strcmp(host, "::") == 0)
        host = "::1";
    bool six = strchr(host, ':') != NULL;
    buf_printf(out, "%s://%s%s%s:%s", scheme, six ? "[" : "", host, six ? "]" : "", port);
}

void query_encode(struct buf *out, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (; *text; text++) {
        if (strchr(plain, *text))
            buf_putc(out, *text);
        else
            buf_printf(out, "%%%02X", (unsigned char)*text);
    }
}

static void put_opencode_url(const struct config *c, const struct group *g, struct buf *out)
{
    (void)g;
    local_url(out, "http", value_text(&c->top, OPT_OPENCODE_HOSTNAME),
              value_text(&c->top, OPT_OPENCODE_PORT));
}

static void put_gateway_local(const struct config *c, const struct group *g, struct buf *out)
{
    (void)g;
    local_url(out, "http", value_text(&c->top, OPT_GATEWAY_LISTEN),
              value_text(&c->top, OPT_GATEWAY_PORT));
}

static void put_gateway_local_ws(const struct config *c, const struct group *g, struct buf *out)
{
    (void)g;
    local_url(out, "ws", value_text(&c->top, OPT_GATEWAY_LISTEN),
              value_text(&c->top, OPT_GATEWAY_PORT));
    buf_puts(out, "/ws/bridge");
}

static void put_directory(const struct config *c, const struct group *g, struct buf *out)
{
    (void)g;
    buf_printf(out, "%s/src", value_text(&c->top, OPT_HOME));
}

static void put_directory_query(const struct config *c, const struct group *g, struct buf *out)
{
    _cleanup_buf_ struct buf path = BUF_INIT;
    put_directory(c, g, &path);
    query_encode(out, buf_str(&path));
}

static void put_pod(const struct config *c, const struct group *g, struct buf *out)
{
    (void)c;
    (void)g;
    char host[256] = "";
    const char *name = getenv("POD_NAME");
    if (!name || !*name) {
        (void)gethostname(host, sizeof host - 1);
        name = host[0] ? host : "codev";
    }
    buf_puts(out, name);
}

static void put_policy(const struct config *c, const struct group *g, struct buf *out)
{
    (void)g;
    buf_puts(out, c->in_pod ? "degrade" : "warn");
}

static void put_restart(const struct config *c, const struct group *g, struct buf *out)
{
    (void)c;
    buf_puts(out, strcmp(value_text(g, OPT_TYPE), "oneshot") == 0 ? "on-failure" : "always");
}

/* Past the plugin's own timeout, prepare must come to an end by itself. */
static void put_prepare_timeout(const struct config *c, const struct group *g, struct buf *out)
{
    (void)g;
    uint64_t ms = value_number(&c->top, OPT_PLUGIN_TIMEOUT) + 30000;
    buf_printf(out, "%llu%s", (unsigned long long)(ms % 1000 ? ms : ms / 1000),
               ms % 1000 ? "ms" : "s");
}

/* A program of ours: beside this one, else by PATH. */
static void put_bin(const struct config *c, const struct group *g, struct buf *out)
{
    (void)g;
    if (*c->own_folder)
        buf_printf(out, "%s/", c->own_folder);
}

static void put_environment(const char *name, struct buf *out)
{
    const char *value = getenv(name);
    buf_puts(out, value ? value : "");
}

static void put_shell(const struct config *c, const struct group *g, struct buf *out)
{
    put_bin(c, g, out);
    buf_puts(out, "codev-shell");
}

static void put_shell_before(const struct config *c, const struct group *g, struct buf *out)
{
    (void)c;
    (void)g;
    put_environment("SHELL", out);
}

static void put_preload_before(const struct config *c, const struct group *g, struct buf *out)
{
    (void)c;
    (void)g;
    put_environment("LD_PRELOAD", out);
}

/* The fence first, then what there was. */
static void put_preload(const struct config *c, const struct group *g, struct buf *out)
{
    const char *before = getenv("LD_PRELOAD");
    if (*c->own_folder)
        buf_printf(out, "%s/../lib/codev/codev-fence.so", c->own_folder);
    if (before && *before)
        buf_printf(out, "%s%s", *c->own_folder ? ":" : "", before);
    (void)g;
}

/* OpenCode's configuration when codev-prepare has left none. */
static void put_guard_config(const struct config *c, const struct group *g, struct buf *out)
{
    (void)g;
    if (*c->own_folder)
        buf_printf(out, "%s/../share/codev/guard/guarded.json", c->own_folder);
}

static void put_plugin_timeout(const struct config *c, const struct group *g, struct buf *out)
{
    (void)g;
    buf_printf(out, "%llu", (unsigned long long)value_number(&c->top, OPT_PLUGIN_TIMEOUT));
}

static void put_opencode_sandbox(const struct config *c, const struct group *g, struct buf *out)
{
    (void)g;
    const struct group *opencode = config_service(c, "opencode");
    buf_puts(out, opencode ? value_text(opencode, OPT_SANDBOX) : "none");
}

static void put_slack_api(const struct config *c, const struct group *g, struct buf *out)
{
    (void)g;
    const char *url = value_text(&c->top, OPT_SLACK_API_URL);
    buf_puts(out, *url ? url : "https://slack.com/api/");
}

/* Of a repository on a volume; else nothing. */
static void put_repo_path(const struct config *c, const struct group *g, struct buf *out)
{
    static const char scheme[] = "file://";
    const char *url = value_text(&c->top, OPT_GATEWAY_STATE_REPO);
    (void)g;
    if (strncmp(url, scheme, sizeof scheme - 1) == 0)
        buf_puts(out, url + sizeof scheme - 1);
}

static void put_tmp(const struct config *c, const struct group *g, struct buf *out)
{
    (void)c;
    (void)g;
    const char *dir = getenv("TMPDIR");
    buf_puts(out, dir && *dir == '/' ? dir : "/tmp");
}

static void put_npm_cache(const struct config *c, const struct group *g, struct buf *out)
{
    (void)g;
    const char *dir = getenv("npm_config_cache");
    if (dir && *dir == '/')
        buf_puts(out, dir);
    else
        buf_printf(out, "%s/.npm", value_text(&c->top, OPT_HOME));
}

static void put_opencode_data(const struct config *c, const struct group *g, struct buf *out)
{
    (void)g;
    const char *dir = getenv("XDG_DATA_HOME");
    if (dir && *dir == '/')
        buf_printf(out, "%s/opencode", dir);
    else
        buf_printf(out, "%s/.local/share/opencode", value_text(&c->top, OPT_HOME));
}

static void put_home(const struct config *c, const struct group *g, struct buf *out)
{
    (void)g;
    buf_puts(out, value_text(&c->top, OPT_HOME));
}

struct name {
    const char *name;
    void (*put)(const struct config *c, const struct group *g, struct buf *out);
};

/* A longer name stands before one that it begins with. */
static const struct name names[] = {
    { "HOME", put_home },
    { "TMP", put_tmp },
    { "NPM_CACHE", put_npm_cache },
    { "BIN/", put_bin },
    { "SHELL_PROGRAM", put_shell },
    { "SHELL_BEFORE", put_shell_before },
    { "PRELOAD", put_preload },
    { "GUARD_CONFIG", put_guard_config },
    { "LD_PRELOAD_BEFORE", put_preload_before },
    { "POD", put_pod },
    { "OPENCODE_DATA", put_opencode_data },
    { "OPENCODE_SANDBOX", put_opencode_sandbox },
    { "OPENCODE_URL", put_opencode_url },
    { "OPENCODE_DIRECTORY_QUERY", put_directory_query },
    { "OPENCODE_DIRECTORY", put_directory },
    { "GATEWAY_LOCAL_WS", put_gateway_local_ws },
    { "GATEWAY_LOCAL", put_gateway_local },
    { "STORAGE_POLICY", put_policy },
    { "SLACK_API", put_slack_api },
    { "RESTART", put_restart },
    { "REPO_PATH", put_repo_path },
    { "PLUGIN_TIMEOUT_MS", put_plugin_timeout },
    { "PREPARE_TIMEOUT", put_prepare_timeout },
};

/* ${KEY}: the value of a top option, by its key or its variable; a list with commas. */
static size_t put_option(const struct config *c, const char *text, struct buf *out)
{
    const char *end = strchr(text, '}');
    size_t len = end ? (size_t)(end - text) - 1 : 0;
    for (int i = 0; len && i < OPT_MAX; i++) {
        const struct setting *o = &option_table[i];
        const char *name = option_name((enum option_id)i);
        if (o->scope != SCOPE_TOP || strncmp(name, text + 1, len) != 0 || name[len])
            continue;
        const struct value *v = &c->top.values[i];
        for (size_t k = 0; k < v->count; k++)
            buf_printf(out, "%s%s", k ? "," : "", v->items[k]);
        return len + 2;
    }
    return 0;
}

/* Puts in what the name at `text` (behind the $) stands for. Returns its length, 0: no such name.
 */
static size_t put_name(const struct config *c, const struct group *g, const char *text,
                       struct buf *out)
{
    if (*text == '{')
        return put_option(c, text, out);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        size_t len = strlen(names[i].name);
        if (strncmp(text, names[i].name, len) != 0)
            continue;
        names[i].put(c, g, out);
        return len;
    }
    return 0;
}

void config_expand(const struct config *c, const struct group *g, const char *text, struct buf *out)
{
    while (*text) {
        size_t plain = strcspn(text, "$");
        buf_append(out, text, plain);
        text += plain;
        size_t len = *text ? put_name(c, g, text + 1, out) : 0;
        if (len)
            text += 1 + len;
        else if (*text)
            buf_putc(out, *text++);
    }
}
