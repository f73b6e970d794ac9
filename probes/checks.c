#include "probes/checks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/json/json.h"

#define INTERVAL_DEFAULT_MS 1000
#define TIMEOUT_DEFAULT_MS  1000
#define TIME_MAX_MS         3600000

static const char *const kind_words[] = { [CHECK_READY] = "ready", [CHECK_HEALTH] = "health" };
_Static_assert(ARRAY_SIZE(kind_words) == CHECK_KIND_MAX, "a word for every kind");
static const char *const type_words[] = { [CHECK_HTTP] = "http", [CHECK_TCP] = "tcp" };
_Static_assert(ARRAY_SIZE(type_words) == CHECK_TYPE_MAX, "a word for every type");

/* Which check a state asks for. A state that is not here asks for none. */
static const struct {
    const char *state;
    bool asks[CHECK_KIND_MAX];
} state_table[] = {
    { "starting", { [CHECK_READY] = true } },
    { "running", { [CHECK_READY] = true, [CHECK_HEALTH] = true } },
    { "ready", { [CHECK_HEALTH] = true } },
    { "unhealthy", { [CHECK_HEALTH] = true } },
};

const char *check_kind_word(enum check_kind k)
{
    return kind_words[k];
}

static bool state_asks(const char *state, enum check_kind kind)
{
    for (size_t i = 0; i < ARRAY_SIZE(state_table); i++)
        if (strcmp(state_table[i].state, state) == 0)
            return state_table[i].asks[kind];
    return false;
}

static struct check_service *find_service(struct checks *t, const char *name)
{
    for (size_t i = 0; i < t->service_count; i++)
        if (strcmp(t->services[i].name, name) == 0)
            return &t->services[i];
    return NULL;
}

static const char *state_of(struct checks *t, const char *service)
{
    const struct check_service *s = find_service(t, service);
    return s ? s->state : "";
}

static void check_release(struct check *c)
{
    for (size_t i = 0; i < c->target_count; i++)
        free(c->targets[i]);
    *c = (struct check){ 0 };
}

void checks_release(struct checks *t)
{
    for (size_t i = 0; i < t->count; i++)
        check_release(&t->rows[i]);
    t->count = t->service_count = 0;
}

static int find_word(const char *const *words, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(words[i], word) == 0)
            return (int)i;
    return -1;
}

static uint64_t bounded(const cJSON *j, const char *key, uint64_t fallback)
{
    int64_t n = json_int(j, key, (int64_t)fallback);
    return n < CHECK_MIN_MS ? CHECK_MIN_MS : n > TIME_MAX_MS ? TIME_MAX_MS : (uint64_t)n;
}

static int read_targets(struct check *c, const cJSON *list)
{
    const cJSON *item;
    cJSON_ArrayForEach (item, list) {
        if (!cJSON_IsString(item) || c->target_count == CHECK_TARGETS)
            return -EBADMSG;
        c->targets[c->target_count] = strdup(item->valuestring);
        if (!c->targets[c->target_count])
            return -ENOMEM;
        c->target_count++;
    }
    return c->target_count ? 0 : -EBADMSG;
}

/* 0; 1: a check of a kind that is not ours to run; -errno. */
static int read_check(struct check *c, const cJSON *j)
{
    const char *service = json_str(j, "service", "");
    int kind = find_word(kind_words, ARRAY_SIZE(kind_words), json_str(j, "kind", ""));
    int type = find_word(type_words, ARRAY_SIZE(type_words), json_str(j, "type", ""));
    if (kind < 0 || type < 0)
        return 1;
    *c = (struct check){
        .kind = (enum check_kind)kind,
        .type = (enum check_type)type,
        .interval_ms = bounded(j, "interval_ms", INTERVAL_DEFAULT_MS),
        .timeout_ms = bounded(j, "timeout_ms", TIMEOUT_DEFAULT_MS),
        .auth = json_bool(j, "auth", false),
        .due_ms = CHECK_NEVER,
    };
    if (!*service ||
        (size_t)snprintf(c->service, sizeof c->service, "%s", service) >= sizeof c->service)
        return -EBADMSG;
    return read_targets(c, json_arr(j, "target"));
}

static bool same_check(const struct check *a, const struct check *b)
{
    if (strcmp(a->service, b->service) != 0 || a->kind != b->kind || a->type != b->type ||
        a->interval_ms != b->interval_ms || a->timeout_ms != b->timeout_ms || a->auth != b->auth ||
        a->target_count != b->target_count)
        return false;
    for (size_t i = 0; i < a->target_count; i++)
        if (strcmp(a->targets[i], b->targets[i]) != 0)
            return false;
    return true;
}

