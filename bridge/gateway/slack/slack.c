#include "bridge/gateway/slack/slack.h"

#include "base/core/clock.h"
#include "base/core/log.h"
#include "bridge/gateway/slack/catchup.h"
#include "bridge/gateway/slack/intake.h"
#include "bridge/gateway/slack/internal.h"
#include "bridge/gateway/slack/metrics.h"
#include "bridge/gateway/slack/outbox.h"
#include "bridge/gateway/slack/rebuild.h"
#include "bridge/gateway/slack/render/text.h"
#include "bridge/gateway/slack/requests.h"
#include "bridge/gateway/slack/said.h"
#include "bridge/gateway/slack/sock.h"
#include "bridge/gateway/slack/stream.h"
#include "bridge/gateway/slack/threads.h"
#include "bridge/gateway/slack/users.h"
#include "bridge/gateway/slack/wire/timer.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define API_BASE        "https://slack.com/api/"
#define CHECK_BAD_MS    30000
#define CHECK_GOOD_MS   600000
#define STOP_RESERVE_MS 300 /* of the deadline: the goodbye */

/* ---------------------------------------------------------------- status */

static enum slack_problem first_problem(const struct slack *s)
{
    unsigned p = 0;
    while (p < PROBLEM_MAX && !s->problems[p])
        p++;
    return (enum slack_problem)p;
}

static void tell_state(struct slack *s)
{
    enum slack_problem p = first_problem(s);
    const char *reason = p < PROBLEM_MAX ? s->problems[p] : "";
    const char *state = p <= PROBLEM_FAILED_LAST      ? "failed"
                        : s->connected && s->bot_user ? "connected"
                                                      : "connecting";
    _cleanup_buf_ struct buf told = BUF_INIT;
    buf_printf(&told, "%s %s", state, reason);
    if (s->told && strcmp(s->told, buf_str(&told)) == 0)
        return;
    if (p <= PROBLEM_FAILED_LAST)
        log_warn("slack: %s", reason);
    free(s->told);
    s->told = buf_take(&told);
    core_set_slack_state(s->core, state, reason);
}

void slack_problem(struct slack *s, enum slack_problem p, const char *reason)
{
    if (!reason && !s->problems[p])
        return;
    free(s->problems[p]);
    s->problems[p] = reason ? strdup(reason) : NULL;
    tell_state(s);
    if (reason && s->check_timer)
        timer_start_earlier(s->check_timer, CHECK_BAD_MS);
}

void slack_connected(struct slack *s, bool connected)
{
    s->counts.losses += s->connected && !connected && !s->stopping;
    s->connected = connected;
    tell_state(s);
    catchup_link(s->catchup, connected);
}

/* ---------------------------------------------------------------- looking after the set-up */

static void check_next(struct slack *s)
{
    bool bad = first_problem(s) != PROBLEM_MAX || !s->bot_user;
    timer_start(s->check_timer, bad ? CHECK_BAD_MS : CHECK_GOOD_MS);
}

static void on_channel(void *data, const struct api_result *r)
{
    struct slack *s = data;
    const cJSON *channel = json_obj(r->body, "channel");
    _cleanup_buf_ struct buf why = BUF_INIT;
    if (r->ok && !json_bool(channel, "is_member", true) && !json_bool(channel, "is_im", false))
        slack_error_explain(&why, "not_in_channel", s->set->slack_channel);
    else if (r->ok && json_bool(channel, "is_archived", false))
        slack_error_explain(&why, "is_archived", s->set->slack_channel);
    else if (strcmp(r->code, "channel_not_found") == 0)
        slack_error_explain(&why, r->code, s->set->slack_channel);
    if (why.len)
        slack_problem(s, PROBLEM_CHANNEL, buf_str(&why));
    else if (r->ok)
        slack_problem(s, PROBLEM_CHANNEL, NULL);
    else /* it may be postable all the same: channels:read is only for this look */
        log_debug("slack: %s", r->message);
    check_next(s);
}

static void check_channel(struct slack *s)
{
    cJSON *args = cJSON_CreateObject();
    json_add_str(args, "channel", s->set->slack_channel);
    if (api_call(s->api, SLACK_CHANNEL_INFO, args, 0, on_channel, s) < 0)
        check_next(s);
}

