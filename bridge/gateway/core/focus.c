/* Who wants to be told where, when somebody was at the web page, and which requests rest there.
 *
 * What was chosen is kept for each person in Slack, for the web page (whose logins are nobody's in
 * particular), and once more whoever chose: a session that was begun by somebody in Slack follows
 * the later word of that person and of the page, all others the last word of anybody. */
#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "bridge/gateway/core/presence.h"
#include "bridge/gateway/core/private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ACTIVITY_KEY     "presence:web"
#define FOCUS_PAGE       "focus:web"
#define FOCUS_LAST       "focus:last"
#define PERSON           "slack:" /* of created_by */
#define ACTIVITY_STEP_MS 15000    /* it is stored that often */
#define LOOK_MAX_MS      60000    /* the wall clock may be set */

struct resting {
    struct resting *next;
    char *pod, *id, *root;
};

static const char *const focus_names[] = {
    [FOCUS_AUTO] = "auto",
    [FOCUS_SLACK] = "slack",
    [FOCUS_WEB] = "web",
};
_Static_assert(ARRAY_SIZE(focus_names) == FOCUS_MAX, "a name for every focus");

const char *core_focus_name(enum focus f)
{
    return focus_names[f];
}

enum focus core_focus_find(const char *name)
{
    unsigned f = 0;
    while (f < FOCUS_MAX && strcasecmp(focus_names[f], name) != 0)
        f++;
    return (enum focus)f;
}

/* ---------------------------------------------------------------- what was chosen */

struct word {
    enum focus focus;
    int64_t time_ms; /* -1: nothing was said */
};

/* "web 1790000000000" */
static struct word word_read(struct core *core, const char *key)
{
    _cleanup_free_ char *text = NULL;
    struct word w = { FOCUS_AUTO, -1 };
    if (store_get(core->store, key, &text) < 0)
        return w;
    char *time = strchr(text, ' ');
    if (time)
        *time++ = '\0';
    enum focus f = core_focus_find(text);
    if (f != FOCUS_MAX)
        w = (struct word){ f, time ? (int64_t)strtoll(time, NULL, 10) : 0 };
    return w;
}

static struct word later(struct word a, struct word b)
{
    return b.time_ms >= a.time_ms ? b : a;
}

/* `who` as in created_by. */
static enum focus focus_of(struct core *core, const char *who)
{
    if (strncmp(who, PERSON, strlen(PERSON)) != 0)
        return word_read(core, FOCUS_LAST).focus;
    _cleanup_buf_ struct buf key = BUF_INIT;
    buf_printf(&key, "focus:%s", who);
    return later(word_read(core, FOCUS_PAGE), word_read(core, buf_str(&key))).focus;
}

static void put_who(struct buf *out, const struct actor *actor)
{
    buf_printf(out, "%s:%s", actor->connector, actor->id ? actor->id : "");
}

int core_set_focus(struct core *core, const struct actor *actor, enum focus f)
{
    _cleanup_buf_ struct buf key = BUF_INIT, who = BUF_INIT;
    char word[64];
    put_who(&who, actor);
    bool person = strncmp(buf_str(&who), PERSON, strlen(PERSON)) == 0;
    buf_printf(&key, "focus:%s", buf_str(&who));
    (void)snprintf(word, sizeof word, "%s %" PRId64, focus_names[f], clock_wall_ms());
    int r = store_begin(core->store);
    if (r < 0)
        return r;
    r = store_put(core->store, person ? buf_str(&key) : FOCUS_PAGE, word);
    if (r == 0)
        r = store_put(core->store, FOCUS_LAST, word);
    if (r < 0) {
        store_rollback(core->store);
        return r;
    }
    r = store_commit(core->store);
    if (r < 0)
        return r;
    core_audit(core, actor, "focus", focus_names[f], "");
    presence_changed(core);
    core_tell_focus(core);
    return 0;
}

/* ---------------------------------------------------------------- judging */

static void on_timer(uv_timer_t *timer)
{
    presence_changed(timer->data);
}

static struct presence_verdict judge(struct core *core, const char *who, enum weight weight,
                                     int64_t urgent_ms)
{
    return presence_judge(&(struct presence){
        .focus = focus_of(core, who),
        .now_ms = clock_wall_ms(),
        .active_ms = core->web_active_ms,
        .active_for_ms = (int64_t)core->settings->web_active_ms,
        .weight = weight,
        .urgent_ms = urgent_ms,
    });
}

static int take_author(void *data, const struct session_row *row)
{
    *(char **)data = strdup(row->created_by);
    return 0;
}

/* Who began it; malloc'ed, NULL when nobody knows. */
static char *author_of(struct core *core, const char *pod, const char *session_id)
{
    char *who = NULL;
    (void)store_session_get(core->store, pod, session_id, take_author, &who);
    return who;
}

static struct presence_verdict judge_request(struct core *core, const char *pod, const char *root,
                                             enum request_kind kind, int64_t created_ms)
{
    _cleanup_free_ char *who = author_of(core, pod, root);
    const struct settings *s = core->settings;
    uint64_t deadline = kind == REQUEST_QUESTION ? s->question_timeout_ms : core->deadline_ms;
    int64_t urgent = presence_urgent_at(created_ms, s->web_hold_ms, deadline);
    return judge(core, who ? who : "", WEIGHT_NORMAL, urgent);
}

enum told core_session_told(struct core *core, const char *pod, const char *session_id)
{
    _cleanup_free_ char *who = author_of(core, pod, session_id);
    return judge(core, who ? who : "", WEIGHT_NORMAL, 0).told;
}

