/* Addresses as seen from inside the pod. */
#pragma once

#include "base/core/buf.h"
#include "supervisor/config/config.h"

/* "http://127.0.0.1:8080": where a server that listens on `host` is reached from here. */
void local_url(struct buf *out, const char *scheme, const char *host, const char *port);

/* `text` percent-encoded for use in a query. */
void query_encode(struct buf *out, const char *text);
