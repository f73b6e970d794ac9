#include "bridge/gateway/web/access.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/core/cleanup.h"
#include "base/core/secrets.h"

#define HOST_MAX 255

/* ---------------------------------------------------------------- host and origin */

/* Splits "name", "name:80", "[::1]:80" into name and port. False: it is none of them. */
static bool host_split(const char *host, char name[HOST_MAX + 1], const char **ret_port)
{
    const char *start = host, *end;
    if (*host == '[') {
        start = host + 1;
        end = strchr(start, ']');
        if (!end || (end[1] != '\0' && end[1] != ':'))
            return false;
        *ret_port = end[1] == ':' ? end + 2 : "";
    } else {
        end = start + strcspn(start, ":");
        *ret_port = *end ? end + 1 : "";
    }
    size_t n = (size_t)(end - start);
    if (n == 0 || n > HOST_MAX || strspn(*ret_port, "0123456789") != strlen(*ret_port))
        return false;
    memcpy(name, start, n);
    name[n] = '\0';
    if (*host != '[' && n > 1 && name[n - 1] == '.')
        name[n - 1] = '\0'; /* the same name, fully qualified */
    return true;
}

static bool is_address(const char *name)
{
    unsigned char raw[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, name, raw) == 1 || inet_pton(AF_INET6, name, raw) == 1;
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    return n > m && strcasecmp(name + n - m, suffix) == 0;
}

/* `rule`: a name, ".suffix", "*.suffix" or "*". */
static bool rule_matches(const char *rule, const char *name)
{
    if (strcmp(rule, "*") == 0)
        return true;
    if (rule[0] == '*' && rule[1] == '.')
        rule++;
    return *rule == '.' ? ends_with(name, rule) : strcasecmp(name, rule) == 0;
}

static bool list_matches(const char *list, const char *name)
{
    while (list && *list) {
        list += strspn(list, ", \t");
        size_t n = strcspn(list, ", \t");
        char rule[HOST_MAX + 1];
        if (n > 0 && n <= HOST_MAX) {
            memcpy(rule, list, n);
            rule[n] = '\0';
            if (rule_matches(rule, name))
                return true;
        }
        list += n;
    }
    return false;
}

bool access_host_allowed(const char *host, const struct access_rules *rules)
{
    /* Nobody outside can own a name below these: loopback, and services of the cluster. */
    static const char *const ours[] = { "localhost", ".localhost", ".svc", ".svc.cluster.local" };
    char name[HOST_MAX + 1];
    const char *port;
    if (!host || !host_split(host, name, &port))
        return false;
    if (is_address(name) || (rules->pod && strcasecmp(name, rules->pod) == 0))
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
        if (rule_matches(ours[i], name))
            return true;
    return list_matches(rules->allowed_hosts, name);
}

/* A scraper asks the pod's address; what comes through an ingress has the ingress's name. */
static bool asks_inside(const char *host, const struct access_rules *rules)
{
    const struct access_rules ours = { .pod = rules->pod };
    return access_host_allowed(host, &ours);
}

bool access_origin_allowed(const char *origin, const char *host)
{
    static const struct {
        const char *prefix, *port;
    } schemes[] = { { "http://", "80" }, { "https://", "443" } };
    char ours[HOST_MAX + 1], theirs[HOST_MAX + 1];
    const char *our_port, *their_port;
    if (!origin)
        return true;
    if (!host || !host_split(host, ours, &our_port))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        size_t n = strlen(schemes[i].prefix);
        if (strncasecmp(origin, schemes[i].prefix, n) != 0)
            continue;
        return host_split(origin + n, theirs, &their_port) && strcasecmp(ours, theirs) == 0 &&
               strcmp(*our_port ? our_port : schemes[i].port,
                      *their_port ? their_port : schemes[i].port) == 0;
    }
    return false;
}

/* Browsers say where a request comes from; programs say nothing. */
static bool fetch_site_ours(const char *site)
{
    return !site || strcmp(site, "same-origin") == 0 || strcmp(site, "none") == 0;
}

/* ---------------------------------------------------------------- header values */

bool access_is_json(const char *content_type)
{
    static const char json[] = "application/json";
    if (!content_type || strncasecmp(content_type, json, sizeof json - 1) != 0)
        return false;
    const char *rest = content_type + sizeof json - 1;
    rest += strspn(rest, " \t");
    return *rest == '\0' || *rest == ';';
}

bool access_cookie(const char *header, const char *name, char *out, size_t size)
{
    size_t want = strlen(name);
    for (const char *p = header; p && *p;) {
        p += strspn(p, "; \t");
        size_t n = strcspn(p, ";");
        if (n > want && p[want] == '=' && strncmp(p, name, want) == 0) {
            n -= want + 1;
            while (n > 0 && (p[want + n] == ' ' || p[want + n] == '\t'))
                n--;
            if (n >= size)
                return false;
            memcpy(out, p + want + 1, n);
            out[n] = '\0';
            return true;
        }
        p += n;
    }
    return false;
}

static int base64_digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Strict, without white space; NUL-terminated. False: malformed, or too long for `size`. */
static bool base64_decode(const char *s, char *out, size_t size)
{
    size_t len = strlen(s), n = 0;
    while (len > 0 && s[len - 1] == '=')
        len--;
    if (strlen(s) - len > 2 || len * 3 / 4 >= size || len % 4 == 1)
        return false;
    unsigned bits = 0, count = 0;
    for (size_t i = 0; i < len; i++) {
        int d = base64_digit(s[i]);
        if (d < 0)
            return false;
        bits = (bits << 6 | (unsigned)d) & 0xffff;
        count += 6;
        if (count < 8)
            continue;
        count -= 8;
        out[n] = (char)(bits >> count & 0xff);
        if (out[n++] == '\0')
            return false;
    }
    out[n] = '\0';
    return true;
}

