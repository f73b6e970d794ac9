/* Requests: how they come, how they are decided, how they end. request_apply() is the one place
 * where a request changes its state. */
#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/json/json.h"
#include "bridge/gateway/core/crash.h"
#include "bridge/gateway/core/private.h"
#include "bridge/gateway/core/summary.h"
#include "bridge/gateway/core/table.h"

#include <errno.h>
#include <string.h>

#define ID_MAX             256
#define DETAIL_MAX         ((size_t)768 << 10)
#define REASON_MAX         4000
#define TOGETHER_WITHIN_MS 10000 /* a denial takes others of its session along that soon */

static const char *const outcome_names[] = {
    [OUTCOME_NONE] = "none",     [OUTCOME_ONCE] = "once",         [OUTCOME_ALWAYS] = "always",
    [OUTCOME_REJECT] = "reject", [OUTCOME_ANSWERED] = "answered", [OUTCOME_GONE] = "gone",
};
_Static_assert(ARRAY_SIZE(outcome_names) == OUTCOME_MAX, "a name for every outcome");

const char *request_outcome_name(enum request_outcome o)
{
    return outcome_names[o];
}

void request_view(const struct request_row *row, struct request *ret)
{
    *ret = (struct request){
        .pod = row->pod,
        .id = row->id,
        .kind = (enum request_kind)row->kind,
        .session_id = row->session_id,
        .root_session_id = row->root_session_id,
        .session_title = row->session_title,
        .directory = row->directory,
        .permission = row->permission,
        .summary = row->summary,
        .detail_json = row->detail,
        .created_ms = row->created_ms,
        .state = (enum request_state)row->state,
        .outcome = (enum request_outcome)row->outcome,
        .reason = row->reason,
        .answers_json = row->answers,
        .actor = { .connector = row->actor_connector,
                   .id = row->actor_id,
                   .name = row->actor_name },
        .decided_ms = row->decided_ms,
    };
}

/* ---------------------------------------------------------------- the one setter */

struct change {
    enum request_event event;
    enum request_outcome outcome;
    const char *reason, *answers;
    struct actor actor;
};

static const struct actor opencode_actor = {
    .connector = "opencode",
    .id = "",
    .name = "OpenCode",
};

static bool other_answers(const struct request_row *row, const struct change *c)
{
    _cleanup_json_ cJSON *ours = NULL, *theirs = NULL;
    if (!c->answers || !*row->answers)
        return false;
    return json_parse(&ours, row->answers, strlen(row->answers), NULL) == 0 &&
           json_parse(&theirs, c->answers, strlen(c->answers), NULL) == 0 &&
           !cJSON_Compare(ours, theirs, true);
}

/* What `row` becomes by `c`; false: nothing. */
static bool next_row(const struct request_row *row, const struct change *c,
                     enum request_action action, struct request_row *next)
{
    int64_t now = clock_wall_ms();
    *next = *row;
    if (action == REQUEST_IGNORE || action == REQUEST_REFUSE || action == REQUEST_ACTION_MAX)
        return false;
    bool theirs =
        action == REQUEST_SETTLE_THEIRS &&
        (row->state == REQUEST_PENDING || row->outcome != (int)c->outcome || other_answers(row, c));
    if (action == REQUEST_TAKE_DECISION || theirs || action == REQUEST_SETTLE_GONE) {
        next->outcome = (int)c->outcome;
        next->reason = c->reason;
        next->answers = c->answers ? c->answers : "";
        next->actor_connector = c->actor.connector;
        next->actor_id = c->actor.id;
        next->actor_name = c->actor.name;
        next->decided_ms = now;
    }
    next->state = action == REQUEST_TAKE_DECISION ? REQUEST_DECIDING : REQUEST_SETTLED;
    next->settled_ms = next->state == REQUEST_SETTLED ? now : 0;
    return true;
}

