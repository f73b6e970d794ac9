/* What the core knows, as JSON for the page and for programs (bridge/openapi.yaml). */
#pragma once

#include "base/core/jsonw.h"
#include "bridge/gateway/core/core.h"

void view_session(struct jsonw *w, const char *key, const struct session *s);
void view_request(struct jsonw *w, const char *key, const struct request *r);
/* The members "status", "slack", "bridge", "opencode"; the caller opens and closes the object. */
void view_links(struct jsonw *w, const struct link_state *links);
