/* What can only be judged with several values in view. */
#include "supervisor/config/config.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/parse.h"
#include "supervisor/config/profiles.h"

static const enum option_id ports[] = { OPT_OPENCODE_PORT, OPT_GATEWAY_PORT, OPT_PROBES_PORT };

static void check_ports(struct config *c)
{
    for (size_t i = 0; i < ARRAY_SIZE(ports); i++)
        for (size_t k = 0; k < i; k++)
            if (value_number(&c->top, ports[i]) == value_number(&c->top, ports[k]))
                config_error(c, &c->top, ports[i], "expected a port of its own: %s has %s as well",
                             option_name(ports[k]), value_text(&c->top, ports[k]));
}

static void check_storage(struct config *c)
{
    for (size_t i = 0; i < c->storage_count; i++) {
        struct group *g = c->storage[i];
        if (!value_is_set(g, OPT_STORAGE_PATH))
            config_error(c, g, OPT_MAX, "expected a path, such as path: /home/coder/.local");
        for (size_t k = 0; k < i; k++)
            if (strcmp(value_text(g, OPT_STORAGE_PATH),
                       value_text(c->storage[k], OPT_STORAGE_PATH)) == 0)
                config_error(c, g, OPT_STORAGE_PATH, "this path is there twice");
    }
}

/* At most one of `ids` may be set. */
static void check_one_of(struct config *c, const struct group *g, const enum option_id *ids,
                         size_t count)
{
    const char *first = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!value_is_set(g, ids[i]))
            continue;
        if (first)
            config_error(c, g, ids[i], "expected only one of this and %s", first);
        first = option_name(ids[i]);
    }
}

static void check_program(struct config *c, const struct group *g, enum option_id id)
{
    if (g->values[id].count && !value_is_set(g, id))
        config_error(c, g, id, "expected a program as the first word, not ''");
}

/* As PID 1 does, which is linked statically: in /etc/passwd alone. */
static bool is_user(const char *name)
{
    FILE *f = fopen("/etc/passwd", "re");
    const struct passwd *pw = NULL;
    if (!f)
        return false;
    while ((pw = fgetpwent(f)) && strcmp(pw->pw_name, name) != 0)
        continue;
    (void)fclose(f);
    return pw != NULL;
}

static void check_user(struct config *c, const struct group *g)
{
    const char *user = value_text(g, OPT_USER);
    uint64_t uid;
    if (!*user || parse_u64(user, 0, UINT32_MAX - 1, &uid) == 0 || is_user(user))
        return;
    config_error(c, g, OPT_USER, "expected a user that exists here, not '%.60s'", user);
}

static void check_sandbox(struct config *c, const struct group *g, enum option_id id)
{
    const char *names[CONFIG_PROFILES_MAX], *name = value_text(g, id);
    if (!*name || strcmp(name, "none") == 0 || config_profile(c, name))
        return;
    for (size_t i = 0; i < c->profile_count; i++)
        names[i] = profile_name(c->profiles[i]);
    const char *similar = similar_word(name, names, c->profile_count);
    if (similar)
        config_error(c, g, id, "no profile is named '%.60s' (did you mean '%s'?)", name, similar);
    else
        config_error(c, g, id, "no profile is named '%.60s': define it in sandbox.profiles", name);
}

static void check_service(struct config *c, const struct group *g)
{
    static const enum option_id ready[] = { OPT_READY_HTTP, OPT_READY_TCP, OPT_READY_EXEC,
                                            OPT_READY_NOTIFY };
    static const enum option_id health[] = { OPT_HEALTH_HTTP, OPT_HEALTH_TCP, OPT_HEALTH_EXEC };
    static const enum option_id hooks[] = { OPT_PRE_STOP_HTTP_POST, OPT_PRE_STOP_EXEC };
    static const enum option_id programs[] = { OPT_COMMAND, OPT_READY_EXEC, OPT_HEALTH_EXEC,
                                               OPT_PRE_STOP_EXEC, OPT_POST_START_EXEC };
    bool oneshot = strcmp(value_text(g, OPT_TYPE), "oneshot") == 0;
    check_one_of(c, g, ready, ARRAY_SIZE(ready));
    check_one_of(c, g, health, ARRAY_SIZE(health));
    check_one_of(c, g, hooks, ARRAY_SIZE(hooks));
    for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
        check_program(c, g, programs[i]);
    if (!g->values[OPT_COMMAND].count)
        config_error(c, g, OPT_MAX,
                     "command is missing: expected a list such as [ttyd, -p, \"7681\", bash]");
    if (oneshot && strcmp(value_text(g, OPT_RESTART), "always") == 0)
        config_error(c, g, OPT_RESTART, "expected on-failure or never for a oneshot, not 'always'");
    if (value_number(g, OPT_BACKOFF_FIRST) > value_number(g, OPT_BACKOFF_MAX))
        config_error(c, g, OPT_BACKOFF_FIRST, "expected at most backoff.max (%s), not '%s'",
                     value_text(g, OPT_BACKOFF_MAX), value_text(g, OPT_BACKOFF_FIRST));
    check_user(c, g);
    check_sandbox(c, g, OPT_SANDBOX);
}