/* ---------------------------------------------------------------- credentials */

#define UNGUESSABLE 24 /* characters */

/* While a peer is blocked even the right secret is refused, else guessing could go on. Not so for
 * one that is too long to be guessed: nobody shall be able to lock others out of it. */
static bool secret_right(const char *given, const char *expected, bool blocked)
{
    if (!expected || !*expected || !secret_equal(given, expected))
        return false;
    return !blocked || strlen(expected) >= UNGUESSABLE;
}

static int refuse(struct access_result *ret, int status, const char *code, const char *message)
{
    ret->code = code;
    ret->message = message;
    return status;
}

static int credentials_wrong(const char *peer, struct limiter *limiter, int64_t now_ms,
                             struct access_result *ret)
{
    ret->retry_after_s = limiter_wait_s(limiter, peer, now_ms);
    if (ret->retry_after_s > 0)
        return refuse(ret, 429, "too_many_attempts",
                      "too many wrong tokens from this address; wait a minute");
    limiter_failed(limiter, peer, now_ms);
    return refuse(ret, 401, "unauthorized", "the token or password is wrong");
}

int access_check_token(const char *given, const struct access_rules *rules, const char *peer,
                       struct limiter *limiter, int64_t now_ms, struct access_result *ret)
{
    bool blocked = limiter_wait_s(limiter, peer, now_ms) > 0;
    if (secret_right(given, rules->token, blocked))
        return 0;
    return credentials_wrong(peer, limiter, now_ms, ret);
}

static bool basic_right(const char *encoded, const struct access_rules *rules, bool blocked)
{
    char pair[1024];
    if (!base64_decode(encoded, pair, sizeof pair))
        return false;
    char *password = strchr(pair, ':');
    if (!password)
        return false;
    *password++ = '\0';
    const char *user = rules->user && *rules->user ? rules->user : "opencode";
    bool user_right = secret_equal(pair, user);
    bool right = secret_right(password, rules->password, blocked) && user_right;
    explicit_bzero(pair, sizeof pair);
    return right;
}

static bool authorization_right(const char *value, const struct access_rules *rules, bool blocked)
{
    size_t n = strcspn(value, " ");
    const char *rest = value + n + strspn(value + n, " ");
    if (n == 6 && strncasecmp(value, "bearer", n) == 0)
        return secret_right(rest, rules->token, blocked);
    if (n == 5 && strncasecmp(value, "basic", n) == 0)
        return basic_right(rest, rules, blocked);
    return false;
}

static const struct login *cookie_login(const struct access_head *head, struct logins *logins,
                                        int64_t now_ms)
{
    char key[SECRET_TEXT_SIZE];
    if (!access_cookie(head->cookie, ACCESS_COOKIE, key, sizeof key))
        return NULL;
    return logins_find(logins, key, now_ms);
}

static int check_cookie_change(const struct access_head *head, const struct login *login,
                               struct access_result *ret)
{
    bool same = head->origin || (head->fetch_site && strcmp(head->fetch_site, "same-origin") == 0);
    bool by_script = head->requested_with || access_is_json(head->content_type);
    if (!same || !by_script)
        return refuse(ret, 403, "cross_site", "a login only works from the gateway's own page");
    if (!head->proof || !secret_equal(head->proof, login->proof))
        return refuse(ret, 403, "no_proof", "this page does not hold the login; log in again");
    return 0;
}

static int check_who(const struct access_head *head, const struct access_rules *rules,
                     const struct route *route, struct logins *logins, struct limiter *limiter,
                     int64_t now_ms, struct access_result *ret)
{
    if (head->authorization) {
        bool blocked = limiter_wait_s(limiter, head->peer, now_ms) > 0;
        ret->by_token = authorization_right(head->authorization, rules, blocked);
        return ret->by_token ? 0 : credentials_wrong(head->peer, limiter, now_ms, ret);
    }
    ret->login = cookie_login(head, logins, now_ms);
    if (!ret->login)
        return refuse(ret, 401, "unauthorized",
                      "log in, or send the gateway's token as a bearer token");
    return route->access == ACCESS_CHANGE ? check_cookie_change(head, ret->login, ret) : 0;
}

int access_check(const struct access_head *head, const struct access_rules *rules,
                 const struct route *route, struct logins *logins, struct limiter *limiter,
                 int64_t now_ms, struct access_result *ret)
{
    *ret = (struct access_result){ 0 };
    if (!access_host_allowed(head->host, rules))
        return refuse(ret, 403, "host_not_allowed",
                      "this host name is not allowed; add it to CODEV_ALLOWED_HOSTS");
    if (!access_origin_allowed(head->origin, head->host))
        return refuse(ret, 403, "origin_not_allowed", "the Origin is not the gateway's own");
    if (route->access == ACCESS_INSIDE && !asks_inside(head->host, rules))
        return refuse(ret, 403, "not_from_outside",
                      "ask the pod by its address, not by the name that people use");
    if (route->access == ACCESS_OPEN || route->access == ACCESS_INSIDE)
        return 0;
    if (!fetch_site_ours(head->fetch_site))
        return refuse(ret, 403, "cross_site", "requests of other sites are refused");
    int r = route->access == ACCESS_LOGIN
                ? 0
                : check_who(head, rules, route, logins, limiter, now_ms, ret);
    if (r == 0 && route->json && !access_is_json(head->content_type))
        return refuse(ret, 415, "not_json", "the body must be application/json");
    return r;
}
