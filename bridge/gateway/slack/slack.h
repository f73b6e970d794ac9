/* The Slack connector: Socket Mode in, Web API out, one thread a session. Plugs into the core as
 * connector "slack". Without tokens it is off: said once, and nothing else happens. */
#pragma once

#include "base/core/error.h"

struct core;
struct slack;

/* Reads its settings from core_settings(), registers with the core and starts connecting when the
 * loop runs. Before core_start(). 0 (also when it is off), or -errno with `e`. */
int slack_connector_new(struct slack **ret, struct core *core, struct error *e);

/* Closes everything without further callbacks; run the loop until its handles are closed. After
 * the core's last call into the connector. NULL is fine. */
void slack_connector_free(struct slack *s);
