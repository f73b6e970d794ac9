/* Login and logout of browsers. */
#include <inttypes.h>
#include <stdio.h>

#include "base/core/cleanup.h"
#include "base/core/clock.h"
#include "base/core/jsonw.h"
#include "base/core/log.h"
#include "base/core/ticket.h"
#include "bridge/gateway/web/internal.h"

/* Of one line, "" when the value is empty: the browser then forgets the cookie. */
static void cookie_line(char *out, size_t size, const struct call *c, const char *value)
{
    int64_t life_s = *value ? LOGIN_LIFE_MS / 1000 : 0;
    (void)snprintf(out, size,
                   "Set-Cookie: %s=%s; Path=/; Max-Age=%" PRId64 "; HttpOnly; SameSite=Strict%s",
                   ACCESS_COOKIE, value, life_s, c->secure ? "; Secure" : "");
}

static void answer_login(struct call *c, const struct login *login)
{
    _cleanup_buf_ struct buf out = BUF_INIT;
    struct jsonw w = JSONW_INIT(&out);
    char cookie[256];
    jsonw_object(&w, NULL);
    jsonw_bool(&w, "ok", true);
    jsonw_str(&w, "proof", login->proof);
    jsonw_str(&w, "name", login->name);
    jsonw_object_end(&w);
    cookie_line(cookie, sizeof cookie, c, login->key);
    answer_json_with(c, 200, &out, cookie);
}

void login_post(struct call *c)
{
    struct web *w = c->web;
    struct body_login body;
    struct body_error e = { 0 };
    const struct login *login;
    _cleanup_json_ cJSON *j = call_body(c);
    if (!j)
        return;
    if (body_read_login(j, &body, &e) < 0) {
        answer_error(c, e.status, e.code, e.e.message);
        return;
    }
    /* The token, or a link of `codevctl open`, which works once. */
    int status = ticket_use(core_settings(w->core)->runtime_dir, body.token)
                     ? 0
                     : access_check_token(body.token, &w->rules, server_request_peer(c->request),
                                          &w->limiter, clock_wall_ms(), &c->who);
    if (status != 0) {
        if (status == 401) /* past the limit it would only fill the log */
            log_warn("a login from %s was refused", server_request_peer(c->request));
        answer_refused(c, status);
        return;
    }
    if (logins_add(&w->logins, body.name ? body.name : "", clock_wall_ms(), &login) < 0) {
        answer_error(c, 500, "no_login", "a login cannot be made now");
        return;
    }
    struct actor actor = { .connector = "web", .id = login->name, .name = login->name };
    core_audit(w->core, &actor, "login", server_request_peer(c->request), "");
    core_web_activity(w->core);
    answer_login(c, login);
}

void logout_post(struct call *c)
{
    static const char ok[] = "{\"ok\":true}";
    _cleanup_buf_ struct buf out = BUF_INIT;
    char cookie[256];
    buf_puts(&out, ok);
    if (c->who.login) {
        uint64_t number = c->who.login->number;
        c->who.login = NULL;
        logins_remove(&c->web->logins, number);
        events_end_login(&c->web->events, number);
        logs_end_login(c->web, number);
    }
    cookie_line(cookie, sizeof cookie, c, "");
    answer_json_with(c, 200, &out, cookie);
}
