#include "bridge/gateway/web/transcript.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/utf8.h"

static void entry_release(struct transcript_entry *e)
{
    free(e->role);
    free(e->message_id);
    free(e->id);
    free(e->text);
    free(e->status);
    free(e->output);
    *e = (struct transcript_entry){ 0 };
}

static void transcript_free(struct transcript *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        entry_release(&t->entries[i]);
    free(t->entries);
    free(t->pod);
    free(t->session_id);
    free(t);
}

void transcripts_release(struct transcripts *t)
{
    for (size_t i = 0; i < t->count; i++)
        transcript_free(t->sessions[i]);
    *t = (struct transcripts){ 0 };
}

struct transcript *transcripts_find(struct transcripts *t, const char *pod, const char *session_id)
{
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->sessions[i]->session_id, session_id) == 0 &&
            strcmp(t->sessions[i]->pod, pod) == 0)
            return t->sessions[i];
    return NULL;
}

/* A free place in the table, made by letting the least recently written go. */
static size_t place_for_new(struct transcripts *t)
{
    size_t oldest = 0;
    if (t->count < TRANSCRIPT_SESSIONS_MAX)
        return t->count++;
    for (size_t i = 1; i < t->count; i++)
        if (t->sessions[i]->touched < t->sessions[oldest]->touched)
            oldest = i;
    transcript_free(t->sessions[oldest]);
    return oldest;
}

static struct transcript *transcript_for(struct transcripts *t, const char *pod,
                                         const char *session_id)
{
    struct transcript *found = transcripts_find(t, pod, session_id);
    if (found)
        return found;
    struct transcript *fresh = calloc(1, sizeof *fresh);
    if (!fresh)
        return NULL;
    fresh->pod = strdup(pod);
    fresh->session_id = strdup(session_id);
    if (!fresh->pod || !fresh->session_id) {
        transcript_free(fresh);
        return NULL;
    }
    size_t at = place_for_new(t);
    t->sessions[at] = fresh;
    return fresh;
}

/* The newest first: what changes is almost always the last. */
static struct transcript_entry *entry_find(struct transcript *t, const struct activity *a)
{
    if (!a->id || !*a->id)
        return NULL;
    for (size_t i = t->count; i-- > 0;)
        if (t->entries[i].kind == a->kind && strcmp(t->entries[i].id, a->id) == 0)
            return &t->entries[i];
    return NULL;
}

static void drop_oldest(struct transcript *t)
{
    t->bytes -= t->entries[0].bytes;
    entry_release(&t->entries[0]);
    t->count--;
    memmove(&t->entries[0], &t->entries[1], t->count * sizeof t->entries[0]);
}

static char *copy(const char *s, size_t *bytes)
{
    char *c = strdup(s ? s : "");
    if (c)
        *bytes += strlen(c);
    return c;
}

static size_t text_prefix(const char *text, bool *cut)
{
    size_t len = strlen(text);
    *cut = len > TRANSCRIPT_TEXT_MAX;
    if (!*cut)
        return len;
    len = TRANSCRIPT_TEXT_MAX;
    while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
        len--;
    return len;
}

static char *copy_output(const char *output, size_t *bytes)
{
    static const size_t head = TRANSCRIPT_OUTPUT_MAX / 4, tail = TRANSCRIPT_OUTPUT_MAX * 3 / 4;
    size_t len = output ? strlen(output) : 0;
    _cleanup_buf_ struct buf out = BUF_INIT;
    if (len <= TRANSCRIPT_OUTPUT_MAX)
        return copy(output, bytes);
    size_t from = len - tail, to = head;
    while (((unsigned char)output[from] & 0xc0) == 0x80)
        from++;
    while (to > 0 && ((unsigned char)output[to] & 0xc0) == 0x80)
        to--;
    buf_append(&out, output, to);
    buf_printf(&out, "\n… %zu bytes left out …\n", from - to);
    buf_puts(&out, output + from);
    *bytes += out.len;
    return buf_take(&out);
}

static int entry_fill(struct transcript_entry *e, const struct activity *a)
{
    const char *text = a->text ? a->text : "";
    size_t len = text_prefix(text, &e->cut);
    e->kind = a->kind;
    e->role = copy(a->role, &e->bytes);
    e->message_id = copy(a->message_id, &e->bytes);
    e->id = copy(a->id, &e->bytes);
    e->status = copy(a->status, &e->bytes);
    e->output = copy_output(a->output, &e->bytes);
    e->text = strndup(text, len);
    e->bytes += len;
    if (e->role && e->message_id && e->id && e->status && e->text && e->output)
        return 0;
    entry_release(e);
    return -ENOMEM;
}

static bool same(const struct transcript_entry *a, const struct transcript_entry *b)
{
    return strcmp(a->text, b->text) == 0 && strcmp(a->status, b->status) == 0 &&
           strcmp(a->output, b->output) == 0;
}

/* The entry keeps its place, number and time. */
static void entry_replace(struct transcript *t, struct transcript_entry *old,
                          struct transcript_entry *fresh)
{
    fresh->n = old->n;
    fresh->time_ms = old->time_ms;
    fresh->event_id = old->event_id;
    fresh->told_ms = old->told_ms;
    t->bytes = t->bytes - old->bytes + fresh->bytes;
    entry_release(old);
    *old = *fresh;
}