static int write_row(struct core *core, int from, const struct request_row *next)
{
    _cleanup_buf_ struct buf what = BUF_INIT, object = BUF_INIT;
    buf_printf(&what, "request.%s.%s", request_state_name((enum request_state)next->state),
               request_outcome_name((enum request_outcome)next->outcome));
    buf_printf(&object, "%s/%s", next->pod, next->id);
    int r = store_begin(core->store);
    if (r < 0)
        return r;
    r = store_request_move(core->store, from, next);
    if (r == 1) {
        int a = store_audit(core->store, next->actor_connector, next->actor_id, next->actor_name,
                            buf_str(&what), buf_str(&object),
                            *next->reason ? next->reason : next->summary);
        r = a < 0 ? a : 1;
    }
    if (r <= 0) {
        store_rollback(core->store);
        return r;
    }
    int c = store_commit(core->store);
    return c < 0 ? c : 1;
}

/* 0 done, 1 nothing to do or somebody was first, -errno. */
static int request_apply(struct core *core, const struct request_row *row, const struct change *c)
{
    struct request_row next;
    enum request_action action = request_table((enum request_state)row->state, c->event);
    if (!next_row(row, c, action, &next))
        return 1;
    _request_about_ struct request_about about;
    request_about(&about, row->pod, row->id, row->session_id);
    int r = write_row(core, row->state, &next);
    if (r <= 0) {
        if (r < 0)
            log_error("cannot store that request %s is %s: %s", row->id,
                      request_event_name(c->event), strerror(-r));
        return r < 0 ? r : 1;
    }
    log_info("request %s: %s → %s (%s, by %s)", row->id,
             request_state_name((enum request_state)row->state),
             request_state_name((enum request_state)next.state),
             request_outcome_name((enum request_outcome)next.outcome), next.actor_connector);
    counts_moved(&core->counts, row->state, &next);
    if (next.state == REQUEST_DECIDING)
        crash_point("request.decided");
    else if (core->open_requests > 0)
        core->open_requests--;
    return 0;
}

struct applying {
    struct core *core;
    const struct change *change;
};

static int apply_row(void *data, const struct request_row *row)
{
    struct applying *a = data;
    return request_apply(a->core, row, a->change);
}

/* The same by key, and everybody is told. */
static int apply_change(struct core *core, const char *pod, const char *id, const struct change *c)
{
    struct applying a = { .core = core, .change = c };
    int r = store_request_get(core->store, pod, id, apply_row, &a);
    if (r == 0)
        core_tell_request(core, pod, id);
    return r;
}

/* ---------------------------------------------------------------- asked */

static bool id_fits(const char *id)
{
    size_t n = id ? strlen(id) : 0;
    return n > 0 && n <= ID_MAX;
}

int core_feed_asked(const struct feed *f, const struct feed_request *r)
{
    struct core *core = f->core;
    if (!id_fits(r->id) || !id_fits(r->session_id) || strlen(r->detail_json) > DETAIL_MAX)
        return -EINVAL;
    if (core->open_requests >= CORE_OPEN_REQUESTS_MAX)
        return -ENOBUFS;
    _cleanup_free_ char *root = r->root_session_id && *r->root_session_id
                                    ? strdup(r->root_session_id)
                                    : session_root(core, f->pod, r->session_id);
    _cleanup_free_ char *summary = request_summary(r->kind, r->permission, r->detail_json);
    if (!root || !summary)
        return -ENOMEM;
    int n = session_touch(f, root, root);
    if (n >= 0 && strcmp(root, r->session_id) != 0)
        n = session_touch(f, r->session_id, root);
    if (n < 0)
        return n;
    struct request_row row = {
        .pod = f->pod,
        .id = r->id,
        .instance = f->instance,
        .kind = (int)r->kind,
        .session_id = r->session_id,
        .root_session_id = root,
        .directory = f->directory,
        .permission = r->permission,
        .summary = summary,
        .detail = r->detail_json,
        .created_ms = clock_wall_ms(),
        .state = REQUEST_PENDING,
        .seq = f->seq,
    };
    n = store_request_insert(core->store, &row);
    if (n != 1)
        return n;
    core->open_requests++;
    core->counts.asked[r->kind]++;
    _request_about_ struct request_about about;
    request_about(&about, f->pod, r->id, r->session_id);
    log_info("request %s of session %s: %s", r->id, r->session_id, r->permission);
    core_tell_request(core, f->pod, r->id);
    return 1;
}

/* ---------------------------------------------------------------- decided */

static bool outcome_fits(enum request_kind kind, enum request_outcome o, const char *answers)
{
    if (kind == REQUEST_PERMISSION)
        return o == OUTCOME_ONCE || o == OUTCOME_ALWAYS || o == OUTCOME_REJECT;
    return o == OUTCOME_REJECT || (o == OUTCOME_ANSWERED && answers && *answers);
}

