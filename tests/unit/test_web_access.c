/* rooms: bridge/gateway/web bridge/gateway/store base/json base/core */
/* Who may come in: routes, Host, Origin, cookies, credentials, logins and their limit. */
#include "bridge/gateway/web/access.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/cleanup.h"
#include "base/core/error.h"
#include "bridge/gateway/store/store.h"
#include "tests/unit/run_suite.h"

#define TOKEN "a-token-that-is-long-enough-to-be-unguessable"
#define NOW   ((int64_t)1700000000000)

static struct limiter limiter;
static struct logins logins;
static struct store *store;

static void setup(void)
{
    struct error e = ERROR_INIT;
    char *note = NULL;
    limiter = (struct limiter){ 0 };
    ck_assert_int_eq(store_open(&store, NULL, &note, &e), 0);
    free(note);
    logins_init(&logins, store, TOKEN, NOW);
}

static void teardown(void)
{
    store_close(store);
    store = NULL;
}

/* ---------------------------------------------------------------- routes */

static const struct {
    enum server_method method;
    const char *path;
    int status;
    enum route_id id;
    const char *text; /* the parameter, or for 405 what is allowed */
} routes[] = {
    { SERVER_GET, "/", 0, ROUTE_PAGE, "" },
    { SERVER_HEAD, "/app.css", 0, ROUTE_STYLE, "" },
    { SERVER_GET, "/api/sessions", 0, ROUTE_SESSIONS, "" },
    { SERVER_POST, "/api/sessions", 0, ROUTE_SESSION_START, "" },
    { SERVER_GET, "/api/sessions/ses_1", 0, ROUTE_SESSION, "ses_1" },
    { SERVER_POST, "/api/sessions/ses_1/messages", 0, ROUTE_SESSION_MESSAGE, "ses_1" },
    { SERVER_POST, "/api/sessions/ses_1/abort", 0, ROUTE_SESSION_ABORT, "ses_1" },
    { SERVER_POST, "/api/requests/per_1/decision", 0, ROUTE_DECISION, "per_1" },
    { SERVER_GET, "/api/focus", 0, ROUTE_FOCUS, "" },
    { SERVER_POST, "/api/focus", 0, ROUTE_FOCUS_SET, "" },
    { SERVER_POST, "/api/activity", 0, ROUTE_ACTIVITY, "" },
    { SERVER_GET, "/api/sessions/a b\xc3\xa4", 0, ROUTE_SESSION, "a b\xc3\xa4" },
    { SERVER_GET, "/api/sessions/", 404, ROUTE_MAX, "" },
    { SERVER_GET, "/api/sessions/x/", 404, ROUTE_MAX, "" },
    { SERVER_GET, "/api/sessions/x/y", 404, ROUTE_MAX, "" },
    { SERVER_GET, "/api/sessionsx", 404, ROUTE_MAX, "" },
    { SERVER_GET, "/api/session", 404, ROUTE_MAX, "" },
    { SERVER_GET, "", 404, ROUTE_MAX, "" },
    { SERVER_GET, "//", 404, ROUTE_MAX, "" },
    { SERVER_GET, "/API/sessions", 404, ROUTE_MAX, "" },
    { SERVER_GET, "/api/requests/per_1/decision", 405, ROUTE_MAX, "POST" },
    { SERVER_DELETE, "/api/sessions", 405, ROUTE_MAX, "GET, HEAD, POST" },
    { SERVER_OPTIONS, "/api/events", 405, ROUTE_MAX, "GET, HEAD" },
    { SERVER_METHOD_OTHER, "/", 405, ROUTE_MAX, "GET, HEAD" },
};

START_TEST(a_path_finds_its_route)
{
    struct route_match m;
    ck_assert_int_eq(route_find(routes[_i].method, routes[_i].path, &m), routes[_i].status);
    ck_assert_int_eq((int)m.id, (int)routes[_i].id);
    ck_assert_str_eq(routes[_i].status == 405 ? m.allow : m.param, routes[_i].text);
}
END_TEST

START_TEST(a_parameter_is_bounded)
{
    struct route_match m;
    char path[400] = "/api/sessions/";
    size_t start = strlen(path);
    memset(path + start, 'x', ROUTE_PARAM_MAX);
    ck_assert_int_eq(route_find(SERVER_GET, path, &m), 0);
    ck_assert_uint_eq(strlen(m.param), ROUTE_PARAM_MAX);
    path[start + ROUTE_PARAM_MAX] = 'x';
    ck_assert_int_eq(route_find(SERVER_GET, path, &m), 404);
}
END_TEST

