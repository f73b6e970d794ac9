/* What people wrote to the agent elsewhere (on the web page, in OpenCode's own), as a quotation in
 * the session's thread, if it has one: so that the thread alone tells the whole conversation. */
#pragma once

#include "bridge/gateway/core/core.h"

struct slack;

/* Each text once, by its id in OpenCode; what came from the thread itself never. */
void said_activity(struct slack *s, const struct activity *a);
