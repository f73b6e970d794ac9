/* Who may come in. Everything here works on strings, without sockets.
 *
 * A program shows the gateway's token (Bearer) or OpenCode's user and password (Basic). A browser
 * shows the cookie of its login. Cookies know no ports: whatever else listens on this host name,
 * the agent's own servers among them, is sent our cookie too. So a cookie alone lets nobody change
 * anything: the page also sends the login's `proof`, which it keeps where only our origin can read
 * it, and the request must come from our own origin.
 *
 * DNS rebinding: a foreign name that points to our address is refused by the Host header. */
#pragma once

#include "bridge/gateway/web/login.h"
#include "bridge/gateway/web/route.h"

/* Of one request; NULL when absent. */
struct access_head {
    const char *host, *origin, *fetch_site, *requested_with;
    const char *authorization, *cookie, *proof, *content_type;
    const char *peer;
};

struct access_rules {
    const char *token;           /* "" or NULL: nobody has it */
    const char *user, *password; /* OpenCode's; no password: no Basic */
    const char *pod;
    const char *allowed_hosts; /* "a.example, .b.example, *"; NULL: none */
};

struct access_result {
    const char *code, *message; /* of a refusal; static text */
    unsigned retry_after_s;     /* with 429 */
    bool by_token;              /* Bearer or Basic; else the login, or nobody */
    const struct login *login;  /* of a cookie; valid until the logins change */
};

/* 0, or the HTTP status to refuse with. Failed credentials are counted in `limiter`. */
int access_check(const struct access_head *head, const struct access_rules *rules,
                 const struct route *route, struct logins *logins, struct limiter *limiter,
                 int64_t now_ms, struct access_result *ret);

/* The token of a login, with the same limits. 0, 401 or 429. */
int access_check_token(const char *given, const struct access_rules *rules, const char *peer,
                       struct limiter *limiter, int64_t now_ms, struct access_result *ret);

/* ---- parts ---- */
bool access_host_allowed(const char *host, const struct access_rules *rules);
/* No Origin, or one that names this Host. */
bool access_origin_allowed(const char *origin, const char *host);
/* "application/json", whatever its parameters. */
bool access_is_json(const char *content_type);
/* Copies the value of a cookie. False: absent, or longer than `size` - 1. */
bool access_cookie(const char *header, const char *name, char *out, size_t size);

#define ACCESS_COOKIE "codev_login"
