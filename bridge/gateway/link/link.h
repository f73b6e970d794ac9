/* The server side of bridge/PROTOCOL.md: bridge plugins by WebSocket, permission requests by HTTP.
 * Each bridge becomes a way of the core. */
#pragma once

#include "base/core/error.h"
#include "base/server/server.h"

struct core;
struct link;

struct link_options {
    uint64_t ping_after_ms;  /* nothing sent for so long: command `ping`; 0: 20 s */
    uint64_t close_after_ms; /* nothing received for so long: closed; 0: 60 s */
    uint64_t command_ms;     /* a command without an answer for so long failed; 0: 30 s */
    uint64_t permission_ms;  /* a waiting HTTP call is answered 202; 0: 50 s */
};

/* Before core_start(): it registers with the core. `options` may be NULL. */
int link_new(struct link **ret, struct core *core, const struct link_options *options,
             struct error *e);

/* To be called by the server's callbacks for the path /ws/bridge. */
int link_ws_open(struct link *l, struct server_ws *ws);
void link_ws_message(struct link *l, struct server_ws *ws, const char *msg, size_t len,
                     bool binary);
void link_ws_close(struct link *l, struct server_ws *ws);

/* POST /api/opencode/permission; answers by itself, perhaps later. */
void link_permission_request(struct link *l, struct server_request *r);

/* The gateway goes down: bridges are closed with 1001, waiting calls are answered 503. */
void link_stopping(struct link *l);

/* After the server is gone. Frees in the loop. NULL is fine. */
void link_free(struct link *l);