START_TEST(whatever_changes_something_needs_more_than_reading)
{
    for (int i = 0; i < ROUTE_MAX; i++) {
        ck_assert_ptr_nonnull(route_table[i].pattern);
        if (route_table[i].method != SERVER_GET && i != ROUTE_LOGIN)
            ck_assert_int_eq((int)route_table[i].access, (int)ACCESS_CHANGE);
    }
}
END_TEST

/* ---------------------------------------------------------------- host and origin */

static const struct access_rules rules = {
    .token = TOKEN,
    .user = "opencode",
    .password = "pass:word-that-is-long-enough-as-well",
    .pod = "codev-0",
    .allowed_hosts = "codev.example, .team.example,*.lab.example",
};

static const struct {
    const char *host;
    bool allowed;
} hosts[] = {
    { "localhost", true },
    { "LOCALHOST:8000", true },
    { "a.localhost", true },
    { "127.0.0.1:8000", true },
    { "10.1.2.3", true },
    { "[::1]:8000", true },
    { "[fe80::1]", true },
    { "codev-0:8000", true },
    { "codev.ns.svc", true },
    { "codev.ns.svc.cluster.local:8000", true },
    { "codev.example", true },
    { "codev.example.", true },
    { "a.team.example", true },
    { "b.c.lab.example:443", true },
    { "team.example", false },
    { ".team.example", false },
    { ".localhost", false },
    { "xteam.example", false },
    { "evil.example", false },
    { "localhost.evil.example", false },
    { "127.0.0.1.evil.example", false },
    { "codev-0.evil.example", false },
    { "svc", false },
    { "127.0.0.1@evil.example", false },
    { "evil.example:80@localhost", false },
    { "localhost:80x", false },
    { "[::1", false },
    { "[::1]x", false },
    { "[evil.example]", false },
    { "*", false },
    { ":8000", false },
    { "", false },
    { NULL, false },
};

START_TEST(only_our_own_names_are_allowed)
{
    ck_assert_msg(access_host_allowed(hosts[_i].host, &rules) == hosts[_i].allowed, "%s",
                  hosts[_i].host);
}
END_TEST

START_TEST(a_long_host_is_refused_and_a_star_allows_all)
{
    char host[600];
    struct access_rules star = rules;
    memset(host, 'a', sizeof host - 1);
    host[sizeof host - 1] = '\0';
    star.allowed_hosts = "*";
    ck_assert(!access_host_allowed(host, &rules));
    ck_assert(!access_host_allowed(host, &star));
    ck_assert(access_host_allowed("evil.example", &star));
    star.allowed_hosts = host;
    ck_assert(!access_host_allowed("evil.example", &star));
    star.allowed_hosts = " ,, ";
    ck_assert(!access_host_allowed("evil.example", &star));
}
END_TEST

static const struct {
    const char *origin, *host;
    bool allowed;
} origins[] = {
    { NULL, "a.example", true },
    { "http://a.example", "a.example", true },
    { "https://A.example", "a.EXAMPLE", true },
    { "https://a.example", "a.example:443", true },
    { "http://a.example:80", "a.example", true },
    { "http://127.0.0.1:8000", "127.0.0.1:8000", true },
    { "http://[::1]:8000", "[::1]:8000", true },
    { "http://127.0.0.1:3000", "127.0.0.1:8000", false },
    { "http://a.example", "a.example:8000", false },
    { "http://a.example.evil.example", "a.example", false },
    { "http://evil.example", "a.example", false },
    { "http://a.example/", "a.example", false },
    { "http://a.example:80:80", "a.example", false },
    { "null", "a.example", false },
    { "", "a.example", false },
    { "http://", "a.example", false },
    { "ftp://a.example", "a.example", false },
    { "a.example", "a.example", false },
    { "http://a.example", NULL, false },
};

START_TEST(an_origin_must_be_our_own)
{
    ck_assert_msg(access_origin_allowed(origins[_i].origin, origins[_i].host) ==
                      origins[_i].allowed,
                  "%s on %s", origins[_i].origin, origins[_i].host);
}
END_TEST

/* ---------------------------------------------------------------- header values */

