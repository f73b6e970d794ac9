/* The connector's life, its ears in the core, and the way of a request to its handler. */
#include "bridge/gateway/web/web.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "bridge/gateway/web/internal.h"
#include "bridge/gateway/web/views.h"

#define CONNECTOR     "web"
#define FLUSH_MS      100 /* streamed text is told so often */
#define LONG_TEXT     ((size_t)16 << 10)
#define LONG_FLUSH_MS 1000 /* and a long one so often */
#define BEAT_MS       15000

static void on_flush(uv_timer_t *timer);

/* ---------------------------------------------------------------- ears */

static void emit(struct web *w, const char *type, const struct buf *json)
{
    if (json->failed || events_emit(&w->events, type, buf_str(json), json->len) == 0)
        log_warn("a change (%s) cannot be told to the web pages: out of memory", type);
}

static void flush_soon(struct web *w)
{
    if (!uv_is_active((uv_handle_t *)&w->flush) && !w->closing)
        (void)uv_timer_start(&w->flush, on_flush, FLUSH_MS, 0);
}

/* The page reads the core's own list, so a request is shown as soon as it is there; what must be
 * told is only that we need not hear of a settled one again. Not from within the core's call. */
static void shown_later(struct web *w, const struct request *r)
{
    if (w->shown_count == SHOWN_MAX)
        return; /* it is told again after the next start, and acknowledged then */
    char *pod = strdup(r->pod), *id = strdup(r->id);
    if (!pod || !id) {
        free(pod);
        free(id);
        return;
    }
    w->shown[w->shown_count].pod = pod;
    w->shown[w->shown_count++].id = id;
    flush_soon(w);
}

static void shown_flush(struct web *w, bool acknowledge)
{
    for (size_t i = 0; i < w->shown_count; i++) {
        if (acknowledge)
            core_request_shown(w->core, CONNECTOR, w->shown[i].pod, w->shown[i].id,
                               REQUEST_SETTLED);
        free(w->shown[i].pod);
        free(w->shown[i].id);
    }
    w->shown_count = 0;
}

static void on_request(void *data, const struct request *r)
{
    struct web *w = data;
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct jsonw j = JSONW_INIT(&out);
    view_request(&j, NULL, r);
    emit(w, "request", &out);
    if (r->state == REQUEST_SETTLED)
        shown_later(w, r);
}

static void on_session(void *data, const struct session *s)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct jsonw j = JSONW_INIT(&out);
    view_session(&j, NULL, s);
    emit(data, "session", &out);
}

static void on_activity(void *data, const struct activity *a)
{
    struct web *w = data;
    if (a->kind == ACTIVITY_DIFF)
        return;
    int r = transcripts_add(&w->transcripts, a, clock_wall_ms());
    if (r < 0)
        log_warn("output of session %s is not kept: %s", a->session_id, strerror(-r));
    if (r > 0)
        flush_soon(w);
}

static void on_links(void *data)
{
    struct web *w = data;
    transcripts_doubt(&w->transcripts); /* what was said while a way was away was not heard */
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct jsonw j = JSONW_INIT(&out);
    struct link_state links;
    core_links(w->core, &links);
    jsonw_object(&j, NULL);
    view_links(&j, &links);
    jsonw_object_end(&j);
    emit(w, "links", &out);
}

/* Only that it changed: who shows it reads it. */
static void on_pod(void *data)
{
    struct web *w = data;
    events_tell(&w->events, "pod", "{}");
}

static void on_focus(void *data)
{
    struct web *w = data;
    events_tell(&w->events, "focus", "{}");
}

static void on_notice(void *data, const char *text)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct jsonw j = JSONW_INIT(&out);
    jsonw_object(&j, NULL);
    jsonw_str(&j, "text", text);
    jsonw_int(&j, "time_ms", clock_wall_ms());
    jsonw_object_end(&j);
    emit(data, "notice", &out);
}

static void on_stopping(void *data, uint64_t deadline_ms)
{
    struct web *w = data;
    (void)deadline_ms;
    w->stopping = true;
    events_tell(&w->events, "stopping", "{}");
    events_end_all(&w->events);
    logs_end_all(w);
    core_connector_stopped(w->core, CONNECTOR);
}

/* ---------------------------------------------------------------- timers */

/* True: its turn has not come, it stays dirty. */
static bool told_too_soon(const struct transcript_entry *e, uint64_t now_ms)
{
    return e->event_id != 0 && strlen(e->text) > LONG_TEXT && strcmp(e->status, "running") == 0 &&
           now_ms - e->told_ms < LONG_FLUSH_MS;
}

