/* The files of the page, embedded in the program. */
#pragma once

#include <stddef.h>

#include "bridge/gateway/web/route.h"

struct asset {
    const char *type;
    const char *data, *end;
};

/* What a route serves; NULL when it serves no file. */
const struct asset *asset_of(enum route_id route);
size_t asset_len(const struct asset *a);
/* Its ETag, quotes included: a hash of the contents. */
void asset_tag(const struct asset *a, char *out, size_t size);