static const struct {
    const char *type;
    bool json;
} types[] = {
    { "application/json", true },
    { "Application/JSON; charset=utf-8", true },
    { "application/json ;x", true },
    { "application/jsonx", false },
    { "text/plain", false },
    { "application/x-www-form-urlencoded", false },
    { "", false },
    { NULL, false },
};

START_TEST(only_json_is_json)
{
    ck_assert(access_is_json(types[_i].type) == types[_i].json);
}
END_TEST

static const struct {
    const char *header, *value; /* NULL: absent */
} cookies[] = {
    { "codev_login=abc", "abc" },
    { "a=b; codev_login=abc; c=d", "abc" },
    { "a=b;codev_login=abc ;c", "abc" },
    { "codev_login=", "" },
    { "xcodev_login=abc", NULL },
    { "codev_loginx=abc", NULL },
    { "a=codev_login=abc", NULL },
    { "codev_login", NULL },
    { "codev_login=0123456789012345678", NULL }, /* too long */
    { ";;; ;", NULL },
    { "", NULL },
    { NULL, NULL },
};

START_TEST(a_cookie_is_found_by_its_whole_name)
{
    char out[16] = "?";
    bool found = access_cookie(cookies[_i].header, ACCESS_COOKIE, out, sizeof out);
    ck_assert(found == (cookies[_i].value != NULL));
    if (found)
        ck_assert_str_eq(out, cookies[_i].value);
}
END_TEST

/* ---------------------------------------------------------------- credentials */

static const struct {
    const char *authorization;
    bool right;
} credentials[] = {
    { "Bearer " TOKEN, true },
    { "bearer   " TOKEN, true },
    /* opencode:pass:word-that-is-long-enough-as-well */
    { "Basic b3BlbmNvZGU6cGFzczp3b3JkLXRoYXQtaXMtbG9uZy1lbm91Z2gtYXMtd2VsbA==", true },
    { "Basic b3BlbmNvZGU6cGFzczp3b3JkLXRoYXQtaXMtbG9uZy1lbm91Z2gtYXMtd2VsbA", true },
    { "Basic cm9vdDpwYXNzOndvcmQtdGhhdC1pcy1sb25nLWVub3VnaC1hcy13ZWxs", false }, /* root:… */
    { "Basic b3BlbmNvZGU6cGFzcw==", false },                                     /* …:pass */
    { "Basic b3BlbmNvZGU=", false },                                             /* no colon */
    { "Basic b3BlbmNvZGU6", false },                                             /* no password */
    { "Basic !!!!", false },
    { "Basic AAAA", false }, /* NULs */
    { "Basic =", false },
    { "Basic", false },
    { "Bearer", false },
    { "Bearer ", false },
    { "Bearer " TOKEN "x", false },
    { "Bearer a-token", false },
    { "Token " TOKEN, false },
    { TOKEN, false },
    { "", false },
};

static int check(struct access_head head, enum route_id route, struct access_result *ret)
{
    struct access_result unused;
    if (!head.host)
        head.host = "localhost:8000";
    if (!head.peer)
        head.peer = "10.0.0.1";
    return access_check(&head, &rules, &route_table[route], &logins, &limiter, NOW,
                        ret ? ret : &unused);
}

START_TEST(credentials_are_checked)
{
    struct access_head head = { .authorization = credentials[_i].authorization };
    struct access_result who;
    ck_assert_int_eq(check(head, ROUTE_SESSIONS, &who), credentials[_i].right ? 0 : 401);
    ck_assert(who.by_token == credentials[_i].right);
}
END_TEST

START_TEST(empty_secrets_let_nobody_in)
{
    struct access_rules none = { .token = "", .user = "", .password = "", .pod = "p" };
    static const char *const tries[] = { "Bearer ", "Bearer", "Basic b3BlbmNvZGU6", "Basic Og==" };
    for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
        struct access_head head = { .host = "localhost", .peer = "p", .authorization = tries[i] };
        struct access_result who;
        ck_assert_int_eq(
            access_check(&head, &none, &route_table[ROUTE_SESSIONS], &logins, &limiter, NOW, &who),
            401);
    }
    none.password = NULL;
    none.token = NULL;
    struct access_head head = { .host = "localhost", .peer = "p", .authorization = "Bearer " };
    struct access_result who;
    ck_assert_int_eq(
        access_check(&head, &none, &route_table[ROUTE_SESSIONS], &logins, &limiter, NOW, &who),
        401);
}
END_TEST