static void tell_entry(struct web *w, const struct transcript *t, struct transcript_entry *e,
                       uint64_t now_ms)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct jsonw j = JSONW_INIT(&out);
    transcript_view(&j, NULL, t, e);
    events_supersede(&w->events, e->event_id);
    e->event_id = out.failed ? 0 : events_emit(&w->events, "activity", buf_str(&out), out.len);
    e->told_ms = now_ms;
    e->dirty = false;
}

static void tell_transcript(struct web *w, struct transcript *t, uint64_t now_ms)
{
    t->dirty = false;
    for (size_t i = 0; i < t->count; i++) {
        struct transcript_entry *e = &t->entries[i];
        if (!e->dirty)
            continue;
        if (told_too_soon(e, now_ms))
            t->dirty = true;
        else
            tell_entry(w, t, e, now_ms);
    }
}

static void on_flush(uv_timer_t *timer)
{
    struct web *w = timer->data;
    bool again = false;
    uint64_t now = clock_mono_ms();
    shown_flush(w, true);
    for (size_t i = 0; i < w->transcripts.count; i++) {
        struct transcript *t = w->transcripts.sessions[i];
        if (t->dirty)
            tell_transcript(w, t, now);
        again = again || t->dirty;
    }
    if (again)
        flush_soon(w);
}

static void on_beat(uv_timer_t *timer)
{
    struct web *w = timer->data;
    if (w->events.stream_count == 0)
        (void)uv_timer_stop(timer); /* nobody listens; web_beat() begins anew */
    events_tell(&w->events, "beat", "{}");
}

void web_beat(struct web *w)
{
    if (!uv_is_active((const uv_handle_t *)&w->beat))
        (void)uv_timer_start(&w->beat, on_beat, BEAT_MS, BEAT_MS);
}

/* ---------------------------------------------------------------- requests */

static call_handler_fn *const handlers[ROUTE_MAX] = {
    [ROUTE_PAGE] = page_serve,
    [ROUTE_LOGIN_PAGE] = page_serve,
    [ROUTE_STYLE] = page_serve,
    [ROUTE_SCRIPT] = page_serve,
    [ROUTE_SCRIPT_API] = page_serve,
    [ROUTE_SCRIPT_CARDS] = page_serve,
    [ROUTE_SCRIPT_FOCUS] = page_serve,
    [ROUTE_SCRIPT_LOGS] = page_serve,
    [ROUTE_SCRIPT_POD] = page_serve,
    [ROUTE_SCRIPT_SESSION] = page_serve,
    [ROUTE_SCRIPT_TEXT] = page_serve,
    [ROUTE_ICON] = page_serve,
    [ROUTE_HEALTH] = health_get,
    [ROUTE_METRICS] = metrics_get,
    [ROUTE_OPENAPI] = page_serve,
    [ROUTE_LOGIN] = login_post,
    [ROUTE_LOGOUT] = logout_post,
    [ROUTE_SESSIONS] = sessions_get,
    [ROUTE_SESSION] = session_get,
    [ROUTE_SESSION_START] = session_start_post,
    [ROUTE_SESSION_MESSAGE] = session_message_post,
    [ROUTE_SESSION_ABORT] = session_abort_post,
    [ROUTE_REQUESTS] = requests_get,
    [ROUTE_DECISION] = decision_post,
    [ROUTE_EVENTS] = events_get,
    [ROUTE_CATALOG] = catalog_get,
    [ROUTE_FOCUS] = focus_get,
    [ROUTE_FOCUS_SET] = focus_post,
    [ROUTE_ACTIVITY] = focus_get, /* it is noted with every change that a page makes */
    [ROUTE_POD] = pod_get,
    [ROUTE_LOGS] = logs_get,
};

/* The caller's id if it is harmless, else one of our own, so that log and answer can be matched. */
static void set_request_id(struct call *c)
{
    const char *given = server_request_header(c->request, "x-request-id");
    size_t n = 0;
    while (given && given[n] && (isalnum((unsigned char)given[n]) || strchr("-._", given[n])))
        n++;
    if (given && n > 0 && n <= REQUEST_ID_MAX && given[n] == '\0') {
        memcpy(c->request_id, given, n + 1);
        return;
    }
    char random[SECRET_TEXT_SIZE];
    if (secret_generate(random) == 0)
        (void)snprintf(c->request_id, sizeof c->request_id, "%.16s", random);
}

