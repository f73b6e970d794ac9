/* What PID 1 last said to `probe live|ready|startup`, how long that counts, and how it is shown. */
#pragma once

#include "base/core/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum probe { PROBE_LIVE, PROBE_READY, PROBE_STARTUP, PROBE_MAX };

/* The word of the control socket: "live", "ready", "startup". */
const char *probe_word(enum probe p);

#define VERDICT_CHECKS_MAX 64
#define VERDICT_FRESH_MS   2000 /* an older verdict counts as failed */

struct verdict_check {
    char *name;
    char *reason; /* "" when ok */
    bool ok;
};

struct verdict {
    bool known;
    bool ok;
    uint64_t at_ms; /* monotonic */
    struct verdict_check checks[VERDICT_CHECKS_MAX];
    size_t count;
};

/* Takes PID 1's answer. -EBADMSG, with the old verdict kept, when it is none. */
int verdict_update(struct verdict *v, const char *json, size_t len, uint64_t now_ms);
/* PID 1 said that it does not hold any more, and why. */
void verdict_fail(struct verdict *v, const char *check, const char *reason, uint64_t now_ms);
void verdict_release(struct verdict *v);

bool verdict_fresh(const struct verdict *v, uint64_t now_ms);
bool verdict_ok(const struct verdict *v, uint64_t now_ms);

/* As the Kubernetes API server shows it: "ok", or with `verbose`, and always on failure, a line for
 * each check and the sum: "readyz check passed". `page` is "readyz". */
void verdict_text(const struct verdict *v, const char *page, bool verbose, uint64_t now_ms,
                  struct buf *out);
void verdict_json(const struct verdict *v, enum probe p, uint64_t now_ms, struct buf *out);