/* A head with the cookie of a fresh login. */
static struct access_head with_cookie(char line[128], const struct login **login)
{
    ck_assert_int_eq(logins_add(&logins, "Ann", NOW, login), 0);
    (void)snprintf(line, 128, "other=1; %s=%s", ACCESS_COOKIE, (*login)->key);
    return (struct access_head){ .cookie = line };
}

START_TEST(a_cookie_reads)
{
    char line[128];
    const struct login *login;
    struct access_result who;
    struct access_head head = with_cookie(line, &login);
    ck_assert_int_eq(check(head, ROUTE_SESSIONS, &who), 0);
    ck_assert_ptr_eq(who.login, login);
    ck_assert(!who.by_token);
    head.fetch_site = "same-site"; /* another port of this host */
    ck_assert_int_eq(check(head, ROUTE_SESSIONS, &who), 403);
    head.fetch_site = "cross-site";
    ck_assert_int_eq(check(head, ROUTE_EVENTS, &who), 403);
    line[strlen(line) - 1] ^= 1;
    head.fetch_site = NULL;
    ck_assert_int_eq(check(head, ROUTE_SESSIONS, &who), 401);
}
END_TEST

START_TEST(a_cookie_changes_something_only_with_all_the_rest)
{
    char line[128];
    const struct login *login;
    struct access_head good = with_cookie(line, &login);
    good.origin = "http://localhost:8000";
    good.content_type = "application/json";
    good.proof = login->proof;
    ck_assert_int_eq(check(good, ROUTE_DECISION, NULL), 0);
    struct access_head bad = good;
    bad.proof = NULL;
    ck_assert_int_eq(check(bad, ROUTE_DECISION, NULL), 403);
    bad.proof = login->key; /* what a server on another port can see */
    ck_assert_int_eq(check(bad, ROUTE_DECISION, NULL), 403);
    bad = good;
    bad.origin = NULL;
    ck_assert_int_eq(check(bad, ROUTE_DECISION, NULL), 403);
    bad.fetch_site = "same-origin";
    ck_assert_int_eq(check(bad, ROUTE_DECISION, NULL), 0);
    bad.fetch_site = "none";
    ck_assert_int_eq(check(bad, ROUTE_DECISION, NULL), 403);
    bad = good;
    bad.origin = "http://localhost:3000";
    ck_assert_int_eq(check(bad, ROUTE_DECISION, NULL), 403);
    bad = good;
    bad.content_type = NULL;
    ck_assert_int_eq(check(bad, ROUTE_DECISION, NULL), 403);
    ck_assert_int_eq(check(bad, ROUTE_SESSION_ABORT, NULL), 403);
    bad.requested_with = "codev";
    ck_assert_int_eq(check(bad, ROUTE_SESSION_ABORT, NULL), 0);
    ck_assert_int_eq(check(bad, ROUTE_DECISION, NULL), 415);
}
END_TEST

START_TEST(a_wrong_credential_beside_a_good_cookie_is_wrong)
{
    char line[128];
    const struct login *login;
    struct access_head head = with_cookie(line, &login);
    head.authorization = "Bearer wrong";
    ck_assert_int_eq(check(head, ROUTE_SESSIONS, NULL), 401);
}
END_TEST

START_TEST(open_routes_ask_for_nothing_but_the_host)
{
    static const enum route_id open[] = { ROUTE_PAGE,   ROUTE_LOGIN_PAGE, ROUTE_STYLE,
                                          ROUTE_SCRIPT, ROUTE_HEALTH,     ROUTE_OPENAPI };
    for (size_t i = 0; i < ARRAY_SIZE(open); i++) {
        ck_assert_int_eq(check((struct access_head){ 0 }, open[i], NULL), 0);
        ck_assert_int_eq(check((struct access_head){ .fetch_site = "cross-site" }, open[i], NULL),
                         0);
        ck_assert_int_eq(check((struct access_head){ .host = "evil.example" }, open[i], NULL), 403);
    }
    struct access_head login = { .content_type = "application/json" };
    ck_assert_int_eq(check(login, ROUTE_LOGIN, NULL), 0);
    login.origin = "http://evil.example";
    ck_assert_int_eq(check(login, ROUTE_LOGIN, NULL), 403);
    login = (struct access_head){ .content_type = "text/plain" };
    ck_assert_int_eq(check(login, ROUTE_LOGIN, NULL), 415);
}
END_TEST

