/* What PID 1 shows of us in `status`, and what the log says: each change once. */
#pragma once

#include "bridge/state/remote.h"
#include "bridge/state/settings.h"

struct note {
    enum remote_state said; /* of the remote, in the log */
    bool said_local;        /* that it cannot be written here */
    char sent[2048];        /* to PID 1 */
};

struct note_facts {
    const struct remote *remote;
    const char *local; /* why nothing can be committed at present; "" when all is well */
    uint64_t commits;  /* since the start */
    int64_t pushed_ms; /* wall clock; 0: not yet */
};

void note_tell(struct note *n, const struct settings *s, const struct note_facts *facts);