static bool same_table(const struct checks *a, const struct checks *b)
{
    for (size_t i = 0; i < a->count && a->count == b->count; i++)
        if (!same_check(&a->rows[i], &b->rows[i]))
            return false;
    return a->count == b->count;
}

static int read_table(struct checks *t, const char *json, size_t len)
{
    _cleanup_json_ cJSON *j = NULL;
    int r = json_parse(&j, json, len, NULL);
    if (r < 0)
        return r;
    const cJSON *row, *rows = json_arr(j, "checks");
    if (!rows)
        return -EBADMSG;
    cJSON_ArrayForEach (row, rows) {
        if (t->count == CHECKS_MAX)
            return 0;
        r = read_check(&t->rows[t->count], row);
        if (r <= 0)
            t->count++; /* also a broken one: it is released with the table */
        if (r < 0)
            return r;
    }
    return 0;
}

static void set_due(struct checks *t, struct check *c, uint64_t now_ms)
{
    if (!state_asks(state_of(t, c->service), c->kind)) {
        c->due_ms = CHECK_NEVER;
        c->outdated = c->running;
    } else if (c->due_ms == CHECK_NEVER) {
        /* Readiness is asked at once; health has just been shown by it. */
        c->due_ms = c->kind == CHECK_READY ? now_ms : now_ms + c->interval_ms;
        c->since_ms = now_ms;
        c->counted_ms = 0;
    }
}

int checks_load(struct checks *t, const char *json, size_t len, uint64_t now_ms)
{
    _cleanup_free_ struct checks *fresh = calloc(1, sizeof *fresh);
    if (!fresh)
        return -ENOMEM;
    int r = read_table(fresh, json, len);
    if (r < 0 || same_table(t, fresh)) {
        checks_release(fresh);
        return r;
    }
    for (size_t i = 0; i < t->count; i++)
        check_release(&t->rows[i]);
    memcpy(t->rows, fresh->rows, sizeof t->rows);
    t->count = fresh->count;
    for (size_t i = 0; i < t->count; i++)
        set_due(t, &t->rows[i], now_ms);
    return 1;
}

uint64_t checks_now(const struct checks *t)
{
    return t->events;
}

void checks_state(struct checks *t, const char *service, const char *state, uint64_t asked,
                  uint64_t now_ms)
{
    struct check_service *s = find_service(t, service);
    if (!s && t->service_count == CHECKS_MAX)
        return;
    if (!s) {
        s = &t->services[t->service_count];
        *s = (struct check_service){ 0 };
        if ((size_t)snprintf(s->name, sizeof s->name, "%s", service) >= sizeof s->name)
            return;
        t->service_count++;
    }
    if (asked == CHECK_NEVER)
        s->told = ++t->events;
    else if (s->told > asked)
        return;
    (void)snprintf(s->state, sizeof s->state, "%s", state);
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->rows[i].service, service) == 0)
            set_due(t, &t->rows[i], now_ms);
}

void checks_forget(struct checks *t)
{
    t->service_count = 0;
    for (size_t i = 0; i < t->count; i++)
        set_due(t, &t->rows[i], 0);
}

struct check *checks_take(struct checks *t, uint64_t now_ms, uint64_t *ret_wait_ms)
{
    uint64_t soonest = CHECK_NEVER;
    for (size_t i = 0; i < t->count; i++) {
        struct check *c = &t->rows[i];
        if (c->running || c->due_ms == CHECK_NEVER)
            continue;
        if (c->due_ms <= now_ms) {
            c->running = true;
            c->started_ms = now_ms;
            return c;
        }
        if (c->due_ms < soonest)
            soonest = c->due_ms;
    }
    *ret_wait_ms = soonest == CHECK_NEVER ? CHECK_NEVER : soonest - now_ms;
    return NULL;
}

bool checks_done(struct check *c, bool refused, uint64_t now_ms)
{
    bool counts = !c->outdated && c->due_ms != CHECK_NEVER;
    bool eager = refused && c->kind == CHECK_READY && now_ms - c->since_ms < CHECK_EAGER_FOR_MS;
    c->running = c->outdated = false;
    if (!counts)
        return false;
    uint64_t next = eager ? now_ms + CHECK_EAGER_MS : c->started_ms + c->interval_ms;
    c->due_ms = next > now_ms ? next : now_ms;
    if (eager && c->counted_ms && now_ms - c->counted_ms < c->interval_ms)
        return false;
    c->counted_ms = now_ms;
    return true;
}
