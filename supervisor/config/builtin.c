#include "supervisor/config/builtin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/secrets.h"

enum { PROBES, GATEWAY, STATE, PREPARE, OPENCODE, WATCH, BUILTINS };
#define ON(i) (1U << (i))

/* In this order they are started; what need not wait comes first. */
static const struct builtin builtins[] = {
    [PROBES] = { .name = "probes",
                 .stop_order = STOP_ORDER_LAST, /* it tells Kubernetes that the pod is stopping */
                 .secret_readers = SECRET_FOR_PROBES },
    [GATEWAY] = { .name = "gateway",
                  .stop_order =
                      STOP_ORDER_FIRST, /* it tells the chats, and needs OpenCode for it */
                  .gates_ready = 1,
                  .secret_readers = SECRET_FOR_GATEWAY },
    [STATE] = { .name = "session-state",
                .stop_order = STOP_ORDER_USER, /* after what it writes down */
                .secret_readers = SECRET_FOR_STATE,
                .handed = "git",
                .handed_alone = true,
                .when = "${gateway.state_repo}" },
    [PREPARE] = { .name = "prepare",
                  .stop_order = STOP_ORDER_USER,
                  .secret_readers = SECRET_FOR_PREPARE,
                  .handed = "build",
                  .agent_side = true },
    [OPENCODE] = { .name = "opencode",
                   .env_from = "opencode.env",
                   .handed = "commands",
                   .handed_inside = true,
                   .stop_order = STOP_ORDER_AGENT,
                   .gates_ready = 1,
                   .gates_live = 1,
                   .secret_readers = SECRET_FOR_OPENCODE | SECRET_FOR_OPENCODE_ENV,
                   .agent_side = true },
    [WATCH] = { .name = "plugin-watch",
                .stop_order = STOP_ORDER_USER,
                .handed = "build",
                .agent_side = true },
};
_Static_assert(ARRAY_SIZE(builtins) == BUILTINS, "a row for every built-in service");

static const struct builtin users_own = { .stop_order = STOP_ORDER_USER, .agent_side = true };

/* Their settings, written as in the config file; rows of one list follow each other. */
static const struct {
    int service;
    enum option_id id;
    const char *text;
} settings[] = {
    { PROBES, OPT_COMMAND, "$BIN/codev-probes" },
    { PROBES, OPT_SANDBOX, "probes" },

    { GATEWAY, OPT_COMMAND, "$BIN/codev-gateway" },
    { GATEWAY, OPT_READY_HTTP, "$GATEWAY_LOCAL/api/health" },
    { GATEWAY, OPT_READY_INTERVAL, "500ms" },
    { GATEWAY, OPT_READY_TIMEOUT, "500ms" },
    { GATEWAY, OPT_HEALTH_HTTP, "$GATEWAY_LOCAL/api/health" },
    { GATEWAY, OPT_HEALTH_INTERVAL, "5s" },
    { GATEWAY, OPT_STOP_GRACE, "8s" },
    { GATEWAY, OPT_SANDBOX, "gateway" },

    { STATE, OPT_COMMAND, "$BIN/codev-state" },
    { STATE, OPT_STOP_GRACE, "8s" },
    { STATE, OPT_SANDBOX, "state" },

    { PREPARE, OPT_COMMAND, "$BIN/codev-prepare" },
    { PREPARE, OPT_TYPE, "oneshot" },
    { PREPARE, OPT_RESTART, "never" },
    { PREPARE, OPT_START_TIMEOUT, "$PREPARE_TIMEOUT" },

    { OPENCODE, OPT_COMMAND, "${OPENCODE_BIN}" },
    { OPENCODE, OPT_COMMAND, "${opencode.command}" },
    { OPENCODE, OPT_COMMAND, "--hostname" },
    { OPENCODE, OPT_COMMAND, "${opencode.hostname}" },
    { OPENCODE, OPT_COMMAND, "--port" },
    { OPENCODE, OPT_COMMAND, "${opencode.port}" },
    { OPENCODE, OPT_AFTER, "prepare" },
    { OPENCODE, OPT_CWD, "$OPENCODE_DIRECTORY" },
    { OPENCODE, OPT_ENV, "OPENCODE_DISABLE_AUTOUPDATE=1" },
    { OPENCODE, OPT_ENV, "OPENCODE_DISABLE_MODELS_FETCH=1" },
    { OPENCODE, OPT_ENV, "OPENCODE_DISABLE_SHARE=1" },
    /* `web` runs xdg-open where there is one; that in turn runs this. */
    { OPENCODE, OPT_ENV, "BROWSER=true" },
    { OPENCODE, OPT_START_TIMEOUT, "2m" },
    /* Health alone is blind to a plugin that hangs; the second request loads the plugins. Its port
     * swallows requests that come too early, hence a short timeout and soon again. */
    { OPENCODE, OPT_READY_HTTP, "$OPENCODE_URL/global/health" },
    { OPENCODE, OPT_READY_HTTP,
      "$OPENCODE_URL/session/status?directory=$OPENCODE_DIRECTORY_QUERY" },
    { OPENCODE, OPT_READY_INTERVAL, "200ms" },
    { OPENCODE, OPT_READY_TIMEOUT, "500ms" },
    { OPENCODE, OPT_HEALTH_HTTP, "$OPENCODE_URL/global/health" },
    /* It ends turns and kills the tools' processes, which OpenCode itself does on no signal. */
    { OPENCODE, OPT_PRE_STOP_HTTP_POST, "$OPENCODE_URL/global/dispose" },
    { OPENCODE, OPT_PRE_STOP_TIMEOUT, "3s" },
    { OPENCODE, OPT_SANDBOX, "agent" },

    { WATCH, OPT_COMMAND, "$BIN/codev-prepare" },
    { WATCH, OPT_COMMAND, "--watch" },
    { WATCH, OPT_AFTER, "prepare" },
    { WATCH, OPT_RESTART, "on-failure" },
};

