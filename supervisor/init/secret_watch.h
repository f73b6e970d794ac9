/* Secrets whose files change while the pod runs, as the kubelet does with a mounted Secret. */
#pragma once

#include <stddef.h>

#include "supervisor/init/supervisor.h"

/* Records of the helper that watches volumes. */
enum watch_record_type { WATCH_VOLUME, WATCH_SECRET };

/* In the helper: tells of each file whose secret is another one now. What cannot be read (any more)
 * is no change. */
void secret_watch_look(const struct supervisor *sv, int fd);

/* Takes such a record: keeps the secret, and restarts the services that have it. */
void secret_watch_take(struct supervisor *sv, const void *data, size_t len);
