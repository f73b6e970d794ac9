#include "bridge/gateway/slack/render/turn.h"

#include "base/core/cleanup.h"
#include "bridge/gateway/slack/render/text.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct turn *turn_new(const char *pod, const char *session, int64_t now_ms)
{
    struct turn *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->pod = strdup(pod);
    t->session = strdup(session);
    t->id = strdup("");
    t->last = strdup("");
    t->since = strdup("");
    t->begun_ms = now_ms;
    if (!t->pod || !t->session || !t->id || !t->last || !t->since) {
        turn_free(t);
        return NULL;
    }
    return t;
}

static void entry_release(struct turn_entry *e)
{
    free(e->id);
    free(e->text);
    free(e->status);
}

static void clear(struct turn *t)
{
    for (size_t i = 0; i < t->count; i++)
        entry_release(&t->entries[i]);
    for (size_t i = 0; i < t->n_diffs; i++)
        free(t->diffs[i].message);
    free(TAKE_PTR(t->entries));
    free(TAKE_PTR(t->diffs));
    free(TAKE_PTR(t->shown));
    t->count = t->cap = t->bytes = t->n_diffs = t->n_shown = 0;
    t->full = false;
}

void turn_free(struct turn *t)
{
    if (!t)
        return;
    clear(t);
    free(t->pod);
    free(t->session);
    free(t->id);
    free(t->last);
    free(t->since);
    free(t);
}

int turn_restart(struct turn *t, int64_t now_ms, double cost, int64_t tokens)
{
    char *id = strdup(""), *since = strdup(t->last);
    if (!id || !since) {
        free(id);
        free(since);
        return -ENOMEM;
    }
    clear(t);
    free(t->id);
    t->id = id;
    free(t->since);
    t->since = since;
    t->begun_ms = now_ms;
    t->cost = cost;
    t->tokens = tokens;
    return 0;
}

bool turn_empty(const struct turn *t)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->entries[i].kind != TURN_BREAK)
            return false;
    return true;
}

/* ---------------------------------------------------------------- entries */

static bool replace(char **at, const char *value)
{
    char *copy = strdup(value ? value : "");
    if (!copy)
        return false;
    free(*at);
    *at = copy;
    return true;
}

static struct turn_entry *entry_find(struct turn *t, enum turn_entry_kind kind, const char *id)
{
    for (size_t i = t->count; i-- > 0;)
        if (t->entries[i].kind == kind && strcmp(t->entries[i].id, id) == 0)
            return &t->entries[i];
    return NULL;
}

/* An entry as it is told. */
struct said {
    enum turn_entry_kind kind;
    const char *id, *text, *status;
    bool child, growing;
};

/* Parts have ids that sort by time: what is read later may belong before what came already. */
static size_t entry_place(const struct turn *t, const struct said *e)
{
    size_t at = t->count;
    if (strncmp(e->id, "prt_", 4) != 0 || e->child)
        return at;
    for (size_t i = t->count; i-- > 0;) {
        const struct turn_entry *o = &t->entries[i];
        if (o->child || strncmp(o->id, "prt_", 4) != 0)
            continue;
        if (strcmp(o->id, e->id) < 0)
            break;
        at = i;
    }
    return at;
}

static int entry_append(struct turn *t, const struct said *e)
{
    if (t->count == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 8;
        struct turn_entry *more = reallocarray(t->entries, cap, sizeof *more);
        if (!more)
            return -ENOMEM;
        t->entries = more;
        t->cap = cap;
    }
    struct turn_entry copy = { e->kind, strdup(e->id), strdup(e->text), strdup(e->status),
                               e->child };
    if (!copy.id || !copy.text || !copy.status) {
        entry_release(&copy);
        return -ENOMEM;
    }
    t->bytes += strlen(e->text);
    size_t at = entry_place(t, e);
    memmove(&t->entries[at + 1], &t->entries[at], (t->count - at) * sizeof copy);
    t->entries[at] = copy;
    t->count++;
    return 1;
}

/* Text that is still being written only grows: after a reconnect its beginning may be missing for a
 * while. */
static int entry_change(struct turn *t, struct turn_entry *e, const struct said *new)
{
    if (new->kind == TURN_TEXT &&new->growing && strlen(new->text) < strlen(e->text))
        return 0;
    if (strcmp(e->text, new->text) == 0 && strcmp(e->status, new->status) == 0)
        return 0;
    size_t before = strlen(e->text);
    if (!replace(&e->text, new->text) || !replace(&e->status, new->status))
        return -ENOMEM;
    t->bytes += strlen(new->text) - before;
    return 1;
}

static int entry_put(struct turn *t, const struct said *new)
{
    struct turn_entry *old = *new->id ? entry_find(t, new->kind, new->id) : NULL;
    size_t had = old ? strlen(old->text) : 0, len = strlen(new->text);
    if (t->bytes - had + len > TURN_BYTES_MAX || (!old && t->count == TURN_ENTRIES_MAX)) {
        bool news = !t->full;
        t->full = true;
        return news;
    }
    return old ? entry_change(t, old, new) : entry_append(t, new);
}

