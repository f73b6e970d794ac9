/* What people ask of sessions: start, message, abort. Each order goes over the best way there is,
 * is audited, and is answered once. */
#include "base/core/buf.h"
#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/log.h"
#include "base/core/utf8.h"
#include "bridge/gateway/core/crash.h"
#include "bridge/gateway/core/private.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define PROMPT_ID_TAIL 14

struct order {
    struct core *core;
    const char *what; /* "session.start", … */
    char *pod, *session_id, *directory, *by;
    struct log_about *ids; /* of what caused it; or NULL */
    bool begins;           /* OpenCode shall begin to work, and did not before */
    core_done_fn *done;
    void *data;
};

static bool too_long(const char *text)
{
    return utf8_count(text, strlen(text)) > PROMPT_MAX;
}

const char *core_error_text(int error, const char *message)
{
    static_assert(PROMPT_MAX == 50000, "the text says so");
    if (message && *message)
        return message;
    return error == -EFBIG ? "it is longer than 50,000 characters" : strerror(-error);
}

static void order_free(struct order *o)
{
    free(o->pod);
    free(o->session_id);
    free(o->directory);
    free(o->by);
    free(o->ids);
    free(o);
}

static void order_free_ptr(struct order **o)
{
    if (*o)
        order_free(*o);
}

static struct order *order_new(struct core *core, const char *what, const char *pod,
                               const char *session_id, const char *directory,
                               const struct actor *actor, core_done_fn *done, void *data)
{
    _cleanup_(order_free_ptr) struct order *o = calloc(1, sizeof *o);
    _cleanup_buf_ struct buf by = BUF_INIT;
    if (!o)
        return NULL;
    *o = (struct order){ .core = core, .what = what, .done = done, .data = data };
    buf_printf(&by, "%s%s%s", actor->connector, actor->id && *actor->id ? ":" : "",
               actor->id ? actor->id : "");
    o->pod = strdup(pod);
    o->session_id = strdup(session_id);
    o->directory = strdup(directory);
    o->by = buf_take(&by);
    o->ids = log_keep();
    return o->pod && o->session_id && o->directory && o->by ? TAKE_PTR(o) : NULL;
}

/* It may have been deleted while nobody listened. */
static const char *order_gone(struct order *o)
{
    struct feed f = { o->core, o->pod, "", o->directory, 0 };
    int r = core_feed_session_gone(&f, o->session_id);
    if (r < 0)
        log_warn("session %s is gone, which could not be stored: %s", o->session_id, strerror(-r));
    return "this session is gone from OpenCode, please begin another one";
}

static void order_done(void *data, int error, const char *message, const char *session_id)
{
    struct order *o = data;
    if (error == -ENOENT && *o->session_id)
        message = order_gone(o);
    const char *id = session_id && *session_id ? session_id : o->session_id;
    _log_about_ struct log_about cause = log_kept(o->ids);
    log_enter(&cause);
    _log_about_ struct log_about about = {
        .id = { [LOG_SESSION] = *id ? id : NULL, [LOG_POD] = o->pod },
    };
    log_enter(&about);
    if (error < 0)
        log_warn("%s of %s failed: %s", o->what, o->session_id, message);
    else
        log_info("%s: %s, by %s", o->what, id, o->by);
    if (error >= 0 && o->begins)
        watch_begin(o->core, o->pod, id);
    if (o->done)
        o->done(o->data, error, message, id);
    order_free(o);
}

/* `waits`: the caller tries again. What OpenCode says before its events are read would be lost, so
 * a way that does not read them yet is none for it. */
static const struct way *way_or_reason(struct core *core, const char *pod, bool waits,
                                       core_done_fn *done, void *data)
{
    struct way *w = pod ? way_for(core, pod, "") : NULL;
    if (!w || core->stopping || (waits && !w->up)) {
        const char *why = core->stopping ? "the gateway is stopping"
                                         : "OpenCode is not connected, nothing can be sent to it";
        if (done)
            done(data, -ENOTCONN, why, "");
        return NULL;
    }
    return w;
}

