#include "probes/verdict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/jsonw.h"
#include "base/json/json.h"

static const char stale_name[] = "pid1";
static const char stale_reason[] = "stale: PID 1 does not answer";

static const char *const words[] = {
    [PROBE_LIVE] = "live",
    [PROBE_READY] = "ready",
    [PROBE_STARTUP] = "startup",
};
_Static_assert(ARRAY_SIZE(words) == PROBE_MAX, "a word for every probe");

const char *probe_word(enum probe p)
{
    return words[p];
}

static void drop_checks(struct verdict *v)
{
    for (size_t i = 0; i < v->count; i++) {
        free(v->checks[i].name);
        free(v->checks[i].reason);
    }
    v->count = 0;
}

void verdict_release(struct verdict *v)
{
    drop_checks(v);
    v->known = false;
}

static void add_check(struct verdict *v, const cJSON *row)
{
    const char *name = json_str(row, "name", NULL);
    if (!name || v->count == VERDICT_CHECKS_MAX)
        return;
    struct verdict_check *c = &v->checks[v->count];
    c->name = strdup(name);
    c->reason = strdup(json_str(row, "reason", ""));
    c->ok = json_bool(row, "ok", false);
    if (c->name && c->reason) {
        v->count++;
        return;
    }
    free(c->name);
    free(c->reason);
}

int verdict_update(struct verdict *v, const char *json, size_t len, uint64_t now_ms)
{
    _cleanup_json_ cJSON *j = NULL;
    int r = json_parse(&j, json, len, NULL);
    if (r < 0)
        return r;
    const cJSON *ok = cJSON_GetObjectItemCaseSensitive(j, "ok");
    if (!cJSON_IsBool(ok))
        return -EBADMSG;
    drop_checks(v);
    const cJSON *row;
    cJSON_ArrayForEach (row, json_arr(j, "checks"))
        add_check(v, row);
    v->ok = cJSON_IsTrue(ok);
    v->known = true;
    v->at_ms = now_ms;
    return 0;
}

void verdict_fail(struct verdict *v, const char *check, const char *reason, uint64_t now_ms)
{
    drop_checks(v);
    struct verdict_check *c = &v->checks[0];
    *c = (struct verdict_check){ .name = strdup(check), .reason = strdup(reason) };
    if (c->name && c->reason) {
        v->count = 1;
    } else {
        free(c->name);
        free(c->reason);
    }
    v->ok = false;
    v->known = true;
    v->at_ms = now_ms;
}

bool verdict_fresh(const struct verdict *v, uint64_t now_ms)
{
    return v->known && now_ms - v->at_ms <= VERDICT_FRESH_MS;
}

bool verdict_ok(const struct verdict *v, uint64_t now_ms)
{
    return verdict_fresh(v, now_ms) && v->ok;
}

/* One check a line, whatever a reason holds. */
static void put_line(struct buf *out, const char *name, bool ok, const char *reason)
{
    (void)buf_printf(out, ok ? "[+]%s ok\n" : "[-]%s failed: ", name);
    if (ok)
        return;
    for (const char *p = reason; *p; p++)
        (void)buf_putc(out, *p == '\n' || *p == '\r' ? ' ' : *p);
    (void)buf_putc(out, '\n');
}

void verdict_text(const struct verdict *v, const char *page, bool verbose, uint64_t now_ms,
                  struct buf *out)
{
    bool ok = verdict_ok(v, now_ms);
    if (ok && !verbose) {
        (void)buf_puts(out, "ok");
        return;
    }
    if (!verdict_fresh(v, now_ms))
        put_line(out, stale_name, false, stale_reason);
    for (size_t i = 0; i < v->count; i++)
        put_line(out, v->checks[i].name, v->checks[i].ok, v->checks[i].reason);
    (void)buf_printf(out, "%s check %s\n", page, ok ? "passed" : "failed");
}

static void put_check(struct jsonw *w, const char *name, bool ok, const char *reason)
{
    jsonw_object(w, NULL);
    jsonw_str(w, "name", name);
    jsonw_bool(w, "ok", ok);
    jsonw_str(w, "reason", reason);
    jsonw_object_end(w);
}

void verdict_json(const struct verdict *v, enum probe p, uint64_t now_ms, struct buf *out)
{
    struct jsonw w = JSONW_INIT(out);
    bool fresh = verdict_fresh(v, now_ms);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "probe", probe_word(p));
    jsonw_bool(&w, "ok", verdict_ok(v, now_ms));
    jsonw_bool(&w, "stale", !fresh);
    if (v->known)
        jsonw_uint(&w, "age_ms", now_ms - v->at_ms);
    jsonw_array(&w, "checks");
    if (!fresh)
        put_check(&w, stale_name, false, stale_reason);
    for (size_t i = 0; i < v->count; i++)
        put_check(&w, v->checks[i].name, v->checks[i].ok, v->checks[i].reason);
    jsonw_array_end(&w);
    jsonw_object_end(&w);
    (void)buf_putc(out, '\n');
}