int turn_break(struct turn *t)
{
    if (t->count == 0 || t->entries[t->count - 1].kind == TURN_BREAK)
        return 0;
    return entry_append(t, &(struct said){ TURN_BREAK, "", "", "", false, false });
}

/* {"files":1,"additions":3,"deletions":0} of one prompt; the newest counts. */
static int diff_put(struct turn *t, const struct activity *a)
{
    _cleanup_json_ cJSON *j = NULL;
    if (json_parse(&j, a->text, strlen(a->text), NULL) < 0)
        return 0;
    struct turn_diff *d = NULL;
    for (size_t i = 0; i < t->n_diffs; i++)
        if (strcmp(t->diffs[i].message, a->message_id) == 0)
            d = &t->diffs[i];
    if (!d) {
        struct turn_diff *more = reallocarray(t->diffs, t->n_diffs + 1, sizeof *more);
        char *message = strdup(a->message_id);
        if (more)
            t->diffs = more;
        if (!more || !message) {
            free(message);
            return -ENOMEM;
        }
        d = &t->diffs[t->n_diffs++];
        *d = (struct turn_diff){ .message = message };
    }
    d->files = json_int(j, "files", 0);
    d->added = json_int(j, "additions", 0);
    d->removed = json_int(j, "deletions", 0);
    return 1;
}

static bool is_old(const struct turn *t, const char *message_id)
{
    if (!*message_id || !*t->last)
        return false;
    if (*t->since)
        return strcmp(message_id, t->since) <= 0;
    return *t->id ? strcmp(message_id, t->id) < 0 : strcmp(message_id, t->last) <= 0;
}

static int note_message(struct turn *t, const char *message_id)
{
    if (!*message_id)
        return 0;
    if ((!*t->id || strcmp(message_id, t->id) < 0) && !replace(&t->id, message_id))
        return -ENOMEM;
    if (strcmp(message_id, t->last) > 0 && !replace(&t->last, message_id))
        return -ENOMEM;
    return 0;
}

int turn_add(struct turn *t, const struct activity *a)
{
    if (a->kind == ACTIVITY_DIFF)
        return diff_put(t, a);
    bool mine = strcmp(a->role, "assistant") == 0;
    struct said e = { .id = a->id, .text = a->text, .status = a->status, .child = a->child };
    switch (a->kind) {
    case ACTIVITY_TEXT:
        if (!mine || a->child || !*a->text)
            return 0;
        e.kind = TURN_TEXT;
        e.growing = strcmp(a->status, "completed") != 0;
        e.status = "";
        break;
    case ACTIVITY_TOOL:
        e.kind = TURN_TOOL;
        break;
    case ACTIVITY_MILESTONE:
        e.kind = TURN_NOTE;
        break;
    case ACTIVITY_ERROR: /* the footer says it */
    case ACTIVITY_DIFF:
    case ACTIVITY_MAX:
        return 0;
    }
    if (!a->child && is_old(t, a->message_id))
        return 0;
    int r = a->child ? 0 : note_message(t, a->message_id);
    return r < 0 ? r : entry_put(t, &e);
}

struct turn_history turn_history_begin(const struct turn *t)
{
    return (struct turn_history){ .unknown = !*t->last };
}

int turn_add_history(struct turn *t, const struct activity *a, struct turn_history *h)
{
    if (strcmp(a->role, "user") == 0) {
        h->prompted = true;
        return 0;
    }
    if (h->prompted && h->unknown) {
        clear(t);
        if (!replace(&t->id, "") || !replace(&t->last, ""))
            return -ENOMEM;
    }
    h->prompted = false;
    return turn_add(t, a);
}

const char *turn_last_text(const struct turn *t)
{
    for (size_t i = t->count; i-- > 0;)
        if (t->entries[i].kind == TURN_TEXT)
            return t->entries[i].text;
    return "";
}

/* ---------------------------------------------------------------- the last line */

static void put_duration(struct buf *out, int64_t ms)
{
    int64_t s = ms > 0 ? (ms + 500) / 1000 : 0;
    if (s >= 3600)
        buf_printf(out, "%" PRId64 " h %" PRId64 " min", s / 3600, s % 3600 / 60);
    else if (s >= 60)
        buf_printf(out, "%" PRId64 " min %" PRId64 " s", s / 60, s % 60);
    else
        buf_printf(out, "%" PRId64 " s", s);
}

static void put_diff(struct buf *out, const struct turn *t)
{
    int64_t files = 0, added = 0, removed = 0;
    for (size_t i = 0; i < t->n_diffs; i++) {
        files += t->diffs[i].files;
        added += t->diffs[i].added;
        removed += t->diffs[i].removed;
    }
    if (files)
        buf_printf(out, " \xc2\xb7 %" PRId64 " file%s +%" PRId64 " \xe2\x88\x92%" PRId64, files,
                   files == 1 ? "" : "s", added, removed);
}