#define PLUGIN (ON(PREPARE) | ON(WATCH))
#define TALKS  (ON(PREPARE) | ON(WATCH) | ON(OPENCODE) | ON(GATEWAY) | ON(PROBES))

#define IN_SANDBOX (1U << 31)
#define WALLED(i)  (ON(i) | IN_SANDBOX) /* only with a sandbox */

/* docs/control.md, "What a service finds in its environment". */
static const struct {
    unsigned services;
    const char *text;
} variables[] = {
    { PLUGIN, "CODEV_PLUGIN_PATH=${plugin.path}" },
    { PLUGIN, "CODEV_PLUGIN_URL=${plugin.url}" },
    { PLUGIN, "CODEV_PLUGIN_BRANCH=${plugin.branch}" },
    { PLUGIN, "CODEV_PLUGIN_UPDATE=${plugin.update}" },
    { PLUGIN, "CODEV_PLUGIN_TOKEN_FILE=${plugin.token_file}" },
    { PLUGIN, "CODEV_PLUGIN_CA_FILE=${plugin.ca_file}" },
    { PLUGIN, "CODEV_PLUGIN_TIMEOUT_MS=$PLUGIN_TIMEOUT_MS" },
    { PLUGIN, "CODEV_PLUGIN_RELOAD=${plugin.reload}" },
    { PLUGIN, "CODEV_TRUST=${trust}" },
    { PLUGIN, "CODEV_OPENCODE_SANDBOX=$OPENCODE_SANDBOX" },
    { ON(PREPARE), "CODEV_OPENCODE_BIN=${OPENCODE_BIN}" },
    { PLUGIN, "CODEV_OPENCODE_VERSION_CHECK=${opencode.version_check}" },
    { TALKS, "CODEV_OPENCODE_URL=$OPENCODE_URL" },
    { TALKS, "CODEV_OPENCODE_DIRECTORY=$OPENCODE_DIRECTORY" },
    { TALKS, "OPENCODE_SERVER_USERNAME=${OPENCODE_SERVER_USERNAME}" },
    { TALKS, "GATEWAY_URL=${GATEWAY_URL}" },
    { TALKS, "GATEWAY_WS=${GATEWAY_WS}" },
    { ON(GATEWAY), "CODEV_GATEWAY_LISTEN=${gateway.listen}" },
    { ON(GATEWAY), "CODEV_GATEWAY_PORT=${gateway.port}" },
    { ON(STATE), "CODEV_GATEWAY_STATE_REPO=${gateway.state_repo}" },
    { ON(STATE), "CODEV_GATEWAY_STATE_BRANCH=${gateway.state_branch}" },
    { ON(STATE), "CODEV_GATEWAY_STATE_TOKEN_FILE=${gateway.state_token_file}" },
    { ON(STATE), "CODEV_GATEWAY_STATE_CA_FILE=${gateway.state_ca_file}" },
    { ON(GATEWAY), "CODEV_GATEWAY_BUSY=${gateway.busy}" },
    { ON(GATEWAY), "CODEV_GATEWAY_QUESTION_TIMEOUT=${gateway.question_timeout}" },
    { ON(GATEWAY), "CODEV_GATEWAY_PERMISSION_DEADLINE=${gateway.permission_deadline}" },
    { ON(GATEWAY), "CODEV_GATEWAY_WEB_ACTIVE=${gateway.web_active}" },
    { ON(GATEWAY), "CODEV_GATEWAY_WEB_HOLD=${gateway.web_hold}" },
    { ON(GATEWAY), "SLACK_CHANNEL_ID=${slack.channel}" },
    { ON(GATEWAY), "SLACK_ALLOWED_USERS=${slack.allowed_users}" },
    { ON(GATEWAY), "SLACK_ALLOW=${slack.allow}" },
    { ON(GATEWAY), "SLACK_API_URL=$SLACK_API" },
    { ON(PROBES), "CODEV_PROBES_LISTEN=${probes.listen}" },
    { ON(PROBES), "CODEV_PROBES_PORT=${probes.port}" },
    /* What it starts goes by codev-shell: its shell by its own choice, all else by the fence. */
    { WALLED(OPENCODE), "SHELL=$SHELL_PROGRAM" },
    { WALLED(OPENCODE), "CODEV_RESTORE_SHELL=$SHELL_BEFORE" },
    { WALLED(OPENCODE), "CODEV_FENCE_SHELL=$SHELL_PROGRAM" },
    { WALLED(OPENCODE), "CODEV_TRUST=${trust}" },
    { WALLED(OPENCODE), "CODEV_GUARD_CONFIG=$GUARD_CONFIG" },
    { WALLED(OPENCODE), "LD_PRELOAD=$PRELOAD" },
    { WALLED(OPENCODE), "CODEV_RESTORE_LD_PRELOAD=$LD_PRELOAD_BEFORE" },
};