/* ---------------------------------------------------------------- start */

static int author_row(void *data, const struct session_row *row)
{
    struct order *o = data;
    struct session_row next = *row;
    next.created_by = o->by;
    return store_session_put(o->core->store, &next);
}

/* New sessions that were kept back while starts were under way are told now. */
static void release_held(struct core *core)
{
    while (core->starting == 0 && core->n_held > 0) {
        core->n_held--;
        _cleanup_free_ char *pod = core->held_pod[core->n_held], *id = core->held_id[core->n_held];
        core_tell_session(core, pod, id);
    }
}

static void start_done(void *data, int error, const char *message, const char *session_id)
{
    struct order *o = data;
    struct core *core = o->core;
    core->starting--;
    if (session_id && *session_id) {
        crash_point("session.created");
        struct feed f = { core, o->pod, "", o->directory, 0 };
        struct feed_session s = { .id = session_id, .cost = -1, .tokens = -1 };
        int r = core_feed_session(&f, &s);
        if (r == 0)
            r = store_session_get(core->store, o->pod, session_id, author_row, o);
        if (r < 0)
            log_warn("cannot store who began session %s: %s", session_id, strerror(-r));
        core_tell_session(core, o->pod, session_id);
    }
    release_held(core);
    order_done(o, error, message, session_id);
}

/* Lines are about the turn that this prompt begins, when its id is known beforehand; it is left by
 * request_about_leave(). */
static void prompt_about(struct request_about *a, const char *message_id, const char *session_id)
{
    *a = (struct request_about){ 0 };
    if (message_id)
        request_about(a, NULL, message_id, session_id);
    else
        log_enter(&a->about);
}

int core_session_start(struct core *core, const struct session_start *s, core_done_fn *done,
                       void *data)
{
    const char *pod = s->pod ? s->pod : way_default_pod(core);
    if (s->prompt && too_long(s->prompt))
        return -EFBIG;
    const struct way *w = way_or_reason(core, pod, s->message_id != NULL, done, data);
    if (!w)
        return 0;
    _request_about_ struct request_about about;
    prompt_about(&about, s->prompt ? s->message_id : NULL, NULL);
    const char *dir = s->directory ? s->directory : core->settings->opencode_directory;
    bool own = strcmp(w->pod, core->settings->pod) == 0;
    if (!s->directory && !own)
        dir = NULL; /* the other pod knows its own default */
    struct order *o =
        order_new(core, "session.start", w->pod, "", dir ? dir : "", s->actor, done, data);
    if (!o)
        return -ENOMEM;
    struct way_start start = {
        .directory = dir,
        .title = s->title,
        .prompt = s->prompt,
        .agent = s->agent,
        .model = s->model,
        .key = s->key,
        .message_id = s->message_id,
        .again = s->again,
    };
    bool prompts = s->prompt && *s->prompt;
    o->begins = prompts && !s->again; /* else it may be over long since */
    if (!s->again)
        core_audit(core, s->actor, "session.start", w->pod, s->title ? s->title : "");
    if (prompts && s->message_id)
        origin_note(core, w->pod, "", s->prompt, s->message_id, s->actor);
    core->starting++;
    int r = w->ops->start(w->data, &start, start_done, o);
    if (r < 0) {
        core->starting--;
        order_free(o);
    }
    return r;
}

/* ---------------------------------------------------------------- message, abort */

static int order_of_row(void *data, const struct session_row *row)
{
    struct order *o = data;
    free(o->directory);
    o->directory = strdup(row->directory);
    return o->directory ? 0 : -ENOMEM;
}

/* Looks the session up and begins an order for it. NULL: `*ret_error` says why, 0 when it was
 * answered already. */
static struct order *order_for(struct core *core, const char *what, const char *pod,
                               const char *session_id, const struct actor *actor,
                               core_done_fn *done, void *data, int *ret_error)
{
    struct order *o = order_new(core, what, pod, session_id, "", actor, done, data);
    if (!o) {
        *ret_error = -ENOMEM;
        return NULL;
    }
    int r = store_session_get(core->store, pod, session_id, order_of_row, o);
    if (r < 0) {
        order_free(o);
        if (r == -ENOENT && done)
            done(data, -ENOENT, "there is no such session", session_id);
        *ret_error = r == -ENOENT ? 0 : r;
        return NULL;
    }
    return o;
}