static const struct {
    const char *host;
    int status;
} scraped[] = {
    { "10.1.2.3:8000", 0 },    { "[::1]:8000", 0 },       { "localhost:8000", 0 },
    { "codev-0:8000", 0 },     { "codev-hub.ai.svc", 0 }, { "codev.example", 403 },
    { "a.team.example", 403 }, { "evil.example", 403 },   { "", 403 },
};

START_TEST(metrics_are_told_inside_alone)
{
    struct access_head head = { .host = scraped[_i].host };
    struct access_result who;
    ck_assert_int_eq(check(head, ROUTE_METRICS, &who), scraped[_i].status);
    head.authorization = "Bearer " TOKEN; /* it is no matter of who asks */
    ck_assert_int_eq(check(head, ROUTE_METRICS, &who), scraped[_i].status);
}
END_TEST

/* ---------------------------------------------------------------- limit */

START_TEST(ten_failures_then_wait)
{
    struct access_head head = { .authorization = "Bearer wrong" };
    struct access_result who;
    for (int i = 0; i < LIMITER_FAILURES; i++)
        ck_assert_int_eq(check(head, ROUTE_SESSIONS, &who), 401);
    ck_assert_int_eq(check(head, ROUTE_SESSIONS, &who), 429);
    ck_assert_uint_eq(who.retry_after_s, 60);
    head.peer = "10.0.0.2";
    ck_assert_int_eq(check(head, ROUTE_SESSIONS, &who), 401);
    ck_assert_uint_eq(limiter_wait_s(&limiter, "10.0.0.1", NOW + 59500), 1);
    ck_assert_uint_eq(limiter_wait_s(&limiter, "10.0.0.1", NOW + 60000), 0);
    ck_assert_uint_eq(limiter_wait_s(&limiter, "10.0.0.1", NOW - 1), 0); /* the clock was set */
}
END_TEST

START_TEST(while_blocked_only_an_unguessable_secret_passes)
{
    struct access_rules weak = rules;
    struct access_result who;
    weak.token = "short";
    for (int i = 0; i < LIMITER_FAILURES; i++)
        ck_assert_int_eq(access_check_token("wrong", &weak, "p", &limiter, NOW, &who), 401);
    ck_assert_int_eq(access_check_token("short", &weak, "p", &limiter, NOW, &who), 429);
    ck_assert_int_eq(access_check_token("short", &weak, "q", &limiter, NOW, &who), 0);
    ck_assert_int_eq(access_check_token(TOKEN, &rules, "p", &limiter, NOW, &who), 0);
}
END_TEST

START_TEST(many_addresses_do_not_grow_it_and_do_not_free_the_newest)
{
    char peer[32];
    for (int i = 0; i < 5 * LIMITER_ROWS; i++) {
        (void)snprintf(peer, sizeof peer, "10.1.%d.%d", i / 250, i % 250);
        limiter_failed(&limiter, peer, NOW + i);
    }
    for (int i = 0; i < LIMITER_FAILURES - 1; i++)
        limiter_failed(&limiter, peer, NOW + 5 * LIMITER_ROWS);
    ck_assert_uint_gt(limiter_wait_s(&limiter, peer, NOW + 5 * LIMITER_ROWS), 0);
}
END_TEST

/* ---------------------------------------------------------------- logins */

START_TEST(logins_outlive_a_restart_but_not_their_token)
{
    static struct logins again;
    const struct login *login;
    char key[SECRET_TEXT_SIZE];
    ck_assert_int_eq(logins_add(&logins, "J\xc3\xbcrgen", NOW, &login), 0);
    memcpy(key, login->key, sizeof key);
    ck_assert_str_ne(login->key, login->proof);
    logins_init(&again, store, TOKEN, NOW + 1000);
    login = logins_find(&again, key, NOW + 1000);
    ck_assert_ptr_nonnull(login);
    ck_assert_str_eq(login->name, "J\xc3\xbcrgen");
    logins_init(&again, store, TOKEN "2", NOW + 1000);
    ck_assert_ptr_null(logins_find(&again, key, NOW + 1000));
    logins_init(&again, store, TOKEN, NOW + LOGIN_LIFE_MS + 1);
    ck_assert_ptr_null(logins_find(&again, key, NOW + LOGIN_LIFE_MS + 1));
    ck_assert_ptr_null(logins_find(&logins, key, NOW + LOGIN_LIFE_MS + 1));
}
END_TEST

