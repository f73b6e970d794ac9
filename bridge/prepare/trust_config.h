/* OpenCode's user configuration by its accepted copy (trust.h). */
#pragma once

#include "bridge/prepare/report.h"
#include "bridge/prepare/settings.h"
#include "bridge/prepare/sources.h"

/* The name of the user's OPENCODE_CONFIG in the accepted copy. */
#define TRUST_CUSTOM "OPENCODE_CONFIG"

/* Lists what is in ~/.config/opencode and ~/src/.opencode, accepts what may be, reports the rest.
 * `*ret` is the accepted copy's folder, malloc'ed. 0 or a negative errno with `e`. */
int trust_config(const struct settings *s, struct report *report, char **ret, struct error *e);

/* Makes <runtime>/xdg-config/opencode from the accepted copy: without what OpenCode would refuse,
 * without what names our plugin, and with its dependency trap disarmed. */
int trust_config_put(const struct settings *s, const struct sources *all, struct error *e);