int core_session_prompt(struct core *core, const struct session_prompt *p, core_done_fn *done,
                        void *data)
{
    if (too_long(p->text))
        return -EFBIG;
    const struct way *w = way_or_reason(core, p->pod, p->message_id != NULL, done, data);
    if (!w)
        return 0;
    int r = 0;
    _request_about_ struct request_about about;
    prompt_about(&about, p->message_id, p->session_id);
    struct order *o =
        order_for(core, "session.message", p->pod, p->session_id, p->actor, done, data, &r);
    if (!o)
        return r;
    o->begins = !p->again;
    if (!p->again)
        core_audit(core, p->actor, "session.message", p->session_id, "");
    origin_note(core, p->pod, p->session_id, p->text, p->message_id, p->actor);
    struct way_message m = {
        .session_id = p->session_id,
        .directory = o->directory,
        .text = p->text,
        .message_id = p->message_id,
        .again = p->again,
    };
    r = w->ops->message(w->data, &m, order_done, o);
    if (r < 0)
        order_free(o);
    return r;
}

int core_session_message(struct core *core, const char *pod, const char *session_id,
                         const char *text, const struct actor *actor, core_done_fn *done,
                         void *data)
{
    struct session_prompt p = {
        .pod = pod, .session_id = session_id, .text = text, .actor = actor
    };
    int r = too_long(text) ? 0 : interrupt_begin(core, &p, done, data);
    return r == 0 ? core_session_prompt(core, &p, done, data) : r < 0 ? r : 0;
}

/* msg_ and 12 hex digits of time and count, and a tail by chance. */
void core_prompt_id(char ret[PROMPT_ID_SIZE])
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    static uint64_t count;
    unsigned char tail[PROMPT_ID_TAIL];
    uint64_t time = ((uint64_t)clock_wall_ms() << 12) + (++count & 0xfff);
    if (getrandom(tail, sizeof tail, GRND_NONBLOCK) != (ssize_t)sizeof tail)
        for (size_t i = 0; i < sizeof tail; i++)
            tail[i] = (unsigned char)(clock_mono_us() >> (i % 8));
    int n = snprintf(ret, PROMPT_ID_SIZE, "msg_%012" PRIx64, time & UINT64_C(0xffffffffffff));
    for (size_t i = 0; i < sizeof tail; i++)
        ret[n++] = digits[tail[i] % (sizeof digits - 1)];
    ret[n] = '\0';
}

int core_session_abort(struct core *core, const char *pod, const char *session_id,
                       const struct actor *actor, core_done_fn *done, void *data)
{
    const struct way *w = way_or_reason(core, pod, false, done, data);
    if (!w)
        return 0;
    int r = 0;
    struct order *o = order_for(core, "session.abort", pod, session_id, actor, done, data, &r);
    if (!o)
        return r;
    core_audit(core, actor, "session.abort", session_id, "");
    r = w->ops->abort(w->data, session_id, o->directory, order_done, o);
    if (r < 0)
        order_free(o);
    return r;
}

/* ---------------------------------------------------------------- history */

static int directory_of_row(void *data, const struct session_row *row)
{
    *(char **)data = strdup(row->directory ? row->directory : "");
    return 0;
}

int core_session_history(struct core *core, const char *pod, const char *session_id,
                         core_activity_fn *each, core_done_fn *done, void *data)
{
    _cleanup_free_ char *directory = NULL;
    const struct way *w = way_for(core, pod, "");
    if (!w || !w->ops->history || core->stopping)
        return -ENOTCONN;
    int r = store_session_get(core->store, pod, session_id, directory_of_row, &directory);
    if (r < 0)
        return r;
    struct way_history h = { session_id, directory ? directory : "", each };
    return w->ops->history(w->data, &h, done, data);
}