static void put_tokens(struct buf *out, int64_t tokens)
{
    if (tokens >= 1000000)
        buf_printf(out, " \xc2\xb7 %.1fM tokens", (double)tokens / 1e6);
    else if (tokens >= 10000)
        buf_printf(out, " \xc2\xb7 %.0fk tokens", (double)tokens / 1e3);
    else if (tokens > 0)
        buf_printf(out, " \xc2\xb7 %" PRId64 " tokens", tokens);
}

void turn_footer(struct buf *out, const struct turn *t, const struct turn_end *end)
{
    size_t tools = 0;
    for (size_t i = 0; i < t->count; i++)
        tools += t->entries[i].kind == TURN_TOOL;
    bool failed = end->status == SESSION_ERROR, stopped = strcmp(end->text, "aborted") == 0;
    buf_puts(out, failed    ? ":x: Failed after "
                  : stopped ? ":black_square_for_stop: Stopped after "
                            : ":white_check_mark: Done in ");
    put_duration(out, end->now_ms - t->begun_ms);
    put_diff(out, t);
    if (tools)
        buf_printf(out, " \xc2\xb7 %zu tool%s", tools, tools == 1 ? "" : "s");
    double cost = end->cost - t->cost;
    if (cost >= 0.005)
        buf_printf(out, " \xc2\xb7 $%.2f", cost);
    else if (cost > 0)
        buf_puts(out, " \xc2\xb7 below $0.01");
    put_tokens(out, end->tokens - t->tokens);
    if (t->full)
        buf_puts(out, " \xc2\xb7 too long for here: all of it is in OpenCode");
}

/* ---------------------------------------------------------------- kept */

static void save_entry(cJSON *list, const struct turn_entry *e)
{
    static const char *const kinds[] = {
        [TURN_TEXT] = "text", [TURN_TOOL] = "tool", [TURN_NOTE] = "note", [TURN_BREAK] = "break"
    };
    cJSON *j = cJSON_CreateObject();
    json_add_str(j, "kind", kinds[e->kind]);
    json_add_str(j, "id", e->id);
    json_add_str(j, "text", e->text);
    json_add_str(j, "status", e->status);
    (void)cJSON_AddBoolToObject(j, "child", e->child);
    if (!cJSON_AddItemToArray(list, j))
        cJSON_Delete(j);
}

char *turn_save(const struct turn *t)
{
    _cleanup_json_ cJSON *j = cJSON_CreateObject();
    json_add_str(j, "id", t->id);
    json_add_str(j, "last", t->last);
    (void)cJSON_AddNumberToObject(j, "begun_ms", (double)t->begun_ms);
    (void)cJSON_AddNumberToObject(j, "cost", t->cost);
    (void)cJSON_AddNumberToObject(j, "tokens", (double)t->tokens);
    cJSON *shown = cJSON_AddArrayToObject(j, "shown");
    for (size_t i = 0; i < t->n_shown; i++) {
        char hash[24];
        (void)snprintf(hash, sizeof hash, "%" PRIx64, t->shown[i]);
        (void)cJSON_AddItemToArray(shown, cJSON_CreateString(hash));
    }
    cJSON *entries = cJSON_AddArrayToObject(j, "entries");
    for (size_t i = 0; i < t->count; i++)
        save_entry(entries, &t->entries[i]);
    return json_print(j);
}

static int load_entries(struct turn *t, const cJSON *list)
{
    static const char *const kinds[] = {
        [TURN_TEXT] = "text", [TURN_TOOL] = "tool", [TURN_NOTE] = "note", [TURN_BREAK] = "break"
    };
    const cJSON *j;
    cJSON_ArrayForEach (j, list) {
        struct said e = { .id = json_str(j, "id", ""),
                          .text = json_str(j, "text", ""),
                          .status = json_str(j, "status", ""),
                          .child = json_bool(j, "child", false) };
        const char *kind = json_str(j, "kind", "");
        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
            if (strcmp(kinds[k], kind) == 0)
                e.kind = (enum turn_entry_kind)k;
        if (entry_append(t, &e) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int load_shown(struct turn *t, const cJSON *list)
{
    int n = cJSON_GetArraySize(list);
    t->shown = calloc(n > 0 ? (size_t)n : 1, sizeof *t->shown);
    if (!t->shown)
        return -ENOMEM;
    const cJSON *j;
    cJSON_ArrayForEach (j, list)
        t->shown[t->n_shown++] = strtoull(cJSON_IsString(j) ? j->valuestring : "0", NULL, 16);
    return 0;
}

int turn_load(struct turn *t, const char *json)
{
    _cleanup_json_ cJSON *j = NULL;
    int r = json_parse(&j, json, strlen(json), NULL);
    if (r < 0)
        return r == -ENOMEM ? r : -EINVAL;
    clear(t);
    t->begun_ms = json_int(j, "begun_ms", t->begun_ms);
    t->cost = json_num(j, "cost", 0);
    t->tokens = json_int(j, "tokens", 0);
    if (!replace(&t->id, json_str(j, "id", "")) || !replace(&t->last, json_str(j, "last", "")))
        return -ENOMEM;
    r = load_shown(t, json_arr(j, "shown"));
    return r < 0 ? r : load_entries(t, json_arr(j, "entries"));
}