static bool answers_fit(const char *answers)
{
    _cleanup_json_ cJSON *j = NULL;
    if (!answers || !*answers)
        return true;
    if (strlen(answers) > DETAIL_MAX || json_parse(&j, answers, strlen(answers), NULL) < 0)
        return false;
    const cJSON *row, *label;
    cJSON_ArrayForEach (row, j) {
        if (!cJSON_IsArray(row))
            return false;
        cJSON_ArrayForEach (label, row)
            if (!cJSON_IsString(label))
                return false;
    }
    return cJSON_IsArray(j);
}

static int decide_row(void *data, const struct request_row *row)
{
    struct applying *a = data;
    if (!outcome_fits((enum request_kind)row->kind, a->change->outcome, a->change->answers))
        return -EINVAL;
    return request_apply(a->core, row, a->change);
}

int core_decide(struct core *core, const char *pod, const char *request_id,
                enum request_outcome outcome, const char *reason, const char *answers_json,
                const struct actor *actor)
{
    if (!answers_fit(answers_json))
        return -EINVAL;
    char cut[REASON_MAX + 1];
    size_t n = strlen(reason ? reason : "");
    if (n > REASON_MAX)
        n = text_cut(reason, REASON_MAX);
    memcpy(cut, reason ? reason : "", n);
    cut[n] = '\0';
    struct change c = {
        .event = REQUEST_DECIDED,
        .outcome = outcome,
        .reason = cut,
        .answers = answers_json,
        .actor = *actor,
    };
    struct applying a = { .core = core, .change = &c };
    _request_about_ struct request_about about;
    request_about(&about, pod, request_id, NULL);
    int r = store_request_get(core->store, pod, request_id, decide_row, &a);
    if (r == 1)
        log_info("request %s: %s came too late", request_id, request_outcome_name(outcome));
    if (r != 0)
        return r;
    r = delivery_start(core, pod, request_id);
    if (r < 0)
        log_error("cannot send the decision on %s now: %s", request_id, strerror(-r));
    core_tell_request(core, pod, request_id);
    return 0;
}

/* ---------------------------------------------------------------- nobody answers */

static const struct actor nobody = { .connector = "deadline", .id = "", .name = "deadline" };

struct overdue {
    struct core *core;
    int64_t before;
};

/* Agents put it into the label: "Keep it (Recommended)". */
static const char *recommended(const cJSON *question)
{
    const cJSON *option;
    cJSON_ArrayForEach (option, json_arr(question, "options")) {
        const char *label = json_str(option, "label", "");
        if (json_bool(option, "recommended", false) || strcasestr(label, "(recommended)"))
            return label;
    }
    return NULL;
}

static char *default_answers(const char *detail_json)
{
    _cleanup_json_ cJSON *detail = NULL, *answers = cJSON_CreateArray();
    const cJSON *q;
    (void)json_parse(&detail, detail_json, strlen(detail_json), NULL);
    cJSON_ArrayForEach (q, json_arr(detail, "questions")) {
        const char *label = recommended(q);
        cJSON *one = label ? cJSON_CreateStringArray(&label, 1) : NULL;
        if (!one)
            return NULL;
        (void)cJSON_AddItemToArray(answers, one);
    }
    return cJSON_GetArraySize(answers) ? json_print(answers) : NULL;
}

char *core_question_default(struct core *core, const struct request *r)
{
    bool waits = r->kind == REQUEST_QUESTION && r->state == REQUEST_PENDING;
    return waits && core->settings->question_timeout_ms ? default_answers(r->detail_json) : NULL;
}

static int unanswered_row(void *data, const struct request_row *row)
{
    struct overdue *o = data;
    if (row->state != REQUEST_PENDING || row->kind != REQUEST_QUESTION ||
        row->created_ms > o->before)
        return 0;
    _cleanup_free_ char *answers = default_answers(row->detail);
    if (answers)
        (void)core_decide(o->core, row->pod, row->id, OUTCOME_ANSWERED, "nobody answered in time",
                          answers, &nobody);
    return 0;
}

