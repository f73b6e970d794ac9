/* OpenCode's HTTP API and PID 1, asked one call after the other: for programs that have nothing
 * else to do while they wait. */
#pragma once

#include "base/core/error.h"
#include "base/json/json.h"

#include <stdint.h>

struct api;

/* `url` without a path; `password` NULL: none. Copies both. */
int api_new(struct api **ret, const char *url, const char *user, const char *password);
void api_free(struct api *api);

/* One exchange. `body` NULL: none. `*ret` (may be NULL) is the parsed answer, NULL if empty.
 * Returns the HTTP status, or negative errno with `e`. Failing statuses are no error here. */
int api_call(struct api *api, const char *method, const char *path, const cJSON *body,
             uint64_t timeout_ms, cJSON **ret, struct error *e);

/* Waits until OpenCode answers and has loaded `directory`'s instance; `directory` NULL: health
 * only. 0 or -ETIMEDOUT. */
int api_wait_ready(struct api *api, const char *directory, uint64_t timeout_ms, struct error *e);

/* One call of PID 1's control socket, parsed. An {"error"} answer is -EPROTO with its message. */
int pid1_call(const char *const *words, cJSON **ret, struct error *e);

/* OpenCode's address: CODEV_OPENCODE_URL, else what PID 1 checks, since it knows the port that is
 * really used. malloc'ed; NULL when out of memory. */
char *api_find_url(void);

/* OpenCode's password from PID 1, malloc'ed. NULL: none, or it does not tell us. */
char *api_find_password(void);
