#include "bridge/gateway/settings.h"

#include "base/core/cleanup.h"
#include "base/core/file.h"
#include "base/core/log.h"
#include "base/core/parse.h"

#include <errno.h>
#include <string.h>

#define TOKEN_MAX       4096
#define DURATION_MAX_MS UINT64_C(31536000000) /* a year */

static const char *env(const char *name, const char *fallback)
{
    const char *value = getenv(name);
    return value ? value : fallback;
}

/* Where each text comes from. */
static void read_texts(struct settings *s)
{
    const struct {
        const char **to, *name, *fallback;
    } rows[] = {
        { &s->state_dir, "CODEV_STATE_DIR", "" },
        { &s->runtime_dir, "CODEV_RUNTIME_DIR", "" },
        { &s->opencode_url, "CODEV_OPENCODE_URL", "http://127.0.0.1:8080" },
        { &s->opencode_directory, "CODEV_OPENCODE_DIRECTORY", "" },
        { &s->opencode_user, "OPENCODE_SERVER_USERNAME", "opencode" },
        { &s->listen, "CODEV_GATEWAY_LISTEN", "0.0.0.0" },
        { &s->slack_channel, "SLACK_CHANNEL_ID", "" },
        { &s->slack_allowed_users, "SLACK_ALLOWED_USERS", "" },
        { &s->slack_allow, "SLACK_ALLOW", "users" },
        { &s->slack_api_url, "SLACK_API_URL", "https://slack.com/api/" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        *rows[i].to = env(rows[i].name, rows[i].fallback);
    if (!*s->opencode_user)
        s->opencode_user = "opencode";
}

static void read_secrets(struct gateway_settings *g)
{
    g->s.slack_bot_token = secrets_get(&g->secrets, "SLACK_BOT_TOKEN");
    g->s.slack_app_token = secrets_get(&g->secrets, "SLACK_APP_TOKEN");
    g->s.opencode_password = secrets_get(&g->secrets, "OPENCODE_SERVER_PASSWORD");
    g->s.token = secrets_get(&g->secrets, "CODEV_TOKEN");
    g->s.bridge_token = secrets_get(&g->secrets, "CODEV_BRIDGE_TOKEN");
}

/* Without a supervisor nobody hands the API token over: it is kept where PID 1 would keep it. */
static int own_token(struct gateway_settings *g, struct error *e)
{
    char fresh[SECRET_TEXT_SIZE];
    _cleanup_free_ char *path = *g->s.state_dir ? path_join(g->s.state_dir, "token") : NULL;
    if (path && file_read(path, TOKEN_MAX, &g->token, NULL) == 0) {
        g->token[strcspn(g->token, "\r\n")] = '\0';
        if (*g->token)
            return 0;
        free(TAKE_PTR(g->token));
    }
    int r = secret_generate(fresh);
    if (r == 0 && path)
        r = file_write_atomic(path, fresh, strlen(fresh), 0600);
    if (r < 0 && path)
        log_warn("cannot keep the API's token in %s (%s): it changes with every start", path,
                 strerror(-r));
    if (!path)
        log_warn("no CODEV_TOKEN and no state folder: the API's token is not known to anybody");
    g->token = strdup(fresh);
    return g->token ? 0 : error_set_errno(e, -ENOMEM, "cannot keep the API's token");
}

static int fill_tokens(struct gateway_settings *g, struct error *e)
{
    char fresh[SECRET_TEXT_SIZE];
    if (!g->s.token) {
        int r = own_token(g, e);
        if (r < 0)
            return r;
        g->s.token = g->token;
    }
    if (g->s.bridge_token)
        return 0;
    log_warn("no CODEV_BRIDGE_TOKEN: no bridge plugin can connect");
    int r = secret_generate(fresh);
    g->bridge_token = r == 0 ? strdup(fresh) : NULL;
    g->s.bridge_token = g->bridge_token;
    return g->bridge_token ? 0 : error_set_errno(e, r < 0 ? r : -ENOMEM, "no bridge token");
}

/* Their first names counted milliseconds; they count where the others say nothing. */
static int read_durations(struct gateway_settings *g, struct error *e)
{
    const struct {
        uint64_t *to, min_ms;
        const char *name, *fallback, *first_name;
    } rows[] = {
        { &g->permission_deadline_ms, 0, "CODEV_GATEWAY_PERMISSION_DEADLINE", "0",
          "CODEV_PERMISSION_DEADLINE_MS" },
        { &g->s.question_timeout_ms, 0, "CODEV_GATEWAY_QUESTION_TIMEOUT", "0",
          "CODEV_QUESTION_TIMEOUT_MS" },
        { &g->s.web_active_ms, 1000, "CODEV_GATEWAY_WEB_ACTIVE", "10m", NULL },
        { &g->s.web_hold_ms, 1000, "CODEV_GATEWAY_WEB_HOLD", "10m", NULL },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *text = env(rows[i].name, rows[i].fallback);
        if (parse_duration_ms(text, rows[i].to) < 0 || *rows[i].to > DURATION_MAX_MS ||
            *rows[i].to < rows[i].min_ms)
            return error_set(e, -EINVAL, "%s=%s is no duration that fits, such as 90s or 10m",
                             rows[i].name, text);
        const char *ms = rows[i].first_name ? env(rows[i].first_name, "0") : "0";
        if (*rows[i].to == 0 && parse_u64(ms, 0, DURATION_MAX_MS, rows[i].to) < 0)
            return error_set(e, -EINVAL, "%s=%s is no number of ms", rows[i].first_name, ms);
    }
    return 0;
}

static int read_numbers(struct gateway_settings *g, struct error *e)
{
    uint64_t port = 0;
    const char *text = env("CODEV_GATEWAY_PORT", "8000");
    if (parse_u64(text, 0, 65535, &port) < 0)
        return error_set(e, -EINVAL, "CODEV_GATEWAY_PORT=%s is no port", text);
    g->s.port = (uint16_t)port;
    return read_durations(g, e);
}

static int read_busy(struct gateway_settings *g, struct error *e)
{
    const char *busy = env("CODEV_GATEWAY_BUSY", "queue");
    g->s.interrupts = strcmp(busy, "interrupt") == 0;
    if (!g->s.interrupts && strcmp(busy, "queue") != 0)
        return error_set(e, -EINVAL, "CODEV_GATEWAY_BUSY=%s is neither queue nor interrupt", busy);
    return 0;
}

static int read_pod(struct gateway_settings *g, struct error *e)
{
    char host[256] = "";
    const char *name = env("CODEV_POD", "");
    if (!*name)
        name = env("POD_NAME", "");
    if (!*name && gethostname(host, sizeof host - 1) == 0)
        name = host;
    g->pod = strdup(*name ? name : "pod");
    g->s.pod = g->pod;
    return g->pod ? 0 : error_set_errno(e, -ENOMEM, "cannot read the settings");
}

static int check_url(const struct settings *s, struct error *e)
{
    const char *url = s->opencode_url;
    if (*url && strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return error_set(e, -EINVAL, "CODEV_OPENCODE_URL=%s is no http URL", url);
    return 0;
}

int gateway_settings_read(struct gateway_settings *ret, struct error *e)
{
    *ret = (struct gateway_settings){ .s.version = CODEV_VERSION };
    int r = secrets_take(SECRET_FOR_GATEWAY, &ret->secrets, e);
    if (r < 0)
        return r;
    read_texts(&ret->s);
    read_secrets(ret);
    r = read_numbers(ret, e);
    if (r == 0)
        r = read_busy(ret, e);
    if (r == 0)
        r = check_url(&ret->s, e);
    if (r == 0)
        r = read_pod(ret, e);
    return r == 0 ? fill_tokens(ret, e) : r;
}

static void wipe(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

void gateway_settings_release(struct gateway_settings *g)
{
    free(g->pod);
    wipe(g->token);
    wipe(g->bridge_token);
    secrets_release(&g->secrets);
    *g = (struct gateway_settings){ 0 };
}
