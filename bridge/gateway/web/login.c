#include "bridge/gateway/web/login.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/log.h"
#include "base/core/utf8.h"
#include "base/json/json.h"
#include "bridge/gateway/store/store.h"

#define STORE_KEY "web.logins"

/* Tells one token from another; far too short to give a token away. */
static uint64_t token_mark(const char *token)
{
    uint32_t h = 2166136261u;
    for (const char *p = token ? token : ""; *p; p++)
        h = (h ^ (unsigned char)*p) * 16777619u;
    return h;
}

static void set_name(struct login *row, const char *name)
{
    size_t len = strlen(name), n = utf8_prefix(name, len, LOGIN_NAME_CHARS);
    if (n >= sizeof row->name)
        n = 0;
    memcpy(row->name, name, n);
    row->name[n] = '\0';
}

static void load_row(struct logins *l, const cJSON *j, int64_t now_ms)
{
    const char *key = json_str(j, "key", ""), *proof = json_str(j, "proof", "");
    int64_t created = json_int(j, "created_ms", 0);
    if (l->count == LOGINS_MAX || strlen(key) != SECRET_TEXT_SIZE - 1 ||
        strlen(proof) != SECRET_TEXT_SIZE - 1 || created > now_ms ||
        now_ms - created > LOGIN_LIFE_MS)
        return;
    struct login *row = &l->rows[l->count++];
    *row = (struct login){ .created_ms = created, .number = ++l->last_number };
    memcpy(row->key, key, sizeof row->key);
    memcpy(row->proof, proof, sizeof row->proof);
    set_name(row, json_str(j, "name", ""));
}

void logins_init(struct logins *l, struct store *store, const char *token, int64_t now_ms)
{
    _cleanup_free_ char *text = NULL;
    _cleanup_json_ cJSON *j = NULL;
    *l = (struct logins){ .store = store, .mark = token_mark(token) };
    if (!store || store_get(store, STORE_KEY, &text) < 0 ||
        json_parse(&j, text, strlen(text), NULL) < 0)
        return;
    if ((uint64_t)json_int(j, "mark", -1) != l->mark)
        return;
    const cJSON *row;
    cJSON_ArrayForEach (row, json_arr(j, "logins"))
        load_row(l, row, now_ms);
}

static int save(const struct logins *l)
{
    _cleanup_json_ cJSON *j = cJSON_CreateObject();
    _cleanup_free_ char *text = NULL;
    if (!l->store)
        return 0;
    (void)cJSON_AddNumberToObject(j, "mark", (double)l->mark);
    cJSON *list = cJSON_AddArrayToObject(j, "logins");
    for (size_t i = 0; list && i < l->count; i++) {
        cJSON *row = cJSON_CreateObject();
        json_add_str(row, "key", l->rows[i].key);
        json_add_str(row, "proof", l->rows[i].proof);
        json_add_str(row, "name", l->rows[i].name);
        (void)cJSON_AddNumberToObject(row, "created_ms", (double)l->rows[i].created_ms);
        (void)cJSON_AddItemToArray(list, row);
    }
    text = json_print(j);
    return text ? store_put(l->store, STORE_KEY, text) : -ENOMEM;
}

static void save_or_warn(const struct logins *l)
{
    int r = save(l);
    if (r < 0)
        log_warn("cannot store the logins (%s); they end with this process", strerror(-r));
}

static void drop_row(struct logins *l, size_t i)
{
    l->count--;
    memmove(&l->rows[i], &l->rows[i + 1], (l->count - i) * sizeof l->rows[0]);
    explicit_bzero(&l->rows[l->count], sizeof l->rows[0]);
}

int logins_add(struct logins *l, const char *name, int64_t now_ms, const struct login **ret)
{
    struct login row = { .created_ms = now_ms, .number = ++l->last_number };
    int r = secret_generate(row.key);
    if (r == 0)
        r = secret_generate(row.proof);
    if (r < 0)
        return r;
    set_name(&row, name);
    if (l->count == LOGINS_MAX)
        drop_row(l, 0);
    l->rows[l->count] = row;
    *ret = &l->rows[l->count++];
    save_or_warn(l);
    return 0;
}

const struct login *logins_find(const struct logins *l, const char *key, int64_t now_ms)
{
    const struct login *found = NULL;
    for (size_t i = 0; i < l->count; i++)
        if (secret_equal(key, l->rows[i].key) && now_ms - l->rows[i].created_ms <= LOGIN_LIFE_MS)
            found = &l->rows[i];
    return found;
}

void logins_remove(struct logins *l, uint64_t number)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->rows[i].number != number)
            continue;
        drop_row(l, i);
        save_or_warn(l);
        return;
    }
}

void logins_release(struct logins *l)
{
    explicit_bzero(l, sizeof *l);
}

/* ---------------------------------------------------------------- limiter */

static bool row_holds(const struct limiter_row *row, int64_t now_ms)
{
    return row->failures > 0 && now_ms >= row->since_ms &&
           now_ms - row->since_ms < LIMITER_WINDOW_MS;
}

void limiter_failed(struct limiter *l, const char *peer, int64_t now_ms)
{
    struct limiter_row *oldest = &l->rows[0];
    for (size_t i = 0; i < LIMITER_ROWS; i++) {
        struct limiter_row *row = &l->rows[i];
        if (row_holds(row, now_ms) && strncmp(row->peer, peer, sizeof row->peer - 1) == 0) {
            row->failures++;
            return;
        }
        if (!row_holds(oldest, now_ms))
            continue;
        if (!row_holds(row, now_ms) || row->since_ms < oldest->since_ms)
            oldest = row;
    }
    *oldest = (struct limiter_row){ .since_ms = now_ms, .failures = 1 };
    (void)snprintf(oldest->peer, sizeof oldest->peer, "%s", peer);
}

unsigned limiter_wait_s(const struct limiter *l, const char *peer, int64_t now_ms)
{
    for (size_t i = 0; i < LIMITER_ROWS; i++) {
        const struct limiter_row *row = &l->rows[i];
        if (row_holds(row, now_ms) && row->failures >= LIMITER_FAILURES &&
            strncmp(row->peer, peer, sizeof row->peer - 1) == 0)
            return (unsigned)((LIMITER_WINDOW_MS - (now_ms - row->since_ms) + 999) / 1000);
    }
    return 0;
}
