/* The web connector: the page and the HTTP API of the gateway. Plugs into the core as connector
 * "web" and answers every HTTP request of the gateway's port that is not the bridge's own
 * (/api/opencode/permission). What it serves is described in bridge/openapi.yaml. */
#pragma once

#include "base/core/error.h"

struct core;
struct server_request;
struct web;

/* Reads its settings from core_settings() and CODEV_ALLOWED_HOSTS, the logins that still hold from
 * the store, and registers with the core; before core_start(). 0, or -errno with `e`. */
int web_connector_new(struct web **ret, struct core *core, struct error *e);

/* Ends what it streams and answers what waits. After the core's last call into the connector,
 * before core_free() and the server's end; run the loop until its handles are closed. NULL is
 * fine. */
void web_connector_free(struct web *w);

/* Prints what it serves, a line for each route: method, path, who may ask, "json" with a body. */
void web_list_routes(void);

/* Takes a request over: it is answered, now or later, exactly once. For server_options.on_request.
 */
void web_request(struct web *w, struct server_request *r);