static int overdue_row(void *data, const struct request_row *row)
{
    struct overdue *o = data;
    if (row->state != REQUEST_PENDING || row->kind != REQUEST_PERMISSION ||
        row->created_ms > o->before)
        return 0;
    (void)core_decide(o->core, row->pod, row->id, OUTCOME_REJECT, "nobody answered in time", NULL,
                      &nobody);
    return 0;
}

void requests_check_deadline(struct core *core)
{
    int64_t now = clock_wall_ms();
    struct overdue denied = { core, now - (int64_t)core->deadline_ms },
                   answered = { core, now - (int64_t)core->settings->question_timeout_ms };
    if (core->deadline_ms)
        (void)store_request_each(core->store, REQUEST_PENDING, overdue_row, &denied);
    if (core->settings->question_timeout_ms)
        (void)store_request_each(core->store, REQUEST_PENDING, unanswered_row, &answered);
}

/* ---------------------------------------------------------------- ended */

struct replied {
    struct core *core;
    enum request_outcome outcome;
    const char *answers; /* NULL when not known */
    const struct request_row *row;
};

/* OpenCode rejects all of a session's requests with one denial: the same person did it. */
static int together_row(void *data, const struct request_row *other)
{
    struct replied *p = data;
    const struct request_row *row = p->row;
    if (other->created_ms < row->created_ms - 86400000)
        return 2; /* newest first: no older one matters */
    if (strcmp(other->pod, row->pod) != 0 || strcmp(other->session_id, row->session_id) != 0 ||
        strcmp(other->id, row->id) == 0 || other->outcome != OUTCOME_REJECT ||
        other->state == REQUEST_PENDING || clock_wall_ms() - other->decided_ms > TOGETHER_WITHIN_MS)
        return 0;
    struct change c = {
        .event = REQUEST_REPLIED,
        .outcome = OUTCOME_REJECT,
        .reason = "denied together with another request of this session",
        .actor = { other->actor_connector, other->actor_id, other->actor_name },
    };
    int r = request_apply(p->core, row, &c);
    return r == 0 ? 3 : r;
}

static int replied_row(void *data, const struct request_row *row)
{
    struct replied *p = data;
    p->row = row;
    if (p->outcome == OUTCOME_REJECT && row->state == REQUEST_PENDING) {
        int r = store_request_each(p->core->store, REQUEST_SETTLED, together_row, p);
        if (r < 0 || r == 3)
            return r < 0 ? r : 0;
    }
    struct change c = {
        .event = REQUEST_REPLIED,
        .outcome = p->outcome,
        .reason = "",
        .answers = p->answers,
        .actor = opencode_actor,
    };
    return request_apply(p->core, row, &c);
}

static int feed_replied(const struct feed *f, const char *request_id, enum request_outcome outcome,
                        const char *answers)
{
    crash_point("reply.confirmed");
    struct replied p = { .core = f->core, .outcome = outcome, .answers = answers };
    int r = store_request_get(f->core->store, f->pod, request_id, replied_row, &p);
    if (r == 0)
        core_tell_request(f->core, f->pod, request_id);
    return r < 0 && r != -ENOENT ? r : 0;
}

int core_feed_replied(const struct feed *f, const char *request_id, enum request_outcome outcome)
{
    return feed_replied(f, request_id, outcome, NULL);
}

int core_feed_answered(const struct feed *f, const char *request_id, const char *answers_json)
{
    const char *known = answers_json && answers_fit(answers_json) ? answers_json : NULL;
    return feed_replied(f, request_id, OUTCOME_ANSWERED, known);
}

int request_confirm(struct core *core, const char *pod, const char *id)
{
    crash_point("reply.confirmed");
    struct change c = { .event = REQUEST_CONFIRMED };
    return apply_change(core, pod, id, &c);
}

int request_void(struct core *core, const char *pod, const char *id, const char *reason)
{
    struct change c = {
        .event = REQUEST_VOIDED,
        .outcome = OUTCOME_GONE,
        .reason = reason,
        .actor = opencode_actor,
    };
    return apply_change(core, pod, id, &c);
}

struct voiding {
    struct core *core;
    const char *pod, *session_id, *reason;
    const struct feed *f;
    const struct feed_sync *sync;
};

static int void_session_row(void *data, const struct request_row *row)
{
    struct voiding *v = data;
    if (strcmp(row->pod, v->pod) == 0 && strcmp(row->session_id, v->session_id) == 0)
        (void)request_void(v->core, row->pod, row->id, v->reason);
    return 0;
}

