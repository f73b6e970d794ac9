#include "supervisor/config/compile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/secrets.h"
#include "supervisor/config/builtin.h"
#include "supervisor/config/environ.h"
#include "supervisor/config/local.h"
#include "supervisor/config/profiles.h"
#include "supervisor/plan/plan_writer.h"

#define VARIABLES_MAX (ENV_FILE_VARIABLES + 1024) /* of one service */

struct compiler {
    const struct config *c;
    struct plan_writer w;
    bool auth;           /* OpenCode asks for a password */
    struct buf opencode; /* its URL, as seen from here */
    uint32_t stop_order[CONFIG_SERVICES_MAX];
    int failed;
    struct error error; /* what failed, where it was said */
};

static plan_str text(struct compiler *k, const struct group *g, enum option_id id)
{
    return plan_writer_str(&k->w, value_text(g, id));
}

static struct plan_list list(struct compiler *k, const struct group *g, enum option_id id)
{
    const struct value *v = &g->values[id];
    return plan_writer_list(&k->w, (const char *const *)v->items, v->count);
}

static uint32_t number(const struct group *g, enum option_id id)
{
    uint64_t n = value_number(g, id);
    return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

/* The index of a choice in the table's order is the plan's enum. */
#define CHOICE(g, id) number(g, id)

/* A set of "K=V"; a later K replaces an earlier one. */
struct variables {
    char *items[VARIABLES_MAX];
    size_t count;
    int failed;
};

static void variables_release(struct variables *v)
{
    for (size_t i = 0; i < v->count; i++)
        free(v->items[i]);
}

/* Takes `pair` over (NULL: out of memory). */
static void variables_add(struct variables *v, char *pair)
{
    if (!pair || v->count == VARIABLES_MAX) {
        v->failed = pair ? -E2BIG : -ENOMEM;
        free(pair);
        return;
    }
    size_t name = strcspn(pair, "=") + 1;
    for (size_t i = 0; i < v->count; i++) {
        if (strncmp(v->items[i], pair, name) == 0) {
            free(v->items[i]);
            v->items[i] = pair;
            return;
        }
    }
    v->items[v->count++] = pair;
}

static void add_expanded(struct compiler *k, const struct group *g, struct variables *v,
                         const char *template)
{
    struct buf out = BUF_INIT;
    config_expand(k->c, g, template, &out);
    variables_add(v, buf_take(&out));
}

static void add_env_file(struct compiler *k, struct variables *v,
                         bool (*takes)(const struct builtin *b, const char *name),
                         const struct builtin *b)
{
    for (size_t i = 0; i < k->c->env_file.count; i++) {
        const struct env_variable *e = &k->c->env_file.rows[i];
        struct buf out = BUF_INIT;
        if (!takes(b, e->name))
            continue;
        buf_printf(&out, "%s=%s", e->name, e->value);
        variables_add(v, buf_take(&out));
    }
}

static struct plan_list seal(struct compiler *k, struct variables *v)
{
    if (v->failed)
        k->failed = v->failed;
    return plan_writer_list(&k->w, (const char *const *)v->items, v->count);
}

static struct plan_list service_env(struct compiler *k, const struct group *g)
{
    _cleanup_(variables_release) struct variables v = { .count = 0 };
    const struct value *own = &g->values[OPT_ENV];
    size_t at = 0;
    add_env_file(k, &v, env_file_passes, builtin_of(g));
    for (const char *t; (t = builtin_variable(g, &at));)
        add_expanded(k, g, &v, t);
    for (size_t i = 0; i < own->count; i++)
        variables_add(&v, strdup(own->items[i]));
    return seal(k, &v);
}

static bool takes_secret(const struct builtin *b, const char *name)
{
    (void)b;
    return env_file_secret(name);
}

/* For all services. Secrets of the env file pass through here by their names: PID 1 takes them out
 * and hands them to those only that may have them. */
static struct plan_list common_env(struct compiler *k)
{
    static const char *const templates[] = {
        "HOME=$HOME",
        "CODEV_HOME=$HOME",
        "CODEV_POD=${CODEV_POD}",
        "CODEV_LOG_LEVEL=${log.level}",
    };
    _cleanup_(variables_release) struct variables v = { .count = 0 };
    for (size_t i = 0; i < ARRAY_SIZE(templates); i++)
        add_expanded(k, &k->c->top, &v, templates[i]);
    add_env_file(k, &v, takes_secret, NULL);
    return seal(k, &v);
}

/* Whether `url` is OpenCode's: then the check shows its password. */
static bool is_opencode(const struct compiler *k, const char *url)
{
    size_t n = k->opencode.len;
    return strncmp(url, buf_str(&k->opencode), n) == 0 && (!url[n] || strchr("/?#", url[n]));
}

struct check_options {
    enum option_id kinds[PLAN_CHECK_MAX]; /* OPT_MAX: there is none */
    enum option_id interval, timeout, failures, action;
};

static const struct check_options ready_options = {
    .kinds = { [PLAN_CHECK_NONE] = OPT_MAX,
               [PLAN_CHECK_HTTP] = OPT_READY_HTTP,
               [PLAN_CHECK_TCP] = OPT_READY_TCP,
               [PLAN_CHECK_EXEC] = OPT_READY_EXEC,
               [PLAN_CHECK_NOTIFY] = OPT_READY_NOTIFY },
    .interval = OPT_READY_INTERVAL,
    .timeout = OPT_READY_TIMEOUT,
    .failures = OPT_MAX,
    .action = OPT_MAX,
};
static const struct check_options health_options = {
    .kinds = { [PLAN_CHECK_NONE] = OPT_MAX,
               [PLAN_CHECK_HTTP] = OPT_HEALTH_HTTP,
               [PLAN_CHECK_TCP] = OPT_HEALTH_TCP,
               [PLAN_CHECK_EXEC] = OPT_HEALTH_EXEC,
               [PLAN_CHECK_NOTIFY] = OPT_MAX },
    .interval = OPT_HEALTH_INTERVAL,
    .timeout = OPT_HEALTH_TIMEOUT,
    .failures = OPT_HEALTH_FAILURES,
    .action = OPT_HEALTH_ACTION,
};

static struct plan_check check(struct compiler *k, const struct group *g,
                               const struct check_options *o)
{
    struct plan_check p = {
        .interval_ms = number(g, o->interval),
        .timeout_ms = number(g, o->timeout),
        .failures = o->failures == OPT_MAX ? 1 : number(g, o->failures),
        .action = o->action == OPT_MAX ? PLAN_ACTION_RESTART : CHOICE(g, o->action),
    };
    for (uint32_t kind = 0; kind < PLAN_CHECK_MAX; kind++) {
        enum option_id id = o->kinds[kind];
        if (id == OPT_MAX || !value_is_set(g, id))
            continue;
        if (kind == PLAN_CHECK_NOTIFY && !value_number(g, id))
            continue;
        p.kind = kind;
        if (kind != PLAN_CHECK_NOTIFY)
            p.target = list(k, g, id);
    }
    const struct value *urls = &g->values[o->kinds[PLAN_CHECK_HTTP]];
    for (size_t i = 0; p.kind == PLAN_CHECK_HTTP && i < urls->count; i++)
        p.auth |= k->auth && is_opencode(k, urls->items[i]);
    return p;
}

static struct plan_hook exec_hook(struct compiler *k, const struct group *g, enum option_id exec,
                                  enum option_id timeout)
{
    return (struct plan_hook){ .argv = list(k, g, exec), .timeout_ms = number(g, timeout) };
}

static struct plan_hook pre_stop(struct compiler *k, const struct group *g)
{
    if (!value_is_set(g, OPT_PRE_STOP_HTTP_POST))
        return exec_hook(k, g, OPT_PRE_STOP_EXEC, OPT_PRE_STOP_TIMEOUT);
    _cleanup_buf_ struct buf program = BUF_INIT, ms = BUF_INIT;
    uint32_t timeout = number(g, OPT_PRE_STOP_TIMEOUT);
    config_expand(k->c, g, "$BIN/codev-probes", &program);
    buf_printf(&ms, "%u", timeout);
    if (program.failed || ms.failed)
        k->failed = -ENOMEM;
    const char *argv[] = { buf_str(&program), "--post", value_text(g, OPT_PRE_STOP_HTTP_POST),
                           "--timeout", buf_str(&ms) };
    /* A little longer than the request itself, so that the helper can say what went wrong. */
    return (struct plan_hook){ .argv = plan_writer_list(&k->w, argv, ARRAY_SIZE(argv)),
                               .timeout_ms = timeout > UINT32_MAX - 500 ? timeout : timeout + 500 };
}

/* What others wait for stops after them. The graph has no cycles: as many rounds as services. */
static void order_stops(struct compiler *k)
{
    static const enum option_id edges[] = { OPT_AFTER, OPT_REQUIRES };
    const struct config *c = k->c;
    for (size_t i = 0; i < c->service_count; i++)
        k->stop_order[i] = builtin_of(c->services[i])->stop_order;
    for (size_t n = 0; n < c->service_count * c->service_count * ARRAY_SIZE(edges); n++) {
        size_t i = n / ARRAY_SIZE(edges) % c->service_count;
        const struct value *v = &c->services[i]->values[edges[n % ARRAY_SIZE(edges)]];
        for (size_t e = 0; e < v->count; e++)
            for (size_t to = 0; to < c->service_count; to++)
                if (strcmp(service_name(c->services[to]), v->items[e]) == 0 &&
                    k->stop_order[to] <= k->stop_order[i])
                    k->stop_order[to] = k->stop_order[i] + 1;
    }
}

static uint32_t readers(const struct compiler *k, const struct group *g)
{
    uint32_t r = builtin_of(g)->secret_readers;
    return k->auth ? r : r & ~(uint32_t)SECRET_FOR_OPENCODE_ENV;
}

/* Profiles are compiled when somebody needs them. */
static uint32_t profile(struct compiler *k, const char *name)
{
    int r = k->failed ? 0 : profiles_put(k->c, &k->w, name, &k->error);
    if (r < 0)
        k->failed = r;
    return r > 0 ? (uint32_t)r : 0;
}

/* With a profile of its own, who has one handed over gets OpenCode's, too: what OpenCode can reach,
 * and what it is asked in. OpenCode itself is in that one, and gets what goes inside of it. */
static struct plan_list handed(struct compiler *k, const struct builtin *b)
{
    const struct group *opencode = config_service(k->c, "opencode");
    const char *names[] = { b->handed, opencode ? value_text(opencode, OPT_SANDBOX) : "none" };
    bool walled = strcmp(names[1], "none") != 0;
    if (!b->handed || (b->handed_inside && !walled) || !profile(k, b->handed))
        return (struct plan_list){ 0 };
    bool both = !b->handed_inside && !b->handed_alone && strcmp(names[0], names[1]) != 0 &&
                profile(k, names[1]);
    return plan_writer_list(&k->w, names, both ? 2 : 1);
}

static void put_service(struct compiler *k, const struct group *g, uint32_t stop_order)
{
    const struct builtin *b = builtin_of(g);
    uint32_t critical = number(g, OPT_CRITICAL);
    struct plan_service s = {
        .name = plan_writer_str(&k->w, service_name(g)),
        .argv = list(k, g, OPT_COMMAND),
        .type = CHOICE(g, OPT_TYPE),
        .after = list(k, g, OPT_AFTER),
        .requires = list(k, g, OPT_REQUIRES),
        .env = service_env(k, g),
        .env_from = plan_writer_str(&k->w, b->env_from),
        .cwd = text(k, g, OPT_CWD),
        .user = text(k, g, OPT_USER),
        .start_timeout_ms = number(g, OPT_START_TIMEOUT),
        .ready = check(k, g, &ready_options),
        .health = check(k, g, &health_options),
        .restart = CHOICE(g, OPT_RESTART),
        .backoff_first_ms = number(g, OPT_BACKOFF_FIRST),
        .backoff_max_ms = number(g, OPT_BACKOFF_MAX),
        .backoff_factor_milli = number(g, OPT_BACKOFF_FACTOR),
        .backoff_jitter_milli = number(g, OPT_BACKOFF_JITTER),
        .backoff_reset_ms = number(g, OPT_BACKOFF_RESET_AFTER),
        .limit_count = number(g, OPT_LIMIT_COUNT),
        .limit_window_ms = number(g, OPT_LIMIT_WINDOW),
        .limit_then = CHOICE(g, OPT_LIMIT_THEN),
        .stop_signal = number(g, OPT_STOP_SIGNAL),
        .stop_grace_ms = number(g, OPT_STOP_GRACE),
        .stop_order = stop_order,
        .pre_stop = pre_stop(k, g),
        .post_start = exec_hook(k, g, OPT_POST_START_EXEC, OPT_POST_START_TIMEOUT),
        .memory_max = value_number(g, OPT_MEMORY_MAX),
        .limit_nofile = number(g, OPT_NOFILE),
        .limit_nproc = number(g, OPT_NPROC),
        .sandbox = text(k, g, OPT_SANDBOX),
        .profile = profile(k, value_text(g, OPT_SANDBOX)),
        .handed = handed(k, b),
        .critical = critical,
        .gates_ready = b->gates_ready | critical,
        .gates_live = b->gates_live,
        .secret_readers = readers(k, g),
        .watchdog_ms = number(g, OPT_WATCHDOG),
    };
    plan_writer_service(&k->w, &s);
}

static void put_header(struct compiler *k)
{
    const struct group *top = &k->c->top;
    struct plan_header *h = &k->w.header;
    h->home = text(k, top, OPT_HOME);
    h->config_file = plan_writer_str(&k->w, k->c->file_present ? k->c->file : "");
    h->state_dir = text(k, top, OPT_STATE_DIR);
    h->environment = common_env(k);
    h->stop_timeout_ms = number(top, OPT_STOP_TIMEOUT);
    h->drain_ms = number(top, OPT_DRAIN);
    h->log_format = CHOICE(top, OPT_LOG_FORMAT);
    h->log_level = CHOICE(top, OPT_LOG_LEVEL);
    h->watch_config = number(top, OPT_WATCH_CONFIG);
    h->cgroup = CHOICE(top, OPT_CGROUP);
    h->sandbox_require = number(top, OPT_SANDBOX_REQUIRE);
}

static void put_volume(struct compiler *k, const struct group *g)
{
    struct plan_volume v = {
        .path = text(k, g, OPT_STORAGE_PATH),
        .policy = (uint16_t)CHOICE(g, OPT_STORAGE_POLICY),
        .migrate = value_number(g, OPT_STORAGE_MIGRATE) != 0,
        .min_free = value_number(g, OPT_STORAGE_MIN_FREE),
        .min_inodes = value_number(g, OPT_STORAGE_MIN_INODES),
    };
    plan_writer_volume(&k->w, &v);
}

static void compiler_release(struct compiler *k)
{
    plan_writer_release(&k->w);
    buf_release(&k->opencode);
}

int config_compile(const struct config *c, void **ret, size_t *ret_size, struct error *e)
{
    _cleanup_(compiler_release) struct compiler k = { .c = c };
    k.auth = strcmp(value_text(&c->top, OPT_OPENCODE_AUTH), "password") == 0;
    plan_writer_init(&k.w);
    config_expand(c, &c->top, "$OPENCODE_URL", &k.opencode);
    put_header(&k);
    for (size_t i = 0; i < c->storage_count; i++)
        put_volume(&k, c->storage[i]);
    order_stops(&k);
    for (size_t i = 0; i < c->service_count; i++)
        put_service(&k, c->services[i], k.stop_order[i]);
    if (k.failed && *k.error.message)
        return error_set(e, k.failed, "%s", k.error.message);
    if (k.failed)
        return error_set_errno(e, k.failed, "cannot compile the configuration");
    return plan_writer_finish(&k.w, ret, ret_size, e);
}
