#include "bridge/gateway/web/views.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *or_empty(const char *s)
{
    return s ? s : "";
}

static void put_cost(struct jsonw *w, double cost)
{
    char text[64] = "0";
    if (isfinite(cost) && fabs(cost) < 1e12)
        (void)snprintf(text, sizeof text, "%.6g", cost);
    jsonw_raw(w, "cost", text, strlen(text));
}

void view_session(struct jsonw *w, const char *key, const struct session *s)
{
    jsonw_object(w, key);
    jsonw_str(w, "pod", s->pod);
    jsonw_str(w, "id", s->id);
    jsonw_str(w, "directory", or_empty(s->directory));
    jsonw_str(w, "title", or_empty(s->title));
    jsonw_str(w, "agent", or_empty(s->agent));
    jsonw_str(w, "model", or_empty(s->model));
    jsonw_str(w, "created_by", or_empty(s->created_by));
    jsonw_str(w, "status", session_status_name(s->status));
    jsonw_str(w, "status_text", or_empty(s->status_text));
    jsonw_int(w, "retry_at_ms", s->retry_at_ms);
    jsonw_int(w, "created_ms", s->created_ms);
    jsonw_int(w, "updated_ms", s->updated_ms);
    put_cost(w, s->cost);
    jsonw_int(w, "tokens", s->tokens);
    jsonw_object_end(w);
}

static void view_actor(struct jsonw *w, const struct actor *a)
{
    if (!a->connector || !*a->connector) {
        jsonw_null(w, "actor");
        return;
    }
    jsonw_object(w, "actor");
    jsonw_str(w, "connector", a->connector);
    jsonw_str(w, "id", or_empty(a->id));
    jsonw_str(w, "name", or_empty(a->name));
    jsonw_object_end(w);
}

static const char *const kind_names[REQUEST_KIND_MAX] = {
    [REQUEST_PERMISSION] = "permission",
    [REQUEST_QUESTION] = "question",
};
static const char *const state_names[REQUEST_STATE_MAX] = {
    [REQUEST_PENDING] = "pending",
    [REQUEST_DECIDING] = "deciding",
    [REQUEST_SETTLED] = "settled",
};

void view_request(struct jsonw *w, const char *key, const struct request *r)
{
    const char *detail = r->detail_json && *r->detail_json == '{' ? r->detail_json : "{}";
    jsonw_object(w, key);
    jsonw_str(w, "pod", r->pod);
    jsonw_str(w, "id", r->id);
    jsonw_str(w, "kind", kind_names[r->kind]);
    jsonw_str(w, "session_id", or_empty(r->session_id));
    jsonw_str(w, "root_session_id", or_empty(r->root_session_id));
    jsonw_str(w, "session_title", or_empty(r->session_title));
    jsonw_str(w, "directory", or_empty(r->directory));
    jsonw_str(w, "permission", or_empty(r->permission));
    jsonw_str(w, "summary", or_empty(r->summary));
    jsonw_raw(w, "detail", detail, strlen(detail));
    jsonw_int(w, "created_ms", r->created_ms);
    jsonw_str(w, "state", state_names[r->state]);
    jsonw_str(w, "outcome", r->outcome == OUTCOME_NONE ? NULL : request_outcome_name(r->outcome));
    jsonw_str(w, "reason", or_empty(r->reason));
    view_actor(w, &r->actor);
    jsonw_int(w, "decided_ms", r->decided_ms);
    jsonw_object_end(w);
}

static bool links_well(const struct link_state *l)
{
    bool slack = strcmp(l->slack, "off") == 0 || strcmp(l->slack, "connected") == 0;
    return slack && strcmp(l->opencode, "none") != 0 && !*l->store_reason;
}

void view_links(struct jsonw *w, const struct link_state *l)
{
    jsonw_str(w, "status", links_well(l) ? "ok" : "degraded");
    jsonw_object(w, "slack");
    jsonw_str(w, "state", l->slack);
    jsonw_str(w, "reason", or_empty(l->slack_reason));
    jsonw_object_end(w);
    jsonw_object(w, "bridge");
    jsonw_uint(w, "connected", l->bridges);
    jsonw_object_end(w);
    jsonw_object(w, "opencode");
    jsonw_str(w, "way", l->opencode);
    jsonw_str(w, "reason", or_empty(l->opencode_reason));
    jsonw_object_end(w);
    jsonw_object(w, "store");
    jsonw_str(w, "reason", l->store_reason);
    jsonw_object_end(w);
}