void core_focus(struct core *core, const struct actor *actor, struct focus_state *ret)
{
    _cleanup_buf_ struct buf who = BUF_INIT;
    put_who(&who, actor);
    int64_t until = core->web_active_ms + (int64_t)core->settings->web_active_ms;
    *ret = (struct focus_state){
        .focus = focus_of(core, buf_str(&who)),
        .told = judge(core, buf_str(&who), WEIGHT_NORMAL, 0).told,
        .active_until_ms = core->web_active_ms > 0 && until > clock_wall_ms() ? until : 0,
        .slack = core->slack_state && strcmp(core->slack_state, "off") != 0,
    };
}

/* ---------------------------------------------------------------- what rests */

static void look_in(struct core *core, int64_t at_ms)
{
    int64_t ms = at_ms - clock_wall_ms();
    uint64_t wait = ms <= 0 ? 0 : ms < LOOK_MAX_MS ? (uint64_t)ms : LOOK_MAX_MS;
    uint64_t due = uv_is_active((uv_handle_t *)&core->presence_timer)
                       ? uv_timer_get_due_in(&core->presence_timer)
                       : UINT64_MAX;
    if (!core->stopping && wait < due)
        (void)uv_timer_start(&core->presence_timer, on_timer, wait, 0);
}

static bool rests_already(const struct core *core, const char *pod, const char *id)
{
    const struct resting *r = core->resting;
    while (r && (strcmp(r->id, id) != 0 || strcmp(r->pod, pod) != 0))
        r = r->next;
    return r;
}

static void resting_free(struct resting *r)
{
    free(r->pod);
    free(r->id);
    free(r->root);
    free(r);
}

/* False: no memory. */
static bool resting_add(struct core *core, const struct request *r)
{
    struct resting *n = calloc(1, sizeof *n);
    if (!n)
        return false;
    *n = (struct resting){ core->resting, strdup(r->pod), strdup(r->id),
                           strdup(r->root_session_id) };
    if (!n->pod || !n->id || !n->root) {
        resting_free(n);
        return false;
    }
    core->resting = n;
    log_info("request %s waits on the web page, not in Slack yet", r->id);
    return true;
}

void core_request_taken(struct core *core, const char *pod, const char *request_id)
{
    for (struct resting **at = &core->resting; *at; at = &(*at)->next)
        if (strcmp((*at)->id, request_id) == 0 && strcmp((*at)->pod, pod) == 0) {
            struct resting *r = *at;
            *at = r->next;
            resting_free(r);
            return;
        }
}

bool core_request_rests(struct core *core, const struct request *r)
{
    if (r->state != REQUEST_PENDING)
        core_request_taken(core, r->pod, r->id);
    if (r->state == REQUEST_SETTLED)
        return false;
    struct presence_verdict v =
        judge_request(core, r->pod, r->root_session_id, r->kind, r->created_ms);
    if (v.told != TOLD_WEB)
        return false;
    if (r->state != REQUEST_PENDING) /* decided before it came here: nobody need be asked */
        return true;
    if (!rests_already(core, r->pod, r->id) && !resting_add(core, r))
        return false; /* told too early rather than never */
    if (v.slack_ms)
        look_in(core, v.slack_ms);
    return true;
}

bool core_session_rests(struct core *core, const char *pod, const char *session_id)
{
    const struct resting *r = core->resting;
    while (r && (strcmp(r->root, session_id) != 0 || strcmp(r->pod, pod) != 0))
        r = r->next;
    return r;
}

struct looking_at {
    struct core *core;
    bool rests;
};

static int still_rests(void *data, const struct request_row *row)
{
    struct looking_at *l = data;
    struct presence_verdict v = judge_request(l->core, row->pod, row->root_session_id,
                                              (enum request_kind)row->kind, row->created_ms);
    l->rests = row->state == REQUEST_PENDING && v.told == TOLD_WEB;
    if (l->rests && v.slack_ms)
        look_in(l->core, v.slack_ms);
    return 0;
}

void presence_changed(struct core *core)
{
    struct resting *due = NULL, **at = &core->resting;
    while (*at) {
        struct resting *r = *at;
        struct looking_at l = { .core = core };
        (void)store_request_get(core->store, r->pod, r->id, still_rests, &l);
        if (l.rests) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        r->next = due;
        due = r;
    }
    while (due) {
        struct resting *r = due;
        due = r->next;
        core_tell_request(core, r->pod, r->id);
        resting_free(r);
    }
}

/* ---------------------------------------------------------------- activity */

void core_web_activity(struct core *core)
{
    char text[32];
    int64_t now = clock_wall_ms(), before = core->web_active_ms;
    bool was = before > 0 && before <= now && now - before < (int64_t)core->settings->web_active_ms;
    core->web_active_ms = now;
    if (!was)
        core_tell_focus(core);
    if (was && now - core->web_stored_ms < ACTIVITY_STEP_MS && core->web_stored_ms <= now)
        return;
    (void)snprintf(text, sizeof text, "%" PRId64, now);
    int r = store_put(core->store, ACTIVITY_KEY, text);
    if (r < 0)
        log_warn("cannot store that somebody was at the web page: %s", strerror(-r));
    core->web_stored_ms = now;
}

void presence_init(struct core *core)
{
    _cleanup_free_ char *text = NULL;
    if (store_get(core->store, ACTIVITY_KEY, &text) == 0)
        core->web_active_ms = (int64_t)strtoll(text, NULL, 10);
    core->web_stored_ms = core->web_active_ms;
}

void presence_release(struct core *core)
{
    while (core->resting) {
        struct resting *r = core->resting;
        core->resting = r->next;
        resting_free(r);
    }
}