static void unknown_service(struct config *c, const struct group *g, enum option_id id,
                            const char *name)
{
    const char *names[CONFIG_SERVICES_MAX];
    for (size_t i = 0; i < c->service_count; i++)
        names[i] = service_name(c->services[i]);
    const char *similar = similar_word(name, names, c->service_count);
    if (similar)
        config_error(c, g, id, "no service is named '%.60s' (did you mean '%s'?)", name, similar);
    else
        config_error(c, g, id, "no service is named '%.60s'", name);
}

/* Depth first over `after` and `requires`; the path so far is named when it closes. */
struct walk {
    struct config *c;
    enum { NEW, OPEN, DONE } state[CONFIG_SERVICES_MAX];
    size_t path[CONFIG_SERVICES_MAX];
    size_t depth;
};

static size_t index_of(const struct config *c, const char *name)
{
    size_t i = 0;
    while (i < c->service_count && strcmp(service_name(c->services[i]), name) != 0)
        i++;
    return i;
}

static void report_cycle(struct walk *w, enum option_id id, size_t to)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    size_t i = 0;
    while (w->path[i] != to)
        i++;
    for (; i < w->depth; i++)
        buf_printf(&text, "%s -> ", service_name(w->c->services[w->path[i]]));
    buf_puts(&text, service_name(w->c->services[to]));
    config_error(w->c, w->c->services[w->path[w->depth - 1]], id,
                 "these services wait for each other: %s", buf_str(&text));
}

static void visit(struct walk *w, size_t at)
{
    static const enum option_id edges[] = { OPT_AFTER, OPT_REQUIRES };
    const struct group *g = w->c->services[at];
    w->state[at] = OPEN;
    w->path[w->depth++] = at;
    for (size_t e = 0; e < ARRAY_SIZE(edges); e++) {
        const struct value *v = &g->values[edges[e]];
        for (size_t i = 0; i < v->count; i++) {
            size_t to = index_of(w->c, v->items[i]);
            if (to == w->c->service_count)
                unknown_service(w->c, g, edges[e], v->items[i]);
            else if (w->state[to] == OPEN)
                report_cycle(w, edges[e], to);
            else if (w->state[to] == NEW)
                visit(w, to); /* no deeper than there are services */
        }
    }
    w->depth--;
    w->state[at] = DONE;
}

/* The drain is a part of the budget; what is left is for the services. */
static void check_drain(struct config *c)
{
    uint64_t drain = value_number(&c->top, OPT_DRAIN);
    uint64_t budget = value_number(&c->top, OPT_STOP_TIMEOUT);
    if (drain && drain * 2 > budget)
        buf_printf(&c->warnings,
                   "drain: %s of stop_timeout's %s leaves the services too little time to stop: "
                   "make stop_timeout longer\n",
                   value_text(&c->top, OPT_DRAIN), value_text(&c->top, OPT_STOP_TIMEOUT));
}

void config_check(struct config *c)
{
    check_ports(c);
    check_drain(c);
    check_storage(c);
    for (size_t i = 0; i < c->service_count; i++)
        check_service(c, c->services[i]);
    for (size_t i = 0; i < c->profile_count; i++)
        check_sandbox(c, c->profiles[i], OPT_PROFILE_LIKE);
    struct walk w = { .c = c };
    for (size_t i = 0; i < c->service_count; i++)
        if (w.state[i] == NEW)
            visit(&w, i);
}
