/* The core's life, for main.c and tests. */
#pragma once

#include "bridge/gateway/core/core.h"

/* `settings` is not copied and must outlive the core. `http` may be NULL (no connector then calls
 * out). `deadline_ms`: a permission request that waits longer is denied; 0: never. */
int core_new(struct core **ret, uv_loop_t *loop, const struct settings *settings,
             struct store *store, struct http_client *http, uint64_t deadline_ms);

/* After the connectors are registered: tells them what is open, goes on with decisions that
 * OpenCode has not confirmed. */
int core_start(struct core *core);

/* Tells the connectors that the pod stops; `done` once all have finished or at the deadline
 * (monotonic), never from within. Nothing new is taken after. Called again it only changes the
 * deadline. */
void core_stop(struct core *core, uint64_t deadline_ms, void (*done)(void *data), void *data);

/* Frees in the loop: run it until it is done. The store and the http client are the caller's. */
void core_free(struct core *core);

/* To every connector: a notice that belongs to no session. */
void core_notice(struct core *core, const char *text);
