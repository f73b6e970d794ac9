#include "bridge/gateway/web/transcript.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/utf8.h"

static void entry_release(struct transcript_entry *e)
{
    free(e->role);
    free(e->message_id);
    free(e->id);
    free(e->text);
    free(e->status);
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

static int entry_fill(struct transcript_entry *e, const struct activity *a)
{
    const char *text = a->text ? a->text : "";
    size_t len = text_prefix(text, &e->cut);
    e->kind = a->kind;
    e->role = copy(a->role, &e->bytes);
    e->message_id = copy(a->message_id, &e->bytes);
    e->id = copy(a->id, &e->bytes);
    e->status = copy(a->status, &e->bytes);
    e->text = strndup(text, len);
    e->bytes += len;
    if (e->role && e->message_id && e->id && e->status && e->text)
        return 0;
    entry_release(e);
    return -ENOMEM;
}

static bool same(const struct transcript_entry *a, const struct transcript_entry *b)
{
    return strcmp(a->text, b->text) == 0 && strcmp(a->status, b->status) == 0;
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

static int make_room(struct transcript *t)
{
    if (t->count == TRANSCRIPT_ENTRIES_MAX)
        drop_oldest(t);
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

static int entry_append(struct transcripts *all, struct transcript *t,
                        struct transcript_entry *fresh, int64_t now_ms)
{
    if (make_room(t) < 0) {
        entry_release(fresh);
        return -ENOMEM;
    }
    fresh->n = ++all->last_n;
    fresh->time_ms = now_ms;
    t->bytes += fresh->bytes;
    t->entries[t->count++] = *fresh;
    return 0;
}

int transcripts_add(struct transcripts *all, const struct activity *a, int64_t now_ms)
{
    struct transcript_entry fresh = { .dirty = true };
    struct transcript *t = transcript_for(all, a->pod, a->session_id);
    if (!t || entry_fill(&fresh, a) < 0)
        return -ENOMEM;
    struct transcript_entry *old = entry_find(t, a);
    if (old && same(old, &fresh)) {
        entry_release(&fresh);
        return 0;
    }
    if (old)
        entry_replace(t, old, &fresh);
    else if (entry_append(all, t, &fresh, now_ms) < 0)
        return -ENOMEM;
    while (t->bytes > TRANSCRIPT_BYTES_MAX && t->count > 1)
        drop_oldest(t);
    t->touched = ++all->last_touch;
    t->dirty = true;
    return 1;
}

static const char *const kind_names[ACTIVITY_MAX] = {
    [ACTIVITY_TEXT] = "text",
    [ACTIVITY_TOOL] = "tool",
    [ACTIVITY_MILESTONE] = "milestone",
    [ACTIVITY_ERROR] = "error",
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
    jsonw_int(w, "time_ms", e->time_ms);
    jsonw_object_end(w);
}