static void read_head(struct server_request *r, struct access_head *ret)
{
    *ret = (struct access_head){
        .host = server_request_header(r, "host"),
        .origin = server_request_header(r, "origin"),
        .fetch_site = server_request_header(r, "sec-fetch-site"),
        .requested_with = server_request_header(r, "x-requested-with"),
        .authorization = server_request_header(r, "authorization"),
        .cookie = server_request_header(r, "cookie"),
        .proof = server_request_header(r, "x-codev-proof"),
        .content_type = server_request_header(r, "content-type"),
        .peer = server_request_peer(r),
    };
}

static void answer_no_route(struct call *c, int status)
{
    char allow[96];
    if (status == 405) {
        (void)snprintf(allow, sizeof allow, "Allow: %s", c->match.allow);
        answer_error_with(c, 405, "method_not_allowed", "this path takes another method", allow);
        return;
    }
    answer_error(c, 404, "not_found", "there is no such path");
}

void web_request(struct web *w, struct server_request *r)
{
    static const struct route nowhere = { .access = ACCESS_OPEN };
    struct call c = { .web = w, .request = r };
    struct access_head head;
    const char *proto = server_request_header(r, "x-forwarded-proto");
    set_request_id(&c);
    (void)traceparent_parse(server_request_header(r, "traceparent"), &c.caller);
    _log_about_ struct log_about about = call_about(&c);
    log_enter(&about);
    c.secure = proto && strcasecmp(proto, "https") == 0;
    read_head(r, &head);
    int no_route = route_find(server_request_method(r), server_request_path(r), &c.match);
    const struct route *route = no_route ? &nowhere : &route_table[c.match.id];
    int status =
        access_check(&head, &w->rules, route, &w->logins, &w->limiter, clock_wall_ms(), &c.who);
    if (status != 0) {
        answer_refused(&c, status);
        return;
    }
    if (no_route) {
        answer_no_route(&c, no_route);
        return;
    }
    /* A person: programs have a token, and what an open page only reads or hears says nothing. */
    if (route->access == ACCESS_CHANGE && c.who.login && c.match.id != ROUTE_LOGOUT)
        core_web_activity(w->core);
    handlers[c.match.id](&c);
}

/* ---------------------------------------------------------------- life */

static void on_closed(uv_handle_t *handle)
{
    struct web *w = handle->data;
    if (--w->open_handles > 0)
        return;
    free(w->allowed_hosts);
    free(w);
}

static int set_rules(struct web *w)
{
    const struct settings *s = core_settings(w->core);
    const char *hosts = getenv("CODEV_ALLOWED_HOSTS");
    w->allowed_hosts = strdup(hosts ? hosts : "");
    w->rules = (struct access_rules){
        .token = s->token,
        .user = s->opencode_user,
        .password = s->opencode_password,
        .pod = s->pod,
        .allowed_hosts = w->allowed_hosts,
    };
    return w->allowed_hosts ? 0 : -ENOMEM;
}

static void start_timers(struct web *w)
{
    uv_loop_t *loop = core_loop(w->core);
    (void)uv_timer_init(loop, &w->flush);
    (void)uv_timer_init(loop, &w->beat);
    w->flush.data = w->beat.data = w;
    w->open_handles = 2;
}

int web_connector_new(struct web **ret, struct core *core, struct error *e)
{
    struct web *w = calloc(1, sizeof *w);
    if (!w)
        return error_set(e, -ENOMEM, "cannot make the web connector: out of memory");
    w->core = core;
    int r = set_rules(w);
    if (r == 0)
        r = core_add_connector(core, &(struct connector){
                                         .name = CONNECTOR,
                                         .data = w,
                                         .request_changed = on_request,
                                         .session_changed = on_session,
                                         .activity = on_activity,
                                         .links_changed = on_links,
                                         .focus_changed = on_focus,
                                         .pod_changed = on_pod,
                                         .notice = on_notice,
                                         .stopping = on_stopping,
                                     });
    if (r < 0) {
        free(w->allowed_hosts);
        free(w);
        return error_set_errno(e, r, "cannot make the web connector");
    }
    logins_init(&w->logins, core_store(core), w->rules.token, clock_wall_ms());
    events_init(&w->events, (uint64_t)clock_wall_ms() * 1000);
    start_timers(w);
    *ret = w;
    return 0;
}

void web_connector_free(struct web *w)
{
    if (!w || w->closing)
        return;
    w->closing = w->stopping = true;
    pending_answer_all(w);
    events_end_all(&w->events);
    logs_end_all(w);
    events_release(&w->events);
    transcripts_release(&w->transcripts);
    buf_release(&w->metrics);
    shown_flush(w, false);
    logins_release(&w->logins);
    uv_close((uv_handle_t *)&w->flush, on_closed);
    uv_close((uv_handle_t *)&w->beat, on_closed);
}
