#include "bridge/gateway/web/route.h"
#include "bridge/gateway/web/web.h"

#include <stdio.h>
#include <string.h>

const struct route route_table[ROUTE_MAX] = {
    [ROUTE_PAGE] = { SERVER_GET, "/", ACCESS_OPEN, false },
    [ROUTE_LOGIN_PAGE] = { SERVER_GET, "/login", ACCESS_OPEN, false },
    [ROUTE_STYLE] = { SERVER_GET, "/app.css", ACCESS_OPEN, false },
    [ROUTE_SCRIPT] = { SERVER_GET, "/app.js", ACCESS_OPEN, false },
    [ROUTE_SCRIPT_API] = { SERVER_GET, "/api.js", ACCESS_OPEN, false },
    [ROUTE_SCRIPT_CARDS] = { SERVER_GET, "/cards.js", ACCESS_OPEN, false },
    [ROUTE_SCRIPT_FOCUS] = { SERVER_GET, "/focus.js", ACCESS_OPEN, false },
    [ROUTE_SCRIPT_LOGS] = { SERVER_GET, "/logs.js", ACCESS_OPEN, false },
    [ROUTE_SCRIPT_POD] = { SERVER_GET, "/pod.js", ACCESS_OPEN, false },
    [ROUTE_SCRIPT_SESSION] = { SERVER_GET, "/session.js", ACCESS_OPEN, false },
    [ROUTE_SCRIPT_TEXT] = { SERVER_GET, "/text.js", ACCESS_OPEN, false },
    [ROUTE_ICON] = { SERVER_GET, "/icon.svg", ACCESS_OPEN, false },
    [ROUTE_HEALTH] = { SERVER_GET, "/api/health", ACCESS_OPEN, false },
    [ROUTE_METRICS] = { SERVER_GET, "/metrics", ACCESS_INSIDE, false },
    [ROUTE_OPENAPI] = { SERVER_GET, "/api/openapi.yaml", ACCESS_OPEN, false },
    [ROUTE_LOGIN] = { SERVER_POST, "/api/login", ACCESS_LOGIN, true },
    [ROUTE_LOGOUT] = { SERVER_POST, "/api/logout", ACCESS_CHANGE, false },
    [ROUTE_SESSIONS] = { SERVER_GET, "/api/sessions", ACCESS_READ, false },
    [ROUTE_SESSION] = { SERVER_GET, "/api/sessions/{}", ACCESS_READ, false },
    [ROUTE_SESSION_START] = { SERVER_POST, "/api/sessions", ACCESS_CHANGE, true },
    [ROUTE_SESSION_MESSAGE] = { SERVER_POST, "/api/sessions/{}/messages", ACCESS_CHANGE, true },
    [ROUTE_SESSION_ABORT] = { SERVER_POST, "/api/sessions/{}/abort", ACCESS_CHANGE, false },
    [ROUTE_REQUESTS] = { SERVER_GET, "/api/requests", ACCESS_READ, false },
    [ROUTE_DECISION] = { SERVER_POST, "/api/requests/{}/decision", ACCESS_CHANGE, true },
    [ROUTE_EVENTS] = { SERVER_GET, "/api/events", ACCESS_READ, false },
    [ROUTE_CATALOG] = { SERVER_GET, "/api/catalog", ACCESS_READ, false },
    [ROUTE_FOCUS] = { SERVER_GET, "/api/focus", ACCESS_READ, false },
    [ROUTE_FOCUS_SET] = { SERVER_POST, "/api/focus", ACCESS_CHANGE, true },
    [ROUTE_ACTIVITY] = { SERVER_POST, "/api/activity", ACCESS_CHANGE, false },
    [ROUTE_POD] = { SERVER_GET, "/api/pod", ACCESS_READ, false },
    [ROUTE_LOGS] = { SERVER_GET, "/api/logs", ACCESS_READ, false },
};

/* `param` is written only as far as the pattern matched. */
static bool path_matches(const char *pattern, const char *path, char param[ROUTE_PARAM_MAX + 1])
{
    while (*pattern) {
        if (pattern[0] == '{' && pattern[1] == '}') {
            size_t n = strcspn(path, "/");
            if (n == 0 || n > ROUTE_PARAM_MAX)
                return false;
            memcpy(param, path, n);
            param[n] = '\0';
            path += n;
            pattern += 2;
            continue;
        }
        if (*pattern++ != *path++)
            return false;
    }
    return *path == '\0';
}

static void allow_add(char *allow, size_t size, enum server_method method)
{
    size_t n = strlen(allow);
    (void)snprintf(allow + n, size - n, "%s%s", n ? ", " : "",
                   method == SERVER_GET ? "GET, HEAD" : "POST");
}

int route_find(enum server_method method, const char *path, struct route_match *ret)
{
    *ret = (struct route_match){ .id = ROUTE_MAX };
    enum server_method wanted = method == SERVER_HEAD ? SERVER_GET : method;
    for (int i = 0; i < ROUTE_MAX; i++) {
        char param[ROUTE_PARAM_MAX + 1] = "";
        if (!path_matches(route_table[i].pattern, path, param))
            continue;
        if (route_table[i].method == wanted) {
            ret->id = (enum route_id)i;
            memcpy(ret->param, param, sizeof param);
            return 0;
        }
        allow_add(ret->allow, sizeof ret->allow, route_table[i].method);
    }
    return *ret->allow ? 405 : 404;
}

void web_list_routes(void)
{
    static const char *const access[] = {
        [ACCESS_OPEN] = "open",     [ACCESS_INSIDE] = "inside", [ACCESS_READ] = "read",
        [ACCESS_CHANGE] = "change", [ACCESS_LOGIN] = "login",
    };
    for (int i = 0; i < ROUTE_MAX; i++)
        (void)printf("%s %s %s %s\n", route_table[i].method == SERVER_GET ? "GET" : "POST",
                     route_table[i].pattern, access[route_table[i].access],
                     route_table[i].json ? "json" : "-");
}