static void on_auth(void *data, const struct api_result *r)
{
    struct slack *s = data;
    if (r->ok) {
        if (!s->bot_user)
            log_info("slack: workspace %s, app user %s", json_str(r->body, "team", "?"),
                     json_str(r->body, "user_id", "?"));
        free(s->team_url);
        s->team_url = strdup(json_str(r->body, "url", ""));
        free(s->bot_user);
        s->bot_user = strdup(json_str(r->body, "user_id", ""));
        slack_problem(s, PROBLEM_BOT, NULL);
        if (s->connected)
            slack_problem(s, PROBLEM_NETWORK, NULL);
        tell_state(s);
        outbox_kick(s->outbox);
        users_refresh(s->users);
        rebuild_ready(s->rebuild);
        catchup_ready(s->catchup);
        if (s->set->slack_channel && *s->set->slack_channel) {
            check_channel(s);
            return;
        }
    } else if (r->class == SLACK_ERROR_SERVER || r->class == SLACK_ERROR_RATE) {
        slack_problem(s, PROBLEM_NETWORK, r->message);
    } else {
        slack_problem(s, PROBLEM_BOT, r->message);
    }
    check_next(s);
}

static void on_check(void *data)
{
    struct slack *s = data;
    if (s->stopping)
        return;
    if (api_call(s->api, SLACK_AUTH_TEST, NULL, 20000, on_auth, s) < 0)
        check_next(s);
}

/* ---------------------------------------------------------------- saying something */

static void on_whisper(void *data, const struct api_result *r)
{
    (void)data;
    if (!r->ok)
        log_warn("slack: %s", r->message);
}

void slack_whisper(struct slack *s, const char *channel, const char *thread_ts, const char *user,
                   const char *text)
{
    cJSON *args = cJSON_CreateObject();
    json_add_str(args, "channel", channel);
    json_add_str(args, "user", user);
    json_add_str(args, "text", text);
    json_add_str(args, "thread_ts", thread_ts);
    int r = api_call(s->api, SLACK_POST_EPHEMERAL, args, 0, on_whisper, NULL);
    if (r < 0)
        log_warn("slack: cannot tell somebody something: %s", strerror(-r));
}

/* ---------------------------------------------------------------- what the core tells */

static void on_request_changed(void *data, const struct request *r)
{
    requests_changed(data, r);
}

static void on_session_changed(void *data, const struct session *session)
{
    struct slack *s = data;
    threads_session_changed(s->threads, session);
    stream_session_changed(s->stream, session);
}

static void on_activity(void *data, const struct activity *a)
{
    struct slack *s = data;
    said_activity(s, a);
    stream_activity(s->stream, a);
}

static void on_notice(void *data, const char *text)
{
    struct slack *s = data;
    if (!s->set->slack_channel || !*s->set->slack_channel)
        return;
    _cleanup_buf_ struct buf key = BUF_INIT, safe = BUF_INIT;
    buf_printf(&key, "notice:%" PRId64, clock_wall_ms());
    buf_puts(&safe, ":warning: ");
    (void)text_put(&safe, text, 2000, TEXT_ESCAPE);
    cJSON *args = cJSON_CreateObject();
    json_add_str(args, "text", buf_str(&safe));
    (void)outbox_put(s->outbox,
                     &(struct outgoing){ .key = buf_str(&key), .lane = "notices", .args = args });
}

static void on_links_changed(void *data)
{
    struct slack *s = data;
    struct link_state links = { 0 };
    core_links(s->core, &links);
    bool reached = links.opencode && strcmp(links.opencode, "none") != 0;
    if (reached && !s->opencode_reached) {
        intake_wake(s->intake);
        stream_reached(s->stream);
    }
    s->opencode_reached = reached;
}

static void stopped(void *data)
{
    struct slack *s = data;
    if (s->stopped)
        return;
    s->stopped = true;
    timer_stop(s->stop_timer);
    timer_stop(s->check_timer);
    sock_stop(s->sock);
    core_connector_stopped(s->core, CONNECTOR);
}

static void on_stopping(void *data, uint64_t deadline_ms)
{
    struct slack *s = data;
    s->stopping = true;
    uint64_t now = clock_mono_ms();
    uint64_t left = deadline_ms > now + STOP_RESERVE_MS ? deadline_ms - now - STOP_RESERVE_MS : 0;
    if (!s->connected || s->problems[PROBLEM_BOT]) /* nobody would hear it */
        left = 0;
    timer_start(s->stop_timer, left);
    if (left == 0)
        return;
    stream_flush(s->stream);
    threads_say_stopping(s->threads);
    outbox_flush(s->outbox, now + left, stopped, s);
}

/* ---------------------------------------------------------------- door */

