/* What is read: health, sessions, requests, the page's files, the stream of changes. */
#include <errno.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/metrics/metrics.h"
#include "bridge/gateway/core/metrics.h"
#include "bridge/gateway/web/assets.h"
#include "bridge/gateway/web/internal.h"
#include "bridge/gateway/web/views.h"

#define LIST_MAX         200
#define METRICS_FRESH_MS 1000

void page_serve(struct call *c)
{
    answer_asset(c, asset_of(c->match.id));
}

void health_get(struct call *c)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct jsonw w = JSONW_INIT(&out);
    struct link_state links;
    const struct settings *s = core_settings(c->web->core);
    core_links(c->web->core, &links);
    jsonw_object(&w, NULL);
    view_links(&w, &links);
    jsonw_str(&w, "version", s->version);
    jsonw_object_end(&w);
    answer_json(c, 200, &out);
}

/* The counts of what waits are read from the database: not more than once a second. */
void metrics_get(struct call *c)
{
    struct web *w = c->web;
    uint64_t now = clock_mono_ms();
    if (!w->metrics_ms || now - w->metrics_ms > METRICS_FRESH_MS) {
        buf_reset(&w->metrics);
        core_metrics(w->core, &w->metrics);
        w->metrics_ms = w->metrics.failed ? 0 : now;
    }
    answer_text(c, METRICS_CONTENT_TYPE, &w->metrics);
}

struct listing {
    struct jsonw w;
    const char *pod; /* NULL: all */
    unsigned left;
};

static bool listing_wants(struct listing *l, const char *pod)
{
    if (l->pod && *l->pod && strcmp(l->pod, pod) != 0)
        return false;
    if (l->left == 0)
        return false;
    l->left--;
    return true;
}

static int list_session(void *data, const struct session *s)
{
    struct listing *l = data;
    if (listing_wants(l, s->pod))
        view_session(&l->w, NULL, s);
    return l->left == 0;
}

void sessions_get(struct call *c)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct listing l = { JSONW_INIT(&out), server_request_query(c->request, "pod"), LIST_MAX };
    jsonw_object(&l.w, NULL);
    jsonw_array(&l.w, "sessions");
    int r = core_each_session(c->web->core, list_session, &l);
    jsonw_array_end(&l.w);
    jsonw_object_end(&l.w);
    if (r < 0)
        answer_error(c, 500, "store", "the sessions cannot be read");
    else
        answer_json(c, 200, &out);
}

static int list_request(void *data, const struct request *r)
{
    struct listing *l = data;
    if (listing_wants(l, r->pod))
        view_request(&l->w, NULL, r);
    return l->left == 0;
}

void requests_get(struct call *c)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    const char *all = server_request_query(c->request, "all");
    bool only_open = !all || strcmp(all, "1") != 0;
    struct listing l = { JSONW_INIT(&out), server_request_query(c->request, "pod"), LIST_MAX };
    jsonw_object(&l.w, NULL);
    jsonw_array(&l.w, "requests");
    int r = core_each_request(c->web->core, only_open, list_request, &l);
    jsonw_array_end(&l.w);
    jsonw_object_end(&l.w);
    if (r < 0)
        answer_error(c, 500, "store", "the requests cannot be read");
    else
        answer_json(c, 200, &out);
}

static void put_transcript(struct jsonw *w, const struct transcript *t)
{
    jsonw_array(w, "transcript");
    for (size_t i = 0; t && i < t->count; i++)
        transcript_view(w, NULL, t, &t->entries[i]);
    jsonw_array_end(w);
    jsonw_bool(w, "whole", t && t->whole);
}

static int one_session(void *data, const struct session *s)
{
    view_session(data, "session", s);
    return 0;
}

static void answer_session(struct call *c, const char *pod)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct jsonw w = JSONW_INIT(&out);
    jsonw_object(&w, NULL);
    int r = core_with_session(c->web->core, pod, c->match.param, one_session, &w);
    if (r == 0)
        put_transcript(&w, transcripts_find(&c->web->transcripts, pod, c->match.param));
    jsonw_object_end(&w);
    if (r == -ENOENT)
        answer_error(c, 404, "no_such_session", "there is no such session");
    else if (r < 0)
        answer_error(c, 500, "store", "the session cannot be read");
    else
        answer_json(c, 200, &out);
}

static void on_read(void *data, const struct activity *a)
{
    struct pending *p = data;
    if (p->call.web)
        (void)transcripts_add_read(&p->call.web->transcripts, a, clock_wall_ms());
}

/* What could not be read is shown as far as it was heard. */
static void on_history(struct pending *p, int error, const char *message, const char *session_id)
{
    (void)message;
    (void)session_id;
    if (error == 0)
        (void)transcripts_set_whole(&p->call.web->transcripts, p->pod, p->call.match.param);
    answer_session(&p->call, p->pod);
}

void session_get(struct call *c)
{
    _cleanup_free_ char *pod = call_pod_of_session(c);
    const struct transcript *t =
        pod ? transcripts_find(&c->web->transcripts, pod, c->match.param) : NULL;
    struct pending *p = pod ? pending_new(c, pod, 200) : NULL;
    if (!p) {
        answer_failure(c, -ENOMEM, "");
        return;
    }
    p->answer = on_history;
    if (t && t->whole)
        pending_done(p, 0, "", "");
    else
        pending_started(
            p, core_session_history(c->web->core, pod, c->match.param, on_read, pending_done, p));
}

void catalog_get(struct call *c)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    const char *json = core_catalog(c->web->core);
    buf_puts(&out, *json ? json : "{\"agents\":[],\"models\":[]}");
    answer_json(c, 200, &out);
}

void events_get(struct call *c)
{
    if (c->web->stopping)
        answer_error(c, 503, "stopping", "the gateway is stopping");
    else if (events_full(&c->web->events))
        answer_error_with(c, 503, "too_many_streams", "too many pages are open", "Retry-After: 30");
    else
        answer_stream(c);
}
