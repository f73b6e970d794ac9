/* One-time login tickets: a file logins/login-<first half> in the runtime folder, with the other
 * half in it, which only its owner can make. Names are no secret to sandboxed programs, contents
 * are. Whoever removes it has used it, so it works once, across processes and crashes. */
#pragma once

#include "base/core/error.h"
#include "base/core/secrets.h"

#include <stdbool.h>

#define TICKET_LIFE_S 600

/* Makes one in `dir` and removes those that have expired. `out` gets its text. 0 or -errno. */
int ticket_make(const char *dir, char out[SECRET_TEXT_SIZE], struct error *e);

/* True when `text` was a ticket not older than TICKET_LIFE_S; it is none any more. Any bytes may be
 * given. */
bool ticket_use(const char *dir, const char *text);
