/* Keeps each request's message in Slack in line with the request: posted once in its session's
 * thread, changed when it is decided or gone, by whatever way that came about. */
#pragma once

#include "bridge/gateway/core/core.h"

struct slack;

void requests_changed(struct slack *s, const struct request *r);

/* Offers those that are open once more: what kept them from being posted is over. */
void requests_offer(struct slack *s);

/* A button was clicked on a message whose request nobody knows any more: it says so. */
void requests_gone(struct slack *s, const char *pod, const char *request_id, const char *channel,
                   const char *ts);