int requests_void_session(struct core *core, const char *pod, const char *session_id,
                          const char *reason)
{
    if (core->open_requests == 0)
        return 0;
    struct voiding v = { .core = core, .pod = pod, .session_id = session_id, .reason = reason };
    return store_request_each(core->store, REQUEST_DECIDING, void_session_row, &v);
}

static int void_missing_row(void *data, const struct request_row *row)
{
    struct voiding *v = data;
    const struct feed *f = v->f;
    const struct feed_sync *s = v->sync;
    if (strcmp(row->pod, f->pod) != 0 || strcmp(row->directory, f->directory) != 0 ||
        is_among(row->id, s->open_ids, s->n_open))
        return 0;
    const struct way *direct = *f->instance ? NULL : way_direct(f->core, f->pod);
    bool dead = direct && way_is_another(direct, row);
    bool same = !dead && strcmp(row->instance, f->instance) == 0;
    bool older = s->as_of_seq >= 0 ? row->seq <= s->as_of_seq : row->created_ms < s->before_ms;
    if (same ? !older : !dead && way_connected(f->core, row->pod, row->instance))
        return 0;
    /* A decision that the same process took counts; one that another process was sent does not. */
    if (row->state == REQUEST_DECIDING && (row->accepted || row->attempts > 0) && !dead &&
        (same || !*row->instance || !*f->instance))
        (void)request_confirm(f->core, row->pod, row->id);
    else
        (void)request_void(f->core, row->pod, row->id,
                           same ? "OpenCode no longer waits for it"
                                : "OpenCode was restarted and no longer waits for it");
    return 0;
}

int requests_void_missing(const struct feed *f, const struct feed_sync *s)
{
    struct voiding v = { .core = f->core, .f = f, .sync = s };
    return store_request_each(f->core->store, REQUEST_DECIDING, void_missing_row, &v);
}

struct losing {
    const struct feed *f;
    const char *reason;
    bool (*keep)(void *data, const char *pod, const char *id);
    void *data;
};

static int lost_row(void *data, const struct request_row *row)
{
    struct losing *l = data;
    if (strcmp(row->pod, l->f->pod) == 0 && strcmp(row->instance, l->f->instance) == 0 &&
        !(l->keep && l->keep(l->data, row->pod, row->id)))
        (void)request_void(l->f->core, row->pod, row->id, l->reason);
    return 0;
}

int core_feed_instance_lost(const struct feed *f, const char *reason,
                            bool (*keep)(void *data, const char *pod, const char *id), void *data)
{
    struct losing l = { f, reason, keep, data };
    return store_request_each(f->core->store, REQUEST_DECIDING, lost_row, &l);
}

int core_request_handed(struct core *core, const char *pod, const char *request_id)
{
    int r = store_request_accepted(core->store, pod, request_id);
    if (r < 0)
        return r;
    struct way *w = way_for(core, pod, "");
    return w && w->up ? 0 : request_confirm(core, pod, request_id);
}

/* ---------------------------------------------------------------- looking */

struct looking {
    int (*fn)(void *data, const struct request *r);
    void *data;
    unsigned count;
};

static int look_row(void *data, const struct request_row *row)
{
    struct looking *l = data;
    struct request view;
    request_view(row, &view);
    return l->fn(l->data, &view);
}

int core_each_request(struct core *core, bool only_open,
                      int (*fn)(void *data, const struct request *r), void *data)
{
    struct looking l = { .fn = fn, .data = data };
    return store_request_each(core->store, only_open ? REQUEST_DECIDING : REQUEST_SETTLED, look_row,
                              &l);
}

int core_with_request(struct core *core, const char *pod, const char *id,
                      int (*fn)(void *data, const struct request *r), void *data)
{
    struct looking l = { .fn = fn, .data = data };
    return store_request_get(core->store, pod, id, look_row, &l);
}

static int count_row(void *data, const struct request_row *row)
{
    (void)row;
    ((struct looking *)data)->count++;
    return 0;
}

unsigned requests_count_open(struct core *core)
{
    struct looking l = { 0 };
    (void)store_request_each(core->store, REQUEST_DECIDING, count_row, &l);
    return l.count;
}