const struct builtin *builtin_of(const struct group *g)
{
    return g->builtin < 0 ? &users_own : &builtins[g->builtin];
}

const char *builtin_variable(const struct group *g, size_t *i)
{
    bool walled = strcmp(value_text(g, OPT_SANDBOX), "none") != 0;
    while (g->builtin >= 0 && *i < ARRAY_SIZE(variables)) {
        size_t at = (*i)++;
        bool meant = !(variables[at].services & IN_SANDBOX) || walled;
        if (meant && variables[at].services & ON(g->builtin))
            return variables[at].text;
    }
    return NULL;
}

int config_add_builtins(struct config *c)
{
    for (int i = 0; i < BUILTINS; i++) {
        struct group *g = config_add_service(c, builtins[i].name, 0);
        if (!g)
            return -ENOMEM;
        g->builtin = i;
    }
    return 0;
}

void config_drop_builtins(struct config *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->service_count; i++) {
        struct group *g = c->services[i];
        _cleanup_buf_ struct buf when = BUF_INIT;
        const char *text = builtin_of(g)->when;
        if (text)
            config_expand(c, &c->top, text, &when);
        if (!text || when.len)
            c->services[kept++] = g;
        else
            config_group_free(g);
    }
    c->service_count = kept;
}

/* Options of which at most one counts: another one from the file puts the built-in one out. */
static const enum option_id rivals[][4] = {
    { OPT_READY_HTTP, OPT_READY_TCP, OPT_READY_EXEC, OPT_READY_NOTIFY },
    { OPT_HEALTH_HTTP, OPT_HEALTH_TCP, OPT_HEALTH_EXEC, OPT_HEALTH_EXEC },
    { OPT_PRE_STOP_HTTP_POST, OPT_PRE_STOP_EXEC, OPT_PRE_STOP_EXEC, OPT_PRE_STOP_EXEC },
};

static bool put_out(const struct group *g, enum option_id id)
{
    for (size_t i = 0; i < ARRAY_SIZE(rivals); i++) {
        bool member = false, set = false;
        for (size_t k = 0; k < ARRAY_SIZE(rivals[i]); k++) {
            member |= rivals[i][k] == id;
            set |= g->values[rivals[i][k]].source != SOURCE_NONE;
        }
        if (member)
            return set;
    }
    return g->values[id].source != SOURCE_NONE && id != OPT_ENV;
}

/* The rows from `first` that belong to one setting; how many. */
static size_t rows_of(size_t first)
{
    size_t n = 1;
    while (first + n < ARRAY_SIZE(settings) &&
           settings[first + n].service == settings[first].service &&
           settings[first + n].id == settings[first].id)
        n++;
    return n;
}

#define ROWS_MAX 16 /* of one setting, with what the file adds to `env` taken apart */

static int fill_setting(struct config *c, struct group *g, size_t first, size_t count)
{
    struct value *v = &g->values[settings[first].id];
    if (put_out(g, settings[first].id))
        return 0;
    _cleanup_free_ const char **items = calloc(count + v->count, sizeof *items);
    struct buf texts[ROWS_MAX] = { 0 };
    int r = items && count <= ROWS_MAX ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < count; i++) {
        config_expand(c, g, settings[first + i].text, &texts[i]);
        r = texts[i].failed ? -ENOMEM : 0;
        items[i] = buf_str(&texts[i]);
    }
    for (size_t i = 0; r == 0 && i < v->count; i++) /* the file's variables come last and win */
        items[count + i] = v->items[i];
    if (r == 0)
        r = value_set(g, settings[first].id, items, count + v->count,
                      v->source ? v->source : SOURCE_DEFAULT, v->line);
    for (size_t i = 0; i < ROWS_MAX; i++)
        buf_release(&texts[i]);
    return r;
}

int config_fill_builtins(struct config *c)
{
    for (size_t i = 0, n; i < ARRAY_SIZE(settings); i += n) {
        n = rows_of(i);
        struct group *g = config_service(c, builtins[settings[i].service].name);
        int r = g ? fill_setting(c, g, i, n) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}
