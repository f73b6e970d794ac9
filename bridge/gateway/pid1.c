#include "bridge/gateway/pid1.h"

#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/jsonw.h"
#include "base/core/log.h"
#include "base/json/json.h"
#include "base/uvcontrol/uvcontrol.h"
#include "bridge/gateway/core/core.h"
#include "bridge/gateway/core/run.h"
#include "bridge/gateway/store/rows.h"
#include "bridge/gateway/store/store.h"

#include <errno.h>
#include <string.h>

#define RETRY_MS     5000
#define RETRY_MAX_MS 60000 /* where there is none: a gateway for other pods */

struct pid1 {
    struct core *core;
    struct uvcontrol *events, *status, *annotate;
    uv_timer_t retry;
    uint64_t retry_ms; /* the next one's; twice as long each time until it is reached */
    bool dirty;        /* the note is not what it should be */
    bool reached;      /* it answered since the last attempt */
    unsigned busy;     /* sessions of this pod */
};

static void connect_events(struct pid1 *p);

/* ---------------------------------------------------------------- our links */

static void send_note(struct pid1 *p);

static void on_annotated(void *data, int error, const char *message)
{
    struct pid1 *p = data;
    (void)message;
    p->annotate = NULL;
    if (error < 0)
        p->dirty = true; /* again when PID 1 is there */
    else if (p->dirty)
        send_note(p);
}

static void links_text(struct pid1 *p, struct buf *out)
{
    struct link_state l;
    struct jsonw w = JSONW_INIT(out);
    core_links(p->core, &l);
    jsonw_object(&w, NULL);
    jsonw_object(&w, "slack");
    jsonw_str(&w, "state", l.slack);
    jsonw_str(&w, "reason", l.slack_reason);
    jsonw_object_end(&w);
    jsonw_object(&w, "bridge");
    jsonw_uint(&w, "connected", l.bridges);
    jsonw_str(&w, "prepare_id", l.build);
    jsonw_object_end(&w);
    jsonw_object(&w, "sessions");
    jsonw_uint(&w, "busy", p->busy);
    jsonw_object_end(&w);
    jsonw_object(&w, "opencode");
    jsonw_str(&w, "way", l.opencode);
    jsonw_str(&w, "reason", l.opencode_reason);
    jsonw_object_end(&w);
    jsonw_object_end(&w);
}

static void send_note(struct pid1 *p)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    p->dirty = true;
    if (p->annotate)
        return;
    links_text(p, &text);
    const char *const words[] = { "annotate", "gateway", "links", buf_str(&text), NULL };
    struct uvcontrol_options o = {
        .loop = core_loop(p->core),
        .words = words,
        .on_end = on_annotated,
        .data = p,
    };
    if (!text.failed && uvcontrol_start(&p->annotate, &o) == 0)
        p->dirty = false;
}

static void on_links(void *data)
{
    send_note(data);
}

static int count_one(void *data, const struct session_row *row)
{
    (void)row;
    ++*(unsigned *)data;
    return 0;
}

/* For who waits until nobody is at work: plugin-watch. */
static void on_session(void *data, const struct session *session)
{
    struct pid1 *p = data;
    const char *pod = getenv("CODEV_POD");
    unsigned busy = 0;
    if (!pod || (session && strcmp(session->pod, pod) != 0))
        return;
    for (int s = SESSION_BUSY; s <= SESSION_RETRY; s++)
        if (store_session_each_status(core_store(p->core), pod, s, count_one, &busy) < 0)
            return;
    if (busy == p->busy)
        return;
    p->busy = busy;
    send_note(p);
}

/* ---------------------------------------------------------------- volumes */

/* Says `now` ("": nothing is wrong) once for each change, also over a restart of the gateway. */
static bool is_news(struct pid1 *p, const char *key, const char *now)
{
    _cleanup_free_ char *said = NULL;
    struct store *store = core_store(p->core);
    int r = store_get(store, key, &said);
    if ((r < 0 && r != -ENOENT) || strcmp(said ? said : "", now) == 0)
        return false;
    return store_put(store, key, *now ? now : NULL) == 0;
}

static void volume_news(struct pid1 *p, const char *path, bool ok, const char *message)
{
    _cleanup_buf_ struct buf key = BUF_INIT, text = BUF_INIT;
    buf_printf(&key, "volume %s", path);
    const char *now = ok ? "" : *message ? message : "not right";
    if (!is_news(p, buf_str(&key), now))
        return;
    if (ok)
        buf_printf(&text, "Volume %s is well again.", path);
    else
        buf_printf(&text, "Volume %s: %s", path, now);
    log_info("%s", buf_str(&text));
    core_notice(p->core, buf_str(&text));
}