START_TEST(a_login_that_was_ended_is_gone_for_good)
{
    static struct logins again;
    const struct login *a, *b;
    char key_a[SECRET_TEXT_SIZE], key_b[SECRET_TEXT_SIZE];
    ck_assert_int_eq(logins_add(&logins, "", NOW, &a), 0);
    memcpy(key_a, a->key, sizeof key_a);
    ck_assert_int_eq(logins_add(&logins, "", NOW, &b), 0);
    memcpy(key_b, b->key, sizeof key_b);
    logins_remove(&logins, logins_find(&logins, key_a, NOW)->number);
    logins_init(&again, store, TOKEN, NOW);
    ck_assert_ptr_null(logins_find(&again, key_a, NOW));
    ck_assert_ptr_nonnull(logins_find(&again, key_b, NOW));
}
END_TEST

START_TEST(the_oldest_login_goes_for_a_new_one)
{
    const struct login *login;
    char first[SECRET_TEXT_SIZE], second[SECRET_TEXT_SIZE];
    for (int i = 0; i < LOGINS_MAX + 1; i++) {
        ck_assert_int_eq(logins_add(&logins, "", NOW + i, &login), 0);
        if (i < 2)
            memcpy(i ? second : first, login->key, sizeof first);
    }
    ck_assert_uint_eq(logins.count, LOGINS_MAX);
    ck_assert_ptr_null(logins_find(&logins, first, NOW));
    ck_assert_ptr_nonnull(logins_find(&logins, second, NOW));
}
END_TEST

static const char *const broken_stores[] = {
    "", "{", "[]", "{\"mark\":1}", "{\"mark\":\"x\",\"logins\":[{}]}", "{\"logins\":[{\"key\":1}]}",
};

START_TEST(a_broken_store_is_no_login)
{
    static struct logins again;
    ck_assert_int_eq(store_put(store, "web.logins", broken_stores[_i]), 0);
    logins_init(&again, store, TOKEN, NOW);
    ck_assert_uint_eq(again.count, 0);
    ck_assert_ptr_null(logins_find(&again, "", NOW));
}
END_TEST

static void add_tests(TCase *t)
{
    tcase_add_loop_test(t, a_path_finds_its_route, 0, ARRAY_SIZE(routes));
    tcase_add_test(t, a_parameter_is_bounded);
    tcase_add_test(t, whatever_changes_something_needs_more_than_reading);
    tcase_add_loop_test(t, only_our_own_names_are_allowed, 0, ARRAY_SIZE(hosts));
    tcase_add_test(t, a_long_host_is_refused_and_a_star_allows_all);
    tcase_add_loop_test(t, an_origin_must_be_our_own, 0, ARRAY_SIZE(origins));
    tcase_add_loop_test(t, only_json_is_json, 0, ARRAY_SIZE(types));
    tcase_add_loop_test(t, a_cookie_is_found_by_its_whole_name, 0, ARRAY_SIZE(cookies));
    tcase_add_loop_test(t, credentials_are_checked, 0, ARRAY_SIZE(credentials));
    tcase_add_test(t, empty_secrets_let_nobody_in);
    tcase_add_test(t, a_cookie_reads);
    tcase_add_test(t, a_cookie_changes_something_only_with_all_the_rest);
    tcase_add_test(t, a_wrong_credential_beside_a_good_cookie_is_wrong);
    tcase_add_test(t, open_routes_ask_for_nothing_but_the_host);
    tcase_add_loop_test(t, metrics_are_told_inside_alone, 0, ARRAY_SIZE(scraped));
    tcase_add_test(t, ten_failures_then_wait);
    tcase_add_test(t, while_blocked_only_an_unguessable_secret_passes);
    tcase_add_test(t, many_addresses_do_not_grow_it_and_do_not_free_the_newest);
    tcase_add_test(t, logins_outlive_a_restart_but_not_their_token);
    tcase_add_test(t, a_login_that_was_ended_is_gone_for_good);
    tcase_add_test(t, the_oldest_login_goes_for_a_new_one);
    tcase_add_loop_test(t, a_broken_store_is_no_login, 0, ARRAY_SIZE(broken_stores));
}

int main(void)
{
    Suite *s = suite_create("web_access");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, setup, teardown);
    add_tests(t);
    suite_add_tcase(s, t);
    return run_suite(s);
}
