#include "bridge/gateway/slack/wire/envelope.h"

#include <stdio.h>
#include <string.h>

#include "base/core/utf8.h"

static const struct {
    const char *type;
    enum frame_kind kind;
} kinds[] = {
    { "hello", FRAME_HELLO },
    { "disconnect", FRAME_DISCONNECT },
    { "events_api", FRAME_EVENTS },
    { "slash_commands", FRAME_SLASH },
    { "interactive", FRAME_INTERACTIVE },
};

/* An id is only ever given back in an ack: what needs escaping there, or could not be sent as text,
 * is no id of Slack's. */
static bool id_ok(const char *id, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)id[i] < 0x20 || id[i] == '"' || id[i] == '\\')
            return false;
    return len > 0 && len < ENVELOPE_ID_SIZE && utf8_valid(id, len);
}

static void take_id(struct frame *f, const char *id, size_t len)
{
    if (!id_ok(id, len))
        return;
    memcpy(f->envelope_id, id, len);
    f->envelope_id[len] = '\0';
}

static void salvage_id(struct frame *f, const char *text, size_t len)
{
    static const char name[] = "\"envelope_id\"";
    const char *end = text + len;
    const char *at = memmem(text, len, name, sizeof name - 1);
    if (!at)
        return;
    at += sizeof name - 1;
    while (at < end && strchr(" \t:", *at) && *at)
        at++;
    if (at >= end || *at != '"')
        return;
    at++;
    const char *quote = memchr(at, '"', (size_t)(end - at));
    if (quote)
        take_id(f, at, (size_t)(quote - at));
}

static int small_int(const cJSON *j, const char *key)
{
    double d = json_num(j, key, 0);
    return d > 0 && d < 1e9 ? (int)d : 0;
}

void frame_parse(struct frame *ret, const char *text, size_t len)
{
    struct frame f = { .kind = FRAME_UNKNOWN, .reason = "" };
    if (json_parse(&f.doc, text, len, NULL) < 0) {
        f.doc = NULL;
        salvage_id(&f, text, len);
        *ret = f;
        return;
    }
    const char *type = json_str(f.doc, "type", "");
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (strcmp(kinds[i].type, type) == 0)
            f.kind = kinds[i].kind;
    const char *id = json_str(f.doc, "envelope_id", "");
    take_id(&f, id, strlen(id));
    f.accepts_payload = json_bool(f.doc, "accepts_response_payload", false);
    f.payload = json_obj(f.doc, "payload");
    f.reason = json_str(f.doc, "reason", "");
    f.connections = small_int(f.doc, "num_connections");
    f.lifetime_s = small_int(json_obj(f.doc, "debug_info"), "approximate_connection_time");
    *ret = f;
}

void frame_release(struct frame *f)
{
    cJSON_Delete(f->doc);
    *f = (struct frame){ .kind = FRAME_UNKNOWN, .reason = "" };
}

enum disconnect_kind disconnect_kind_of(const char *reason)
{
    if (strcmp(reason, "link_disabled") == 0)
        return DISCONNECT_DISABLED;
    if (strcmp(reason, "too_many_websockets") == 0)
        return DISCONNECT_TOO_MANY;
    return DISCONNECT_REFRESH;
}

char *envelope_ack_text(const char *envelope_id, const cJSON *payload)
{
    _cleanup_json_ cJSON *ack = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(ack, "envelope_id", envelope_id);
    if (payload)
        (void)cJSON_AddItemToObject(ack, "payload", cJSON_Duplicate(payload, true));
    return json_print(ack);
}
