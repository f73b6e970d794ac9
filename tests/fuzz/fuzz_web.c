/* rooms: bridge/gateway/web bridge/gateway/store base/json base/core */
/* The API: who may come in by what the head says, and the bodies. Each line of the head is a line
 * of the input; the first byte chooses what the body is read as. */
#include "base/core/utf8.h"
#include "bridge/gateway/web/access.h"
#include "bridge/gateway/web/body.h"
#include "tests/fuzz/fuzz.h"

#define TOKEN    "a-token-that-nobody-guesses-in-a-test"
#define PASSWORD "a-password-that-nobody-guesses-either"

static void check_text(const char *s, size_t most)
{
    REQUIRE(!s || (*s && utf8_valid(s, strlen(s)) && utf8_count(s, strlen(s)) <= most));
}

static void check_start(const cJSON *j, struct body_error *e)
{
    struct body_start b;
    if (body_read_start(j, &b, e) < 0)
        return;
    REQUIRE(b.prompt && (!b.directory || *b.directory == '/'));
    REQUIRE(!b.model || strchr(b.model, '/'));
    check_text(b.prompt, PROMPT_MAX);
    check_text(b.title, 200);
    check_text(b.directory, 4000);
    check_text(b.agent, 100);
    check_text(b.model, 200);
    check_text(b.pod, 253);
}

static void check_message(const cJSON *j, struct body_error *e)
{
    struct body_message b;
    if (body_read_message(j, &b, e) == 0)
        check_text(b.text, PROMPT_MAX);
}

static void check_login(const cJSON *j, struct body_error *e)
{
    struct body_login b;
    if (body_read_login(j, &b, e) < 0)
        return;
    check_text(b.token, 4000);
    check_text(b.name, LOGIN_NAME_CHARS);
}

static void check_decision(const cJSON *j, struct body_error *e)
{
    struct body_decision b;
    if (body_read_decision(j, &b, e) < 0)
        return;
    bool answer = strcmp(b.decision, "answer") == 0;
    REQUIRE(answer == (b.answers != NULL));
    REQUIRE(!b.reason || strcmp(b.decision, "reject") == 0);
    REQUIRE(!answer || (cJSON_IsArray(b.answers) && cJSON_GetArraySize(b.answers) <= ANSWERS_MAX));
    check_text(b.reason, 2000);
}

static void check_body(unsigned kind, const char *text, size_t len)
{
    static void (*const readers[])(const cJSON *j,
                                   struct body_error *e) = { check_start, check_message,
                                                             check_login, check_decision };
    _cleanup_json_ cJSON *j = NULL;
    struct body_error e = { 0 };
    if (body_parse(&j, text, len, &e) == 0)
        readers[kind % ARRAY_SIZE(readers)](j, &e);
    REQUIRE(e.status == 0 || e.status == 400 || e.status == 413 || e.status == 422);
    REQUIRE((e.status == 0) == (e.code == NULL));
}

static char *line(struct fuzz *f)
{
    char *s = fuzz_line(f, NULL);
    if (*s)
        return s;
    free(s);
    return NULL;
}

/* Whoever comes in has shown one of the two secrets: there is no login. */
static void check_who(const struct access_head *head, const struct route *route, int status,
                      const struct access_result *ret)
{
    if (status != 0) {
        REQUIRE(status == 401 || status == 403 || status == 415 || status == 429);
        REQUIRE(ret->code && ret->message);
        return;
    }
    REQUIRE(head->host && access_origin_allowed(head->origin, head->host));
    if (route->access == ACCESS_READ || route->access == ACCESS_CHANGE)
        REQUIRE(ret->by_token && head->authorization &&
                (strstr(head->authorization, TOKEN) ||
                 strncasecmp(head->authorization, "basic", 5) == 0));
    REQUIRE(!route->json || access_is_json(head->content_type));
}

static void check_head(struct fuzz *f, unsigned which)
{
    static struct logins logins;
    struct limiter limiter = { 0 };
    struct access_result ret;
    const struct access_rules rules = { .token = TOKEN,
                                        .user = "opencode",
                                        .password = PASSWORD,
                                        .pod = "codev-0",
                                        .allowed_hosts = "codev.example, .team.example" };
    _cleanup_free_ char *host = line(f), *origin = line(f), *site = line(f),
                        *authorization = line(f), *cookie = line(f), *proof = line(f),
                        *type = line(f);
    const struct access_head head = { .host = host,
                                      .origin = origin,
                                      .fetch_site = site,
                                      .authorization = authorization,
                                      .cookie = cookie,
                                      .proof = proof,
                                      .content_type = type,
                                      .peer = "127.0.0.1" };
    const struct route *route = &route_table[which % ROUTE_MAX];
    check_who(&head, route, access_check(&head, &rules, route, &logins, &limiter, 1, &ret), &ret);
}

static void check_route(const char *path)
{
    struct route_match match;
    int r = route_find(SERVER_GET, path, &match);
    REQUIRE(r == 0 || r == 404 || (r == 405 && *match.allow));
    REQUIRE(r != 0 || (match.id < ROUTE_MAX && !strchr(match.param, '/')));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz in = fuzz_of(data, size);
    size_t len;
    if (size > FUZZ_INPUT_MAX)
        return 0;
    unsigned kind = fuzz_byte(&in);
    _cleanup_free_ char *path = fuzz_line(&in, NULL);
    check_route(path);
    check_head(&in, kind);
    _cleanup_free_ char *body = fuzz_rest(&in, &len);
    check_body(kind, body, len);
    return 0;
}
