/* Which path and method means what, and who may ask: one table. */
#pragma once

#include "base/server/server.h"

enum route_id {
    ROUTE_PAGE,
    ROUTE_LOGIN_PAGE,
    ROUTE_STYLE,
    ROUTE_SCRIPT,
    ROUTE_SCRIPT_API,
    ROUTE_SCRIPT_CARDS,
    ROUTE_SCRIPT_FOCUS,
    ROUTE_SCRIPT_LOGS,
    ROUTE_SCRIPT_POD,
    ROUTE_SCRIPT_SESSION,
    ROUTE_SCRIPT_TEXT,
    ROUTE_ICON,
    ROUTE_HEALTH,
    ROUTE_METRICS,
    ROUTE_OPENAPI,
    ROUTE_LOGIN,
    ROUTE_LOGOUT,
    ROUTE_SESSIONS,
    ROUTE_SESSION,
    ROUTE_SESSION_START,
    ROUTE_SESSION_MESSAGE,
    ROUTE_SESSION_ABORT,
    ROUTE_REQUESTS,
    ROUTE_DECISION,
    ROUTE_EVENTS,
    ROUTE_CATALOG,
    ROUTE_FOCUS,
    ROUTE_FOCUS_SET,
    ROUTE_ACTIVITY,
    ROUTE_POD,
    ROUTE_LOGS,
    ROUTE_MAX,
};

enum route_access {
    ACCESS_OPEN,   /* anybody: holds no state of anybody */
    ACCESS_INSIDE, /* anybody who asks the pod itself, and not by a name of CODEV_ALLOWED_HOSTS */
    ACCESS_READ,   /* who has shown who they are */
    ACCESS_CHANGE, /* likewise, and a browser's cookie alone does not do */
    ACCESS_LOGIN,  /* anybody, from our own page or no page at all */
};

struct route {
    enum server_method method; /* GET serves HEAD too */
    const char *pattern;       /* a segment "{}" takes any one segment */
    enum route_access access;
    bool json; /* has a body, which must be JSON */
};
extern const struct route route_table[ROUTE_MAX];

#define ROUTE_PARAM_MAX 200

struct route_match {
    enum route_id id;
    char param[ROUTE_PARAM_MAX + 1]; /* what "{}" took, "" without */
    char allow[64];                  /* for 405: "GET, HEAD, POST" */
};

/* `path` decoded and normalised. 0, or the HTTP status: 404, 405 (with ret->allow). */
int route_find(enum server_method method, const char *path, struct route_match *ret);
