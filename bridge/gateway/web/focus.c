/* Where people are told of what needs them, as the page shows and changes it. */
#include "base/core/cleanup.h"
#include "base/core/jsonw.h"
#include "bridge/gateway/web/internal.h"

static void answer_focus(struct call *c)
{
    static const char *const places[] = { "slack", "web", "both" };
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct jsonw w = JSONW_INIT(&out);
    struct focus_state state;
    struct actor actor;
    call_actor(c, &actor);
    core_focus(c->web->core, &actor, &state);
    jsonw_object(&w, NULL);
    jsonw_str(&w, "focus", core_focus_name(state.focus));
    jsonw_str(&w, "told", places[state.slack ? state.told : TOLD_WEB]);
    jsonw_bool(&w, "slack", state.slack);
    jsonw_int(&w, "active_until_ms", state.active_until_ms);
    jsonw_int(&w, "active_for_ms", (int64_t)core_settings(c->web->core)->web_active_ms);
    jsonw_int(&w, "hold_ms", (int64_t)core_settings(c->web->core)->web_hold_ms);
    jsonw_object_end(&w);
    answer_json(c, 200, &out);
}

void focus_get(struct call *c)
{
    answer_focus(c);
}

void focus_post(struct call *c)
{
    const char *focus;
    struct body_error e = { 0 };
    struct actor actor;
    _cleanup_json_ cJSON *j = call_body(c);
    if (!j)
        return;
    if (body_read_focus(j, &focus, &e) < 0) {
        answer_error(c, e.status, e.code, e.e.message);
        return;
    }
    call_actor(c, &actor);
    if (core_set_focus(c->web->core, &actor, core_focus_find(focus)) < 0)
        answer_error(c, 500, "store", "that cannot be stored");
    else
        answer_focus(c);
}
