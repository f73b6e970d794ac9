/* Keeps each request's message in Slack in line with the request: posted once in its session's
 * thread, changed when it is decided or gone, by whatever way that came about. */
#pragma once

#include "base/json/json.h"
#include "bridge/gateway/core/core.h"

#include <stdbool.h>

struct slack;

/* One that people are told of on the web page is not posted yet. */
void requests_changed(struct slack *s, const struct request *r);

/* It has a message here, or had one. */
bool requests_known(struct slack *s, const struct request *r);

/* The button that brings one here, wherever people are told. True: it was that. */
#define ACTION_BRING "request_bring"
bool requests_action(struct slack *s, const cJSON *payload, const char *action_id);

/* Offers those that are open once more: what kept them from being posted is over. */
void requests_offer(struct slack *s);

/* A button was clicked on a message whose request nobody knows any more: it says so. */
void requests_gone(struct slack *s, const char *pod, const char *request_id, const char *channel,
                   const char *ts);