/* What waits for `codevctl trust`, by the note that codev-prepare left. */
static void trust_news(struct pid1 *p, const cJSON *status)
{
    static const char *const kinds[] = { "plugin", "config" };
    const cJSON *s;
    _cleanup_json_ cJSON *note = NULL;
    cJSON_ArrayForEach (s, json_arr(status, "services")) {
        const char *text = json_str(json_obj(s, "notes"), "plugin", "");
        if (strcmp(json_str(s, "name", ""), "prepare") == 0)
            (void)json_parse(&note, text, strlen(text), NULL);
    }
    for (size_t i = 0; note && i < ARRAY_SIZE(kinds); i++) {
        char key[32];
        const char *now = json_str(json_obj(note, "trust"), kinds[i], "");
        (void)snprintf(key, sizeof key, "trust %s", kinds[i]);
        if (is_news(p, key, now) && *now)
            core_notice(p->core, now);
    }
}

static const char *first_finding(const cJSON *volume)
{
    const cJSON *f;
    cJSON_ArrayForEach (f, json_arr(volume, "findings"))
        if (strcmp(json_str(f, "level", ""), "bad") == 0)
            return json_str(f, "message", "");
    return "";
}

static void on_status_line(void *data, const char *line, size_t len)
{
    _cleanup_json_ cJSON *json = NULL;
    const cJSON *volume;
    if (json_parse(&json, line, len, NULL) < 0)
        return;
    ((struct pid1 *)data)->reached = true;
    cJSON_ArrayForEach (volume, json_arr(json, "volumes"))
        volume_news(data, json_str(volume, "path", "?"), json_bool(volume, "ok", true),
                    first_finding(volume));
    trust_news(data, json);
}

static void on_status_end(void *data, int error, const char *message)
{
    (void)error;
    (void)message;
    ((struct pid1 *)data)->status = NULL;
}

static void ask_status(struct pid1 *p)
{
    static const char *const words[] = { "status", NULL };
    struct uvcontrol_options o = {
        .loop = core_loop(p->core),
        .words = words,
        .on_line = on_status_line,
        .on_end = on_status_end,
        .data = p,
    };
    if (!p->status)
        (void)uvcontrol_start(&p->status, &o);
}

/* ---------------------------------------------------------------- events */

static void on_event(void *data, const char *line, size_t len)
{
    struct pid1 *p = data;
    _cleanup_json_ cJSON *json = NULL;
    if (json_parse(&json, line, len, NULL) < 0)
        return;
    core_pod_changed(p->core);
    if (strcmp(json_str(json, "event", ""), "volume") == 0)
        volume_news(p, json_str(json, "path", "?"), json_bool(json, "ok", true),
                    json_str(json, "message", ""));
    else if (strcmp(json_str(json, "service", ""), "prepare") == 0 &&
             strcmp(json_str(json, "to", ""), "done") == 0)
        ask_status(p);
}

static void on_retry(uv_timer_t *timer)
{
    connect_events(timer->data);
}

static void retry_later(struct pid1 *p)
{
    (void)uv_timer_start(&p->retry, on_retry, p->retry_ms, 0);
    p->retry_ms = p->retry_ms * 2 < RETRY_MAX_MS ? p->retry_ms * 2 : RETRY_MAX_MS;
}

static void on_events_end(void *data, int error, const char *message)
{
    struct pid1 *p = data;
    p->events = NULL;
    if (p->reached) {
        log_warn("PID 1 is not reached: %s", error < 0 ? message : "it closed");
        p->retry_ms = RETRY_MS;
    }
    p->reached = false;
    retry_later(p);
}

static void connect_events(struct pid1 *p)
{
    static const char *const words[] = { "events", NULL };
    struct uvcontrol_options o = {
        .loop = core_loop(p->core),
        .words = words,
        .stream = 1,
        .on_line = on_event,
        .on_end = on_events_end,
        .data = p,
    };
    int r = uvcontrol_start(&p->events, &o);
    if (r < 0) {
        retry_later(p);
        return;
    }
    ask_status(p);
    on_session(p, NULL);
    send_note(p);
}

/* ---------------------------------------------------------------- life */

int pid1_new(struct pid1 **ret, struct core *core, struct error *e)
{
    struct pid1 *p = calloc(1, sizeof *p);
    if (!p)
        return error_set_errno(e, -ENOMEM, "cannot make the link to PID 1");
    p->core = core;
    struct connector c = {
        .name = "pid1", .data = p, .links_changed = on_links, .session_changed = on_session
    };
    int r = core_add_connector(core, &c);
    if (r < 0) {
        free(p);
        return error_set_errno(e, r, "cannot make the link to PID 1");
    }
    (void)uv_timer_init(core_loop(core), &p->retry);
    p->retry.data = p;
    p->retry_ms = RETRY_MS;
    (void)uv_timer_start(&p->retry, on_retry, 0, 0);
    *ret = p;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void pid1_free(struct pid1 *p)
{
    if (!p)
        return;
    uvcontrol_cancel(TAKE_PTR(p->events));
    uvcontrol_cancel(TAKE_PTR(p->status));
    uvcontrol_cancel(TAKE_PTR(p->annotate));
    uv_close((uv_handle_t *)&p->retry, on_closed);
}
