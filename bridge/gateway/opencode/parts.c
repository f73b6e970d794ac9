/* Parts of messages while they are written: deltas become the whole text so far, told at most every
 * 100 ms; a tool is told once for each of its states. */
#include "base/core/cleanup.h"
#include "bridge/gateway/opencode/private.h"

#include <stdio.h>
#include <string.h>

#define FLUSH_MS 100

static bool copy_id(char *to, size_t size, const char *from)
{
    size_t n = strlen(from);
    if (n == 0 || n >= size)
        return false;
    memcpy(to, from, n + 1);
    return true;
}

void part_role(struct opencode *oc, const char *message_id, bool user)
{
    for (size_t i = 0; i < OC_ROLES_MAX; i++)
        if (strcmp(oc->roles[i].id, message_id) == 0) {
            oc->roles[i].user = user;
            return;
        }
    size_t i = oc->next_role++ % OC_ROLES_MAX;
    if (copy_id(oc->roles[i].id, sizeof oc->roles[i].id, message_id))
        oc->roles[i].user = user;
}

static const char *role_of(struct opencode *oc, const char *message_id)
{
    for (size_t i = 0; i < OC_ROLES_MAX; i++)
        if (*message_id && strcmp(oc->roles[i].id, message_id) == 0)
            return oc->roles[i].user ? "user" : "assistant";
    return "assistant";
}

/* ---------------------------------------------------------------- text */

/* Whose message it is, is filled in. */
static void tell(struct opencode *oc, const char *directory, const struct activity *what)
{
    struct feed f = {
        .core = oc->core,
        .pod = core_settings(oc->core)->pod,
        .instance = "",
        .directory = directory,
    };
    struct activity a = *what;
    a.role = role_of(oc, a.message_id);
    core_feed_activity(&f, &a);
}

static void part_release(struct part *p)
{
    free(p->directory);
    buf_release(&p->text);
    *p = (struct part){ 0 };
}

static void part_flush(struct opencode *oc, struct part *p)
{
    if (!p->dirty)
        return;
    p->dirty = false;
    tell(oc, p->directory,
         &(struct activity){
             .session_id = p->session_id,
             .kind = ACTIVITY_TEXT,
             .message_id = p->message_id,
             .id = p->id,
             .text = buf_str(&p->text),
             .status = "running",
         });
}

void parts_flush(struct opencode *oc)
{
    for (size_t i = 0; i < OC_PARTS_MAX; i++)
        part_flush(oc, &oc->parts[i]);
}

static void on_flush(uv_timer_t *timer)
{
    parts_flush(timer->data);
}

void parts_clear(struct opencode *oc)
{
    for (size_t i = 0; i < OC_PARTS_MAX; i++)
        part_release(&oc->parts[i]);
    (void)uv_timer_stop(&oc->parts_timer);
}

static struct part *part_find(struct opencode *oc, const char *id)
{
    for (size_t i = 0; i < OC_PARTS_MAX; i++)
        if (strcmp(oc->parts[i].id, id) == 0)
            return &oc->parts[i];
    return NULL;
}

static struct part *part_new(struct opencode *oc, const char *directory, const char *id,
                             const char *message_id, const char *session_id)
{
    struct part *oldest = &oc->parts[0];
    for (size_t i = 1; i < OC_PARTS_MAX; i++)
        if (oc->parts[i].used < oldest->used)
            oldest = &oc->parts[i];
    part_flush(oc, oldest);
    part_release(oldest);
    oldest->directory = strdup(directory);
    oldest->text = BUF_INIT_MAX(OC_TEXT_MAX);
    if (!oldest->directory || !copy_id(oldest->id, sizeof oldest->id, id) ||
        !copy_id(oldest->message_id, sizeof oldest->message_id, message_id) ||
        !copy_id(oldest->session_id, sizeof oldest->session_id, session_id)) {
        part_release(oldest);
        return NULL;
    }
    return oldest;
}

void part_delta(struct opencode *oc, const char *directory, const cJSON *p)
{
    const char *id = json_str(p, "partID", ""), *delta = json_str(p, "delta", "");
    /* A part that is not known is no text: its first update has not come, or it is reasoning. */
    struct part *part = *id ? part_find(oc, id) : NULL;
    (void)directory;
    if (!part || strcmp(json_str(p, "field", ""), "text") != 0)
        return;
    part->used = ++oc->part_clock;
    if (buf_puts(&part->text, delta) < 0)
        return; /* too long: the whole comes with its last update */
    part->dirty = true;
    if (!uv_is_active((uv_handle_t *)&oc->parts_timer))
        (void)uv_timer_start(&oc->parts_timer, on_flush, FLUSH_MS, 0);
}

static void text_updated(struct opencode *oc, const char *directory, const cJSON *j)
{
    const char *id = json_str(j, "id", ""), *message = json_str(j, "messageID", ""),
               *session = json_str(j, "sessionID", ""), *text = json_str(j, "text", "");
    if (!*id || json_bool(j, "synthetic", false))
        return;
    struct part *part = part_find(oc, id);
    if (!part)
        part = part_new(oc, directory, id, message, session);
    if (!part)
        return;
    part->used = ++oc->part_clock;
    bool user = strcmp(role_of(oc, message), "user") == 0;
    bool done = user || json_at(j, "time.end") != NULL;
    if (!*text && !done)
        return; /* it begins: deltas follow */
    tell(oc, directory,
         &(struct activity){
             .session_id = session,
             .kind = ACTIVITY_TEXT,
             .message_id = message,
             .id = id,
             .text = text,
             .status = done ? "completed" : "running",
         });
    if (done) {
        part_release(part);
        return;
    }
    buf_reset(&part->text);
    (void)buf_puts(&part->text, text);
    part->dirty = false;
}

