/* rooms: bridge/gateway/slack bridge/gateway/slack/render bridge/gateway/slack/wire base/json base/core */
#include "bridge/gateway/slack/wire/envelope.h"
#include "tests/fuzz/fuzz.h"

static void check_ack(const struct frame *f)
{
    _cleanup_free_ char *text = envelope_ack_text(f->envelope_id, f->payload);
    _cleanup_json_ cJSON *j = NULL;
    REQUIRE(text && json_parse(&j, text, strlen(text), NULL) == 0);
    REQUIRE(strcmp(json_str(j, "envelope_id", ""), f->envelope_id) == 0);
    REQUIRE((json_obj(j, "payload") != NULL) == (f->payload != NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_INPUT_MAX)
        return 0;
    _cleanup_frame_ struct frame f;
    frame_parse(&f, (const char *)data, size);
    REQUIRE(f.kind < FRAME_KIND_MAX && f.reason);
    REQUIRE(memchr(f.envelope_id, '\0', sizeof f.envelope_id));
    for (const char *p = f.envelope_id; *p; p++)
        REQUIRE((unsigned char)*p >= 0x20 && *p != '"' && *p != '\\');
    REQUIRE(f.connections >= 0 && f.lifetime_s >= 0);
    REQUIRE(!f.payload || (f.doc && cJSON_IsObject(f.payload)));
    REQUIRE(f.doc || f.kind == FRAME_UNKNOWN);
    (void)disconnect_kind_of(f.reason);
    if (*f.envelope_id)
        check_ack(&f);
    return 0;
}
