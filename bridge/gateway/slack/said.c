#include "bridge/gateway/slack/said.h"

#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/outbox.h"
#include "bridge/gateway/slack/render/blocks.h"
#include "bridge/gateway/slack/render/text.h"
#include "bridge/gateway/slack/stream.h"
#include "bridge/gateway/slack/threads.h"

#include <string.h>

#define QUOTED_MAX 1500 /* characters; the whole is in OpenCode */

static void put_where(struct buf *out, const struct prompt_origin *o)
{
    static const struct {
        const char *connector, *where;
    } places[] = { { "web", "on the web page" }, { "api", "by the API" } };
    const char *where = "in OpenCode";
    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        if (strcmp(places[i].connector, o->connector) == 0)
            where = places[i].where;
    buf_puts(out, ":bust_in_silhouette: ");
    if (strcmp(o->connector, "web") == 0 && *o->name && strcmp(o->name, "web page") != 0) {
        (void)text_put(out, o->name, 60, TEXT_ESCAPE | TEXT_ONE_LINE);
        buf_printf(out, " %s", where);
    } else {
        buf_printf(out, "Somebody %s", where);
    }
}

/* Each line as a quotation. */
static void put_quoted(struct buf *out, const char *text)
{
    _cleanup_buf_ struct buf safe = BUF_INIT;
    (void)text_put(&safe, text, QUOTED_MAX, TEXT_ESCAPE);
    for (const char *line = buf_str(&safe); line;) {
        const char *end = strchr(line, '\n');
        size_t n = end ? (size_t)(end - line) : strlen(line);
        buf_printf(out, ">%.*s%s", (int)n, line, end ? "\n" : "");
        line = end ? end + 1 : NULL;
    }
}

static cJSON *message(const struct activity *a, const struct prompt_origin *o)
{
    _cleanup_buf_ struct buf where = BUF_INIT, quoted = BUF_INIT;
    cJSON *m = cJSON_CreateObject();
    put_where(&where, o);
    put_quoted(&quoted, a->text);
    _cleanup_buf_ struct buf text = BUF_INIT;
    buf_printf(&text, "%s:\n%s", buf_str(&where), buf_str(&quoted));
    json_add_str(m, "text", buf_str(&text));
    cJSON *blocks = cJSON_AddArrayToObject(m, "blocks");
    blocks_add_context(blocks, buf_str(&where), NULL);
    blocks_add_section(blocks, buf_str(&quoted));
    return m;
}

void said_activity(struct slack *s, const struct activity *a)
{
    char channel[40], ts[40];
    if (a->kind != ACTIVITY_TEXT || a->child || strcmp(a->role, "user") != 0 || !*a->message_id ||
        !*a->id || a->text[strspn(a->text, " \t\r\n")] == '\0' ||
        threads_place(s->threads, a->pod, a->session_id, channel, ts) < 0)
        return;
    _cleanup_buf_ struct buf key = BUF_INIT, lane = BUF_INIT;
    buf_printf(&key, "said:%s:%s", a->pod, a->id);
    if (outbox_fate(s->outbox, buf_str(&key)) != FATE_NONE)
        return;
    struct prompt_origin o;
    core_prompt_origin(s->core, a, &o);
    if (strcmp(o.connector, CONNECTOR) == 0)
        return;
    threads_lane(&lane, a->pod, a->session_id);
    (void)outbox_put(s->outbox, &(struct outgoing){
                                    .key = buf_str(&key),
                                    .lane = buf_str(&lane),
                                    .args = message(a, &o),
                                    .thread = { "session", a->pod, a->session_id },
                                });
    stream_break(s->stream, a->pod, a->session_id);
}
