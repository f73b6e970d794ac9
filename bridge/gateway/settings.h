/* The gateway's settings, from its environment (docs/control.md) and the secrets handed over. */
#pragma once

#include "base/core/secrets.h"
#include "bridge/gateway/core/core.h"

struct gateway_settings {
    struct settings s; /* strings belong to this object or to the environment */
    struct secrets secrets;
    char *pod, *token, *bridge_token;
    uint64_t permission_deadline_ms;
};

/* 0, or -errno with `e` (-EINVAL: a value is malformed). `ret` must be released in any case. */
int gateway_settings_read(struct gateway_settings *ret, struct error *e);
void gateway_settings_release(struct gateway_settings *g);