/* ---------------------------------------------------------------- tools */

/* What the tool printed: at its end, or so far where it tells that. NULL: nothing. */
static const char *tool_output(const cJSON *state)
{
    static const char *const places[] = { "output", "error", "metadata.output" };
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        const char *text = json_str_at(state, places[i], "");
        if (*text)
            return text;
    }
    return NULL;
}

/* True when this status, or so much output of it, was not told yet. */
static bool tool_news(struct opencode *oc, const char *id, const char *status, const char *output)
{
    size_t at = OC_ROLES_MAX, len = output ? strlen(output) : 0;
    for (size_t i = 0; i < OC_ROLES_MAX && at == OC_ROLES_MAX; i++)
        if (strcmp(oc->tools[i].id, id) == 0)
            at = i;
    if (at < OC_ROLES_MAX && strcmp(oc->tools[at].status, status) == 0 &&
        oc->tools[at].output == len)
        return false;
    if (at == OC_ROLES_MAX) {
        at = oc->next_tool++ % OC_ROLES_MAX;
        if (!copy_id(oc->tools[at].id, sizeof oc->tools[at].id, id))
            return true;
    }
    oc->tools[at].output = len;
    (void)copy_id(oc->tools[at].status, sizeof oc->tools[at].status, status);
    return true;
}

static const char *tool_title(const cJSON *state)
{
    static const char *const places[] = {
        "title",         "input.command", "input.description", "input.filePath",
        "input.pattern", "input.path",    "input.url",         "metadata.description",
    };
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        const char *text = json_str_at(state, places[i], "");
        if (*text)
            return text;
    }
    return "";
}

static void put_tool_line(struct buf *line, const cJSON *part)
{
    const char *title = tool_title(json_obj(part, "state")), *tool = json_str(part, "tool", "tool");
    buf_printf(line, "%.100s%s%.1000s", tool, *title ? ": " : "", title);
    for (size_t i = 0; i < line->len; i++)
        if ((unsigned char)line->data[i] < 0x20)
            line->data[i] = ' ';
}

static void tool_updated(struct opencode *oc, const char *directory, const cJSON *j)
{
    const cJSON *state = json_obj(j, "state");
    const char *id = json_str(j, "id", ""), *status = json_str(state, "status", ""),
               *output = tool_output(state);
    _cleanup_buf_ struct buf line = BUF_INIT;
    if (!*id || !*status || strcmp(status, "pending") == 0 || !tool_news(oc, id, status, output))
        return;
    put_tool_line(&line, j);
    tell(oc, directory,
         &(struct activity){
             .session_id = json_str(j, "sessionID", ""),
             .kind = ACTIVITY_TOOL,
             .message_id = json_str(j, "messageID", ""),
             .id = id,
             .text = buf_str(&line),
             .status = status,
             .output = output,
         });
}

void part_updated(struct opencode *oc, const char *directory, const cJSON *p)
{
    const cJSON *part = json_obj(p, "part");
    const char *type = json_str(part, "type", "");
    if (strcmp(type, "text") == 0)
        text_updated(oc, directory, part);
    else if (strcmp(type, "tool") == 0)
        tool_updated(oc, directory, part);
}

/* ---------------------------------------------------------------- what was said before */

/* False: it is nothing to show. `line` keeps the text of a tool. */
static bool part_of_history(struct activity *a, const cJSON *part, struct buf *line)
{
    const char *type = json_str(part, "type", "");
    const cJSON *state = json_obj(part, "state");
    a->id = json_str(part, "id", "");
    if (strcmp(type, "text") == 0) {
        bool done = json_at(part, "time.end") || strcmp(a->role, "user") == 0;
        a->kind = ACTIVITY_TEXT;
        a->text = json_str(part, "text", "");
        a->status = done ? "completed" : "running";
        return *a->id && *a->text && !json_bool(part, "synthetic", false);
    }
    if (strcmp(type, "tool") != 0 || !*a->id)
        return false;
    put_tool_line(line, part);
    a->kind = ACTIVITY_TOOL;
    a->text = buf_str(line);
    a->status = json_str(state, "status", "running");
    a->output = tool_output(state);
    return strcmp(a->status, "pending") != 0;
}

void history_tell(struct opencode *oc, const cJSON *messages, const char *session_id,
                  core_activity_fn *each, void *data)
{
    const cJSON *m, *part;
    cJSON_ArrayForEach (m, messages) {
        bool user = strcmp(json_str_at(m, "info.role", ""), "user") == 0;
        cJSON_ArrayForEach (part, json_arr(m, "parts")) {
            _cleanup_buf_ struct buf line = BUF_INIT;
            struct activity a = {
                .pod = core_settings(oc->core)->pod,
                .session_id = session_id,
                .role = user ? "user" : "assistant",
                .message_id = json_str_at(m, "info.id", ""),
            };
            if (part_of_history(&a, part, &line))
                each(data, &a);
        }
    }
}