static int make_api(struct slack *s)
{
    const char *given = s->set->slack_api_url;
    _cleanup_buf_ struct buf base = BUF_INIT;
    buf_puts(&base, given && *given ? given : API_BASE);
    if (base.len && base.data[base.len - 1] != '/')
        buf_putc(&base, '/');
    return base.failed ? -ENOMEM
                       : api_new(&s->api, &(struct api_settings){
                                              .loop = s->loop,
                                              .http = core_http(s->core),
                                              .base = buf_str(&base),
                                              .bot_token = s->set->slack_bot_token,
                                              .app_token = s->set->slack_app_token,
                                              .counts = &s->counts,
                                          });
}

static int make_rooms(struct slack *s, struct error *e)
{
    s->check_timer = timer_new(s->loop, on_check, s);
    s->stop_timer = timer_new(s->loop, stopped, s);
    int r = s->check_timer && s->stop_timer ? 0 : -ENOMEM;
    if (r == 0)
        r = make_api(s);
    if (r == 0)
        r = outbox_new(&s->outbox, s);
    if (r == 0)
        r = users_new(&s->users, s);
    if (r == 0)
        r = threads_new(&s->threads, s);
    if (r == 0)
        r = stream_new(&s->stream, s);
    if (r == 0)
        r = intake_new(&s->intake, s);
    if (r == 0)
        r = catchup_new(&s->catchup, s);
    if (r == 0)
        r = rebuild_new(&s->rebuild, s);
    if (r < 0)
        return error_set_errno(e, r, "cannot start the Slack connector");
    return sock_new(&s->sock, s, e);
}

static int start(struct slack *s, struct error *e)
{
    int r = make_rooms(s, e);
    if (r == 0)
        r = core_add_connector(s->core, &(struct connector){
                                            .name = CONNECTOR,
                                            .data = s,
                                            .request_changed = on_request_changed,
                                            .session_changed = on_session_changed,
                                            .activity = on_activity,
                                            .links_changed = on_links_changed,
                                            .notice = on_notice,
                                            .metrics = slack_metrics,
                                            .stopping = on_stopping,
                                        });
    if (r < 0)
        return r;
    if (!s->set->slack_channel || !*s->set->slack_channel)
        slack_problem(s, PROBLEM_NOTE,
                      "SLACK_CHANNEL_ID is not set: only sessions that were started in Slack are "
                      "shown there");
    tell_state(s);
    outbox_drop(s->outbox, "stopping:");
    timer_start(s->check_timer, 0);
    sock_start(s->sock);
    outbox_kick(s->outbox);
    return 0;
}

static bool given(const char *s)
{
    return s && *s;
}

int slack_connector_new(struct slack **ret, struct core *core, struct error *e)
{
    struct slack *s = calloc(1, sizeof *s);
    if (!s)
        return error_set_errno(e, -ENOMEM, "cannot start the Slack connector");
    s->core = core;
    s->store = core_store(core);
    s->loop = core_loop(core);
    s->set = core_settings(core);
    slack_counts_init(&s->counts);
    bool bot = given(s->set->slack_bot_token), app = given(s->set->slack_app_token);
    if (!bot && !app) {
        log_info("slack: off: no tokens are set");
        core_set_slack_state(core, "off", "no tokens: set SLACK_BOT_TOKEN and SLACK_APP_TOKEN");
    } else if (!bot || !app) {
        log_warn("slack: off: %s is missing", bot ? "SLACK_APP_TOKEN" : "SLACK_BOT_TOKEN");
        core_set_slack_state(core, "failed",
                             bot ? "SLACK_APP_TOKEN is missing: an App-Level Token (xapp-) with "
                                   "the scope connections:write"
                                 : "SLACK_BOT_TOKEN is missing: the Bot User OAuth Token (xoxb-) "
                                   "of OAuth & Permissions");
    } else {
        int r = start(s, e);
        if (r < 0) {
            slack_connector_free(s);
            return r;
        }
    }
    *ret = s;
    return 0;
}

void slack_connector_free(struct slack *s)
{
    if (!s)
        return;
    sock_free(s->sock);
    catchup_free(TAKE_PTR(s->catchup));
    rebuild_free(s->rebuild);
    users_free(s->users);
    intake_free(s->intake);
    stream_free(s->stream);
    threads_free(s->threads);
    outbox_free(s->outbox);
    api_free(s->api);
    timer_free(s->check_timer);
    timer_free(s->stop_timer);
    for (unsigned p = 0; p < PROBLEM_MAX; p++)
        free(s->problems[p]);
    free(s->team_url);
    free(s->bot_user);
    free(s->told);
    free(s);
}