/* -ENOSPC: it is full, and the new one would be the oldest. */
static int make_room(struct transcript *t, bool is_oldest)
{
    if (t->count == TRANSCRIPT_ENTRIES_MAX) {
        if (is_oldest)
            return -ENOSPC;
        drop_oldest(t);
    }
    if (t->count < t->cap)
        return 0;
    size_t cap = t->cap ? 2 * t->cap : 8;
    struct transcript_entry *more = reallocarray(t->entries, cap, sizeof *more);
    if (!more)
        return -ENOMEM;
    t->entries = more;
    t->cap = cap;
    return 0;
}

static bool comes_before(const struct transcript_entry *a, const struct transcript_entry *b)
{
    int order = strcmp(a->message_id, b->message_id);
    return order < 0 || (order == 0 && strcmp(a->id, b->id) <= 0);
}

/* Behind the last message's part that comes before it; what is of no message stays where it was
 * heard. */
static size_t place_of(const struct transcript *t, const struct transcript_entry *fresh)
{
    bool newest = true;
    if (!*fresh->message_id)
        return t->count;
    for (size_t i = t->count; i-- > 0;) {
        if (!*t->entries[i].message_id)
            continue;
        if (comes_before(&t->entries[i], fresh))
            return newest ? t->count : i + 1;
        newest = false;
    }
    return newest ? t->count : 0;
}

static int entry_insert(struct transcripts *all, struct transcript *t,
                        struct transcript_entry *fresh, int64_t now_ms)
{
    int r = make_room(t, place_of(t, fresh) == 0);
    if (r < 0) {
        entry_release(fresh);
        return r == -ENOSPC ? 0 : r;
    }
    size_t at = place_of(t, fresh);
    fresh->n = ++all->last_n;
    fresh->time_ms = now_ms;
    t->bytes += fresh->bytes;
    memmove(&t->entries[at + 1], &t->entries[at], (t->count - at) * sizeof t->entries[0]);
    t->entries[at] = *fresh;
    t->count++;
    return 1;
}

/* Something that was read is as old as its answer. */
static bool is_newer(const struct transcript_entry *old, const struct transcript_entry *read)
{
    bool running = strcmp(old->status, "running") == 0;
    return !running ||
           (strcmp(read->status, "running") == 0 &&
            strlen(old->text) + strlen(old->output) >= strlen(read->text) + strlen(read->output));
}

static int add(struct transcripts *all, const struct activity *a, int64_t now_ms, bool read)
{
    struct transcript_entry fresh = { .dirty = !read };
    struct transcript *t = transcript_for(all, a->pod, a->session_id);
    if (!t || entry_fill(&fresh, a) < 0)
        return -ENOMEM;
    struct transcript_entry *old = entry_find(t, a);
    if (old && (same(old, &fresh) || (read && is_newer(old, &fresh)))) {
        entry_release(&fresh);
        return 0;
    }
    int r = 1;
    if (old)
        entry_replace(t, old, &fresh);
    else
        r = entry_insert(all, t, &fresh, now_ms);
    while (t->bytes > TRANSCRIPT_BYTES_MAX && t->count > 1)
        drop_oldest(t);
    t->touched = ++all->last_touch;
    t->dirty = t->dirty || (r > 0 && !read);
    return r;
}

int transcripts_add(struct transcripts *all, const struct activity *a, int64_t now_ms)
{
    return add(all, a, now_ms, false);
}

int transcripts_add_read(struct transcripts *all, const struct activity *a, int64_t now_ms)
{
    return add(all, a, now_ms, true);
}

int transcripts_set_whole(struct transcripts *all, const char *pod, const char *session_id)
{
    struct transcript *t = transcript_for(all, pod, session_id);
    if (!t)
        return -ENOMEM;
    t->whole = true;
    t->touched = ++all->last_touch;
    return 0;
}

void transcripts_doubt(struct transcripts *all)
{
    for (size_t i = 0; i < all->count; i++)
        all->sessions[i]->whole = false;
}

static const char *const kind_names[ACTIVITY_MAX] = {
    [ACTIVITY_TEXT] = "text",   [ACTIVITY_TOOL] = "tool", [ACTIVITY_MILESTONE] = "milestone",
    [ACTIVITY_ERROR] = "error", [ACTIVITY_DIFF] = "diff",
};

void transcript_view(struct jsonw *w, const char *key, const struct transcript *in,
                     const struct transcript_entry *e)
{
    jsonw_object(w, key);
    jsonw_str(w, "pod", in->pod);
    jsonw_str(w, "session_id", in->session_id);
    jsonw_uint(w, "n", e->n);
    jsonw_str(w, "kind", kind_names[e->kind]);
    jsonw_str(w, "role", e->role);
    jsonw_str(w, "message_id", e->message_id);
    jsonw_str(w, "id", e->id);
    jsonw_str(w, "text", e->text);
    jsonw_bool(w, "cut", e->cut);
    jsonw_str(w, "status", e->status);
    jsonw_str(w, "output", e->output);
    jsonw_int(w, "time_ms", e->time_ms);
    jsonw_object_end(w);
}
